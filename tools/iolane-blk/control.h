/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket: JSON lines from a few clients, answered in the main thread. A client must be
 * of our user or root. One that is slow, silent, or does not read its answers is closed after
 * CONTROL_CLIENT_MS; when there are too many, the one that was silent longest goes.
 */
#ifndef TOOLS_IOLANE_BLK_CONTROL_H
#define TOOLS_IOLANE_BLK_CONTROL_H

#include "disks.h"

#define CONTROL_CLIENTS   16
#define CONTROL_CLIENT_MS 10000

struct control;

/**
 * control_new() - Listen on @path, with mode 0600.
 * @epoll: where the control's descriptors are watched; their event.data.ptr never is NULL.
 *
 * Return: 0, or a negative errno with the sentence set: -EADDRINUSE when a live process has the
 * path (a stale socket is replaced).
 */
int control_new(const char *path, int epoll, struct disks *disks, struct control **control);

/** control_destroy() - Close all and remove the socket. Nulls *@control; NULL is fine. */
void control_destroy(struct control **control);

/**
 * control_event() - Deal with an event whose event.data.ptr is @ptr. Wait for one event a time: what
 * is done for one may close the descriptor of another.
 */
void control_event(struct control *control, void *ptr, unsigned int events);

/** control_tick() - Close the clients whose time is over. Return: ms to the next, -1 for never. */
int control_tick(struct control *control);

#endif
