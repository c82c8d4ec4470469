/* SPDX-License-Identifier: BSD-3-Clause */
/* From a name that people use to a function. */
#include "vfio/pci.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/host.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* The kernel's IFNAMSIZ. */
#define NETDEV_MAX 16

static int find_address(const struct iol_host *host, const char *name, struct iol_pci_addr *addr)
{
	char text[IOL_PCI_ADDR_MAX];
	int rc = iol_pci_addr_parse(name, addr);

	if (rc)
		return rc;
	iol_pci_addr_format(addr, text);
	if (!iol_host_exists(host, "sys/bus/pci/devices/%s", text))
		return iol_fail(ENODEV, "there is no PCI function %s here (iolane list --all)",
				text);
	return 0;
}

/* The function that a link of /sys/class leads to. -ENOENT without a sentence: there is no such link. */
static int find_link(const struct iol_host *host, const char *class, const char *name,
		     const char *owner, struct iol_pci_addr *addr)
{
	char target[HOST_PATH_MAX];
	const char *rest;
	int rc;

	rc = iol_host_target(host, target, sizeof(target), "sys/class/%s/%s", class, name);
	if (rc == -ENOENT)
		return rc;
	if (rc < 0)
		return iol_fail(-rc, "cannot read /sys/class/%s/%s: %s", class, name,
				strerror(-rc));
	if (!iol_pci_of_path(target, addr, &rest))
		return iol_fail(EINVAL,
				"%s is no PCI device's, so there is nothing to hand over: it is %s",
				name, target);
	if (!iol_pci_owns(rest, owner))
		return iol_fail(EINVAL,
				"%s is behind a PCI function, but not its own: it is %s; name the "
				"function's address if you mean it",
				name, target);
	return 0;
}

/* A namespace that several controllers may lead to has its block device beneath the NVMe subsystem. */
static int find_shared(const struct iol_host *host, const char *name, const char *subsystem,
		       struct iol_pci_addr *addr)
{
	_cleanup_dir_ DIR *dir = iol_host_opendir(host, "sys/class/nvme-subsystem/%s", subsystem);
	char first[IOL_NAME_MAX] = "";
	const char *entry;

	while (dir && (entry = iol_host_next(dir))) {
		if (strncmp(entry, "nvme", 4) != 0 || !isdigit((unsigned char)entry[4]) ||
		    entry[4 + strspn(entry + 4, "0123456789")])
			continue;
		if (first[0])
			return iol_fail(EINVAL,
					"%s can be reached by several controllers (%s, %s): name "
					"the one that you mean",
					name, first, entry);
		snprintf(first, sizeof(first), "%s", entry);
	}
	if (!first[0])
		return iol_fail(ENODEV, "%s has no controller now (/sys/class/nvme-subsystem/%s)",
				name, subsystem);
	return find_link(host, "nvme", first, "nvme", addr);
}

/* nvme0, nvme0n1, nvme0n1p2. */
static int find_nvme(const struct iol_host *host, const char *name, struct iol_pci_addr *addr)
{
	size_t digits = strspn(name + 4, "0123456789");
	char target[HOST_PATH_MAX], *subsystem;
	int rc;

	if (!name[4 + digits]) {
		rc = find_link(host, "nvme", name, "nvme", addr);
		return rc == -ENOENT ? iol_fail(ENODEV, "there is no NVMe controller %s here", name)
				     : rc;
	}
	rc = iol_host_target(host, target, sizeof(target), "sys/class/block/%s", name);
	if (rc < 0)
		return iol_fail(ENODEV, "there is no NVMe device %s here", name);
	subsystem = strstr(target, "/nvme-subsystem/");
	if (!subsystem)
		return find_link(host, "block", name, "nvme", addr);
	subsystem += strlen("/nvme-subsystem/");
	subsystem[strcspn(subsystem, "/")] = '\0';
	return find_shared(host, name, subsystem, addr);
}

static int find_netdev(const struct iol_host *host, const char *name, struct iol_pci_addr *addr)
{
	int rc = find_link(host, "net", name, "net", addr);

	if (rc == -ENOENT)
		return iol_fail(ENODEV,
				"there is no network interface %s here; a PCI function is named by "
				"its address (0000:01:10.0), its interface or its NVMe device",
				name);
	return rc;
}

static int find_function(const struct iol_host *host, const char *name, struct iol_pci_addr *addr)
{
	size_t len = strlen(name);

	if (strchr(name, ':'))
		return find_address(host, name, addr);
	if (!strncmp(name, "nvme", 4) && isdigit((unsigned char)name[4]) && len < IOL_NAME_MAX)
		return find_nvme(host, name, addr);
	if (!len || len >= NETDEV_MAX || name[0] == '.')
		return iol_fail(EINVAL,
				"'%.64s' is no name of a PCI function: it would be an address "
				"(0000:01:10.0), a network interface, an NVMe device or PF/vf0",
				name);
	return find_netdev(host, name, addr);
}

static int find_vf(const struct iol_host *host, const char *name, unsigned int index,
		   struct iol_pci_addr *addr)
{
	char pf[IOL_PCI_ADDR_MAX], vf[IOL_PCI_ADDR_MAX];
	uint64_t vfs = 0;

	iol_pci_addr_format(addr, pf);
	if (iol_host_link(host, vf, sizeof(vf), "sys/bus/pci/devices/%s/virtfn%u", pf, index) > 0 &&
	    iol_pci_addr_read(vf, addr))
		return 0;
	if (iol_host_read_u64(host, &vfs, "sys/bus/pci/devices/%s/sriov_totalvfs", pf))
		return iol_fail(ENODEV, "%s (%s) can have no VFs", name, pf);
	iol_host_read_u64(host, &vfs, "sys/bus/pci/devices/%s/sriov_numvfs", pf);
	return iol_fail(ENODEV,
			"%s (%s) has no VF %u: there are %llu now, counted from 0 (sriov_numvfs)",
			name, pf, index, (unsigned long long)vfs);
}

int iol_pci_find(const struct iol_host *host, const char *name, struct iol_pci_addr *addr)
{
	char function[IOL_NAME_MAX];
	const char *slash;
	unsigned int index;
	int end = 0, rc;

	if (!strncmp(name, "/dev/nvme", 9))
		name += strlen("/dev/");
	slash = strchr(name, '/');
	if (!slash)
		return find_function(host, name, addr);
	if ((size_t)(slash - name) >= sizeof(function) || strncmp(slash, "/vf", 3) != 0 ||
	    !isdigit((unsigned char)slash[3]) || sscanf(slash, "/vf%5u%n", &index, &end) != 1 ||
	    slash[end])
		return iol_fail(EINVAL,
				"'%.64s' is no name of a PCI function: a VF is named by its PF and "
				"number, as in eth3/vf2",
				name);
	memcpy(function, name, (size_t)(slash - name));
	function[slash - name] = '\0';
	rc = find_function(host, function, addr);
	return rc ? rc : find_vf(host, function, index, addr);
}
