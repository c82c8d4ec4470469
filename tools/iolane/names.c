/* SPDX-License-Identifier: BSD-3-Clause */
#include "names.h"

#ifdef HAVE_LIBPCI

#include "tools/common/prog.h"

#include <pci/pci.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
	name = pci_lookup_name(access, buf, len, flags | PCI_LOOKUP_NO_NUMBERS | PCI_LOOKUP_NO_HWDB,
			       a, b, c, d);
	if (!name)
		buf[0] = '\0';
	else if (name != buf)
		snprintf(buf, (size_t)len, "%s", name);
}

void names_of(const struct iol_pci_info *info, struct names *names)
{
	/* The list is read once, and lives as long as the program. */
	static struct pci_access *access;
	int vendor = info->vendor, device = info->device;

	memset(names, 0, sizeof(*names));
	if (!access) {
		access = pci_alloc();
		if (!access)
			return;
		access->error = give_up;
		access->warning = quiet;
		access->debug = quiet;
		/* By default it would also keep answers of name servers in a file. */
		access->id_lookup_mode = 0;
	}
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
