/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"
#include "tools/common/ctl.h"
#include "tools/common/prog.h"
#include "verb.h"

#include <string.h>
#include <time.h>

struct json_object *verb_request(const char *cmd)
{
	struct json_object *request = json_object_new_object();

	json_object_object_add(request, "cmd", json_object_new_string(cmd));
	return request;
}

int verb_call(const struct verb_args *a, struct json_object *request, struct json_object **result)
{
	int rc;

	rc = ctl_call(a->program, a->control, request, a->timeout_ms, result);
	json_object_put(request);
	return rc < 0 ? prog_fail() : PROG_OK;
}

int verb_print_json(struct json_object *result)
{
	printf("%s\n", json_object_to_json_string_ext(
			       result, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
					       JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(result);
	return prog_flush();
}

static int add_absolute(struct json_object *settings, const char *key, const char *path)
{
	_cleanup_free_ char *cwd = getcwd(NULL, 0), *absolute = NULL;

	if (!cwd)
		return iol_fail(errno, "cannot tell the working folder: %s; give an absolute path",
				strerror(errno));
	if (asprintf(&absolute, "%s/%s", cwd, path) < 0) {
		absolute = NULL;
		return iol_fail(ENOMEM, "no memory for a path");
	}
	ctl_add_string(settings, key, absolute);
	return 0;
}

static int read_settings(struct json_object *settings, char *list,
			 bool (*is_path)(const char *key, const char *value))
{
	char *key, *value;
	int rc;

	while ((rc = opt_keyval(&list, &key, &value)) > 0) {
		if (json_object_object_get_ex(settings, key, NULL))
			return iol_fail(EINVAL, "%s is given twice: leave one out", key);
		if (value && *value != '/' && is_path(key, value))
			rc = add_absolute(settings, key, value);
		else if (value)
			ctl_add_string(settings, key, value);
		else
			json_object_object_add(settings, key, json_object_new_boolean(true));
		if (rc < 0)
			return rc;
	}
	return rc;
}

int verb_settings(const char *text, bool (*is_path)(const char *key, const char *value),
		  struct json_object **settings)
{
	_cleanup_free_ char *list = strdup(text);
	struct json_object *o = json_object_new_object();
	int rc;

	rc = list && o ? read_settings(o, list, is_path)
		       : iol_fail(ENOMEM, "no memory for the settings");
	if (rc < 0)
		json_object_put(o);
	else
		*settings = o;
	return rc;
}

static int ask(const struct verb_args *a, struct json_object **result)
{
	struct json_object *request = verb_request("stats");

	if (a->words[0])
		ctl_add_string(request, "name", a->words[0]);
	return verb_call(a, request, result);
}

static int print_line(struct json_object *result)
{
	printf("%s\n", json_object_to_json_string_ext(result, JSON_C_TO_STRING_PLAIN));
	return prog_flush();
}

/* Until it is interrupted, or the other side ends. */
static int watch(const struct verb_args *a,
		 void (*print)(struct json_object *now, struct json_object *before))
{
	struct timespec pause = { a->watch_ms / 1000, a->watch_ms % 1000 * (long)IOL_NS_PER_MS };
	struct json_object *now, *before = NULL;
	int status;

	for (;;) {
		status = ask(a, &now);
		if (status)
			break;
		if (a->json) {
			status = print_line(now);
		} else if (before) {
			if (isatty(STDOUT_FILENO))
				printf("\033[H\033[2J");
			print(now, before);
			if (!isatty(STDOUT_FILENO))
				putchar('\n');
			status = prog_flush();
		}
		json_object_put(before);
		before = now;
		if (status)
			break;
		nanosleep(&pause, NULL);
	}
	json_object_put(before);
	return status;
}

int verb_stats(const struct verb_args *a,
	       void (*print)(struct json_object *now, struct json_object *before))
{
	struct json_object *result;
	int status;

	if (a->watch_ms)
		return watch(a, print);
	status = ask(a, &result);
	if (status)
		return status;
	if (a->json)
		return verb_print_json(result);
	print(result, NULL);
	json_object_put(result);
	return prog_flush();
}
