/* SPDX-License-Identifier: BSD-3-Clause */
#include "verb.h"

#include <string.h>

struct json_object *field(struct json_object *o, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(o, key, &value);
	return value;
}

const char *field_string(struct json_object *o, const char *key)
{
	const char *text = json_object_get_string(field(o, key));

	return text ? text : "";
}

uint64_t field_count(struct json_object *o, const char *key)
{
	return json_object_get_uint64(field(o, key));
}

double field_number(struct json_object *o, const char *key)
{
	return json_object_get_double(field(o, key));
}

bool field_bool(struct json_object *o, const char *key)
{
	return json_object_get_boolean(field(o, key));
}

uint64_t field_growth(struct json_object *now, struct json_object *before, const char *key)
{
	uint64_t a = field_count(now, key), b = field_count(before, key);

	/* What went and came back starts from zero. */
	return a < b ? a : a - b;
}

size_t array_length(struct json_object *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

struct json_object *array_find(struct json_object *array, const char *key, const char *text)
{
	size_t i;

	for (i = 0; i < array_length(array); i++) {
		struct json_object *o = json_object_array_get_idx(array, i);

		if (!strcmp(field_string(o, key), text))
			return o;
	}
	return NULL;
}
