/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/common/settings.h"

#include "base/error.h"
#include "base/own.h"
#include "tools/common/ctl.h"

#include <json-c/json_object_iterator.h>
#include <stdio.h>
#include <string.h>

void settings_opts(const struct settings *s, struct opt *opts, int first)
{
	unsigned int i;

	for (i = 0; i < s->num && s->list[i].option; i++) {
		opts[i] = (struct opt){
			.name = s->list[i].option,
			.arg = s->list[i].arg,
			.id = first + (int)i,
		};
	}
}

static int set(const struct settings *s, unsigned int index, void *of, uint64_t *seen,
	       const char *what, const char *value)
{
	*seen |= 1ull << index;
	return s->list[index].set((char *)of + s->list[index].offset, what, value);
}

int settings_set_option(const struct settings *s, unsigned int index, void *of, uint64_t *seen,
			const char *value)
{
	char what[32];

	snprintf(what, sizeof(what), "--%s", s->list[index].option);
	return set(s, index, of, seen, what, value);
}

static int set_key(const struct settings *s, void *of, uint64_t *seen, const char *key,
		   const char *value)
{
	char thing[32];
	unsigned int i;

	for (i = 0; i < s->num; i++) {
		if (strcmp(s->list[i].key, key) != 0)
			continue;
		if (*seen & 1ull << i)
			return iol_fail(EINVAL, "%s is given twice: leave one out", key);
		if (!value && s->list[i].arg)
			return iol_fail(EINVAL, "%s needs a value: %s=%s", key, key,
					s->list[i].arg);
		return set(s, i, of, seen, key, value);
	}
	snprintf(thing, sizeof(thing), "%s setting", s->thing);
	return opt_unknown(thing, "", key, s->list, s->num, sizeof(s->list[0]));
}

int settings_parse(const struct settings *s, void *of, uint64_t *seen, const char *option,
		   const char *text)
{
	_cleanup_free_ char *copy = strdup(text);
	char *list = copy, *key, *value;
	int rc;

	if (!copy)
		return iol_fail(ENOMEM, "no memory for the settings of a %s", s->thing);
	while ((rc = opt_keyval(&list, &key, &value)) > 0) {
		rc = set_key(s, of, seen, key, value);
		if (rc < 0)
			break;
	}
	return rc < 0 ? iol_fail_more(rc, "%s %s", option, text) : 0;
}

/* A key that was given alone, as in "read-only", is true. */
static bool stands_alone(struct json_object *value)
{
	return json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value);
}

int settings_read(const struct settings *s, void *of, uint64_t *seen, struct json_object *obj)
{
	struct json_object_iterator it = json_object_iter_begin(obj);
	struct json_object_iterator end = json_object_iter_end(obj);
	int rc = 0;

	for (; !rc && !json_object_iter_equal(&it, &end); json_object_iter_next(&it)) {
		const char *key = json_object_iter_peek_name(&it), *value = NULL;

		/* Descriptors come by the command line only: any number here would be one of our own. */
		if (!strcmp(key, "fd"))
			return iol_fail(EINVAL, "fd cannot be given here: use socket");
		if (!stands_alone(json_object_iter_peek_value(&it)))
			rc = ctl_get_string(obj, key, &value);
		if (!rc)
			rc = set_key(s, of, seen, key, value);
	}
	return rc;
}

bool settings_seen(const struct settings *s, uint64_t seen, const char *key)
{
	unsigned int i;

	for (i = 0; i < s->num; i++) {
		if (seen & 1ull << i && !strcmp(s->list[i].key, key))
			return true;
	}
	return false;
}

int settings_exclude(const struct settings *s, uint64_t seen, const char *many)
{
	unsigned int i;

	for (i = 0; i < s->num; i++) {
		if (seen & 1ull << i)
			return iol_fail(EINVAL,
					"--%s and %s exclude each other: write %s%s into %s",
					s->list[i].option, many, s->list[i].key,
					s->list[i].arg ? "=..." : "=on", many);
	}
	return 0;
}

int setting_bool(void *field, const char *what, const char *value)
{
	return opt_bool(what, value, field);
}

int setting_string(void *field, const char *what, const char *value)
{
	char **to = field;

	if (!*value)
		return iol_fail(EINVAL, "%s needs a value", what);
	free(*to);
	*to = strdup(value);
	if (!*to)
		return iol_fail(ENOMEM, "no memory for %s", what);
	return 0;
}

int setting_name(char **field, const char *what, const char *value, unsigned int max)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";

	if (value[strspn(value, letters)] || *value == '-' || strlen(value) > max)
		return iol_fail(
			EINVAL,
			"%s must be at most %u letters, digits, dots, dashes and underscores, "
			"and not start with a dash: \"%s\" is not",
			what, max, value);
	return setting_string(field, what, value);
}
