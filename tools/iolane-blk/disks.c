/* SPDX-License-Identifier: BSD-3-Clause */
#include "disks.h"

#include "base/error.h"
#include "base/units.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct disk *find(const struct disks *s, const char *name)
{
	struct disk *d;

	for (d = s->first; d; d = d->next) {
		if (!strcmp(d->opts.name, name))
			return d;
	}
	return NULL;
}

struct disk *disks_find(const struct disks *s, const char *name)
{
	struct disk *d = find(s, name);

	if (!d)
		iol_fail(ENOENT, "no disk has the name \"%s\": see the list", name);
	return d;
}

/* The lowest diskN that is free. */
static int make_name(const struct disks *s, struct disk_opts *opts)
{
	char name[16];
	unsigned int i = 0;

	do {
		snprintf(name, sizeof(name), "disk%u", i++);
	} while (find(s, name));
	opts->name = strdup(name);
	return opts->name ? 0 : iol_fail(ENOMEM, "no memory for a disk's name");
}

static int check_unique(const struct disks *s, const struct disk_opts *opts)
{
	const struct disk *d;

	for (d = s->first; d; d = d->next) {
		if (opts->name && !strcmp(d->opts.name, opts->name))
			return iol_fail(EEXIST, "there is a disk %s already: give another name",
					opts->name);
		if (endpoint_same_path(&d->opts.ep, &opts->ep))
			return iol_fail(EEXIST, "disk %s has the socket %s already: give another",
					d->opts.name, opts->ep.path);
	}
	return 0;
}

static int open_disk(struct disks *s, struct disk *d)
{
	struct disk_opts *o = &d->opts;
	struct iol_disk_spec spec = {
		.name = o->name,
		.file = o->file,
		.read_only = o->read_only,
		.direct = disk_opts_direct(o),
		.iopoll = o->iopoll,
		.writethrough = o->writethrough,
		.fixed_buffers = o->fixed_buffers,
		.num_queues = o->queues,
		.block_size = o->block_size,
		.serial = o->serial,
		.lock_timeout_ms = o->lock_timeout_ms,
		.stop_timeout_ms = o->stop_timeout_ms,
	};
	int rc;

	rc = iol_disk_new(s->threads, &spec, &d->disk);
	if (rc < 0)
		return rc;
	rc = endpoint_serve(&o->ep, iol_disk_device(d->disk), &d->server);
	if (rc < 0)
		iol_disk_destroy(&d->disk);
	return rc;
}

static void log_serving(const struct disks *s, const struct disk *d)
{
	char size[16];

	iol_log(IOL_LOG_INFO, "%s: serving %s (%s%s, %u queue%s, %s) on %s%s", d->opts.name,
		d->opts.file, iol_format_size(iol_disk_capacity(d->disk), size, sizeof(size)),
		d->opts.read_only ? ", read-only" : "", d->opts.queues,
		d->opts.queues == 1 ? "" : "s", iol_blk_threads_engine(s->threads),
		endpoint_where(&d->opts.ep), d->opts.ep.client ? ", as its client" : "");
}

static void free_disk(struct disk *d)
{
	iol_server_destroy(&d->server);
	iol_disk_destroy(&d->disk);
	disk_opts_free(&d->opts);
	free(d);
}

int disks_add(struct disks *s, struct disk_opts *opts, struct disk **added)
{
	struct disk *d = calloc(1, sizeof(*d)), **end;
	int rc;

	if (!d) {
		disk_opts_free(opts);
		return iol_fail(ENOMEM, "no memory for a disk");
	}
	d->opts = *opts;
	disk_opts_init(opts);
	rc = check_unique(s, &d->opts);
	if (!rc && !d->opts.name)
		rc = make_name(s, &d->opts);
	if (!rc)
		rc = open_disk(s, d);
	if (rc < 0) {
		free_disk(d);
		return rc;
	}
	for (end = &s->first; *end; end = &(*end)->next)
		;
	*end = d;
	s->count++;
	s->num_fds += d->opts.ep.number >= 0;
	*added = d;
	log_serving(s, d);
	return 0;
}

void disks_del(struct disks *s, struct disk *d)
{
	struct disk **p;

	for (p = &s->first; *p != d; p = &(*p)->next)
		;
	*p = d->next;
	s->count--;
	s->num_fds -= d->opts.ep.number >= 0;
	free_disk(d);
}

void disks_del_all(struct disks *s)
{
	while (s->first) {
		struct disk *d = s->first;

		while (d->next)
			d = d->next;
		disks_del(s, d);
	}
}

void disks_refresh(struct disks *s)
{
	struct disk *d;
	char size[16];

	for (d = s->first; d; d = d->next) {
		int rc = iol_disk_refresh(d->disk, NULL);

		/* What changed, and a guest that can't be told, the disk has logged itself. */
		if (!rc)
			iol_log(IOL_LOG_INFO, "%s: the size is still %s", d->opts.name,
				iol_format_size(iol_disk_capacity(d->disk), size, sizeof(size)));
		else if (rc < 0 && rc != -EOPNOTSUPP)
			iol_log(IOL_LOG_WARNING, "%s: %s", d->opts.name, iol_error());
	}
}

void disks_reap(struct disks *s)
{
	struct disk *d = s->first, *next;

	for (; s->num_fds && d; d = next) {
		next = d->next;
		if (d->opts.ep.number < 0 || !iol_server_finished(d->server))
			continue;
		iol_log(IOL_LOG_INFO, "%s: its front end has gone", d->opts.name);
		disks_del(s, d);
	}
}
