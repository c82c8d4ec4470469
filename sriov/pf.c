/* SPDX-License-Identifier: BSD-3-Clause */
/* Physical functions, as sysfs tells of them. */
#include "sriov/pf.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/config.h"
#include "vfio/grow.h"
#include "vfio/pci.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Registers of the SR-IOV capability (PCIe 6.0, 9.3.3). */
#define REG_INITIAL_VFS 0x0c
#define REG_TOTAL_VFS   0x0e

/* Lines of the file "resource": a function's own BARs, its ROM, then its VFs' BARs, where the kernel has SR-IOV. */
#define VF_BAR_LINE 7

int iol_vf_addr_at(const struct iol_pf *pf, unsigned int index, struct iol_pci_addr *addr)
{
	uint64_t id = (uint64_t)pf->addr.bus << 8 | (unsigned int)pf->addr.dev << 3 | pf->addr.fn;

	/* With one VF there need be no stride. */
	if (!pf->offset || (index && !pf->stride))
		return iol_fail(ERANGE,
				"%s does not tell where its VF %u would be (sriov_offset, "
				"sriov_stride)",
				pf->name, index);
	id += pf->offset + (uint64_t)index * pf->stride;
	if (id > UINT16_MAX)
		return iol_fail(
			ERANGE,
			"VF %u of %s would lie behind the last bus: by its offset of %u and its "
			"stride of %u there is no such place",
			index, pf->name, pf->offset, pf->stride);
	*addr = (struct iol_pci_addr){ pf->addr.domain, (uint8_t)(id >> 8), (uint8_t)(id >> 3 & 31),
				       (uint8_t)(id & 7) };
	return 0;
}

bool iol_vf_name_at(const struct iol_host *host, const struct iol_pci_addr *addr,
		    char name[IOL_NAME_MAX])
{
	char pf[IOL_PCI_ADDR_MAX];
	struct iol_pci_info info;

	if (iol_pci_info(host, addr, &info) || !info.is_vf)
		return false;
	snprintf(name, IOL_NAME_MAX, "%s/vf%u", iol_pci_addr_format(&info.pf, pf), info.vf_index);
	return true;
}

/* ---- facts ---- */

/* Only for the privileged: to others the configuration space ends behind its header. */
static void read_capability(const struct iol_host *folder, unsigned int *initial,
			    unsigned int *total)
{
	uint8_t config[CONFIG_EXT_SIZE];
	int n = iol_host_read_bytes(folder, config, sizeof(config), 0, "config");
	size_t at = n > 0 ? iol_config_ext_cap(config, (size_t)n, EXT_CAP_SRIOV) : 0;

	*initial = at ? iol_config_u16(config, (size_t)n, at + REG_INITIAL_VFS) : 0;
	*total = at ? iol_config_u16(config, (size_t)n, at + REG_TOTAL_VFS) : 0;
}

/* Bytes of six regions of a file "resource", each shared by @share. */
static void read_regions(const struct iol_host *host, const char *file, unsigned int first,
			 unsigned int share, uint64_t size[IOL_VF_BARS])
{
	char text[2048], *rest = text, *line;
	unsigned long long start, end;
	unsigned int i;

	if (iol_host_read(host, text, sizeof(text), "%s", file) < 0)
		return;
	for (i = 0; (line = strsep(&rest, "\n")) && i < first + IOL_VF_BARS; i++) {
		if (i < first || sscanf(line, "0x%16llx 0x%16llx", &start, &end) != 2 ||
		    end <= start)
			continue;
		if ((end - start + 1) % share == 0)
			size[i - first] = (end - start + 1) / share;
	}
}

/* The PF's file has room for as many VFs as its capability names, which may be more than its driver makes. */
static void read_bars(const struct iol_host *host, const char *name, unsigned int total,
		      uint64_t size[IOL_VF_BARS])
{
	char file[HOST_PATH_MAX];

	snprintf(file, sizeof(file), "sys/bus/pci/devices/%s/%sresource", name,
		 total ? "" : "virtfn0/");
	read_regions(host, file, total ? VF_BAR_LINE : 0, total ? total : 1, size);
}

static void read_place(const struct iol_host *folder, struct iol_pf *pf)
{
	pf->offset = iol_host_small(folder, "sriov_offset", UINT16_MAX);
	pf->stride = iol_host_small(folder, "sriov_stride", UINT16_MAX);
}

