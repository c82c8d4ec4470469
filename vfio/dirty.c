/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio/dirty.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/context.h"
#include "vfio/device.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

/* Bytes of a bitmap that the kernel pins at once (drivers/iommu/iommufd/iova_bitmap.c), and what they tell of. */
#define WINDOW_BYTES (UINT64_C(2) << 20)
#define WINDOW       (WINDOW_BYTES * 8 * PAGE_SET_PAGE)

static uint64_t pages_of(uint64_t first, uint64_t last, uint64_t page)
{
	return (last - first) / page + 1;
}

int dirty_scratch(struct iol_context *ctx, uint64_t first, uint64_t last, uint64_t page)
{
	struct dirty *d = &ctx->dirty;
	uint64_t len = (pages_of(first, last, page) / 8 / PAGE_SET_PAGE + 1) * PAGE_SET_PAGE;
	void *scratch;

	if (page_set_reserve(&d->pages, first, last))
		return -ENOMEM;
	if (len <= d->room) {
		memset(d->scratch, 0, len);
		return 0;
	}
	scratch = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (scratch == MAP_FAILED)
		return -ENOMEM;
	if (d->scratch)
		munmap(d->scratch, d->room);
	d->scratch = scratch;
	d->room = len;
	return 0;
}

void dirty_add(struct iol_context *ctx, uint64_t first, uint64_t last, uint64_t page)
{
	page_set_add(&ctx->dirty.pages, first, page, ctx->dirty.scratch,
		     pages_of(first, last, page));
}

uint64_t dirty_window(uint64_t first, uint64_t last)
{
	if (last - first < WINDOW)
		return last;
	return ((first + WINDOW) & ~(DIRTY_UNIT - 1)) - 1;
}

/* All from @first to @last counts as written. */
static int mark(struct iol_context *ctx, uint64_t first, uint64_t last)
{
	int rc = page_set_reserve(&ctx->dirty.pages, first, last);

	if (!rc)
		page_set_mark(&ctx->dirty.pages, first, last);
	return rc;
}

/* What a device logged; a log that fails once is worth nothing (linux/vfio.h), so from then on nobody knows. */
static int read_log(struct iol_vfio_device *dev, uint64_t first, uint64_t last)
{
	int rc = dev->log.on ? dirty_log_read(dev, first, last) : 0;

	if (!rc)
		return 0;
	iol_log(IOL_LOG_WARNING,
		"cannot ask %s what it wrote: %s; all that is mapped counts as written from now on",
		dev->name, strerror(-rc));
	dirty_log_stop(dev);
	dev->dirty_source = IOL_DIRTY_MAPPED;
	return mark(dev->ctx, first, last);
}

/* By the container or the IOMMU, which tell at once of all devices that have no better source. */
static bool by_context(const struct iol_vfio_device *dev)
{
	return dev->dirty_source == IOL_DIRTY_PINNED || dev->dirty_source == IOL_DIRTY_IOMMU;
}

/* What a device wrote of an entry. */
static int read_device(struct iol_vfio_device *dev, const struct dma_map *map, uint64_t first,
		       uint64_t last)
{
	if (!(map->access & IOL_DMA_WRITE))
		return 0;
	if (dev->dirty_source == IOL_DIRTY_MAPPED)
		return mark(dev->ctx, first, last);
	if (dev->dirty_source == IOL_DIRTY_DEVICE)
		return read_log(dev, first, last);
	return dev->ctx->ops->dirty_read(dev->ctx, map, first, last);
}

/* Everything a device wrote, as it goes. */
static void drain(struct iol_vfio_device *dev)
{
	const struct dma_table *maps = &dev->ctx->maps;

	for (size_t i = 0; i < maps->num; i++) {
		const struct dma_map *m = &maps->maps[i];
		int rc = read_device(dev, m, m->first, m->last);

		if (!rc)
			continue;
		iol_log(IOL_LOG_WARNING,
			"cannot ask what %s wrote of IOVAs 0x%" PRIx64 " to 0x%" PRIx64 ": %s; %s",
			dev->name, m->first, m->last, strerror(-rc),
			mark(dev->ctx, m->first, m->last) ? "it is lost"
							  : "all of it counts as written");
	}
}

/* Choose the source of a device, and have it keep track. */
static int start(struct iol_vfio_device *dev)
{
	int rc = dirty_log_start(dev);

	dev->dirty_source = IOL_DIRTY_DEVICE;
	if (!rc)
		return 0;
	if (rc != -ENOTTY && rc != -EOPNOTSUPP)
		iol_log(IOL_LOG_WARNING,
			"%s can log what it writes, but does not: %s; a less exact source is used",
			dev->name, strerror(-rc));
	rc = dev->ctx->ops->dirty_start(dev->ctx, dev);
	dev->dirty_source = dev->ctx->kind == IOL_CONTEXT_TYPE1 ? IOL_DIRTY_PINNED
								: IOL_DIRTY_IOMMU;
	if (rc == -EOPNOTSUPP) {
		dev->dirty_source = IOL_DIRTY_MAPPED;
		return 0;
	}
	if (rc)
		return iol_fail(-rc, "cannot keep track of what %s writes: %s", dev->name,
				rc == -E2BIG ? "what is mapped as one is larger than the kernel's "
					       "bitmap; map it by several calls"
					     : strerror(-rc));
	return 0;
}

