/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of QEMU. */
#include "vmm-glue/handover.h"

#include "base/error.h"
#include "base/own.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* q35 has 32 slots, some of which are its own. */
#define PORTS_MAX 24

/* Processors past these have x2APIC ids that interrupts reach by remapping only. */
#define CPUS_WITHOUT_IOMMU 255

/* Chassis numbers of ports, out of the way of those that people take. */
#define FIRST_CHASSIS 101

/* A value of QEMU's options, in which a comma is doubled. */
static void put_value(FILE *out, struct json_object *value)
{
	const char *s;

	if (json_object_is_type(value, json_type_boolean)) {
		fputs(json_object_get_boolean(value) ? "on" : "off", out);
		return;
	}
	for (s = json_object_get_string(value); *s; s++) {
		fputc(*s, out);
		if (*s == ',')
			fputc(',', out);
	}
}

static int put_part(struct json_object *args, const struct part *part)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return iol_fail(ENOMEM, "no memory for the arguments");
	fputs(part->type, out);
	json_object_object_foreach(part->props, name, value)
	{
		fprintf(out, ",%s=", name);
		put_value(out, value);
	}
	if (fclose(out))
		return iol_fail(ENOMEM, "no memory for the arguments");
	handover_add(args, "-%s", part->option);
	json_object_array_add(args, json_object_new_string(text));
	return 0;
}

/* A part with these properties, "key=value" by commas, which may hold numbers and words only. */
static int add_plain(struct json_object *args, const struct iol_qemu *qemu, const char *option,
		     const char *type, const char *props)
{
	struct part part = { option, type, json_object_new_object() };
	_cleanup_free_ char *text = strdup(props);
	char *rest = text, *item;
	int rc;

	while ((item = strsep(&rest, ","))) {
		char *value = strchr(item, '=');

		if (!value)
			continue;
		*value++ = '\0';
		json_object_object_add(part.props, item, json_object_new_string(value));
	}
	rc = text ? handover_check(qemu, &part) : iol_fail(ENOMEM, "no memory for the arguments");
	if (!rc)
		rc = put_part(args, &part);
	json_object_put(part.props);
	return rc;
}

static int add_memory(struct json_object *args, const struct iol_vmm_guest *g,
		      const struct iol_qemu *qemu)
{
	char props[128];
	int n;

	n = snprintf(props, sizeof(props), "id=iolane-mem,size=%" PRIu64 "M,share=on",
		     g->memory >> 20);
	if (g->hugepage)
		snprintf(props + n, sizeof(props) - (size_t)n,
			 ",hugetlb=on,hugetlbsize=%" PRIu64 "M", g->hugepage >> 20);
	return add_plain(args, qemu, "object", "memory-backend-memfd", props);
}

static int add_machine(struct json_object *args, const struct iol_vmm_guest *g, bool iommu,
		       const struct iol_qemu *qemu)
{
	bool backed = handover_has_socket(g) || g->hugepage;
	int rc = 0;

	handover_add(args, "-machine");
	/* Devices are remapped by the IOMMU in QEMU, and so its I/O APIC has to be, too. */
	handover_add(args, "q35%s%s", iommu && g->kvm ? ",kernel-irqchip=split" : "",
		     backed ? ",memory-backend=iolane-mem" : "");
	if (g->kvm) {
		handover_add(args, "-accel");
		handover_add(args, "kvm");
		handover_add(args, "-cpu");
		handover_add(args, "host");
	}
	handover_add(args, "-m");
	handover_add(args, "%" PRIu64 "M", g->memory >> 20);
	handover_add(args, "-smp");
	handover_add(args, "%u", g->cpus);
	if (backed)
		rc = add_memory(args, g, qemu);
	/* Before the devices that are behind it. */
	if (!rc && iommu)
		rc = add_plain(args, qemu, "device", "intel-iommu",
			       "intremap=on,eim=on,caching-mode=on,device-iotlb=on");
	return rc;
}

