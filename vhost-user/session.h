/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One connection of a front end: it reads messages, checks each against its row of the table and the
 * device's state, calls the row's handler and answers.
 *
 * A message that cannot be (size, descriptors, version, a number that nobody knows) ends the
 * connection. One that can, but not now or not here, is answered with a failure where the
 * protocol has an answer to that message, and ends the connection where it has none.
 */
#ifndef IOL_VHOST_USER_SESSION_H
#define IOL_VHOST_USER_SESSION_H

#include "vhost-user/device.h"

struct iol_session {
	struct iol_device *dev;
	int sock;
	struct iol_wire_rx rx;
	bool backlog;      /* something for the back end's channel found no room in it */
	uint64_t messages; /* handled */
};

/** iol_session_open() - A front end is connected; @sock stays the caller's. */
void iol_session_open(struct iol_session *s, struct iol_device *dev, int sock);

/** iol_session_close() - It has gone, or has to: stop everything that is its. */
void iol_session_close(struct iol_session *s);

/**
 * iol_session_step() - Wait for something to happen, and handle it.
 *
 * Returns also when the device's wake eventfd was written, so that the caller looks at what it wants
 * to know; the eventfd is empty then.
 *
 * Return: 0 to go on; -ECONNRESET when the front end has gone; another negative errno, with the
 * sentence set, when the connection has to end.
 */
int iol_session_step(struct iol_session *s);

/* ---- handlers (handlers*.c), one a row of IOL_WIRE_MESSAGES ---- */

/*
 * A handler takes the descriptors that it keeps out of @msg. A reply with a payload of its own is
 * written over the message's, with hdr.size; a descriptor to send is put into msg->fds.
 * Return: 0, or a negative errno with the sentence set.
 */
#define M(id, name, payload, fds, feature, reply, needs, handler)                                  \
	int iol_on_##handler(struct iol_device *dev, struct iol_msg *msg);
IOL_WIRE_MESSAGES(M)
#undef M

#endif
