/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio/device.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/context.h"

#include <linux/vfio.h>
#include <string.h>
#include <sys/ioctl.h>

/* PCI has 9, and drivers add a few. */
#define REGIONS_MAX 64u

static void free_device(struct iol_vfio_device *dev)
{
	device_irqs_free(dev);
	/* The descriptor goes first: the IOMMU must stand for as long as the device may do DMA. */
	if (dev->fd >= 0) {
		iol_close(&dev->fd);
		dev->ctx->ops->detach(dev->ctx, dev);
	}
	for (unsigned int i = 0; dev->regions && i < dev->num_regions; i++)
		free(dev->regions[i].areas);
	free(dev->regions);
	free(dev->log.ranges);
	iol_context_destroy(&dev->ctx);
	free(dev);
}

static int read_info(struct iol_vfio_device *dev)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int rc;

	if (ioctl(dev->fd, VFIO_DEVICE_GET_INFO, &info))
		return iol_fail(errno, "cannot ask %s what it has: %s", dev->name, strerror(errno));
	if (info.num_regions > REGIONS_MAX)
		return iol_fail(EBADMSG, "%s claims %u regions", dev->name, info.num_regions);
	dev->resets = info.flags & VFIO_DEVICE_FLAGS_RESET;
	rc = device_regions(dev, info.num_regions);
	return rc ? rc : device_irqs(dev, info.num_irqs);
}

int iol_vfio_open(struct iol_context *ctx, const struct iol_vfio_device_spec *spec,
		  struct iol_vfio_device **dev)
{
	struct iol_vfio_device *d = calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return iol_fail(ENOMEM, "no memory for a device");
	d->fd = -1;
	d->addr = spec->addr;
	iol_pci_addr_format(&d->addr, d->name);
	d->ctx = ctx;
	context_ref(ctx);
	rc = context_check_remapping(ctx, &d->addr);
	if (!rc)
		rc = ctx->ops->attach(ctx, d, spec);
	if (!rc)
		rc = ctx->ops->facts(ctx);
	if (!rc)
		rc = read_info(d);
	if (!rc)
		rc = dirty_open(d);
	if (rc) {
		free_device(d);
		return rc;
	}
	ctx->devices++;
	d->next = ctx->first_device;
	ctx->first_device = d;
	*dev = d;
	return 0;
}

void iol_vfio_close(struct iol_vfio_device **dev)
{
	struct iol_vfio_device *d = iol_take_ptr(*dev), **link;

	if (!d)
		return;
	/* A container loses its mappings with its last device, so iommufd's go, too. */
	dirty_close(d);
	if (!--d->ctx->devices)
		dma_unmap_all(d->ctx);
	for (link = &d->ctx->first_device; *link != d;)
		link = &(*link)->next;
	*link = d->next;
	d->ctx->ops->detach(d->ctx, d);
	free_device(d);
}

int iol_vfio_fd(const struct iol_vfio_device *dev)
{
	return dev->fd;
}
