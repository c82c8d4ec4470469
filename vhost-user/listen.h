/* SPDX-License-Identifier: BSD-3-Clause */
/* Unix socket paths: listening on one without harm to others, and connecting to one. */
#ifndef IOL_VHOST_USER_LISTEN_H
#define IOL_VHOST_USER_LISTEN_H

#include <sys/types.h>

struct iol_listener {
	int fd; /* -1: none */
	/* A socket file of our making; NULL for a descriptor that was given. */
	char *path;
	dev_t st_dev;
	ino_t st_ino;
};

/** iol_check_path() - 0, or -ENAMETOOLONG or -EINVAL with the sentence set. */
int iol_check_path(const char *path);

/**
 * iol_listen() - Bind and listen. A stale socket in the way is replaced; anything else there stays.
 * The file appears when the socket listens, so that whoever sees it may connect. Until then it has a
 * dot before its name; one that was killed so early leaves that to the next who listens on @path.
 * @mode: permission bits, or 0 for what umask says.
 * Return: 0; -EADDRINUSE for a live socket, -ENOTSOCK for another kind of file, -ENAMETOOLONG, …
 */
int iol_listen(const char *path, mode_t mode, struct iol_listener *listener);

/** iol_listener_close() - Close, and remove the socket file if it is still the one we made. */
void iol_listener_close(struct iol_listener *listener);

/** iol_connect() - Connect without waiting: *@sock, or a negative errno with the sentence set. */
int iol_connect(const char *path, int *sock);

#endif
