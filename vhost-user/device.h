/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device as the control thread sees it: what was negotiated, guest memory, logs, queues. All of it
 * belongs to the control thread, except what a running queue's ring holds: that is touched
 * on its owner's thread only (iol_queue_on_owner()).
 *
 * A queue is *started* from SET_VRING_KICK to GET_VRING_BASE, and *running*, in the hands of a
 * data thread, while it is started and enabled. The device is suspended while no queue is started.
 */
#ifndef IOL_VHOST_USER_DEVICE_H
#define IOL_VHOST_USER_DEVICE_H

#include <pthread.h>
#include <sys/types.h>

#include <iolane/vhost_user.h>

#include "vhost-user/inflight.h"
#include "vhost-user/ring.h"
#include "vhost-user/wire.h"

#define IOL_BIT(n) (1ull << (n))

enum iol_enable {
	IOL_ENABLE_UNSET, /* as VHOST_USER_F_PROTOCOL_FEATURES says */
	IOL_ENABLE_ON,
	IOL_ENABLE_OFF,
};

#define IOL_OWED_CALL 1u
#define IOL_OWED_ERR  2u

struct iol_queue {
	struct iol_device *dev;
	unsigned int index;
	struct iol_ring *ring;
	/* Control thread. */
	bool started;
	bool running;
	bool clean; /* parked with nothing left in flight */
	enum iol_enable enable;
	bool has_addr;
	struct iol_ring_spec spec; /* size, addresses and base; the rest is filled at start */
	/* The owner's while running. */
	int kick, call, err;
	unsigned int owed; /* atomic: of IOL_OWED_*: what the control thread is to signal */
};

struct iol_device {
	char *name;
	const struct iol_device_ops *ops;
	void *ctx;
	unsigned int num_queues;
	uint64_t type_features;     /* what the device type and the core offer */
	uint64_t protocol_features; /* offered */
	bool resume_at_used;        /* struct iol_device_spec */
	int wake;                   /* eventfd: something below, or the server's, wants a look */
	bool broken;                /* atomic: shared memory was truncated under us */
	bool config_changed;        /* atomic: the front end is to be told */
	bool ending;                /* atomic: its server is being destroyed */
	bool mistrusted;            /* atomic: data threads signal nothing; see watch.h */
	bool told_mistrust;
	struct iol_device *next_watched; /* watch.c's */
	struct iol_mem *no_mem;          /* the empty table */

	/* One connection's; see iol_device_disconnect(). */
	pid_t peer; /* the front end's process, 0 when unknown */
	bool has_features;
	bool has_protocol; /* SET_PROTOCOL_FEATURES came */
	bool live;         /* ops->start was called and ops->stop was not */
	uint64_t features;
	uint64_t protocol;
	uint8_t status;
	int backend_fd;
	struct iol_mem *mem; /* never NULL */
	struct iol_iotlb *iotlb;
	struct iol_dirty *dirty;
	struct iol_inflight *inflight;

	/* Guards what iol_device_config_changed() looks at from other threads. */
	pthread_mutex_t lock;
	bool connected;
	bool can_notify; /* BACKEND_REQ and CONFIG were negotiated and the channel is there */

	struct iol_queue queue[];
};

static inline bool iol_device_has(const struct iol_device *dev, unsigned int feature)
{
	return dev->features & IOL_BIT(feature);
}

static inline bool iol_device_has_protocol(const struct iol_device *dev, int feature)
{
	return dev->protocol & IOL_BIT(feature);
}

/** iol_device_offer() - GET_FEATURES. */
uint64_t iol_device_offer(const struct iol_device *dev);

/** iol_device_connect() - A front end is there: process @peer, or 0. */
void iol_device_connect(struct iol_device *dev, pid_t peer);

/** iol_device_disconnect() - It has gone: stop every queue and forget all that it negotiated or shared. */
void iol_device_disconnect(struct iol_device *dev);

/** iol_device_reset() - Virtio's reset. Memory, descriptors and the protocol's features stay. */
void iol_device_reset(struct iol_device *dev);

/** iol_device_set_backend_fd() - Take over the back end's channel. -1 closes it. */
void iol_device_set_backend_fd(struct iol_device *dev, int fd);

/** iol_device_wake() - Have the control thread look. Any thread. */
void iol_device_wake(const struct iol_device *dev);

/** iol_device_mistrust() - The control thread signals its eventfds from now on. Any thread. */
void iol_device_mistrust(struct iol_device *dev);

/** iol_device_signal_owed() - Signal what data threads left to us, the control thread. */
void iol_device_signal_owed(struct iol_device *dev);

/** iol_device_update_notify() - After a change to what ->can_notify is made of. */
void iol_device_update_notify(struct iol_device *dev);

/* ---- queues (queue.c) ---- */

int iol_queue_init(struct iol_queue *q, struct iol_device *dev, unsigned int index);
void iol_queue_fini(struct iol_queue *q);

/** iol_queue_update() - Bring ->running in line with ->started and ->enable. */
int iol_queue_update(struct iol_queue *q);

/** iol_queue_park() - Take a running queue from its data thread, for a change; else nothing. */
void iol_queue_park(struct iol_queue *q);

/** iol_device_park(), iol_device_unpark() - The same for all, and iol_queue_update() for all. */
void iol_device_park(struct iol_device *dev);
int iol_device_unpark(struct iol_device *dev);

/** iol_queue_start() - SET_VRING_KICK: check that all is there, start the device first if need be. */
int iol_queue_start(struct iol_queue *q);

/**
 * iol_queue_stop() - Stop for good; iol_device_settle() after the last.
 * @told: the front end knows where the ring goes on (GET_VRING_BASE), or that it begins anew (a reset).
 *        Otherwise the inflight log keeps what only it can tell: a packed ring's place.
 */
void iol_queue_stop(struct iol_queue *q, bool told);

/** iol_device_settle() - Suspend the device if no queue is started any more. */
void iol_device_settle(struct iol_device *dev);

/** iol_queue_on_owner() - Run @fn where the queue is: on its data thread, or here. */
void iol_queue_on_owner(struct iol_queue *q, void (*fn)(void *arg), void *arg);

#endif
