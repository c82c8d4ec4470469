/* SPDX-License-Identifier: BSD-3-Clause */
#include "blk.h"

#include "base/error.h"
#include "sibling.h"
#include "tools/common/ctl.h"
#include "tools/common/prog.h"

#include <errno.h>
#include <string.h>

#define TIMEOUT_MS 60000

/* A row a verb; the name stands first for what looks for a near one. */
static const struct {
	const char *name;
	const struct blk_verb *verb;
} verbs[] = {
	{ "add", &blk_add },       { "del", &blk_del },     { "list", &blk_list },
	{ "resize", &blk_resize }, { "stats", &blk_stats },
};

#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static const struct blk_verb *find_verb(const char *name)
{
	unsigned int i;

	for (i = 0; i < VERBS; i++) {
		if (!strcmp(verbs[i].name, name))
			return verbs[i].verb;
	}
	return NULL;
}

static int unknown_verb(const char *name)
{
	opt_unknown("verb of iolane blk:", "", name, verbs, VERBS, sizeof(verbs[0]));
	return prog_usage();
}

/* "iolane blk --control=PATH list" means what it says too: bring its verb to the front. */
static void verb_first(int argc, char **argv)
{
	static const struct opt opts[] = { BLK_OPTS, { 0 } };
	struct opt_parser parser = { .opts = opts, .argc = argc, .argv = argv, .next = 1 };
	const char *value;
	char *verb;
	int id, i;

	do {
		id = opt_next(&parser, &value);
	} while (id > 0 && id != OPT_WORD && id != BLK_HELP);
	if (id != OPT_WORD || !find_verb(value))
		return;
	i = parser.next - 1;
	verb = argv[i];
	memmove(&argv[2], &argv[1], (size_t)(i - 1) * sizeof(*argv));
	argv[1] = verb;
}

int blk_help(const char *name)
{
	const struct blk_verb *verb;
	unsigned int i;

	if (name) {
		verb = find_verb(name);
		return verb ? prog_print(verb->help) : unknown_verb(name);
	}
	printf("Usage: iolane blk VERB [ARGUMENT]...   steer a running iolane-blk\n"
	       "       iolane blk --OPTION...          start iolane-blk (see iolane-blk --help)\n"
	       "\n");
	for (i = 0; i < VERBS; i++)
		printf("  %-8s %s\n", verbs[i].name, verbs[i].verb->line);
	printf("\n"
	       "Every verb takes:\n" BLK_OPTS_HELP "\n"
	       "iolane help blk VERB says more about one.\n");
	return prog_flush();
}

static int parse_option(struct blk_args *a, int id, const char *value)
{
	switch (id) {
	case BLK_CONTROL:
		if (strlen(value) >= sizeof(a->control))
			return iol_fail(ENAMETOOLONG, "--control is too long for a socket's path");
		memcpy(a->control, value, strlen(value) + 1);
		return 0;
	case BLK_JSON:
		a->json = true;
		return 0;
	case BLK_TIMEOUT:
		return opt_ms("--timeout", value, &a->timeout_ms);
	case BLK_FORCE:
		a->force = true;
		return 0;
	default: /* BLK_WATCH */
		return opt_ms("--watch", value ? value : "1", &a->watch_ms);
	}
}

/* Return: 0, BLK_HELP when that is asked for, or a negative errno. */
static int parse(const struct blk_verb *verb, struct blk_args *a, int argc, char **argv)
{
	struct opt_parser parser = { .opts = verb->opts, .argc = argc, .argv = argv, .next = 1 };
	unsigned int words = 0;
	const char *value;
	int id, rc;

	ctl_default_path("iolane-blk", a->control, sizeof(a->control));
	a->timeout_ms = TIMEOUT_MS;
	while ((id = opt_next(&parser, &value)) > 0) {
		if (id == BLK_HELP)
			return id;
		if (id != OPT_WORD) {
			rc = parse_option(a, id, value);
			if (rc < 0)
				return rc;
		} else if (words < BLK_WORDS_MAX && verb->words[words]) {
			a->words[words++] = value;
		} else {
			return iol_fail(EINVAL, "unexpected argument \"%s\": leave it out", value);
		}
	}
	if (id < 0)
		return id;
	if (words < verb->min_words)
		return iol_fail(EINVAL, "iolane blk %s needs %s", verb->name, verb->words[words]);
	return 0;
}

int blk_main(int argc, char **argv)
{
	const struct blk_verb *verb;
	struct blk_args args = { 0 };
	int rc;

	if (argc < 2) {
		iol_fail(EINVAL, "iolane blk needs a verb, such as list, or options of iolane-blk");
		return prog_usage();
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return blk_help(NULL);
	verb_first(argc, argv);
	if (argv[1][0] == '-') {
		sibling_exec("blk", argv);
		return prog_fail();
	}
	verb = find_verb(argv[1]);
	if (!verb)
		return unknown_verb(argv[1]);
	rc = parse(verb, &args, argc - 1, argv + 1);
	if (rc == BLK_HELP)
		return prog_print(verb->help);
	return rc < 0 ? prog_usage() : verb->run(&args);
}

struct json_object *blk_request(const char *cmd)
{
	struct json_object *request = json_object_new_object();

	json_object_object_add(request, "cmd", json_object_new_string(cmd));
	return request;
}

int blk_call(const struct blk_args *a, struct json_object *request, struct json_object **result)
{
	int rc;

	rc = ctl_call(a->control, request, a->timeout_ms, result);
	json_object_put(request);
	return rc < 0 ? prog_fail() : PROG_OK;
}

int blk_print_json(struct json_object *result)
{
	printf("%s\n", json_object_to_json_string_ext(
			       result, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
					       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(result);
	return prog_flush();
}

struct json_object *blk_get(struct json_object *o, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(o, key, &value);
	return value;
}

const char *blk_get_string(struct json_object *o, const char *key)
{
	const char *text = json_object_get_string(blk_get(o, key));

	return text ? text : "";
}

uint64_t blk_get_count(struct json_object *o, const char *key)
{
	return json_object_get_uint64(blk_get(o, key));
}

double blk_get_number(struct json_object *o, const char *key)
{
	return json_object_get_double(blk_get(o, key));
}

bool blk_get_bool(struct json_object *o, const char *key)
{
	return json_object_get_boolean(blk_get(o, key));
}
