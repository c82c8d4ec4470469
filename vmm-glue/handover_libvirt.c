/* SPDX-License-Identifier: BSD-3-Clause */
/* The guest as a domain of libvirt (its "Domain XML format"). */
#include "vmm-glue/handover.h"

#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libvirt counts it in seconds. */
#define RECONNECT "<reconnect enabled='yes' timeout='1'/>"

#define NET_RING 1024

/* "vda", "vdb", ... */
static void put_target(FILE *out, unsigned int number)
{
	fprintf(out, "      <target dev='vd%c' bus='virtio'/>\n", 'a' + (int)number);
}

/* The attributes that both virtio devices have. */
static void put_virtio(FILE *out, const struct iol_vmm_device *d, bool iommu)
{
	fprintf(out, "%s%s", d->packed ? " packed='on'" : "", iommu ? " iommu='on' ats='on'" : "");
}

static int put_blk(FILE *out, const struct iol_vmm_device *d, unsigned int number, bool iommu)
{
	if (d->listen)
		return iol_fail(EINVAL,
				"libvirt listens for no disk's back end (%s): start that without "
				"--client",
				d->where);
	fprintf(out,
		"    <disk type='vhostuser' device='disk'>\n"
		"      <driver name='qemu' type='raw' queues='%u'",
		d->queues ? d->queues : 1);
	put_virtio(out, d, iommu);
	fprintf(out,
		"/>\n"
		"      <source type='unix' path='%s'>\n"
		"        " RECONNECT "\n"
		"      </source>\n",
		d->where);
	put_target(out, number);
	fprintf(out, "      <alias name='ua-%s'/>\n    </disk>\n", d->id);
	return 0;
}

static void put_net(FILE *out, const struct iol_vmm_device *d, bool iommu)
{
	fprintf(out, "    <interface type='vhostuser'>\n");
	if (d->mac)
		fprintf(out, "      <mac address='%s'/>\n", d->mac);
	if (d->listen)
		fprintf(out, "      <source type='unix' path='%s' mode='server'/>\n", d->where);
	else
		fprintf(out,
			"      <source type='unix' path='%s' mode='client'>\n"
			"        " RECONNECT "\n"
			"      </source>\n",
			d->where);
	fprintf(out,
		"      <model type='virtio'/>\n"
		"      <driver queues='%u' rx_queue_size='%d' tx_queue_size='%d'",
		d->queues ? d->queues : 1, NET_RING, NET_RING);
	put_virtio(out, d, iommu);
	fprintf(out, "/>\n%s      <alias name='ua-%s'/>\n    </interface>\n",
		d->stands_by ? "      <teaming type='persistent'/>\n" : "", d->id);
}

static int put_vf(FILE *out, const struct iol_vmm_device *d)
{
	unsigned int domain, bus, slot, fn;

	if (sscanf(d->where, "%x:%x:%x.%x", &domain, &bus, &slot, &fn) != 4)
		return iol_fail(EINVAL, "%s is no PCI address", d->where);
	/* Taking it from its driver is iolane bind's, which can give it back. */
	fprintf(out,
		"    <hostdev mode='subsystem' type='pci' managed='no'>\n"
		"      <driver name='vfio'/>\n"
		"      <source>\n"
		"        <address domain='0x%04x' bus='0x%02x' slot='0x%02x' function='0x%x'/>\n"
		"      </source>\n",
		domain, bus, slot, fn);
	if (d->standby)
		fprintf(out, "      <teaming type='transient' persistent='ua-%s'/>\n", d->standby);
	fprintf(out, "      <alias name='ua-%s'/>\n    </hostdev>\n", d->id);
	return 0;
}

static int put_devices(FILE *out, const struct iol_vmm_guest *g)
{
	unsigned int i, disks = 0;
	int rc = 0;

	for (i = 0; !rc && i < g->num_devices; i++) {
		const struct iol_vmm_device *d = &g->devices[i];

		rc = handover_check_device(d);
		if (rc)
			break;
		if (d->kind == IOL_VMM_VF)
			rc = put_vf(out, d);
		else if (d->kind == IOL_VMM_NET)
			put_net(out, d, g->iommu);
		else if (disks < 26)
			rc = put_blk(out, d, disks++, g->iommu);
		else
			rc = iol_fail(EINVAL, "a guest has at most 26 disks here");
	}
	for (i = 0; i < g->ports; i++)
		fprintf(out, "    <controller type='pci' model='pcie-root-port'/>\n");
	if (g->iommu)
		fprintf(out, "    <iommu model='intel'>\n"
			     "      <driver intremap='on' caching_mode='on' eim='on' iotlb='on'/>\n"
			     "    </iommu>\n");
	return rc;
}

static void put_memory(FILE *out, const struct iol_vmm_guest *g)
{
	fprintf(out, "  <memory unit='MiB'>%" PRIu64 "</memory>\n", g->memory >> 20);
	if (!g->hugepage && !handover_has_socket(g))
		return;
	fprintf(out, "  <memoryBacking>\n");
	if (g->hugepage)
		fprintf(out, "    <hugepages><page size='%" PRIu64 "' unit='MiB'/></hugepages>\n",
			g->hugepage >> 20);
	fprintf(out, "    <source type='memfd'/>\n"
		     "    <access mode='shared'/>\n"
		     "  </memoryBacking>\n");
}

int iol_vmm_libvirt_xml(const struct iol_vmm_guest *guest, char **xml)
{
	size_t len;
	FILE *out = open_memstream(xml, &len);
	int rc;

	if (!out)
		return iol_fail(ENOMEM, "no memory for the domain");
	fprintf(out,
		"<domain type='%s'>\n"
		"  <name>%s</name>\n",
		guest->kvm ? "kvm" : "qemu", guest->name);
	put_memory(out, guest);
	fprintf(out,
		"  <vcpu>%u</vcpu>\n"
		"  <os><type arch='x86_64' machine='q35'>hvm</type></os>\n"
		"  <features><acpi/><apic/>%s</features>\n"
		"%s"
		"  <devices>\n",
		guest->cpus, guest->iommu ? "<ioapic driver='qemu'/>" : "",
		guest->kvm ? "  <cpu mode='host-passthrough'/>\n" : "");
	rc = handover_check_pairs(guest);
	if (!rc)
		rc = put_devices(out, guest);
	fprintf(out, "  </devices>\n</domain>\n");
	if (fclose(out) && !rc)
		rc = iol_fail(ENOMEM, "no memory for the domain");
	if (rc) {
		free(*xml);
		*xml = NULL;
	}
	return rc;
}
