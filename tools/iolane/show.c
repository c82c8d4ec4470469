/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane show". */
#include "show.h"

#include "device.h"
#include "names.h"
#include "tools/common/ctl.h"
#include "tools/common/prog.h"
#include "verdict.h"

#include <stdio.h>

struct shown {
	const struct iol_host *host;
	const struct devices *d;
	const struct iol_pci_info *info;
};

static const char *const states[] = {
	[IOL_MEMBER_FREE] = "free",
	[IOL_MEMBER_VFIO] = "vfio",
	[IOL_MEMBER_BRIDGE] = "bridge",
	[IOL_MEMBER_BLOCKS] = "blocks",
};

static struct json_object *member_json(const struct shown *s, const struct iol_group_member *m)
{
	struct json_object *o = json_object_new_object();
	char name[DEVICE_NAME_MAX];
	struct names names;

	names_of(&m->pci, &names);
	add_addr(o, "address", &m->pci.addr);
	add_text(o, "name", device_name(s->d, &m->pci, name));
	add_hex(o, "vendor", 4, m->pci.vendor);
	add_hex(o, "device", 4, m->pci.device);
	add_text(o, "vendor_name", names.vendor);
	add_text(o, "device_name", names.device);
	add_text(o, "driver", m->pci.driver);
	add_text(o, "state", states[m->state]);
	return o;
}

static int add_reserved(struct json_object *o, const struct shown *s)
{
	_cleanup_free_ struct iol_resv_region *regions = NULL;
	struct json_object *array;
	int i, n = iol_group_reserved(s->host, s->info->iommu_group, &regions);

	if (n < 0)
		return n;
	array = json_object_new_array();
	for (i = 0; i < n; i++) {
		struct json_object *region = json_object_new_object();
		const char *meaning;

		add_hex(region, "first", 1, regions[i].first);
		add_hex(region, "last", 1, regions[i].last);
		add_text(region, "kind", resv_kind(regions[i].kind, &meaning));
		add_text(region, "meaning", meaning);
		json_object_array_add(array, region);
	}
	json_object_object_add(o, "reserved", array);
	return 0;
}

static int add_group(struct json_object *o, const struct shown *s)
{
	_cleanup_free_ struct iol_group_member *members = NULL;
	struct json_object *group, *array;
	char type[IOL_NAME_MAX] = "";
	int i, n;

	if (s->info->iommu_group < 0) {
		json_object_object_add(o, "group", NULL);
		return 0;
	}
	n = iol_group_members(s->host, s->info->iommu_group, &members);
	if (n < 0)
		return n;
	if (iol_group_type(s->host, s->info->iommu_group, type) < 0)
		type[0] = '\0';
	group = json_object_new_object();
	json_object_object_add(o, "group", group);
	add_number(group, "number", s->info->iommu_group);
	add_text(group, "type", type);
	array = json_object_new_array();
	for (i = 0; i < n; i++)
		json_object_array_add(array, member_json(s, &members[i]));
	json_object_object_add(group, "members", array);
	return add_reserved(group, s);
}

static int add_iommus(struct json_object *o, const struct shown *s)
{
	_cleanup_free_ struct iol_iommu_info *list = NULL;
	struct json_object *iommu, *array;
	const char *where = "";
	int i, n = iol_iommu_list(s->host, &list);

	if (n < 0)
		return n;
	iommu = json_object_new_object();
	json_object_object_add(o, "iommu", iommu);
	array = json_object_new_array();
	for (i = 0; i < n; i++) {
		struct json_object *unit = json_object_new_object();

		add_text(unit, "name", list[i].name);
		add_text(unit, "kind", list[i].kind);
		add_number(unit, "address_bits",
			   list[i].address_bits ? (int64_t)list[i].address_bits : -1);
		if (list[i].page_sizes)
			add_hex(unit, "page_sizes", 1, list[i].page_sizes);
		else
			add_text(unit, "page_sizes", "");
		add_known(unit, "can_remap", list[i].remapping);
		add_known(unit, "can_post", list[i].posted);
		json_object_array_add(array, unit);
	}
	json_object_object_add(iommu, "units", array);
	add_known(iommu, "interrupts_remapped", iol_iommu_remaps(s->host, &where));
	add_text(iommu, "where", where ? where : "");
	return 0;
}

static const char *type_word(int type)
{
	/* PCIe 6.0, 7.5.3.2 */
	static const char *const words[] = {
		[0] = "endpoint",
		[1] = "legacy endpoint",
		[4] = "root port",
		[5] = "switch, upstream port",
		[6] = "switch, downstream port",
		[7] = "bridge from PCIe to PCI",
		[8] = "bridge from PCI to PCIe",
		[9] = "endpoint within the root complex",
		[10] = "event collector",
	};

	if (type < 0)
		return "no PCIe";
	if ((size_t)type < sizeof(words) / sizeof(words[0]) && words[type])
		return words[type];
	return "of unknown type";
}

