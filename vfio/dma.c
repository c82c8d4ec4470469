/* SPDX-License-Identifier: BSD-3-Clause */
/* Mapping memory for devices: as few entries as may be, huge pages where memory has them, all or nothing. */
#include "vfio/context.h"

#include "base/error.h"
#include "base/own.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

/* Pages that processors and IOMMUs have besides the smallest. */
#define PAGE_2M (UINT64_C(2) << 20)
#define PAGE_1G (UINT64_C(1) << 30)

/* Regions that become one entry: from the first to before @end in the sorted table. */
struct run {
	size_t first, end;
	uint64_t len;
};

static uint64_t smallest_page(const struct iol_context *ctx)
{
	return ctx->page_sizes & -ctx->page_sizes;
}

/* The largest page that memory of this length may have. */
static uint64_t page_for(const struct iol_context *ctx, uint64_t len)
{
	if (len >= PAGE_1G)
		return PAGE_1G;
	return len >= PAGE_2M ? PAGE_2M : smallest_page(ctx);
}

static int check_region(const struct iol_context *ctx, const struct iol_dma_region *r)
{
	uint64_t mask = smallest_page(ctx) - 1;
	bool any = r->iova == IOL_IOVA_ANY;

	if (!r->len || !r->access || r->access & ~(IOL_DMA_READ | IOL_DMA_WRITE) ||
	    (!r->addr && r->fd < 0))
		return iol_fail(EINVAL, "a region for DMA needs memory, a length, and access");
	if ((r->len | r->offset | (uintptr_t)r->addr | (any ? 0 : r->iova)) & mask)
		return iol_fail(EINVAL,
				"a region for DMA (address %p, IOVA 0x%" PRIx64 ", %" PRIu64
				" bytes) is not made of whole pages of %" PRIu64 " bytes",
				r->addr, r->iova, r->len, mask + 1);
	if (r->len - 1 > UINTPTR_MAX - (uintptr_t)r->addr || r->offset + r->len < r->len)
		return iol_fail(EINVAL, "a region for DMA ends beyond all memory");
	if (any)
		return 0;
	if (r->len - 1 > UINT64_MAX - r->iova ||
	    !iova_allowed(ctx->ranges, ctx->num_ranges, r->iova, r->iova + r->len - 1))
		return iol_fail(ERANGE,
				"IOVAs from 0x%" PRIx64 " on, %" PRIu64
				" bytes, are reserved or out of the IOMMU's reach: see "
				"reserved_regions of the device's group, and move the memory",
				r->iova, r->len);
	return 0;
}

static int by_iova(const void *a, const void *b)
{
	const struct iol_dma_region *x = *(struct iol_dma_region *const *)a;
	const struct iol_dma_region *y = *(struct iol_dma_region *const *)b;

	return x->iova < y->iova ? -1 : x->iova > y->iova;
}

/* Whether @b goes on where @a ends. Memory by descriptor is laid out by us, so it does if the IOVAs do. */
static bool neighbours(const struct iol_dma_region *a, const struct iol_dma_region *b)
{
	if (b->iova == IOL_IOVA_ANY || a->iova + a->len != b->iova || a->access != b->access)
		return false;
	return a->addr ? (char *)a->addr + a->len == b->addr : !b->addr;
}

static struct run next_run(struct iol_dma_region *const *sorted, size_t num, size_t first)
{
	struct run run = { .first = first, .end = first + 1, .len = sorted[first]->len };

	while (run.end < num && neighbours(sorted[run.end - 1], sorted[run.end]))
		run.len += sorted[run.end++]->len;
	return run;
}

