/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which capabilities a guest sees. Those that are kept stay where they are, as drivers know some by their place. What is
 * left out reads as zeroes: it would let a guest change what is the host's (SR-IOV, resizable BARs, access control), or speak of what
 * a guest's bus does not have (ATS, PRI, PASID, ARI, virtual channels, link training).
 */
#include "vmm-glue/passthrough.h"

#include "base/error.h"
#include "vfio/device.h"
#include "vmm-glue/msix.h"

#include <linux/pci_regs.h>
#include <string.h>

#define CAPS_MAX     48u  /* as fit into 192 bytes */
#define EXT_CAPS_MAX 480u /* 8 bytes each */

/* Of newer headers than Debian 12's. */
#define AF_CTRL_OFF 4u
#define CXL_VENDOR  0x1e98u

/* Where capabilities begin, in the order of the list. */
struct starts {
	unsigned int num, end;
	uint16_t at[EXT_CAPS_MAX];
};

/* Add one; false if the list is broken there, or goes in circles. */
static bool add_start(struct starts *s, unsigned int at, unsigned int first, unsigned int len,
		      unsigned int max)
{
	if (at < first || at + len > s->end || s->num == max)
		return false;
	for (unsigned int i = 0; i < s->num; i++)
		if (s->at[i] == at)
			return false;
	s->at[s->num++] = (uint16_t)at;
	return true;
}

/* How much is left from @at to whatever follows. */
static unsigned int room_at(const struct starts *s, unsigned int at)
{
	unsigned int end = s->end;

	for (unsigned int i = 0; i < s->num; i++)
		if (s->at[i] > at && s->at[i] < end)
			end = s->at[i];
	return end - at;
}

static void give(struct passthrough *p, unsigned int at, unsigned int len)
{
	memset(p->given + at, 0xff, len);
}

static void hide(struct passthrough *p, unsigned int at, unsigned int len)
{
	memset(p->fn.config + at, 0, len);
	give(p, at, len);
}

/* ---- of the first 256 bytes ---- */

static bool keep_msi(struct passthrough *p, unsigned int at)
{
	uint8_t *config = p->fn.config;
	uint32_t flags = pci_function_get(&p->fn, at + PCI_MSI_FLAGS, 2);
	unsigned int log = (flags & PCI_MSI_FLAGS_QMASK) >> 1;
	bool is_64 = flags & PCI_MSI_FLAGS_64BIT, maskable = flags & PCI_MSI_FLAGS_MASKBIT;
	unsigned int mask = at + (is_64 ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32);
	unsigned int data = at + (is_64 ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32);
	struct iol_irq_info info;

	iol_irq_info(p->dev, IOL_IRQ_MSI, &info);
	if (log > 5)
		log = 5;
	while (log && 1u << log > info.count)
		log--;
	if (!info.count || msix_new(1u << log, p->fn.vm_ops, p->fn.vm, NULL, NULL, &p->msi_vectors))
		return false;
	p->msi = at;
	memset(config + at + PCI_MSI_FLAGS, 0, mask + (maskable ? 8 : 0) - at - PCI_MSI_FLAGS);
	pci_function_put(&p->fn, at + PCI_MSI_FLAGS, 2,
			 log << 1 | (flags & (PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT)));
	p->fn.writable[at + PCI_MSI_FLAGS] = PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE;
	memset(p->fn.writable + at + PCI_MSI_ADDRESS_LO, 0xff, is_64 ? 8 : 4);
	p->fn.writable[at + PCI_MSI_ADDRESS_LO] = 0xfc;
	memset(p->fn.writable + data, 0xff, 2);
	for (unsigned int i = 0; maskable && i < 1u << log; i++)
		p->fn.writable[mask + i / 8] |= (uint8_t)(1u << i % 8);
	return true;
}

static bool keep_msix(struct passthrough *p, unsigned int at)
{
	unsigned int vectors = pci_function_get(&p->fn, at + PCI_MSIX_FLAGS, 2);
	struct iol_irq_info info;
	struct msix *msix = NULL;

	iol_irq_info(p->dev, IOL_IRQ_MSIX, &info);
	vectors = (vectors & PCI_MSIX_FLAGS_QSIZE) + 1;
	/* Of several it is the first one whose table is kept from the guest. */
	return info.count >= vectors && at == p->msix &&
	       !msix_new(vectors, p->fn.vm_ops, p->fn.vm, &passthrough_msix_ops, p, &msix) &&
	       !pci_function_set_msix(&p->fn, at, pci_function_get(&p->fn, at + PCI_MSIX_TABLE, 4),
				      pci_function_get(&p->fn, at + PCI_MSIX_PBA, 4), msix);
}

