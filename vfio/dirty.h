/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which pages devices wrote. All sources put what they know into one set, of which readers take: so nothing is lost when a
 * source tells more than was asked for, memory is unmapped, or a device goes.
 */
#ifndef IOL_VFIO_DIRTY_H
#define IOL_VFIO_DIRTY_H

#include <iolane/vfio.h>

#include "vfio/page_set.h"

struct dma_map;

/*
 * Pages of the IOMMU and of devices' logs are no larger. The kernel may write beyond a bitmap, or miss pages, where a
 * question cuts one, so none does.
 */
#define DIRTY_UNIT (UINT64_C(1) << 30)

/* @type1_on: it keeps track. @scratch: a bitmap for the kernel, @room bytes. */
struct dirty {
	bool on, type1_on;
	uint64_t type1_page, type1_max; /* its pages, 0 if it can't; the largest bitmap in bytes */
	struct page_set pages;
	uint64_t *scratch;
	size_t room;
};

/* A device's own log: of @ranges, in pages of @page bytes at most. */
struct dirty_log {
	bool on;
	uint64_t page;
	struct iol_iova_range *ranges;
	size_t num;
};

/** dirty_open() - A device has come. dirty_close() - Close its descriptor; it is still in the context's list. */
int dirty_open(struct iol_vfio_device *dev);
void dirty_close(struct iol_vfio_device *dev);

/** dirty_end() - Stop, if it is on. */
void dirty_end(struct iol_context *ctx);

/** dirty_unmap() - Take an entry from the kernel, and keep what was written. A negative errno without a sentence. */
int dirty_unmap(struct iol_context *ctx, const struct dma_map *map);

/**
 * dirty_scratch() - ctx->dirty.scratch with a cleared bit for each page of @page bytes from @first to @last, and room for them in
 * the set. It begins at a page of memory and has whole ones: kernels before 6.8 lose bits otherwise. -ENOMEM.
 */
int dirty_scratch(struct iol_context *ctx, uint64_t first, uint64_t last, uint64_t page);

/** dirty_add() - Put the scratch of the same range into the set. */
void dirty_add(struct iol_context *ctx, uint64_t first, uint64_t last, uint64_t page);

/** dirty_window() - Up to where to ask at once, from @first on: bitmaps that the kernel need not pin in pieces. */
uint64_t dirty_window(uint64_t first, uint64_t last);

/* ---- devices' logs; a negative errno without a sentence ---- */

/** dirty_log_start() - Log what is mapped. -EOPNOTSUPP: nothing is, or the device can't. */
int dirty_log_start(struct iol_vfio_device *dev);
void dirty_log_stop(struct iol_vfio_device *dev);

/** dirty_log_read() - Put what it wrote from @first to @last into the set; all of it if it does not log that. */
int dirty_log_read(struct iol_vfio_device *dev, uint64_t first, uint64_t last);

/* ---- iommufd ---- */

/**
 * iommufd_attach() - Put a bound device behind the IOMMU, by page tables that keep track if the IOMMU can. A negative
 * errno without a sentence.
 */
int iommufd_attach(struct iol_vfio_device *dev, int fd);

/** iommufd_detached() - Its descriptor is closed; page tables that nobody has any more go. */
void iommufd_detached(struct iol_vfio_device *dev);

int iommufd_dirty_start(struct iol_context *ctx, struct iol_vfio_device *dev);
void iommufd_dirty_stop(struct iol_context *ctx);
int iommufd_dirty_read(struct iol_context *ctx, const struct dma_map *map, uint64_t first,
		       uint64_t last);
int iommufd_dirty_unmap(struct iol_context *ctx, const struct dma_map *map);

/* ---- type1 ---- */

int type1_dirty_start(struct iol_context *ctx, struct iol_vfio_device *dev);
void type1_dirty_stop(struct iol_context *ctx);
int type1_dirty_read(struct iol_context *ctx, const struct dma_map *map, uint64_t first,
		     uint64_t last);
int type1_dirty_unmap(struct iol_context *ctx, const struct dma_map *map);

#endif
