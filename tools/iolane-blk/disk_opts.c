/* SPDX-License-Identifier: BSD-3-Clause */
#include "disk_opts.h"

#include "base/error.h"
#include "base/units.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static int set_name(void *name, const char *what, const char *value)
{
	return setting_name(name, what, value, DISK_NAME_MAX);
}

static int set_queues(void *queues, const char *what, const char *value)
{
	return opt_uint(what, value, 1, IOL_BLK_QUEUES_MAX, queues);
}

static int set_block_size(void *block_size, const char *what, const char *value)
{
	unsigned int *size = block_size;
	uint64_t n;

	if (iol_parse_size(what, value, &n) < 0 || (n != 512 && n != 4096))
		return iol_fail(EINVAL, "%s must be 512 or 4096, not \"%s\"", what, value);
	*size = (unsigned int)n;
	return 0;
}

/* QEMU's names: "none" goes past the host's page cache, and the disk's own cache stays on. */
static int set_cache(void *opts, const char *what, const char *value)
{
	struct disk_opts *o = opts;
	bool none = !strcmp(value, "none");
	bool through = !strcmp(value, "writethrough");

	if (!none && !through && strcmp(value, "writeback") != 0)
		return iol_fail(EINVAL, "%s must be writeback, writethrough or none, not \"%s\"",
				what, value);
	o->cache_none = none;
	o->writethrough = through;
	return 0;
}

static int set_serial(void *serial, const char *what, const char *value)
{
	const char *s;

	for (s = value; *s; s++) {
		if (*s < 0x20 || *s > 0x7e)
			return iol_fail(EINVAL, "%s must be printable ASCII", what);
	}
	if (strlen(value) > IOL_BLK_SERIAL_MAX)
		return iol_fail(EINVAL, "%s \"%s\" is %zu bytes long: at most %d fit", what, value,
				strlen(value), IOL_BLK_SERIAL_MAX);
	return setting_string(serial, what, value);
}

static int set_timeout(void *ms, const char *what, const char *value)
{
	return opt_ms(what, value, ms);
}

#define FIELD(field) offsetof(struct disk_opts, field)

/* clang-format off */
static const struct setting list[] = {
	ENDPOINT_SETTINGS(struct disk_opts, ep),
	{ "file",          "blk-file",      "FILE", setting_string, FIELD(file) },
	{ "name",          "name",          "NAME", set_name,       FIELD(name) },
	{ "read-only",     "read-only",     NULL,   setting_bool,   FIELD(read_only) },
	{ "queues",        "num-queues",    "N",    set_queues,     FIELD(queues) },
	{ "block-size",    "block-size",    "SIZE", set_block_size, FIELD(block_size) },
	{ "serial",        "serial",        "TEXT", set_serial,     FIELD(serial) },
	{ "cache",         "cache",         "MODE", set_cache,      0 },
	{ "direct",        "direct",        NULL,   setting_bool,   FIELD(direct) },
	{ "iopoll",        "iopoll",        NULL,   setting_bool,   FIELD(iopoll) },
	{ "fixed-buffers", "fixed-buffers", NULL,   setting_bool,   FIELD(fixed_buffers) },
	{ "lock-timeout",  "lock-timeout",  "TIME", set_timeout,    FIELD(lock_timeout_ms) },
	{ "stop-timeout",  "stop-timeout",  "TIME", set_timeout,    FIELD(stop_timeout_ms) },
};
/* clang-format on */

const struct settings disk_settings = { list, sizeof(list) / sizeof(list[0]), "disk" };

_Static_assert(sizeof(list) / sizeof(list[0]) == DISK_SETTINGS, "room for their options");

void disk_opts_init(struct disk_opts *o)
{
	memset(o, 0, sizeof(*o));
	o->ep = ENDPOINT_NONE;
	o->queues = DISK_QUEUES_DEFAULT;
}

void disk_opts_free(struct disk_opts *o)
{
	free(o->name);
	free(o->file);
	free(o->serial);
	endpoint_free(&o->ep);
	disk_opts_init(o);
}

int disk_opts_check(const struct disk_opts *o, enum iol_blk_engine engine, bool dashes)
{
	const char *direct = dashes ? "--direct" : "direct=on";
	const char *iopoll = dashes ? "--iopoll" : "iopoll=on";
	const char *fixed = dashes ? "--fixed-buffers" : "fixed-buffers=on";
	int rc;

	rc = endpoint_check(&o->ep, "disk", dashes);
	if (rc < 0)
		return rc;
	if (!o->file)
		return iol_fail(EINVAL, "the disk has no image: add %s=FILE",
				dashes ? "--blk-file" : "file");
	if (o->cache_none && settings_seen(&disk_settings, o->seen, "direct") && !o->direct)
		return iol_fail(EINVAL,
				"cache=none and direct=off exclude each other: leave one out");
	if ((o->iopoll || o->fixed_buffers) && !disk_opts_direct(o))
		return iol_fail(EINVAL, "%s works only past the host's page cache: add %s",
				o->iopoll ? iopoll : fixed, direct);
	if ((o->iopoll || o->fixed_buffers) && engine == IOL_BLK_ENGINE_POOL)
		return iol_fail(EINVAL, "%s needs io_uring: leave out --engine=pool",
				o->iopoll ? iopoll : fixed);
	return 0;
}