/*
 * The guest finds the function on its first bus, where there is no link above it: it becomes part of the root complex, without a link's
 * registers. The rest of it is the device's; the kernel keeps the guest from what would harm others.
 */
static void keep_express(struct passthrough *p, unsigned int at, unsigned int len)
{
	uint32_t flags = pci_function_get(&p->fn, at + PCI_EXP_FLAGS, 2);
	unsigned int type = (flags & PCI_EXP_FLAGS_TYPE) >> 4;

	p->pcie = at;
	p->can_flr = pci_function_get(&p->fn, at + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR;
	if (type == PCI_EXP_TYPE_ENDPOINT || type == PCI_EXP_TYPE_LEG_END) {
		flags = (flags & ~(uint32_t)PCI_EXP_FLAGS_TYPE) | PCI_EXP_TYPE_RC_END << 4;
		pci_function_put(&p->fn, at + PCI_EXP_FLAGS, 2, flags);
	}
	give(p, at + PCI_EXP_FLAGS, 2);
	hide(p, at + PCI_EXP_LNKCAP, PCI_EXP_SLTCAP - PCI_EXP_LNKCAP);
	if (len > PCI_EXP_SLTCAP) {
		hide(p, at + PCI_EXP_SLTCAP, PCI_EXP_DEVCAP2 - PCI_EXP_SLTCAP);
		hide(p, at + PCI_EXP_LNKCAP2, len - PCI_EXP_LNKCAP2);
	}
	/* Its reset is ours to do, as interrupts have to be off for it. */
	p->given[at + PCI_EXP_DEVCTL + 1] = PCI_EXP_DEVCTL_BCR_FLR >> 8;
	p->fn.config[at + PCI_EXP_DEVCTL + 1] = 0;
	p->fn.writable[at + PCI_EXP_DEVCTL + 1] = PCI_EXP_DEVCTL_BCR_FLR >> 8;
}

/* Bytes of a capability that is kept; 0: it is none of those. */
static unsigned int cap_len(const struct passthrough *p, unsigned int at)
{
	uint32_t flags = pci_function_get(&p->fn, at + 2, 2);

	switch (p->fn.config[at]) {
	case PCI_CAP_ID_PM:
	case PCI_CAP_ID_VPD:
	case PCI_CAP_ID_PCIX:
	case PCI_CAP_ID_SATA:
		return 8;
	case PCI_CAP_ID_MSI:
		return (flags & PCI_MSI_FLAGS_64BIT ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32) +
		       (flags & PCI_MSI_FLAGS_MASKBIT ? 8 : 0);
	case PCI_CAP_ID_VNDR:
		return (flags & 0xff) > PCI_CAP_SIZEOF ? flags & 0xff : PCI_CAP_SIZEOF;
	case PCI_CAP_ID_EXP:
		return (flags & PCI_EXP_FLAGS_VERS) > 1 ? PCI_EXP_SLTSTA2 + 2 : PCI_EXP_SLTCAP;
	case PCI_CAP_ID_MSIX:
		return PCI_CAP_MSIX_SIZEOF;
	case PCI_CAP_ID_AF:
		return PCI_CAP_AF_SIZEOF;
	default:
		return 0;
	}
}

static bool keep(struct passthrough *p, unsigned int at, unsigned int room)
{
	unsigned int len = cap_len(p, at);

	if (!len || len > room)
		return false;
	switch (p->fn.config[at]) {
	case PCI_CAP_ID_PM:
		p->pm = at;
		p->soft_reset = !(pci_function_get(&p->fn, at + PCI_PM_CTRL, 2) &
				  PCI_PM_CTRL_NO_SOFT_RESET);
		break;
	case PCI_CAP_ID_MSI:
		if (p->msi || !keep_msi(p, at))
			return false;
		give(p, at, len);
		break;
	case PCI_CAP_ID_MSIX:
		if (!keep_msix(p, at))
			return false;
		give(p, at, len);
		break;
	case PCI_CAP_ID_EXP:
		keep_express(p, at, len);
		break;
	case PCI_CAP_ID_AF:
		p->af = at;
		p->can_af = p->fn.config[at + 3] & PCI_AF_CAP_FLR;
		hide(p, at + AF_CTRL_OFF, len - AF_CTRL_OFF);
		p->fn.writable[at + AF_CTRL_OFF] = PCI_AF_CTRL_FLR;
		break;
	default:
		break;
	}
	give(p, at, 2);
	return true;
}

void passthrough_caps(struct passthrough *p)
{
	struct starts s = { .end = PCI_CFG_SPACE_SIZE };
	uint8_t *config = p->fn.config;
	unsigned int at = config[PCI_CAPABILITY_LIST] & ~3u, link = PCI_CAPABILITY_LIST;

	if (!(config[PCI_STATUS] & PCI_STATUS_CAP_LIST))
		at = 0;
	while (add_start(&s, at, PCI_STD_HEADER_SIZEOF, PCI_CAP_SIZEOF, CAPS_MAX))
		at = config[at + PCI_CAP_LIST_NEXT] & ~3u;
	config[link] = 0;
	for (unsigned int i = 0; i < s.num; i++) {
		unsigned int room = room_at(&s, s.at[i]);

		if (!keep(p, s.at[i], room)) {
			hide(p, s.at[i], room);
			continue;
		}
		config[link] = (uint8_t)s.at[i];
		link = s.at[i] + PCI_CAP_LIST_NEXT;
		config[link] = 0;
	}
	if (!config[PCI_CAPABILITY_LIST])
		config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_CAP_LIST;
}

/* ---- and beyond ---- */

/* As cap_len(). @at is an extended capability's. */
static unsigned int ext_cap_len(const struct passthrough *p, unsigned int at)
{
	uint32_t head = pci_function_get(&p->fn, at + 4, 4);

	switch (pci_function_get(&p->fn, at, 2)) {
	case PCI_EXT_CAP_ID_ERR:
		return 0x48;
	case PCI_EXT_CAP_ID_DSN:
		return PCI_EXT_CAP_DSN_SIZEOF;
	case PCI_EXT_CAP_ID_PWR:
		return PCI_EXT_CAP_PWR_SIZEOF;
	case PCI_EXT_CAP_ID_LTR:
		return PCI_EXT_CAP_LTR_SIZEOF;
	case PCI_EXT_CAP_ID_DVSEC:
		if ((head & 0xffff) == CXL_VENDOR)
			return 0;
		return head >> 20;
	case PCI_EXT_CAP_ID_VNDR:
		return head >> 20;
	default:
		return 0;
	}
}

void passthrough_ext_caps(struct passthrough *p)
{
	struct starts s = { .end = (unsigned int)p->config_size };
	unsigned int at = PCI_CFG_SPACE_SIZE, link = PCI_CFG_SPACE_SIZE, head, len, i;
	uint8_t seen[IOL_PCI_CONFIG] = { 0 }, *config = p->fn.config;

	if (p->config_size <= PCI_CFG_SPACE_SIZE)
		return;
	while (add_start(&s, at, PCI_CFG_SPACE_SIZE, 8, EXT_CAPS_MAX)) {
		head = pci_function_get(&p->fn, at, 4);
		if (!head || head == UINT32_MAX)
			break;
		at = PCI_EXT_CAP_NEXT(head);
	}
	give(p, PCI_CFG_SPACE_SIZE, s.end - PCI_CFG_SPACE_SIZE);
	/* A list that does not begin with what is kept begins with an empty one. */
	for (i = 0; i < s.num; i++) {
		len = ext_cap_len(p, s.at[i]);
		if (len < 8)
			continue;
		if (len > room_at(&s, s.at[i]))
			len = room_at(&s, s.at[i]);
		head = pci_function_get(&p->fn, s.at[i], 4) & 0xfffff;
		memcpy(seen + s.at[i] + 4, config + s.at[i] + 4, len - 4);
		memset(p->given + s.at[i] + 4, 0, len - 4);
		memcpy(seen + s.at[i], &head, sizeof(head));
		if (s.at[i] == link)
			continue;
		seen[link + 2] |= (uint8_t)((s.at[i] & 0xf) << 4);
		seen[link + 3] = (uint8_t)(s.at[i] >> 4);
		link = s.at[i];
	}
	memcpy(config + PCI_CFG_SPACE_SIZE, seen + PCI_CFG_SPACE_SIZE, s.end - PCI_CFG_SPACE_SIZE);
}
