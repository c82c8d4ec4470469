/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/error.h"
#include "base/event.h"
#include "base/flock.h"
#include "base/hist.h"
#include "base/text.h"
#include "base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void sizes(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t size;
	} cases[] = {
		{ "0", 0, 0 },           { "512", 0, 512 },
		{ "4k", 0, 4096 },       { "4K", 0, 4096 },
		{ "2MiB", 0, 2 << 20 },  { "3GB", 0, 3ull << 30 },
		{ "1T", 0, 1ull << 40 }, { "15E", 0, 15ull << 60 },
		{ "16E", -ERANGE, 0 },   { "99999999999999999999", -ERANGE, 0 },
		{ "", -EINVAL, 0 },      { "k", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },    { " 1", -EINVAL, 0 },
		{ "1x", -EINVAL, 0 },    { "1kk", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t size = 0;

		assert_int_equal(iol_parse_size("--size", cases[i].text, &size), cases[i].rc);
		if (cases[i].rc)
			assert_non_null(strstr(iol_error(), "--size"));
		else
			assert_int_equal(size, cases[i].size);
	}
}

static void whole_numbers(void **state)
{
	uint64_t n = 0;

	assert_int_equal(iol_parse_uint("--n", "64", 1, 64, &n), 0);
	assert_int_equal(n, 64);
	assert_int_equal(iol_parse_uint("--n", "65", 1, 64, &n), -ERANGE);
	assert_string_equal(iol_error(), "--n must be from 1 to 64, not 65");
	assert_int_equal(iol_parse_uint("--n", "1 ", 1, 64, &n), -EINVAL);
	assert_int_equal(iol_parse_uint("--n", "+1", 1, 64, &n), -EINVAL);
	assert_int_equal(n, 64);
}

static void sizes_for_people(void **state)
{
	char buf[16];

	assert_string_equal(iol_format_size(512, buf, sizeof(buf)), "512 B");
	assert_string_equal(iol_format_size(65536, buf, sizeof(buf)), "64 KiB");
	assert_string_equal(iol_format_size(3ull << 29, buf, sizeof(buf)), "1.5 GiB");
}

static void error_sentence(void **state)
{
	assert_int_equal(iol_fail(ENOENT, "cannot open %s", "x"), -ENOENT);
	assert_int_equal(iol_fail_more(-ENOENT, "disk %d", 3), -ENOENT);
	assert_string_equal(iol_error(), "disk 3: cannot open x");
	/* An argument may be the sentence itself. */
	iol_fail(EIO, "again: %s", iol_error());
	assert_string_equal(iol_error(), "again: disk 3: cannot open x");
}

static void text_for_terminals(void **state)
{
	static const struct {
		const char *text, *printable;
	} cases[] = {
		{ "", "" },
		{ "plain \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
		  "plain \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "a\x1b[2J\n\x7f", "a?[2J??" },
		/* C1 is obeyed by terminals, too: 0x9b is ESC [. */
		{ "\xc2\x9b\xc2\xa0", "??\xc2\xa0" },
		{ "\x9b\xff\xc3", "???" },
		/* Cut off, overlong, a surrogate, too large. */
		{ "\xe2\x82", "??" },
		{ "\xc0\xaf", "??" },
		{ "\xe0\x80\xaf", "???" },
		{ "\xed\xa0\x80", "???" },
		{ "\xf4\x90\x80\x80", "????" },
	};
	char text[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		strcpy(text, cases[i].text);
		assert_string_equal(iol_printable(text), cases[i].printable);
		iol_fail(EIO, "%s", cases[i].text);
		assert_string_equal(iol_error(), cases[i].printable);
	}
}

static void histogram_keeps_its_error_bound(void **state)
{
	struct iol_hist h = { 0 }, sum = { 0 };
	uint64_t v;

	/* Each value's bucket must end no further than 1/32 above it. */
	for (v = 0; v < 1ull << 40; v = v * 5 / 4 + 1) {
		memset(&h, 0, sizeof(h));
		iol_hist_add(&h, v);
		iol_hist_add(&h, 1ull << 41);
		assert_true(iol_hist_quantile(&h, 0.25) >= v);
		assert_true(iol_hist_quantile(&h, 0.25) <= v + v / IOL_HIST_SUB);
	}
	memset(&h, 0, sizeof(h));
	assert_int_equal(iol_hist_quantile(&h, 0.5), 0);
	for (v = 1; v <= 1000; v++)
		iol_hist_add(&h, v);
	iol_hist_merge(&sum, &h);
	iol_hist_merge(&sum, &h);
	assert_int_equal(sum.count, 2000);
	assert_int_equal(sum.min, 1);
	assert_int_equal(sum.max, 1000);
	assert_in_range(iol_hist_quantile(&sum, 0.5), 500, 516);
	assert_in_range(iol_hist_quantile(&sum, 0.99), 990, 1000);
	assert_int_equal(iol_hist_quantile(&sum, 1.0), 1000);
}

/* Of one that blocks, as its other owner wants it. */
static void eventfds_never_block(void **state)
{
	eventfd_t n;
	int fd = eventfd(0, EFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_false(iol_event_take(fd));
	iol_event_signal(fd);
	iol_event_signal(fd);
	assert_true(iol_event_take(fd));
	assert_false(iol_event_take(fd));
	assert_int_equal(eventfd_write(fd, UINT64_MAX - 1), 0);
	iol_event_signal(fd);
	assert_int_equal(eventfd_read(fd, &n), 0);
	assert_true(n == UINT64_MAX - 1);
	close(fd);
}

/* A thread gives the lock back only when somebody may already be waiting for it. */
static void *let_go(void *fd)
{
	usleep(20000);
	close((int)(intptr_t)fd);
	return NULL;
}

static void locks_wait_so_long(void **state)
{
	char path[] = "/tmp/iolane-test-XXXXXX";
	int held = mkostemp(path, O_CLOEXEC), fd = open(path, O_RDONLY | O_CLOEXEC);
	pthread_t thread;

	unlink(path);
	assert_true(held >= 0 && fd >= 0);
	assert_int_equal(iol_flock(held, 0), 0);
	assert_int_equal(iol_flock(fd, 0), -EWOULDBLOCK);
	assert_int_equal(iol_flock(fd, 5), -EWOULDBLOCK);
	assert_int_equal(pthread_create(&thread, NULL, let_go, (void *)(intptr_t)held), 0);
	assert_int_equal(iol_flock(fd, 20000), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	close(fd);
	assert_int_equal(iol_flock(-1, 5), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(whole_numbers),
		cmocka_unit_test(sizes_for_people),
		cmocka_unit_test(error_sentence),
		cmocka_unit_test(text_for_terminals),
		cmocka_unit_test(histogram_keeps_its_error_bound),
		cmocka_unit_test(eventfds_never_block),
		cmocka_unit_test(locks_wait_so_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
