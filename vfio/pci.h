/* SPDX-License-Identifier: BSD-3-Clause */
/* Functions as sysfs has them, and the devices that the kernel has made of them. */
#ifndef IOL_VFIO_PCI_H
#define IOL_VFIO_PCI_H

#include <iolane/vfio.h>

/** struct pci_name - A network interface or NVMe controller, and the function that it is of. */
struct pci_name {
	struct iol_pci_addr addr;
	bool nvme;
	char name[IOL_NAME_MAX];
};

struct pci_names {
	struct pci_name *list;
	size_t count;
};

/** iol_pci_names_load() - Those of all functions, by address and name; emptied by iol_pci_names_clear(). */
int iol_pci_names_load(const struct iol_host *host, struct pci_names *names);
void iol_pci_names_clear(struct pci_names *names);

#define _cleanup_names_ _cleanup_(iol_pci_names_clear)

/** iol_net_is_representor() - Whether an interface is a port of a NIC's switch that a VF or a subfunction is behind. */
bool iol_net_is_representor(const struct iol_host *host, const char *netdev);

/** iol_pci_read() - iol_pci_info() with names that are known, and without details. Sets no sentence. */
int iol_pci_read(const struct iol_host *host, const struct pci_names *names,
		 const struct iol_pci_addr *addr, struct iol_pci_info *info);

/** iol_pci_with_vfs() - iol_pci_list() of a function and its VFs only; of none when there is no such function. */
int iol_pci_with_vfs(const struct iol_host *host, const struct iol_pci_addr *addr,
		     struct iol_pci_info **list);

/** iol_is_vfio() - Whether a driver is one of VFIO's, which all have it in their names. */
bool iol_is_vfio(const char *driver);

/** iol_pci_addr_read() - An address as sysfs writes it, with its domain. Sets no sentence. */
bool iol_pci_addr_read(const char *text, struct iol_pci_addr *addr);

/** iol_pci_addr_order() - Less than, equal to or more than 0, as qsort() wants it. */
int iol_pci_addr_order(const struct iol_pci_addr *a, const struct iol_pci_addr *b);

/**
 * iol_pci_of_path() - The function that a path of /sys/devices leads through last.
 * @rest: what follows it; NULL if not wanted.
 *
 * Return: false when it leads through none.
 */
bool iol_pci_of_path(const char *path, struct iol_pci_addr *addr, const char **rest);

/**
 * iol_pci_owns() - Whether a device is a function's own, by what follows the function in the device's path: of the
 * function itself or of its virtio device, not of another bus behind it (USB).
 * @class: "net" or "nvme".
 */
bool iol_pci_owns(const char *rest, const char *class);

#endif
