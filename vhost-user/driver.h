/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver side of a virtqueue, split or packed: what a guest does. It is the other end of the
 * ring tests and fuzzers, and the data path of the front end in vmm-glue/, so it is built for speed
 * as well: descriptors that did not change are not written again, and one publish shows a batch.
 */
#ifndef IOL_VHOST_USER_DRIVER_H
#define IOL_VHOST_USER_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct iol_driver_ring;

/** struct iol_driver_seg - One buffer; device-readable ones come first in a chain. */
struct iol_driver_seg {
	uint64_t addr; /* GPA, or IOVA behind an IOMMU */
	uint32_t len;
	bool write; /* the device writes it */
};

struct iol_driver_spec {
	uint16_t size;
	bool packed, event_idx, indirect, in_order;
	/* Where the ring begins, as SET_VRING_BASE gives it; 0 for a new ring of either kind. */
	uint32_t base;
	/* Where the areas are, here. Zeroed by iol_driver_new(). */
	void *desc, *avail, *used;
	/* Room for indirect tables, size * indirect_max descriptors, and its address for the device;
	 * needed with @indirect only. */
	void *tables;
	uint64_t tables_addr;
	unsigned int indirect_max;
};

/** iol_driver_areas() - Bytes and alignment (power of two) of the three areas. */
void iol_driver_areas(uint16_t size, bool packed, size_t bytes[3], size_t align[3]);

int iol_driver_new(const struct iol_driver_spec *spec, struct iol_driver_ring **ring);
void iol_driver_destroy(struct iol_driver_ring **ring);

/**
 * iol_driver_add() - Make a chain available, seen by the device at the next iol_driver_publish().
 * @cookie: given back by iol_driver_used().
 * Return: 0; -ENOSPC when the ring is full; -EINVAL when @n is 0 or too many.
 */
int iol_driver_add(struct iol_driver_ring *d, const struct iol_driver_seg *segs, unsigned int n,
		   uintptr_t cookie);

/** iol_driver_publish() - Show the device all that was added. Return: true when it wants a kick. */
bool iol_driver_publish(struct iol_driver_ring *d);

/**
 * iol_driver_used() - Take one used chain: 1, 0 when there is none, -EPROTO when the device gave back
 * what it did not have (an id never sent, or sent back twice).
 */
int iol_driver_used(struct iol_driver_ring *d, uintptr_t *cookie, uint32_t *len);

#define IOL_DRIVER_BURST_MAX 256

/**
 * iol_driver_recycle() - Take used chains and make the same ones available again, in the order in which they
 * were used; the device sees them at the next iol_driver_publish(). What a NIC's driver does for whole bursts,
 * and much less work than iol_driver_used() and iol_driver_add() for each: where the device answers in
 * order, a split ring's entries are not even written.
 * @cookies, @lens: of those taken, with room for @max; no more than IOL_DRIVER_BURST_MAX are taken.
 *
 * Between the two calls the buffers are the driver's.
 *
 * Return: how many; 0 when there are none; -EPROTO as for iol_driver_used(); -EINVAL for a chain of
 * several descriptors, and with IN_ORDER.
 */
int iol_driver_recycle(struct iol_driver_ring *d, uintptr_t *cookies, uint32_t *lens,
		       unsigned int max);

/** iol_driver_arm() - Ask for calls. Return: true when used chains wait already. */
bool iol_driver_arm(struct iol_driver_ring *d);
void iol_driver_disarm(struct iol_driver_ring *d);

/** iol_driver_inflight() - Chains the device has. */
unsigned int iol_driver_inflight(const struct iol_driver_ring *d);

/** iol_driver_base() - What SET_VRING_BASE would be for a device that has answered everything. */
uint32_t iol_driver_base(const struct iol_driver_ring *d);

#endif
