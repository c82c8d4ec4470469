/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the kernel tells of pages that were written. Where the real one would write beyond a bitmap, lose pages or tell nothing
 * useful, this one ends the test.
 */
#include "tests/unit/vfio_kernel.h"

#include "vfio/iommufd_abi.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#define PAGE 4096u

int fake_fails(int err)
{
	errno = err;
	return -1;
}

static void note(struct fake_written *w, uint64_t iova)
{
	if (!w->on)
		return;
	w->iovas = reallocarray(w->iovas, w->num + 1, sizeof(*w->iovas));
	assert_non_null(w->iovas);
	w->iovas[w->num++] = iova & ~(uint64_t)(PAGE - 1);
}

static void turn(struct fake_written *w, bool on)
{
	free(w->iovas);
	*w = (struct fake_written){ .on = on };
}

static const struct fake_map *map_at(uint64_t iova)
{
	for (size_t i = 0; i < fake.num_maps; i++)
		if (iova - fake.maps[i].iova < fake.maps[i].len)
			return &fake.maps[i];
	return NULL;
}

void fake_write(unsigned int device, uint64_t iova)
{
	struct fake_device *dev = &fake.devices[device];
	const struct fake_map *map = map_at(iova);

	assert_true(map && map->access & IOL_DMA_WRITE && dev->fd >= 0);
	note(&fake.type1, iova);
	if (dev->hwpt)
		note(&fake.hwpts[dev->hwpt - 1].written, iova);
	for (size_t i = 0; i < dev->num_ranges; i++)
		if (iova >= dev->ranges[i].first && iova <= dev->ranges[i].last)
			note(&dev->log, iova);
}

void fake_opened(int fd)
{
	assert_true(fake.num_devices < FAKE_DEVICES);
	/* Descriptors come again: the last that had it is meant. */
	fake.devices[fake.num_devices++] = (struct fake_device){ .fd = fd };
}

static unsigned int device_by_fd(int fd)
{
	unsigned int i = fake.num_devices;

	while (i-- > 0)
		if (fake.devices[i].fd == fd)
			return i;
	fail_msg("descriptor %d is no device", fd);
	return 0;
}

/* Tell, in bits of PAGE from @iova on, what was written of @len bytes, in pages of @page; and forget it, or @keep. */
static void tell(struct fake_written *w, uint64_t iova, uint64_t len, uint64_t page,
		 uint64_t *bitmap, bool keep)
{
	size_t left = 0;

	for (size_t i = 0; i < w->num; i++) {
		uint64_t at = w->iovas[i] & ~(page - 1);

		if (w->iovas[i] - iova >= len) {
			w->iovas[left++] = w->iovas[i];
			continue;
		}
		/* The kernel would set bits before or behind the bitmap. */
		assert_true(at >= iova && at + page <= iova + len);
		for (uint64_t n = (at - iova) / PAGE; n < (at + page - iova) / PAGE; n++)
			bitmap[n / 64] |= UINT64_C(1) << n % 64;
		if (keep)
			w->iovas[left++] = w->iovas[i];
	}
	w->num = left;
}

static void forget(struct fake_written *w, uint64_t iova, uint64_t len)
{
	size_t left = 0;

	for (size_t i = 0; i < w->num; i++)
		if (w->iovas[i] - iova >= len)
			w->iovas[left++] = w->iovas[i];
	w->num = left;
}

void fake_unmapped(uint64_t iova, uint64_t len)
{
	forget(&fake.type1, iova, len);
	for (size_t i = 0; i < FAKE_HWPTS; i++)
		forget(&fake.hwpts[i].written, iova, len);
}

static int type1_bitmap(uint64_t iova, uint64_t size, const struct vfio_bitmap *bitmap)
{
	uint64_t pages = size / PAGE, words = (pages + 63) / 64;
	const struct fake_map *map = map_at(iova), *end = map_at(iova + size - 1);

	if (!fake.type1.on || bitmap->pgsize != PAGE || !size || (iova | size) & (PAGE - 1) ||
	    bitmap->size < words * 8 || bitmap->size > fake.bitmap_max ||
	    (map && map->iova != iova) || (end && end->iova + end->len != iova + size))
		return fake_fails(EINVAL);
	for (uint64_t i = 0; i < words; i++)
		assert_true(!bitmap->data[i]);
	/* All that is pinned, also what can't have been written. */
	for (uint64_t i = 0; !fake.exact && map && i < pages; i++)
		bitmap->data[i / 64] |= UINT64_C(1) << i % 64;
	tell(&fake.type1, iova, size, PAGE, (uint64_t *)bitmap->data, false);
	return 0;
}

