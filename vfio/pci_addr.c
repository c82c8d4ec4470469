/* SPDX-License-Identifier: BSD-3-Clause */
#include <iolane/vfio.h>

#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Hexadecimal digits up to @end, @min to @max of them. Return: what follows @end; NULL when it is not so. */
static const char *hex(const char *text, char end, size_t min, size_t max, uint32_t *value)
{
	size_t n = strspn(text, "0123456789abcdefABCDEF");

	if (n < min || n > max || text[n] != end || sscanf(text, "%x", value) != 1)
		return NULL;
	return text + n + 1;
}

int iol_pci_addr_parse(const char *text, struct iol_pci_addr *addr)
{
	uint32_t domain = 0, bus = 0, dev = 0, fn = 0;
	const char *p = text, *colon = strchr(text, ':');

	if (colon && strchr(colon + 1, ':'))
		p = hex(p, ':', 4, 8, &domain);
	if (p)
		p = hex(p, ':', 2, 2, &bus);
	if (p)
		p = hex(p, '.', 2, 2, &dev);
	if (p)
		p = hex(p, '\0', 1, 1, &fn);
	if (!p || dev > 31 || fn > 7)
		return iol_fail(EINVAL,
				"%s is no PCI address: write it as 0000:01:10.0 or 01:10.0 (as "
				"lspci -D does)",
				text);
	*addr = (struct iol_pci_addr){ domain, (uint8_t)bus, (uint8_t)dev, (uint8_t)fn };
	return 0;
}

const char *iol_pci_addr_format(const struct iol_pci_addr *addr, char buf[IOL_PCI_ADDR_MAX])
{
	snprintf(buf, IOL_PCI_ADDR_MAX, "%04x:%02x:%02x.%x", addr->domain, addr->bus,
		 addr->dev & 31u, addr->fn & 7u);
	return buf;
}

bool iol_pci_addr_equal(const struct iol_pci_addr *a, const struct iol_pci_addr *b)
{
	return a->domain == b->domain && a->bus == b->bus && a->dev == b->dev && a->fn == b->fn;
}
