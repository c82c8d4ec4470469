/* SPDX-License-Identifier: BSD-3-Clause */
/* The library's side. */
#include "vfio.h"

#include <unistd.h>

static void close_device(struct vfio_user *u)
{
	iol_vfio_close(&u->dev);
	iol_context_destroy(&u->ctx);
}

static int open_device(struct vfio_user *u)
{
	struct iol_context_spec spec = { .kind = u->plan->kind };
	struct iol_vfio_device_spec device = { .addr = u->plan->pci.addr };
	int rc = iol_context_new(u->plan->host, &spec, &u->ctx);

	if (!rc)
		rc = iol_vfio_open(u->ctx, &device, &u->dev);
	if (rc) {
		close_device(u);
		return rc;
	}
	u->fd = iol_vfio_fd(u->dev);
	return 0;
}

static int map(struct vfio_user *u, void *addr, uint64_t iova, size_t len)
{
	struct iol_dma_region region = {
		.addr = addr,
		.len = len,
		.iova = iova,
		.access = IOL_DMA_READ | IOL_DMA_WRITE,
	};
	int rc = iol_dma_map(u->ctx, &region, 1);

	return rc < 0 ? rc : 0;
}

static int unmap(struct vfio_user *u, uint64_t iova, size_t len)
{
	int rc = iol_dma_unmap(u->ctx, iova, len);

	return rc < 0 ? rc : 0;
}

static int map_fd(struct vfio_user *u, int fd, uint64_t iova, size_t len, void **addr)
{
	struct iol_dma_region region = {
		.fd = fd,
		.len = len,
		.iova = iova,
		.access = IOL_DMA_READ | IOL_DMA_WRITE,
	};
	int rc = iol_dma_map(u->ctx, &region, 1);

	*addr = region.addr;
	return rc < 0 ? rc : 0;
}

static int unmap_fd(struct vfio_user *u, uint64_t iova, size_t len, void *addr)
{
	return unmap(u, iova, len);
}

static int read_region(struct vfio_user *u, unsigned int region, uint64_t at, void *v, size_t len)
{
	return iol_vfio_region_read(u->dev, region, at, v, len);
}

static int write_region(struct vfio_user *u, unsigned int region, uint64_t at, const void *v,
			size_t len)
{
	return iol_vfio_region_write(u->dev, region, at, v, len);
}

static int registers(struct vfio_user *u, unsigned int bar, uint64_t page, void **addr)
{
	return iol_vfio_region_map(u->dev, bar, page, (size_t)sysconf(_SC_PAGESIZE), addr);
}

static int irq(struct vfio_user *u, int fd)
{
	if (fd < 0)
		return iol_irq_clear(u->dev, u->plan->irq);
	return iol_irq_set(u->dev, u->plan->irq, 0, &fd, 1);
}

static int reset(struct vfio_user *u)
{
	return iol_vfio_reset(u->dev, NULL);
}

const struct vfio_side vfio_iolane = {
	.name = "iolane",
	.open = open_device,
	.close = close_device,
	.map = map,
	.unmap = unmap,
	.map_fd = map_fd,
	.unmap_fd = unmap_fd,
	.read = read_region,
	.write = write_region,
	.registers = registers,
	.irq = irq,
	.reset = reset,
};
