/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/dirty.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE 4096ull

struct log {
	int fd;
	uint8_t *bits;
	bool broken;
};

static void log_init(struct log *log, size_t len)
{
	log->broken = false;
	log->fd = memfd_create("dirty", MFD_CLOEXEC);
	assert_int_equal(ftruncate(log->fd, (off_t)len), 0);
	log->bits = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, log->fd, 0);
	assert_ptr_not_equal(log->bits, MAP_FAILED);
}

static void log_fini(struct log *log, size_t len)
{
	munmap(log->bits, len);
	close(log->fd);
}

/* Every range of a small memory, compared bit by bit. */
static void every_range(void **state)
{
	struct iol_dirty *dirty;
	uint64_t from, to, page;
	struct log log;

	log_init(&log, 4096);
	assert_int_equal(iol_dirty_new(log.fd, 4, 0, -1, &log.broken, &dirty), 0);
	for (from = 0; from < 40 * PAGE; from += PAGE / 2 - 1) {
		for (to = from + 1; to < 40 * PAGE; to += PAGE / 2 + 1) {
			memset(log.bits, 0, 8);
			iol_dirty_mark(dirty, from, to - from);
			for (page = 0; page < 64; page++)
				/* Four bytes hold 32 pages; those beyond are dropped. */
				assert_int_equal(log.bits[page / 8] >> page % 8 & 1,
						 page < 32 && page >= from / PAGE &&
							 page <= (to - 1) / PAGE);
		}
	}
	iol_dirty_destroy(&dirty);
	assert_null(dirty);
	log_fini(&log, 4096);
}

static void ends_of_the_address_space(void **state)
{
	struct iol_dirty *dirty;
	struct log log;

	log_init(&log, 4096);
	assert_int_equal(iol_dirty_new(log.fd, 2, 0, -1, &log.broken, &dirty), 0);
	iol_dirty_mark(dirty, UINT64_MAX - 5, 3);
	iol_dirty_mark(dirty, UINT64_MAX - 5, UINT64_MAX);
	iol_dirty_mark(dirty, 0, 0);
	iol_dirty_mark(dirty, 16 * PAGE, PAGE);
	assert_int_equal(log.bits[0] | log.bits[1] | log.bits[2], 0);
	iol_dirty_mark(dirty, 15 * PAGE + 1, UINT64_MAX);
	assert_int_equal(log.bits[0], 0);
	assert_int_equal(log.bits[1], 0x80);
	assert_int_equal(log.bits[2], 0);
	iol_dirty_destroy(&dirty);
	log_fini(&log, 4096);
}

/* The log may begin anywhere in its file. */
static void offset(void **state)
{
	struct iol_dirty *dirty;
	struct log log;

	log_init(&log, 8192);
	assert_int_equal(iol_dirty_new(log.fd, 8, 4100, -1, &log.broken, &dirty), 0);
	iol_dirty_mark(dirty, PAGE, 1);
	assert_int_equal(log.bits[4100], 2);
	iol_dirty_destroy(&dirty);
	log_fini(&log, 8192);
}

static void refused(void **state)
{
	struct iol_dirty *dirty = NULL;
	struct log log;

	log_init(&log, 4096);
	assert_int_equal(iol_dirty_new(log.fd, 0, 0, -1, &log.broken, &dirty), -EINVAL);
	assert_int_equal(iol_dirty_new(log.fd, 4097, 0, -1, &log.broken, &dirty), -EINVAL);
	assert_int_equal(iol_dirty_new(log.fd, 1, 4096, -1, &log.broken, &dirty), -EINVAL);
	assert_int_equal(iol_dirty_new(log.fd, UINT64_MAX, 8, -1, &log.broken, &dirty), -EINVAL);
	assert_int_equal(iol_dirty_new(log.fd, 8, UINT64_MAX, -1, &log.broken, &dirty), -EINVAL);
	assert_int_equal(iol_dirty_new(-1, 8, 0, -1, &log.broken, &dirty), -EBADF);
	assert_null(dirty);
	iol_dirty_destroy(&dirty);
	log_fini(&log, 4096);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_range),
		cmocka_unit_test(ends_of_the_address_space),
		cmocka_unit_test(offset),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
