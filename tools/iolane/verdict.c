/* SPDX-License-Identifier: BSD-3-Clause */
#include "verdict.h"

#include "tools/common/ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct verdict {
	struct json_object *obstacles;
	char names[160]; /* of the members that have to come along */
	unsigned int members;
};

static const struct {
	const char *kind, *meaning;
} resv_kinds[] = {
	[IOL_RESV_DIRECT] = { "direct", "the firmware uses this memory through the device (RMRR or "
					"unity mapping), so no guest can have it" },
	[IOL_RESV_DIRECT_RELAXABLE] = { "direct-relaxable",
					"the firmware used this memory for starting up; it does "
					"not keep the device from a guest" },
	[IOL_RESV_RESERVED] = { "reserved", "no DMA can go here; guest memory must lie elsewhere" },
	[IOL_RESV_MSI] = { "msi", "writes here are interrupts; guest memory must lie elsewhere" },
};

const char *resv_kind(enum iol_resv kind, const char **meaning)
{
	if (kind > IOL_RESV_MSI)
		kind = IOL_RESV_RESERVED;
	*meaning = resv_kinds[kind].meaning;
	return resv_kinds[kind].kind;
}

static void obstacle(struct verdict *v, const char *todo, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void obstacle(struct verdict *v, const char *todo, const char *fmt, ...)
{
	struct json_object *o = json_object_new_object();
	char what[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	ctl_add_string(o, "what", what);
	ctl_add_string(o, "todo", todo);
	json_object_array_add(v->obstacles, o);
}

/* What hurts when it is taken away. @whose: "" for the function itself. */
static void check_uses(struct verdict *v, const struct devices *d, const struct iol_pci_info *info,
		       const char *whose)
{
	const struct iol_use *use = NULL;

	while ((use = devices_next_use(d, info, use))) {
		if (use->kind == IOL_USE_PROCESS)
			obstacle(v, "end that process first", "%s%s", whose, use->what);
		else if (use->harmful)
			obstacle(v, "move that to another device first", "%s%s", whose, use->what);
	}
}

static void check_member(struct verdict *v, const struct devices *d,
			 const struct iol_group_member *m)
{
	char addr[IOL_PCI_ADDR_MAX], whose[48];
	size_t len = strlen(v->names);

	if (m->state == IOL_MEMBER_BRIDGE)
		return;
	iol_pci_addr_format(&m->pci.addr, addr);
	v->members++;
	snprintf(v->names + len, sizeof(v->names) - len, "%s%s", len ? ", " : "", addr);
	snprintf(whose, sizeof(whose), "%s of its group: ", addr);
	check_uses(v, d, &m->pci, whose);
}

static int check_group(struct verdict *v, const struct iol_host *host, const struct devices *d,
		       const struct iol_pci_info *info)
{
	_cleanup_free_ struct iol_resv_region *regions = NULL;
	_cleanup_free_ struct iol_group_member *members = NULL;
	int i, n = iol_group_members(host, info->iommu_group, &members);

	for (i = 0; i < n; i++) {
		if (!iol_pci_addr_equal(&members[i].pci.addr, &info->addr))
			check_member(v, d, &members[i]);
	}
	if (n < 0)
		return n;
	n = iol_group_reserved(host, info->iommu_group, &regions);
	for (i = 0; i < n; i++) {
		if (regions[i].kind != IOL_RESV_DIRECT)
			continue;
		obstacle(v,
			 "look for an RMRR or shared-memory setting of this slot in the firmware, "
			 "or use another device",
			 "its group %d has a direct mapping, which the firmware needs",
			 info->iommu_group);
		break;
	}
	return n < 0 ? n : 0;
}

static int check_isolation(struct verdict *v, const struct iol_host *host, const struct devices *d,
			   const struct iol_pci_info *info)
{
	_cleanup_free_ struct iol_iommu_info *iommus = NULL;
	int n;

	if (info->iommu_group < 0) {
		n = iol_iommu_list(host, &iommus);
		if (n > 0)
			obstacle(
				v, "bind it to vfio-pci and look again",
				"it has no IOMMU group: no IOMMU covers it, or it takes devices in "
				"when a driver asks");
		if (n)
			return n < 0 ? n : 0;
		obstacle(v, "turn the IOMMU on: \"iolane check\" says how",
			 "it has no IOMMU group: its DMA could reach all of the host's memory");
		return 0;
	}
	if (iol_iommu_remaps(host, NULL) == IOL_NO)
		obstacle(v, "turn interrupt remapping on: \"iolane check\" says how",
			 "interrupts are not remapped: a guest could forge any interrupt");
	return check_group(v, host, d, info);
}

static void add_sentence(struct json_object *o, const struct verdict *v)
{
	size_t n = array_length(v->obstacles);
	char sentence[900];

	if (n) {
		struct json_object *first = json_object_array_get_idx(v->obstacles, 0);

		snprintf(sentence, sizeof(sentence), "can't be passed through as it is: %s; %s",
			 field_string(first, "what"), field_string(first, "todo"));
		ctl_add_string(o, "passthrough", "no");
	} else if (v->members) {
		snprintf(sentence, sizeof(sentence),
			 "can be passed through with all of its group: %s goes with it", v->names);
		ctl_add_string(o, "passthrough", "with-group");
	} else {
		snprintf(sentence, sizeof(sentence), "can be passed through");
		ctl_add_string(o, "passthrough", "yes");
	}
	ctl_add_string(o, "sentence", sentence);
}

struct json_object *verdict_json(const struct iol_host *host, const struct devices *d,
				 const struct iol_pci_info *info)
{
	struct verdict v = { .obstacles = json_object_new_array() };
	struct json_object *o;
	int rc = 0;

	if (info->is_bridge) {
		obstacle(&v, "pass through a device behind it",
			 "it is a bridge, and those stay with the host");
	} else {
		rc = check_isolation(&v, host, d, info);
		check_uses(&v, d, info, "");
	}
	if (rc < 0) {
		json_object_put(v.obstacles);
		return NULL;
	}
	o = json_object_new_object();
	add_sentence(o, &v);
	json_object_object_add(o, "obstacles", v.obstacles);
	return o;
}
