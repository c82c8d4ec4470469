/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Contexts by a container and its groups (Documentation/driver-api/vfio.rst). A container has an IOMMU while it has
 * groups, so it starts with the first device and its mappings end with the last.
 */
#include "vfio/context.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/device.h"
#include "vfio/host.h"
#include "vfio/info.h"

#include <inttypes.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

/* The kernel's limit if it does not tell (vfio_iommu_type1, dma_entry_limit). */
#define ENTRY_LIMIT 65535u

static unsigned long iommu_of(const struct iol_context *ctx)
{
	if (ctx->kind == IOL_CONTEXT_UNSAFE_NOIOMMU)
		return VFIO_NOIOMMU_IOMMU;
	return strcmp(ctx->name, "type1") ? VFIO_TYPE1v2_IOMMU : VFIO_TYPE1_IOMMU;
}

static int open_container(struct iol_context *ctx)
{
	static const char *const names[] = { "type1v2", "type1" };

	if (ioctl(ctx->fd, VFIO_GET_API_VERSION) != VFIO_API_VERSION)
		return iol_fail(EPROTO, "/%s speaks another version of VFIO than %d",
				context_type1.path, VFIO_API_VERSION);
	if (ctx->kind == IOL_CONTEXT_UNSAFE_NOIOMMU) {
		ctx->name = "noiommu";
		if (ioctl(ctx->fd, VFIO_CHECK_EXTENSION, iommu_of(ctx)) > 0)
			return 0;
		if (!iol_host_exists(ctx->host,
				     "sys/module/vfio/parameters/enable_unsafe_noiommu_mode"))
			return iol_fail(ENODEV,
					"this kernel was built without a way to use VFIO without "
					"an IOMMU (CONFIG_VFIO_NOIOMMU)");
		return iol_fail(ENODEV,
				"this kernel has VFIO without an IOMMU switched off: echo 1 > "
				"/sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		ctx->name = names[i];
		if (ioctl(ctx->fd, VFIO_CHECK_EXTENSION, iommu_of(ctx)) > 0)
			return 0;
	}
	return iol_fail(ENODEV, "VFIO has no IOMMU of type1 here: load it (modprobe "
				"vfio_iommu_type1)");
}

static int read_ranges(struct iol_context *ctx, const char *info, size_t len, uint32_t first)
{
	_cleanup_free_ struct iol_iova_range *ranges = NULL;
	struct vfio_iommu_type1_info_cap_iova_range cap = { .nr_iovas = 1 };
	int at = vfio_info_cap(info, len, sizeof(struct vfio_iommu_type1_info), first,
			       VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE, sizeof(cap));

	if (at < 0 && at != -ENOENT)
		return at;
	if (at >= 0) {
		memcpy(&cap, info + at, sizeof(cap));
		if (cap.nr_iovas > (len - (size_t)at - sizeof(cap)) / sizeof(*ranges))
			return -EBADMSG;
	}
	ranges = calloc(cap.nr_iovas ? cap.nr_iovas : 1, sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	/*
	 * Kernels before 5.4 do not tell, and refuse when it is too late to choose. Nor do others while all devices are
	 * mediated: their drivers take any.
	 */
	if (at < 0)
		ranges[0].last = UINT64_MAX;
	else
		memcpy(ranges, info + at + sizeof(cap), cap.nr_iovas * sizeof(*ranges));
	for (uint32_t i = 0; i < cap.nr_iovas; i++)
		if (ranges[i].first > ranges[i].last ||
		    (i && ranges[i].first <= ranges[i - 1].last))
			return -EBADMSG;
	free(ctx->ranges);
	ctx->ranges = iol_take_ptr(ranges);
	ctx->num_ranges = cap.nr_iovas;
	return 0;
}

static int read_entries_left(struct iol_context *ctx, const char *info, size_t len, uint32_t first)
{
	struct vfio_iommu_type1_info_dma_avail cap;
	int at = vfio_info_cap(info, len, sizeof(struct vfio_iommu_type1_info), first,
			       VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, sizeof(cap));

	if (at == -ENOENT) {
		ctx->entries_left =
			ctx->maps.num < ENTRY_LIMIT ? ENTRY_LIMIT - (uint32_t)ctx->maps.num : 0;
		return 0;
	}
	if (at < 0)
		return at;
	memcpy(&cap, info + at, sizeof(cap));
	ctx->entries_left = cap.avail;
	return 0;
}

/* Kernels before 5.8 do not tell, and do not keep track of writes. */
static int read_migration(struct iol_context *ctx, const char *info, size_t len, uint32_t first)
{
	struct vfio_iommu_type1_info_cap_migration cap = { 0 };
	int at = vfio_info_cap(info, len, sizeof(struct vfio_iommu_type1_info), first,
			       VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION, sizeof(cap));

	if (at < 0 && at != -ENOENT)
		return at;
	if (at >= 0)
		memcpy(&cap, info + at, sizeof(cap));
	ctx->dirty.type1_page = cap.pgsize_bitmap & -cap.pgsize_bitmap;
	ctx->dirty.type1_max = cap.max_dirty_bitmap_size;
	/* It is asked in the smallest pages only. */
	if (ctx->dirty.type1_page < PAGE_SET_PAGE ||
	    ctx->dirty.type1_page != (ctx->page_sizes & -ctx->page_sizes))
		ctx->dirty.type1_page = 0;
	return 0;
}

static int facts(struct iol_context *ctx)
{
	struct vfio_iommu_type1_info head = { 0 };
	_cleanup_free_ void *info = NULL;
	uint32_t first;
	size_t len = 0;
	int rc;

	if (ctx->kind == IOL_CONTEXT_UNSAFE_NOIOMMU)
		return 0;
	rc = vfio_info(ctx->fd, VFIO_IOMMU_GET_INFO, &head, sizeof(head), &info, &len);
	if (!rc) {
		memcpy(&head, info, sizeof(head));
		first = head.flags & VFIO_IOMMU_INFO_CAPS ? head.cap_offset : 0;
		rc = read_ranges(ctx, info, len, first);
		if (!rc)
			rc = read_entries_left(ctx, info, len, first);
		ctx->page_sizes = head.flags & VFIO_IOMMU_INFO_PGSIZES ? head.iova_pgsizes : 0x1000;
		if (!rc && !ctx->page_sizes)
			rc = -EBADMSG;
		if (!rc)
			rc = read_migration(ctx, info, len, first);
	}
	if (rc)
		return iol_fail(-rc, "cannot ask the container what its IOMMU can do: %s",
				strerror(-rc));
	return 0;
}

static int open_failed(const struct iol_vfio_device *dev, const char *path, int err)
{
	switch (err) {
	case ENOENT:
	case ENXIO:
		return iol_fail(ENODEV,
				"cannot open /%s for %s: the device has no driver of VFIO's; bind "
				"it first (iolane bind %s)",
				path, dev->name, dev->name);
	case EBUSY:
		return iol_fail(EBUSY,
				"cannot open /%s for %s: another process has the group, and only "
				"one can (fuser -v /%s)",
				path, dev->name, path);
	case EACCES:
	case EPERM:
		return iol_fail(err == EPERM ? EPERM : EACCES,
				"cannot open /%s for %s: it is not ours to open; run as root, or "
				"have it given to this user (iolane bind --user=NAME)",
				path, dev->name);
	default:
		return iol_fail(err, "cannot open /%s for %s: %s", path, dev->name, strerror(err));
	}
}

static int iommu_failed(const struct iol_context *ctx, const struct iol_vfio_device *dev, int err)
{
	if (err == EPERM && ctx->kind != IOL_CONTEXT_UNSAFE_NOIOMMU)
		return context_refused(ctx, dev, "vfio_iommu_type1");
	if (err == EPERM)
		return iol_fail(EPERM, "%s without an IOMMU takes CAP_SYS_RAWIO", dev->name);
	return iol_fail(err, "cannot put the group of %s behind the IOMMU: %s", dev->name,
			strerror(err));
}

/* Put an open group into the container; it has an IOMMU from the first one on. */
static int join(struct iol_context *ctx, const struct iol_vfio_device *dev, int fd, int number)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };

	if (ioctl(fd, VFIO_GROUP_GET_STATUS, &status))
		return iol_fail(errno, "cannot ask for the state of group %d: %s", number,
				strerror(errno));
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return context_not_whole(dev);
	if (status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET)
		return iol_fail(EBUSY, "group %d of %s is in another container", number, dev->name);
	if (ioctl(fd, VFIO_GROUP_SET_CONTAINER, &ctx->fd)) {
		/* A container that has an IOMMU gives it to each group that comes. */
		if (ctx->groups)
			return iommu_failed(ctx, dev, errno);
		return iol_fail(errno, "cannot put group %d of %s into a container: %s", number,
				dev->name, strerror(errno));
	}
	if (!ctx->groups && ioctl(ctx->fd, VFIO_SET_IOMMU, iommu_of(ctx))) {
		int err = errno;

		ioctl(fd, VFIO_GROUP_UNSET_CONTAINER);
		return iommu_failed(ctx, dev, err);
	}
	return 0;
}

