/* SPDX-License-Identifier: BSD-3-Clause */
#include <iolane/vfio.h>

#include "base/error.h"
#include "vfio/pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Hexadecimal digits up to @end, @min to @max of them. Return: what follows @end; NULL when it is not so. */
static const char *hex(const char *text, char end, size_t min, size_t max, uint32_t *value)
{
	size_t n = strspn(text, "0123456789abcdefABCDEF");

	if (n < min || n > max || text[n] != end)
		return NULL;
	*value = (uint32_t)strtoul(text, NULL, 16);
	return text + n + 1;
}

static bool scan(const char *text, struct iol_pci_addr *addr)
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
		return false;
	*addr = (struct iol_pci_addr){ domain, (uint8_t)bus, (uint8_t)dev, (uint8_t)fn };
	return true;
}

int iol_pci_addr_parse(const char *text, struct iol_pci_addr *addr)
{
	if (scan(text, addr))
		return 0;
	return iol_fail(EINVAL,
			"%s is no PCI address: write it as 0000:01:10.0 or 01:10.0 (as lspci -D "
			"does)",
			text);
}

bool iol_pci_addr_read(const char *text, struct iol_pci_addr *addr)
{
	char again[IOL_PCI_ADDR_MAX];
	struct iol_pci_addr read;

	/* Nothing but what sysfs itself writes. */
	if (!scan(text, &read) || strcmp(iol_pci_addr_format(&read, again), text) != 0)
		return false;
	*addr = read;
	return true;
}

static char *put_hex(char *to, uint32_t value, unsigned int digits, char after)
{
	while (digits--)
		*to++ = "0123456789abcdef"[value >> (4 * digits) & 0xf];
	*to++ = after;
	return to;
}

/* By hand, as a list of all functions asks for each many times. */
const char *iol_pci_addr_format(const struct iol_pci_addr *addr, char buf[IOL_PCI_ADDR_MAX])
{
	unsigned int digits = 4;
	char *to = buf;

	while (digits < 8 && addr->domain >> (4 * digits))
		digits++;
	to = put_hex(to, addr->domain, digits, ':');
	to = put_hex(to, addr->bus, 2, ':');
	to = put_hex(to, addr->dev & 31u, 2, '.');
	put_hex(to, addr->fn & 7u, 1, '\0');
	return buf;
}

bool iol_pci_addr_equal(const struct iol_pci_addr *a, const struct iol_pci_addr *b)
{
	return a->domain == b->domain && a->bus == b->bus && a->dev == b->dev && a->fn == b->fn;
}