static void read_pci(const struct iol_host *host, const struct iol_host *folder,
		     const struct iol_pci_info *info, struct iol_pf *pf)
{
	unsigned int device, total;
	char text[16];
	int end = 0;

	*pf = (struct iol_pf){
		.is_pci = true,
		.addr = info->addr,
		.total = info->vfs_max,
		.enabled = info->vfs,
		.numa_node = info->numa_node,
		.autoprobe = iol_host_small(folder, "sriov_drivers_autoprobe", 1),
		.ari = iol_host_small(folder, "ari_enabled", 1),
	};
	iol_pci_addr_format(&info->addr, pf->name);
	strcpy(pf->driver, info->driver);
	strcpy(pf->netdev, info->netdev);
	strcpy(pf->nvme, info->nvme);
	read_place(folder, pf);
	if (iol_host_read(folder, text, sizeof(text), "sriov_vf_device") > 0 &&
	    sscanf(text, "%4x%n", &device, &end) == 1 && !text[end])
		pf->vf_device = (uint16_t)device;
	read_capability(folder, &pf->initial, &total);
	read_bars(host, pf->name, total, pf->vf_bar);
}

/* ---- of other buses ---- */

/* What an interface is of, when that can have VFs and is no PCI function. Return: false for all else. */
static bool other_of(const struct iol_host *host, const char *netdev, char name[IOL_NAME_MAX])
{
	char bus[IOL_NAME_MAX];

	return iol_host_exists(host, "sys/class/net/%s/device/sriov_numvfs", netdev) &&
	       iol_host_link(host, bus, sizeof(bus), "sys/class/net/%s/device/subsystem", netdev) >
		       0 &&
	       strcmp(bus, "pci") != 0 &&
	       iol_host_link(host, name, IOL_NAME_MAX, "sys/class/net/%s/device", netdev) > 0;
}

/* -ENODEV without a sentence: no bus has a device of this name that can have VFs. */
static int open_other(const struct iol_host *host, const char *name, struct iol_host *folder)
{
	_cleanup_dir_ DIR *dir = iol_host_opendir(host, "sys/bus");
	const char *bus;

	while (dir && (bus = iol_host_next(dir))) {
		if (!strcmp(bus, "pci") ||
		    iol_host_enter(host, folder, "sys/bus/%s/devices/%s", bus, name))
			continue;
		if (iol_host_exists(folder, "sriov_numvfs"))
			return 0;
		iol_host_leave(folder);
	}
	return -ENODEV;
}

/* @netdev: of several the first by name, but no representor of a VF. */
static void first_netdev(const struct iol_host *host, const char *name, char netdev[IOL_NAME_MAX])
{
	_cleanup_dir_ DIR *dir = iol_host_opendir(host, "sys/class/net");
	char owner[IOL_NAME_MAX];
	const char *entry;

	while (dir && (entry = iol_host_next(dir)))
		if (strlen(entry) < IOL_NAME_MAX && other_of(host, entry, owner) &&
		    !strcmp(owner, name) && (!netdev[0] || strcmp(entry, netdev) < 0) &&
		    !iol_net_is_representor(host, entry))
			strcpy(netdev, entry);
}

static int read_other(const struct iol_host *host, const char *name, struct iol_pf *pf)
{
	_cleanup_folder_ struct iol_host folder = FOLDER_CLOSED;
	uint64_t value;
	int rc = open_other(host, name, &folder);

	if (rc)
		return rc;
	*pf = (struct iol_pf){
		.total = iol_host_read_u64(&folder, &value, "sriov_totalvfs") || value > UINT_MAX
				 ? UINT_MAX
				 : (unsigned int)value,
		.enabled = iol_host_small(&folder, "sriov_numvfs", UINT_MAX),
		.autoprobe = iol_host_small(&folder, "sriov_drivers_autoprobe", 1),
		.numa_node = -1,
	};
	snprintf(pf->name, sizeof(pf->name), "%s", name);
	if (!iol_host_read_u64(&folder, &value, "numa_node") && value <= INT_MAX)
		pf->numa_node = (int)value;
	if (iol_host_link(&folder, pf->driver, sizeof(pf->driver), "driver") < 0)
		pf->driver[0] = '\0';
	first_netdev(host, name, pf->netdev);
	return 0;
}

/* By the name of the device or of an interface. Sets no sentence. */
static int find_other(const struct iol_host *host, const char *name, struct iol_pf *pf)
{
	char owner[IOL_NAME_MAX];

	if (!*name || *name == '.' || strchr(name, '/') || strlen(name) >= IOL_NAME_MAX)
		return -ENODEV;
	return read_other(host, other_of(host, name, owner) ? owner : name, pf);
}

/* ---- finding ---- */

int iol_pf_folder(const struct iol_host *host, const struct iol_pf *pf, struct iol_host *folder)
{
	int rc = pf->is_pci ? iol_host_enter(host, folder, "sys/bus/pci/devices/%s", pf->name)
			    : open_other(host, pf->name, folder);

	return rc ? iol_fail(ENODEV, "%s has gone", pf->name) : 0;
}

static int read_function(const struct iol_host *host, const struct iol_pci_info *info,
			 struct iol_pf *pf)
{
	_cleanup_folder_ struct iol_host folder = FOLDER_CLOSED;
	char name[IOL_PCI_ADDR_MAX];

