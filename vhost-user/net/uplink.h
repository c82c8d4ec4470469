/* SPDX-License-Identifier: BSD-3-Clause */
/* An uplink: an ethdev as a port of the switch. */
#ifndef IOL_VHOST_USER_NET_UPLINK_H
#define IOL_VHOST_USER_NET_UPLINK_H

#include "vhost-user/net/switch.h"

/** struct net_uplink_out - A transmit queue. Threads share one where there are too few, under @lock. */
struct net_uplink_out {
	pthread_spinlock_t lock;
	struct net_sink count;
} __attribute__((aligned(64)));

/** struct net_uplink_in - A receive queue. @fd: its interrupt, -1 without. */
struct net_uplink_in {
	struct net_source source;
	uint16_t queue;
	int fd;
} __attribute__((aligned(64)));

/**
 * struct net_uplink - An uplink.
 * @id: the ethdev. @probed: by us, and to be removed again. @started: atomic, as poll threads look at it.
 * @pieces: its device sends a frame from several buffers.
 * @by_signal: its driver receives nothing before a signal was handled, which any thread may have to do.
 * @takes: what its device completes itself, as features of a virtio driver that did.
 */
struct net_uplink {
	struct iol_net_port port;
	char *devargs;
	uint16_t id;
	bool probed, configured, started, pieces, by_signal;
	unsigned int queues;
	uint64_t takes;
	struct net_uplink_in *in;
	struct net_uplink_out *out;
};

static inline struct net_uplink *iol_uplink_of(const struct iol_net_port *port)
{
	return (struct net_uplink *)(uintptr_t)port;
}

/** iol_uplink_in() - Receive a burst. */
bool iol_uplink_in(struct net_thread *th, struct net_source *s);

/** iol_uplink_out() - Transmit frames. */
void iol_uplink_out(struct net_thread *th, struct iol_net_port *port, struct iol_frame **frames,
		    unsigned int n);

#endif
