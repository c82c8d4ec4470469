/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest that has a device of pci_samples.h, on the machine and the kernel of the tests. */
#ifndef IOL_TESTS_PASSTHROUGH_RIG_H
#define IOL_TESTS_PASSTHROUGH_RIG_H

#include <iolane/vmm.h>
#include <linux/pci_regs.h>

#include "tests/unit/machine.h"
#include "tests/unit/pci_samples.h"
#include "tests/unit/vfio_kernel.h"

#define BAR(n) (PCI_BASE_ADDRESS_0 + 4 * (n))
#define ON     (PCI_COMMAND_MEMORY | PCI_COMMAND_IO | PCI_COMMAND_MASTER)

struct rig {
	struct host_tree tree;
	struct machine machine;
	struct iol_context *ctx;
	struct iol_pci_function *fn;
	uint8_t config[4096];
	unsigned int fds;
};

/** rig_begin() - A kernel that has a device, and a context; rig_give(): and a guest has the function. */
void rig_begin(struct rig *r, const struct pci_sample *sample, enum iol_context_kind kind);
void rig_give(struct rig *r, const char *name);

/** rig_spec_of() - What iol_passthrough_new() gets. */
struct iol_passthrough_spec rig_spec_of(struct rig *r);

/** rig_end() - Take all away, and see that nothing is left. */
void rig_end(struct rig *r);

/** rig_get(), rig_put() - The guest reads and writes its configuration space; rig_device_get() tells what the device has. */
uint32_t rig_get(struct rig *r, unsigned int off, unsigned int len);
void rig_put(struct rig *r, unsigned int off, unsigned int len, uint32_t value);
uint32_t rig_device_get(struct rig *r, unsigned int off, unsigned int len);

/** rig_device_put() - Write a dword of a region of the device. */
void rig_device_put(struct rig *r, unsigned int index, uint64_t off, uint32_t value);

/** rig_mmio32(), rig_set_mmio32() - The guest accesses memory that comes here. */
uint32_t rig_mmio32(struct rig *r, uint64_t gpa);
void rig_set_mmio32(struct rig *r, uint64_t gpa, uint32_t value);

/** rig_place() - The guest places all BARs, one after another, and switches them on; @where: by number. */
void rig_place(struct rig *r, uint64_t where[7]);

/** rig_find_cap() - Where the guest finds a capability, which it has to. */
unsigned int rig_find_cap(struct rig *r, uint8_t id);

/** rig_mapped() - Bytes that it reaches without exits. */
uint64_t rig_mapped(const struct machine *m);

/** rig_program() - It programs a vector, as Linux does. */
void rig_program(struct rig *r, uint64_t table, unsigned int vector, uint32_t data);

#endif
