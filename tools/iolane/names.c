/* SPDX-License-Identifier: BSD-3-Clause */
#include "names.h"

#ifdef HAVE_LIBPCI

#include "tools/common/prog.h"

#include <dlfcn.h>
#include <pci/pci.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Opened by the first who asks for a name: with the libraries that it needs itself it takes longer to load than most
 * verbs to run. Where it is not installed there are no names.
 */
static struct {
	__typeof__(pci_alloc) *alloc;
	__typeof__(pci_lookup_name) *lookup_name;
} libpci;

/* It may not return. Only a lack of memory leads here. */
static void __attribute__((noreturn)) give_up(char *fmt, ...)
{
	iol_fail(ENOMEM, "cannot read the list of PCI names");
	exit(prog_fail());
}

static void quiet(char *fmt, ...)
{
}

static void look_up(struct pci_access *access, char *buf, int len, int flags, int a, int b, int c,
		    int d)
{
	const char *name;

	/* udev's list is made from the same one. */
	name = libpci.lookup_name(access, buf, len,
				  flags | PCI_LOOKUP_NO_NUMBERS | PCI_LOOKUP_NO_HWDB, a, b, c, d);
	if (!name)
		buf[0] = '\0';
	else if (name != buf)
		snprintf(buf, (size_t)len, "%s", name);
}

static struct pci_access *open_names(void)
{
	/* Its interface is versioned by symbol: those of 3.0 and 3.5 stay as they are. */
	void *library = dlopen("libpci.so.3", RTLD_NOW | RTLD_LOCAL);
	struct pci_access *access;

	if (!library)
		return NULL;
	libpci.alloc = (__typeof__(pci_alloc) *)dlsym(library, "pci_alloc");
	libpci.lookup_name = (__typeof__(pci_lookup_name) *)dlsym(library, "pci_lookup_name");
	access = libpci.alloc && libpci.lookup_name ? libpci.alloc() : NULL;
	if (!access)
		return NULL;
	access->error = give_up;
	access->warning = quiet;
	access->debug = quiet;
	/* By default it would also keep answers of name servers in a file. */
	access->id_lookup_mode = 0;
	return access;
}

void names_of(const struct iol_pci_info *info, struct names *names)
{
	/* The list is read once, and lives as long as the program. */
	static struct pci_access *access;
	static bool opened;
	int vendor = info->vendor, device = info->device;

	memset(names, 0, sizeof(*names));
	if (!opened)
		access = open_names();
	opened = true;
	if (!access)
		return;
	look_up(access, names->vendor, sizeof(names->vendor), PCI_LOOKUP_VENDOR, vendor, 0, 0, 0);
	look_up(access, names->device, sizeof(names->device), PCI_LOOKUP_DEVICE, vendor, device, 0,
		0);
	look_up(access, names->class, sizeof(names->class), PCI_LOOKUP_CLASS,
		(int)(info->class >> 8), 0, 0, 0);
	if (info->subsystem_vendor)
		look_up(access, names->subsystem, sizeof(names->subsystem),
			PCI_LOOKUP_SUBSYSTEM | PCI_LOOKUP_DEVICE, vendor, device,
			info->subsystem_vendor, info->subsystem_device);
}

#else

void names_of(const struct iol_pci_info *info, struct names *names)
{
	*names = (struct names){ 0 };
}

#endif
