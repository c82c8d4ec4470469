/* SPDX-License-Identifier: BSD-3-Clause */
/* An open device. */
#ifndef IOL_VFIO_DEVICE_H
#define IOL_VFIO_DEVICE_H

#include <iolane/vfio.h>

#include "vfio/dirty.h"

/* MSI-X has 2,048 vectors at most (PCIe 6.0, 7.7.2.2). */
#define IRQ_VECTORS_MAX 2048u

/* Bytes of a UUID as text, which is longer than an address. */
#define DEVICE_NAME_MAX 37

struct device_region {
	uint64_t size, offset; /* the offset in the device's descriptor */
	bool readable, writable;
	struct iol_iova_range *areas;
	size_t num_areas;
};

/*
 * @fds: duplicates of those that were set, -1 for none. @parked: of MSI: where vectors go that go to nobody.
 * @set: vectors that the kernel was told of.
 */
struct device_irq {
	struct iol_irq_info info;
	int *fds, *parked;
	bool *masked;
	unsigned int set;
};

/* @name: in sysfs: an address, or a mediated device's UUID. @folder: there, from the host's root. */
struct iol_vfio_device {
	struct iol_context *ctx;
	char name[DEVICE_NAME_MAX], folder[IOL_NAME_MAX];
	bool mdev;
	int fd;
	uint32_t devid; /* iommufd */
	struct iommufd_hwpt *hwpt;
	struct vfio_group *group; /* type1 */
	struct dirty_log log;
	enum iol_dirty_source dirty_source; /* while the context keeps track */
	struct iol_vfio_device *next;       /* of the context's */
	struct device_region *regions;
	unsigned int num_regions;
	struct device_irq irqs[IOL_IRQ_KINDS];
};

/** device_regions() - Ask for all regions. What was taken is the device's also on failure. */
int device_regions(struct iol_vfio_device *dev, unsigned int num);

/** device_irqs() - Ask for all kinds of interrupts. */
int device_irqs(struct iol_vfio_device *dev, unsigned int num);
void device_irqs_free(struct iol_vfio_device *dev);

#endif