int fake_type1_dirty(void *arg)
{
	struct vfio_iommu_type1_dirty_bitmap *cmd = arg;
	struct vfio_iommu_type1_dirty_bitmap_get get;

	if (!fake.type1_tracks)
		return fake_fails(ENOTTY);
	if (fake.no_v2)
		return fake_fails(EACCES);
	switch (cmd->flags) {
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
		if (!fake.type1.on)
			turn(&fake.type1, true);
		return 0;
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
		turn(&fake.type1, false);
		return 0;
	default:
		assert_int_equal(cmd->flags, VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP);
		assert_int_equal(cmd->argsz, sizeof(*cmd) + sizeof(get));
		memcpy(&get, cmd->data, sizeof(get));
		return type1_bitmap(get.iova, get.size, &get.bitmap);
	}
}

int fake_type1_unmap(void *arg)
{
	const struct vfio_iommu_type1_dma_unmap *cmd = arg;
	struct vfio_bitmap bitmap;

	if (!(cmd->flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP))
		return 0;
	assert_int_equal(cmd->argsz, sizeof(*cmd) + sizeof(bitmap));
	memcpy(&bitmap, cmd->data, sizeof(bitmap));
	return type1_bitmap(cmd->iova, cmd->size, &bitmap);
}

static int attach_pt(int fd, const struct abi_attach_pt *pt)
{
	unsigned int device = device_by_fd(fd);

	if (pt->pt_id != 3) {
		const struct fake_hwpt *hwpt = &fake.hwpts[pt->pt_id - 100];

		assert_true(pt->pt_id >= 100 && pt->pt_id < 100 + FAKE_HWPTS && hwpt->exists);
		if (fake.unlike && hwpt->device != device + 1)
			return fake_fails(EINVAL);
		fake.devices[device].hwpt = pt->pt_id - 99;
	}
	return 0;
}

static int alloc_hwpt(struct abi_hwpt_alloc *alloc)
{
	assert_true(alloc->size == 40 && alloc->pt_id == 3);
	assert_int_equal(alloc->flags, ABI_HWPT_ALLOC_DIRTY_TRACKING);
	assert_true(fake.iommu_tracks);
	for (uint32_t i = 0; i < FAKE_HWPTS; i++) {
		if (fake.hwpts[i].exists)
			continue;
		fake.hwpts[i] = (struct fake_hwpt){ .exists = true, .device = alloc->dev_id };
		alloc->out_hwpt_id = 100 + i;
		return 0;
	}
	return fake_fails(ENOMEM);
}

static int get_bitmap(const struct abi_hwpt_get_dirty_bitmap *get)
{
	const struct fake_map *map = map_at(get->iova);
	uint64_t last = get->iova + get->length - 1,
		 unit = fake.iommu_page ? fake.iommu_page : PAGE;
	struct fake_hwpt *hwpt = &fake.hwpts[get->hwpt_id - 100];

	assert_true(get->size == 48 && hwpt->exists);
	if (get->page_size != PAGE || (get->iova | get->length) & (PAGE - 1) || !map ||
	    map != map_at(last))
		return fake_fails(EINVAL);
	assert_true(get->iova % unit == 0 || get->iova == map->iova);
	assert_true((last + 1) % unit == 0 || last + 1 == map->iova + map->len);
	/* Kernels before 6.8 pin less than that of another. */
	assert_true(get->data % PAGE == 0 && get->length / PAGE / 8 <= 2u << 20);
	tell(&hwpt->written, get->iova, get->length, unit, (uint64_t *)(uintptr_t)get->data,
	     get->flags & ABI_GET_DIRTY_BITMAP_NO_CLEAR);
	return 0;
}

