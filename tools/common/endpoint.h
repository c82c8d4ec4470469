/* SPDX-License-Identifier: BSD-3-Clause */
/* The vhost-user socket of a disk or a port, as its settings say, and serving a device on it. */
#ifndef TOOLS_COMMON_ENDPOINT_H
#define TOOLS_COMMON_ENDPOINT_H

#include <iolane/vhost_user.h>
#include <stddef.h>

/**
 * struct endpoint - A socket.
 * @path: owned; NULL with @fd.
 * @fd: the socket itself, owned until it is served; -1 for none.
 * @number: what @fd was when it was given, to be named by; -1 for none.
 * @client: connect to @path in place of listening on it.
 * @mode: the listening socket's permission bits, 0 for what umask says.
 */
struct endpoint {
	char *path;
	int fd;
	int number;
	bool client;
	unsigned int mode;
};

#define ENDPOINT_NONE ((struct endpoint){ .fd = -1, .number = -1 })

/* The first rows of a table of settings; @field is the struct endpoint in @type. */
/* clang-format off */
#define ENDPOINT_SETTINGS(type, field)                                                          \
	{ "socket",      "socket-path", "PATH", endpoint_set_path, offsetof(type, field) },     \
	{ "fd",          "fd",          "N",    endpoint_set_fd,   offsetof(type, field) },     \
	{ "socket-mode", "socket-mode", "MODE", endpoint_set_mode, offsetof(type, field.mode) }, \
	{ "client",      "client",      NULL,   setting_bool,      offsetof(type, field.client) }
/* clang-format on */

int endpoint_set_path(void *endpoint, const char *what, const char *value);
int endpoint_set_fd(void *endpoint, const char *what, const char *value);
int endpoint_set_mode(void *mode, const char *what, const char *value);

/** endpoint_free() - Free the path and close the descriptor; what was taken is not there. */
void endpoint_free(struct endpoint *e);

/**
 * endpoint_check() - Whether there is one socket, and what else was said suits it.
 * @thing: what is to be served, such as "disk".
 * @dashes: settings are named as options ("--fd") and not as keys ("fd").
 */
int endpoint_check(const struct endpoint *e, const char *thing, bool dashes);

/**
 * endpoint_check_two() - Whether two things can be served beside each other.
 * @things: what they are, such as "disks".
 */
int endpoint_check_two(const struct endpoint *a, const struct endpoint *b, const char *things);

/** endpoint_same_path() - Whether both have a path, and the same. */
bool endpoint_same_path(const struct endpoint *a, const struct endpoint *b);

/**
 * endpoint_check_absolute() - A relative path from a control client would mean another file here than it
 * does there. Return: 0, or -EINVAL with the sentence set.
 */
int endpoint_check_absolute(const struct endpoint *e);

/** endpoint_serve() - Serve @dev on it, which takes the descriptor, also on failure. */
int endpoint_serve(struct endpoint *e, struct iol_device *dev, struct iol_server **server);

/** endpoint_where() - "PATH" or "fd N", for the log; valid until the next call. */
const char *endpoint_where(const struct endpoint *e);

#endif
