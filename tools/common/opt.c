/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/common/opt.h"

#include "base/error.h"
#include "base/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_MAX 86400

static size_t count_opts(const struct opt *opts)
{
	size_t n = 0;

	while (opts[n].name)
		n++;
	return n;
}

static const struct opt *find_long(const struct opt *opts, const char *name, size_t len)
{
	const struct opt *o;

	for (o = opts; o->name; o++) {
		if (strlen(o->name) == len && !memcmp(o->name, name, len))
			return o;
	}
	return NULL;
}

static const struct opt *find_letter(const struct opt *opts, char letter)
{
	const struct opt *o;

	for (o = opts; o->name; o++) {
		if (o->letter == letter)
			return o;
	}
	return NULL;
}

static int unknown_long(const struct opt_parser *p, const char *name, size_t len)
{
	char word[64];

	if (len >= sizeof(word))
		len = sizeof(word) - 1;
	memcpy(word, name, len);
	word[len] = '\0';
	return opt_unknown("option", "--", word, p->opts, count_opts(p->opts), sizeof(*p->opts));
}

int opt_next(struct opt_parser *p, const char **value)
{
	const struct opt *o;
	const char *arg, *eq = NULL;

	*value = NULL;
	if (p->next >= p->argc)
		return 0;
	arg = p->argv[p->next++];
	if (!p->only_words && !strcmp(arg, "--")) {
		p->only_words = true;
		return opt_next(p, value);
	}
	if (p->only_words || arg[0] != '-' || !arg[1]) {
		*value = arg;
		return OPT_WORD;
	}
	if (arg[1] == '-') {
		size_t len = strcspn(arg + 2, "=");

		o = find_long(p->opts, arg + 2, len);
		if (!o)
			return unknown_long(p, arg + 2, len);
		if (arg[2 + len])
			eq = arg + 2 + len + 1;
	} else {
		o = arg[2] ? NULL : find_letter(p->opts, arg[1]);
		if (!o)
			return iol_fail(EINVAL, "unknown option %s", arg);
	}
	if (!o->repeat && p->seen & 1ull << o->id)
		return iol_fail(EINVAL, "--%s is given twice: leave one out", o->name);
	p->seen |= 1ull << o->id;

	if (!o->arg && eq)
		return iol_fail(EINVAL, "--%s takes no value: leave out \"=%s\"", o->name, eq);
	if (o->arg && !eq && !o->optional && p->next < p->argc)
		eq = p->argv[p->next++];
	if (o->arg && !o->optional && (!eq || !*eq))
		return iol_fail(EINVAL, "--%s needs a value: --%s=%s", o->name, o->name, o->arg);
	*value = eq;
	return o->id;
}

int opt_keyval(char **list, char **key, char **value)
{
	char *in = *list, *out;

	if (!*in)
		return 0;
	*key = in;
	*value = NULL;
	in += strcspn(in, "=,");
	if (in == *key)
		return iol_fail(EINVAL, "\"%s\" lacks a name before its \"%c\": write KEY=VALUE",
				*key, *in);
	if (*in == '=') {
		*in++ = '\0';
		*value = out = in;
		while (*in && (*in != ',' || in[1] == ',')) {
			if (*in == ',')
				in++;
			*out++ = *in++;
		}
		*list = *in ? in + 1 : in;
		*out = '\0';
	} else {
		*list = *in ? in + 1 : in;
		*in = '\0';
	}
	return 1;
}

int opt_bool(const char *what, const char *text, bool *out)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = {
		{ "on", true },  { "off", false }, { "yes", true },
		{ "no", false }, { "true", true }, { "false", false },
	};
	size_t i;

	*out = true;
	if (!text)
		return 0;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcmp(text, words[i].word)) {
			*out = words[i].value;
			return 0;
		}
	}
	return iol_fail(EINVAL, "%s must be on or off, not \"%s\"", what, text);
}

int opt_uint(const char *what, const char *text, unsigned int min, unsigned int max,
	     unsigned int *out)
{
	uint64_t n;
	int rc;

	rc = iol_parse_uint(what, text, min, max, &n);
	if (!rc)
		*out = (unsigned int)n;
	return rc;
}

