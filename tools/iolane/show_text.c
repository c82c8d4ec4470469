/* SPDX-License-Identifier: BSD-3-Clause */
#include "device.h"
#include "show.h"
#include "table.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

static void head(const char *text)
{
	putchar('\n');
	text_paint(TEXT_BOLD, text);
	putchar('\n');
}

/* "yes", "no" or "unknown". */
static const char *known(struct json_object *o, const char *key)
{
	struct json_object *value = field(o, key);

	return !value ? "unknown" : json_object_get_boolean(value) ? "yes" : "no";
}

static void print_identity(struct json_object *o)
{
	const char *class = field_string(o, "class_name"), *sub = field_string(o, "subsystem_name");
	char label[300];

	text_paint(TEXT_BOLD, field_string(o, "address"));
	text_print(strlen(field_string(o, "address")), 2, "  %s",
		   device_label(o, label, sizeof(label)));
	if (field(o, "name"))
		text_label("name", "%s", field_string(o, "name"));
	text_label("class", "%s%s%s (%s)", field_string(o, "class"), class[0] ? ": " : "", class,
		   field_string(o, "class_code"));
	text_label("ids", "%s:%s, subsystem %s:%s, revision %s", field_string(o, "vendor") + 2,
		   field_string(o, "device") + 2, field_string(o, "subsystem_vendor") + 2,
		   field_string(o, "subsystem_device") + 2, field_string(o, "revision") + 2);
	if (sub[0])
		text_label("subsystem", "%s", sub);
	text_label("driver", "%s", field(o, "driver") ? field_string(o, "driver") : "none");
	if (field(o, "driver_override"))
		text_label("override", "only %s may take it (driver_override)",
			   field_string(o, "driver_override"));
	text_label("NUMA node", "%s",
		   field(o, "numa_node") ? field_string(o, "numa_node") : "none");
	if (field_bool(o, "boot_vga"))
		text_label("console", "the firmware's screen was on it (boot_vga)");
}

static void print_vfs(struct json_object *o)
{
	struct json_object *list = field(o, "vf_list");
	size_t i;

	if (field(o, "pf")) {
		head("Virtual function");
		text_label("made by", "%s, as its VF %s", field_string(o, "pf"),
			   field_string(o, "vf_index"));
	}
	if (!field_count(o, "vfs_max"))
		return;
	head("Virtual functions");
	text_label("there are", "%s of %s", field_string(o, "vfs"), field_string(o, "vfs_max"));
	for (i = 0; i < array_length(list); i++) {
		struct json_object *vf = json_object_array_get_idx(list, i);
		char label[16];

		snprintf(label, sizeof(label), "vf%s", field_string(vf, "index"));
		text_label(label, "%s, driver %s, group %s", field_string(vf, "address"),
			   field(vf, "driver") ? field_string(vf, "driver") : "none",
			   or_dash(field_string(vf, "iommu_group")));
	}
}

static const struct {
	const char *state, *meaning;
} states[] = {
	{ "free", "has no driver" },
	{ "vfio", "is ready" },
	{ "bridge", "stays as it is" },
	{ "blocks", "its driver has to let go" },
};

static const char *state_meaning(const char *state)
{
	size_t i = 0;

	while (i + 1 < sizeof(states) / sizeof(states[0]) && strcmp(states[i].state, state) != 0)
		i++;
	return states[i].meaning;
}

static void print_group(struct json_object *o)
{
	struct json_object *group = field(o, "group"), *list;
	char label[300];
	struct table *t;
	size_t i;

	head("IOMMU group");
	if (!group) {
		text_label("number", "none: no IOMMU stands between this device and memory");
		return;
	}
	text_label("number", "%s", field_string(group, "number"));
	text_label("domain", "%s",
		   field(group, "type") ? field_string(group, "type") : "of unknown type");
	list = field(group, "reserved");
	for (i = 0; i < array_length(list); i++) {
		struct json_object *r = json_object_array_get_idx(list, i);

		text_label(i ? "" : "reserved", "%s to %s, %s: %s", field_string(r, "first"),
			   field_string(r, "last"), field_string(r, "kind"),
			   field_string(r, "meaning"));
	}
	t = table_new("  MEMBER,NAME,DRIVER,STATE,~DEVICE");
	list = field(group, "members");
	for (i = 0; i < array_length(list); i++) {
		struct json_object *m = json_object_array_get_idx(list, i);

		table_add(t, "  %s", field_string(m, "address"));
		table_add(t, "%s", or_dash(field_string(m, "name")));
		table_add(t, "%s", or_dash(field_string(m, "driver")));
		table_add(t, "%s", state_meaning(field_string(m, "state")));
		table_add(t, "%s", device_label(m, label, sizeof(label)));
	}
	table_print(t);
	table_free(t);
}

