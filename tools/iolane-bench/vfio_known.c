/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio.h"

static const struct vfio_known table[] = {
	/* QEMU, docs/specs/edu.rst: what is written at 0x04 is read back inverted. */
	{ .vendor = 0x1234,
	  .device = 0x11e8,
	  .name = "edu",
	  .raise = { 0x60, 1 },
	  .ack = { 0x64, 1 },
	  .scratch = 0x04 },
	/* VFs of Intel's 82576 (datasheet, 9.4): VTEIAM and VTEIMS let vectors be, VTEICS sets them off, VTEICR ends it. */
	{ .vendor = 0x8086,
	  .device = 0x10ca,
	  .name = "82576 VF",
	  .start = { { 0x152c, 7 }, { 0x1524, 7 } },
	  .raise = { 0x1520, 1 },
	  .ack = { 0x1580, 1 } },
};

const struct vfio_known *vfio_known(const struct iol_pci_info *pci)
{
	for (unsigned int i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].vendor == pci->vendor && table[i].device == pci->device)
			return &table[i];
	return NULL;
}
