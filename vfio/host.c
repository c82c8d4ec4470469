/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio/host.h"

#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* The longest file that is read as a whole. /proc/interrupts of a large machine is the longest of them. */
#define TEXT_MAX (16u << 20)

/* As many links on a way as the kernel follows; more are a circle. */
#define LINKS_MAX 40

int iol_host_new(const char *root, struct iol_host **host)
{
	struct iol_host *h = calloc(1, sizeof(*h));

	if (!h)
		return iol_fail(ENOMEM, "no memory for a host");
	h->live = !root || !strcmp(root, "/");
	h->root_fd = open(h->live ? "/" : root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (h->root_fd < 0) {
		int err = errno;

		free(h);
		return iol_fail(err, "cannot look at the host's files in %s: %s", root,
				strerror(err));
	}
	*host = h;
	return 0;
}

void iol_host_destroy(struct iol_host **host)
{
	struct iol_host *h = iol_take_ptr(*host);

	if (!h)
		return;
	iol_close(&h->root_fd);
	free(h);
}

__attribute__((format(printf, 2, 0))) static int make_path(char *path, const char *fmt,
							   va_list args)
{
	int n = vsnprintf(path, HOST_PATH_MAX, fmt, args);

	return n < 0 || n >= HOST_PATH_MAX ? -ENAMETOOLONG : 0;
}

/* The first part of @rest, which is moved past it. Return: false when there is none. */
static bool next_part(char *rest, char *part)
{
	size_t from = strspn(rest, "/"), len = strcspn(rest + from, "/");

	memcpy(part, rest + from, len);
	part[len] = '\0';
	memmove(rest, rest + from + len, strlen(rest + from + len) + 1);
	return len > 0;
}

/*
 * What openat2() does, by hand: every link on the way is read and followed from the copy's root, however far up it
 * leads. Unlike openat2() it could be led out by somebody who changes the copy at the same moment.
 */
static int walk(const struct iol_host *host, const char *path, int flags)
{
	char done[HOST_PATH_MAX] = ".", rest[HOST_PATH_MAX], part[HOST_PATH_MAX];
	char way[2 * HOST_PATH_MAX], target[HOST_PATH_MAX];
	unsigned int links = 0;
	ssize_t n;

	strcpy(rest, path);
	while (next_part(rest, part)) {
		if (!strcmp(part, "."))
			continue;
		if (!strcmp(part, "..")) {
			char *slash = strrchr(done, '/');

			if (slash)
				*slash = '\0';
			continue;
		}
		if (snprintf(way, sizeof(way), "%s/%s", done, part) >= HOST_PATH_MAX)
			return -ENAMETOOLONG;
		n = readlinkat(host->root_fd, way, target, sizeof(target) - 1);
		if (n < 0 && errno != EINVAL)
			return -errno;
		if (n < 0 || (flags & O_NOFOLLOW && !rest[strspn(rest, "/")])) {
			strcpy(done, way);
			continue;
		}
		target[n] = '\0';
		if (++links > LINKS_MAX)
			return -ELOOP;
		if (target[0] == '/')
			strcpy(done, ".");
		if (snprintf(way, sizeof(way), "%s/%s", target, rest) >= HOST_PATH_MAX)
			return -ENAMETOOLONG;
		strcpy(rest, way);
	}
	n = openat(host->root_fd, done, flags | O_NOFOLLOW);
	return n < 0 ? -errno : (int)n;
}

/* Links of a copy lead to what they led to on its machine: never out of it. */
static int open_in(const struct iol_host *host, const char *path, int flags)
{
	struct open_how how = { .flags = (unsigned int)flags | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT };
	unsigned int tries = 0;
	long fd;

	if (host->live) {
		fd = openat(host->root_fd, path, flags | O_CLOEXEC);
		return fd < 0 ? -errno : (int)fd;
	}
	/* A rename anywhere on the machine makes it give up. */
	do
		fd = syscall(SYS_openat2, host->root_fd, path, &how, sizeof(how));
	while (fd < 0 && errno == EAGAIN && ++tries < 100);
	/* Linux 5.6; sandboxes that do not know it forbid it. */
	if (fd < 0 && (errno == ENOSYS || errno == EPERM || errno == EAGAIN))
		return walk(host, path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : (int)fd;
}

__attribute__((format(printf, 3, 0))) static int open_path(const struct iol_host *host, int flags,
							   const char *fmt, va_list args)
{
	char path[HOST_PATH_MAX];
	int rc = make_path(path, fmt, args);

	if (rc)
		return rc;
	/* A pipe in a copied tree must not hold us up. */
	return open_in(host, path, flags & O_PATH ? flags : flags | O_NONBLOCK);
}

static int read_all(int fd, char *buf, size_t len, off_t offset)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, buf + got, len - got, offset + (off_t)got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		got += (size_t)n;
	}
	return (int)got;
}

