/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Settings of a thing that a program serves, of which there may be many. They come in three ways, from one
 * table: by options of the command line, for one thing; by an option whose value is KEY=VALUE,…, for
 * each of many; and by the control socket, as an object of strings.
 */
#ifndef TOOLS_COMMON_SETTINGS_H
#define TOOLS_COMMON_SETTINGS_H

#include "tools/common/opt.h"

#include <json-c/json_object.h>

/**
 * struct setting - One of them.
 * @key: its name in KEY=VALUE.
 * @option: its name as an option of the command line, without the dashes; NULL for one that is none: such
 *          rows come last.
 * @arg: what its value is called in sentences; NULL for one that is on or off.
 * @set: checks a value and stores it in the field at @offset. NULL is none, and comes only where @arg is NULL.
 */
struct setting {
	const char *key;
	const char *option;
	const char *arg;
	int (*set)(void *field, const char *what, const char *value);
	size_t offset;
};

/**
 * struct settings - A table of at most 64.
 * @thing: what has them, such as "disk".
 */
struct settings {
	const struct setting *list;
	unsigned int num;
	const char *thing;
};

/** settings_opts() - Their options, as rows of a table of options; ids from @first on. */
void settings_opts(const struct settings *s, struct opt *opts, int first);

/**
 * settings_set_option() - Apply what the option of setting @index says.
 * @of: the struct that holds the fields.
 * @seen: the bits of settings that were given, by their place in the table.
 */
int settings_set_option(const struct settings *s, unsigned int index, void *of, uint64_t *seen,
			const char *value);

/**
 * settings_parse() - Apply all of a KEY=VALUE,… list.
 * @option: that it came by, for the sentence, such as "--disk".
 * Return: 0, or -EINVAL for a key that is unknown or given twice, or what a setter returned.
 */
int settings_parse(const struct settings *s, void *of, uint64_t *seen, const char *option,
		   const char *text);

/** settings_read() - The same from an object of strings. Descriptors can't come this way. */
int settings_read(const struct settings *s, void *of, uint64_t *seen, struct json_object *obj);

/** settings_seen() - Whether the setting of that key was given. */
bool settings_seen(const struct settings *s, uint64_t seen, const char *key);

/**
 * settings_exclude() - Refuse options of the one thing beside an option @many for each of many.
 * Return: 0 when none was given, else -EINVAL with the sentence set.
 */
int settings_exclude(const struct settings *s, uint64_t seen, const char *many);

/* What @set may be. The field is a bool, and a char * that is owned. */
int setting_bool(void *field, const char *what, const char *value);
int setting_string(void *field, const char *what, const char *value);

/** setting_name() - A name for the log and for commands, of at most @max letters. */
int setting_name(char **field, const char *what, const char *value, unsigned int max);

#endif
