/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio/pci.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/grow.h"
#include "vfio/host.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define DEVICES "sys/bus/pci/devices"

int iol_pci_addr_order(const struct iol_pci_addr *a, const struct iol_pci_addr *b)
{
	uint32_t x = (uint32_t)a->bus << 16 | (uint32_t)a->dev << 8 | a->fn;
	uint32_t y = (uint32_t)b->bus << 16 | (uint32_t)b->dev << 8 | b->fn;

	if (a->domain != b->domain)
		return a->domain < b->domain ? -1 : 1;
	return x < y ? -1 : x > y;
}

bool iol_pci_of_path(const char *path, struct iol_pci_addr *addr, const char **rest)
{
	char part[IOL_PCI_ADDR_MAX];
	bool found = false;
	size_t n;

	for (; *path; path += n + (path[n] == '/')) {
		n = strcspn(path, "/");
		if (n >= sizeof(part))
			continue;
		memcpy(part, path, n);
		part[n] = '\0';
		if (!iol_pci_addr_read(part, addr))
			continue;
		found = true;
		if (rest)
			*rest = path + n + (path[n] == '/');
	}
	return found;
}

bool iol_pci_owns(const char *rest, const char *class)
{
	size_t n = strcspn(rest, "/");

	if (!strncmp(rest, "virtio", 6) && rest[n] == '/')
		rest += n + 1;
	n = strlen(class);
	return !strncmp(rest, class, n) && rest[n] == '/';
}

/* ---- names ---- */

/* "pf0vf3", "c1pf0vf3", "pf0sf88" (Documentation/networking/switchdev.rst of Linux). The PF's own is "p0", or none. */
bool iol_net_is_representor(const struct iol_host *host, const char *netdev)
{
	unsigned int controller, pf, port;
	char text[IOL_NAME_MAX], kind;

	if (iol_host_read(host, text, sizeof(text), "sys/class/net/%s/phys_port_name", netdev) <= 0)
		return false;
	return (sscanf(text, "pf%u%cf%u", &pf, &kind, &port) == 3 ||
		sscanf(text, "c%upf%u%cf%u", &controller, &pf, &kind, &port) == 4) &&
	       (kind == 'v' || kind == 's');
}

static int name_order(const void *x, const void *y)
{
	const struct pci_name *a = x, *b = y;
	int order = iol_pci_addr_order(&a->addr, &b->addr);

	return order ? order : strcmp(a->name, b->name);
}

static int load_class(const struct iol_host *host, struct pci_names *names, size_t *room,
		      const char *class)
{
	_cleanup_dir_ DIR *dir = iol_host_opendir(host, "sys/class/%s", class);
	char target[HOST_PATH_MAX];
	struct iol_pci_addr addr;
	const char *name, *rest;

	while (dir && (name = iol_host_next(dir))) {
		if (strlen(name) >= IOL_NAME_MAX ||
		    iol_host_target(host, target, sizeof(target), "sys/class/%s/%s", class, name) <
			    0)
			continue;
		if (!iol_pci_of_path(target, &addr, &rest) || !iol_pci_owns(rest, class))
			continue;
		if (!iol_grow(&names->list, names->count, room, sizeof(*names->list)))
			return -ENOMEM;
		names->list[names->count] = (struct pci_name){ addr, !strcmp(class, "nvme"), "" };
		strcpy(names->list[names->count++].name, name);
	}
	return 0;
}

static bool is_net_of(const struct pci_name *name, const struct iol_pci_addr *addr)
{
	return !name->nvme && iol_pci_addr_equal(&name->addr, addr);
}

/* In switchdev mode the interfaces of a NIC's VFs' ports are its own, too. Only one with several is asked. */
static void drop_representors(const struct iol_host *host, struct pci_names *names)
{
	bool after = false, before;
	size_t i, kept = 0;

	for (i = 0; i < names->count; i++) {
		struct pci_name *name = &names->list[i];

		before = after;
		after = !name->nvme && i + 1 < names->count &&
			is_net_of(&names->list[i + 1], &name->addr);
		if (!(before || after) || !iol_net_is_representor(host, name->name))
			names->list[kept++] = *name;
	}
	names->count = kept;
}

int iol_pci_names_load(const struct iol_host *host, struct pci_names *names)
{
	size_t room = 0;

	/* Two folders read once, not folders in each function. */
	if (load_class(host, names, &room, "net") || load_class(host, names, &room, "nvme"))
		return iol_fail(ENOMEM, "no memory for the names of %zu devices", names->count);
	if (names->count)
		qsort(names->list, names->count, sizeof(*names->list), name_order);
	drop_representors(host, names);
	return 0;
}

void iol_pci_names_clear(struct pci_names *names)
{
	free(names->list);
	*names = (struct pci_names){ 0 };
}

/* ---- a function ---- */

