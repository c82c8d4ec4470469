/* SPDX-License-Identifier: BSD-3-Clause */
/* The guest's one PCI bus: a host bridge, and a function a slot. The machine's lock is held around all of it. */
#ifndef IOLANE_VMM_PCI_HOST_H
#define IOLANE_VMM_PCI_HOST_H

#include "layout.h"

#include <iolane/vmm.h>

/**
 * struct pci_host - The bus.
 * @fn: by slot; NULL where there is none. It owns them.
 * @address: what was written to port 0xcf8.
 * @window, @window_end: addresses above 4 GiB for BARs.
 */
struct pci_host {
	struct iol_pci_function *fn[PCI_SLOTS];
	uint32_t address;
	uint64_t window, window_end;
};

/** pci_host_init() - An empty bus. @ram_end: where memory ends; -ENOSPC: no addresses are left above it. */
int pci_host_init(struct pci_host *host, uint64_t ram_end, unsigned int address_bits);

/** pci_host_place() - Give all BARs their addresses, as firmware would. -ENOSPC: one does not fit. */
int pci_host_place(struct pci_host *host);

/** pci_host_reset() - All functions as after power-on, and placed again. */
int pci_host_reset(struct pci_host *host);

/** pci_host_remove() - Take one from the bus, and destroy it. */
void pci_host_remove(struct pci_host *host, unsigned int slot);

/* Return: whether it was the bus's. */
bool pci_host_ports(struct pci_host *host, uint16_t port, uint8_t *data, unsigned int len,
		    bool write);
bool pci_host_memory(struct pci_host *host, uint64_t gpa, uint8_t *data, unsigned int len,
		     bool write);

#endif
