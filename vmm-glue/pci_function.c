/* SPDX-License-Identifier: BSD-3-Clause */
#include "vmm-glue/pci_function.h"

#include "base/error.h"
#include "base/own.h"
#include "vmm-glue/msix.h"

#include <inttypes.h>
#include <linux/pci_regs.h>
#include <string.h>

#define ROM               6u
#define MEM_MIN           16u
#define IO_MIN            4u
#define ROM_MIN           2048u
#define MAX_32            (1ull << 31)
#define PORTS             0x10000u
#define PBA_SIZE(vectors) (((vectors) + 63) / 64 * 8)

void pci_function_put(struct iol_pci_function *fn, unsigned int off, unsigned int len,
		      uint32_t value)
{
	for (unsigned int i = 0; i < len && off + i < IOL_PCI_CONFIG; i++)
		fn->config[off + i] = (uint8_t)(value >> 8 * i);
}

static uint32_t get(const uint8_t *bytes, unsigned int off, unsigned int len)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < len && off + i < IOL_PCI_CONFIG; i++)
		value |= (uint32_t)bytes[off + i] << 8 * i;
	return value;
}

uint32_t pci_function_get(const struct iol_pci_function *fn, unsigned int off, unsigned int len)
{
	return get(fn->config, off, len);
}

static void set_writable(struct iol_pci_function *fn, unsigned int off, uint32_t bits)
{
	for (unsigned int i = 0; i < 4; i++)
		fn->writable[off + i] |= (uint8_t)(bits >> 8 * i);
}

void pci_function_init(struct iol_pci_function *fn, const struct pci_function_ops *ops,
		       const struct iol_vm_ops *vm_ops, void *vm, unsigned int slot)
{
	fn->ops = ops;
	fn->vm_ops = vm_ops;
	fn->vm = vm;
	fn->slot = slot;
	fn->fd = -1;
	fn->cap_end = PCI_STD_HEADER_SIZEOF;
	fn->cap_link = PCI_CAPABILITY_LIST;
	set_writable(fn, PCI_COMMAND,
		     PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR |
			     PCI_COMMAND_INTX_DISABLE);
	fn->writable[PCI_CACHE_LINE_SIZE] = 0xff;
	fn->writable[PCI_INTERRUPT_LINE] = 0xff;
	fn->clear[PCI_STATUS + 1] = (PCI_STATUS_PARITY | PCI_STATUS_SIG_TARGET_ABORT |
				     PCI_STATUS_REC_TARGET_ABORT | PCI_STATUS_REC_MASTER_ABORT |
				     PCI_STATUS_SIG_SYSTEM_ERROR | PCI_STATUS_DETECTED_PARITY) >>
				    8;
}

/* ---- BARs ---- */

static unsigned int bar_register(unsigned int index)
{
	return index == ROM ? PCI_ROM_ADDRESS : PCI_BASE_ADDRESS_0 + 4 * index;
}

static bool bar_fits(const struct iol_pci_function *fn, unsigned int index,
		     const struct iol_pci_bar *bar)
{
	uint64_t min = index == ROM ? ROM_MIN : bar->io ? IO_MIN : MEM_MIN;

	if (index >= PCI_FUNCTION_BARS || bar->size & (bar->size - 1) || bar->size < min ||
	    (!bar->is_64 && bar->size > MAX_32) || (bar->io && (bar->is_64 || bar->size > PORTS)))
		return false;
	if (index == ROM && (bar->io || bar->is_64))
		return false;
	/* The registers must be free, and those of two BARs neither overlap. */
	if (fn->bars[index].bar.size || (index && index < ROM && fn->bars[index - 1].bar.is_64))
		return false;
	return !bar->is_64 || (index + 1 < ROM && !fn->bars[index + 1].bar.size);
}

int pci_function_set_bar(struct iol_pci_function *fn, unsigned int index,
			 const struct iol_pci_bar *bar)
{
	unsigned int at = bar_register(index);
	uint32_t kind = 0;

	if (!bar_fits(fn, index, bar))
		return iol_fail(EINVAL, "BAR %u can't have %" PRIu64 " bytes of this kind", index,
				bar->size);
	if (bar->io)
		kind = PCI_BASE_ADDRESS_SPACE_IO;
	else if (index != ROM)
		kind = (bar->is_64 ? PCI_BASE_ADDRESS_MEM_TYPE_64 : 0) |
		       (bar->prefetchable ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0);
	pci_function_put(fn, at, 4, kind);
	set_writable(fn, at, (uint32_t)-bar->size | (index == ROM ? PCI_ROM_ADDRESS_ENABLE : 0));
	if (bar->is_64)
		set_writable(fn, at + 4, (uint32_t)(-bar->size >> 32));
	set_writable(fn, PCI_COMMAND, bar->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY);
	fn->bars[index].bar = *bar;
	return 0;
}

