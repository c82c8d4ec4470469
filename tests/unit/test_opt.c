/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/error.h"
#include "tools/common/opt.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct opt opts[] = {
	{ "file", "FILE", 1 },
	{ "disk", "KEY=VALUE", 2, .repeat = true },
	{ "direct", NULL, 3, 'd' },
	{ "watch", "TIME", 4, .optional = true },
	{ 0 },
};

/* What the walk over a command line yields, as text: "id=value" or "id", and the error. */
static const char *walk(char *line)
{
	static char text[512];
	char *argv[16] = { NULL }, *word;
	struct opt_parser p = { .opts = opts, .argv = argv, .argc = 1, .next = 1 };
	const char *value;
	size_t len = 0;
	int id;

	for (word = strtok(line, " "); word; word = strtok(NULL, " "))
		argv[p.argc++] = word;
	text[0] = '\0';
	while ((id = opt_next(&p, &value)) > 0)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%d%s%s ", id,
					value ? "=" : "", value ? value : "");
	if (id < 0)
		snprintf(text + len, sizeof(text) - len, "%s", iol_error());
	return text;
}

static void command_lines(void **state)
{
	static const struct {
		const char *line, *result;
	} cases[] = {
		{ "", "" },
		{ "--file=a", "1=a " },
		{ "--file a b", "1=a 1000=b " },
		{ "--file=a=b", "1=a=b " },
		{ "--disk x --disk=y -d", "2=x 2=y 3 " },
		{ "-- --file -d", "1000=--file 1000=-d " },
		{ "- a", "1000=- 1000=a " },
		{ "--watch a", "4 1000=a " },
		{ "--watch=2s", "4=2s " },
		{ "--file", "--file needs a value: --file=FILE" },
		{ "--file=", "--file needs a value: --file=FILE" },
		{ "--direct=on", "--direct takes no value: leave out \"=on\"" },
		{ "-d --direct", "3 --direct is given twice: leave one out" },
		{ "--fiel=x", "unknown option --fiel: did you mean --file?" },
		{ "--dir", "unknown option --dir: did you mean --direct?" },
		{ "--xyzzy", "unknown option --xyzzy" },
		{ "-x", "unknown option -x" },
		{ "-dx", "unknown option -dx" },
		{ "--", "" },
		{ "--=", "unknown option --" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char line[64];

		snprintf(line, sizeof(line), "%s", cases[i].line);
		assert_string_equal(walk(line), cases[i].result);
	}
}

static const char *pairs(const char *list)
{
	static char text[256];
	char copy[128], *rest = copy, *key, *value;
	size_t len = 0;
	int rc;

	snprintf(copy, sizeof(copy), "%s", list);
	text[0] = '\0';
	while ((rc = opt_keyval(&rest, &key, &value)) > 0)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "[%s][%s]", key,
					value ? value : "NULL");
	if (rc < 0)
		snprintf(text + len, sizeof(text) - len, "!");
	return text;
}

static void key_value_lists(void **state)
{
	static const struct {
		const char *list, *result;
	} cases[] = {
		{ "", "" },
		{ "a=1", "[a][1]" },
		{ "a=1,b=2", "[a][1][b][2]" },
		{ "a=1,", "[a][1]" },
		{ "a=x,,y,b=2", "[a][x,y][b][2]" },
		{ "a=,,,b=2", "[a][,][b][2]" },
		{ "a=,,", "[a][,]" },
		{ "a=,b", "[a][][b][NULL]" },
		{ "a,b=1", "[a][NULL][b][1]" },
		{ "a=b=c", "[a][b=c]" },
		{ "=x", "!" },
		{ "a=1,=x", "[a][1]!" },
		{ ",a=1", "!" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(pairs(cases[i].list), cases[i].result);
}

static void times(void **state)
{
	static const struct {
		const char *text;
		int rc;
		unsigned int ms;
	} cases[] = {
		{ "30", 0, 30000 },
		{ "30s", 0, 30000 },
		{ "500ms", 0, 500 },
		{ "3600s", 0, 3600000 },
		{ "3601", -ERANGE, 0 },
		{ "0", -ERANGE, 0 },
		{ "99999999999", -ERANGE, 0 },
		{ "9999999999999999999999", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "ms", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "1m", -EINVAL, 0 },
		{ "1sec", -EINVAL, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned int ms = 0;

		assert_int_equal(opt_ms("--t", cases[i].text, &ms), cases[i].rc);
		assert_int_equal(ms, cases[i].ms);
	}
}

static void truth(void **state)
{
	bool on = false;

	assert_int_equal(opt_bool("x", NULL, &on), 0);
	assert_true(on);
	assert_int_equal(opt_bool("x", "off", &on), 0);
	assert_false(on);
	assert_int_equal(opt_bool("x", "true", &on), 0);
	assert_true(on);
	assert_int_equal(opt_bool("x", "", &on), -EINVAL);
	assert_int_equal(opt_bool("x", "ON", &on), -EINVAL);
	assert_string_equal(iol_error(), "x must be on or off, not \"ON\"");
}

static void near_words(void **state)
{
	static const char *const words[] = { "list", "resize",
					     "a-word-longer-than-any-that-is-typed" };
	const size_t n = sizeof(words) / sizeof(words[0]);

	assert_string_equal(opt_nearest("lsit", words, n, sizeof(words[0])), "list");
	assert_string_equal(opt_nearest("re-size", words, n, sizeof(words[0])), "resize");
	assert_string_equal(opt_nearest("re", words, n, sizeof(words[0])), "resize");
	assert_null(opt_nearest("quux", words, n, sizeof(words[0])));
	assert_null(opt_nearest("", words, n, sizeof(words[0])));
	assert_null(opt_nearest("a-word-longer-than-any-that-is-type", words, n, sizeof(words[0])));
}

static void cpus(void **state)
{
	static const char *const bad[] = {
		"",   "-",   "1-", "-1",    "3-2",  "1,",
		",1", "1 2", "x",  "1-2-3", "1024", "0-99999999999999",
	};
	cpu_set_t set;
	size_t i;

	assert_int_equal(opt_cpus("--c", "0,2-4,9", &set), 0);
	assert_int_equal(CPU_COUNT(&set), 5);
	assert_true(CPU_ISSET(0, &set) && CPU_ISSET(2, &set) && CPU_ISSET(4, &set) &&
		    CPU_ISSET(9, &set));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(opt_cpus("--c", bad[i], &set), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(command_lines), cmocka_unit_test(key_value_lists),
		cmocka_unit_test(times),         cmocka_unit_test(truth),
		cmocka_unit_test(near_words),    cmocka_unit_test(cpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