static int add_port(struct json_object *args, const struct iol_qemu *qemu, unsigned int number)
{
	char props[64];

	snprintf(props, sizeof(props), "id=iolane-port%u,chassis=%u", number,
		 FIRST_CHASSIS + number);
	return add_plain(args, qemu, "device", "pcie-root-port", props);
}

static int add_one(struct json_object *args, const struct iol_vmm_device *d, const char *iommufd,
		   bool iommu, const struct iol_qemu *qemu)
{
	struct parts parts = { 0 };
	unsigned int i;
	int rc = handover_parts(d, iommufd, iommu, qemu, &parts);

	for (i = 0; !rc && i < parts.num; i++)
		rc = put_part(args, &parts.part[i]);
	handover_parts_clear(&parts);
	return rc;
}

/* Whether functions are taken by iommufd, which this QEMU may not know. */
static bool uses_iommufd(const struct iol_vmm_guest *g, const struct iol_qemu *qemu)
{
	bool wanted = false;
	unsigned int i;

	for (i = 0; i < g->num_devices; i++)
		wanted |= g->devices[i].kind == IOL_VMM_VF && g->devices[i].iommufd;
	if (!wanted || (qemu->knows(qemu->ctx, "object", "iommufd", NULL) &&
			qemu->knows(qemu->ctx, "device", "vfio-pci", "iommufd")))
		return wanted;
	handover_note(qemu, "QEMU %u.%u has no iommufd, so devices are taken by their groups",
		      qemu->version / 100, qemu->version % 100);
	return false;
}

/* A device, in a port of its own unless it says another. */
static int add_device_at(struct json_object *args, const struct iol_vmm_guest *g, unsigned int i,
			 bool iommufd, bool iommu, const struct iol_qemu *qemu)
{
	struct iol_vmm_device d = g->devices[i];
	char bus[24];
	int rc = 0;

	snprintf(bus, sizeof(bus), "iolane-port%u", i);
	if (!d.bus) {
		d.bus = bus;
		rc = add_port(args, qemu, i);
	}
	return rc ? rc
		  : add_one(args, &d, iommufd && d.iommufd ? HANDOVER_IOMMUFD : NULL, iommu, qemu);
}

static int add_devices(struct json_object *args, const struct iol_vmm_guest *g, bool iommu,
		       const struct iol_qemu *qemu)
{
	bool iommufd = uses_iommufd(g, qemu);
	unsigned int i;
	int rc = 0;

	if (iommufd)
		rc = add_plain(args, qemu, "object", "iommufd", "id=" HANDOVER_IOMMUFD);
	for (i = 0; !rc && i < g->num_devices; i++)
		if (!g->devices[i].standby)
			rc = add_device_at(args, g, i, iommufd, iommu, qemu);
	/* QEMU hides these until the guest's driver knows of the pair, if it has met the NIC before. */
	for (i = 0; !rc && i < g->num_devices; i++)
		if (g->devices[i].standby)
			rc = add_device_at(args, g, i, iommufd, iommu, qemu);
	for (i = g->num_devices; !rc && i < g->num_devices + g->ports; i++)
		rc = add_port(args, qemu, i);
	return rc;
}

int iol_vmm_qemu_args(const struct iol_vmm_guest *guest, const struct iol_qemu *qemu,
		      struct json_object **args)
{
	bool iommu = guest->iommu || guest->cpus > CPUS_WITHOUT_IOMMU;
	struct json_object *array;
	int rc;

	if (guest->num_devices > PORTS_MAX || guest->ports > PORTS_MAX - guest->num_devices)
		return iol_fail(EINVAL, "a guest has room for %d devices and free ports, not %u",
				PORTS_MAX, guest->num_devices + guest->ports);
	array = json_object_new_array();
	rc = handover_check_pairs(guest);
	if (!rc)
		rc = add_machine(array, guest, iommu, qemu);
	if (!rc)
		rc = add_devices(array, guest, iommu, qemu);
	if (rc < 0)
		json_object_put(array);
	else
		*args = array;
	return rc;
}
