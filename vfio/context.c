/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio/context.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/device.h"
#include "vfio/host.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

/* The one place where a kind is chosen. Device nodes are there once a device is bound to a driver of VFIO's. */
static enum iol_context_kind choose(const struct iol_host *host)
{
	if (iol_host_exists(host, "%s", context_iommufd.path) &&
	    iol_host_exists(host, "dev/vfio/devices"))
		return IOL_CONTEXT_IOMMUFD;
	return IOL_CONTEXT_TYPE1;
}

int context_node(const struct iol_context *ctx, int given, const char *path)
{
	int fd;

	if (given > 0)
		fd = fcntl(given, F_DUPFD_CLOEXEC, 3);
	else
		fd = openat(ctx->host->root_fd, path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int node_failed(int err, const char *path)
{
	if (err == ENOENT || err == ENODEV || err == ENXIO)
		return iol_fail(ENODEV,
				"cannot open /%s: this kernel has none; load the module (modprobe "
				"vfio-pci), and see that the IOMMU is on (iolane check)",
				path);
	if (err == EACCES || err == EPERM)
		return iol_fail(EACCES,
				"cannot open /%s: it is not ours to open; run as root, or have it "
				"given to this user (chown USER /%s)",
				path, path);
	return iol_fail(err, "cannot open /%s: %s", path, strerror(err));
}

int iol_context_new(const struct iol_host *host, const struct iol_context_spec *spec,
		    struct iol_context **ctx)
{
	static const struct iol_context_spec plain;
	struct iol_context *c;
	int rc;

	spec = spec ? spec : &plain;
	if (!host->live)
		return iol_fail(EINVAL, "a copy of a host's files has no devices to open");
	if (spec->fd > 0 && spec->kind == IOL_CONTEXT_AUTO)
		return iol_fail(EINVAL, "a ready descriptor was given, but not the kind of "
					"context it is for: name iommufd or type1");
	c = calloc(1, sizeof(*c));
	if (!c)
		return iol_fail(ENOMEM, "no memory for a context");
	c->host = host;
	c->refs = 1;
	c->unsafe_interrupts = spec->unsafe_interrupts;
	c->kind = spec->kind == IOL_CONTEXT_AUTO ? choose(host) : spec->kind;
	c->ops = c->kind == IOL_CONTEXT_IOMMUFD ? &context_iommufd : &context_type1;
	c->fd = context_node(c, spec->fd, c->ops->path);
	if (c->fd < 0)
		rc = node_failed(-c->fd, c->ops->path);
	else
		rc = c->ops->open(c);
	if (rc) {
		iol_close(&c->fd);
		free(c);
		return rc;
	}
	*ctx = c;
	return 0;
}

void context_ref(struct iol_context *ctx)
{
	ctx->refs++;
}

void iol_context_destroy(struct iol_context **ctx)
{
	struct iol_context *c = iol_take_ptr(*ctx);

	if (!c || --c->refs)
		return;
	dirty_end(c);
	dma_unmap_all(c);
	c->ops->close(c);
	iol_close(&c->fd);
	free(c->maps.maps);
	free(c->ranges);
	free(c);
}

int iol_context_info(struct iol_context *ctx, struct iol_context_info *info)
{
	int rc = ctx->ready ? ctx->ops->facts(ctx) : 0;

	if (rc)
		return rc;
	*info = (struct iol_context_info){
		.name = ctx->name,
		.kind = ctx->kind,
		.page_sizes = ctx->page_sizes,
		.ranges = ctx->ranges,
		.num_ranges = ctx->num_ranges,
		.entries = ctx->maps.num,
		.entries_left = ctx->entries_left,
	};
	return 0;
}

int context_refused(const struct iol_context *ctx, const struct iol_vfio_device *dev,
		    const char *module)
{
	if (!ctx->unsafe_interrupts)
		return iol_fail(EPERM,
				"%s is refused: this machine does not remap interrupts, so the "
				"device could write any interrupt of the host; switch interrupt "
				"remapping on in the firmware (and drop intremap=off from the "
				"kernel's command line), or take the risk with the flag for "
				"unsafe interrupts",
				dev->name);
	return iol_fail(EPERM,
			"the kernel refuses %s, as interrupts are not remapped; to allow it all "
			"the same: echo 1 > /sys/module/%s/parameters/allow_unsafe_interrupts",
			dev->name, module);
}

int context_not_whole(const struct iol_vfio_device *dev)
{
	return iol_fail(EPERM,
			"the group of %s is not VFIO's as a whole: other functions in it have "
			"drivers (ls /%s/iommu_group/devices); bind them, too (iolane bind "
			"--with-group)",
			dev->name, dev->folder);
}

int context_no_group(const struct iol_context *ctx, const struct iol_vfio_device *dev)
{
	if (!iol_host_exists(ctx->host, "%s", dev->folder))
		return iol_fail(ENODEV, "there is no %s %s",
				dev->mdev ? "mediated device" : "PCI function", dev->name);
	return iol_fail(ENODEV,
			"%s is in no IOMMU group: switch the IOMMU on, in the firmware and with "
			"intel_iommu=on on the kernel's command line (AMD needs none)",
			dev->name);
}

int context_check_remapping(const struct iol_context *ctx, const struct iol_vfio_device *dev)
{
	/* It writes no interrupts: its driver signals eventfds. */
	if (dev->mdev && ctx->kind == IOL_CONTEXT_UNSAFE_NOIOMMU)
		return iol_fail(EINVAL,
				"%s is a mediated device, which needs no IOMMU: take it into a "
				"context that is not unsafe",
				dev->name);
	if (dev->mdev)
		return 0;
	if (ctx->kind == IOL_CONTEXT_UNSAFE_NOIOMMU) {
		iol_log(IOL_LOG_WARNING,
			"%s is taken without an IOMMU: it can read and write all of this machine's "
			"memory",
			dev->name);
		return 0;
	}
	/* Who has no IOMMU at all should not go and look for interrupt remapping. */
	if (!iol_host_exists(ctx->host, "%s/iommu_group", dev->folder))
		return context_no_group(ctx, dev);
	if (iol_iommu_remaps(ctx->host, NULL) != IOL_NO)
		return 0;
	if (!ctx->unsafe_interrupts)
		return context_refused(ctx, dev, "");
	iol_log(IOL_LOG_WARNING,
		"%s is taken though interrupts are not remapped: it can write any interrupt of "
		"this machine",
		dev->name);
	return 0;
}
