/* SPDX-License-Identifier: BSD-3-Clause */
/* IOMMU groups: what belongs together, and who is in the way. */
#include "vfio/pci.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/grow.h"
#include "vfio/host.h"

#include <string.h>

#define GROUPS "sys/kernel/iommu_groups"

bool iol_is_vfio(const char *driver)
{
	return strstr(driver, "vfio") != NULL;
}

/*
 * The kernel gives a group to user space when every function in it has no driver, or one that declares that it
 * does no DMA by itself (driver_managed_dma): VFIO's own, pci-stub, and
 * pcieport, the driver of bridges. Before 5.19 it asked for the same by name.
 */
static enum iol_member_state state_of(const struct iol_pci_info *pci)
{
	if (!pci->driver[0])
		return pci->is_bridge ? IOL_MEMBER_BRIDGE : IOL_MEMBER_FREE;
	if (!strcmp(pci->driver, "pcieport"))
		return IOL_MEMBER_BRIDGE;
	if (iol_is_vfio(pci->driver) || !strcmp(pci->driver, "pci-stub"))
		return IOL_MEMBER_VFIO;
	return IOL_MEMBER_BLOCKS;
}

static int member_order(const void *a, const void *b)
{
	return iol_pci_addr_order(&((const struct iol_group_member *)a)->pci.addr,
				  &((const struct iol_group_member *)b)->pci.addr);
}

int iol_group_members(const struct iol_host *host, int group, struct iol_group_member **members)
{
	_cleanup_free_ struct iol_group_member *all = NULL;
	_cleanup_dir_ DIR *dir = NULL;
	struct iol_pci_addr addr;
	size_t count = 0, room = 0;
	const char *name;
	int rc;

	*members = NULL;
	dir = iol_host_opendir(host, GROUPS "/%d/devices", group);
	if (!dir)
		return iol_fail(
			errno,
			"cannot look into IOMMU group %d: %s; groups are there when the IOMMU "
			"is on (intel_iommu=on; amd_iommu is on by itself)",
			group, strerror(errno));
	while ((name = iol_host_next(dir))) {
		/* Devices of other buses share no group with PCI's. */
		if (!iol_pci_addr_read(name, &addr))
			continue;
		if (!iol_grow(&all, count, &room, sizeof(*all)))
			return iol_fail(ENOMEM, "no memory for %zu members of group %d", count,
					group);
		rc = iol_pci_info(host, &addr, &all[count].pci);
		if (rc == -ENODEV)
			continue;
		if (rc)
			return iol_fail_more(rc, "cannot tell who is in IOMMU group %d", group);
		all[count].state = state_of(&all[count].pci);
		count++;
	}
	if (count) {
		qsort(all, count, sizeof(*all), member_order);
		*members = iol_take_ptr(all);
	}
	return (int)count;
}