static int group_number(const struct iol_context *ctx, const struct iol_vfio_device *dev)
{
	char link[IOL_NAME_MAX], *end;
	unsigned long number;

	if (iol_host_link(ctx->host, link, sizeof(link), "%s/iommu_group", dev->folder) < 0)
		return context_no_group(ctx, dev);
	errno = 0;
	number = strtoul(link, &end, 10);
	if (errno || end == link || *end || number > INT32_MAX)
		return iol_fail(EBADMSG, "the group of %s is called %s, which is no number",
				dev->name, link);
	return (int)number;
}

static int find_group(struct iol_context *ctx, const struct iol_vfio_device *dev, int given,
		      struct vfio_group **group)
{
	bool unsafe = ctx->kind == IOL_CONTEXT_UNSAFE_NOIOMMU;
	int number = group_number(ctx, dev), rc;
	_cleanup_close_ int fd = -1;
	char path[HOST_PATH_MAX];
	struct vfio_group *g;

	if (number < 0)
		return number;
	for (g = ctx->groups; g; g = g->next) {
		if (g->number == number) {
			*group = g;
			return 0;
		}
	}
	snprintf(path, sizeof(path), "dev/vfio/%s%d", unsafe ? "noiommu-" : "", number);
	fd = context_node(ctx, given, path);
	if (fd < 0)
		return open_failed(dev, path, -fd);
	g = calloc(1, sizeof(*g));
	if (!g)
		return iol_fail(ENOMEM, "no memory for a group");
	rc = join(ctx, dev, fd, number);
	if (rc) {
		free(g);
		return rc;
	}
	g->number = number;
	g->fd = iol_take_fd(&fd);
	g->next = ctx->groups;
	ctx->groups = g;
	ctx->ready = true;
	*group = g;
	return 0;
}

