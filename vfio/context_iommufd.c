/* SPDX-License-Identifier: BSD-3-Clause */
/* Contexts by iommufd: an IOAS, and devices by their own nodes (Documentation/userspace-api/iommufd.rst). */
#include "vfio/context.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/device.h"
#include "vfio/host.h"
#include "vfio/iommufd_abi.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Of IOVA ranges: each reserved region splits one, and there are few. */
#define RANGES_MAX 4096u

static int facts(struct iol_context *ctx)
{
	struct abi_ioas_iova_ranges cmd = { .size = sizeof(cmd), .ioas_id = ctx->ioas };
	_cleanup_free_ struct iol_iova_range *ranges = NULL;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint32_t room = 16;

	_Static_assert(sizeof(struct iol_iova_range) == sizeof(struct abi_iova_range),
		       "the kernel writes our ranges");
	for (;;) {
		free(ranges);
		ranges = calloc(room, sizeof(*ranges));
		if (!ranges)
			return iol_fail(ENOMEM, "no memory for %u IOVA ranges", room);
		cmd.num_iovas = room;
		cmd.allowed_iovas = (uintptr_t)ranges;
		if (!ioctl(ctx->fd, ABI_IOMMU_IOAS_IOVA_RANGES, &cmd))
			break;
		if (errno != EMSGSIZE || cmd.num_iovas <= room || cmd.num_iovas > RANGES_MAX)
			return iol_fail(errno, "cannot ask iommufd which IOVAs may be used: %s",
					strerror(errno));
		room = cmd.num_iovas;
	}
	if (cmd.num_iovas > room || !cmd.out_iova_alignment ||
	    cmd.out_iova_alignment & (cmd.out_iova_alignment - 1))
		return iol_fail(EBADMSG, "iommufd tells IOVA ranges that make no sense");
	free(ctx->ranges);
	ctx->ranges = iol_take_ptr(ranges);
	ctx->num_ranges = cmd.num_iovas;
	/* Without a device there is no IOMMU yet, and any byte would do. */
	ctx->page_sizes = cmd.out_iova_alignment > page ? cmd.out_iova_alignment : page;
	ctx->entries_left = UINT32_MAX;
	return 0;
}

static void close_ioas(struct iol_context *ctx)
{
	struct abi_destroy cmd = { .size = sizeof(cmd), .id = ctx->ioas };

	/* A descriptor that was given lives on, and the address space would with it. */
	ioctl(ctx->fd, ABI_IOMMU_DESTROY, &cmd);
}

static int open_ioas(struct iol_context *ctx)
{
	struct abi_ioas_alloc alloc = { .size = sizeof(alloc) };
	int rc;

	if (ioctl(ctx->fd, ABI_IOMMU_IOAS_ALLOC, &alloc))
		return iol_fail(errno, "cannot make an address space by iommufd: %s",
				strerror(errno));
	ctx->ioas = alloc.out_ioas_id;
	ctx->name = "iommufd";
	ctx->ready = true;
	rc = facts(ctx);
	if (rc)
		close_ioas(ctx);
	return rc;
}

/* The number in /dev/vfio/devices of a function; -ENOENT when no driver of VFIO's has it. */
static int node_of(const struct iol_context *ctx, const struct iol_vfio_device *dev, char *node,
		   size_t len)
{
	_cleanup_dir_ DIR *dir = iol_host_opendir(ctx->host, "%s/vfio-dev", dev->folder);
	const char *entry;

	while (dir && (entry = iol_host_next(dir))) {
		if (strncmp(entry, "vfio", 4) != 0 || strlen(entry) >= len)
			continue;
		strcpy(node, entry);
		return 0;
	}
	return -ENOENT;
}

/* Whether a ready descriptor is known not to be the device's node. */
static bool is_other(const struct iol_context *ctx, const struct iol_vfio_device *dev,
		     const char *node, int fd)
{
	unsigned int major, minor;
	struct stat stat;
	char text[32];

	return iol_host_read(ctx->host, text, sizeof(text), "%s/vfio-dev/%s/dev", dev->folder,
			     node) > 0 &&
	       sscanf(text, "%u:%u", &major, &minor) == 2 && !fstat(fd, &stat) &&
	       stat.st_rdev != makedev(major, minor);
}

