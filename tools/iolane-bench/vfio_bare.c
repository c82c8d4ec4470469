/* SPDX-License-Identifier: BSD-3-Clause */
/* The other side: VFIO's own calls, as a program would make them that knows its machine and checks nothing. */
#include "vfio.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/iommufd_abi.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

static bool by_iommufd(const struct vfio_user *u)
{
	return u->plan->kind == IOL_CONTEXT_IOMMUFD;
}

/* Of a call's result: 0, or the sentence. */
static int done(const char *what, long rc)
{
	return rc < 0 ? iol_fail(errno, "%s: %s", what, strerror(errno)) : 0;
}

static int open_type1(struct vfio_user *u)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/vfio/%d", u->plan->pci.iommu_group);
	u->context_fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	u->group_fd = open(path, O_RDWR | O_CLOEXEC);
	if (u->context_fd < 0 || u->group_fd < 0)
		return done(path, -1);
	if (ioctl(u->group_fd, VFIO_GROUP_SET_CONTAINER, &u->context_fd))
		return done("VFIO_GROUP_SET_CONTAINER", -1);
	if (ioctl(u->context_fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		return done("VFIO_SET_IOMMU", -1);
	u->fd = ioctl(u->group_fd, VFIO_GROUP_GET_DEVICE_FD, u->plan->name);
	return done("VFIO_GROUP_GET_DEVICE_FD", u->fd);
}

static int open_node(const char *device)
{
	char folder[64], path[320] = "";
	const struct dirent *entry;
	DIR *dir;

	snprintf(folder, sizeof(folder), "/sys/bus/pci/devices/%s/vfio-dev", device);
	dir = opendir(folder);
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			snprintf(path, sizeof(path), "/dev/vfio/devices/%s", entry->d_name);
	if (dir)
		closedir(dir);
	return open(path, O_RDWR | O_CLOEXEC);
}

static int open_iommufd(struct vfio_user *u)
{
	struct abi_bind_iommufd bind = { .argsz = sizeof(bind) };
	struct abi_ioas_alloc alloc = { .size = sizeof(alloc) };
	struct abi_attach_pt attach = { .argsz = sizeof(attach) };

	u->context_fd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	u->fd = open_node(u->plan->name);
	if (u->context_fd < 0 || u->fd < 0)
		return done("/dev/iommu and the device's node", -1);
	bind.iommufd = u->context_fd;
	if (ioctl(u->fd, ABI_VFIO_BIND_IOMMUFD, &bind))
		return done("VFIO_DEVICE_BIND_IOMMUFD", -1);
	if (ioctl(u->context_fd, ABI_IOMMU_IOAS_ALLOC, &alloc))
		return done("IOMMU_IOAS_ALLOC", -1);
	attach.pt_id = u->ioas = alloc.out_ioas_id;
	return done("VFIO_DEVICE_ATTACH_IOMMUFD_PT", ioctl(u->fd, ABI_VFIO_ATTACH_PT, &attach));
}

static void close_device(struct vfio_user *u)
{
	iol_close(&u->fd);
	iol_close(&u->group_fd);
	iol_close(&u->context_fd);
}

static int open_device(struct vfio_user *u)
{
	int rc;

	u->fd = u->group_fd = u->context_fd = -1;
	rc = by_iommufd(u) ? open_iommufd(u) : open_type1(u);
	for (unsigned int i = 0; !rc && i <= IOL_REGION_CONFIG; i++) {
		struct vfio_region_info info = { .argsz = sizeof(info), .index = i };

		rc = done("VFIO_DEVICE_GET_REGION_INFO",
			  ioctl(u->fd, VFIO_DEVICE_GET_REGION_INFO, &info));
		u->region[i].size = info.size;
		u->region[i].offset = info.offset;
	}
	if (rc)
		close_device(u);
	return rc;
}

static int map(struct vfio_user *u, void *addr, uint64_t iova, size_t len)
{
	struct abi_ioas_map ioas = {
		.size = sizeof(ioas),
		.flags = ABI_MAP_FIXED_IOVA | ABI_MAP_READABLE | ABI_MAP_WRITEABLE,
		.ioas_id = u->ioas,
		.user_va = (uintptr_t)addr,
		.length = len,
		.iova = iova,
	};
	struct vfio_iommu_type1_dma_map type1 = {
		.argsz = sizeof(type1),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)addr,
		.iova = iova,
		.size = len,
	};

	if (by_iommufd(u))
		return done("IOMMU_IOAS_MAP", ioctl(u->context_fd, ABI_IOMMU_IOAS_MAP, &ioas));
	return done("VFIO_IOMMU_MAP_DMA", ioctl(u->context_fd, VFIO_IOMMU_MAP_DMA, &type1));
}

static int unmap(struct vfio_user *u, uint64_t iova, size_t len)
{
	struct abi_ioas_unmap ioas = {
		.size = sizeof(ioas),
		.ioas_id = u->ioas,
		.iova = iova,
		.length = len,
	};
	struct vfio_iommu_type1_dma_unmap type1 = {
		.argsz = sizeof(type1),
		.iova = iova,
		.size = len,
	};

	if (by_iommufd(u))
		return done("IOMMU_IOAS_UNMAP", ioctl(u->context_fd, ABI_IOMMU_IOAS_UNMAP, &ioas));
	return done("VFIO_IOMMU_UNMAP_DMA", ioctl(u->context_fd, VFIO_IOMMU_UNMAP_DMA, &type1));
}

static int map_fd(struct vfio_user *u, int fd, uint64_t iova, size_t len, void **addr)
{
	*addr = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (*addr == MAP_FAILED)
		return done("mmap", -1);
	return map(u, *addr, iova, len);
}

static int unmap_fd(struct vfio_user *u, uint64_t iova, size_t len, void *addr)
{
	int rc = unmap(u, iova, len);

	munmap(addr, len);
	return rc;
}

static int read_region(struct vfio_user *u, unsigned int region, uint64_t at, void *v, size_t len)
{
	return done("pread", pread(u->fd, v, len, (off_t)(u->region[region].offset + at)));
}

static int write_region(struct vfio_user *u, unsigned int region, uint64_t at, const void *v,
			size_t len)
{
	return done("pwrite", pwrite(u->fd, v, len, (off_t)(u->region[region].offset + at)));
}

static int registers(struct vfio_user *u, unsigned int bar, uint64_t page, void **addr)
{
	*addr = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED, u->fd,
		     (off_t)(u->region[bar].offset + page));
	return *addr == MAP_FAILED ? done("mmap of a BAR", -1) : 0;
}

static int irq(struct vfio_user *u, int fd)
{
	char buf[sizeof(struct vfio_irq_set) + sizeof(int32_t)] __attribute__((aligned(8)));
	struct vfio_irq_set *set = (struct vfio_irq_set *)buf;

	*set = (struct vfio_irq_set){
		.argsz = sizeof(*set),
		.flags = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_NONE,
		.index = u->plan->irq,
	};
	if (fd >= 0) {
		set->argsz = sizeof(buf);
		set->flags = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_EVENTFD;
		set->count = 1;
		memcpy(set->data, &fd, sizeof(int32_t));
	}
	return done("VFIO_DEVICE_SET_IRQS", ioctl(u->fd, VFIO_DEVICE_SET_IRQS, set));
}

static int reset(struct vfio_user *u)
{
	return done("VFIO_DEVICE_RESET", ioctl(u->fd, VFIO_DEVICE_RESET));
}

const struct vfio_side vfio_bare = {
	.name = "bare",
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
