/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Verbs. Those of a program's group speak to its control socket: "iolane blk list" to that of iolane-blk. The others
 * speak of the host: "iolane list", "iolane vf list".
 */
#ifndef TOOLS_IOLANE_VERB_H
#define TOOLS_IOLANE_VERB_H

#include "tools/common/opt.h"

#include <json-c/json_object.h>

#define VERB_WORDS_MAX 2

/**
 * struct verb_args - What the command line of a verb says.
 * @program: whose control socket it is; NULL without a group.
 * @control: the control socket's path.
 * @root: the folder that holds the host's files; NULL for this machine.
 * @words: its arguments that are no options; NULL for those left out.
 */
struct verb_args {
	const char *program;
	char control[256];
	const char *root;
	bool json;
	unsigned int timeout_ms;
	bool force;
	unsigned int watch_ms;
	const char *words[VERB_WORDS_MAX];
};

/**
 * struct verb - One verb.
 * @line: what it does, for the list of verbs.
 * @help: all of its help.
 * @opts: its options, with VERB_OPTS or HOST_OPTS among them.
 * @words: names of its arguments, for sentences; @min_words of them are needed.
 * @many: it takes any number of arguments, as OPT_WORD of @option.
 * @option: takes an option of its own, from VERB_OWN on: 0, or a negative errno with the sentence set.
 * @run: does it and returns the exit status, after saying what went wrong.
 */
struct verb {
	const char *name;
	const char *line;
	const char *help;
	const struct opt *opts;
	const char *words[VERB_WORDS_MAX];
	unsigned int min_words;
	bool many;
	int (*option)(int id, const char *value);
	int (*run)(const struct verb_args *a);
};

/** struct verb_row - A row a verb; the name stands first for what looks for a near one. */
struct verb_row {
	const char *name;
	const struct verb *verb;
};

/**
 * struct verb_group - The verbs of one program.
 * @name: "blk" for "iolane blk".
 * @program: "iolane-blk"; NULL for verbs that speak of the host.
 * @opts_help: VERB_OPTS_HELP for it, or HOST_OPTS_HELP.
 */
struct verb_group {
	const char *name;
	const char *program;
	const char *opts_help;
	const struct verb_row *rows;
	unsigned int num;
};

extern const struct verb_group blk_group, net_group, vf_group, vm_group;
extern const struct verb host_list, host_show, host_check, host_bind, host_unbind, host_undo,
	host_plan, host_apply, host_drift, host_export, host_lease, host_release;

enum {
	VERB_CONTROL = 1,
	VERB_JSON,
	VERB_TIMEOUT,
	VERB_FORCE,
	VERB_WATCH,
	VERB_ROOT,
	VERB_HELP,
	VERB_OWN = 16,
};

/* clang-format off */
/* The options of every verb of a group, and their help. */
#define VERB_OPTS                               \
	{ "control", "PATH", VERB_CONTROL },    \
	{ "json", NULL, VERB_JSON },            \
	{ "timeout", "TIME", VERB_TIMEOUT },    \
	{ "help", NULL, VERB_HELP, 'h' }

#define VERB_OPTS_HELP(program)                                                                  \
	"  --control=PATH   the control socket of " program "\n"                                 \
	"                   (default $XDG_RUNTIME_DIR/" program ".sock, else /run/" program ".sock)\n" \
	"  --json           print JSON\n"                                                        \
	"  --timeout=TIME   wait so long for the answer (default 60s)\n"                         \
	"  --help           this text\n"

/* The same of verbs that look at the host. */
#define HOST_OPTS                               \
	{ "json", NULL, VERB_JSON },            \
	{ "root", "DIR", VERB_ROOT },           \
	{ "help", NULL, VERB_HELP, 'h' }

#define HOST_OPTS_HELP                                                                           \
	"  --json          print JSON\n"                                                         \
	"  --root=DIR      look at a copy of a machine's files: DIR/sys, DIR/proc, ...\n" \
	"  --help          this text\n"
/* clang-format on */

/** verb_main() - A group's command: @argv[0] is its name. Return: the exit status. */
int verb_main(const struct verb_group *g, int argc, char **argv);

/**
 * verb_run() - One verb: @argv[0] is its name.
 * @g: its group, or NULL.
 *
 * Return: the exit status.
 */
int verb_run(const struct verb_group *g, const struct verb *verb, int argc, char **argv);

/** verb_help() - Print the help of a group, or of its verb @name. Return: the exit status. */
int verb_help(const struct verb_group *g, const char *name);

/** verb_request() - A new request for a command of the control socket. */
struct json_object *verb_request(const char *cmd);

/**
 * verb_call() - Send a request, which is freed, and wait for its result.
 * Return: PROG_OK and *@result for the caller to free, or the exit status after saying why.
 */
int verb_call(const struct verb_args *a, struct json_object *request, struct json_object **result);

/**
 * verb_settings() - Read KEY=VALUE,… into an object of strings; a KEY alone is true.
 * @is_path: whether the value of a key is a path, which is made absolute: the program that is
 *           asked has another working folder.
 *
 * Return: 0 and *@settings, or a negative errno with the sentence set.
 */
int verb_settings(const char *text, bool (*is_path)(const char *key, const char *value),
		  struct json_object **settings);

/** verb_print_json() - Print a result and free it. Return: the exit status. */
int verb_print_json(struct json_object *result);

/**
 * verb_stats() - Ask for "stats", of the first word or of all, and print them: once, or as @watch_ms says
 * until the other side ends.
 * @print: for people; @before is NULL, or what the last answer was.
 */
int verb_stats(const struct verb_args *a,
	       void (*print)(struct json_object *now, struct json_object *before));

/* Fields of a result; an empty value where the other side left one out. */
struct json_object *field(struct json_object *o, const char *key);
const char *field_string(struct json_object *o, const char *key);
uint64_t field_count(struct json_object *o, const char *key);
double field_number(struct json_object *o, const char *key);
bool field_bool(struct json_object *o, const char *key);

/** field_growth() - By how much a count has grown; all of it where it started again from zero. */
uint64_t field_growth(struct json_object *now, struct json_object *before, const char *key);

/** array_length() - Elements of what may be an array. */
size_t array_length(struct json_object *array);

/** array_find() - The element of an array of objects whose field @key says @text; NULL for none. */
struct json_object *array_find(struct json_object *array, const char *key, const char *text);

#endif