/* Whether the kernel has room, told before anything is mapped: after 65,535 entries is late for a guest's memory. */
static int check_entries(const struct iol_context *ctx, struct iol_dma_region *const *sorted,
			 size_t num, size_t *entries)
{
	*entries = 0;
	for (size_t i = 0; i < num; ++*entries) {
		struct run run = next_run(sorted, num, i);
		const struct iol_dma_region *r = sorted[i];
		size_t at = dma_table_at(&ctx->maps, r->iova);

		i = run.end;
		if (r->iova == IOL_IOVA_ANY)
			continue;
		if ((i < num && sorted[i]->iova != IOL_IOVA_ANY &&
		     sorted[i]->iova <= r->iova + run.len - 1) ||
		    (at < ctx->maps.num && ctx->maps.maps[at].first <= r->iova + run.len - 1))
			return iol_fail(EEXIST,
					"IOVAs from 0x%" PRIx64 " on, %" PRIu64
					" bytes, are mapped already, at least in part",
					r->iova, run.len);
	}
	if (*entries > ctx->entries_left)
		return iol_fail(
			ENOSPC,
			"this memory takes %zu entries of the kernel's table, which has %" PRIu32
			" left: give it in larger pieces, or raise the limit (echo %zu > "
			"/sys/module/vfio_iommu_type1/parameters/dma_entry_limit)",
			*entries, ctx->entries_left, ctx->maps.num + *entries);
	return 0;
}

/* Address space for @len bytes whose addresses are @phase modulo @align, so that pages of that size can be used. */
static char *reserve(uint64_t len, uint64_t align, uint64_t phase)
{
	uint64_t whole = len + align;
	char *base, *start;

	if (whole < len)
		return NULL;
	base = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (base == MAP_FAILED)
		return NULL;
	start = base + ((phase - (uintptr_t)base) & (align - 1));
	if (start > base)
		munmap(base, (size_t)(start - base));
	if (start + len < base + whole)
		munmap(start + len, (size_t)(base + whole - (start + len)));
	return start;
}

/* Map the memory of a run that comes by descriptors. */
static int lay_out(const struct iol_context *ctx, struct iol_dma_region *const *sorted,
		   const struct run *run, char **addr)
{
	uint64_t align = page_for(ctx, run->len);
	uint64_t phase = sorted[run->first]->iova == IOL_IOVA_ANY ? 0 : sorted[run->first]->iova;
	/* One piece without a huge page may lie where the kernel likes: that saves what it takes to choose a place. */
	bool anywhere = align == smallest_page(ctx) && run->end - run->first == 1;
	char *start = anywhere ? NULL : reserve(run->len, align, phase & (align - 1)), *at = start;

	if (!start && !anywhere)
		return iol_fail(ENOMEM, "no address space for %" PRIu64 " bytes of memory for DMA",
				run->len);
	for (size_t i = run->first; i < run->end; at += sorted[i++]->len) {
		const struct iol_dma_region *r = sorted[i];
		int prot = PROT_READ | (r->access & IOL_DMA_WRITE ? PROT_WRITE : 0);
		int flags = MAP_SHARED | (anywhere ? 0 : MAP_FIXED);

		at = mmap(at, r->len, prot, flags, r->fd, (off_t)r->offset);
		if (at == MAP_FAILED) {
			int err = errno;

			if (start)
				munmap(start, run->len);
			return iol_fail(err,
					"cannot map %" PRIu64
					" bytes of memory from descriptor %d: %s",
					r->len, r->fd, strerror(err));
		}
		if (!start)
			start = at;
	}
	/* Only advice: hugetlbfs needs none, and others may not have them. */
	if (align > smallest_page(ctx))
		madvise(start, run->len, MADV_HUGEPAGE);
	*addr = start;
	return 0;
}