/* "KEY=hex" or "KEY=hex:hex" in a line of a uevent file. */
static bool uevent_hex(const char *text, const char *key, unsigned int *a, unsigned int *b)
{
	const char *at = text;
	size_t n = strlen(key);

	while (at && (strncmp(at, key, n) != 0 || at[n] != '=')) {
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	if (!at)
		return false;
	return b ? sscanf(at + n, "=%4x:%4x", a, b) == 2 : sscanf(at + n, "=%6x", a) == 1;
}

static int open_function(const struct iol_host *host, const struct iol_pci_addr *addr,
			 struct iol_host *folder)
{
	char name[IOL_PCI_ADDR_MAX];

	return iol_host_enter(host, folder, DEVICES "/%s", iol_pci_addr_format(addr, name));
}

static int group_of(const struct iol_host *folder)
{
	char text[16];
	unsigned long value;
	char *end;

	if (iol_host_link(folder, text, sizeof(text), "iommu_group") <= 0)
		return -1;
	value = strtoul(text, &end, 10);
	return text[0] < '0' || text[0] > '9' || *end || value > INT_MAX ? -1 : (int)value;
}

static void read_names(const struct pci_names *names, struct iol_pci_info *info)
{
	size_t i;

	for (i = 0; i < names->count; i++) {
		const struct pci_name *name = &names->list[i];
		char *to = name->nvme ? info->nvme : info->netdev;

		if (!to[0] && iol_pci_addr_equal(&name->addr, &info->addr))
			strcpy(to, name->name);
	}
}

static int read_ids(const struct iol_host *folder, struct iol_pci_info *info)
{
	unsigned int a, b;
	char text[1024];
	int rc;

	rc = iol_host_read(folder, text, sizeof(text), "uevent");
	if (rc < 0)
		return rc;
	if (uevent_hex(text, "PCI_ID", &a, &b)) {
		info->vendor = (uint16_t)a;
		info->device = (uint16_t)b;
	}
	if (uevent_hex(text, "PCI_SUBSYS_ID", &a, &b)) {
		info->subsystem_vendor = (uint16_t)a;
		info->subsystem_device = (uint16_t)b;
	}
	if (uevent_hex(text, "PCI_CLASS", &a, NULL))
		info->class = a;
	info->is_bridge = info->class >> 16 == 0x06;
	/* Only displays have the file. */
	if (info->class >> 16 == 0x03)
		info->boot_vga = iol_host_small(folder, "boot_vga", 1);
	return 0;
}

int iol_pci_read(const struct iol_host *host, const struct pci_names *names,
		 const struct iol_pci_addr *addr, struct iol_pci_info *info)
{
	_cleanup_folder_ struct iol_host folder = FOLDER_CLOSED;
	char pf[IOL_PCI_ADDR_MAX];
	uint64_t node;
	int rc;

	*info = (struct iol_pci_info){ .addr = *addr, .numa_node = -1 };
	rc = open_function(host, addr, &folder);
	if (!rc)
		rc = read_ids(&folder, info);
	if (rc)
		return rc;
	if (iol_host_link(&folder, info->driver, sizeof(info->driver), "driver") < 0)
		info->driver[0] = '\0';
	if (!iol_host_read_u64(&folder, &node, "numa_node") && node <= INT_MAX)
		info->numa_node = (int)node;
	info->iommu_group = group_of(&folder);
	if (iol_host_link(&folder, pf, sizeof(pf), "physfn") > 0)
		info->is_vf = iol_pci_addr_read(pf, &info->pf);
	if (!info->is_vf)
		info->vfs_max = iol_host_small(&folder, "sriov_totalvfs", UINT16_MAX);
	if (info->vfs_max)
		info->vfs = iol_host_small(&folder, "sriov_numvfs", info->vfs_max);
	read_names(names, info);
	return 0;
}

void iol_pci_details(const struct iol_host *host, struct iol_pci_info *info)
{
	_cleanup_folder_ struct iol_host folder = FOLDER_CLOSED;

	if (open_function(host, &info->addr, &folder))
		return;
	info->revision = (uint8_t)iol_host_small(&folder, "revision", UINT8_MAX);
	if (iol_host_read(&folder, info->driver_override, sizeof(info->driver_override),
			  "driver_override") < 0 ||
	    !strcmp(info->driver_override, "(null)"))
		info->driver_override[0] = '\0';
}

/* The VF with this number of the function whose folder it is. */
static bool vf_of(const struct iol_host *folder, unsigned int index, struct iol_pci_addr *vf)
{
	char text[IOL_PCI_ADDR_MAX];

	return iol_host_link(folder, text, sizeof(text), "virtfn%u", index) > 0 &&
	       iol_pci_addr_read(text, vf);
}

static unsigned int vf_number(const struct iol_host *host, const struct iol_pci_info *info)
{
	_cleanup_folder_ struct iol_host pf = FOLDER_CLOSED;
	struct iol_pci_addr vf;
	unsigned int i, vfs;

	if (open_function(host, &info->pf, &pf))
		return 0;
	vfs = iol_host_small(&pf, "sriov_numvfs", UINT16_MAX);
	for (i = 0; i < vfs; i++)
		if (vf_of(&pf, i, &vf) && iol_pci_addr_equal(&vf, &info->addr))
			return i;
	return 0;
}

int iol_pci_info(const struct iol_host *host, const struct iol_pci_addr *addr,
		 struct iol_pci_info *info)
{
	_cleanup_names_ struct pci_names names = { 0 };
	char name[IOL_PCI_ADDR_MAX];
	int rc;

	rc = iol_pci_read(host, &names, addr, info);
	iol_pci_addr_format(addr, name);
	if (rc == -ENOENT)
		return iol_fail(ENODEV, "there is no PCI function %s here (iolane list --all)",
				name);
	if (rc)
		return iol_fail(-rc, "cannot read /" DEVICES "/%s/uevent: %s", name, strerror(-rc));
	/* The names of all are looked at to find its own, and it has some by a driver of the host's only. */
	if (info->driver[0] && !iol_is_vfio(info->driver)) {
		rc = iol_pci_names_load(host, &names);
		if (rc)
			return rc;
		read_names(&names, info);
	}
	iol_pci_details(host, info);
	if (info->is_vf)
		info->vf_index = vf_number(host, info);
	return 0;
}

/* ---- several functions ---- */

static int info_order(const void *a, const void *b)
{
	return iol_pci_addr_order(&((const struct iol_pci_info *)a)->addr,
				  &((const struct iol_pci_info *)b)->addr);
}

static void number_vfs(const struct iol_host *host, struct iol_pci_info *list, size_t count)
{
	struct iol_pci_info key = { 0 }, *vf;
	unsigned int index;
	size_t i;

	for (i = 0; i < count; i++) {
		_cleanup_folder_ struct iol_host pf = FOLDER_CLOSED;

		if (!list[i].vfs || open_function(host, &list[i].addr, &pf))
			continue;
		for (index = 0; index < list[i].vfs; index++) {
			if (!vf_of(&pf, index, &key.addr))
				continue;
			vf = bsearch(&key, list, count, sizeof(*list), info_order);
			if (vf && vf->is_vf && iol_pci_addr_equal(&vf->pf, &list[i].addr))
				vf->vf_index = index;
		}
	}
}

/** struct listing - Functions read one after the other; @names are of all of them. */
struct listing {
	struct iol_pci_info *list;
	size_t count, room;
	struct pci_names names;
};

static void listing_end(struct listing *l)
{
	free(l->list);
	iol_pci_names_clear(&l->names);
}

#define _cleanup_listing_ _cleanup_(listing_end)

static int listing_add(const struct iol_host *host, struct listing *l,
		       const struct iol_pci_addr *addr)
{
	if (!iol_grow(&l->list, l->count, &l->room, sizeof(*l->list)))
		return iol_fail(ENOMEM, "no memory for %zu PCI functions", l->count);
	/* What has just been unplugged is not listed. */
	if (!iol_pci_read(host, &l->names, addr, &l->list[l->count]))
		l->count++;
	return 0;
}

/* By address, with the numbers of VFs, for the caller. */
static int listing_take(const struct iol_host *host, struct listing *l, struct iol_pci_info **list)
{
	int count = (int)l->count;

	if (!count)
		return 0;
	qsort(l->list, l->count, sizeof(*l->list), info_order);
	number_vfs(host, l->list, l->count);
	*list = iol_take_ptr(l->list);
	return count;
}

int iol_pci_list(const struct iol_host *host, struct iol_pci_info **list)
{
	_cleanup_listing_ struct listing l = { 0 };
	_cleanup_dir_ DIR *dir = NULL;
	struct iol_pci_addr addr;
	const char *name;
	int rc;

	*list = NULL;
	dir = iol_host_opendir(host, DEVICES);
	if (!dir && errno == ENOENT)
		return 0;
	if (!dir)
		return iol_fail(errno, "cannot look into /" DEVICES ": %s", strerror(errno));
	rc = iol_pci_names_load(host, &l.names);
	while (!rc && (name = iol_host_next(dir)))
		if (iol_pci_addr_read(name, &addr))
			rc = listing_add(host, &l, &addr);
	return rc ? rc : listing_take(host, &l, list);
}

int iol_pci_with_vfs(const struct iol_host *host, const struct iol_pci_addr *addr,
		     struct iol_pci_info **list)
{
	_cleanup_folder_ struct iol_host folder = FOLDER_CLOSED;
	_cleanup_listing_ struct listing l = { 0 };
	struct iol_pci_addr vf;
	unsigned int vfs, i;
	int rc;

	*list = NULL;
	rc = iol_pci_names_load(host, &l.names);
	if (!rc)
		rc = listing_add(host, &l, addr);
	vfs = !rc && l.count ? l.list[0].vfs : 0;
	if (vfs && open_function(host, addr, &folder))
		vfs = 0;
	for (i = 0; !rc && i < vfs; i++)
		if (vf_of(&folder, i, &vf))
			rc = listing_add(host, &l, &vf);
	return rc ? rc : listing_take(host, &l, list);
}
