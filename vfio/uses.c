/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio/uses.h"

#include "base/error.h"
#include "base/own.h"
#include "base/text.h"
#include "vfio/grow.h"
#include "vfio/host.h"
#include "vfio/pci.h"

#include <stdio.h>
#include <string.h>

void iol_use_add(struct use_list *uses, const struct iol_pci_addr *addr, enum iol_use_kind kind,
		 bool harmful, const char *fmt, ...)
{
	struct iol_use *use;
	va_list args;

	if (!iol_grow(&uses->list, uses->count, &uses->room, sizeof(*uses->list))) {
		uses->no_memory = true;
		return;
	}
	use = &uses->list[uses->count++];
	*use = (struct iol_use){ .addr = *addr, .kind = kind, .harmful = harmful };
	va_start(args, fmt);
	vsnprintf(use->what, sizeof(use->what), fmt, args);
	va_end(args);
	/* Anybody may name a mount point or a process, and this goes to a terminal. */
	iol_printable(use->what);
}

/* ---- the console ---- */

static bool has_vfio_driver(const struct iol_pci_info *pci)
{
	return strstr(pci->driver, "vfio");
}

static void add_consoles(const struct iol_host *host, const struct iol_pci_info *list, int count,
			 struct use_list *uses)
{
	char text[256], target[HOST_PATH_MAX], *tty, *rest_of_text = text;
	struct iol_pci_addr addr;
	const char *rest;
	int i;

	for (i = 0; i < count; i++)
		if (list[i].boot_vga && !has_vfio_driver(&list[i]))
			iol_use_add(uses, &list[i].addr, IOL_USE_CONSOLE, true,
				    "it is the display of the console (boot_vga)");
	if (iol_host_read(host, text, sizeof(text), "sys/class/tty/console/active") < 0)
		return;
	while ((tty = strsep(&rest_of_text, " \n")))
		if (*tty &&
		    iol_host_target(host, target, sizeof(target), "sys/class/tty/%s", tty) > 0 &&
		    iol_pci_of_path(target, &addr, &rest))
			iol_use_add(uses, &addr, IOL_USE_CONSOLE, true,
				    "%s is a console of the kernel", tty);
}

/* ---- processes ---- */

/* A node of /dev/vfio, and a function that whoever has it open may be using. */
struct node {
	char path[IOL_NAME_MAX];
	struct iol_pci_addr addr;
};

static bool wanted(const struct iol_pci_info *pci, const struct iol_pci_addr *only)
{
	return !only || iol_pci_addr_equal(&pci->addr, only) ||
	       (pci->is_vf && iol_pci_addr_equal(&pci->pf, only));
}

