/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtqueue with its driver, for programs that are guest and VMM in one (benchmarks, tests): rings
 * in guest memory, the driver's side of them, and eventfds.
 */
#ifndef IOL_VMM_GLUE_GUEST_QUEUE_H
#define IOL_VMM_GLUE_GUEST_QUEUE_H

#include <iolane/vmm_frontend.h>

#include "vhost-user/driver.h"

struct iol_guest_queue {
	struct iol_driver_ring *driver;
	/* What iol_frontend_queue_start() is given; base is where a ring begins. */
	struct iol_frontend_queue setup;
	/* The three areas, in the order of the setup. */
	void *area[3];
};

/**
 * struct iol_guest_queue_spec - @features: those negotiated; they choose the ring's layout.
 * @segs_max: pieces of the longest chain. @iova_offset: added to guest physical addresses to make
 * what the device is told (with VIRTIO_F_ACCESS_PLATFORM).
 */
struct iol_guest_queue_spec {
	uint16_t size;
	uint64_t features;
	unsigned int segs_max;
	uint64_t iova_offset;
};

/** iol_guest_queue_new() - Take room for a queue from @mem. */
int iol_guest_queue_new(struct iol_guest_memory *mem, const struct iol_guest_queue_spec *spec,
			struct iol_guest_queue **queue);
void iol_guest_queue_destroy(struct iol_guest_queue **queue);

/** iol_guest_queue_kick() - Notify the device. */
void iol_guest_queue_kick(struct iol_guest_queue *queue);

/** iol_guest_queue_wait() - Wait for a call: 1, or 0 after @timeout_ms. */
int iol_guest_queue_wait(struct iol_guest_queue *queue, int timeout_ms);

#endif
