/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/common/endpoint.h"

#include "base/error.h"
#include "base/own.h"
#include "base/units.h"
#include "tools/common/ctl.h"
#include "tools/common/settings.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int endpoint_set_path(void *endpoint, const char *what, const char *value)
{
	struct endpoint *e = endpoint;
	struct sockaddr_un addr;
	int rc;

	rc = ctl_address(what, value, &addr);
	return rc < 0 ? rc : setting_string(&e->path, what, value);
}

int endpoint_set_fd(void *endpoint, const char *what, const char *value)
{
	struct endpoint *e = endpoint;
	socklen_t len = sizeof(int);
	int domain, type;
	uint64_t n;
	int rc;

	rc = iol_parse_uint(what, value, 3, INT32_MAX, &n);
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
	e->fd = e->number = (int)n;
	return 0;
}

int endpoint_set_mode(void *mode, const char *what, const char *value)
{
	size_t len = strspn(value, "01234567");
	unsigned int *m = mode;

	if (!len || len > 4 || value[len] || strtoul(value, NULL, 8) > 0777)
		return iol_fail(EINVAL, "%s must be octal permission bits such as 0660, not \"%s\"",
				what, value);
	*m = (unsigned int)strtoul(value, NULL, 8);
	/* 0 says "none given" further on, and a socket that nobody can open is of no use. */
	if (!(*m & 0222))
		return iol_fail(EINVAL,
				"%s %s lets nobody connect: give write permission, as in 0660",
				what, value);
	return 0;
}

void endpoint_free(struct endpoint *e)
{
	free(e->path);
	iol_close(&e->fd);
	*e = ENDPOINT_NONE;
}

int endpoint_check(const struct endpoint *e, const char *thing, bool dashes)
{
	const char *socket = dashes ? "--socket-path" : "socket";
	const char *fd = dashes ? "--fd" : "fd";

	if (!e->path && e->fd < 0)
		return iol_fail(EINVAL, "the %s has no socket: add %s=PATH", thing, socket);
	if (e->path && e->fd >= 0)
		return iol_fail(EINVAL, "%s and %s exclude each other: leave one out", socket, fd);
	if (e->client && e->fd >= 0)
		return iol_fail(EINVAL,
				"%s connects to a path and %s is a socket already: leave one out",
				dashes ? "--client" : "client", fd);
	if (e->mode && (e->client || e->fd >= 0))
		return iol_fail(EINVAL, "%s is for a socket that this process makes: leave it out",
				dashes ? "--socket-mode" : "socket-mode");
	return 0;
}

bool endpoint_same_path(const struct endpoint *a, const struct endpoint *b)
{
	return a->path && b->path && !strcmp(a->path, b->path);
}

int endpoint_check_two(const struct endpoint *a, const struct endpoint *b, const char *things)
{
	if (endpoint_same_path(a, b))
		return iol_fail(EINVAL, "two %s have the socket %s: each needs its own", things,
				a->path);
	if (a->fd >= 0 && a->fd == b->fd)
		return iol_fail(EINVAL, "two %s have fd %d: each needs its own", things, a->fd);
	return 0;
}

int endpoint_check_absolute(const struct endpoint *e)
{
	if (!e->path || *e->path == '/')
		return 0;
	return iol_fail(EINVAL, "socket must be an absolute path, not \"%s\"", e->path);
}

int endpoint_serve(struct endpoint *e, struct iol_device *dev, struct iol_server **server)
{
	struct iol_server_spec spec = {
		.path = e->path,
		.fd = iol_take_fd(&e->fd),
		.client = e->client,
		.mode = e->mode,
	};

	return iol_server_new(dev, &spec, server);
}

const char *endpoint_where(const struct endpoint *e)
{
	static char text[16];

	if (e->path)
		return e->path;
	snprintf(text, sizeof(text), "fd %d", e->number);
	return text;
}