static bool add_node(struct node **nodes, size_t *count, size_t *room,
		     const struct iol_pci_addr *addr, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

static bool add_node(struct node **nodes, size_t *count, size_t *room,
		     const struct iol_pci_addr *addr, const char *fmt, ...)
{
	va_list args;

	if (!iol_grow(nodes, *count, room, sizeof(**nodes)))
		return false;
	va_start(args, fmt);
	vsnprintf((*nodes)[*count].path, sizeof((*nodes)[*count].path), fmt, args);
	va_end(args);
	(*nodes)[(*count)++].addr = *addr;
	return true;
}

/* The nodes of functions that a VFIO driver has: the group's, and the device's own (Linux 6.6). */
static bool load_nodes(const struct iol_host *host, const struct iol_pci_info *list, int functions,
		       const struct iol_pci_addr *only, struct node **nodes, size_t *count)
{
	char name[IOL_PCI_ADDR_MAX];
	const char *entry;
	size_t room = 0;
	int i;

	for (i = 0; i < functions; i++) {
		const struct iol_pci_info *pci = &list[i];
		_cleanup_dir_ DIR *dir = NULL;

		if (!has_vfio_driver(pci) || !wanted(pci, only))
			continue;
		if (pci->iommu_group >= 0 &&
		    (!add_node(nodes, count, &room, &pci->addr, "/dev/vfio/%d", pci->iommu_group) ||
		     !add_node(nodes, count, &room, &pci->addr, "/dev/vfio/noiommu-%d",
			       pci->iommu_group)))
			return false;
		dir = iol_host_opendir(host, "sys/bus/pci/devices/%s/vfio-dev",
				       iol_pci_addr_format(&pci->addr, name));
		while (dir && (entry = iol_host_next(dir)))
			if (!add_node(nodes, count, &room, &pci->addr, "/dev/vfio/devices/%s",
				      entry))
				return false;
	}
	return true;
}

static void add_process(const struct iol_host *host, const char *pid, const struct node *nodes,
			size_t count, struct use_list *uses)
{
	_cleanup_dir_ DIR *dir = iol_host_opendir(host, "proc/%s/fd", pid);
	char target[HOST_PATH_MAX], comm[32];
	size_t i, first = uses->count, k;
	const char *fd;

	while (dir && (fd = iol_host_next(dir))) {
		if (iol_host_target(host, target, sizeof(target), "proc/%s/fd/%s", pid, fd) < 0 ||
		    strncmp(target, "/dev/vfio/", 10) != 0)
			continue;
		for (i = 0; i < count; i++) {
			if (strcmp(target, nodes[i].path) != 0)
				continue;
			/* By the group and by its own node: once is enough. */
			for (k = first; k < uses->count; k++)
				if (iol_pci_addr_equal(&uses->list[k].addr, &nodes[i].addr))
					break;
			if (k < uses->count)
				continue;
			if (iol_host_read(host, comm, sizeof(comm), "proc/%s/comm", pid) < 0)
				strcpy(comm, "a process");
			iol_use_add(uses, &nodes[i].addr, IOL_USE_PROCESS, true,
				    "%s (pid %s) has %s open", comm, pid, target);
			if (uses->count > k)
				uses->list[k].pid = atoi(pid);
		}
	}
}

static void add_processes(const struct iol_host *host, const struct iol_pci_info *list, int count,
			  const struct iol_pci_addr *only, struct use_list *uses)
{
	_cleanup_free_ struct node *nodes = NULL;
	_cleanup_dir_ DIR *dir = NULL;
	const char *pid;
	size_t n = 0;

	if (!load_nodes(host, list, count, only, &nodes, &n)) {
		uses->no_memory = true;
		return;
	}
	/* Looking at every descriptor of every process is the costliest question here. */
	if (!n)
		return;
	dir = iol_host_opendir(host, "proc");
	while (dir && (pid = iol_host_next(dir)))
		if (pid[strspn(pid, "0123456789")] == '\0' && strlen(pid) < 10)
			add_process(host, pid, nodes, n, uses);
}

/* ---- VFs ---- */

static const struct iol_use *worst_of(const struct use_list *uses, size_t count,
				      const struct iol_pci_addr *addr)
{
	const struct iol_use *worst = NULL;
	size_t i;

	for (i = 0; i < count; i++) {
		const struct iol_use *use = &uses->list[i];

		if (iol_pci_addr_equal(&use->addr, addr) && use->harmful &&
		    (!worst || use->kind < worst->kind))
			worst = use;
	}
	return worst;
}

/* VFs go when the driver of their PF does. */
static void add_vfs(const struct iol_pci_info *list, int count, struct use_list *uses)
{
	/* What is added here is not looked at. */
	size_t before = uses->count;
	char name[IOL_PCI_ADDR_MAX];
	int i;

	for (i = 0; i < count; i++) {
		const struct iol_pci_info *vf = &list[i];
		const struct iol_use *use;
		char what[sizeof(use->what)];

		if (!vf->is_vf)
			continue;
		iol_pci_addr_format(&vf->addr, name);
		use = worst_of(uses, before, &vf->addr);
		if (use) {
			/* The list may move. */
			strcpy(what, use->what);
			iol_use_add(uses, &vf->pf, IOL_USE_VFS, true,
				    "its VF %u (%s) is in use: %s", vf->vf_index, name, what);
		} else if (vf->driver[0]) {
			iol_use_add(uses, &vf->pf, IOL_USE_VFS, false,
				    "its VF %u (%s) has the driver %s", vf->vf_index, name,
				    vf->driver);
		}
	}
}

/* ---- all ---- */

static int use_order(const void *x, const void *y)
{
	const struct iol_use *a = x, *b = y;
	int order = iol_pci_addr_order(&a->addr, &b->addr);

	if (order)
		return order;
	if (a->harmful != b->harmful)
		return a->harmful ? -1 : 1;
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return strcmp(a->what, b->what);
}

static void keep_only(struct use_list *uses, const struct iol_pci_addr *addr)
{
	size_t i, kept = 0;

	for (i = 0; i < uses->count; i++)
		if (iol_pci_addr_equal(&uses->list[i].addr, addr))
			uses->list[kept++] = uses->list[i];
	uses->count = kept;
}

/* Of all functions, or of @only. */
static int collect(const struct iol_host *host, const struct iol_pci_info *functions, int count,
		   const struct iol_pci_addr *only, struct iol_use **list)
{
	struct use_list uses = { 0 };

	*list = NULL;
	iol_uses_net(host, &uses);
	iol_uses_disks(host, only, &uses);
	add_consoles(host, functions, count, &uses);
	add_processes(host, functions, count, only, &uses);
	add_vfs(functions, count, &uses);
	if (uses.no_memory) {
		free(uses.list);
		return iol_fail(ENOMEM, "no memory for what functions are in use for");
	}
	if (only)
		keep_only(&uses, only);
	if (!uses.count) {
		free(uses.list);
		return 0;
	}
	qsort(uses.list, uses.count, sizeof(*uses.list), use_order);
	*list = uses.list;
	return (int)uses.count;
}

int iol_pci_uses(const struct iol_host *host, const struct iol_pci_addr *addr,
		 struct iol_use **uses)
{
	_cleanup_free_ struct iol_pci_info *list = NULL;
	int count = iol_pci_list(host, &list);

	return count < 0 ? count : collect(host, list, count, addr, uses);
}

int iol_pci_uses_listed(const struct iol_host *host, const struct iol_pci_info *list, int count,
			struct iol_use **uses)
{
	return collect(host, list, count, NULL, uses);
}

int iol_pci_uses_all(const struct iol_host *host, struct iol_use **uses)
{
	_cleanup_free_ struct iol_pci_info *list = NULL;
	int count = iol_pci_list(host, &list);

	return count < 0 ? count : collect(host, list, count, NULL, uses);
}
