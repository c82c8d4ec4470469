/* SPDX-License-Identifier: BSD-3-Clause */
/* Command lines: options from a table, KEY=VALUE lists, and what a mistyped word may have meant. */
#ifndef TOOLS_COMMON_OPT_H
#define TOOLS_COMMON_OPT_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct opt - One option.
 * @name: without the dashes.
 * @arg: what its value is called in sentences; NULL for an option without one.
 * @id: what opt_next() returns for it, above 0 and below 64.
 * @letter: also -LETTER, or 0.
 * @repeat: may be given more than once.
 * @optional: the value may be left out.
 */
struct opt {
	const char *name;
	const char *arg;
	int id;
	char letter;
	bool repeat;
	bool optional;
};

/**
 * struct opt_parser - The walk through a command line.
 * @opts: ends with a row without a name.
 * @next: index of the next argument, 1 at start.
 */
struct opt_parser {
	const struct opt *opts;
	int argc;
	char **argv;
	int next;
	bool only_words;
	uint64_t seen;
};

#define OPT_WORD 1000

/**
 * opt_next() - The next option or word.
 * @value: the option's value, NULL where there is none; or the word.
 *
 * Return: the option's id; OPT_WORD for an argument that is no option; 0 at the end; -EINVAL
 * with the sentence set for an unknown option, a missing or needless value, an option given twice.
 */
int opt_next(struct opt_parser *p, const char **value);

/**
 * opt_keyval() - Take the next KEY=VALUE off a list whose items commas separate. A doubled
 * comma is a comma of the value.
 * @list: *@list is moved on, and the text is changed in place.
 * @value: NULL for a bare KEY.
 *
 * Return: 1 with a pair, 0 at the end, -EINVAL with the sentence set.
 */
int opt_keyval(char **list, char **key, char **value);

/** opt_bool() - on, off, yes, no, true, false; NULL is on. 0 or -EINVAL with the sentence set. */
int opt_bool(const char *what, const char *text, bool *out);

/** opt_uint() - A whole number from @min to @max: 0, or -EINVAL or -ERANGE with the sentence set. */
int opt_uint(const char *what, const char *text, unsigned int min, unsigned int max,
	     unsigned int *out);

/** opt_seconds() - A number of seconds, fractions allowed, of at most a day. 0 or -EINVAL, sentence set. */
int opt_seconds(const char *what, const char *text, double *out);

/** opt_ms() - A time such as "30", "30s" or "500ms", in milliseconds, from 1 ms to an hour. */
int opt_ms(const char *what, const char *text, unsigned int *out);

/** opt_cpus() - A list of CPUs such as "0,2-3". 0 or -EINVAL with the sentence set. */
int opt_cpus(const char *what, const char *text, cpu_set_t *set);

/**
 * opt_nearest() - The word of a table that @word may have meant, or NULL when none is near.
 * @table: @count rows of @stride bytes, each starting with a const char * to its word.
 */
const char *opt_nearest(const char *word, const void *table, size_t count, size_t stride);

/**
 * opt_unknown() - Fail with "unknown WHAT WORD", and with what it may have meant.
 * @dashes: put right before the words: "--" or "".
 * Return: -EINVAL.
 */
int opt_unknown(const char *what, const char *dashes, const char *word, const void *table,
		size_t count, size_t stride);

#endif
