/* SPDX-License-Identifier: BSD-3-Clause */
/* Page tables of iommufd's that keep track of what was written (Documentation/userspace-api/iommufd.rst, HWPT). */
#include "vfio/dirty.h"

#include "vfio/context.h"
#include "vfio/device.h"
#include "vfio/iommufd_abi.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

/* Page tables of the context's address space, for @devices that are alike. @tracks: tracking is on. */
struct iommufd_hwpt {
	uint32_t id;
	unsigned int devices;
	bool tracks;
	struct iommufd_hwpt *next;
};

static int attach_pt(int fd, uint32_t id)
{
	struct abi_attach_pt pt = { .argsz = sizeof(pt), .pt_id = id };

	return ioctl(fd, ABI_VFIO_ATTACH_PT, &pt) ? -errno : 0;
}

static bool can_track(const struct iol_vfio_device *dev)
{
	struct abi_hw_info info = { .size = sizeof(info), .dev_id = dev->devid };

	return !ioctl(dev->ctx->fd, ABI_IOMMU_GET_HW_INFO, &info) &&
	       info.out_capabilities & ABI_HW_CAP_DIRTY_TRACKING;
}

static void destroy(const struct iol_context *ctx, struct iommufd_hwpt *hwpt)
{
	struct abi_destroy cmd = { .size = sizeof(cmd), .id = hwpt->id };

	ioctl(ctx->fd, ABI_IOMMU_DESTROY, &cmd);
	free(hwpt);
}

static int join_hwpt(struct iol_vfio_device *dev, int fd, struct iommufd_hwpt *hwpt)
{
	int rc = attach_pt(fd, hwpt->id);

	if (rc)
		return rc;
	hwpt->devices++;
	dev->hwpt = hwpt;
	return 0;
}

/* Page tables of its own. */
static int new_hwpt(struct iol_vfio_device *dev, int fd)
{
	struct abi_hwpt_alloc alloc = {
		.size = sizeof(alloc),
		.flags = ABI_HWPT_ALLOC_DIRTY_TRACKING,
		.dev_id = dev->devid,
		.pt_id = dev->ctx->ioas,
	};
	struct iommufd_hwpt *hwpt;
	int rc;

	if (ioctl(dev->ctx->fd, ABI_IOMMU_HWPT_ALLOC, &alloc))
		return -errno;
	hwpt = calloc(1, sizeof(*hwpt));
	if (!hwpt) {
		struct abi_destroy cmd = { .size = sizeof(cmd), .id = alloc.out_hwpt_id };

		ioctl(dev->ctx->fd, ABI_IOMMU_DESTROY, &cmd);
		return -ENOMEM;
	}
	hwpt->id = alloc.out_hwpt_id;
	rc = join_hwpt(dev, fd, hwpt);
	if (rc) {
		destroy(dev->ctx, hwpt);
		return rc;
	}
	hwpt->next = dev->ctx->hwpts;
	dev->ctx->hwpts = hwpt;
	return 0;
}

int iommufd_attach(struct iol_vfio_device *dev, int fd)
{
	struct iommufd_hwpt *hwpt;

	if (!can_track(dev))
		return attach_pt(fd, dev->ctx->ioas);
	/* The kernel tells with EINVAL that these are for other devices. */
	for (hwpt = dev->ctx->hwpts; hwpt; hwpt = hwpt->next) {
		int rc = join_hwpt(dev, fd, hwpt);

		if (rc != -EINVAL)
			return rc;
	}
	/* A device is of use without it, too. */
	return new_hwpt(dev, fd) ? attach_pt(fd, dev->ctx->ioas) : 0;
}

static int set_tracking(const struct iol_context *ctx, struct iommufd_hwpt *hwpt, bool on)
{
	struct abi_hwpt_set_dirty_tracking cmd = {
		.size = sizeof(cmd),
		.flags = on ? ABI_DIRTY_TRACKING_ENABLE : 0,
		.hwpt_id = hwpt->id,
	};

	if (ioctl(ctx->fd, ABI_IOMMU_HWPT_SET_DIRTY_TRACKING, &cmd))
		return -errno;
	hwpt->tracks = on;
	return 0;
}

int iommufd_dirty_start(struct iol_context *ctx, struct iol_vfio_device *dev)
{
	if (!dev->hwpt)
		return -EOPNOTSUPP;
	return dev->hwpt->tracks ? 0 : set_tracking(ctx, dev->hwpt, true);
}

void iommufd_dirty_stop(struct iol_context *ctx)
{
	for (struct iommufd_hwpt *hwpt = ctx->hwpts; hwpt; hwpt = hwpt->next)
		if (hwpt->tracks)
			set_tracking(ctx, hwpt, false);
}

/* Within an entry, in pages that the IOMMU may have joined. */
static int read_hwpt(struct iol_context *ctx, const struct iommufd_hwpt *hwpt, uint64_t first,
		     uint64_t last, uint32_t flags)
{
	uint64_t page = ctx->page_sizes & -ctx->page_sizes;

	for (uint64_t end;; first = end + 1) {
		struct abi_hwpt_get_dirty_bitmap cmd = {
			.size = sizeof(cmd),
			.hwpt_id = hwpt->id,
			.flags = flags,
			.iova = first,
			.page_size = page,
		};
		int rc;

		end = dirty_window(first, last);
		rc = dirty_scratch(ctx, first, end, page);
		if (rc)
			return rc;
		cmd.length = end - first + 1;
		cmd.data = (uintptr_t)ctx->dirty.scratch;
		if (ioctl(ctx->fd, ABI_IOMMU_HWPT_GET_DIRTY_BITMAP, &cmd))
			return -errno;
		dirty_add(ctx, first, end, page);
		if (end == last)
			return 0;
	}
}

static int read_hwpts(struct iol_context *ctx, uint64_t first, uint64_t last, uint32_t flags)
{
	int rc = 0;

	for (struct iommufd_hwpt *hwpt = ctx->hwpts; hwpt && !rc; hwpt = hwpt->next)
		if (hwpt->tracks)
			rc = read_hwpt(ctx, hwpt, first, last, flags);
	return rc;
}

int iommufd_dirty_read(struct iol_context *ctx, const struct dma_map *map, uint64_t first,
		       uint64_t last)
{
	first &= ~(DIRTY_UNIT - 1);
	last |= DIRTY_UNIT - 1;
	return read_hwpts(ctx, first > map->first ? first : map->first,
			  last < map->last ? last : map->last, 0);
}

int iommufd_dirty_unmap(struct iol_context *ctx, const struct dma_map *map)
{
	int rc = read_hwpts(ctx, map->first, map->last, ABI_GET_DIRTY_BITMAP_NO_CLEAR);

	return rc ? rc : ctx->ops->unmap(ctx, map);
}

void iommufd_detached(struct iol_vfio_device *dev)
{
	struct iommufd_hwpt *hwpt = dev->hwpt, **link = &dev->ctx->hwpts;

	if (!hwpt || --hwpt->devices)
		return;
	while (*link != hwpt)
		link = &(*link)->next;
	*link = hwpt->next;
	destroy(dev->ctx, hwpt);
}
