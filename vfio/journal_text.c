/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio/journal_text.h"

#include "base/own.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEAD "iolane-journal-1"

static const char *const mark_names[] = {
	[STEP_BEGUN] = "begun",
	[STEP_DONE] = "done",
	[STEP_UNDONE] = "undone",
};

struct iol_entry *iol_entry_new(unsigned int count)
{
	struct iol_entry *e;

	if (count > JOURNAL_STEPS)
		return NULL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->fd = -1;
	e->count = count;
	e->steps = calloc(count + 1, sizeof(*e->steps));
	e->marks = calloc(count + 1, sizeof(*e->marks));
	if (!e->steps || !e->marks)
		iol_entry_free(&e);
	return e;
}

void iol_entry_free(struct iol_entry **entry)
{
	struct iol_entry *e = iol_take_ptr(*entry);

	if (!e)
		return;
	iol_close(&e->fd);
	free(e->steps);
	free(e->marks);
	free(e);
}

static const char *encode(const char *text, char word[JOURNAL_WORD_MAX])
{
	char *w = word;

	if (!*text || !strcmp(text, "-"))
		return *text ? "%2D" : "-";
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c > ' ' && c < 0x7f && c != '%')
			*w++ = (char)c;
		else
			w += snprintf(w, 4, "%%%02X", c);
	}
	*w = '\0';
	return word;
}

static int decode(const char *word, char *text, size_t len)
{
	size_t n = 0;

	if (!word || !*word)
		return -EBADMSG;
	if (!strcmp(word, "-"))
		word = "";
	for (; *word; word++) {
		unsigned int c = (unsigned char)*word;

		if (c == '%') {
			if (strspn(word + 1, "0123456789ABCDEF") < 2 ||
			    sscanf(word + 1, "%2X", &c) != 1 || !c)
				return -EBADMSG;
			word += 2;
		}
		if (n + 1 >= len)
			return -EBADMSG;
		text[n++] = (char)c;
	}
	text[n] = '\0';
	return 0;
}

char *iol_entry_text(const struct iol_entry *entry, const char *boot)
{
	size_t room = JOURNAL_LINE_MAX * (entry->count + 1ul), n;
	char *text = malloc(room), w[4][JOURNAL_WORD_MAX];
	unsigned int i;

	if (!text)
		return NULL;
	n = (size_t)snprintf(text, room, HEAD " %s %s %u\n", boot, encode(entry->verb, w[0]),
			     entry->count);
	for (i = 0; i < entry->count; i++) {
		const struct iol_step *s = &entry->steps[i];

		n += (size_t)snprintf(text + n, room - n, "step %s %s %s %s\n",
				      encode(s->kind, w[0]), encode(s->what, w[1]),
				      encode(s->value, w[2]), encode(s->was, w[3]));
	}
	return text;
}

void iol_entry_mark_text(const struct iol_entry *entry, unsigned int step, enum iol_step_mark mark,
			 char line[JOURNAL_LINE_MAX])
{
	char word[JOURNAL_WORD_MAX];

	if (mark == STEP_BEGUN)
		snprintf(line, JOURNAL_LINE_MAX, "%s %u %s\n", mark_names[mark], step,
			 encode(entry->steps[step].was, word));
	else
		snprintf(line, JOURNAL_LINE_MAX, "%s %u\n", mark_names[mark], step);
}

static int number(const char *word, unsigned int *n)
{
	int end = 0;

	if (!word || *word < '0' || *word > '9' || sscanf(word, "%9u%n", n, &end) != 1 || word[end])
		return -EBADMSG;
	return 0;
}

static int parse_head(char *line, const char *boot, struct iol_entry **entry)
{
	char *rest = line, verb[JOURNAL_VERB_MAX];
	const char *head = strsep(&rest, " "), *its_boot = strsep(&rest, " ");
	unsigned int count;

	if (!its_boot || strcmp(head, HEAD) != 0)
		return -EBADMSG;
	if (strcmp(its_boot, boot) != 0)
		return -ESTALE;
	if (decode(strsep(&rest, " "), verb, sizeof(verb)) || number(rest, &count) ||
	    count > JOURNAL_STEPS)
		return -EBADMSG;
	*entry = iol_entry_new(count);
	if (!*entry)
		return -ENOMEM;
	strcpy((*entry)->verb, verb);
	return 0;
}

static int parse_step(char *line, struct iol_step *s)
{
	char *rest = line;
	const char *word = strsep(&rest, " ");

	if (strcmp(word, "step") != 0 || decode(strsep(&rest, " "), s->kind, sizeof(s->kind)) ||
	    decode(strsep(&rest, " "), s->what, sizeof(s->what)) ||
	    decode(strsep(&rest, " "), s->value, sizeof(s->value)) ||
	    decode(strsep(&rest, " "), s->was, sizeof(s->was)) || rest)
		return -EBADMSG;
	return 0;
}

/* Whether a step can come from one mark to the other. */
static bool follows(enum iol_step_mark was, enum iol_step_mark mark)
{
	switch (mark) {
	case STEP_BEGUN:
		return was != STEP_UNDONE;
	case STEP_DONE:
		return was == STEP_BEGUN;
	default:
		return was == STEP_BEGUN || was == STEP_DONE;
	}
}

static int parse_mark(char *line, struct iol_entry *e)
{
	char *rest = line;
	const char *name = strsep(&rest, " ");
	enum iol_step_mark mark;
	unsigned int i;

	for (mark = STEP_BEGUN; strcmp(name, mark_names[mark]) != 0; mark++) {
		if (mark == STEP_UNDONE)
			return -EBADMSG;
	}
	if (number(strsep(&rest, " "), &i) || i >= e->count || !follows(e->marks[i], mark))
		return -EBADMSG;
	if (mark == STEP_BEGUN &&
	    decode(strsep(&rest, " "), e->steps[i].was, sizeof(e->steps[i].was)))
		return -EBADMSG;
	if (rest)
		return -EBADMSG;
	e->marks[i] = mark;
	return 0;
}

int iol_entry_parse(char *text, const char *boot, struct iol_entry **entry, unsigned int *line)
{
	_cleanup_entry_ struct iol_entry *e = NULL;
	char *rest = text, *word;
	int rc;

	*line = 1;
	word = strsep(&rest, "\n");
	/* Without a line's end the head is not whole. */
	rc = rest ? parse_head(word, boot, &e) : -EBADMSG;
	/* Behind the last line's end there is an empty one. */
	while (!rc && (word = strsep(&rest, "\n")) && rest) {
		unsigned int i = (*line)++ - 1;

		rc = i < e->count ? parse_step(word, &e->steps[i]) : parse_mark(word, e);
	}
	if (!rc && *line <= e->count)
		rc = -EBADMSG;
	if (rc)
		return rc;
	*entry = iol_take_ptr(e);
	return 0;
}