int dirty_open(struct iol_vfio_device *dev)
{
	return dev->ctx->dirty.on ? start(dev) : 0;
}

void dirty_close(struct iol_vfio_device *dev)
{
	bool on = dev->ctx->dirty.on, log = dev->log.on;

	/* A log ends with the descriptor; the others stay, and know what is written until then. */
	if (on && log) {
		drain(dev);
		dirty_log_stop(dev);
	}
	iol_close(&dev->fd);
	if (on && !log)
		drain(dev);
}

int dirty_unmap(struct iol_context *ctx, const struct dma_map *map)
{
	bool asked = false;
	int rc;

	if (!(map->access & IOL_DMA_WRITE))
		return ctx->ops->unmap(ctx, map);
	/* From here on nothing lacks memory, as the entry would be gone. */
	rc = dirty_scratch(ctx, map->first, map->last, PAGE_SET_PAGE);
	if (rc)
		return rc;
	for (const struct iol_vfio_device *dev = ctx->first_device; dev; dev = dev->next)
		asked |= by_context(dev);
	rc = asked ? ctx->ops->dirty_unmap(ctx, map) : ctx->ops->unmap(ctx, map);
	/* Devices may write until it is unmapped, so their logs come after it. */
	for (struct iol_vfio_device *dev = ctx->first_device; dev && !rc; dev = dev->next)
		if (!by_context(dev))
			rc = read_device(dev, map, map->first, map->last);
	return rc;
}

void dirty_end(struct iol_context *ctx)
{
	struct dirty *d = &ctx->dirty;

	if (!d->on)
		return;
	for (struct iol_vfio_device *dev = ctx->first_device; dev; dev = dev->next)
		dirty_log_stop(dev);
	ctx->ops->dirty_stop(ctx);
	page_set_clear(&d->pages);
	if (d->scratch)
		munmap(d->scratch, d->room);
	d->scratch = NULL;
	d->room = 0;
	d->on = false;
}

int iol_dirty_start(struct iol_context *ctx)
{
	int rc;

	if (ctx->kind == IOL_CONTEXT_UNSAFE_NOIOMMU)
		return iol_fail(EOPNOTSUPP,
				"without an IOMMU nobody knows what devices write: they reach all "
				"of the machine's memory");
	if (ctx->dirty.on)
		return iol_fail(EBUSY, "what devices write is kept track of already");
	ctx->dirty.on = true;
	for (struct iol_vfio_device *dev = ctx->first_device; dev; dev = dev->next) {
		rc = start(dev);
		if (rc) {
			dirty_end(ctx);
			return rc;
		}
	}
	return 0;
}

static int not_on(void)
{
	return iol_fail(EINVAL, "what devices write is not kept track of: start it first");
}

int iol_dirty_stop(struct iol_context *ctx)
{
	if (!ctx->dirty.on)
		return not_on();
	dirty_end(ctx);
	return 0;
}

int iol_dirty_source(const struct iol_context *ctx)
{
	enum iol_dirty_source source = IOL_DIRTY_DEVICE;

	if (!ctx->dirty.on)
		return not_on();
	for (const struct iol_vfio_device *dev = ctx->first_device; dev; dev = dev->next)
		if (dev->dirty_source < source)
			source = dev->dirty_source;
	return (int)source;
}

/* Ask each source once. */
static int read_map(struct iol_context *ctx, const struct dma_map *map, uint64_t first,
		    uint64_t last)
{
	bool asked = false;
	int rc = 0;

	for (struct iol_vfio_device *dev = ctx->first_device; dev && !rc; dev = dev->next) {
		if (!asked || !by_context(dev))
			rc = read_device(dev, map, first, last);
		asked |= by_context(dev);
	}
	return rc;
}

int iol_dirty_read(struct iol_context *ctx, uint64_t iova, uint64_t len, uint64_t page_size,
		   uint64_t *bitmap)
{
	uint64_t last = iova + len - 1;
	int rc;

	if (!ctx->dirty.on)
		return not_on();
	if (page_size < PAGE_SET_PAGE || page_size & (page_size - 1) || !len || last < iova ||
	    (iova | len) & (page_size - 1))
		return iol_fail(EINVAL,
				"0x%" PRIx64 " and %" PRIu64 " bytes are no pages of %" PRIu64
				" bytes (at least %u)",
				iova, len, page_size, PAGE_SET_PAGE);
	for (size_t at = dma_table_at(&ctx->maps, iova);
	     at < ctx->maps.num && ctx->maps.maps[at].first <= last; at++) {
		const struct dma_map *m = &ctx->maps.maps[at];

		rc = read_map(ctx, m, m->first > iova ? m->first : iova,
			      m->last < last ? m->last : last);
		if (rc)
			return iol_fail(-rc,
					"cannot ask what devices wrote of IOVAs 0x%" PRIx64
					" to 0x%" PRIx64 ": %s",
					m->first, m->last, strerror(-rc));
	}
	page_set_take(&ctx->dirty.pages, iova, last, page_size, bitmap);
	return 0;
}
