/* SPDX-License-Identifier: BSD-3-Clause */
#include "pci_host.h"

#include "base/error.h"

#include <inttypes.h>
#include <linux/pci_regs.h>
#include <string.h>

#define GIB (1ull << 30)

/* The host bridge has no registers of its own: Red Hat's id for just such a one. */
static const uint32_t bridge[] = {
	[PCI_VENDOR_ID / 4] = 0x00081b36,
	[PCI_CLASS_REVISION / 4] = 0x06000000,
};

int pci_host_init(struct pci_host *host, uint64_t ram_end, unsigned int address_bits)
{
	uint64_t end = address_bits < 64 ? 1ull << address_bits : UINT64_MAX;

	memset(host, 0, sizeof(*host));
	if (end > HYPERTRANSPORT_ADDR)
		end = HYPERTRANSPORT_ADDR;
	host->window = (ram_end > ABOVE_4G ? ram_end + GIB - 1 : ABOVE_4G) & ~(GIB - 1);
	host->window_end = end;
	if (ram_end > end || host->window >= end)
		return iol_fail(ENOSPC,
				"the guest's memory would end at 0x%" PRIx64
				", but this host's processors address %u bits: give it less "
				"--memory",
				ram_end, address_bits);
	return 0;
}

static uint32_t config_read(struct pci_host *host, unsigned int devfn, unsigned int off,
			    unsigned int len)
{
	struct iol_pci_function *fn = host->fn[devfn >> 3];
	uint32_t value = UINT32_MAX;

	if (devfn == 0)
		value = off / 4 < sizeof(bridge) / 4 ? bridge[off / 4] >> off % 4 * 8 : 0;
	else if (!(devfn & 7) && fn)
		value = iol_pci_config_read(fn, off, len);
	return value;
}

static void config_write(struct pci_host *host, unsigned int devfn, unsigned int off,
			 unsigned int len, uint32_t value)
{
	struct iol_pci_function *fn = host->fn[devfn >> 3];

	if (devfn && !(devfn & 7) && fn)
		iol_pci_config_write(fn, off, len, value);
}

/* One register of configuration space; others than of 1, 2 or 4 bytes are not there. */
static void config(struct pci_host *host, unsigned int devfn, unsigned int off, uint8_t *data,
		   unsigned int len, bool write)
{
	uint32_t value = 0;

	if (len != 1 && len != 2 && len != 4) {
		if (!write)
			memset(data, 0xff, len);
		return;
	}
	if (write) {
		memcpy(&value, data, len);
		config_write(host, devfn, off, len, value);
	} else {
		value = config_read(host, devfn, off, len);
		memcpy(data, &value, len);
	}
}

static void config_port(struct pci_host *host, uint16_t port, uint8_t *data, unsigned int len,
			bool write)
{
	unsigned int off = (host->address & 0xfc) + (port & 3u);

	/* Only bus 0 is there. */
	if (host->address >> 16 == 0x8000 && (port & 3u) + len <= 4)
		config(host, host->address >> 8 & 0xff, off, data, len, write);
	else if (!write)
		memset(data, 0xff, len);
}

static bool of_function(struct pci_host *host, bool io, uint64_t addr, uint8_t *data,
			unsigned int len, bool write)
{
	unsigned int i;

	for (i = 0; i < PCI_SLOTS; i++) {
		struct iol_pci_function *fn = host->fn[i];

		if (!fn)
			continue;
		if (io ? iol_pci_io(fn, (uint16_t)addr, data, len, write)
		       : iol_pci_mmio(fn, addr, data, len, write))
			return true;
	}
	return false;
}

bool pci_host_ports(struct pci_host *host, uint16_t port, uint8_t *data, unsigned int len,
		    bool write)
{
	if (port == CONFIG_ADDR_PORT && len == 4) {
		memcpy(write ? (uint8_t *)&host->address : data,
		       write ? data : (uint8_t *)&host->address, 4);
		return true;
	}
	if (port >= CONFIG_DATA_PORT && port < CONFIG_DATA_PORT + 4) {
		config_port(host, port, data, len, write);
		return true;
	}
	return of_function(host, true, port, data, len, write);
}

bool pci_host_memory(struct pci_host *host, uint64_t gpa, uint8_t *data, unsigned int len,
		     bool write)
{
	if (gpa >= ECAM_ADDR && gpa < ECAM_ADDR + ECAM_SIZE) {
		uint64_t off = gpa - ECAM_ADDR;

		config(host, (unsigned int)(off >> 12), off & 0xfff, data, len, write);
		return true;
	}
	return of_function(host, false, gpa, data, len, write);
}

struct window {
	const char *name;
	uint64_t next, end;
};

static int place_bar(struct iol_pci_function *fn, unsigned int slot, unsigned int index,
		     const struct iol_pci_bar *bar, struct window *w)
{
	uint64_t addr = (w->next + bar->size - 1) & ~(bar->size - 1);
	unsigned int off = PCI_BASE_ADDRESS_0 + index * 4;

	if (addr < w->next || addr > w->end || bar->size > w->end - addr)
		return iol_fail(ENOSPC,
				"BAR %u of the device in slot %u, of %" PRIu64
				" KiB, has no room among %s",
				index, slot, bar->size >> 10, w->name);
	w->next = addr + bar->size;
	iol_pci_config_write(fn, off, 4, (uint32_t)addr);
	if (bar->is_64)
		iol_pci_config_write(fn, off + 4, 4, (uint32_t)(addr >> 32));
	return 0;
}

int pci_host_place(struct pci_host *host)
{
	struct window ports = { "its ports", PCI_IO_PORTS, PCI_IO_PORTS + PCI_IO_COUNT };
	struct window low = { "addresses below 4 GiB", PCI_WINDOW_ADDR,
			      PCI_WINDOW_ADDR + PCI_WINDOW_SIZE };
	struct window high = { "addresses above memory", host->window, host->window_end };
	unsigned int slot, i;

	for (slot = 0; slot < PCI_SLOTS; slot++) {
		/* An expansion ROM waits until the guest wants it. */
		for (i = 0; host->fn[slot] && i < 6; i++) {
			struct iol_pci_bar bar;
			int rc;

			iol_pci_bar(host->fn[slot], i, &bar);
			if (!bar.size)
				continue;
			rc = place_bar(host->fn[slot], slot, i, &bar,
				       bar.io      ? &ports
				       : bar.is_64 ? &high
						   : &low);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

int pci_host_reset(struct pci_host *host)
{
	unsigned int slot;

	host->address = 0;
	for (slot = 0; slot < PCI_SLOTS; slot++) {
		int rc = host->fn[slot] ? iol_pci_function_reset(host->fn[slot]) : 0;

		if (rc < 0)
			return iol_fail_more(rc, "slot %u", slot);
	}
	return pci_host_place(host);
}

void pci_host_remove(struct pci_host *host, unsigned int slot)
{
	iol_pci_function_destroy(&host->fn[slot]);
}
