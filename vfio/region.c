/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions: BARs, the configuration space, and which parts of them may be mapped. */
#include "vfio/device.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/info.h"
#include "vfio/iova.h"

#include <inttypes.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A device with a table of MSI-X has two; others have as many as they have kinds of registers. */
#define AREAS_MAX 1024u

/* The areas of a region; without the capability all of it is one. */
static int read_areas(struct device_region *r, const void *info, size_t len, uint32_t first)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct vfio_region_info_cap_sparse_mmap cap = { .nr_areas = 1 };
	struct vfio_region_sparse_mmap_area area;
	int at = vfio_info_cap(info, len, sizeof(struct vfio_region_info), first,
			       VFIO_REGION_INFO_CAP_SPARSE_MMAP, sizeof(cap));

	if (at < 0 && at != -ENOENT)
		return at;
	if (at >= 0) {
		memcpy(&cap, (const char *)info + at, sizeof(cap));
		if (cap.nr_areas > AREAS_MAX ||
		    cap.nr_areas > (len - (size_t)at - sizeof(cap)) / sizeof(area))
			return -EBADMSG;
	}
	r->areas = calloc(cap.nr_areas ? cap.nr_areas : 1, sizeof(*r->areas));
	if (!r->areas)
		return -ENOMEM;
	if (at < 0) {
		/* A BAR that is smaller than a page has the page to itself, or can't be mapped. */
		r->areas[r->num_areas++].last = (r->size - 1) | (page - 1);
		return 0;
	}
	for (uint32_t i = 0; i < cap.nr_areas; i++) {
		memcpy(&area, (const char *)info + at + sizeof(cap) + i * sizeof(area),
		       sizeof(area));
		if (!area.size)
			continue;
		if ((area.offset | area.size) & (page - 1) || area.offset > r->size ||
		    area.size > r->size - area.offset)
			return -EBADMSG;
		r->areas[r->num_areas++] =
			(struct iol_iova_range){ area.offset, area.offset + area.size - 1 };
	}
	return 0;
}

static int read_region(struct iol_vfio_device *dev, unsigned int index, struct device_region *r)
{
	struct vfio_region_info head = { .index = index };
	_cleanup_free_ void *info = NULL;
	size_t len = 0;
	int rc = vfio_info(dev->fd, VFIO_DEVICE_GET_REGION_INFO, &head, sizeof(head), &info, &len);

	/* Not each number has a region (VGA's). */
	if (rc == -EINVAL)
		return 0;
	if (rc)
		return rc;
	memcpy(&head, info, sizeof(head));
	if (!head.size)
		return 0;
	/* What lies beyond the end of files can't be read with pread(). */
	if (head.offset > INT64_MAX || head.size > INT64_MAX - head.offset)
		return -EBADMSG;
	r->size = head.size;
	r->offset = head.offset;
	r->readable = head.flags & VFIO_REGION_INFO_FLAG_READ;
	r->writable = head.flags & VFIO_REGION_INFO_FLAG_WRITE;
	if (!(head.flags & VFIO_REGION_INFO_FLAG_MMAP))
		return 0;
	return read_areas(r, info, len,
			  head.flags & VFIO_REGION_INFO_FLAG_CAPS ? head.cap_offset : 0);
}

int device_regions(struct iol_vfio_device *dev, unsigned int num)
{
	dev->regions = calloc(num ? num : 1, sizeof(*dev->regions));
	if (!dev->regions)
		return iol_fail(ENOMEM, "no memory for %u regions", num);
	dev->num_regions = num;
	for (unsigned int i = 0; i < num; i++) {
		int rc = read_region(dev, i, &dev->regions[i]);

		if (rc)
			return iol_fail(-rc, "cannot ask for region %u of %s: %s", i, dev->name,
					strerror(-rc));
	}
	return 0;
}

static const struct device_region *find(const struct iol_vfio_device *dev, unsigned int index)
{
	if (index < dev->num_regions)
		return &dev->regions[index];
	iol_fail(ENOENT, "%s has no region %u", dev->name, index);
	return NULL;
}

int iol_vfio_region_info(const struct iol_vfio_device *dev, unsigned int index,
			 struct iol_vfio_region *region)
{
	const struct device_region *r = find(dev, index);

	if (!r)
		return -ENOENT;
	*region = (struct iol_vfio_region){
		.size = r->size,
		.readable = r->readable,
		.writable = r->writable,
		.areas = r->areas,
		.num_areas = r->num_areas,
	};
	return 0;
}

static int check_access(const struct iol_vfio_device *dev, unsigned int index, uint64_t offset,
			size_t len, const struct device_region **region)
{
	const struct device_region *r = find(dev, index);

	if (!r)
		return -ENOENT;
	if (offset > r->size || len > r->size - offset)
		return iol_fail(ERANGE,
				"region %u of %s has %" PRIu64 " bytes, not 0x%" PRIx64 " + %zu",
				index, dev->name, r->size, offset, len);
	*region = r;
	return 0;
}

int iol_vfio_region_read(const struct iol_vfio_device *dev, unsigned int index, uint64_t offset,
			 void *buf, size_t len)
{
	const struct device_region *r;
	int rc = check_access(dev, index, offset, len, &r);
	ssize_t n;

	if (rc)
		return rc;
	n = pread(dev->fd, buf, len, (off_t)(r->offset + offset));
	if (n == (ssize_t)len)
		return 0;
	return iol_fail(n < 0 ? errno : EIO,
			"cannot read %zu bytes at 0x%" PRIx64 " of region %u of %s: %s", len,
			offset, index, dev->name, n < 0 ? strerror(errno) : "less came");
}

int iol_vfio_region_write(const struct iol_vfio_device *dev, unsigned int index, uint64_t offset,
			  const void *buf, size_t len)
{
	const struct device_region *r;
	int rc = check_access(dev, index, offset, len, &r);
	ssize_t n;

	if (rc)
		return rc;
	n = pwrite(dev->fd, buf, len, (off_t)(r->offset + offset));
	if (n == (ssize_t)len)
		return 0;
	return iol_fail(n < 0 ? errno : EIO,
			"cannot write %zu bytes at 0x%" PRIx64 " of region %u of %s: %s", len,
			offset, index, dev->name, n < 0 ? strerror(errno) : "fewer went");
}

int iol_vfio_region_map(const struct iol_vfio_device *dev, unsigned int index, uint64_t offset,
			size_t len, void **addr)
{
	const struct device_region *r = find(dev, index);
	int prot = PROT_READ;
	void *p;

	if (!r)
		return -ENOENT;
	if (!len || len - 1 > UINT64_MAX - offset ||
	    !iova_allowed(r->areas, r->num_areas, offset, offset + len - 1))
		return iol_fail(EINVAL,
				"0x%" PRIx64
				" + %zu of region %u of %s can't be mapped: read and write "
				"it, or map less",
				offset, len, index, dev->name);
	if (r->writable)
		prot |= PROT_WRITE;
	p = mmap(NULL, len, prot, MAP_SHARED, dev->fd, (off_t)(r->offset + offset));
	if (p == MAP_FAILED)
		return iol_fail(errno, "cannot map 0x%" PRIx64 " + %zu of region %u of %s: %s",
				offset, len, index, dev->name, strerror(errno));
	*addr = p;
	return 0;
}
