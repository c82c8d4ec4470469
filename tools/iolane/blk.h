/* SPDX-License-Identifier: BSD-3-Clause */
/* The verbs of "iolane blk", which speak to the control socket of a running iolane-blk. */
#ifndef TOOLS_IOLANE_BLK_H
#define TOOLS_IOLANE_BLK_H

#include "tools/common/opt.h"

#include <json-c/json_object.h>

#define BLK_WORDS_MAX 2

/**
 * struct blk_args - What the command line of a verb says.
 * @control: the control socket's path.
 * @words: its arguments that are no options; NULL for those left out.
 */
struct blk_args {
	char control[256];
	bool json;
	unsigned int timeout_ms;
	bool force;
	unsigned int watch_ms;
	const char *words[BLK_WORDS_MAX];
};

/**
 * struct blk_verb - One verb.
 * @line: what it does, for the list of verbs.
 * @help: all of its help.
 * @opts: its options, with BLK_OPTS among them.
 * @words: names of its arguments, for sentences; @min_words of them are needed.
 * @run: does it and returns the exit status, after saying what went wrong.
 */
struct blk_verb {
	const char *name;
	const char *line;
	const char *help;
	const struct opt *opts;
	const char *words[BLK_WORDS_MAX];
	unsigned int min_words;
	int (*run)(const struct blk_args *a);
};

extern const struct blk_verb blk_add, blk_del, blk_list, blk_resize, blk_stats;

enum {
	BLK_CONTROL = 1,
	BLK_JSON,
	BLK_TIMEOUT,
	BLK_FORCE,
	BLK_WATCH,
	BLK_HELP,
};

/* clang-format off */
/* The options of every verb, and their help. */
#define BLK_OPTS                               \
	{ "control", "PATH", BLK_CONTROL },    \
	{ "json", NULL, BLK_JSON },            \
	{ "timeout", "TIME", BLK_TIMEOUT },    \
	{ "help", NULL, BLK_HELP, 'h' }

#define BLK_OPTS_HELP                                                                            \
	"  --control=PATH   the control socket of iolane-blk\n"                                  \
	"                   (default $XDG_RUNTIME_DIR/iolane-blk.sock, else /run/iolane-blk.sock)\n" \
	"  --json           print JSON\n"                                                        \
	"  --timeout=TIME   wait so long for the answer (default 60s)\n"                         \
	"  --help           this text\n"
/* clang-format on */

/** blk_main() - "iolane blk": @argv[0] is "blk". Return: the exit status. */
int blk_main(int argc, char **argv);

/** blk_help() - Print the help of "iolane blk", or of one of its verbs. Return: the exit status. */
int blk_help(const char *verb);

/** blk_request() - A new request for a command of the control socket. */
struct json_object *blk_request(const char *cmd);

/**
 * blk_call() - Send a request, which is freed, and wait for its result.
 * Return: PROG_OK and *@result for the caller to free, or the exit status after saying why.
 */
int blk_call(const struct blk_args *a, struct json_object *request, struct json_object **result);

/** blk_print_json() - Print a result and free it. Return: the exit status. */
int blk_print_json(struct json_object *result);

/* Fields of a result; an empty value where the other side left one out. */
struct json_object *blk_get(struct json_object *o, const char *key);
const char *blk_get_string(struct json_object *o, const char *key);
uint64_t blk_get_count(struct json_object *o, const char *key);
double blk_get_number(struct json_object *o, const char *key);
bool blk_get_bool(struct json_object *o, const char *key);

#endif
