/* SPDX-License-Identifier: BSD-3-Clause */
/* What vendors, devices and classes are called: from libpci's local list, never from the network. */
#ifndef TOOLS_IOLANE_NAMES_H
#define TOOLS_IOLANE_NAMES_H

#include <iolane/vfio.h>

/** struct names - Of a function; empty where the list does not have them or there is no list. */
struct names {
	char vendor[128], device[160], subsystem[160], class[96];
};

void names_of(const struct iol_pci_info *info, struct names *names);

#endif
