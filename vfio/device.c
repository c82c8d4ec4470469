/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio/device.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/context.h"

#include <ctype.h>
#include <linux/vfio.h>
#include <stdio.h>
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

/* The kernel writes UUIDs in small letters, and what is none must not become a path. */
static int read_uuid(const char *text, char uuid[DEVICE_NAME_MAX])
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	size_t i;

	for (i = 0; form[i]; i++) {
		if (form[i] == 'x' ? !isxdigit((unsigned char)text[i]) : text[i] != form[i])
			break;
		uuid[i] = (char)tolower((unsigned char)text[i]);
	}
	if (form[i] || text[i])
		return iol_fail(EINVAL, "%s is no UUID, as mediated devices are named by", text);
	uuid[i] = 0;
	return 0;
}

static int read_name(struct iol_vfio_device *dev, const struct iol_vfio_device_spec *spec)
{
	int rc = 0;

	dev->mdev = spec->mdev;
	if (dev->mdev)
		rc = read_uuid(spec->mdev, dev->name);
	else
		iol_pci_addr_format(&spec->addr, dev->name);
	snprintf(dev->folder, sizeof(dev->folder), "sys/bus/%s/devices/%s",
		 dev->mdev ? "mdev" : "pci", dev->name);
	return rc;
}

static int read_info(struct iol_vfio_device *dev)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int rc;

	if (ioctl(dev->fd, VFIO_DEVICE_GET_INFO, &info))
		return iol_fail(errno, "cannot ask %s what it has: %s", dev->name, strerror(errno));
	/* The numbers of regions and interrupts are PCI's. */
	if (!(info.flags & VFIO_DEVICE_FLAGS_PCI))
		return iol_fail(EOPNOTSUPP, "%s does not look like a PCI device: it can't be used",
				dev->name);
	if (info.num_regions > REGIONS_MAX)
		return iol_fail(EBADMSG, "%s claims %u regions", dev->name, info.num_regions);
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
	d->ctx = ctx;
	context_ref(ctx);
	rc = read_name(d, spec);
	if (!rc)
		rc = context_check_remapping(ctx, d);
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