int opt_seconds(const char *what, const char *text, double *out)
{
	char *end;
	double v;

	v = strtod(text, &end);
	if (end == text || *end || !(v >= 0 && v <= SECONDS_MAX))
		return iol_fail(EINVAL, "%s must be seconds, from 0 to %d, not \"%s\"", what,
				SECONDS_MAX, text);
	*out = v;
	return 0;
}

int opt_ms(const char *what, const char *text, unsigned int *out)
{
	size_t digits = strspn(text, "0123456789");
	const char *unit = text + digits;
	uint64_t n, scale = 1000;
	char number[16];

	if (!strcmp(unit, "ms"))
		scale = 1;
	else if (*unit && strcmp(unit, "s") != 0)
		digits = 0;
	if (!digits || digits >= sizeof(number))
		return iol_fail(EINVAL, "%s must be a time such as 30s or 500ms, not \"%s\"", what,
				text);
	memcpy(number, text, digits);
	number[digits] = '\0';
	n = strtoull(number, NULL, 10) * scale;
	if (!n || n > 3600 * 1000)
		return iol_fail(ERANGE, "%s must be from 1ms to 3600s, not %s", what, text);
	*out = (unsigned int)n;
	return 0;
}

/* A CPU's number, and what follows it; NULL for none. */
static const char *read_cpu(const char *s, unsigned int *n)
{
	char *end;

	if (*s < '0' || *s > '9')
		return NULL;
	*n = (unsigned int)strtoul(s, &end, 10);
	return *n < CPU_SETSIZE ? end : NULL;
}

int opt_cpus(const char *what, const char *text, cpu_set_t *set)
{
	const char *s = text;

	CPU_ZERO(set);
	while (s) {
		unsigned int from = 0, to, i;

		s = read_cpu(s, &from);
		to = from;
		if (s && *s == '-')
			s = read_cpu(s + 1, &to);
		if (!s || to < from || (*s && *s != ','))
			break;
		for (i = from; i <= to; i++)
			CPU_SET(i, set);
		if (!*s)
			return 0;
		s++;
	}
	return iol_fail(EINVAL, "%s must be a list of CPUs such as 0,2-3, not \"%s\"", what, text);
}

#define WORD_MAX 32

/* Edit distance where two swapped neighbours count once; words of at most WORD_MAX letters. */
static unsigned int distance(const char *a, size_t la, const char *b, size_t lb)
{
	unsigned int d[WORD_MAX + 1][WORD_MAX + 1];
	size_t i, j;

	for (i = 0; i <= la; i++)
		d[i][0] = (unsigned int)i;
	for (j = 0; j <= lb; j++)
		d[0][j] = (unsigned int)j;
	for (i = 1; i <= la; i++) {
		for (j = 1; j <= lb; j++) {
			unsigned int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

			if (d[i - 1][j] + 1 < best)
				best = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < best)
				best = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	}
	return d[la][lb];
}

const char *opt_nearest(const char *word, const void *table, size_t count, size_t stride)
{
	const char *nearest = NULL;
	unsigned int best = ~0u;
	size_t len = strlen(word), i;

	if (!len || len > WORD_MAX)
		return NULL;
	for (i = 0; i < count; i++) {
		const char *known;
		size_t known_len;
		unsigned int d;

		memcpy(&known, (const char *)table + i * stride, sizeof(known));
		known_len = strlen(known);
		if (known_len > WORD_MAX)
			continue;
		d = distance(word, len, known, known_len);
		/* The start of a word stands for it, but a slip of the finger is nearer. */
		if (len >= 2 && len < known_len && !memcmp(word, known, len) && d > 1)
			d = 1;
		if (d < best && d <= 1 + len / 3) {
			best = d;
			nearest = known;
		}
	}
	return nearest;
}

int opt_unknown(const char *what, const char *dashes, const char *word, const void *table,
		size_t count, size_t stride)
{
	const char *nearest = opt_nearest(word, table, count, stride);

	if (nearest)
		return iol_fail(EINVAL, "unknown %s %s%s: did you mean %s%s?", what, dashes, word,
				dashes, nearest);
	return iol_fail(EINVAL, "unknown %s %s%s", what, dashes, word);
}
