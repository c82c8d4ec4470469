/* SPDX-License-Identifier: BSD-3-Clause */
/* What the verbs that change a host share: telling its steps to people and programs. */
#ifndef TOOLS_IOLANE_CHANGE_H
#define TOOLS_IOLANE_CHANGE_H

#include "device.h"

/** The options of such a verb, and their help. */
enum { CHANGE_DRY_RUN = VERB_OWN, CHANGE_VERBOSE, CHANGE_OWN };

#define CHANGE_OPTS                                                                                \
	{ "dry-run", NULL, CHANGE_DRY_RUN },                                                       \
	{                                                                                          \
		"verbose", NULL, CHANGE_VERBOSE, 'v'                                               \
	}

/* clang-format off */
#define CHANGE_OPTS_HELP                                                                         \
	"  --dry-run       only show the steps, and change nothing\n"                           \
	"  -v, --verbose   list each step as it is made\n"
/* clang-format on */

/**
 * struct change - A change on its way.
 * @addrs: the functions that were named, @count of them.
 * @steps: what was planned, made or undone, for JSON.
 * @planned, @begun: steps that are being made, or put back.
 * @looks: steps that are only planned are told with what they would interrupt, which @devices tells.
 * @interrupting: how many of those did. @noting: how many only note what goes with a VF, and are not shown to people.
 */
struct change {
	struct iol_host *host;
	struct iol_pci_addr *addrs;
	unsigned int count;
	struct iol_change_opts opts;
	bool verbose, json, looks;
	struct json_object *steps;
	struct devices devices;
	unsigned int planned, begun, interrupting, noting;
};

/** change_option() - Take one of CHANGE_OPTS, or OPT_WORD: the name of a function. 0 or a negative errno. */
int change_option(int id, const char *value);

/** change_open() - Open the host for a change. Return: PROG_OK, or the exit status after saying why. */
int change_open(const struct verb_args *a, struct change *c);

/** change_look() - If nothing is to be made, tell what each step would interrupt. Return: as above. */
int change_look(struct change *c);

/** change_is_dry() - Whether --dry-run was said. */
bool change_is_dry(void);

/** change_words() - What change_option() took as OPT_WORD. */
const char *const *change_words(unsigned int *count);

/**
 * change_begin() - Open the host, and find the functions that were named.
 * @needs_names: at least one must be.
 *
 * Return: PROG_OK, or the exit status after saying why.
 */
int change_begin(const struct verb_args *a, bool needs_names, struct change *c);
void change_end(struct change *c);

#define _cleanup_change_ _cleanup_(change_end)

/**
 * change_report() - Say how it ended: each function's driver, or all in JSON.
 * @changed: what the library returned.
 *
 * Return: the exit status.
 */
int change_report(struct change *c, int changed);

/** change_report_steps() - The same of what is told by its steps alone. */
int change_report_steps(struct change *c, int changed);

#endif
