/* SPDX-License-Identifier: BSD-3-Clause */
#include "verbs.h"

#include "base/error.h"
#include "tools/common/ctl.h"
#include "tools/common/opt.h"

#include <errno.h>
#include <json-c/json_object_iterator.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *to_line(struct json_object *reply)
{
	const char *text = json_object_to_json_string_ext(
		reply, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	char *line = NULL;

	if (text && asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	json_object_put(reply);
	return line;
}

char *verbs_refuse(const char *sentence)
{
	struct json_object *reply = json_object_new_object();

	json_object_object_add(reply, "ok", json_object_new_boolean(false));
	ctl_add_string(reply, "error", sentence);
	return to_line(reply);
}

static struct json_object *describe(const struct disk *d)
{
	struct json_object *o = json_object_new_object();
	unsigned int i, running = 0;

	for (i = 0; i < d->opts.queues; i++)
		running += iol_disk_queue_thread(d->disk, i) >= 0;
	ctl_add_string(o, "name", d->opts.name);
	ctl_add_string(o, "file", d->opts.file);
	if (d->opts.socket)
		ctl_add_string(o, "socket", d->opts.socket);
	else
		json_object_object_add(o, "fd", json_object_new_int(d->fd));
	json_object_object_add(o, "client", json_object_new_boolean(d->opts.client));
	json_object_object_add(o, "connected",
			       json_object_new_boolean(iol_server_connected(d->server)));
	json_object_object_add(o, "capacity", json_object_new_uint64(iol_disk_capacity(d->disk)));
	json_object_object_add(o, "read_only", json_object_new_boolean(d->opts.read_only));
	json_object_object_add(o, "direct", json_object_new_boolean(disk_opts_direct(&d->opts)));
	json_object_object_add(o, "queues", json_object_new_int((int)d->opts.queues));
	json_object_object_add(o, "queues_running", json_object_new_int((int)running));
	return o;
}

/* The disk that a request names. */
static int named_disk(struct disks *disks, struct json_object *request, struct disk **d)
{
	const char *name;
	int rc;

	rc = ctl_get_string(request, "name", &name);
	if (rc < 0)
		return rc;
	if (!name)
		return iol_fail(EINVAL, "the request lacks \"name\"");
	*d = disks_find(disks, name);
	return *d ? 0 : -ENOENT;
}

/* A relative path would mean another file here than it does to the client. */
static int check_absolute(const char *key, const char *path)
{
	if (!path || *path == '/' || !strncmp(path, "null:", strlen("null:")))
		return 0;
	return iol_fail(EINVAL, "%s must be an absolute path, not \"%s\"", key, path);
}

static int read_settings(struct disk_opts *opts, struct json_object *settings)
{
	struct json_object_iterator it = json_object_iter_begin(settings);
	struct json_object_iterator end = json_object_iter_end(settings);
	int rc = 0;

	for (; !rc && !json_object_iter_equal(&it, &end); json_object_iter_next(&it)) {
		const char *key = json_object_iter_peek_name(&it), *value;

		/* Descriptors come by the command line only: any number here would be one of our own. */
		if (!strcmp(key, "fd"))
			return iol_fail(EINVAL, "fd cannot be given here: use socket");
		rc = ctl_get_string(settings, key, &value);
		if (!rc && !value)
			rc = iol_fail(EINVAL, "\"%s\" must be a string", key);
		if (!rc)
			rc = disk_opts_set_key(opts, key, value);
	}
	return rc;
}

static int verb_add(struct disks *disks, struct json_object *request, struct json_object **result)
{
	struct json_object *settings;
	struct disk_opts opts;
	struct disk *d = NULL;
	int rc;

	if (!json_object_object_get_ex(request, "disk", &settings) ||
	    !json_object_is_type(settings, json_type_object))
		return iol_fail(EINVAL, "the request lacks \"disk\", an object of settings");
	disk_opts_init(&opts);
	rc = read_settings(&opts, settings);
	if (!rc)
		rc = disk_opts_check(&opts, disks->engine, false);
	if (!rc)
		rc = check_absolute("socket", opts.socket);
	if (!rc)
		rc = check_absolute("file", opts.file);
	if (!rc)
		rc = disks_add(disks, &opts, &d);
	disk_opts_free(&opts);
	if (!rc)
		*result = describe(d);
	return rc;
}

static int verb_del(struct disks *disks, struct json_object *request, struct json_object **result)
{
	struct json_object *force;
	struct disk *d = NULL;
	int rc;

	rc = named_disk(disks, request, &d);
	if (rc < 0)
		return rc;
	if (iol_server_connected(d->server) &&
	    !(json_object_object_get_ex(request, "force", &force) &&
	      json_object_get_boolean(force)))
		return iol_fail(
			EBUSY,
			"%s is in use: a front end is connected to %s; unplug the disk there, "
			"or add --force",
			d->opts.name, disk_where(d));
	*result = describe(d);
	iol_log(IOL_LOG_INFO, "%s: no longer served, as a control client asked", d->opts.name);
	disks_del(disks, d);
	return 0;
}

static int verb_list(struct disks *disks, struct json_object *request, struct json_object **result)
{
	struct json_object *list = json_object_new_array();
	const struct disk *d;

	for (d = disks->first; d; d = d->next)
		json_object_array_add(list, describe(d));
	*result = list;
	return 0;
}

static int read_size(struct json_object *request, uint64_t *size)
{
	struct json_object *value;

	if (!json_object_object_get_ex(request, "size", &value))
		return 0;
	if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) <= 0)
		return iol_fail(EINVAL, "\"size\" must be a number of bytes above 0");
	*size = (uint64_t)json_object_get_int64(value);
	return 1;
}

