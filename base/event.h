/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Eventfds that a peer has, too. EFD_NONBLOCK is no promise there: it is a flag of what both have in common, and either can take
 * it away (fcntl(F_SETFL)).
 */
#ifndef IOL_BASE_EVENT_H
#define IOL_BASE_EVENT_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

/** iol_event_take() - Whether it was signalled since it was last taken. It never blocks. */
static inline bool iol_event_take(int fd)
{
	uint64_t came;
	struct iovec iov = { &came, sizeof(came) };

	return preadv2(fd, &iov, 1, -1, RWF_NOWAIT) == sizeof(came);
}

/**
 * iol_event_signal() - Signal it. One that is full is signalled already. There is no way to write that surely does not wait: a peer that fills it
 * just between the two calls would be waited for, until it reads.
 */
static inline void iol_event_signal(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	if (poll(&p, 1, 0) == 1 && p.revents & POLLOUT)
		(void)!eventfd_write(fd, 1);
}

#endif
