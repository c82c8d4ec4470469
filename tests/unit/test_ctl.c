/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/error.h"
#include "tools/common/ctl.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void only_whole_objects(void **state)
{
	static const struct {
		const char *line;
		size_t len;
		int rc;
	} cases[] = {
		{ "{}", 2, 0 },
		{ "{\"cmd\":\"list\"}", 14, 0 },
		{ "", 0, -EINVAL },
		{ "{", 1, -EINVAL },
		{ "{}{}", 4, -EINVAL },
		{ "{} x", 4, -EINVAL },
		{ "{}\0", 3, -EINVAL },
		{ "[]", 2, -EINVAL },
		{ "null", 4, -EINVAL },
		{ "1", 1, -EINVAL },
		{ "\"x\"", 3, -EINVAL },
		{ "{\"a\":\"\xff\"}", 9, -EINVAL },
		{ "\x00\x01\x02", 3, -EINVAL },
	};
	char deep[2000] = "{\"a\":";
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *o = NULL;

		assert_int_equal(ctl_parse(cases[i].line, cases[i].len, &o), cases[i].rc);
		if (!cases[i].rc)
			assert_non_null(o);
		json_object_put(o);
	}
	/* No depth of nesting may exhaust the stack. */
	memset(deep + 5, '[', sizeof(deep) - 5);
	assert_int_equal(ctl_parse(deep, sizeof(deep), NULL), -EINVAL);
}

static void strings(void **state)
{
	static const char line[] = "{\"a\":\"x\",\"n\":1,\"z\":\"a\\u0000b\",\"0\":null}";
	struct json_object *o;
	const char *text;

	assert_int_equal(ctl_parse(line, strlen(line), &o), 0);
	assert_int_equal(ctl_get_string(o, "a", &text), 0);
	assert_string_equal(text, "x");
	assert_int_equal(ctl_get_string(o, "none", &text), 0);
	assert_null(text);
	assert_int_equal(ctl_get_string(o, "n", &text), -EINVAL);
	assert_int_equal(ctl_get_string(o, "z", &text), -EINVAL);
	assert_int_equal(ctl_get_string(o, "0", &text), -EINVAL);
	json_object_put(o);
}

static void what_is_sent_is_utf8(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "plain", "plain" },
		{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "a\xff"
		  "b",
		  "a?b" },
		{ "\xc3", "?" },
		{ "\xe2\x82", "??" },
		{ "\xc0\x80", "??" },
		{ "\xe0\x80\x80", "???" },
		{ "\xed\xa0\x80", "???" },
		{ "\xf4\x90\x80\x80", "????" },
		{ "\x80x", "?x" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_object *o = json_object_new_object(), *value, *back;
		const char *text;

		ctl_add_string(o, "k", cases[i].in);
		assert_true(json_object_object_get_ex(o, "k", &value));
		assert_string_equal(json_object_get_string(value), cases[i].out);
		text = json_object_to_json_string(o);
		assert_int_equal(ctl_parse(text, strlen(text), &back), 0);
		json_object_put(back);
		json_object_put(o);
	}
}

static void addresses(void **state)
{
	char path[CTL_PATH_MAX + 2];
	struct sockaddr_un addr;

	memset(path, 'x', sizeof(path));
	path[CTL_PATH_MAX] = '\0';
	assert_int_equal(ctl_address("--control", path, &addr), 0);
	assert_string_equal(addr.sun_path, path);
	path[CTL_PATH_MAX] = 'x';
	path[CTL_PATH_MAX + 1] = '\0';
	assert_int_equal(ctl_address("--control", path, &addr), -ENAMETOOLONG);
	assert_non_null(strstr(iol_error(), "--control is 108 bytes long"));

	setenv("XDG_RUNTIME_DIR", "/run/user/1", 1);
	ctl_default_path("iolane-x", path, sizeof(path));
	assert_string_equal(path, "/run/user/1/iolane-x.sock");
	unsetenv("XDG_RUNTIME_DIR");
	ctl_default_path("iolane-x", path, sizeof(path));
	assert_string_equal(path, "/run/iolane-x.sock");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_whole_objects),
		cmocka_unit_test(strings),
		cmocka_unit_test(what_is_sent_is_utf8),
		cmocka_unit_test(addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
