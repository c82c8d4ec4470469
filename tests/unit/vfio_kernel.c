/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/vfio_kernel.h"

#include "vfio/host.h"
#include "vfio/iommufd_abi.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#define BAR_SIZE     0x4000u
#define CONFIG_BYTES 0x1000u

/* Of newer headers than Debian 12's. */
#define FEATURE_MIG_DATA_SIZE 9u
#define ABI_PRE_COPY          (1u << 2)
#define ABI_STATE_PRE_COPY    6u
#define MIG_GET_PRECOPY_INFO  _IO(VFIO_TYPE, VFIO_BASE + 21)

struct fake_kernel fake;

int __wrap_ioctl(int fd, unsigned long request, ...);

void fake_put(struct fake_chain *chain, uint64_t value, size_t len)
{
	assert_true(chain->len + len <= sizeof(chain->bytes));
	memcpy(chain->bytes + chain->len, &value, len);
	chain->len += len;
}

void fake_new(void)
{
	free(fake.maps);
	fake = (struct fake_kernel){
		.entries = 65535,
		.fail_errno = EIO,
		.bitmap_max = 1u << 28,
		.log_ranges = 256,
		.config_size = CONFIG_BYTES,
		.sizes = { BAR_SIZE },
		.irqs = { 1, FAKE_MSI, FAKE_MSIX, 1, 1 },
		.intx = -1,
		.intx_unmask = -1,
		.error = -1,
		.request = -1,
		.state = -1,
	};
}

void fake_begin(struct host_tree *tree)
{
	fake_new();
	tree_make(tree);
	tree_function(tree, FAKE_DEVICE, "1B36:0010", "10802", "vfio-pci", 7);
	tree_function(tree, FAKE_DEVICE2, "1B36:0010", "10802", "vfio-pci", 8);
	tree_add(tree, "sys/bus/pci/devices/" FAKE_DEVICE "/vfio-dev/vfio0/\n"
		       "sys/bus/pci/devices/" FAKE_DEVICE2 "/vfio-dev/vfio1/\n"
		       "sys/bus/pci/devices/" FAKE_DEVICE "/reset_method = flr bus\n"
		       "proc/interrupts = 24: 0 IR-PCI-MSI-0000:01:00.0 0-edge x\n"
		       "dev/iommu = node\n"
		       "dev/vfio/vfio = node\n"
		       "dev/vfio/7 = node\n"
		       "dev/vfio/8 = node\n"
		       "dev/vfio/devices/vfio0 = node\n"
		       "sys/bus/mdev/devices/" FAKE_MDEV "/vfio-dev/vfio2/\n"
		       "sys/bus/mdev/devices/" FAKE_MDEV
		       "/iommu_group -> ../../../kernel/iommu_groups/9\n"
		       "dev/vfio/9 = node\n"
		       "dev/vfio/devices/vfio1 = node\n"
		       "dev/vfio/devices/vfio2 = node\n");
	/* Its nodes can be opened, which those of a copy can't. */
	tree->host->live = true;
}

void fake_end(struct host_tree *tree)
{
	assert_int_equal(fake.groups, 0);
	assert_int_equal(fake.num_maps, 0);
	assert_int_equal(fake.enabled, 0);
	fake_dirty_end();
	if (fake.state >= 0)
		close(fake.state);
	free(fake.maps);
	fake.maps = NULL;
	tree_remove(tree);
}

static int map(uint64_t iova, uint64_t addr, uint64_t len, unsigned int access)
{
	for (size_t i = 0; i < fake.num_maps; i++)
		if (iova < fake.maps[i].iova + fake.maps[i].len && fake.maps[i].iova < iova + len)
			return fake_fails(EEXIST);
	if (fake.num_maps >= fake.entries)
		return fake_fails(ENOSPC);
	fake.maps = reallocarray(fake.maps, fake.num_maps + 1, sizeof(*fake.maps));
	assert_non_null(fake.maps);
	fake.maps[fake.num_maps++] = (struct fake_map){ iova, addr, len, access };
	return 0;
}