static void drop_group(struct iol_context *ctx, struct vfio_group *group)
{
	struct vfio_group **link = &ctx->groups;

	if (group->devices)
		return;
	while (*link != group)
		link = &(*link)->next;
	*link = group->next;
	ctx->ready = ctx->groups;
	if (!ctx->groups)
		ctx->dirty.type1_on = false;
	ioctl(group->fd, VFIO_GROUP_UNSET_CONTAINER);
	iol_close(&group->fd);
	free(group);
}

/* What the kernel calls a device in its group: the address, and a VF's token as the UUID that it is. */
static void device_name(const struct iol_vfio_device *dev, const uint8_t *token, char *name,
			size_t len)
{
	int n = snprintf(name, len, "%s", dev->name);

	if (!token)
		return;
	n += snprintf(name + n, len - (size_t)n, " vf_token=");
	for (int i = 0; i < 16; i++)
		n += snprintf(name + n, len - (size_t)n, "%s%02x",
			      i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", token[i]);
}

static int attach(struct iol_context *ctx, struct iol_vfio_device *dev,
		  const struct iol_vfio_device_spec *spec)
{
	struct vfio_group *group;
	char name[96];
	int rc = find_group(ctx, dev, spec->fd, &group);

	if (rc)
		return rc;
	device_name(dev, spec->vf_token, name, sizeof(name));
	dev->fd = ioctl(group->fd, VFIO_GROUP_GET_DEVICE_FD, name);
	if (dev->fd < 0) {
		int err = errno;

		drop_group(ctx, group);
		if (err == EACCES)
			return iol_fail(EACCES,
					"cannot open %s: its PF is used by VFIO, too, and demands "
					"the VF token that was set there",
					dev->name);
		return iol_fail(err, "cannot open %s in its group: %s", dev->name, strerror(err));
	}
	group->devices++;
	dev->group = group;
	return 0;
}

static void detach(struct iol_context *ctx, struct iol_vfio_device *dev)
{
	dev->group->devices--;
	drop_group(ctx, dev->group);
	dev->group = NULL;
}

static int map(struct iol_context *ctx, const struct dma_map *m)
{
	struct vfio_iommu_type1_dma_map cmd = {
		.argsz = sizeof(cmd),
		.flags = (m->access & IOL_DMA_READ ? VFIO_DMA_MAP_FLAG_READ : 0u) |
			 (m->access & IOL_DMA_WRITE ? VFIO_DMA_MAP_FLAG_WRITE : 0u),
		.vaddr = (uintptr_t)m->addr,
		.iova = m->first,
		.size = m->last - m->first + 1,
	};

	return ioctl(ctx->fd, VFIO_IOMMU_MAP_DMA, &cmd) < 0 ? -errno : 0;
}

static int unmap(struct iol_context *ctx, const struct dma_map *m)
{
	struct vfio_iommu_type1_dma_unmap cmd = {
		.argsz = sizeof(cmd),
		.iova = m->first,
		.size = m->last - m->first + 1,
	};

	return ioctl(ctx->fd, VFIO_IOMMU_UNMAP_DMA, &cmd) < 0 ? -errno : 0;
}

static void close_container(struct iol_context *ctx)
{
	/* Its groups went with its devices. */
}

const struct context_ops context_type1 = {
	.path = "dev/vfio/vfio",
	.open = open_container,
	.close = close_container,
	.attach = attach,
	.detach = detach,
	.facts = facts,
	.map = map,
	.unmap = unmap,
	.dirty_start = type1_dirty_start,
	.dirty_stop = type1_dirty_stop,
	.dirty_read = type1_dirty_read,
	.dirty_unmap = type1_dirty_unmap,
};
