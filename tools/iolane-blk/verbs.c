/* SPDX-License-Identifier: BSD-3-Clause */
#include "verbs.h"

#include "base/error.h"
#include "tools/common/ctl.h"

#include <errno.h>
#include <string.h>

static struct json_object *describe(const struct disk *d)
{
	struct json_object *o = json_object_new_object();
	unsigned int i, running = 0;

	for (i = 0; i < d->opts.queues; i++)
		running += iol_disk_queue_thread(d->disk, i) >= 0;
	ctl_add_string(o, "name", d->opts.name);
	ctl_add_string(o, "file", d->opts.file);
	if (d->opts.ep.path)
		ctl_add_string(o, "socket", d->opts.ep.path);
	else
		json_object_object_add(o, "fd", json_object_new_int(d->opts.ep.number));
	json_object_object_add(o, "client", json_object_new_boolean(d->opts.ep.client));
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
static int check_file(const char *path)
{
	if (*path == '/' || !strncmp(path, "null:", strlen("null:")))
		return 0;
	return iol_fail(EINVAL, "file must be an absolute path, not \"%s\"", path);
}

static int verb_add(void *ctx, struct json_object *request, struct json_object **result)
{
	struct disks *disks = ctx;
	struct json_object *settings;
	struct disk_opts opts;
	struct disk *d = NULL;
	int rc;

	if (!json_object_object_get_ex(request, "disk", &settings) ||
	    !json_object_is_type(settings, json_type_object))
		return iol_fail(EINVAL, "the request lacks \"disk\", an object of settings");
	disk_opts_init(&opts);
	rc = settings_read(&disk_settings, &opts, &opts.seen, settings);
	if (!rc)
		rc = disk_opts_check(&opts, disks->engine, false);
	if (!rc)
		rc = endpoint_check_absolute(&opts.ep);
	if (!rc)
		rc = check_file(opts.file);
	if (!rc)
		rc = disks_add(disks, &opts, &d);
	disk_opts_free(&opts);
	if (!rc)
		*result = describe(d);
	return rc;
}

static int verb_del(void *ctx, struct json_object *request, struct json_object **result)
{
	struct disks *disks = ctx;
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
			d->opts.name, endpoint_where(&d->opts.ep));
	*result = describe(d);
	iol_log(IOL_LOG_INFO, "%s: no longer served, as a control client asked", d->opts.name);
	disks_del(disks, d);
	return 0;
}

static int verb_list(void *ctx, struct json_object *request, struct json_object **result)
{
	struct disks *disks = ctx;
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

static int verb_resize(void *ctx, struct json_object *request, struct json_object **result)
{
	struct disks *disks = ctx;
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

static int verb_stats(void *ctx, struct json_object *request, struct json_object **result)
{
	struct disks *disks = ctx;
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

const struct ctl_verb disk_verbs[DISK_VERBS] = {
	{ "add", verb_add },       { "del", verb_del },     { "list", verb_list },
	{ "resize", verb_resize }, { "stats", verb_stats },
};