static int unmap(uint64_t iova, uint64_t len)
{
	for (size_t i = 0; i < fake.num_maps; i++) {
		if (fake.maps[i].iova != iova || fake.maps[i].len != len)
			continue;
		fake.maps[i] = fake.maps[--fake.num_maps];
		fake_unmapped(iova, len);
		return 0;
	}
	return fake_fails(ENOENT);
}

/* The answer with as much of the chain as there is room for, as the kernel does it. */
static void answer(void *arg, size_t head, const struct fake_chain *chain, uint32_t *flags,
		   uint32_t flag, uint32_t *first)
{
	uint32_t room;

	memcpy(&room, arg, sizeof(room));
	if (!chain->len)
		return;
	*flags |= flag;
	if (room < head + chain->len) {
		*first = 0;
		room = (uint32_t)(head + chain->len);
		memcpy(arg, &room, sizeof(room));
		return;
	}
	*first = chain->first;
	memcpy((char *)arg + head, chain->bytes, chain->len);
}

uint64_t fake_region(unsigned int index)
{
	/* BARs may be of gigabytes; the file has holes. */
	return index == VFIO_PCI_CONFIG_REGION_INDEX ? 0 : (index + UINT64_C(1)) << 36;
}

static struct fake_device *device_of(int fd)
{
	struct stat now, other;

	assert_return_code(fstat(fd, &now), errno);
	for (unsigned int i = 0; i < fake.num_devices; i++)
		if (!fstat(fake.devices[i].fd, &other) && other.st_ino == now.st_ino &&
		    fake.devices[i].inode == now.st_ino)
			return &fake.devices[i];
	return NULL;
}

/* A device has its registers. */
static int opened(int fd)
{
	const struct fake_device *before = device_of(fd);
	struct stat now;

	/* As its node it can be opened once. */
	if (before && before->fd != fd)
		return fake_fails(EINVAL);
	fake_opened(fd);
	assert_return_code(fstat(fd, &now), errno);
	fake.devices[fake.num_devices - 1].inode = now.st_ino;
	if (!fake.config)
		return 0;
	assert_return_code(ftruncate(fd, 0), errno);
	assert_return_code(ftruncate(fd, (off_t)fake_region(VFIO_PCI_NUM_REGIONS)), errno);
	assert_int_equal(pwrite(fd, fake.config, fake.config_size, 0), fake.config_size);
	return 0;
}

static int region_info(struct vfio_region_info *info)
{
	info->offset = fake_region(info->index);
	info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	switch (info->index) {
	case VFIO_PCI_CONFIG_REGION_INDEX:
		info->size = fake.config_size;
		return 0;
	case VFIO_PCI_VGA_REGION_INDEX:
		return fake_fails(EINVAL);
	case VFIO_PCI_ROM_REGION_INDEX:
		info->flags = VFIO_REGION_INFO_FLAG_READ;
		break;
	default:
		if (!(fake.ports >> info->index & 1))
			info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	}
	info->size = fake.sizes[info->index];
	if (!info->index)
		answer(info, sizeof(*info), &fake.region, &info->flags, VFIO_REGION_INFO_FLAG_CAPS,
		       &info->cap_offset);
	return 0;
}

static int irq_info(struct vfio_irq_info *info)
{
	if (info->index >= sizeof(fake.irqs) / sizeof(fake.irqs[0]))
		return fake_fails(EINVAL);
	info->count = fake.irqs[info->index];
	info->flags = VFIO_IRQ_INFO_EVENTFD;
	if (info->index == VFIO_PCI_INTX_IRQ_INDEX)
		info->flags |= VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED;
	else if (!fake.dynamic || info->index != VFIO_PCI_MSIX_IRQ_INDEX)
		info->flags |= VFIO_IRQ_INFO_NORESIZE;
	return 0;
}

void fake_interrupt(unsigned int vector)
{
	if (vector < fake.enabled && fake.vectors[vector] >= 0)
		assert_return_code(eventfd_write(fake.vectors[vector], 1), errno);
	else
		fake.waits[vector] = true;
}

