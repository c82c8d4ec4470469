/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/listen.h"

#include "base/error.h"
#include "base/flock.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 16
/* It takes one microseconds. */
#define LOCK_WAIT_MS 1000

int iol_check_path(const char *path)
{
	const size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	if (!*path)
		return iol_fail(EINVAL, "the socket path is empty");
	if (strlen(path) > max)
		return iol_fail(ENAMETOOLONG,
				"the socket path %s has %zu characters; use one of at most %zu",
				path, strlen(path), max);
	return 0;
}

static void address(const char *path, struct sockaddr_un *sun)
{
	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path, path, strnlen(path, sizeof(sun->sun_path) - 1));
}

static int open_socket(int *sock)
{
	*sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*sock < 0)
		return iol_fail(errno, "cannot make a socket: %s", strerror(errno));
	return 0;
}

int iol_connect(const char *path, int *sock)
{
	_cleanup_close_ int fd = -1;
	struct sockaddr_un sun;
	int rc = open_socket(&fd);

	if (rc)
		return rc;
	address(path, &sun);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
		return iol_fail(errno, "cannot connect to %s: %s", path, strerror(errno));
	*sock = iol_take_fd(&fd);
	return 0;
}

/* Whether @path is free, once a socket that nobody listens on any more is out of the way. */
static int clear_path(const char *path)
{
	_cleanup_close_ int sock = -1;
	struct stat st;
	int rc;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0
				       : iol_fail(errno, "cannot use the socket path %s: %s", path,
						  strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return iol_fail(ENOTSOCK,
				"%s exists and is no socket; remove it or use another path", path);
	rc = iol_connect(path, &sock);
	/* EAGAIN: somebody listens, and has more callers than he can take. */
	if (!rc || rc == -EAGAIN)
		return iol_fail(EADDRINUSE,
				"another process is serving on %s; stop it or use another path",
				path);
	if (rc != -ECONNREFUSED)
		return rc == -ENOENT ? 0 : rc;
	if (unlink(path) < 0 && errno != ENOENT)
		return iol_fail(errno, "cannot remove the stale socket %s: %s", path,
				strerror(errno));
	return 0;
}

/*
 * One that makes a socket in the directory of @path at a time, so that what lies there under the name
 * of one to be is of a process that died. Who may not read the directory, or meets one that does not
 * let go, takes the chance that another begins at the very same path.
 */
static int lock_directory(const char *path)
{
	_cleanup_free_ char *copy = strdup(path);
	int fd;

	if (!copy)
		return -1;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		iol_flock(fd, LOCK_WAIT_MS);
	return fd;
}

/*
 * Bind to a name beside @path, so that the socket is whole before it gets the name that others wait
 * for; to @path itself where that name would be too long. It is one that the next who begins at @path
 * finds, should we be killed before.
 */
static int bind_near(int fd, const char *path, struct sockaddr_un *sun)
{
	const char *slash = strrchr(path, '/');
	int dir = slash ? (int)(slash - path) + 1 : 0;
	char name[sizeof(sun->sun_path)];
	int rc;

	address(path, sun);
	if (snprintf(name, sizeof(name), "%.*s.%s", dir, path, path + dir) < (int)sizeof(name)) {
		rc = clear_path(name);
		if (rc)
			return rc;
		address(name, sun);
	}
	if (bind(fd, (struct sockaddr *)sun, sizeof(*sun)) < 0)
		return iol_fail(errno, "cannot make the socket %s: %s%s", path, strerror(errno),
				errno == ENOENT ? " (its directory)" : "");
	return 0;
}

/* Give the socket its name, unless somebody took that meanwhile. */
static int give_name(const char *from, const char *path)
{
	if (!strcmp(from, path) || !renameat2(AT_FDCWD, from, AT_FDCWD, path, RENAME_NOREPLACE))
		return 0;
	/* Not every file system can tell. */
	if ((errno == EINVAL || errno == ENOSYS) && !rename(from, path))
		return 0;
	return -errno;
}

static int listen_locked(const char *path, mode_t mode, struct iol_listener *l)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *copy = NULL;
	struct sockaddr_un sun;
	struct stat st = { 0 };
	int rc = clear_path(path);

	if (!rc)
		rc = open_socket(&fd);
	if (rc)
		return rc;
	copy = strdup(path);
	if (!copy)
		return iol_fail(ENOMEM, "no memory for a socket path");
	/* The file is made with these bits less umask's, so that it is never open to more people. */
	if (mode && fchmod(fd, mode) < 0)
		return iol_fail(errno, "cannot set the mode of a socket: %s", strerror(errno));
	rc = bind_near(fd, path, &sun);
	if (rc)
		return rc;
	if ((mode && chmod(sun.sun_path, mode) < 0) || lstat(sun.sun_path, &st) < 0 ||
	    listen(fd, BACKLOG) < 0)
		rc = -errno;
	if (!rc)
		rc = give_name(sun.sun_path, path);
	if (rc) {
		unlink(sun.sun_path);
		return iol_fail(-rc, "cannot listen on %s: %s", path, strerror(-rc));
	}
	l->path = iol_take_ptr(copy);
	l->fd = iol_take_fd(&fd);
	l->st_dev = st.st_dev;
	l->st_ino = st.st_ino;
	return 0;
}

int iol_listen(const char *path, mode_t mode, struct iol_listener *l)
{
	int rc = iol_check_path(path), lock;

	if (rc)
		return rc;
	lock = lock_directory(path);
	rc = listen_locked(path, mode, l);
	iol_close(&lock);
	return rc;
}

void iol_listener_close(struct iol_listener *l)
{
	struct stat st;

	if (l->path && !lstat(l->path, &st) && st.st_dev == l->st_dev && st.st_ino == l->st_ino)
		unlink(l->path);
	free(l->path);
	l->path = NULL;
	iol_close(&l->fd);
}
