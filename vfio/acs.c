/* SPDX-License-Identifier: BSD-3-Clause */
/* Access Control Services on the way from a function to its root port. */
#include "vfio/pci.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/config.h"
#include "vfio/grow.h"
#include "vfio/host.h"

#include <string.h>

#define DEVICES "sys/bus/pci/devices"

#define REG_HEADER_TYPE 0x0e
#define MULTIFUNCTION   0x80u

/* PCIe 6.0, 7.5.3.2. */
enum {
	TYPE_ENDPOINT,
	TYPE_LEGACY_ENDPOINT,
	TYPE_ROOT_PORT = 4,
	TYPE_UPSTREAM,
	TYPE_DOWNSTREAM,
	TYPE_PCIE_TO_PCI,
	TYPE_PCI_TO_PCIE,
	TYPE_INTEGRATED_ENDPOINT,
};

const char *iol_acs_bit(uint16_t bit, const char **meaning)
{
	static const struct {
		uint16_t bit;
		const char *name, *meaning;
	} rows[] = {
		{ IOL_ACS_SOURCE_VALIDATION, "source validation",
		  "functions below can't pose as others by their requester ID" },
		{ IOL_ACS_TRANSLATION_BLOCKING, "translation blocking",
		  "requests that say they are translated already are blocked" },
		{ IOL_ACS_REQUEST_REDIRECT, "request redirect",
		  "requests from function to function go up to the IOMMU, not straight across" },
		{ IOL_ACS_COMPLETION_REDIRECT, "completion redirect",
		  "answers from function to function go up too, in order with the requests" },
		{ IOL_ACS_UPSTREAM_FORWARDING, "upstream forwarding",
		  "what comes back to the port it came from is sent up, not kept below" },
		{ IOL_ACS_EGRESS_CONTROL, "egress control",
		  "the port decides by a list which neighbours may be reached directly" },
		{ IOL_ACS_DIRECT_TRANSLATED, "direct translated P2P",
		  "translated requests may go straight across, past the redirects" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (rows[i].bit == bit) {
			if (meaning)
				*meaning = rows[i].meaning;
			return rows[i].name;
		}
	return NULL;
}

/*
 * What the kernel would want to see here (drivers/pci/pci.c, pci_acs_enabled()): ports that lead down must have ACS;
 * what has several functions in one device must keep these apart, if it is to; what leads to a conventional bus never
 * can. The kernel also knows hardware that isolates without saying so.
 */
static uint16_t missing(const struct iol_acs_hop *hop, bool itself)
{
	switch (hop->type) {
	case TYPE_ROOT_PORT:
	case TYPE_DOWNSTREAM:
		break;
	case TYPE_ENDPOINT:
	case TYPE_LEGACY_ENDPOINT:
	case TYPE_INTEGRATED_ENDPOINT:
	case TYPE_UPSTREAM:
		if (!hop->multifunction)
			return 0;
		break;
	default:
		/* A single function of a conventional bus is only harmed by what it stands behind. */
		return itself && !hop->multifunction ? 0 : IOL_ACS_REQUIRED;
	}
	if (!hop->has_acs)
		return IOL_ACS_REQUIRED;
	/* What the capability does not offer is there without being asked for. */
	return (uint16_t)(IOL_ACS_REQUIRED & hop->cap & ~hop->ctrl);
}

static void read_hop(const struct iol_host *host, struct iol_acs_hop *hop, bool itself)
{
	uint8_t config[CONFIG_EXT_SIZE];
	char name[IOL_PCI_ADDR_MAX], pf[IOL_PCI_ADDR_MAX];
	size_t at, len;
	int n;

	hop->type = -1;
	iol_pci_addr_format(&hop->addr, name);
	n = iol_host_read_bytes(host, config, sizeof(config), 0, DEVICES "/%s/config", name);
	if (n < CONFIG_HEADER)
		return;
	len = (size_t)n;
	/* VFs are alone by definition, whatever their header says. */
	hop->multifunction = iol_config_u8(config, len, REG_HEADER_TYPE) & MULTIFUNCTION &&
			     iol_host_link(host, pf, sizeof(pf), DEVICES "/%s/physfn", name) < 0;
	/* To those without privilege the file ends behind the header. */
	hop->readable = len > CONFIG_HEADER;
	if (!hop->readable)
		return;
	hop->type = iol_config_pcie_type(config, len);
	at = iol_config_ext_cap(config, len, EXT_CAP_ACS);
	if (at) {
		hop->has_acs = true;
		hop->cap = iol_config_u16(config, len, at + 4) & 0x7f;
		hop->ctrl = iol_config_u16(config, len, at + 6) & 0x7f;
	}
	hop->missing = missing(hop, itself);
}

int iol_acs_path(const struct iol_host *host, const struct iol_pci_addr *addr,
		 struct iol_acs_hop **hops)
{
	_cleanup_free_ struct iol_acs_hop *all = NULL;
	char target[HOST_PATH_MAX], name[IOL_PCI_ADDR_MAX], *path = target, *part;
	size_t count = 0, room = 0, i;
	struct iol_pci_addr at;
	int rc;

	*hops = NULL;
	iol_pci_addr_format(addr, name);
	rc = iol_host_target(host, target, sizeof(target), DEVICES "/%s", name);
	if (rc < 0)
		return iol_fail(rc == -ENOENT ? ENODEV : -rc,
				"cannot tell the way to %s from /" DEVICES ": %s", name,
				strerror(-rc));
	/* The path leads down, from the host bridge on; a bridge may be within another's device (VMD). */
	while ((part = strsep(&path, "/"))) {
		if (!strncmp(part, "pci", 3))
			count = 0;
		if (!iol_pci_addr_read(part, &at))
			continue;
		if (!iol_grow(&all, count, &room, sizeof(*all)))
			return iol_fail(ENOMEM, "no memory for the way to %s", name);
		all[count++] = (struct iol_acs_hop){ .addr = at };
	}
	if (!count || !iol_pci_addr_equal(&all[count - 1].addr, addr))
		return iol_fail(EINVAL, "/" DEVICES "/%s does not lead to %s, but to %s", name,
				name, count ? "another function" : "no function");
	for (i = 0; i < count / 2; i++) {
		struct iol_acs_hop hop = all[i];

		all[i] = all[count - 1 - i];
		all[count - 1 - i] = hop;
	}
	for (i = 0; i < count; i++)
		read_hop(host, &all[i], !i);
	*hops = iol_take_ptr(all);
	return (int)count;
}
