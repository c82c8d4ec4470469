/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device IOTLB (VIRTIO_F_ACCESS_PLATFORM): I/O virtual address to front-end address, filled by
 * the front end on our misses. Looked up by data threads, changed by the control thread, under a
 * reader-writer lock that only devices behind a virtual IOMMU ever pay for.
 */
#ifndef IOL_VHOST_USER_IOTLB_H
#define IOL_VHOST_USER_IOTLB_H

#include "vhost-user/memory.h"

#define IOL_ACCESS_RO 1u
#define IOL_ACCESS_WO 2u
#define IOL_ACCESS_RW 3u

struct iol_iotlb;

struct iol_iotlb_miss {
	uint64_t iova;
	uint8_t perm;
};

/**
 * iol_iotlb_new() - An empty IOTLB.
 * @wake_fd: eventfd written when a miss is queued, so that the control thread sends it.
 */
int iol_iotlb_new(int wake_fd, struct iol_iotlb **tlb);
void iol_iotlb_destroy(struct iol_iotlb **tlb);

/*
 * The most entries kept. A full IOTLB forgets one that it likes: it is a cache, and the front end tells
 * again when asked.
 */
#define IOL_IOTLB_MAX 65536

/**
 * iol_iotlb_update() - Add or replace [@iova, @iova + @size) → @uaddr.
 *
 * An update that repeats a translation adds its permissions to those that are known: some virtual
 * IOMMUs tell only what was asked for. They are taken away by an invalidation.
 *
 * Return: 0, -EINVAL for an empty or overflowing range or no permissions, -ENOMEM.
 */
int iol_iotlb_update(struct iol_iotlb *tlb, uint64_t iova, uint64_t size, uint64_t uaddr,
		     uint8_t perm);

/**
 * iol_iotlb_invalidate() - Forget every entry that touches [@iova, @iova + @size), up to the end of
 * the address space when that overflows.
 */
void iol_iotlb_invalidate(struct iol_iotlb *tlb, uint64_t iova, uint64_t size);
void iol_iotlb_clear(struct iol_iotlb *tlb);

/**
 * iol_iotlb_iov() - Translate an IOVA range for @perm to host memory.
 *
 * Return: pieces; -EAGAIN when an entry is missing or does not permit @perm (the miss is queued and
 * @wake_fd written, once for the same page until an update of that page or any invalidation comes
 * after iol_iotlb_take_miss() took it);
 * -EFAULT when the entry lies outside guest memory; -E2BIG.
 */
int iol_iotlb_iov(struct iol_iotlb *tlb, const struct iol_mem *mem, uint64_t iova, uint64_t len,
		  uint8_t perm, struct iovec *iov, unsigned int max);

/** iol_iotlb_take_miss() - The next miss to send: 1 and *@miss, or 0. Control thread. */
int iol_iotlb_take_miss(struct iol_iotlb *tlb, struct iol_iotlb_miss *miss);

/** iol_iotlb_untake_miss() - The miss could not be sent: it is to be taken again. */
void iol_iotlb_untake_miss(struct iol_iotlb *tlb, const struct iol_iotlb_miss *miss);

#endif