static int verb_resize(struct disks *disks, struct json_object *request,
		       struct json_object **result)
{
	struct json_object *o;
	struct disk *d = NULL;
	uint64_t size;
	int rc, sized;

	rc = named_disk(disks, request, &d);
	if (rc < 0)
		return rc;
	sized = read_size(request, &size);
	if (sized < 0)
		return sized;
	rc = iol_disk_refresh(d->disk, sized ? &size : NULL);
	if (rc < 0 && rc != -EOPNOTSUPP)
		return rc;
	o = describe(d);
	json_object_object_add(o, "changed", json_object_new_boolean(rc));
	/* The size is another one and the guest will not know: that is no failure to resize. */
	if (rc == -EOPNOTSUPP)
		ctl_add_string(o, "warning", iol_error());
	*result = o;
	return 0;
}

static int verb_stats(struct disks *disks, struct json_object *request, struct json_object **result)
{
	struct json_object *name;
	struct disk *only = NULL;
	int rc;

	if (json_object_object_get_ex(request, "name", &name)) {
		rc = named_disk(disks, request, &only);
		if (rc < 0)
			return rc;
	}
	*result = stats_report(disks, only);
	return 0;
}

static const struct verb {
	const char *name;
	int (*run)(struct disks *disks, struct json_object *request, struct json_object **result);
} verbs[] = {
	{ "add", verb_add },       { "del", verb_del },     { "list", verb_list },
	{ "resize", verb_resize }, { "stats", verb_stats },
};

#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static int run(struct disks *disks, struct json_object *request, struct json_object **result)
{
	const char *cmd;
	unsigned int i;
	int rc;

	rc = ctl_get_string(request, "cmd", &cmd);
	if (rc < 0)
		return rc;
	if (!cmd)
		return iol_fail(EINVAL, "the request lacks \"cmd\"");
	for (i = 0; i < VERBS; i++) {
		if (!strcmp(verbs[i].name, cmd))
			return verbs[i].run(disks, request, result);
	}
	return opt_unknown("command", "", cmd, verbs, VERBS, sizeof(verbs[0]));
}

char *verbs_answer(struct disks *disks, const char *line, size_t len)
{
	struct json_object *request, *result = NULL, *reply;
	int rc;

	rc = ctl_parse(line, len, &request);
	if (rc < 0)
		return verbs_refuse(iol_error());
	rc = run(disks, request, &result);
	json_object_put(request);
	if (rc < 0)
		return verbs_refuse(iol_error());
	reply = json_object_new_object();
	json_object_object_add(reply, "ok", json_object_new_boolean(true));
	json_object_object_add(reply, "result", result);
	return to_line(reply);
}