/* A file that is known to come at once, as sysfs's do: its end needs no second look. */
static int read_once(int fd, char *buf, size_t len)
{
	ssize_t n;

	do
		n = pread(fd, buf, len, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}

int iol_host_read(const struct iol_host *host, char *buf, size_t len, const char *fmt, ...)
{
	_cleanup_close_ int fd = -1;
	va_list args;
	int n;

	va_start(args, fmt);
	fd = open_path(host, O_RDONLY, fmt, args);
	va_end(args);
	if (fd < 0)
		return fd;
	n = read_once(fd, buf, len - 1);
	if (n < 0)
		return n;
	while (n && (buf[n - 1] == '\n' || buf[n - 1] == ' '))
		n--;
	buf[n] = '\0';
	return n;
}

int iol_host_read_u64(const struct iol_host *host, uint64_t *value, const char *fmt, ...)
{
	_cleanup_close_ int fd = -1;
	char text[32], *end;
	va_list args;
	int n;

	va_start(args, fmt);
	fd = open_path(host, O_RDONLY, fmt, args);
	va_end(args);
	if (fd < 0)
		return fd;
	n = read_once(fd, text, sizeof(text) - 1);
	if (n < 0)
		return n;
	text[n] = '\0';
	errno = 0;
	/* "-1" stands for none in sysfs, and is what it is in two's complement. */
	*value = strtoull(text, &end, text[0] == '0' && text[1] == 'x' ? 16 : 10);
	if (errno || end == text || (*end && *end != '\n'))
		return -EINVAL;
	return 0;
}

unsigned int iol_host_small(const struct iol_host *host, const char *file, unsigned int max)
{
	uint64_t value;

	if (iol_host_read_u64(host, &value, "%s", file) || value > max)
		return 0;
	return (unsigned int)value;
}

int iol_host_read_bytes(const struct iol_host *host, void *buf, size_t len, off_t offset,
			const char *fmt, ...)
{
	_cleanup_close_ int fd = -1;
	va_list args;

	va_start(args, fmt);
	fd = open_path(host, O_RDONLY, fmt, args);
	va_end(args);
	return fd < 0 ? fd : read_all(fd, buf, len, offset);
}

char *iol_host_text(const struct iol_host *host, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int fd = -1;
	size_t room = 4096;
	va_list args;
	char *more;
	int n;

	va_start(args, fmt);
	fd = open_path(host, O_RDONLY, fmt, args);
	va_end(args);
	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	/* Files of proc and sysfs do not tell their length. */
	for (;;) {
		more = realloc(text, room + 1);
		if (!more)
			return NULL;
		text = more;
		n = read_all(fd, text, room, 0);
		if (n < 0) {
			errno = -n;
			return NULL;
		}
		if ((size_t)n < room || room >= TEXT_MAX)
			break;
		room *= 2;
	}
	text[n] = '\0';
	return iol_take_ptr(text);
}

__attribute__((format(printf, 4, 0))) static int
read_target(const struct iol_host *host, char *buf, size_t len, const char *fmt, va_list args)
{
	_cleanup_close_ int fd = -1;
	char path[HOST_PATH_MAX];
	int rc = make_path(path, fmt, args);
	ssize_t n;

	if (rc)
		return rc;
	/* On the way to a link right in the folder there is none that could lead out of a copy. */
	if (host->live || !strchr(path, '/')) {
		n = readlinkat(host->root_fd, path, buf, len);
	} else {
		fd = open_in(host, path, O_PATH | O_NOFOLLOW);
		if (fd < 0)
			return fd;
		n = readlinkat(fd, "", buf, len);
		/* So it says when the descriptor is no link's. */
		if (n < 0 && errno == ENOENT)
			errno = EINVAL;
	}
	if (n < 0)
		return -errno;
	/* Cut off, for all one can see. */
	if ((size_t)n >= len)
		return -ENAMETOOLONG;
	buf[n] = '\0';
	return (int)n;
}

int iol_host_target(const struct iol_host *host, char *buf, size_t len, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = read_target(host, buf, len, fmt, args);
	va_end(args);
	return n;
}

int iol_host_link(const struct iol_host *host, char *buf, size_t len, const char *fmt, ...)
{
	char target[HOST_PATH_MAX];
	const char *name;
	va_list args;
	int n;

	va_start(args, fmt);
	n = read_target(host, target, sizeof(target), fmt, args);
	va_end(args);
	if (n < 0)
		return n;
	name = strrchr(target, '/');
	name = name ? name + 1 : target;
	if (strlen(name) >= len)
		return -ENAMETOOLONG;
	strcpy(buf, name);
	return (int)strlen(name);
}

bool iol_host_exists(const struct iol_host *host, const char *fmt, ...)
{
	_cleanup_close_ int fd = -1;
	va_list args;

	va_start(args, fmt);
	fd = open_path(host, O_PATH, fmt, args);
	va_end(args);
	return fd >= 0;
}

int iol_host_stat(const struct iol_host *host, struct stat *st, const char *fmt, ...)
{
	_cleanup_close_ int fd = -1;
	va_list args;

	va_start(args, fmt);
	fd = open_path(host, O_PATH | O_NOFOLLOW, fmt, args);
	va_end(args);
	if (fd < 0)
		return fd;
	return fstat(fd, st) < 0 ? -errno : 0;
}

int iol_host_enter(const struct iol_host *host, struct iol_host *folder, const char *fmt, ...)
{
	va_list args;
	int fd;

	va_start(args, fmt);
	fd = open_path(host, O_PATH | O_DIRECTORY, fmt, args);
	va_end(args);
	*folder = (struct iol_host){ .live = host->live, .root_fd = fd < 0 ? -1 : fd };
	return fd < 0 ? fd : 0;
}

int iol_host_write(const struct iol_host *host, const char *word, const char *fmt, ...)
{
	_cleanup_close_ int fd = -1;
	va_list args;
	ssize_t n;

	va_start(args, fmt);
	fd = open_path(host, O_WRONLY, fmt, args);
	va_end(args);
	if (fd < 0)
		return fd;
	do
		n = write(fd, word, strlen(word));
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

DIR *iol_host_opendir(const struct iol_host *host, const char *fmt, ...)
{
	va_list args;
	DIR *dir;
	int fd;

	va_start(args, fmt);
	fd = open_path(host, O_RDONLY | O_DIRECTORY, fmt, args);
	va_end(args);
	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	dir = fdopendir(fd);
	if (!dir)
		close(fd);
	return dir;
}

const char *iol_host_next(DIR *dir)
{
	const struct dirent *entry;

	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			return entry->d_name;
	return NULL;
}
