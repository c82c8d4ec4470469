/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory for devices: mapped for DMA where the guest sees it. */
#include <iolane/vmm.h>

#include "base/error.h"

#include <inttypes.h>

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

static void take_away(struct iol_context *ctx, uint64_t gpa, uint64_t size)
{
	int rc = iol_dma_unmap(ctx, gpa, size);

	/* What the kernel keeps it also keeps pinned, so nobody else's pages are written. */
	if (rc < 0 && rc != -ENOENT)
		iol_log(IOL_LOG_WARNING, "devices still reach guest memory at 0x%" PRIx64 ": %s",
			gpa, iol_error());
}

static void remove_region(void *ctx, const struct iol_guest_region *region)
{
	take_away(ctx, region->gpa, region->size);
}

const struct iol_memory_user_ops iol_context_memory = {
	.name = "VFIO",
	.pins = true,
	.add = add,
	.remove = remove_region,
};
