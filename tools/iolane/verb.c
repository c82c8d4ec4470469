/* SPDX-License-Identifier: BSD-3-Clause */
#include "verb.h"

#include "base/error.h"
#include "sibling.h"
#include "tools/common/ctl.h"
#include "tools/common/prog.h"

#include <string.h>

#define TIMEOUT_MS 60000

static const struct verb *find_verb(const struct verb_group *g, const char *name)
{
	unsigned int i;

	for (i = 0; i < g->num; i++) {
		if (!strcmp(g->rows[i].name, name))
			return g->rows[i].verb;
	}
	return NULL;
}

static int unknown_verb(const struct verb_group *g, const char *name)
{
	char what[32];

	snprintf(what, sizeof(what), "verb of iolane %s:", g->name);
	opt_unknown(what, "", name, g->rows, g->num, sizeof(g->rows[0]));
	return prog_usage();
}

/* "iolane blk --control=PATH list" means what it says too: bring its verb to the front. */
static void verb_first(const struct verb_group *g, int argc, char **argv)
{
	static const struct opt opts[] = { VERB_OPTS, { 0 } };
	struct opt_parser parser = { .opts = opts, .argc = argc, .argv = argv, .next = 1 };
	const char *value;
	char *verb;
	int id, i;

	do {
		id = opt_next(&parser, &value);
	} while (id > 0 && id != OPT_WORD && id != VERB_HELP);
	if (id != OPT_WORD || !find_verb(g, value))
		return;
	i = parser.next - 1;
	verb = argv[i];
	memmove(&argv[2], &argv[1], (size_t)(i - 1) * sizeof(*argv));
	argv[1] = verb;
}

int verb_help(const struct verb_group *g, const char *name)
{
	const struct verb *verb;
	unsigned int i;

	if (name) {
		verb = find_verb(g, name);
		return verb ? prog_print(verb->help) : unknown_verb(g, name);
	}
	if (g->program)
		printf("Usage: iolane %s VERB [ARGUMENT]...   steer a running %s\n"
		       "       iolane %s --OPTION...          start %s (see %s --help)\n"
		       "\n",
		       g->name, g->program, g->name, g->program, g->program);
	else
		printf("Usage: iolane %s VERB [ARGUMENT]...\n\n", g->name);
	for (i = 0; i < g->num; i++)
		printf("  %-9s %s\n", g->rows[i].name, g->rows[i].verb->line);
	printf("\n"
	       "Every verb takes:\n"
	       "%s\n"
	       "iolane help %s VERB says more about one.\n",
	       g->opts_help, g->name);
	return prog_flush();
}

static int parse_option(const struct verb *verb, struct verb_args *a, int id, const char *value)
{
	if (id >= VERB_OWN)
		return verb->option(id, value);
	switch (id) {
	case VERB_CONTROL:
		if (strlen(value) >= sizeof(a->control))
			return iol_fail(ENAMETOOLONG, "--control is too long for a socket's path");
		memcpy(a->control, value, strlen(value) + 1);
		return 0;
	case VERB_JSON:
		a->json = true;
		return 0;
	case VERB_TIMEOUT:
		return opt_ms("--timeout", value, &a->timeout_ms);
	case VERB_ROOT:
		a->root = value;
		return 0;
	case VERB_FORCE:
		a->force = true;
		return 0;
	default: /* VERB_WATCH */
		return opt_ms("--watch", value ? value : "1", &a->watch_ms);
	}
}

/* Return: 0, VERB_HELP when that is asked for, or a negative errno. */
static int parse(const struct verb_group *g, const struct verb *verb, struct verb_args *a, int argc,
		 char **argv)
{
	struct opt_parser parser = { .opts = verb->opts, .argc = argc, .argv = argv, .next = 1 };
	unsigned int words = 0;
	const char *value;
	int id, rc;

	if (g && g->program) {
		a->program = g->program;
		ctl_default_path(g->program, a->control, sizeof(a->control));
	}
	a->timeout_ms = TIMEOUT_MS;
	while ((id = opt_next(&parser, &value)) > 0) {
		if (id == VERB_HELP)
			return id;
		if (id != OPT_WORD || verb->many) {
			rc = parse_option(verb, a, id, value);
			if (rc < 0)
				return rc;
		} else if (words < VERB_WORDS_MAX && verb->words[words]) {
			a->words[words++] = value;
		} else {
			return iol_fail(EINVAL, "unexpected argument \"%s\": leave it out", value);
		}
	}
	if (id < 0)
		return id;
	if (words < verb->min_words)
		return iol_fail(EINVAL, "iolane %s%s%s needs %s", g ? g->name : "", g ? " " : "",
				verb->name, verb->words[words]);
	return 0;
}

int verb_run(const struct verb_group *g, const struct verb *verb, int argc, char **argv)
{
	struct verb_args args = { 0 };
	int rc;

	rc = parse(g, verb, &args, argc, argv);
	if (rc == VERB_HELP)
		return prog_print(verb->help);
	return rc < 0 ? prog_usage() : verb->run(&args);
}

int verb_main(const struct verb_group *g, int argc, char **argv)
{
	const struct verb *verb;

	if (argc < 2) {
		iol_fail(EINVAL, "iolane %s needs a verb, such as list%s%s", g->name,
			 g->program ? ", or options of " : "", g->program ? g->program : "");
		return prog_usage();
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return verb_help(g, NULL);
	if (g->program)
		verb_first(g, argc, argv);
	if (argv[1][0] == '-' && g->program) {
		sibling_exec(g->name, argv);
		return prog_fail();
	}
	verb = find_verb(g, argv[1]);
	if (!verb)
		return unknown_verb(g, argv[1]);
	return verb_run(g, verb, argc - 1, argv + 1);
}
