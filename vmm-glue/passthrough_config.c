/* SPDX-License-Identifier: BSD-3-Clause */
/* A passed-through function's configuration space: which bits are the device's, and which only the guest's. */
#include "vmm-glue/passthrough.h"

#include "base/error.h"
#include "vfio/device.h"

#include <linux/pci_regs.h>
#include <string.h>

int passthrough_config(struct passthrough *p)
{
	uint8_t *config = p->fn.config;
	struct iol_vfio_region region;
	int rc = iol_vfio_region_info(p->dev, IOL_REGION_CONFIG, &region);

	if (rc)
		return rc;
	p->config_size = region.size < IOL_PCI_CONFIG ? region.size : IOL_PCI_CONFIG;
	if (p->config_size < PCI_CFG_SPACE_SIZE)
		return iol_fail(EBADMSG, "%s has %u bytes of configuration space", p->dev->name,
				(unsigned int)p->config_size);
	rc = iol_vfio_region_read(p->dev, IOL_REGION_CONFIG, 0, config, p->config_size);
	if (rc)
		return rc;
	if ((config[PCI_HEADER_TYPE] & PCI_HEADER_TYPE_MASK) != PCI_HEADER_TYPE_NORMAL)
		return iol_fail(EINVAL, "%s is a bridge: a guest can have what is behind it",
				p->dev->name);
	/* The host's other functions are none of the guest's. */
	config[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_NORMAL;
	pci_function_put(&p->fn, PCI_COMMAND, 2, 0);
	pci_function_put(&p->fn, PCI_CARDBUS_CIS, 4, 0);
	config[PCI_CACHE_LINE_SIZE] = config[PCI_LATENCY_TIMER] = config[PCI_BIST] = 0;
	config[PCI_INTERRUPT_LINE] = 0;
	memset(p->given, 0xff, PCI_STD_HEADER_SIZEOF);
	p->given[PCI_STATUS] = PCI_STATUS_CAP_LIST;
	p->given[PCI_STATUS + 1] = 0;
	/* Where conventional PCI has nothing. */
	memset(config + p->config_size, 0xff, IOL_PCI_CONFIG - p->config_size);
	memset(p->given + p->config_size, 0xff, IOL_PCI_CONFIG - p->config_size);
	return 0;
}

void passthrough_config_done(struct passthrough *p)
{
	for (unsigned int i = 0; i < IOL_PCI_CONFIG; i++) {
		p->fn.writable[i] |= (uint8_t)~p->given[i];
		p->fn.clear[i] &= p->given[i];
	}
}

void passthrough_config_read(struct iol_pci_function *fn, unsigned int off, unsigned int len,
			     uint32_t *value)
{
	struct passthrough *p = passthrough_of(fn);
	uint32_t theirs = UINT32_MAX, all = UINT32_MAX >> (32 - 8 * len), given = 0;

	passthrough_msi_pending(p, off, len, value);
	memcpy(&given, p->given + off, len);
	if (given == all)
		return;
	iol_vfio_region_read(p->dev, IOL_REGION_CONFIG, off, &theirs, len);
	*value = (*value & given) | (theirs & all & ~given);
}

void passthrough_forward(struct passthrough *p, unsigned int off, unsigned int len)
{
	uint8_t bytes[4];
	unsigned int end = off + len, n;

	while (off < end) {
		for (n = 0; off + n < end && p->given[off + n] != 0xff; n++)
			bytes[n] = (uint8_t)(p->fn.config[off + n] & ~p->given[off + n]);
		if (n)
			iol_vfio_region_write(p->dev, IOL_REGION_CONFIG, off, bytes, n);
		off += n + 1;
	}
}

/*
 * Memory and ports are always on in the device, and the guest's bits only say what it reaches: else a processor of the guest
 * that accesses a BAR which another is switching would fault in the host.
 */
void passthrough_command(struct passthrough *p)
{
	uint32_t decode = PCI_COMMAND_MEMORY | PCI_COMMAND_IO;
	uint32_t command = pci_function_get(&p->fn, PCI_COMMAND, 2) & ~decode;
	uint16_t value = (uint16_t)(command | (p->fn.writable[PCI_COMMAND] & decode));

	iol_vfio_region_write(p->dev, IOL_REGION_CONFIG, PCI_COMMAND, &value, sizeof(value));
}
