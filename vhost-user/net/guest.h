/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest's port: its queue pairs and the device that they belong to. */
#ifndef IOL_VHOST_USER_NET_GUEST_H
#define IOL_VHOST_USER_NET_GUEST_H

#include "vhost-user/net/switch.h"
#include "vhost-user/ring.h"

/**
 * struct net_rxq - A receive queue of the guest's: what goes out of the switch. All is under @lock.
 * @ring: NULL while it is not running. @iommu: its addresses are translated. @ahead: buffers, from the next on, that
 *        were found translated.
 */
struct net_rxq {
	pthread_spinlock_t lock;
	struct iol_queue *queue;
	struct iol_ring *ring;
	bool failed, waiting, mrg, iommu;
	uint8_t hdr_len;
	unsigned int ahead;
	uint64_t features;
	struct net_sink count;
} __attribute__((aligned(64)));

/** struct net_txq - A transmit queue of the guest's: what comes into the switch. */
struct net_txq {
	struct net_source source;
	struct iol_queue *queue;
	struct iol_ring *ring;
	bool woken; /* atomic */
	uint8_t hdr_len;
	uint64_t features;
} __attribute__((aligned(64)));

struct net_pair {
	struct net_rxq rx;
	struct net_txq tx;
};

/**
 * struct net_guest - A guest's port.
 * @features: what was negotiated.
 * @rx_running, @rx_map: atomic: the receive queues that run.
 */
struct net_guest {
	struct iol_net_port port;
	struct iol_device *device;
	uint64_t offer, features;
	unsigned int mtu; /* of the port's settings; 0 when not offered */
	unsigned int pairs;
	unsigned int rx_running;
	uint8_t rx_map[IOL_NET_PAIRS_MAX];
	struct net_pair pair[];
};

/** iol_guest_in() - A turn of a transmit queue. */
bool iol_guest_in(struct net_thread *th, struct net_source *s);

/** iol_guest_out() - Put frames into a receive queue. */
void iol_guest_out(struct net_thread *th, struct iol_net_port *port, struct iol_frame **frames,
		   unsigned int n);

/** iol_guest_look_ahead() - Have translations asked for that frames will need soon. Under the queue's lock. */
void iol_guest_look_ahead(struct net_rxq *q);

#endif
