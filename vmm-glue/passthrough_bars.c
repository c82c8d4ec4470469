/* SPDX-License-Identifier: BSD-3-Clause */
/* A passed-through function's BARs: what the guest reaches without us, and what it doesn't. */
#include "vmm-glue/passthrough.h"

#include "base/error.h"
#include "vfio/config.h"
#include "vfio/device.h"
#include "vmm-glue/msix.h"

#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ROM     6u
#define ROM_MAX (16ull << 20)

struct range {
	uint64_t first, end;
};

/* The pages of MSI-X's registers in a BAR. The specification asks devices to keep other registers off them. */
static unsigned int msix_pages(const struct passthrough *p, unsigned int bar, struct range *ranges)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), first, len;
	unsigned int n = 0, vectors;
	uint32_t place;

	if (!p->msix)
		return 0;
	vectors =
		(pci_function_get(&p->fn, p->msix + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1;
	for (unsigned int i = 0; i < 2; i++) {
		place = pci_function_get(&p->fn, p->msix + PCI_MSIX_TABLE + 4 * i, 4);
		first = place & PCI_MSIX_TABLE_OFFSET;
		len = i ? (vectors + 63) / 64 * 8 : vectors * MSIX_ENTRY_SIZE;
		if ((place & PCI_MSIX_TABLE_BIR) == bar)
			ranges[n++] =
				(struct range){ first & -page, (first + len + page - 1) & -page };
	}
	return n;
}

/* The areas of a BAR but for the @num ranges. */
static int find_maps(struct passthrough_bar *b, const struct iol_vfio_region *region,
		     const struct range *except, unsigned int num)
{
	b->maps = calloc(region->num_areas + num, sizeof(*b->maps));
	if (!b->maps)
		return iol_fail(ENOMEM, "no memory for BARs");
	for (size_t i = 0; i < region->num_areas; i++) {
		uint64_t at = region->areas[i].first, end = region->areas[i].last + 1;

		while (at < end) {
			struct range next = { end, end };

			for (unsigned int j = 0; j < num; j++)
				if (except[j].end > at && except[j].first < next.first)
					next = except[j];
			if (next.first > at)
				b->maps[b->num_maps++] =
					(struct passthrough_map){ .off = at,
								  .size = next.first - at };
			at = next.end;
		}
	}
	return 0;
}

static uint64_t shown_size(const struct iol_vfio_region *region, bool io)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), size = io ? 4 : 16;

	/* Such a BAR has its page to itself in the host, and in the guest, too, if it is that large there. */
	if (!io && region->num_areas)
		size = page;
	while (size < region->size && size < 1ull << 63)
		size *= 2;
	return size;
}

static int add_bar(struct passthrough *p, unsigned int index, uint32_t reg)
{
	struct passthrough_bar *b = &p->bars[index];
	struct iol_vfio_region region;
	struct iol_pci_bar bar = { .io = reg & PCI_BASE_ADDRESS_SPACE_IO };
	struct range except[2];
	unsigned int num = 0;
	int rc = iol_vfio_region_info(p->dev, index, &region);

	if (rc || !region.size)
		return rc;
	bar.size = shown_size(&region, bar.io);
	if (!bar.io) {
		bar.is_64 = (reg & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64;
		bar.prefetchable = reg & PCI_BASE_ADDRESS_MEM_PREFETCH;
		num = msix_pages(p, index, except);
	}
	rc = pci_function_set_bar(&p->fn, index, &bar);
	if (rc)
		return iol_fail_more(rc, "%s", p->dev->name);
	b->writable = region.writable;
	if (bar.io || p->no_map || !region.readable || !region.num_areas)
		return 0;
	return find_maps(b, &region, except, num);
}

static int add_rom(struct passthrough *p)
{
	struct iol_vfio_region region;
	int rc = iol_vfio_region_info(p->dev, IOL_REGION_ROM, &region);

	if (rc || !region.size || region.size > ROM_MAX)
		return rc;
	region.num_areas = 0;
	return pci_function_set_bar(
		&p->fn, ROM,
		&(struct iol_pci_bar){ .size = region.size < 2048 ? 2048
								  : shown_size(&region, false) });
}

int passthrough_bars(struct passthrough *p, bool no_rom)
{
	uint32_t regs[PASSTHROUGH_BARS];
	int rc;

	p->msix = (unsigned int)iol_config_cap(p->fn.config, PCI_CFG_SPACE_SIZE, PCI_CAP_ID_MSIX);
	for (unsigned int i = 0; i < PASSTHROUGH_BARS; i++)
		regs[i] = pci_function_get(&p->fn, PCI_BASE_ADDRESS_0 + 4 * i, 4);
	memset(p->fn.config + PCI_BASE_ADDRESS_0, 0, sizeof(regs));
	pci_function_put(&p->fn, PCI_ROM_ADDRESS, 4, 0);
	for (unsigned int i = 0; i < PASSTHROUGH_BARS; i++) {
		rc = add_bar(p, i, regs[i]);
		if (rc)
			return rc;
		i += p->fn.bars[i].bar.is_64;
	}
	return no_rom ? 0 : add_rom(p);
}

void passthrough_bars_free(struct passthrough *p)
{
	for (unsigned int i = 0; i < PASSTHROUGH_BARS; i++) {
		struct passthrough_bar *b = &p->bars[i];

		for (unsigned int j = 0; j < b->num_maps; j++)
			if (b->maps[j].host)
				munmap(b->maps[j].host, b->maps[j].size);
		free(b->maps);
	}
	free(p->rom);
}

void passthrough_bar_moved(struct iol_pci_function *fn, unsigned int bar, uint64_t gpa,
			   bool decodes)
{
	struct passthrough *p = passthrough_of(fn);
	struct passthrough_bar *b;

	if (bar >= PASSTHROUGH_BARS)
		return;
	b = &p->bars[bar];
	for (unsigned int i = 0; i < b->num_maps; i++) {
		struct passthrough_map *m = &b->maps[i];

		if (m->there)
			fn->vm_ops->unmap(fn->vm, gpa + m->off, m->size);
		m->there = false;
		/* What can't be mapped, or has something else at its place in the guest, comes as accesses. */
		if (decodes &&
		    (m->host || !iol_vfio_region_map(p->dev, bar, m->off, m->size, &m->host)))
			m->there = !fn->vm_ops->map(fn->vm, gpa + m->off, m->size, m->host,
						    !b->writable);
	}
}

/* From a copy: the kernel maps the ROM anew for each byte that is read. */
static void read_rom(struct passthrough *p, uint64_t off, void *data, unsigned int len)
{
	uint64_t size = p->fn.bars[ROM].bar.size;
	struct iol_vfio_region region;

	if (!p->rom) {
		p->rom = malloc(size);
		if (!p->rom)
			return;
		memset(p->rom, 0xff, size);
		if (!iol_vfio_region_info(p->dev, IOL_REGION_ROM, &region))
			iol_vfio_region_read(p->dev, IOL_REGION_ROM, 0, p->rom, region.size);
	}
	memcpy(data, p->rom + off, len);
}

void passthrough_bar_access(struct iol_pci_function *fn, unsigned int bar, uint64_t off, void *data,
			    unsigned int len, bool write)
{
	struct passthrough *p = passthrough_of(fn);

	if (write && bar < PASSTHROUGH_BARS)
		iol_vfio_region_write(p->dev, bar, off, data, len);
	else if (!write && bar < PASSTHROUGH_BARS)
		iol_vfio_region_read(p->dev, bar, off, data, len);
	else if (!write)
		read_rom(p, off, data, len);
}