/* "4K 2M 1G", of a mask with a bit for each size; some IOMMUs take any. */
static void page_sizes(const char *mask_text, char *buf, size_t len)
{
	unsigned long long mask = strtoull(mask_text, NULL, 16);
	bool any = __builtin_popcountll(mask) > 8;
	static const char units[] = " KMGTPE";
	size_t used = 0;
	unsigned int i;

	buf[0] = '\0';
	for (i = 0; i < 64 && used < len; i++) {
		if (!(mask & 1ull << i))
			continue;
		used += (size_t)snprintf(buf + used, len - used, "%s%llu%.1s%s", used ? " " : "",
					 1ull << i % 10, i >= 10 ? &units[i / 10] : "",
					 any ? " and more" : "");
		if (any)
			break;
	}
}

static void print_iommus(struct json_object *o)
{
	struct json_object *iommu = field(o, "iommu"), *list = field(iommu, "units");
	char sizes[64];
	size_t i;

	head("IOMMU");
	for (i = 0; i < array_length(list); i++) {
		struct json_object *unit = json_object_array_get_idx(list, i);

		page_sizes(field_string(unit, "page_sizes"), sizes, sizeof(sizes));
		text_label(field_string(unit, "name"),
			   "%s, address bits %s, page sizes %s, remapping %s, posting %s",
			   field_string(unit, "kind"),
			   field(unit, "address_bits") ? field_string(unit, "address_bits")
						       : "unknown",
			   sizes[0] ? sizes : "unknown", known(unit, "can_remap"),
			   known(unit, "can_post"));
	}
	if (!i)
		text_label("units", "none that the kernel uses");
	text_label("interrupts", "remapped: %s%s%s", known(iommu, "interrupts_remapped"),
		   field(iommu, "where") ? ", as read in " : "", field_string(iommu, "where"));
}

static void print_hop(struct json_object *hop)
{
	struct json_object *missing = field(hop, "missing");
	size_t i;

	text_label(field_string(hop, "address"), " %s%s, %s", field_string(hop, "type"),
		   field_bool(hop, "multifunction") ? ", multifunction" : "",
		   !field_bool(hop, "readable") ? "ACS could not be read (be root)"
		   : array_length(missing)      ? "does not keep its neighbours apart:"
		   : field_bool(hop, "acs")     ? "ACS as it should be"
						: "needs no ACS");
	for (i = 0; i < array_length(missing); i++) {
		struct json_object *bit = json_object_array_get_idx(missing, i);

		text_label("", "%s is %s: %s", field_string(bit, "bit"),
			   field_bool(bit, "capable") ? "switched off" : "lacking",
			   field_string(bit, "meaning"));
	}
}

static void print_uses(struct json_object *uses)
{
	size_t i;

	head("In use");
	for (i = 0; i < array_length(uses); i++) {
		struct json_object *use = json_object_array_get_idx(uses, i);

		text_label(field_string(use, "word"), " %s", field_string(use, "what"));
	}
	if (!i)
		text_label("by", "nothing");
}

static void print_verdict(struct json_object *verdict)
{
	static const struct {
		const char *passthrough;
		enum text_colour colour;
	} colours[] = { { "yes", TEXT_GREEN }, { "with-group", TEXT_YELLOW }, { "no", TEXT_RED } };
	struct json_object *list = field(verdict, "obstacles");
	size_t i = 0;

	while (strcmp(colours[i].passthrough, field_string(verdict, "passthrough")) != 0)
		i++;
	head("Verdict");
	printf("  ");
	text_paint(colours[i].colour, colours[i].passthrough);
	text_print(2 + strlen(colours[i].passthrough), 2, ": %s",
		   field_string(verdict, "sentence"));
	/* The sentence has the first. */
	for (i = 1; i < array_length(list); i++) {
		struct json_object *obstacle = json_object_array_get_idx(list, i);

		text_label("also", "%s; %s", field_string(obstacle, "what"),
			   field_string(obstacle, "todo"));
	}
}

void show_text(struct json_object *o)
{
	struct json_object *path = field(o, "path");
	size_t i;

	print_identity(o);
	print_vfs(o);
	print_group(o);
	print_iommus(o);
	head("Way to the root complex");
	for (i = 0; i < array_length(path); i++)
		print_hop(json_object_array_get_idx(path, i));
	print_uses(field(o, "uses"));
	print_verdict(field(o, "verdict"));
}
