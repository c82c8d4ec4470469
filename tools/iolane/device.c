/* SPDX-License-Identifier: BSD-3-Clause */
#include "device.h"

#include "names.h"
#include "tools/common/ctl.h"
#include "tools/common/prog.h"
#include "vfio/host.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Classes are the numbers of the PCI Code and ID Assignment Specification. */
static const struct class_row {
	struct class_word word; /* first, for what looks for a near one */
	uint32_t mask, class;
} classes[] = {
	{ { "net", "network" }, 0xff0000, 0x020000 },
	{ { "storage", "storage" }, 0xff0000, 0x010000 },
	{ { "display", "display" }, 0xff0000, 0x030000 },
	{ { "accel", "accelerators" }, 0xff0000, 0x120000 },
	{ { "accel", "co-processors" }, 0xffff00, 0x0b4000 },
	{ { "crypto", "encryption" }, 0xff0000, 0x100000 },
	{ { "usb", "USB controllers" }, 0xffff00, 0x0c0300 },
	{ { "audio", "multimedia" }, 0xff0000, 0x040000 },
	{ { "serial", "communication" }, 0xff0000, 0x070000 },
	{ { "bridge", "bridges" }, 0xff0000, 0x060000 },
	{ { "other", "all the rest" }, 0, 0 },
};

/* What belongs to the board and is of no use to a guest. */
static const struct {
	uint32_t mask, class;
} organs[] = {
	{ 0xff0000, 0x060000 }, /* bridges */
	{ 0xff0000, 0x050000 }, /* memory controllers */
	{ 0xff0000, 0x080000 }, /* interrupt controllers, timers, IOMMUs */
	{ 0xff0000, 0x0b0000 }, /* processors, but co-processors are a kind of their own */
	{ 0xffff00, 0x0c0500 }, /* SMBus */
	{ 0xffff00, 0x0c8000 }, /* the firmware's flash */
	{ 0xff0000, 0x110000 }, /* thermal sensors, performance counters */
	{ 0xff0000, 0x130000 }, /* instrumentation */
};

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

const struct class_word *class_of(const struct iol_pci_info *info)
{
	size_t i = 0;

	if (info->is_bridge)
		return class_find("bridge");
	while ((info->class & classes[i].mask) != classes[i].class)
		i++;
	return &classes[i].word;
}

const struct class_word *class_find(const char *word)
{
	size_t i;

	for (i = 0; i < ROWS(classes); i++) {
		if (!strcmp(classes[i].word.word, word))
			return &classes[i].word;
	}
	opt_unknown("class", "", word, classes, ROWS(classes), sizeof(classes[0]));
	return NULL;
}

bool device_is_passable(const struct iol_pci_info *info)
{
	size_t i;

	if (info->is_bridge)
		return false;
	if (strcmp(class_of(info)->word, "other") != 0)
		return true;
	for (i = 0; i < ROWS(organs); i++) {
		if ((info->class & organs[i].mask) == organs[i].class)
			return false;
	}
	return true;
}

int devices_read(const struct iol_host *host, struct devices *d)
{
	int n = iol_pci_list(host, &d->infos);

	d->num = n > 0 ? (size_t)n : 0;
	return n < 0 ? n : 0;
}

int devices_read_uses(const struct iol_host *host, struct devices *d)
{
	int n = iol_pci_uses_listed(host, d->infos, (int)d->num, &d->uses);

	d->num_uses = n > 0 ? (size_t)n : 0;
	return n < 0 ? n : 0;
}

void devices_free(struct devices *d)
{
	free(iol_take_ptr(d->uses));
	free(iol_take_ptr(d->infos));
}

const struct iol_pci_info *devices_find(const struct devices *d, const struct iol_pci_addr *addr)
{
	size_t i;

	for (i = 0; i < d->num; i++) {
		if (iol_pci_addr_equal(&d->infos[i].addr, addr))
			return &d->infos[i];
	}
	return NULL;
}

const struct iol_use *devices_next_use(const struct devices *d, const struct iol_pci_info *info,
				       const struct iol_use *use)
{
	size_t i = use ? (size_t)(use - d->uses) + 1 : 0;

	for (; i < d->num_uses; i++) {
		if (iol_pci_addr_equal(&d->uses[i].addr, &info->addr))
			return &d->uses[i];
	}
	return NULL;
}

const char *device_name(const struct devices *d, const struct iol_pci_info *info,
			char buf[DEVICE_NAME_MAX])
{
	const char *own = info->netdev[0] ? info->netdev : info->nvme;
	const struct iol_pci_info *pf;
	char addr[IOL_PCI_ADDR_MAX];

	snprintf(buf, DEVICE_NAME_MAX, "%s", own);
	if (own[0] || !info->is_vf)
		return buf;
	pf = devices_find(d, &info->pf);
	own = pf && pf->netdev[0] ? pf->netdev : pf ? pf->nvme : "";
	if (!own[0])
		own = iol_pci_addr_format(&info->pf, addr);
	snprintf(buf, DEVICE_NAME_MAX, "%s/vf%u", own, info->vf_index);
	return buf;
}

/* Others in its group that go where it goes: bridges do not. */
static unsigned int companions(const struct devices *d, const struct iol_pci_info *info)
{
	unsigned int n = 0;
	size_t i;

	for (i = 0; i < d->num; i++) {
		const struct iol_pci_info *other = &d->infos[i];

		n += other->iommu_group == info->iommu_group && !other->is_bridge &&
		     !iol_pci_addr_equal(&other->addr, &info->addr);
	}
	return info->iommu_group < 0 ? 0 : n;
}

