/* SPDX-License-Identifier: BSD-3-Clause */
/* Physical functions: where their files are, where their VFs would be, and finding them by what does not move. */
#ifndef IOL_SRIOV_PF_H
#define IOL_SRIOV_PF_H

#include <iolane/sriov.h>

#include "vfio/host.h"

/**
 * iol_pf_folder() - The folder of a PF in sysfs, as iol_host_enter() opens one.
 *
 * Return: 0; -ENODEV: it is not there (any more).
 */
int iol_pf_folder(const struct iol_host *host, const struct iol_pf *pf, struct iol_host *folder);

/**
 * iol_vf_addr_at() - Where a VF is, or would be, by arithmetic alone: the PF's routing ID, and @offset and
 * @stride of it (PCIe 6.0, 9.2.1.2). VFs may lie on buses behind the PF's. Devices may change both with the number of VFs.
 *
 * Return: 0; -ERANGE: there is no such place.
 */
int iol_vf_addr_at(const struct iol_pf *pf, unsigned int index, struct iol_pci_addr *addr);

/** iol_vf_name_at() - The name in steps and notes of the VF at an address. Return: whether there is one. */
bool iol_vf_name_at(const struct iol_host *host, const struct iol_pci_addr *addr,
		    char name[IOL_NAME_MAX]);

/**
 * iol_pf_find_serial() - A PF of PCI by its driver and the device's serial number: that of the capability, as lspci
 * writes it ("00-00-c9-ff-ff-00-00-00"; PCIe 6.0, 7.9.3), or an NVMe controller's.
 *
 * Return: 0; -ENODEV: there is none; -ENOTUNIQ: there are several, as ports of a NIC often have the same.
 */
int iol_pf_find_serial(const struct iol_host *host, const char *driver, const char *serial,
		       struct iol_pf *pf);

/**
 * iol_pf_find_path() - A PF by its path in /sys/devices. One of PCI by the way to it from its host bridge: as sysfs writes
 * it ("pci0000:00/0000:00:04.0/0000:01:00.0") or without the buses' numbers ("pci0000:00/04.0/00.0"), which are not looked
 * at, as they move when something else is plugged in.
 *
 * Return: 0; -ENODEV: there is none; -EINVAL: it is no such path.
 */
int iol_pf_find_path(const struct iol_host *host, const char *path, struct iol_pf *pf);

#endif
