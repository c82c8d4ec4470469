/* SPDX-License-Identifier: BSD-3-Clause */
#include "disk_opts.h"

#include "base/error.h"
#include "base/own.h"
#include "base/units.h"
#include "tools/common/ctl.h"
#include "tools/common/opt.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

static int set_string(char **to, const char *what, const char *value)
{
	if (!value || !*value)
		return iol_fail(EINVAL, "%s needs a value", what);
	free(*to);
	*to = strdup(value);
	if (!*to)
		return iol_fail(ENOMEM, "no memory for %s", what);
	return 0;
}

static int set_name(struct disk_opts *o, const char *what, const char *value)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";

	if (value &&
	    (value[strspn(value, letters)] || *value == '-' || strlen(value) > DISK_NAME_MAX))
		return iol_fail(
			EINVAL,
			"%s must be at most %d letters, digits, dots, dashes and underscores, "
			"and not start with a dash: \"%s\" is not",
			what, DISK_NAME_MAX, value);
	return set_string(&o->name, what, value);
}

static int set_socket(struct disk_opts *o, const char *what, const char *value)
{
	struct sockaddr_un addr;
	int rc;

	rc = value ? ctl_address(what, value, &addr) : 0;
	return rc < 0 ? rc : set_string(&o->socket, what, value);
}

static int set_file(struct disk_opts *o, const char *what, const char *value)
{
	return set_string(&o->file, what, value);
}