	if (iol_host_enter(host, &folder, "sys/bus/pci/devices/%s",
			   iol_pci_addr_format(&info->addr, name)))
		return iol_fail(ENODEV, "%s has gone", name);
	read_pci(host, &folder, info, pf);
	return 0;
}

int iol_pf_find(const struct iol_host *host, const char *name, struct iol_pf *pf)
{
	char text[IOL_PCI_ADDR_MAX], owner[IOL_PCI_ADDR_MAX];
	struct iol_pci_info info;
	struct iol_pci_addr addr;
	int rc = iol_pci_find(host, name, &addr);

	if (rc)
		return find_other(host, name, pf) ? rc : 0;
	rc = iol_pci_info(host, &addr, &info);
	if (rc)
		return rc;
	iol_pci_addr_format(&addr, text);
	if (info.is_vf)
		return iol_fail(EOPNOTSUPP, "%s is itself a VF, number %u of %s: name that one",
				text, info.vf_index, iol_pci_addr_format(&info.pf, owner));
	if (!info.vfs_max)
		return iol_fail(
			EOPNOTSUPP,
			"%s can have no VFs: it has no SR-IOV, its firmware has it switched "
			"off, or the kernel could not make room for them (dmesg)",
			text);
	return read_function(host, &info, pf);
}

static int name_order(const void *a, const void *b)
{
	return strcmp(((const struct iol_pf *)a)->name, ((const struct iol_pf *)b)->name);
}

/* Those of other buses that have an interface, behind the @count that are there. */
static int list_others(const struct iol_host *host, struct iol_pf **list, size_t *count,
		       size_t *room)
{
	_cleanup_dir_ DIR *dir = iol_host_opendir(host, "sys/class/net");
	size_t first = *count, i;
	char owner[IOL_NAME_MAX];
	const char *entry;

	while (dir && (entry = iol_host_next(dir))) {
		if (strlen(entry) >= IOL_NAME_MAX || !other_of(host, entry, owner))
			continue;
		for (i = first; i < *count && strcmp((*list)[i].name, owner) != 0;)
			i++;
		if (i < *count)
			continue;
		if (!iol_grow(list, *count, room, sizeof(**list)))
			return -ENOMEM;
		if (!read_other(host, owner, &(*list)[*count]))
			(*count)++;
	}
	if (*count > first)
		qsort(*list + first, *count - first, sizeof(**list), name_order);
	return 0;
}

int iol_pf_list(const struct iol_host *host, struct iol_pf **list)
{
	_cleanup_free_ struct iol_pci_info *functions = NULL;
	_cleanup_free_ struct iol_pf *all = NULL;
	size_t count = 0, room = 0;
	int n = iol_pci_list(host, &functions), i, rc = 0;

	*list = NULL;
	if (n < 0)
		return n;
	for (i = 0; !rc && i < n; i++) {
		if (!functions[i].vfs_max)
			continue;
		if (!iol_grow(&all, count, &room, sizeof(*all)))
			rc = -ENOMEM;
		else if (!read_function(host, &functions[i], &all[count]))
			count++;
	}
	if (!rc)
		rc = list_others(host, &all, &count, &room);
	if (rc)
		return iol_fail(ENOMEM, "no memory for %zu devices that make VFs", count);
	if (count)
		*list = iol_take_ptr(all);
	return (int)count;
}

int iol_vf_addr(const struct iol_host *host, const struct iol_pf *pf, unsigned int index,
		struct iol_pci_addr *addr)
{
	_cleanup_folder_ struct iol_host folder = FOLDER_CLOSED;
	char text[IOL_PCI_ADDR_MAX], there[IOL_PCI_ADDR_MAX];
	struct iol_pci_addr computed;
	struct iol_pf now = *pf;
	int rc;

	if (!pf->is_pci)
		return iol_fail(EOPNOTSUPP, "VFs of %s have no address: it is no PCI function",
				pf->name);
	rc = iol_pf_folder(host, pf, &folder);
	if (rc)
		return rc;
	if (iol_host_link(&folder, there, sizeof(there), "virtfn%u", index) < 0)
		return iol_fail(ENODEV,
				"%s has no VF %u: there are %u now, counted from 0 (sriov_numvfs)",
				pf->name, index,
				iol_host_small(&folder, "sriov_numvfs", UINT16_MAX));
	/* They may have changed with the number of VFs since @pf was found. */
	read_place(&folder, &now);
	rc = iol_vf_addr_at(&now, index, &computed);
	if (rc)
		return iol_fail_more(-EPROTO, "VF %u of %s is %s", index, pf->name, there);
	if (strcmp(iol_pci_addr_format(&computed, text), there) != 0)
		return iol_fail(
			EPROTO,
			"VF %u of %s is %s for the kernel, but %s by its offset of %u and its "
			"stride of %u: neither is trusted",
			index, pf->name, there, text, now.offset, now.stride);
	*addr = computed;
	return 0;
}