void iol_pci_bar(const struct iol_pci_function *fn, unsigned int index, struct iol_pci_bar *bar)
{
	*bar = index < PCI_FUNCTION_BARS ? fn->bars[index].bar : (struct iol_pci_bar){ 0 };
}

/*
 * Where a BAR decodes now. At 0 it was not placed yet, and at the very end of what it can name it is being sized: Linux
 * does not always switch decoding off for that.
 */
static bool find_place(const struct iol_pci_function *fn, unsigned int index, uint64_t *gpa)
{
	const struct iol_pci_bar *bar = &fn->bars[index].bar;
	uint32_t command = pci_function_get(fn, PCI_COMMAND, 2);
	unsigned int at = bar_register(index);
	uint64_t limit = bar->io ? PORTS - 1 : bar->is_64 ? UINT64_MAX : UINT32_MAX;

	if (fn->asleep || !bar->size ||
	    !(command & (bar->io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)))
		return false;
	*gpa = pci_function_get(fn, at, 4);
	if (index == ROM && !(*gpa & PCI_ROM_ADDRESS_ENABLE))
		return false;
	if (bar->is_64)
		*gpa |= (uint64_t)pci_function_get(fn, at + 4, 4) << 32;
	*gpa &= -bar->size;
	return *gpa && *gpa <= limit - (bar->size - 1) &&
	       (*gpa + (bar->size - 1) != limit || bar->io);
}

/* @off: none decodes. */
static void move_bars(struct iol_pci_function *fn, bool off)
{
	for (unsigned int i = 0; i < PCI_FUNCTION_BARS; i++) {
		struct pci_function_bar *b = &fn->bars[i];
		uint64_t gpa = 0;
		bool decodes = !off && find_place(fn, i, &gpa);

		if (b->decodes && (!decodes || b->gpa != gpa)) {
			b->decodes = false;
			if (fn->ops->bar_moved)
				fn->ops->bar_moved(fn, i, b->gpa, false);
		}
		if (decodes && !b->decodes) {
			b->decodes = true;
			b->gpa = gpa;
			if (fn->ops->bar_moved)
				fn->ops->bar_moved(fn, i, gpa, true);
		}
	}
}

/* ---- capabilities ---- */

int pci_function_add_cap(struct iol_pci_function *fn, uint8_t id, unsigned int len)
{
	unsigned int at = fn->cap_end, end = (at + len + 3) & ~3u;

	if (len < PCI_CAP_SIZEOF || end > PCI_CFG_SPACE_SIZE)
		return iol_fail(ENOSPC, "no room for capability 0x%02x of %u bytes", id, len);
	fn->config[at] = id;
	fn->config[at + 1] = 0;
	fn->config[fn->cap_link] = (uint8_t)at;
	fn->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	fn->cap_link = at + 1;
	fn->cap_end = end;
	return (int)at;
}

static bool in_bar(const struct iol_pci_function *fn, uint32_t place, uint64_t len)
{
	uint32_t bar = place & PCI_MSIX_TABLE_BIR, off = place & PCI_MSIX_TABLE_OFFSET;

	return bar < ROM && !fn->bars[bar].bar.io && fn->bars[bar].bar.size >= off + len;
}

int pci_function_set_msix(struct iol_pci_function *fn, unsigned int cap, uint32_t table,
			  uint32_t pba, struct msix *msix)
{
	unsigned int vectors = msix_vectors(msix);
	int at = (int)cap;

	if (!in_bar(fn, table, (uint64_t)vectors * MSIX_ENTRY_SIZE) ||
	    !in_bar(fn, pba, PBA_SIZE(vectors))) {
		msix_destroy(&msix);
		return iol_fail(EINVAL, "the MSI-X table is not in the function's BARs");
	}
	if (!cap)
		at = pci_function_add_cap(fn, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);
	if (at < 0) {
		msix_destroy(&msix);
		return at;
	}
	fn->msix = msix;
	fn->msix_cap = (unsigned int)at;
	fn->msix_table = table;
	fn->msix_pba = pba;
	pci_function_put(fn, fn->msix_cap + PCI_MSIX_FLAGS, 2, vectors - 1);
	pci_function_put(fn, fn->msix_cap + PCI_MSIX_TABLE, 4, table);
	pci_function_put(fn, fn->msix_cap + PCI_MSIX_PBA, 4, pba);
	fn->writable[fn->msix_cap + PCI_MSIX_FLAGS + 1] =
		(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL) >> 8;
	return 0;
}

/* ---- accesses ---- */

static bool is_access(unsigned int off, unsigned int len)
{
	return (len == 1 || len == 2 || len == 4) && off < IOL_PCI_CONFIG && off % 4 + len <= 4;
}