/* It is masked as it comes, until who hears it says so. */
static void raise_intx(void)
{
	if (!fake.line || fake.intx_masked || fake.intx < 0)
		return;
	fake.intx_masked = true;
	assert_return_code(eventfd_write(fake.intx, 1), errno);
}

void fake_line(bool up)
{
	eventfd_t came;

	fake.line = up;
	if (fake.intx_unmask >= 0 && !eventfd_read(fake.intx_unmask, &came))
		fake.intx_masked = false;
	raise_intx();
}

static int set_intx(const struct vfio_irq_set *set)
{
	int fd;

	if (set->flags & VFIO_IRQ_SET_DATA_NONE) {
		if (set->flags & VFIO_IRQ_SET_ACTION_TRIGGER)
			fake.intx = fake.intx_unmask = -1;
		fake.intx_masked = set->flags & VFIO_IRQ_SET_ACTION_MASK;
		return 0;
	}
	/* No two kinds at a time. */
	assert_int_equal(fake.enabled, 0);
	memcpy(&fd, set->data, sizeof(fd));
	if (set->flags & VFIO_IRQ_SET_ACTION_UNMASK) {
		fake.intx_unmask = fd;
		return 0;
	}
	fake.intx = fd;
	raise_intx();
	return 0;
}

/* As vfio-pci does: a call that fails at a vector takes down those before it, and all if they were new. */
static int set_vectors(const struct vfio_irq_set *set)
{
	bool msi = set->index == VFIO_PCI_MSI_IRQ_INDEX, fresh = !fake.enabled;
	unsigned int end = set->start + set->count;
	int fds[FAKE_VECTORS];

	if (set->flags & VFIO_IRQ_SET_DATA_NONE && !set->count) {
		fake.enabled = 0;
		return 0;
	}
	assert_true(set->flags & VFIO_IRQ_SET_DATA_EVENTFD && end <= fake.irqs[set->index]);
	assert_int_equal(fake.intx, -1);
	assert_int_equal(set->argsz, sizeof(*set) + set->count * sizeof(int));
	if (fake.enabled && end > fake.enabled && (!fake.dynamic || msi))
		return fake_fails(EINVAL);
	memcpy(fds, set->data, set->count * sizeof(int));
	if (fresh) {
		assert_int_equal(set->start, 0);
		memset(fake.vectors, -1, sizeof(fake.vectors));
		fake.starts++;
	}
	for (unsigned int i = 0; i < set->count; i++) {
		/* A device that can't mask would write its message to the address 0. */
		assert_true(!msi || fds[i] >= 0);
		fake.vectors[set->start + i] = fds[i];
		if (fds[i] >= 0 && fake.waits[set->start + i]) {
			fake.waits[set->start + i] = false;
			assert_return_code(eventfd_write(fds[i], 1), errno);
		}
	}
	if (fake.vectors_left && end > fake.vectors_left) {
		for (unsigned int i = set->start; i < end; i++)
			fake.vectors[i] = -1;
		return fake_fails(ENOMEM);
	}
	if (end > fake.enabled)
		fake.enabled = end;
	return 0;
}

static int set_event(const struct vfio_irq_set *set, int *heard)
{
	if (set->flags & VFIO_IRQ_SET_DATA_NONE) {
		if (*heard < 0)
			return fake_fails(EINVAL);
		*heard = -1;
		return 0;
	}
	memcpy(heard, set->data, sizeof(*heard));
	return 0;
}

static int set_irqs(const struct vfio_irq_set *set)
{
	switch (set->index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return set_intx(set);
	case VFIO_PCI_MSI_IRQ_INDEX:
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return set_vectors(set);
	case VFIO_PCI_ERR_IRQ_INDEX:
		return set_event(set, &fake.error);
	default:
		return set_event(set, &fake.request);
	}
}

