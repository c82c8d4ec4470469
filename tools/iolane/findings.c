/* SPDX-License-Identifier: BSD-3-Clause */
#include "findings.h"

#include "device.h"
#include "text.h"
#include "tools/common/ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *word;
	enum text_colour colour;
} states[] = {
	[CHECK_SILENT] = { "", TEXT_PLAIN },
	[CHECK_GOOD] = { "good", TEXT_GREEN },
	[CHECK_WARNING] = { "warning", TEXT_YELLOW },
	[CHECK_BAD] = { "bad", TEXT_RED },
};

/* Columns of the states, with the gap behind them. */
#define STATE_WIDTH 9

void finding(struct finding *f, enum check_state state, const char *where, const char *fmt, ...)
{
	va_list ap;

	f->state = state;
	snprintf(f->where, sizeof(f->where), "%s", where);
	va_start(ap, fmt);
	vsnprintf(f->found, sizeof(f->found), fmt, ap);
	va_end(ap);
}

void finding_mend(struct finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->mend, sizeof(f->mend), fmt, ap);
	va_end(ap);
}

static void print_finding(const char *name, const struct finding *f)
{
	const char *word = states[f->state].word;

	text_paint(states[f->state].colour, word);
	text_print(strlen(word), STATE_WIDTH, "%*s%s: %s (%s)", STATE_WIDTH - (int)strlen(word), "",
		   name, f->found, f->where);
	/* Not broken into lines: it is there to be copied. */
	if (f->mend[0])
		printf("%*s%s\n", STATE_WIDTH, "", f->mend);
}

static struct json_object *finding_json(const char *key, const char *name, const struct finding *f)
{
	struct json_object *o = json_object_new_object();

	ctl_add_string(o, "check", key);
	ctl_add_string(o, "name", name);
	ctl_add_string(o, "state", states[f->state].word);
	ctl_add_string(o, "found", f->found);
	ctl_add_string(o, "where", f->where);
	add_text(o, "mend", f->mend);
	return o;
}

void findings_add(struct findings *all, const char *key, const char *name, const struct finding *f)
{
	all->counts[f->state]++;
	if (f->state == CHECK_SILENT)
		return;
	if (all->json)
		json_object_array_add(all->list, finding_json(key, name, f));
	else
		print_finding(name, f);
}

const char *findings_plural(unsigned int n)
{
	return n == 1 ? "" : "s";
}
