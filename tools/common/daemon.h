/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program that serves: its main thread only starts and ends things, and sits in one epoll_wait() for signals
 * and the control socket; other threads do the rest.
 */
#ifndef TOOLS_COMMON_DAEMON_H
#define TOOLS_COMMON_DAEMON_H

#include "tools/common/ctl_server.h"

#include <stdbool.h>

struct daemon {
	int epoll;
	int signals;
	struct ctl_server *control;
};

#define DAEMON_NONE ((struct daemon){ .epoll = -1, .signals = -1 })

/**
 * struct daemon_hooks - What the main thread does for its program between events.
 * @hangup: SIGHUP has come; NULL for nothing.
 * @timeout: how long it may wait for an event, in milliseconds; -1 for as long as it takes.
 * @turn: called after each wait; false when there is nothing to serve any more.
 */
struct daemon_hooks {
	void (*hangup)(void *ctx);
	int (*timeout)(void *ctx);
	bool (*turn)(void *ctx);
	void *ctx;
};

/**
 * daemon_start() - Take signals from a descriptor, survive guests that truncate their memory, and
 * allow as many descriptors as may be. Threads inherit the signal mask: call it before there is any.
 */
int daemon_start(struct daemon *d);

/** daemon_control() - Open the control socket. */
int daemon_control(struct daemon *d, const char *path, const struct ctl_verbs *verbs);

/**
 * daemon_serve() - Until a signal ends it, or @turn does.
 * Return: what ended it, in words; NULL with the sentence set when waiting failed.
 */
const char *daemon_serve(struct daemon *d, const struct daemon_hooks *hooks);

/** daemon_end() - Close all. */
void daemon_end(struct daemon *d);

#endif