/* An IOVA that lies to its pages as the address does, so that huge pages fit; any at all if there is no such room. */
static int choose_iova(const struct iol_context *ctx, const struct iol_dma_region *r,
		       const char *addr, uint64_t *iova)
{
	struct iova_want want = {
		.len = r->len,
		.align = page_for(ctx, r->len),
		.phase = (uintptr_t)addr,
		.limit = r->limit ? r->limit : UINT64_MAX,
	};
	int rc = iova_find(ctx->ranges, ctx->num_ranges, &ctx->maps, &want, iova);

	if (rc) {
		want.align = smallest_page(ctx);
		want.phase = 0;
		rc = iova_find(ctx->ranges, ctx->num_ranges, &ctx->maps, &want, iova);
	}
	if (rc)
		return iol_fail(ENOSPC,
				"no %" PRIu64 " bytes of IOVAs are free up to 0x%" PRIx64
				": unmap what is not needed",
				r->len, want.limit);
	return 0;
}

static int map_failed(struct iol_context *ctx, const struct dma_map *m, int err)
{
	uint64_t len = m->last - m->first + 1;
	struct iol_dma_region region = { .addr = m->addr, .len = len };

	switch (err) {
	case ENOMEM:
		/* Somebody has locked more since it was looked at. */
		ctx->lockable = 0;
		if (memlock_ensure(ctx, &region, 1))
			return -ENOMEM;
		return iol_fail(ENOMEM,
				"the kernel has no memory for %" PRIu64 " bytes at IOVA 0x%" PRIx64
				", or other processes of this user have locked all that "
				"RLIMIT_MEMLOCK allows, as iommufd counts them together",
				len, m->first);
	case EFAULT:
		return iol_fail(EFAULT,
				"the kernel can't pin the %" PRIu64
				" bytes at %p for DMA: they are not "
				"mapped with this access, or a BAR's, which only type1 takes",
				len, m->addr);
	default:
		return iol_fail(err,
				"cannot map %" PRIu64 " bytes at IOVA 0x%" PRIx64 " for DMA: %s",
				len, m->first, strerror(err));
	}
}

static int map_run(struct iol_context *ctx, struct iol_dma_region *const *sorted,
		   const struct run *run)
{
	struct iol_dma_region *r = sorted[run->first];
	struct dma_map m = { .access = r->access, .owned = !r->addr };
	char *addr = r->addr;
	uint64_t iova = r->iova;
	int rc = m.owned ? lay_out(ctx, sorted, run, &addr) : 0;

	if (!rc && iova == IOL_IOVA_ANY)
		rc = choose_iova(ctx, r, addr, &iova);
	if (!rc) {
		m.first = iova;
		m.last = iova + run->len - 1;
		m.addr = addr;
		rc = ctx->ops->map(ctx, &m);
		rc = rc ? map_failed(ctx, &m, -rc) : 0;
	}
	if (rc) {
		if (m.owned && addr)
			munmap(addr, run->len);
		return rc;
	}
	dma_table_add(&ctx->maps, &m);
	ctx->mapped += run->len;
	if (ctx->entries_left != UINT32_MAX)
		ctx->entries_left--;
	for (size_t i = run->first; i < run->end; i++) {
		sorted[i]->iova = iova;
		sorted[i]->addr = addr;
		iova += sorted[i]->len;
		addr += sorted[i]->len;
	}
	return 0;
}

/* Take an entry from the kernel; the table has it still. @keep: what was written of it is asked for later. */
static int unmap_entry(struct iol_context *ctx, const struct dma_map *m, bool keep)
{
	int rc = keep ? dirty_unmap(ctx, m) : ctx->ops->unmap(ctx, m);

	if (rc)
		return rc;
	ctx->mapped -= m->last - m->first + 1;
	if (ctx->entries_left != UINT32_MAX)
		ctx->entries_left++;
	if (m->owned)
		munmap(m->addr, m->last - m->first + 1);
	return 0;
}

/* Regions from the first to before @end, which are mapped, are as they came again. */
static void undo(struct iol_context *ctx, struct iol_dma_region **sorted, size_t end,
		 const struct iol_dma_region *before)
{
	while (end--) {
		size_t at = dma_table_at(&ctx->maps, sorted[end]->iova);

		if (at < ctx->maps.num && ctx->maps.maps[at].first == sorted[end]->iova &&
		    !unmap_entry(ctx, &ctx->maps.maps[at], false))
			dma_table_remove(&ctx->maps, at, 1);
		sorted[end]->addr = before[end].addr;
		sorted[end]->iova = before[end].iova;
	}
}

