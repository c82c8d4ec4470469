/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The command line of cloud-hypervisor (its docs/memory.md, docs/vfio.md, docs/hotplug.md). Connecting again to a back end
 * that was restarted is what it does by itself.
 */
#include "vmm-glue/handover.h"

#include "base/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *option;
	enum iol_vmm_kind kind;
} options[] = {
	{ "--device", IOL_VMM_VF },
	{ "--disk", IOL_VMM_BLK },
	{ "--net", IOL_VMM_NET },
};

static int add_socket(struct json_object *args, const struct iol_vmm_device *d, bool iommu)
{
	unsigned int queues = d->queues ? d->queues : 1;
	const char *more = iommu ? ",iommu=on" : "";

	if (strpbrk(d->where, ",[]"))
		return iol_fail(EINVAL,
				"Cloud Hypervisor can't be told of the socket %s: rename it, "
				"without commas and brackets",
				d->where);
	if (d->kind == IOL_VMM_BLK && d->listen)
		return iol_fail(EINVAL,
				"Cloud Hypervisor listens for no disk's back end (%s): start that "
				"without --client",
				d->where);
	if (d->kind == IOL_VMM_BLK)
		handover_add(args, "vhost_user=on,socket=%s,num_queues=%u,id=%s%s", d->where,
			     queues, d->id, more);
	else
		handover_add(args, "vhost_user=on,socket=%s%s,num_queues=%u%s%s,id=%s%s", d->where,
			     d->listen ? ",vhost_mode=server" : "", 2 * queues,
			     d->mac ? ",mac=" : "", d->mac ? d->mac : "", d->id, more);
	return 0;
}

/* An option is given once, with a value for each of its devices. */
static int add_kind(struct json_object *args, const struct iol_vmm_guest *g, const char *option,
		    enum iol_vmm_kind kind)
{
	bool first = true;
	unsigned int i;
	int rc = 0;

	for (i = 0; !rc && i < g->num_devices; i++) {
		const struct iol_vmm_device *d = &g->devices[i];

		if (d->kind != kind)
			continue;
		if (first)
			handover_add(args, "%s", option);
		first = false;
		rc = handover_check_device(d);
		if (!rc && d->standby)
			rc = iol_fail(ENOTSUP,
				      "Cloud Hypervisor knows no NIC that stands by for %s: leave "
				      "standby away",
				      d->id);
		if (!rc && kind != IOL_VMM_VF)
			rc = add_socket(args, d, g->iommu);
		else if (!rc)
			handover_add(args, "path=/sys/bus/pci/devices/%s/,id=%s%s", d->where, d->id,
				     g->iommu ? ",iommu=on" : "");
	}
	return rc;
}

int iol_vmm_cloud_hypervisor_args(const struct iol_vmm_guest *guest, struct json_object **args)
{
	struct json_object *array = json_object_new_array();
	char huge[64] = "";
	size_t i;
	int rc = 0;

	if (guest->hugepage)
		snprintf(huge, sizeof(huge), ",hugepages=on,hugepage_size=%" PRIu64 "M",
			 guest->hugepage >> 20);
	handover_add(array, "--cpus");
	handover_add(array, "boot=%u", guest->cpus);
	handover_add(array, "--memory");
	handover_add(array, "size=%" PRIu64 "M%s%s", guest->memory >> 20,
		     handover_has_socket(guest) ? ",shared=on" : "", huge);
	for (i = 0; !rc && i < sizeof(options) / sizeof(options[0]); i++)
		rc = add_kind(array, guest, options[i].option, options[i].kind);
	if (rc < 0)
		json_object_put(array);
	else
		*args = array;
	return rc;
}