/* The device itself, and one that is nobody's. */
static int hot_reset_info(struct vfio_pci_hot_reset_info *info)
{
	uint32_t room = (info->argsz - (uint32_t)sizeof(*info)) / sizeof(info->devices[0]);

	info->flags = ABI_HOT_RESET_DEV_ID;
	info->count = fake.others ? 2 : 1;
	if (room < info->count)
		return fake_fails(ENOSPC);
	for (uint32_t i = 0; i < info->count; i++)
		info->devices[i] = (struct vfio_pci_dependent_device){
			.group_id = i ? ABI_DEVID_NOT_OWNED : 1, .bus = 1, .devfn = (uint8_t)i
		};
	return 0;
}

/* Where a device's state is read or written; @holds is there already. */
static int state_file(const char *holds)
{
	int fd = memfd_create("state", MFD_CLOEXEC);

	assert_true(fd >= 0);
	if (fake.state >= 0)
		close(fake.state);
	fake.state = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	assert_int_equal(pwrite(fd, holds, strlen(holds), 0), strlen(holds));
	return fd;
}

static int migrate(struct vfio_device_feature_mig_state *mig)
{
	uint32_t was = fake.migration, to = mig->device_state;
	const char *late = fake.late ? fake.late : "";
	struct stat st;

	if (to > VFIO_DEVICE_STATE_RESUMING && !(fake.early && to == ABI_STATE_PRE_COPY))
		return fake_fails(EINVAL);
	if (was == VFIO_DEVICE_STATE_ERROR || (fake.odd && was == VFIO_DEVICE_STATE_RESUMING))
		return fake_fails(EINVAL);
	mig->data_fd = -1;
	fake.migration = to;
	if (to == ABI_STATE_PRE_COPY) {
		mig->data_fd = state_file(fake.early);
	} else if (to == VFIO_DEVICE_STATE_STOP_COPY && was == ABI_STATE_PRE_COPY) {
		assert_int_equal(fstat(fake.state, &st), 0);
		assert_int_equal(pwrite(fake.state, late, strlen(late), st.st_size), strlen(late));
	} else if (to == VFIO_DEVICE_STATE_STOP_COPY || to == VFIO_DEVICE_STATE_RESUMING) {
		mig->data_fd = state_file(to == VFIO_DEVICE_STATE_RESUMING ? "" : late);
	}
	return 0;
}

/* A device that can migrate, without P2P, tells how much that is, and has no other feature. */
static int feature(int fd, struct vfio_device_feature *f)
{
	struct vfio_device_feature_migration info = { .flags = VFIO_MIGRATION_STOP_COPY |
							       (fake.early ? ABI_PRE_COPY : 0) };
	struct vfio_device_feature_mig_state state;
	uint32_t number = f->flags & VFIO_DEVICE_FEATURE_MASK;

	if (number >= VFIO_DEVICE_FEATURE_DMA_LOGGING_START &&
	    number <= VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT)
		return fake_log(fd, f);
	if (number == FEATURE_MIG_DATA_SIZE && fake.data_size) {
		assert_int_equal(f->argsz, sizeof(*f) + sizeof(fake.data_size));
		memcpy(f->data, &fake.data_size, sizeof(fake.data_size));
		return 0;
	}
	if (number != VFIO_DEVICE_FEATURE_MIGRATION &&
	    number != VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE)
		return fake_fails(ENOTTY);
	if (f->flags & VFIO_DEVICE_FEATURE_PROBE)
		return 0;
	if (number == VFIO_DEVICE_FEATURE_MIGRATION) {
		assert_int_equal(f->argsz, sizeof(*f) + sizeof(info));
		memcpy(f->data, &info, sizeof(info));
		return 0;
	}
	assert_int_equal(f->argsz, sizeof(*f) + sizeof(state));
	memcpy(&state, f->data, sizeof(state));
	if (f->flags & VFIO_DEVICE_FEATURE_GET) {
		state.device_state = fake.migration;
	} else if (migrate(&state)) {
		return -1;
	}
	memcpy(f->data, &state, sizeof(state));
	return 0;
}