static struct json_object *missing_json(const struct iol_acs_hop *hop)
{
	struct json_object *array = json_object_new_array();
	unsigned int i;

	for (i = 0; i < 16; i++) {
		uint16_t bit = (uint16_t)(1u << i);
		const char *meaning = NULL, *name = iol_acs_bit(bit, &meaning);
		struct json_object *o;

		if (!(hop->missing & bit) || !name)
			continue;
		o = json_object_new_object();
		add_text(o, "bit", name);
		add_text(o, "meaning", meaning);
		add_bool(o, "capable", hop->has_acs && (hop->cap & bit));
		json_object_array_add(array, o);
	}
	return array;
}

static int add_path(struct json_object *o, const struct shown *s)
{
	_cleanup_free_ struct iol_acs_hop *hops = NULL;
	struct json_object *array;
	int i, n = iol_acs_path(s->host, &s->info->addr, &hops);

	if (n < 0)
		return n;
	array = json_object_new_array();
	for (i = 0; i < n; i++) {
		struct json_object *hop = json_object_new_object();

		add_addr(hop, "address", &hops[i].addr);
		add_text(hop, "type", type_word(hops[i].type));
		add_bool(hop, "multifunction", hops[i].multifunction);
		add_bool(hop, "readable", hops[i].readable);
		add_bool(hop, "acs", hops[i].has_acs);
		add_hex(hop, "cap", 4, hops[i].cap);
		add_hex(hop, "ctrl", 4, hops[i].ctrl);
		json_object_object_add(hop, "missing", missing_json(&hops[i]));
		json_object_array_add(array, hop);
	}
	json_object_object_add(o, "path", array);
	return 0;
}

static void add_vfs(struct json_object *o, const struct shown *s)
{
	struct json_object *array = json_object_new_array();
	size_t i;

	for (i = 0; i < s->d->num; i++) {
		const struct iol_pci_info *vf = &s->d->infos[i];
		struct json_object *entry;

		if (!vf->is_vf || !iol_pci_addr_equal(&vf->pf, &s->info->addr))
			continue;
		entry = json_object_new_object();
		add_number(entry, "index", vf->vf_index);
		add_addr(entry, "address", &vf->addr);
		add_text(entry, "driver", vf->driver);
		add_number(entry, "iommu_group", vf->iommu_group);
		json_object_array_add(array, entry);
	}
	json_object_object_add(o, "vf_list", array);
}

/* Return: what there is to say; NULL with the sentence set. */
static struct json_object *show_json(const struct shown *s)
{
	struct json_object *o = device_json_whole(s->host, s->d, s->info), *verdict;

	add_vfs(o, s);
	verdict = add_group(o, s) < 0 || add_iommus(o, s) < 0 || add_path(o, s) < 0
			  ? NULL
			  : verdict_json(s->host, s->d, s->info);
	if (!verdict) {
		json_object_put(o);
		return NULL;
	}
	json_object_object_add(o, "verdict", verdict);
	return o;
}

static int run_show(const struct verb_args *a)
{
	_cleanup_host_ struct iol_host *host = NULL;
	_cleanup_devices_ struct devices d = { 0 };
	struct iol_pci_addr addr;
	struct json_object *o;
	struct shown s;
	int rc, status = host_open(a, &host);

	if (status)
		return status;
	rc = iol_pci_find(host, a->words[0], &addr);
	if (rc == -EINVAL)
		return prog_usage();
	if (rc < 0 || devices_read(host, &d) < 0 || devices_read_uses(host, &d) < 0)
		return prog_fail();
	s = (struct shown){ host, &d, devices_find(&d, &addr) };
	if (!s.info) {
		iol_fail(ENODEV, "%s is gone: it was here a moment ago", a->words[0]);
		return prog_fail();
	}
	o = show_json(&s);
	if (!o)
		return prog_fail();
	if (a->json)
		return verb_print_json(o);
	show_text(o);
	json_object_put(o);
	return prog_flush();
}

static const struct opt opts[] = { HOST_OPTS, { 0 } };

const struct verb host_show = {
	.name = "show",
	.help = "Usage: iolane show [OPTION]... DEV\n"
		"Show everything about a PCI device: names, driver, IOMMU group and its members,\n"
		"what keeps it apart from others on its way to the root complex, what it is in\n"
		"use for, and whether it can be passed through.\n"
		"\n"
		"DEV is an address (0000:01:10.0 or 01:10.0), a network interface (eth3), an NVMe\n"
		"device (nvme0), or a virtual function by its physical one (eth3/vf2).\n"
		"\n" HOST_OPTS_HELP,
	.opts = opts,
	.words = { "a device: an address, eth3, nvme0 or eth3/vf2" },
	.min_words = 1,
	.run = run_show,
};
