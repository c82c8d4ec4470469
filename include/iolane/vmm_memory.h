/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest memory: one description of a guest's RAM, from which all who reach it are kept in step: KVM's slots,
 * devices' DMA mappings, vhost-user back ends' tables.
 *
 * One thread at a time changes a memory or asks what was written; any may look things up meanwhile only if nothing is changed. Whoever is
 * attached is called, so the lock that is around the calls of a function or front end is around those of its memory, too.
 *
 * Each function returns 0 or a count, or a negative errno with the sentence set (iol_error()).
 */
#ifndef IOLANE_VMM_MEMORY_H
#define IOLANE_VMM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct iol_guest_memory;

/**
 * struct iol_guest_memory_spec - The RAM that a guest starts with.
 * @size: bytes, whole pages (2 MiB ones with @hugepages).
 * @below_4g: bytes that lie from address 0; the rest lies from 4 GiB up, after the hole that PCs
 *            keep for devices. 0 for all below when @size is at most 3 GiB, else 3 GiB.
 * @granule: as struct iol_guest_region has it; all of the RAM is in use at first. 0 for none.
 * @hugepages: take 2 MiB pages from the host's pool.
 * @nodes: a bit for each of the host's NUMA nodes that pages may come from; 0 for any.
 * @unsealed: leave the file free to shrink. Back ends must live with that, and good manners
 *            forbid it.
 */
struct iol_guest_memory_spec {
	uint64_t size;
	uint64_t below_4g, granule;
	bool hugepages;
	bool unsealed;
	uint64_t nodes;
};

/**
 * struct iol_guest_region - A piece of guest memory that is contiguous here and for the guest.
 * @gpa: guest physical address. @host: the same byte here. @size: bytes.
 * @fd: the file that holds it, @offset bytes in; belongs to the memory.
 * @granule: the smallest part that can be discarded while devices reach the region, which then are told of it in such pieces; 0: none.
 */
struct iol_guest_region {
	uint64_t gpa, size;
	uint8_t *host;
	int fd;
	uint64_t offset, granule;
};

/**
 * iol_guest_memory_new() - Make guest memory in a memfd: zeroed, and sealed against growing and
 * shrinking.
 * Return: 0 and *@mem; -EINVAL for sizes that can't be; -ENOMEM, also when the host's pool of huge
 * pages does not do; or memfd_create's and mmap's errors.
 */
int iol_guest_memory_new(const struct iol_guest_memory_spec *spec, struct iol_guest_memory **mem);

/** iol_guest_memory_destroy() - Unmap and close; front ends that use it must be gone. NULL is fine. */
void iol_guest_memory_destroy(struct iol_guest_memory **mem);

/**
 * iol_guest_memory_add() - Plug a region of its own file.
 * @fd: -1 for a new sealed memfd, else a shared file that holds the region from @offset on; a
 *      duplicate is kept.
 *
 *
 * Users that are attached reach it when this returns; a front end that is not learns of it at the next iol_frontend_set_memory().
 * Return: 0; -EEXIST when it would overlap another; -EINVAL, -ENOMEM; or what a user failed with, and then none reaches it.
 */
int iol_guest_memory_add(struct iol_guest_memory *mem, uint64_t gpa, uint64_t size, int fd,
			 uint64_t offset);

/**
 * iol_guest_memory_add_discardable() - Likewise, for memory of which parts come and go (virtio-mem).
 * @granule: the smallest of such parts, a power of two: whole pages of the file, and @gpa and @size are multiples of it.
 *
 * None of it is in use at first: see iol_guest_memory_populate().
 */
int iol_guest_memory_add_discardable(struct iol_guest_memory *mem, uint64_t gpa, uint64_t size,
				     int fd, uint64_t offset, uint64_t granule);

/**
 * iol_guest_memory_remove() - Unplug the region that starts at @gpa: users stop reaching it first.
 * Return: 0, or -ENOENT.
 */
int iol_guest_memory_remove(struct iol_guest_memory *mem, uint64_t gpa);

/** iol_guest_memory_regions() - The number of regions. */
unsigned int iol_guest_memory_regions(const struct iol_guest_memory *mem);

/** iol_guest_memory_region() - Region @index, ordered by gpa; NULL past the last. */
const struct iol_guest_region *iol_guest_memory_region(const struct iol_guest_memory *mem,
						       unsigned int index);

/** iol_guest_memory_host() - Where [@gpa, @gpa + @len) is here; NULL when not all in one region. */
void *iol_guest_memory_host(const struct iol_guest_memory *mem, uint64_t gpa, uint64_t len);

/**
 * iol_guest_memory_alloc() - Set room aside, never inside two regions; for programs that are guest
 * and VMM in one. There is no giving back.
 * @align: a power of two.
 * Return: 0 and *@gpa, or -ENOSPC.
 */
