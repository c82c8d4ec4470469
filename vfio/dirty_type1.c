/* SPDX-License-Identifier: BSD-3-Clause */
/* What type1 knows of pages that were written (linux/vfio.h, VFIO_IOMMU_DIRTY_PAGES). */
#include "vfio/dirty.h"

#include "vfio/context.h"

#include <errno.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/ioctl.h>

/* Bytes of an entry's bitmap, in whole words. */
static uint64_t bitmap_len(const struct iol_context *ctx, const struct dma_map *map)
{
	return ((map->last - map->first) / ctx->dirty.type1_page / 64 + 1) * sizeof(uint64_t);
}

static int call(const struct iol_context *ctx, uint32_t flag,
		const struct vfio_iommu_type1_dirty_bitmap_get *get)
{
	union {
		struct vfio_iommu_type1_dirty_bitmap head;
		char bytes[sizeof(struct vfio_iommu_type1_dirty_bitmap) + sizeof(*get)];
	} cmd = { .head = { .argsz = sizeof(cmd), .flags = flag } };

	if (get)
		memcpy(cmd.bytes + sizeof(cmd.head), get, sizeof(*get));
	return ioctl(ctx->fd, VFIO_IOMMU_DIRTY_PAGES, &cmd) < 0 ? -errno : 0;
}

int type1_dirty_start(struct iol_context *ctx, struct iol_vfio_device *dev)
{
	int rc;

	if (ctx->dirty.type1_on)
		return 0;
	if (!ctx->dirty.type1_page)
		return -EOPNOTSUPP;
	for (size_t i = 0; i < ctx->maps.num; i++)
		if (bitmap_len(ctx, &ctx->maps.maps[i]) > ctx->dirty.type1_max)
			return -E2BIG;
	rc = call(ctx, VFIO_IOMMU_DIRTY_PAGES_FLAG_START, NULL);
	/* Version 1 can't. */
	if (rc == -EACCES || rc == -ENOTTY)
		return -EOPNOTSUPP;
	ctx->dirty.type1_on = !rc;
	return rc;
}

void type1_dirty_stop(struct iol_context *ctx)
{
	if (ctx->dirty.type1_on)
		call(ctx, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP, NULL);
	ctx->dirty.type1_on = false;
}

/* The kernel tells of whole entries only. */
int type1_dirty_read(struct iol_context *ctx, const struct dma_map *map, uint64_t first,
		     uint64_t last)
{
	uint64_t page = ctx->dirty.type1_page;
	int rc = dirty_scratch(ctx, map->first, map->last, page);
	struct vfio_iommu_type1_dirty_bitmap_get get = {
		.iova = map->first,
		.size = map->last - map->first + 1,
		.bitmap = { .pgsize = page,
			    .size = bitmap_len(ctx, map),
			    .data = (void *)ctx->dirty.scratch },
	};

	if (!rc)
		rc = call(ctx, VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, &get);
	if (!rc)
		dirty_add(ctx, map->first, map->last, page);
	return rc;
}

int type1_dirty_unmap(struct iol_context *ctx, const struct dma_map *map)
{
	uint64_t page = ctx->dirty.type1_page;
	int rc = dirty_scratch(ctx, map->first, map->last, page);
	struct vfio_bitmap bitmap = {
		.pgsize = page,
		.size = bitmap_len(ctx, map),
		.data = (void *)ctx->dirty.scratch,
	};
	union {
		struct vfio_iommu_type1_dma_unmap head;
		char bytes[sizeof(struct vfio_iommu_type1_dma_unmap) + sizeof(bitmap)];
	} cmd = { .head = {
			  .argsz = sizeof(cmd),
			  .flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
			  .iova = map->first,
			  .size = map->last - map->first + 1,
		  } };

	if (rc)
		return rc;
	memcpy(cmd.bytes + sizeof(cmd.head), &bitmap, sizeof(bitmap));
	if (ioctl(ctx->fd, VFIO_IOMMU_UNMAP_DMA, &cmd) < 0)
		return -errno;
	dirty_add(ctx, map->first, map->last, page);
	return 0;
}
