/* SPDX-License-Identifier: BSD-3-Clause */
/* What a disk is told: by options of its own, by --disk KEY=VALUE,… and by the control socket. */
#ifndef TOOLS_IOLANE_BLK_DISK_OPTS_H
#define TOOLS_IOLANE_BLK_DISK_OPTS_H

#include <iolane/blk.h>
#include <stddef.h>

/* As many as a guest will use: a front end that wants more than it is offered gives up. */
#define DISK_QUEUES_DEFAULT 64
#define DISK_NAME_MAX       64

/**
 * struct disk_opts - A disk's settings; strings are owned.
 * @name: NULL for one that is made up.
 * @socket: the vhost-user socket's path, or NULL with @fd.
 * @fd: the vhost-user socket, owned; -1 for none.
 * @mode: the listening socket's permission bits, 0 for what umask says.
 * @cache_none: go past the host's page cache, as @direct does.
 * @seen: bits of the settings that were given, by their place in disk_settings.
 */
struct disk_opts {
	char *name;
	char *socket;
	char *file;
	char *serial;
	int fd;
	bool client;
	bool read_only;
	bool direct;
	bool iopoll;
	bool fixed_buffers;
	bool writethrough;
	bool cache_none;
	unsigned int mode;
	unsigned int queues;
	unsigned int block_size;
	unsigned int lock_timeout_ms;
	unsigned int stop_timeout_ms;
	uint64_t seen;
};

/**
 * struct disk_setting - One of them.
 * @key: its name in --disk and in the control socket's "add".
 * @option: its name as an option of the command line, without the dashes.
 * @arg: what its value is called in sentences; NULL for one that is on or off.
 * @set: checks and stores a value; NULL for one that is on or off.
 * @flag: where that one lies in struct disk_opts.
 */
struct disk_setting {
	const char *key;
	const char *option;
	const char *arg;
	int (*set)(struct disk_opts *o, const char *what, const char *value);
	size_t flag;
};

#define DISK_SETTINGS 16

extern const struct disk_setting disk_settings[DISK_SETTINGS];

/** disk_opts_init() - The defaults. */
void disk_opts_init(struct disk_opts *o);

/** disk_opts_free() - Free the strings and close the descriptor; what was taken is not there. */
void disk_opts_free(struct disk_opts *o);

/**
 * disk_opts_set() - Apply one setting.
 * @what: its name as the user wrote it, for the sentence.
 * @value: NULL means on.
 */
int disk_opts_set(struct disk_opts *o, const struct disk_setting *setting, const char *what,
		  const char *value);

/** disk_opts_set_key() - The same by key; -EINVAL for one that is unknown or given twice. */
int disk_opts_set_key(struct disk_opts *o, const char *key, const char *value);

/** disk_opts_parse() - All of a --disk value; changes @text. */
int disk_opts_parse(struct disk_opts *o, char *text);

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
