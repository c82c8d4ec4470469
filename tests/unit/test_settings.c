/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/common/settings.h"

#include "base/error.h"
#include "tools/common/ctl.h"
#include "tools/common/endpoint.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct thing {
	struct endpoint ep;
	char *name;
	bool fast;
	char *extra;
};

static int set_name(void *name, const char *what, const char *value)
{
	return setting_name(name, what, value, 8);
}

static const struct setting list[] = {
	ENDPOINT_SETTINGS(struct thing, ep),
	{ "name", "name", "NAME", set_name, offsetof(struct thing, name) },
	{ "fast", "quick", NULL, setting_bool, offsetof(struct thing, fast) },
	{ "extra", NULL, "TEXT", setting_string, offsetof(struct thing, extra) },
};

#define LIST (sizeof(list) / sizeof(list[0]))

static const struct settings settings = { list, LIST, "thing" };

static void clear(struct thing *t, uint64_t *seen)
{
	endpoint_free(&t->ep);
	free(t->name);
	free(t->extra);
	*t = (struct thing){ .ep = ENDPOINT_NONE };
	*seen = 0;
}

static void lists(void **state)
{
	static const struct {
		const char *text, *sentence;
	} bad[] = {
		{ "nmae=x", "--thing nmae=x: unknown thing setting nmae: did you mean name?" },
		{ "quick", "unknown thing setting quick" },
		{ "name=a,name=b", "name is given twice" },
		{ "name", "name needs a value: name=NAME" },
		{ "socket-mode", "socket-mode needs a value: socket-mode=MODE" },
		{ "name=", "name needs a value" },
		{ "name=123456789", "name must be at most 8 letters" },
		{ "name=-a", "not start with a dash" },
		{ "fast=maybe", "fast must be on or off" },
		{ "fd=1", "fd must be from 3" },
		{ "socket-mode=01000", "socket-mode must be octal" },
		{ "=a", "write KEY=VALUE" },
	};
	struct thing t = { .ep = ENDPOINT_NONE };
	uint64_t seen = 0;
	size_t i;

	assert_int_equal(settings_parse(&settings, &t, &seen, "--thing",
					"name=a.b,socket=/x,,y,fast,extra=1=2,socket-mode=0640"),
			 0);
	assert_string_equal(t.name, "a.b");
	assert_string_equal(t.ep.path, "/x,y");
	assert_string_equal(t.extra, "1=2");
	assert_true(t.fast);
	assert_int_equal(t.ep.mode, 0640);
	assert_true(settings_seen(&settings, seen, "extra"));
	assert_false(settings_seen(&settings, seen, "client"));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		clear(&t, &seen);
		assert_true(settings_parse(&settings, &t, &seen, "--thing", bad[i].text) < 0);
		assert_non_null(strstr(iol_error(), bad[i].sentence));
	}
	clear(&t, &seen);
}

static void options(void **state)
{
	struct opt opts[LIST + 1] = { 0 };
	struct thing t = { .ep = ENDPOINT_NONE };
	uint64_t seen = 0;

	settings_opts(&settings, opts, 7);
	assert_string_equal(opts[0].name, "socket-path");
	assert_int_equal(opts[0].id, 7);
	assert_string_equal(opts[5].name, "quick");
	assert_null(opts[5].arg);
	/* What is no option makes none. */
	assert_null(opts[6].name);
	assert_int_equal(settings_exclude(&settings, seen, "--thing"), 0);
	assert_int_equal(settings_set_option(&settings, 5, &t, &seen, NULL), 0);
	assert_true(t.fast);
	assert_int_equal(settings_exclude(&settings, seen, "--thing"), -EINVAL);
	assert_non_null(
		strstr(iol_error(), "--quick and --thing exclude each other: write fast=on"));
	assert_int_equal(settings_set_option(&settings, 0, &t, &seen, ""), -EINVAL);
	assert_string_equal(iol_error(), "--socket-path needs a value");
	clear(&t, &seen);
}

static void objects(void **state)
{
	static const struct {
		const char *text, *sentence;
	} cases[] = {
		{ "{\"name\":\"a\",\"fast\":\"off\"}", NULL },
		{ "{\"name\":1}", "\"name\" must be a string" },
		{ "{\"name\":null}", "\"name\" must be a string" },
		{ "{\"fd\":\"3\"}", "fd cannot be given here" },
		{ "{\"name\":\"a\\u0000b\"}", "zero byte" },
		{ "{\"\":\"a\"}", "unknown thing setting" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct thing t = { .ep = ENDPOINT_NONE };
		struct json_object *obj;
		uint64_t seen = 0;
		int rc;

		assert_int_equal(ctl_parse(cases[i].text, strlen(cases[i].text), &obj), 0);
		rc = settings_read(&settings, &t, &seen, obj);
		assert_true(cases[i].sentence ? rc < 0 : rc == 0);
		if (cases[i].sentence)
			assert_non_null(strstr(iol_error(), cases[i].sentence));
		json_object_put(obj);
		clear(&t, &seen);
	}
}

static void endpoints(void **state)
{
	struct endpoint a = ENDPOINT_NONE, b = ENDPOINT_NONE;
	char number[16];
	int pair[2];

	assert_int_equal(endpoint_check(&a, "thing", true), -EINVAL);
	assert_string_equal(iol_error(), "the thing has no socket: add --socket-path=PATH");
	assert_int_equal(endpoint_set_path(&a, "socket", "relative"), 0);
	assert_int_equal(endpoint_check(&a, "thing", false), 0);
	assert_int_equal(endpoint_check_absolute(&a), -EINVAL);
	assert_int_equal(endpoint_set_path(&b, "socket", "relative"), 0);
	assert_int_equal(endpoint_check_two(&a, &b, "things"), -EINVAL);
	assert_int_equal(endpoint_set_path(&b, "socket", "/absolute"), 0);
	assert_int_equal(endpoint_check_two(&a, &b, "things"), 0);
	assert_int_equal(endpoint_check_absolute(&b), 0);
	assert_string_equal(endpoint_where(&b), "/absolute");
	a.client = true;
	a.mode = 0600;
	assert_int_equal(endpoint_check(&a, "thing", false), -EINVAL);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	snprintf(number, sizeof(number), "%d", pair[0]);
	assert_int_equal(endpoint_set_fd(&b, "fd", number), 0);
	assert_int_equal(endpoint_check(&b, "thing", false), -EINVAL);
	endpoint_free(&b);
	/* It was the endpoint's. */
	assert_int_equal(close(pair[0]), -1);
	assert_int_equal(endpoint_set_fd(&b, "fd", number), -ENOTSOCK);
	assert_int_equal(b.fd, -1);
	close(pair[1]);
	endpoint_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists),
		cmocka_unit_test(options),
		cmocka_unit_test(objects),
		cmocka_unit_test(endpoints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
