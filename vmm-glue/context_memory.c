/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory for devices: mapped for DMA where the guest sees it. */
#include <iolane/vmm.h>

#include "base/error.h"

#include <inttypes.h>

#define DIRTY_PAGE 4096u

static int map(struct iol_context *ctx, const struct iol_guest_region *r, uint64_t gpa,
	       uint64_t size)
{
	struct iol_dma_region dma = {
		.addr = r->host + (gpa - r->gpa),
		.fd = -1,
		.len = size,
		.iova = gpa,
		.access = IOL_DMA_READ | IOL_DMA_WRITE,
	};
	int rc = iol_dma_map(ctx, &dma, 1);

	return rc < 0 ? rc : 0;
}

static int add(void *ctx, const struct iol_guest_memory *mem, const struct iol_guest_region *region)
{
	return region->granule ? 0 : map(ctx, region, region->gpa, region->size);
}

static int unmap(struct iol_context *ctx, uint64_t gpa, uint64_t size)
{
	int rc = size ? iol_dma_unmap(ctx, gpa, size) : 0;

	return rc < 0 && rc != -ENOENT ? rc : 0;
}

static void take_away(struct iol_context *ctx, uint64_t gpa, uint64_t size)
{
	/* What the kernel keeps it also keeps pinned, so nobody else's pages are written. */
	if (unmap(ctx, gpa, size) < 0)
		iol_log(IOL_LOG_WARNING, "devices still reach guest memory at 0x%" PRIx64 ": %s",
			gpa, iol_error());
}

static void remove_region(void *ctx, const struct iol_guest_region *region)
{
	take_away(ctx, region->gpa, region->size);
}

/* A granule at a time, for what is mapped at once is one entry of the kernel's, which is only unmapped as a whole. */
static int discard(void *ctx, const struct iol_guest_region *region, uint64_t gpa, uint64_t size,
		   bool there)
{
	uint64_t at;
	int rc;

	if (!there) {
		rc = unmap(ctx, gpa, size);
		/* Some may be gone; those that are not are refused. */
		for (at = gpa; rc < 0 && at < gpa + size; at += region->granule)
			map(ctx, region, at, region->granule);
		return rc;
	}
	for (at = gpa; at < gpa + size; at += region->granule) {
		rc = map(ctx, region, at, region->granule);
		if (rc < 0) {
			take_away(ctx, gpa, at - gpa);
			return rc;
		}
	}
	return 0;
}

static int dirty_start(void *ctx)
{
	return iol_dirty_start(ctx);
}

static void dirty_stop(void *ctx)
{
	iol_dirty_stop(ctx);
}

static int dirty_read(void *ctx, const struct iol_guest_region *region, uint64_t gpa, uint64_t size,
		      uint64_t *bitmap)
{
	return iol_dirty_read(ctx, gpa, size, DIRTY_PAGE, bitmap);
}

const struct iol_memory_user_ops iol_context_memory = {
	.name = "VFIO",
	.pins = true,
	.add = add,
	.remove = remove_region,
	.discard = discard,
	.dirty_start = dirty_start,
	.dirty_stop = dirty_stop,
	.dirty_read = dirty_read,
};
