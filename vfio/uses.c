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

static void add_consoles(const struct iol_host *host, const struct iol_pci_info *list, int count,
			 struct use_list *uses)
{
	char text[256], target[HOST_PATH_MAX], *tty, *rest_of_text = text;
	struct iol_pci_addr addr;
	int i;

	for (i = 0; i < count; i++)
		if (list[i].boot_vga && !iol_is_vfio(list[i].driver))
			iol_use_add(uses, &list[i].addr, IOL_USE_CONSOLE, true,
				    "it is the display of the console (boot_vga)");
	if (iol_host_read(host, text, sizeof(text), "sys/class/tty/console/active") < 0)
		return;
	while ((tty = strsep(&rest_of_text, " \n")))
		if (*tty &&
		    iol_host_target(host, target, sizeof(target), "sys/class/tty/%s", tty) > 0 &&
		    iol_pci_of_path(target, &addr, NULL))
			iol_use_add(uses, &addr, IOL_USE_CONSOLE, true,
				    "%s is a console of the kernel", tty);
}

/* ---- VFs ---- */

/* An interface with an address may be taken by who asks for it, but not go along unasked. */
static bool goes_along(const struct iol_use *use)
{
	return use->harmful || use->kind == IOL_USE_ADDRESS;
}

static const struct iol_use *worst_of(const struct use_list *uses, size_t count,
				      const struct iol_pci_addr *addr)
{
	const struct iol_use *worst = NULL;
	size_t i;

	for (i = 0; i < count; i++) {
		const struct iol_use *use = &uses->list[i];

		if (iol_pci_addr_equal(&use->addr, addr) && goes_along(use) &&
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

/* Of all functions, or of @only, or with @vfs also of those that are VFs of it. */
static int collect(const struct iol_host *host, const struct iol_pci_info *functions, int count,
		   const struct iol_pci_addr *only, bool vfs, struct iol_use **list)
{
	struct use_list uses = { 0 };

	*list = NULL;
	iol_uses_net(host, functions, count, &uses);
	iol_uses_disks(host, only, &uses);
	add_consoles(host, functions, count, &uses);
	iol_uses_processes(host, functions, count, only, &uses);
	add_vfs(functions, count, &uses);
	if (uses.no_memory) {
		free(uses.list);
		return iol_fail(ENOMEM, "no memory for what functions are in use for");
	}
	if (only && !vfs)
		keep_only(&uses, only);
	if (!uses.count) {
		free(uses.list);
		return 0;
	}
	qsort(uses.list, uses.count, sizeof(*uses.list), use_order);
	*list = uses.list;
	return (int)uses.count;
}

static int uses_of(const struct iol_host *host, const struct iol_pci_addr *addr, bool vfs,
		   struct iol_use **uses)
{
	_cleanup_free_ struct iol_pci_info *list = NULL;
	int count = iol_pci_with_vfs(host, addr, &list);

	return count < 0 ? count : collect(host, list, count, addr, vfs, uses);
}

int iol_pci_uses(const struct iol_host *host, const struct iol_pci_addr *addr,
		 struct iol_use **uses)
{
	return uses_of(host, addr, false, uses);
}

int iol_pci_uses_with_vfs(const struct iol_host *host, const struct iol_pci_addr *addr,
			  struct iol_use **uses)
{
	return uses_of(host, addr, true, uses);
}

int iol_pci_uses_listed(const struct iol_host *host, const struct iol_pci_info *list, int count,
			struct iol_use **uses)
{
	return collect(host, list, count, NULL, false, uses);
}

int iol_pci_uses_all(const struct iol_host *host, struct iol_use **uses)
{
	_cleanup_free_ struct iol_pci_info *list = NULL;
	int count = iol_pci_list(host, &list);

	return count < 0 ? count : collect(host, list, count, NULL, false, uses);
}