static int device_ioctl(int fd, unsigned long request, void *arg)
{
	struct vfio_device_info *info = arg;
	uint64_t *precopy = arg;
	switch (request) {
	case VFIO_DEVICE_GET_INFO:
		info->flags = fake.not_pci ? VFIO_DEVICE_FLAGS_CCW : VFIO_DEVICE_FLAGS_PCI;
		info->num_regions = VFIO_PCI_NUM_REGIONS;
		info->num_irqs = VFIO_PCI_NUM_IRQS;
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO:
		return region_info(arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return irq_info(arg);
	case VFIO_DEVICE_SET_IRQS:
		return set_irqs(arg);
	case VFIO_DEVICE_FEATURE:
		return feature(fd, arg);
	case VFIO_DEVICE_RESET:
		if (fake.no_reset)
			return fake_fails(EINVAL);
		fake.resets++;
		fake.migration = VFIO_DEVICE_STATE_RUNNING;
		return 0;
	case MIG_GET_PRECOPY_INFO:
		precopy[1] = 24;
		precopy[2] = 1;
		return 0;
	default:
		return fake_fails(ENOTTY);
	}
}

static int iommufd_ioctl(int fd, unsigned long request, void *arg)
{
	struct abi_ioas_alloc *alloc = arg;
	struct abi_ioas_iova_ranges *ranges = arg;
	const struct abi_ioas_map *m = arg;
	const struct abi_ioas_unmap *u = arg;
	struct iol_iova_range *out;

	switch (request) {
	case ABI_IOMMU_IOAS_ALLOC:
		alloc->out_ioas_id = 3;
		return 0;
	case ABI_IOMMU_DESTROY:
	case ABI_VFIO_ATTACH_PT:
	case ABI_IOMMU_GET_HW_INFO:
	case ABI_IOMMU_HWPT_ALLOC:
	case ABI_IOMMU_HWPT_SET_DIRTY_TRACKING:
	case ABI_IOMMU_HWPT_GET_DIRTY_BITMAP:
		return fake_iommufd_dirty(fd, request, arg);
	case ABI_VFIO_BIND_IOMMUFD:
		if (fake.refuses)
			return fake_fails(EPERM);
		if (opened(fd))
			return -1;
		((struct abi_bind_iommufd *)arg)->out_devid = fake.num_devices;
		return 0;
	case ABI_IOMMU_IOAS_IOVA_RANGES:
		ranges->num_iovas = 2;
		/* There is no IOMMU before the first device. */
		ranges->out_iova_alignment = fake.num_devices ? 4096 : 1;
		out = (struct iol_iova_range *)(uintptr_t)ranges->allowed_iovas;
		out[0] = (struct iol_iova_range){ 0, 0xfedfffff };
		out[1] = (struct iol_iova_range){ 0xfef00000, (UINT64_C(1) << 48) - 1 };
		return 0;
	case ABI_IOMMU_IOAS_MAP:
		return map(m->iova, m->user_va, m->length, m->flags >> 1);
	case ABI_IOMMU_IOAS_UNMAP:
		return unmap(u->iova, u->length);
	default:
		return device_ioctl(fd, request, arg);
	}
}

static int iommu_info(struct vfio_iommu_type1_info *info)
{
	struct fake_chain chain = fake.iommu;

	if (!chain.len) {
		/* Ranges, then entries that are left. */
		chain.first = sizeof(*info);
		fake_put(&chain, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE | 1 << 16, 4);
		fake_put(&chain, sizeof(*info) + 48, 4);
		fake_put(&chain, 2, 8);
		fake_put(&chain, 0, 8);
		fake_put(&chain, 0xfedfffff, 8);
		fake_put(&chain, 0xfef00000, 8);
		fake_put(&chain, (UINT64_C(1) << 48) - 1, 8);
		fake_put(&chain, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL | 1 << 16, 4);
		fake_put(&chain, fake.type1_tracks ? sizeof(*info) + 60 : 0, 4);
		fake_put(&chain, fake.entries - fake.num_maps, 4);
	}
	if (!fake.iommu.len && fake.type1_tracks) {
		fake_put(&chain, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION | 1 << 16, 4);
		fake_put(&chain, 0, 8);
		fake_put(&chain, 0, 4);
		fake_put(&chain, 0x1000, 8);
		fake_put(&chain, fake.bitmap_max, 8);
	}
	info->flags = VFIO_IOMMU_INFO_PGSIZES;
	info->iova_pgsizes = 0x40201000;
	answer(info, sizeof(*info), &chain, &info->flags, VFIO_IOMMU_INFO_CAPS, &info->cap_offset);
	return 0;
}

static int type1_ioctl(int fd, unsigned long request, void *arg)
{
	const struct vfio_iommu_type1_dma_map *m = arg;
	const struct vfio_iommu_type1_dma_unmap *u = arg;
	struct vfio_group_status *status = arg;
	int device;

	switch (request) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return (uintptr_t)arg == VFIO_TYPE1_IOMMU ||
		       ((uintptr_t)arg == VFIO_TYPE1v2_IOMMU && !fake.no_v2);
	case VFIO_GROUP_GET_STATUS:
		status->flags = fake.not_viable ? 0 : VFIO_GROUP_FLAGS_VIABLE;
		return 0;
	case VFIO_GROUP_SET_CONTAINER:
		fake.groups++;
		return 0;
	case VFIO_GROUP_UNSET_CONTAINER:
		assert_true(fake.groups);
		if (!--fake.groups) {
			fake.has_iommu = false;
			fake.type1.on = false;
			/* Nobody may think that they are still there. */
			assert_int_equal(fake.num_maps, 0);
		}
		return 0;
	case VFIO_SET_IOMMU:
		assert_true(fake.groups && !fake.has_iommu);
		assert_int_equal((uintptr_t)arg,
				 fake.no_v2 ? VFIO_TYPE1_IOMMU : VFIO_TYPE1v2_IOMMU);
		if (fake.refuses)
			return fake_fails(EPERM);
		fake.has_iommu = true;
		return 0;
	case VFIO_GROUP_GET_DEVICE_FD:
		assert_true(fake.has_iommu);
		assert_true(!strcmp(arg, FAKE_DEVICE) || !strcmp(arg, FAKE_DEVICE2) ||
			    !strcmp(arg, FAKE_MDEV));
		device = memfd_create("device", MFD_CLOEXEC);
		opened(device);
		return device;
	/* Resets of buses have the same numbers. */
	case VFIO_IOMMU_GET_INFO:
		if (device_of(fd))
			return hot_reset_info(arg);
		assert_true(fake.has_iommu);
		return iommu_info(arg);
	case VFIO_IOMMU_MAP_DMA:
		if (device_of(fd)) {
			fake.hot_resets++;
			return 0;
		}
		assert_true(fake.has_iommu);
		return map(m->iova, m->vaddr, m->size, m->flags);
	case VFIO_IOMMU_UNMAP_DMA:
		return fake_type1_unmap(arg) ? -1 : unmap(u->iova, u->size);
	case VFIO_IOMMU_DIRTY_PAGES:
		/* It has the number of VFIO_DEVICE_FEATURE, which always says what to do in the upper half. */
		if (((struct vfio_iommu_type1_dirty_bitmap *)arg)->flags >> 16)
			return iommufd_ioctl(fd, request, arg);
		return fake_type1_dirty(arg);
	default:
		return iommufd_ioctl(fd, request, arg);
	}
}

/* What ends something can't fail in the kernel either, as the library uses it; a question may be denied without harm. */
static bool may_fail(unsigned long request)
{
	return request != VFIO_GROUP_UNSET_CONTAINER && request != VFIO_IOMMU_UNMAP_DMA &&
	       request != ABI_IOMMU_IOAS_UNMAP && request != ABI_IOMMU_DESTROY &&
	       request != VFIO_CHECK_EXTENSION && request != ABI_IOMMU_GET_HW_INFO;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (may_fail(request) && ++fake.calls == fake.fail_at) {
		fake.failed = true;
		return fake_fails(fake.fail_errno);
	}
	return type1_ioctl(fd, request, arg);
}
