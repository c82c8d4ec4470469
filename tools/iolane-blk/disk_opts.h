/* SPDX-License-Identifier: BSD-3-Clause */
/* What a disk is told: by options of its own, by --disk KEY=VALUE,… and by the control socket. */
#ifndef TOOLS_IOLANE_BLK_DISK_OPTS_H
#define TOOLS_IOLANE_BLK_DISK_OPTS_H

#include "tools/common/endpoint.h"
#include "tools/common/settings.h"

#include <iolane/blk.h>

/* As many as a guest will use: a front end that wants more than it is offered gives up. */
#define DISK_QUEUES_DEFAULT 64
#define DISK_NAME_MAX       64

/**
 * struct disk_opts - A disk's settings; strings are owned.
 * @name: NULL for one that is made up.
 * @cache_none: go past the host's page cache, as @direct does.
 * @seen: bits of the settings that were given, by their place in disk_settings.
 */
struct disk_opts {
	char *name;
	struct endpoint ep;
	char *file;
	char *serial;
	bool read_only;
	bool direct;
	bool iopoll;
	bool fixed_buffers;
	bool writethrough;
	bool cache_none;
	unsigned int queues;
	unsigned int block_size;
	unsigned int lock_timeout_ms;
	unsigned int stop_timeout_ms;
	uint64_t seen;
};

/* How many options they make. */
#define DISK_SETTINGS 16

/* What can be said by "--disk", by options, and by "add" on the control socket. */
extern const struct settings disk_settings;

/** disk_opts_init() - The defaults. */
void disk_opts_init(struct disk_opts *o);

/** disk_opts_free() - Free the strings and close the descriptor; what was taken is not there. */
void disk_opts_free(struct disk_opts *o);

/** disk_opts_direct() - Whether I/O goes past the host's page cache. */
static inline bool disk_opts_direct(const struct disk_opts *o)
{
	return o->direct || o->cache_none;
}

/**
 * disk_opts_check() - Whether the settings go together.
 * @engine: the threads' engine, as asked for.
 * @dashes: settings are named as options ("--direct") and not as keys ("direct=on").
 */
int disk_opts_check(const struct disk_opts *o, enum iol_blk_engine engine, bool dashes);

#endif