uint32_t iol_pci_config_read(struct iol_pci_function *fn, unsigned int off, unsigned int len)
{
	uint32_t value;

	if (!is_access(off, len))
		return UINT32_MAX;
	value = pci_function_get(fn, off, len);
	if (fn->ops->config_read)
		fn->ops->config_read(fn, off, len, &value);
	return value;
}

void iol_pci_config_write(struct iol_pci_function *fn, unsigned int off, unsigned int len,
			  uint32_t value)
{
	if (!is_access(off, len))
		return;
	for (unsigned int i = off; i < off + len; i++, value >>= 8) {
		uint8_t writable = fn->writable[i];

		fn->config[i] = (uint8_t)(((fn->config[i] & ~writable) | (value & writable)) &
					  ~(value & fn->clear[i]));
	}
	if (off < PCI_STD_HEADER_SIZEOF)
		move_bars(fn, false);
	if (fn->msix) {
		uint32_t flags = pci_function_get(fn, fn->msix_cap + PCI_MSIX_FLAGS, 2);

		msix_control(fn->msix, flags & PCI_MSIX_FLAGS_ENABLE,
			     flags & PCI_MSIX_FLAGS_MASKALL);
	}
	if (fn->ops->config_written)
		fn->ops->config_written(fn, off, len);
}

/* Whether an access to @len bytes of BAR @bar touches the @size at @place; *@at is where. */
static bool is_at(uint32_t place, uint64_t size, unsigned int bar, uint64_t off, unsigned int len,
		  uint64_t *at)
{
	*at = off - (place & PCI_MSIX_TABLE_OFFSET);
	return (place & PCI_MSIX_TABLE_BIR) == bar && (*at < size || *at + len - 1 < size);
}

static void access_bar(struct iol_pci_function *fn, unsigned int bar, uint64_t off, void *data,
		       unsigned int len, bool write)
{
	unsigned int vectors = fn->msix ? msix_vectors(fn->msix) : 0;
	uint64_t at;

	if (len > fn->bars[bar].bar.size - off)
		return;
	if (fn->msix && is_at(fn->msix_table, vectors * MSIX_ENTRY_SIZE, bar, off, len, &at))
		msix_table(fn->msix, at, data, len, write);
	else if (fn->msix && is_at(fn->msix_pba, PBA_SIZE(vectors), bar, off, len, &at))
		msix_pba(fn->msix, at, data, len, write);
	else if (fn->ops->bar_access)
		fn->ops->bar_access(fn, bar, off, data, len, write);
}

static int access_space(struct iol_pci_function *fn, bool io, uint64_t addr, void *data,
			unsigned int len, bool write)
{
	for (unsigned int i = 0; i < PCI_FUNCTION_BARS; i++) {
		const struct pci_function_bar *b = &fn->bars[i];

		if (!b->decodes || b->bar.io != io || addr - b->gpa >= b->bar.size)
			continue;
		/* Where nothing answers. */
		if (!write)
			memset(data, 0xff, len);
		access_bar(fn, i, addr - b->gpa, data, len, write);
		return 1;
	}
	return 0;
}

int iol_pci_mmio(struct iol_pci_function *fn, uint64_t gpa, void *data, unsigned int len,
		 bool write)
{
	return access_space(fn, false, gpa, data, len, write);
}

int iol_pci_io(struct iol_pci_function *fn, uint16_t port, void *data, unsigned int len, bool write)
{
	return access_space(fn, true, port, data, len, write);
}

/* ---- its life ---- */

void pci_function_sleep(struct iol_pci_function *fn, bool asleep)
{
	fn->asleep = asleep;
	move_bars(fn, false);
}

void pci_function_quiet(struct iol_pci_function *fn)
{
	move_bars(fn, true);
	if (fn->msix)
		msix_reset(fn->msix);
}

void pci_function_clear(struct iol_pci_function *fn)
{
	pci_function_quiet(fn);
	fn->asleep = false;
	for (unsigned int i = 0; i < IOL_PCI_CONFIG; i++)
		fn->config[i] &= (uint8_t) ~(fn->writable[i] | fn->clear[i]);
}

int iol_pci_function_reset(struct iol_pci_function *fn)
{
	pci_function_clear(fn);
	return fn->ops->reset ? fn->ops->reset(fn) : 0;
}

int iol_pci_function_fd(const struct iol_pci_function *fn)
{
	return fn->fd;
}

int iol_pci_function_poll(struct iol_pci_function *fn)
{
	return fn->ops->poll ? fn->ops->poll(fn) : 0;
}

void iol_pci_function_destroy(struct iol_pci_function **fn)
{
	struct iol_pci_function *f = iol_take_ptr(*fn);
	struct msix *msix;

	if (!f)
		return;
	pci_function_quiet(f);
	msix = f->msix;
	/* Whoever signals its eventfds goes first. */
	f->ops->destroy(f);
	msix_destroy(&msix);
}