static int set_fd(struct disk_opts *o, const char *what, const char *value)
{
	socklen_t len = sizeof(int);
	int domain, type;
	uint64_t n;
	int rc;

	rc = iol_parse_uint(what, value ? value : "", 3, INT32_MAX, &n);
	if (rc < 0)
		return rc;
	/* Checked before this process opens anything, which could then have that number. */
	if (getsockopt((int)n, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_UNIX ||
	    getsockopt((int)n, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
		return iol_fail(ENOTSOCK,
				"%s %d is no Unix stream socket: start the program with the "
				"vhost-user socket open under that number",
				what, (int)n);
	if (fcntl((int)n, F_SETFD, FD_CLOEXEC) < 0)
		return iol_fail(errno, "%s %d: %s", what, (int)n, strerror(errno));
	o->fd = (int)n;
	return 0;
}

static int set_mode(struct disk_opts *o, const char *what, const char *value)
{
	size_t len = value ? strspn(value, "01234567") : 0;

	if (!len || len > 4 || value[len] || strtoul(value, NULL, 8) > 0777)
		return iol_fail(EINVAL, "%s must be octal permission bits such as 0660, not \"%s\"",
				what, value ? value : "");
	o->mode = (unsigned int)strtoul(value, NULL, 8);
	/* 0 says "none given" further on, and a socket that nobody can open is of no use. */
	if (!(o->mode & 0222))
		return iol_fail(EINVAL,
				"%s %s lets nobody connect: give write permission, as in 0660",
				what, value);
	return 0;
}

static int set_queues(struct disk_opts *o, const char *what, const char *value)
{
	return opt_uint(what, value ? value : "", 1, IOL_BLK_QUEUES_MAX, &o->queues);
}

static int set_block_size(struct disk_opts *o, const char *what, const char *value)
{
	uint64_t n;

	if (!value || iol_parse_size(what, value, &n) < 0 || (n != 512 && n != 4096))
		return iol_fail(EINVAL, "%s must be 512 or 4096, not \"%s\"", what,
				value ? value : "");
	o->block_size = (unsigned int)n;
	return 0;
}

/* QEMU's names: "none" goes past the host's page cache, and the disk's own cache stays on. */
static int set_cache(struct disk_opts *o, const char *what, const char *value)
{
	bool none = value && !strcmp(value, "none");
	bool through = value && !strcmp(value, "writethrough");

	if (!none && !through && (!value || strcmp(value, "writeback") != 0))
		return iol_fail(EINVAL, "%s must be writeback, writethrough or none, not \"%s\"",
				what, value ? value : "");
	o->cache_none = none;
	o->writethrough = through;
	return 0;
}

static int set_serial(struct disk_opts *o, const char *what, const char *value)
{
	const char *s;

	for (s = value ? value : ""; *s; s++) {
		if (*s < 0x20 || *s > 0x7e)
			return iol_fail(EINVAL, "%s must be printable ASCII", what);
	}
	if (value && strlen(value) > IOL_BLK_SERIAL_MAX)
		return iol_fail(EINVAL, "%s \"%s\" is %zu bytes long: at most %d fit", what, value,
				strlen(value), IOL_BLK_SERIAL_MAX);
	return set_string(&o->serial, what, value);
}

static int set_lock_timeout(struct disk_opts *o, const char *what, const char *value)
{
	return opt_ms(what, value ? value : "", &o->lock_timeout_ms);
}

static int set_stop_timeout(struct disk_opts *o, const char *what, const char *value)
{
	return opt_ms(what, value ? value : "", &o->stop_timeout_ms);
}

#define FLAG(field) NULL, offsetof(struct disk_opts, field)

/* clang-format off */
const struct disk_setting disk_settings[DISK_SETTINGS] = {
	{ "socket",        "socket-path",   "PATH", set_socket },
	{ "file",          "blk-file",      "FILE", set_file },
	{ "fd",            "fd",            "N",    set_fd },
	{ "name",          "name",          "NAME", set_name },
	{ "socket-mode",   "socket-mode",   "MODE", set_mode },
	{ "client",        "client",        NULL,   FLAG(client) },
	{ "read-only",     "read-only",     NULL,   FLAG(read_only) },
	{ "queues",        "num-queues",    "N",    set_queues },
	{ "block-size",    "block-size",    "SIZE", set_block_size },
	{ "serial",        "serial",        "TEXT", set_serial },
	{ "cache",         "cache",         "MODE", set_cache },
	{ "direct",        "direct",        NULL,   FLAG(direct) },
	{ "iopoll",        "iopoll",        NULL,   FLAG(iopoll) },
	{ "fixed-buffers", "fixed-buffers", NULL,   FLAG(fixed_buffers) },
	{ "lock-timeout",  "lock-timeout",  "TIME", set_lock_timeout },
	{ "stop-timeout",  "stop-timeout",  "TIME", set_stop_timeout },
};
/* clang-format on */

void disk_opts_init(struct disk_opts *o)
{
	memset(o, 0, sizeof(*o));
	o->fd = -1;
	o->queues = DISK_QUEUES_DEFAULT;
}

void disk_opts_free(struct disk_opts *o)
{
	free(o->name);
	free(o->socket);
	free(o->file);
	free(o->serial);
	iol_close(&o->fd);
	disk_opts_init(o);
}

int disk_opts_set(struct disk_opts *o, const struct disk_setting *setting, const char *what,
		  const char *value)
{
	o->seen |= 1ull << (setting - disk_settings);
	if (!setting->set)
		return opt_bool(what, value, (bool *)((char *)o + setting->flag));
	return setting->set(o, what, value);
}

int disk_opts_set_key(struct disk_opts *o, const char *key, const char *value)
{
	unsigned int i;

	for (i = 0; i < DISK_SETTINGS; i++) {
		if (strcmp(disk_settings[i].key, key) != 0)
			continue;
		if (o->seen & 1ull << i)
			return iol_fail(EINVAL, "%s is given twice: leave one out", key);
		return disk_opts_set(o, &disk_settings[i], key, value);
	}
	return opt_unknown("disk setting", "", key, disk_settings, DISK_SETTINGS,
			   sizeof(disk_settings[0]));
}

int disk_opts_parse(struct disk_opts *o, char *text)
{
	char *key, *value;
	int rc;

	while ((rc = opt_keyval(&text, &key, &value)) > 0) {
		rc = disk_opts_set_key(o, key, value);
		if (rc < 0)
			break;
	}
	return rc;
}

static bool seen(const struct disk_opts *o, const char *key)
{
	unsigned int i;

	for (i = 0; i < DISK_SETTINGS; i++) {
		if (o->seen & 1ull << i && !strcmp(disk_settings[i].key, key))
			return true;
	}
	return false;
}

static int check_socket(const struct disk_opts *o, bool dashes)
{
	const char *socket = dashes ? "--socket-path" : "socket";
	const char *fd = dashes ? "--fd" : "fd";

	if (!o->socket && o->fd < 0)
		return iol_fail(EINVAL, "the disk has no socket: add %s=PATH", socket);
	if (o->socket && o->fd >= 0)
		return iol_fail(EINVAL, "%s and %s exclude each other: leave one out", socket, fd);
	if (o->client && o->fd >= 0)
		return iol_fail(EINVAL,
				"%s connects to a path and %s is a socket already: leave one out",
				dashes ? "--client" : "client", fd);
	if (o->mode && (o->client || o->fd >= 0))
		return iol_fail(EINVAL, "%s is for a socket that this process makes: leave it out",
				dashes ? "--socket-mode" : "socket-mode");
	return 0;
}

int disk_opts_check(const struct disk_opts *o, enum iol_blk_engine engine, bool dashes)
{
	const char *direct = dashes ? "--direct" : "direct=on";
	const char *iopoll = dashes ? "--iopoll" : "iopoll=on";
	const char *fixed = dashes ? "--fixed-buffers" : "fixed-buffers=on";
	int rc;

	rc = check_socket(o, dashes);
	if (rc < 0)
		return rc;
	if (!o->file)
		return iol_fail(EINVAL, "the disk has no image: add %s=FILE",
				dashes ? "--blk-file" : "file");
	if (o->cache_none && seen(o, "direct") && !o->direct)
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
