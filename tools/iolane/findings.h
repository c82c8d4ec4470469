/* SPDX-License-Identifier: BSD-3-Clause */
/* What a doctor found: a line each, good, warning or bad, and the line that mends it. */
#ifndef TOOLS_IOLANE_FINDINGS_H
#define TOOLS_IOLANE_FINDINGS_H

#include <stdbool.h>

struct json_object;

enum check_state {
	CHECK_SILENT, /* there is nothing to say: not printed */
	CHECK_GOOD,
	CHECK_WARNING, /* works, but worse than it could */
	CHECK_BAD,     /* it does not work, or is not safe */
};

/**
 * struct finding - What a check found.
 * @found: a sentence. @where: the file it was read in. @mend: the line that mends it, or empty.
 */
struct finding {
	enum check_state state;
	char found[512], where[256], mend[512];
};

/** finding() - Fill in all but what mends it. */
void finding(struct finding *f, enum check_state state, const char *where, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/** finding_mend() - Fill in what mends it. */
void finding_mend(struct finding *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/**
 * struct findings - Those of one examination.
 * @json: they are kept for JSON, in @list, and not printed.
 * @counts: how many of each state.
 */
struct findings {
	bool json;
	struct json_object *list;
	unsigned int counts[CHECK_BAD + 1];
};

/**
 * findings_add() - Print a finding, or keep it.
 * @key: of the check, for programs. @name: for people.
 */
void findings_add(struct findings *all, const char *key, const char *name, const struct finding *f);

/** findings_plural() - "s", but of one thing "". */
const char *findings_plural(unsigned int n);

#endif