int fake_iommufd_dirty(int fd, unsigned long request, void *arg)
{
	const struct abi_hwpt_set_dirty_tracking *set = arg;
	const struct abi_destroy *destroy = arg;
	struct abi_hw_info *info = arg;

	switch (request) {
	case ABI_VFIO_ATTACH_PT:
		return attach_pt(fd, arg);
	case ABI_IOMMU_GET_HW_INFO:
		assert_int_equal(info->size, 40);
		info->out_capabilities = fake.iommu_tracks ? ABI_HW_CAP_DIRTY_TRACKING : 0;
		return 0;
	case ABI_IOMMU_HWPT_ALLOC:
		return alloc_hwpt(arg);
	case ABI_IOMMU_HWPT_SET_DIRTY_TRACKING:
		assert_true(fake.hwpts[set->hwpt_id - 100].exists);
		turn(&fake.hwpts[set->hwpt_id - 100].written,
		     set->flags & ABI_DIRTY_TRACKING_ENABLE);
		return 0;
	case ABI_IOMMU_HWPT_GET_DIRTY_BITMAP:
		return get_bitmap(arg);
	default:
		assert_int_equal(request, ABI_IOMMU_DESTROY);
		if (destroy->id >= 100) {
			turn(&fake.hwpts[destroy->id - 100].written, false);
			fake.hwpts[destroy->id - 100].exists = false;
		}
		return 0;
	}
}

static int log_start(struct fake_device *dev,
		     struct vfio_device_feature_dma_logging_control *control)
{
	const struct vfio_device_feature_dma_logging_range *ranges =
		(const void *)(uintptr_t)control->ranges;

	if (dev->log.on || !control->num_ranges)
		return fake_fails(EINVAL);
	if (control->num_ranges > fake.log_ranges)
		return fake_fails(E2BIG);
	for (uint32_t i = 0; i < control->num_ranges; i++) {
		uint64_t last = ranges[i].iova + ranges[i].length - 1;

		if ((ranges[i].iova | ranges[i].length) & (control->page_size - 1) ||
		    (i && ranges[i].iova <= dev->ranges[i - 1].last))
			return fake_fails(EINVAL);
		dev->ranges[i] = (struct iol_iova_range){ ranges[i].iova, last };
	}
	dev->num_ranges = control->num_ranges;
	if (control->page_size < fake.log_page)
		control->page_size = fake.log_page;
	turn(&dev->log, true);
	return 0;
}

static int log_report(struct fake_device *dev,
		      const struct vfio_device_feature_dma_logging_report *report)
{
	if (!dev->log.on || report->page_size != PAGE || !report->length)
		return fake_fails(EINVAL);
	assert_true(report->bitmap % PAGE == 0 && report->length / PAGE / 8 <= 2u << 20);
	/* It is asked about nothing that it was not told to log. */
	for (size_t i = 0; i < dev->num_ranges; i++) {
		if (report->iova < dev->ranges[i].first ||
		    report->iova + report->length - 1 > dev->ranges[i].last)
			continue;
		tell(&dev->log, report->iova, report->length,
		     fake.log_page > PAGE ? fake.log_page : PAGE,
		     (uint64_t *)(uintptr_t)report->bitmap, false);
		return 0;
	}
	fail_msg("0x%llx is not logged", (unsigned long long)report->iova);
	return -1;
}

int fake_log(int fd, void *arg)
{
	unsigned int device = device_by_fd(fd);
	struct fake_device *dev = &fake.devices[device];
	struct vfio_device_feature *f = arg;
	struct vfio_device_feature_dma_logging_control control;
	struct vfio_device_feature_dma_logging_report report;
	int rc;

	if (!(fake.loggers & 1u << device))
		return fake_fails(ENOTTY);
	if (f->flags & VFIO_DEVICE_FEATURE_PROBE)
		return 0;
	switch (f->flags & VFIO_DEVICE_FEATURE_MASK) {
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
		assert_true(f->flags & VFIO_DEVICE_FEATURE_SET);
		assert_int_equal(f->argsz, sizeof(*f) + sizeof(control));
		memcpy(&control, f->data, sizeof(control));
		rc = log_start(dev, &control);
		memcpy(f->data, &control, sizeof(control));
		return rc;
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP:
		turn(&dev->log, false);
		dev->num_ranges = 0;
		return 0;
	default:
		assert_true(f->flags & VFIO_DEVICE_FEATURE_GET);
		assert_int_equal(f->argsz, sizeof(*f) + sizeof(report));
		memcpy(&report, f->data, sizeof(report));
		return log_report(dev, &report);
	}
}

void fake_dirty_end(void)
{
	for (unsigned int i = 0; i < fake.num_devices; i++)
		turn(&fake.devices[i].log, false);
	for (size_t i = 0; i < FAKE_HWPTS; i++)
		assert_false(fake.hwpts[i].exists);
	turn(&fake.type1, false);
}
