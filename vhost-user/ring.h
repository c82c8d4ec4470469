/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device side of a virtqueue, split or packed, behind one interface (iol_ring_* in
 * iolane/vhost_user.h). It knows guest memory and nothing of sockets, so it is tested and
 * fuzzed against the driver side in vhost-user/driver.h.
 */
#ifndef IOL_VHOST_USER_RING_H
#define IOL_VHOST_USER_RING_H

#include <iolane/vhost_user.h>

#include "vhost-user/dirty.h"
#include "vhost-user/inflight.h"
#include "vhost-user/iotlb.h"
#include "vhost-user/memory.h"

/**
 * struct iol_ring_spec - All that a ring is started with.
 * @size: 1 to IOL_QUEUE_SIZE_MAX; a power of two for split rings.
 * @packed, @event_idx, @indirect, @in_order: negotiated features.
 * @access_platform: desc, avail, used, and all in the descriptors are IOVAs; else the three ring
 *                   addresses are front-end addresses and descriptors hold GPAs.
 * @desc, @avail, @used: SET_VRING_ADDR (packed: descriptor ring, driver area, device area).
 * @log_used, @log_addr: VHOST_VRING_F_LOG and where the used ring's dirty pages are counted from.
 * @base: SET_VRING_BASE: split, the next avail index; packed, avail index and wrap counter in
 *        bits 0-15, used in bits 16-31.
 * @mem: a reference is taken. @iotlb: NULL without access_platform.
 * @dirty: NULL when not logging.
 * @inflight: NULL when not tracked; @index is the queue's number in it. Where the log holds the state
 *            of a ring that was not stopped in order, it says where the ring goes on, not @base.
 * @resume_at_used: chains are pushed in the order in which they are popped. Without @inflight, the ring then goes on
 *                  after the last that was used.
 * @base_sure: nobody but this process had the ring since it gave @base.
 *
 * @iotlb, @dirty and @inflight must outlive the running ring.
 */
struct iol_ring_spec {
	uint16_t size;
	bool packed, event_idx, indirect, in_order, access_platform, resume_at_used, base_sure;
	uint64_t desc, avail, used;
	bool log_used;
	uint64_t log_addr;
	uint32_t base;
	struct iol_mem *mem;
	struct iol_iotlb *iotlb;
	struct iol_dirty *dirty;
	const struct iol_inflight *inflight;
	unsigned int index;
};

/**
 * iol_ring_new() - A ring, not started. Its memory (scratch for translated pieces) is sized at start.
 */
int iol_ring_new(struct iol_ring **ring);
void iol_ring_destroy(struct iol_ring **ring);

/**
 * iol_ring_start() - Map the ring areas and take up the state that the base, the used ring and the
 * inflight log tell: chains that a dead backend took and never gave back come first from
 * iol_ring_pop(), oldest first (iol_ring_replaying()).
 *
 * With access_platform a missing translation is no error: the areas are mapped by a later
 * iol_ring_pop(), which returns -EAGAIN till then.
 *
 * Return: 0; -EFAULT when an area is outside guest memory or straddles mappings that are not
 * neighbours here; -EINVAL for size, alignment or an inflight log that makes no sense; -ENOMEM.
 */
int iol_ring_start(struct iol_ring *r, const struct iol_ring_spec *spec);

/**
 * iol_ring_map() - Do now what iol_ring_start() left to the first iol_ring_pop(), so that the owner knows what
 * there is to replay before it pops. Return: 0, when nothing was left to do as well; -EAGAIN; or an
 * error of iol_ring_start()'s.
 */
int iol_ring_map(struct iol_ring *r);

/** iol_ring_read() - Whether the inflight log was read, if there is one. */
bool iol_ring_read(const struct iol_ring *r);

/** iol_ring_placed() - Whether the ring is at a place of its own, and iol_ring_base() not just what was told. */
bool iol_ring_placed(const struct iol_ring *r);

/**
 * iol_ring_leave() - Before iol_ring_stop(): the front end is going to be told where the ring goes on, and what other
 * device it gives the ring to then does not concern us. Only a ring with resume_at_used knows a difference.
 */
void iol_ring_leave(struct iol_ring *r);

/** iol_ring_stop() - Forget the areas and memory. iol_ring_base() still answers. */
void iol_ring_stop(struct iol_ring *r);

/** iol_ring_base() - What GET_VRING_BASE answers (packed: both halves). */
uint32_t iol_ring_base(const struct iol_ring *r);

/**
 * iol_ring_replaying() - The number of chains from the inflight log that are still to be popped.
 * While it is not 0, iol_ring_pop() gives them one a call: each must be pushed before the next.
 */
unsigned int iol_ring_replaying(const struct iol_ring *r);

/**
 * iol_ring_replay_oldest() - When the chain that iol_ring_pop() replays next was first taken, on a clock
 * that all queues of a device share; UINT64_MAX when there is none. To replay several queues in one order.
 */
uint64_t iol_ring_replay_oldest(const struct iol_ring *r);

/** iol_ring_inflight() - Chains popped and not pushed. */
unsigned int iol_ring_inflight(const struct iol_ring *r);

/**
 * iol_ring_settled() - Whether the inflight log has nothing to tell about the ring: every chain was
 * published, and so were those that a dead process left. Not before a log was read (an IOMMU may
 * have kept the ring from being mapped at all).
 */
bool iol_ring_settled(const struct iol_ring *r);

/** iol_ring_tracked() - Whether an inflight log remembers chains that are never pushed. */
bool iol_ring_tracked(const struct iol_ring *r);

/** iol_ring_mem() - The table that pops translate with; the ring's own reference. */
struct iol_mem *iol_ring_mem(const struct iol_ring *r);

struct iol_ring_memory;

/**
 * iol_ring_keep_mem() - For a device that lets go of a ring while storage still works on chains of
 * it: references to every table that they point into.
 * Return: what iol_ring_free_mem() drops, or NULL without memory: then they are never dropped.
 */
struct iol_ring_memory *iol_ring_keep_mem(struct iol_ring *r);

/** iol_ring_free_mem() - Drop them (any thread). Nulls *@memory; NULL is fine. */
void iol_ring_free_mem(struct iol_ring_memory **memory);

/* Changes to a running ring; on the owner's thread (iol_device_ops.queue_call). */

/** iol_ring_set_mem() - Take another table; every area is mapped anew. As for iol_ring_start(). */
int iol_ring_set_mem(struct iol_ring *r, struct iol_mem *mem);
void iol_ring_set_dirty(struct iol_ring *r, struct iol_dirty *dirty);
/** iol_ring_set_addr() - SET_VRING_ADDR on a running ring (QEMU turns VHOST_VRING_F_LOG on so). */
int iol_ring_set_addr(struct iol_ring *r, const struct iol_ring_spec *spec);
/** iol_ring_unmap() - Forget translations of the areas (IOTLB invalidation); pop maps them anew. */
void iol_ring_unmap(struct iol_ring *r);

#endif