static const struct {
	const char *kind, *word;
} uses[] = {
	[IOL_USE_ROUTE] = { "route", "route" },
	[IOL_USE_SSH] = { "ssh", "ssh" },
	[IOL_USE_NETNS] = { "netns", "container" },
	[IOL_USE_MASTER] = { "master", "bridge" },
	[IOL_USE_ADDRESS] = { "address", "address" },
	[IOL_USE_MOUNT] = { "mount", "mounted" },
	[IOL_USE_SWAP] = { "swap", "swap" },
	[IOL_USE_STACK] = { "stack", "volume" },
	[IOL_USE_CONSOLE] = { "console", "console" },
	[IOL_USE_PROCESS] = { "process", "process" },
	[IOL_USE_VFS] = { "vfs", "VFs" },
};

const char *use_word(enum iol_use_kind kind)
{
	return kind < ROWS(uses) ? uses[kind].word : "something";
}

const char *use_kind(enum iol_use_kind kind)
{
	return kind < ROWS(uses) ? uses[kind].kind : "other";
}

static struct json_object *uses_json(const struct devices *d, const struct iol_pci_info *info)
{
	struct json_object *array = json_object_new_array();
	const struct iol_use *use = NULL;

	while ((use = devices_next_use(d, info, use))) {
		struct json_object *o = json_object_new_object();

		add_text(o, "kind", use_kind(use->kind));
		add_text(o, "word", use_word(use->kind));
		add_text(o, "what", use->what);
		add_bool(o, "harmful", use->harmful);
		add_number(o, "pid", use->pid ? use->pid : -1);
		json_object_array_add(array, o);
	}
	return array;
}

struct json_object *device_json(const struct devices *d, const struct iol_pci_info *info)
{
	struct json_object *o = json_object_new_object();
	char name[DEVICE_NAME_MAX];
	struct names names;

	names_of(info, &names);
	add_addr(o, "address", &info->addr);
	add_text(o, "name", device_name(d, info, name));
	add_text(o, "class", class_of(info)->word);
	add_hex(o, "class_code", 6, info->class);
	add_text(o, "class_name", names.class);
	add_hex(o, "vendor", 4, info->vendor);
	add_hex(o, "device", 4, info->device);
	add_hex(o, "subsystem_vendor", 4, info->subsystem_vendor);
	add_hex(o, "subsystem_device", 4, info->subsystem_device);
	add_hex(o, "revision", 2, info->revision);
	add_text(o, "vendor_name", names.vendor);
	add_text(o, "device_name", names.device);
	add_text(o, "subsystem_name", names.subsystem);
	add_text(o, "driver", info->driver);
	add_text(o, "driver_override", info->driver_override);
	add_number(o, "iommu_group", info->iommu_group);
	add_number(o, "companions", companions(d, info));
	add_number(o, "numa_node", info->numa_node);
	add_number(o, "vfs", info->vfs);
	add_number(o, "vfs_max", info->vfs_max);
	add_addr(o, "pf", info->is_vf ? &info->pf : NULL);
	add_number(o, "vf_index", info->is_vf ? (int64_t)info->vf_index : -1);
	add_bool(o, "boot_vga", info->boot_vga);
	json_object_object_add(o, "uses", uses_json(d, info));
	return o;
}

struct json_object *device_json_whole(const struct iol_host *host, const struct devices *d,
				      const struct iol_pci_info *info)
{
	struct iol_pci_info whole = *info;

	iol_pci_details(host, &whole);
	return device_json(d, &whole);
}

const char *device_label(struct json_object *device, char *buf, size_t len)
{
	const char *vendor = field_string(device, "vendor_name");
	const char *name = field_string(device, "device_name");

	/* The device first: it is more telling where there is little room. Ids without "0x", as lspci has them. */
	if (vendor[0])
		snprintf(buf, len, "%s, %s", name[0] ? name : field_string(device, "device") + 2,
			 vendor);
	else
		snprintf(buf, len, "%s:%s", field_string(device, "vendor") + 2,
			 field_string(device, "device") + 2);
	return buf;
}

int host_open(const struct verb_args *a, struct iol_host **host)
{
	if (iol_host_new(a->root, host) < 0)
		return prog_usage();
	if (iol_host_exists(*host, "sys"))
		return PROG_OK;
	iol_host_destroy(host);
	iol_fail(ENOENT, "--root=%s holds no sys folder: name a folder that holds sys and proc",
		 a->root ? a->root : "/");
	return prog_usage();
}

void add_text(struct json_object *o, const char *key, const char *text)
{
	if (text[0])
		ctl_add_string(o, key, text);
	else
		json_object_object_add(o, key, NULL);
}

void add_number(struct json_object *o, const char *key, int64_t number)
{
	json_object_object_add(o, key, number < 0 ? NULL : json_object_new_int64(number));
}

void add_bool(struct json_object *o, const char *key, bool value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}

void add_hex(struct json_object *o, const char *key, unsigned int digits, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%0*" PRIx64, (int)digits, number);
	ctl_add_string(o, key, text);
}

void add_known(struct json_object *o, const char *key, enum iol_known known)
{
	json_object_object_add(
		o, key, known == IOL_UNKNOWN ? NULL : json_object_new_boolean(known == IOL_YES));
}

void add_addr(struct json_object *o, const char *key, const struct iol_pci_addr *addr)
{
	char text[IOL_PCI_ADDR_MAX];

	add_text(o, key, addr ? iol_pci_addr_format(addr, text) : "");
}
