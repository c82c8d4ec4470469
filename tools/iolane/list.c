/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane list". */
#include "device.h"
#include "table.h"
#include "tools/common/prog.h"

#include <string.h>

enum { ALL = VERB_OWN, DRIVER, CLASS, NUMA, FREE, VFS };

static struct {
	bool all, free, vfs;
	const char *driver, *class;
	unsigned int numa;
	bool by_numa;
} filter;

static int list_option(int id, const char *value)
{
	const struct class_word *class;

	switch (id) {
	case ALL:
		filter.all = true;
		return 0;
	case DRIVER:
		filter.driver = value;
		return 0;
	case CLASS:
		class = class_find(value);
		filter.class = class ? class->word : NULL;
		return class ? 0 : -EINVAL;
	case NUMA:
		filter.by_numa = true;
		return opt_uint("--numa", value, 0, 1023, &filter.numa);
	case FREE:
		filter.free = true;
		return 0;
	default:
		filter.vfs = true;
		return 0;
	}
}

/* Whether the filters leave it. */
static bool wanted(const struct devices *d, const struct iol_pci_info *info)
{
	/* Who asks for bridges wants to see them. */
	if (!filter.all && !(filter.class && !strcmp(filter.class, "bridge")) &&
	    !device_is_passable(info))
		return false;
	if (filter.driver && strcmp(filter.driver, info->driver[0] ? info->driver : "none") != 0)
		return false;
	if (filter.class && strcmp(filter.class, class_of(info)->word) != 0)
		return false;
	if (filter.by_numa && info->numa_node != (int)filter.numa)
		return false;
	if (filter.free && devices_next_use(d, info, NULL))
		return false;
	return !filter.vfs || info->is_vf || info->vfs_max;
}

static void add_row(struct table *t, struct json_object *device)
{
	struct json_object *uses = field(device, "uses");
	unsigned int others = (unsigned int)field_count(device, "companions");
	char label[300];

	table_add(t, "%s", field_string(device, "address"));
	table_add(t, "%s", or_dash(field_string(device, "name")));
	table_add(t, "%s", field_string(device, "class"));
	table_add(t, "%s", or_dash(field_string(device, "driver")));
	if (others)
		table_add(t, "%s +%u", field_string(device, "iommu_group"), others);
	else
		table_add(t, "%s", or_dash(field_string(device, "iommu_group")));
	table_add(t, "%s", or_dash(field_string(device, "numa_node")));
	if (field_count(device, "vfs_max"))
		table_add(t, "%s of %s", field_string(device, "vfs"),
			  field_string(device, "vfs_max"));
	else
		table_add(t, "-");
	if (array_length(uses))
		table_add(t, "%s", field_string(json_object_array_get_idx(uses, 0), "word"));
	else
		table_add(t, "-");
	table_add(t, "%s", device_label(device, label, sizeof(label)));
}

static int print_json(const struct iol_host *host, const struct devices *d)
{
	struct json_object *list = json_object_new_array();
	size_t i;

	for (i = 0; i < d->num; i++) {
		if (wanted(d, &d->infos[i]))
			json_object_array_add(list, device_json_whole(host, d, &d->infos[i]));
	}
	return verb_print_json(list);
}

/* One device after the other: all of them at once would be megabytes to be made and touched. */
static int print_table(const struct devices *d)
{
	struct table *t = table_new("ADDRESS,NAME,CLASS,DRIVER,GROUP,NUMA,VFS,USED BY,~DEVICE");
	size_t i, rows = 0;

	for (i = 0; i < d->num; i++) {
		struct json_object *device;

		if (!wanted(d, &d->infos[i]))
			continue;
		device = device_json(d, &d->infos[i]);
		add_row(t, device);
		json_object_put(device);
		rows++;
	}
	table_print(t);
	table_free(t);
	if (!rows)
		printf("%s\n",
		       d->num ? "no such devices (--all lists everything)" : "no PCI devices");
	return prog_flush();
}

static int run_list(const struct verb_args *a)
{
	_cleanup_host_ struct iol_host *host = NULL;
	_cleanup_devices_ struct devices d = { 0 };
	int status = host_open(a, &host);

	if (status)
		return status;
	if (devices_read(host, &d) < 0 || devices_read_uses(host, &d) < 0)
		return prog_fail();
	return a->json ? print_json(host, &d) : print_table(&d);
}

static const struct opt opts[] = {
	{ "all", NULL, ALL },
	{ "driver", "NAME", DRIVER },
	{ "class", "CLASS", CLASS },
	{ "numa", "N", NUMA },
	{ "free", NULL, FREE },
	{ "vfs", NULL, VFS },
	HOST_OPTS,
	{ 0 },
};

const struct verb host_list = {
	.name = "list",
	.help = "Usage: iolane list [OPTION]...\n"
		"Show the PCI devices that a person would pass through to a guest: driver, IOMMU\n"
		"group (\"12 +2\" has two others that go with it), NUMA node, virtual functions\n"
		"that there are and can be, and the worst that it is used by.\n"
		"\n"
		"  --all           everything: bridges and what belongs to the board, too\n"
		"  --driver=NAME   only devices of this driver; none for those without one\n"
		"  --class=CLASS   only net, storage, display, accel, crypto, usb, audio, serial,\n"
		"                  bridge or other\n"
		"  --numa=N        only devices of this NUMA node\n"
		"  --free          only devices that nothing uses\n"
		"  --vfs           only virtual functions, and functions that can have "
		"them\n" HOST_OPTS_HELP,
	.opts = opts,
	.option = list_option,
	.run = run_list,
};