static int open_node(const struct iol_context *ctx, const struct iol_vfio_device *dev, int given)
{
	char node[IOL_NAME_MAX], path[HOST_PATH_MAX];
	int fd;

	if (node_of(ctx, dev, node, sizeof(node)))
		return iol_host_exists(ctx->host, "%s", dev->folder)
			       ? iol_fail(ENODEV,
					  "%s has no driver of VFIO's: bind it first (iolane bind "
					  "%s)",
					  dev->name, dev->name)
			       : context_no_group(ctx, dev);
	snprintf(path, sizeof(path), "dev/vfio/devices/%s", node);
	if (given > 0 && is_other(ctx, dev, node, given))
		return iol_fail(EINVAL, "the descriptor that was given for %s is not /%s",
				dev->name, path);
	fd = context_node(ctx, given, path);
	if (fd == -ENOENT)
		return iol_fail(ENODEV,
				"cannot open /%s for %s: this kernel has no device nodes of "
				"VFIO's; use a context of type1",
				path, dev->name);
	if (fd == -EACCES || fd == -EPERM)
		return iol_fail(EACCES,
				"cannot open /%s for %s: it is not ours to open; run as root, or "
				"have it given to this user (iolane bind --user=NAME)",
				path, dev->name);
	if (fd < 0)
		return iol_fail(-fd, "cannot open /%s for %s: %s", path, dev->name, strerror(-fd));
	return fd;
}

static int bind_failed(const struct iol_context *ctx, const struct iol_vfio_device *dev, int err)
{
	switch (err) {
	case EPERM: /* for both */
		if (iol_iommu_remaps(ctx->host, NULL) == IOL_YES)
			return context_not_whole(dev);
		return context_refused(ctx, dev, "iommufd");
	case EBUSY:
	case EINVAL: /* its node is bound already: the descriptor was given by somebody who did it */
		return iol_fail(EBUSY,
				"cannot take %s: it is in use, by its node or by its group; end "
				"who has it, and see that its whole group is VFIO's",
				dev->name);
	default:
		return iol_fail(err, "cannot bind %s to iommufd: %s", dev->name, strerror(err));
	}
}

static int attach(struct iol_context *ctx, struct iol_vfio_device *dev,
		  const struct iol_vfio_device_spec *spec)
{
	struct abi_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = ctx->fd };
	_cleanup_close_ int fd = -1;
	int rc;

	if (spec->vf_token)
		return iol_fail(EOPNOTSUPP,
				"cannot show %s a VF token: that takes a context of type1",
				dev->name);
	fd = open_node(ctx, dev, spec->fd);
	if (fd < 0)
		return fd;
	if (ioctl(fd, ABI_VFIO_BIND_IOMMUFD, &bind))
		return bind_failed(ctx, dev, errno);
	dev->devid = bind.out_devid;
	/* Closing the descriptor unbinds, if this fails. */
	rc = iommufd_attach(dev, fd);
	if (rc)
		return iol_fail(
			-rc,
			"cannot put %s behind the IOMMU: %s (what is mapped already may lie "
			"in its reserved regions, or its group is not VFIO's as a whole)",
			dev->name, strerror(-rc));
	dev->fd = iol_take_fd(&fd);
	return 0;
}

static void detach(struct iol_context *ctx, struct iol_vfio_device *dev)
{
	/* Closing the descriptor did it, but for page tables of our own. */
	iommufd_detached(dev);
}

static int map(struct iol_context *ctx, const struct dma_map *m)
{
	struct abi_ioas_map cmd = {
		.size = sizeof(cmd),
		.flags = ABI_MAP_FIXED_IOVA | (m->access & IOL_DMA_READ ? ABI_MAP_READABLE : 0) |
			 (m->access & IOL_DMA_WRITE ? ABI_MAP_WRITEABLE : 0),
		.ioas_id = ctx->ioas,
		.user_va = (uintptr_t)m->addr,
		.length = m->last - m->first + 1,
		.iova = m->first,
	};

	return ioctl(ctx->fd, ABI_IOMMU_IOAS_MAP, &cmd) < 0 ? -errno : 0;
}

static int unmap(struct iol_context *ctx, const struct dma_map *m)
{
	struct abi_ioas_unmap cmd = {
		.size = sizeof(cmd),
		.ioas_id = ctx->ioas,
		.iova = m->first,
		.length = m->last - m->first + 1,
	};

	return ioctl(ctx->fd, ABI_IOMMU_IOAS_UNMAP, &cmd) < 0 ? -errno : 0;
}

const struct context_ops context_iommufd = {
	.path = "dev/iommu",
	.open = open_ioas,
	.close = close_ioas,
	.attach = attach,
	.detach = detach,
	.facts = facts,
	.map = map,
	.unmap = unmap,
	.dirty_start = iommufd_dirty_start,
	.dirty_stop = iommufd_dirty_stop,
	.dirty_read = iommufd_dirty_read,
	.dirty_unmap = iommufd_dirty_unmap,
};