int iol_guest_memory_alloc(struct iol_guest_memory *mem, uint64_t size, uint64_t align,
			   uint64_t *gpa);

/* ---- those who reach it ---- */

/**
 * struct iol_memory_user_ops - What somebody who reaches guest memory is told, and asked. Of those, the dirty three and @discard
 * may be NULL: who has no dirty three never writes, or is asked by somebody else.
 * @name: for sentences: "KVM", "VFIO", "the back end at /run/disk.sock".
 * @pins: it holds pages in place (devices' DMA), so that a page which the guest gave up must not be taken from under it.
 * @add: reach one more region, of @mem; of one with a @granule, who @pins reaches only what @discard then says is there. On failure all
 *       others forget it, too.
 * @remove: reach it no more; it can't fail. When it returns, nothing of this user touches the region.
 * @discard: stop reaching (@there false), or reach again, a part of a region; in whole pieces of the region's @granule. Only who @pins is told.
 * @dirty_start, @dirty_stop: keep track of what is written by it.
 * @dirty_read: set the bits of 4 KiB pages in [@gpa, @gpa + @size) written since last asked, from bit 0 of @bitmap on; all within a region.
 */
struct iol_memory_user_ops {
	const char *name;
	bool pins;
	int (*add)(void *ctx, const struct iol_guest_memory *mem,
		   const struct iol_guest_region *region);
	void (*remove)(void *ctx, const struct iol_guest_region *region);
	int (*discard)(void *ctx, const struct iol_guest_region *region, uint64_t gpa,
		       uint64_t size, bool there);
	int (*dirty_start)(void *ctx);
	void (*dirty_stop)(void *ctx);
	int (*dirty_read)(void *ctx, const struct iol_guest_region *region, uint64_t gpa,
			  uint64_t size, uint64_t *bitmap);
};

/**
 * iol_guest_memory_attach() - Have a user reach all regions, now and as they come and go.
 * @ops: must outlive the attachment; @ctx: handed to it, and what it is detached by.
 *
 * Return: 0; or what @add failed with, and then it reaches none.
 */
int iol_guest_memory_attach(struct iol_guest_memory *mem, const struct iol_memory_user_ops *ops,
			    void *ctx);

/** iol_guest_memory_detach() - Have it reach no region any more. One that is not attached is fine. */
void iol_guest_memory_detach(struct iol_guest_memory *mem, void *ctx);

/**
 * iol_guest_memory_discard() - Give a part's pages back to the host, as a balloon or virtio-mem does; it reads as zeroes from then on.
 *
 * Where a user pins, it first stops reaching the part, so a device that writes there faults instead of writing to a
 * page that is somebody else's; that needs a region with a @granule, and whole granules.
 * Return: 0; -EBUSY: a user pins the pages and can't let go of just these: the balloon must leave them; -EINVAL: no whole pages
 * or granules; -ENOENT: not all in one region; or what the kernel or a user failed with, and then all is in use still.
 */
int iol_guest_memory_discard(struct iol_guest_memory *mem, uint64_t gpa, uint64_t size);

/** iol_guest_memory_populate() - Take it into use again. What is in use already is fine. Errors of the users' discard. */
int iol_guest_memory_populate(struct iol_guest_memory *mem, uint64_t gpa, uint64_t size);

/**
 * iol_guest_memory_dirty_start() - Keep track of written pages: by the guest, by devices and by back ends.
 *
 * All of a region that is added meanwhile counts as written once, as does what is discarded, and all memory when a user is
 * attached or detached.
 *
 * Return: 0; -EBUSY: it is kept already; what a user failed with, and then nothing is kept.
 */
int iol_guest_memory_dirty_start(struct iol_guest_memory *mem);

/** iol_guest_memory_dirty_stop() - No more, and forget what was not read. -EINVAL: it is not kept. */
int iol_guest_memory_dirty_stop(struct iol_guest_memory *mem);

/**
 * iol_guest_memory_dirty_read() - 4 KiB pages written by anybody since last asked.
 * @gpa, @size: whole 4 KiB pages; holes between regions are never dirty.
 * @bitmap: a bit a page from @gpa on, page n being bit n % 64 of word n / 64; set if it was written, else left as it is.
 * Return: 0; -EINVAL: it is not kept; a user's error, and then pages may be told again, but none is lost.
 */
int iol_guest_memory_dirty_read(struct iol_guest_memory *mem, uint64_t gpa, uint64_t size,
				uint64_t *bitmap);

/**
 * iol_guest_memory_wrote() - The VMM itself wrote to [@gpa, @gpa + @size), for a device of its own or as firmware does: call it after
 * the write. What of it is no guest memory does not count.
 */
void iol_guest_memory_wrote(struct iol_guest_memory *mem, uint64_t gpa, uint64_t size);

#ifdef __cplusplus
}
#endif
#endif