int iol_dma_map(struct iol_context *ctx, struct iol_dma_region *regions, size_t num)
{
	_cleanup_free_ struct iol_dma_region **sorted = calloc(num ? num : 1, sizeof(*sorted));
	_cleanup_free_ struct iol_dma_region *before = calloc(num ? num : 1, sizeof(*before));
	size_t entries, done = 0;
	int rc;

	if (ctx->kind == IOL_CONTEXT_UNSAFE_NOIOMMU)
		return iol_fail(EOPNOTSUPP,
				"without an IOMMU nothing is mapped for DMA: devices use "
				"physical addresses");
	if (!ctx->ready)
		return iol_fail(ENODEV, "memory can be mapped for DMA once a device is open");
	if (!sorted || !before || dma_table_reserve(&ctx->maps, num))
		return iol_fail(ENOMEM, "no memory for %zu regions", num);
	for (size_t i = 0; i < num; i++) {
		rc = check_region(ctx, &regions[i]);
		if (rc)
			return rc;
		sorted[i] = &regions[i];
	}
	qsort(sorted, num, sizeof(*sorted), by_iova);
	for (size_t i = 0; i < num; i++)
		before[i] = *sorted[i];
	rc = check_entries(ctx, sorted, num, &entries);
	if (!rc)
		rc = memlock_ensure(ctx, regions, num);
	while (!rc && done < num) {
		struct run run = next_run(sorted, num, done);

		rc = map_run(ctx, sorted, &run);
		if (!rc)
			done = run.end;
	}
	if (rc) {
		undo(ctx, sorted, done, before);
		return rc;
	}
	return (int)entries;
}

int iol_dma_unmap(struct iol_context *ctx, uint64_t iova, uint64_t len)
{
	uint64_t last = iova + len - 1;
	size_t at = dma_table_at(&ctx->maps, iova), end = at, count = 0;
	int rc = 0;

	if (!len || last < iova)
		return iol_fail(EINVAL, "0x%" PRIx64 " and %" PRIu64 " bytes are no IOVAs", iova,
				len);
	while (end < ctx->maps.num && ctx->maps.maps[end].first <= last) {
		const struct dma_map *m = &ctx->maps.maps[end++];

		if (m->first < iova || m->last > last)
			return iol_fail(EINVAL,
					"IOVAs 0x%" PRIx64 " to 0x%" PRIx64
					" were mapped as one, and can only be unmapped so",
					m->first, m->last);
	}
	if (at == end)
		return iol_fail(ENOENT, "nothing is mapped at IOVAs 0x%" PRIx64 " to 0x%" PRIx64,
				iova, last);
	while (at + count < end && !rc) {
		rc = unmap_entry(ctx, &ctx->maps.maps[at + count], ctx->dirty.on);
		count += !rc;
	}
	dma_table_remove(&ctx->maps, at, count);
	if (rc)
		return iol_fail(-rc, "cannot unmap IOVA 0x%" PRIx64 ": %s",
				ctx->maps.maps[at].first, strerror(-rc));
	return (int)count;
}

void dma_unmap_all(struct iol_context *ctx)
{
	for (size_t i = 0; i < ctx->maps.num; i++) {
		const struct dma_map *m = &ctx->maps.maps[i];

		/* What the kernel keeps it pins, until its descriptor is closed. */
		if (unmap_entry(ctx, m, ctx->dirty.on) && unmap_entry(ctx, m, false) && m->owned)
			munmap(m->addr, m->last - m->first + 1);
	}
	ctx->maps.num = 0;
	ctx->mapped = 0;
}
