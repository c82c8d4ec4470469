/* SPDX-License-Identifier: BSD-3-Clause */
/* How an entry of the journal is written: a head, a line a step, a line a mark; words as in URLs, "-" for an empty one. */
#ifndef IOL_VFIO_JOURNAL_TEXT_H
#define IOL_VFIO_JOURNAL_TEXT_H

#include "vfio/journal.h"

/* A word takes three bytes a character at most. */
#define JOURNAL_WORD_MAX (3 * IOL_NAME_MAX)
#define JOURNAL_LINE_MAX (4 * JOURNAL_WORD_MAX + 32)
/* A thousand VFs that go and come again, with all that can be said of each. */
#define JOURNAL_STEPS 32768u

/** iol_entry_new() - An entry with room for steps; NULL without memory, or when they are too many. */
struct iol_entry *iol_entry_new(unsigned int count);

/** iol_entry_text() - Head and steps, for the caller to free; NULL without memory. */
char *iol_entry_text(const struct iol_entry *entry, const char *boot);

/** iol_entry_mark_text() - The line that says that @step has come to @mark. */
void iol_entry_mark_text(const struct iol_entry *entry, unsigned int step, enum iol_step_mark mark,
			 char line[JOURNAL_LINE_MAX]);

/**
 * iol_entry_parse() - Read an entry; @text is changed. No number and no file is set in it.
 *
 * Return: 0; -ESTALE: it is of another boot; -EBADMSG: it is none from @line on, counted from 1; -ENOMEM. No sentence.
 */
int iol_entry_parse(char *text, const char *boot, struct iol_entry **entry, unsigned int *line);

#endif
