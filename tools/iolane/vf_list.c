/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane vf list" and "iolane vf stats". */
#include "base/error.h"
#include "device.h"
#include "table.h"
#include "text.h"
#include "tools/common/prog.h"
#include "vf.h"

#include <iolane/sriov.h>

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>

/* The PFs that were asked for: one, or all. Return: how many, or a negative errno. */
static int find_pfs(const struct iol_host *host, const char *name, struct iol_pf **list)
{
	int rc;

	if (!name)
		return iol_pf_list(host, list);
	*list = calloc(1, sizeof(**list));
	if (!*list)
		return iol_fail(ENOMEM, "no memory for %s", name);
	rc = iol_pf_find(host, name, *list);
	return rc ? rc : 1;
}

static void add_settings(struct json_object *o, const struct iol_vf_net *net)
{
	char text[IOL_VF_VALUE_MAX];
	int s;

	for (s = 0; s < IOL_VF_SETTINGS; s++) {
		if (net->has & (1u << s))
			add_text(o, iol_vf_setting_name((enum iol_vf_setting)s),
				 iol_vf_setting_format((enum iol_vf_setting)s, net, text));
	}
}

/* What a VF is as a function of PCI; one that has just come or gone is told without it. */
static void add_function(struct json_object *o, const struct iol_host *host,
			 const struct devices *d, const struct iol_pf *pf, unsigned int index)
{
	const struct iol_pci_info *info;
	const struct iol_use *use;
	struct iol_pci_addr addr;

	if (!pf->is_pci || iol_vf_addr(host, pf, index, &addr))
		return;
	info = devices_find(d, &addr);
	if (!info)
		return;
	add_addr(o, "address", &addr);
	add_text(o, "driver", info->driver);
	add_text(o, "netdev", info->netdev);
	add_text(o, "nvme", info->nvme);
	add_number(o, "iommu_group", info->iommu_group);
	use = devices_next_use(d, info, NULL);
	if (use)
		add_text(o, "use", use->what);
}

static const char *representor(const struct vf_facts *f, unsigned int index)
{
	int i;

	for (i = 0; i < f->num_ports; i++) {
		if (f->ports[i].index == index)
			return f->ports[i].netdev;
	}
	return "";
}

static struct json_object *vf_json(const struct iol_host *host, const struct devices *d,
				   const struct iol_pf *pf, unsigned int index,
				   const struct vf_facts *f)
{
	struct json_object *o = json_object_new_object();
	char name[IOL_NAME_MAX + 16];

	snprintf(name, sizeof(name), "%s/vf%u",
		 pf->netdev[0] ? pf->netdev
		 : pf->nvme[0] ? pf->nvme
			       : pf->name,
		 index);
	add_text(o, "name", name);
	add_number(o, "index", index);
	add_text(o, "label", f->labels[index]);
	add_text(o, "leased_to", f->holders[index]);
	add_function(o, host, d, pf, index);
	if ((int)index < f->num_nets)
		add_settings(o, &f->nets[index]);
	add_text(o, "representor", representor(f, index));
	if ((int)index < f->num_nvmes) {
		add_number(o, "controller", f->nvmes[index].id);
		add_bool(o, "online", f->nvmes[index].online);
		add_number(o, "queues", f->nvmes[index].queues);
		add_number(o, "interrupts", f->nvmes[index].interrupts);
	}
	return o;
}

/* Its mode is for the privileged alone. */
static int read_switch(const struct iol_host *host, const struct iol_pf *pf,
		       char mode[IOL_NAME_MAX], struct vf_facts *f)
{
	int rc = pf->netdev[0] ? iol_pf_eswitch(host, pf, mode) : 0;

	if (!rc && !strcmp(mode, "switchdev"))
		rc = f->num_ports = iol_pf_representors(host, pf, &f->ports);
	return rc < 0 && rc != -EPERM ? rc : 0;
}

/* Where its VFs are and will be, as its capability says. */
static void add_place(struct json_object *o, const struct iol_pf *pf)
{
	struct json_object *bars = json_object_new_array();
	int i;

	add_number(o, "initial", pf->initial);
	add_number(o, "offset", pf->offset);
	add_number(o, "stride", pf->stride);
	add_hex(o, "vf_device", 4, pf->vf_device);
	add_bool(o, "ari", pf->ari);
	for (i = 0; i < IOL_VF_BARS; i++)
		json_object_array_add(bars, json_object_new_uint64(pf->vf_bar[i]));
	json_object_object_add(o, "vf_bars", bars);
}

static int pf_json(const struct iol_host *host, const struct devices *d, const struct iol_pf *pf,
		   struct json_object **out)
{
	_cleanup_facts_ struct vf_facts f = { 0 };
	char mode[IOL_NAME_MAX] = "";
	struct json_object *o, *list;
	unsigned int i;
	int rc = vf_facts_read(host, pf, &f);

	if (!rc)
		rc = read_switch(host, pf, mode, &f);
	if (rc)
		return rc;
	o = json_object_new_object();
	list = json_object_new_array();
	add_text(o, "pf", pf->name);
	add_text(o, "netdev", pf->netdev);
	add_text(o, "nvme", pf->nvme);
	add_text(o, "driver", pf->driver);
	add_number(o, "numa_node", pf->numa_node);
	add_number(o, "enabled", pf->enabled);
	add_number(o, "total", pf->total == UINT_MAX ? -1 : (int64_t)pf->total);
	add_bool(o, "autoprobe", pf->autoprobe);
	add_text(o, "eswitch", mode);
	if (pf->is_pci)
		add_place(o, pf);
	json_object_object_add(o, "vfs", list);
	for (i = 0; i < pf->enabled; i++)
		json_object_array_add(list, vf_json(host, d, pf, i, &f));
	*out = o;
	return 0;
}

/* What people are shown of VFs that have the same kinds of settings; keys as in JSON. */
struct column {
	const char *head, *key;
};

static const struct column of_nic[] = {
	{ "VF", "name" },
	{ "LABEL", "label" },
	{ "LEASED TO", "leased_to" },
	{ "ADDRESS", "address" },
	{ "DRIVER", "driver" },
	{ "MAC", "mac" },
	{ "VLAN", "vlan" },
	{ "SPOOF", "spoofchk" },
	{ "TRUST", "trust" },
	{ "LINK", "link" },
	{ ">RATE", "rate" },
	{ "REPRESENTOR", "representor" },
	{ "~USED BY", "use" },
	{ 0 },
};

static const struct column of_nvme[] = {
	{ "VF", "name" },
	{ "LABEL", "label" },
	{ "LEASED TO", "leased_to" },
	{ "ADDRESS", "address" },
	{ "DRIVER", "driver" },
	{ "STATE", "online" },
	{ ">QUEUES", "queues" },
	{ ">INTERRUPTS", "interrupts" },
	{ "~USED BY", "use" },
	{ 0 },
};

static const struct column *columns_of(struct json_object *pf)
{
	return *field_string(pf, "nvme") ? of_nvme : of_nic;
}

/* What is not set has no value for people. */
static const char *cell(struct json_object *vf, const char *key)
{
	const char *text = field_string(vf, key);

	if (!strcmp(key, "online"))
		return !field(vf, key) ? "-" : field_bool(vf, key) ? "online" : "offline";
	if ((!strcmp(key, "mac") && !strcmp(text, "00:00:00:00:00:00")) ||
	    ((!strcmp(key, "vlan") || !strcmp(key, "rate")) && !strcmp(text, "0")))
		return "-";
	return or_dash(text);
}

/* Of all VFs whose PF has these columns, the next after @pf and @vf; NULL at the end. */
static struct json_object *next_vf(struct json_object *pfs, const struct column *columns,
				   size_t *pf, size_t *vf)
{
	for (; *pf < array_length(pfs); (*pf)++, *vf = 0) {
		struct json_object *o = json_object_array_get_idx(pfs, *pf);

		if (columns_of(o) == columns && *vf < array_length(field(o, "vfs")))
			return json_object_array_get_idx(field(o, "vfs"), (*vf)++);
	}
	return NULL;
}

static bool is_empty(struct json_object *pfs, const struct column *columns, const char *key)
{
	size_t pf = 0, at = 0;
	struct json_object *vf;

	while ((vf = next_vf(pfs, columns, &pf, &at))) {
		if (strcmp(cell(vf, key), "-") != 0)
			return false;
	}
	return true;
}

/* Columns in which there is nothing are left out: a terminal has no room for all. */
static void print_table(struct json_object *pfs, const struct column *columns)
{
	char heads[128] = "";
	const char *keys[sizeof(of_nic) / sizeof(of_nic[0])];
	const struct column *c;
	size_t num = 0, k, n = 0, pf = 0, at = 0;
	struct json_object *vf;
	struct table *t;

	for (c = columns; c->key; c++) {
		if (is_empty(pfs, columns, c->key))
			continue;
		n += (size_t)snprintf(heads + n, sizeof(heads) - n, "%s%s", num ? "," : "",
				      c->head);
		keys[num++] = c->key;
	}
	t = table_new(heads);
	while ((vf = next_vf(pfs, columns, &pf, &at))) {
		for (k = 0; k < num; k++)
			table_add(t, "%s", cell(vf, keys[k]));
	}
	table_print(t);
	table_free(t);
}

static void print_list(struct json_object *pfs)
{
	size_t i;

	print_table(pfs, of_nic);
	print_table(pfs, of_nvme);
	for (i = 0; i < array_length(pfs); i++) {
		struct json_object *pf = json_object_array_get_idx(pfs, i);
		const char *name = field_string(pf, "netdev");
		char named[2 * IOL_NAME_MAX + 4];

		if (!*name)
			name = field_string(pf, "nvme");
		if (!array_length(field(pf, "vfs")))
			printf("%s has no VFs, and may have %s\n",
			       text_named(field_string(pf, "pf"), name, named, sizeof(named)),
			       field(pf, "total") ? field_string(pf, "total") : "some");
	}
	if (!array_length(pfs))
		printf("nothing here can make VFs\n");
}

static int run_list(const struct verb_args *a)
{
	_cleanup_host_ struct iol_host *host = NULL;
	_cleanup_devices_ struct devices d = { 0 };
	_cleanup_free_ struct iol_pf *pfs = NULL;
	struct json_object *list, *one = NULL;
	int status = host_open(a, &host), n, i;

	if (status)
		return status;
	if (devices_read(host, &d) < 0 || devices_read_uses(host, &d) < 0)
		return prog_fail();
	n = find_pfs(host, a->words[0], &pfs);
	list = json_object_new_array();
	for (i = 0; i < n; i++) {
		int rc = pf_json(host, &d, &pfs[i], &one);

		if (rc < 0) {
			n = rc;
			break;
		}
		json_object_array_add(list, one);
	}
	if (n < 0) {
		json_object_put(list);
		return prog_fail();
	}
	if (a->json)
		return verb_print_json(list);
	print_list(list);
	json_object_put(list);
	return prog_flush();
}

static const struct {
	const char *name;
	size_t offset;
} counts[] = {
	{ "rx_packets", offsetof(struct iol_vf_stats, rx_packets) },
	{ "tx_packets", offsetof(struct iol_vf_stats, tx_packets) },
	{ "rx_bytes", offsetof(struct iol_vf_stats, rx_bytes) },
	{ "tx_bytes", offsetof(struct iol_vf_stats, tx_bytes) },
	{ "broadcast", offsetof(struct iol_vf_stats, broadcast) },
	{ "multicast", offsetof(struct iol_vf_stats, multicast) },
	{ "rx_dropped", offsetof(struct iol_vf_stats, rx_dropped) },
	{ "tx_dropped", offsetof(struct iol_vf_stats, tx_dropped) },
};

static uint64_t count_of(const struct iol_vf_stats *stats, size_t k)
{
	const void *at = (const char *)stats + counts[k].offset;

	return *(const uint64_t *)at;
}

static struct json_object *stats_json(const struct iol_pf *pf, unsigned int index,
				      const struct iol_vf_stats *stats)
{
	struct json_object *o = json_object_new_object();
	char name[IOL_NAME_MAX + 16];
	size_t k;

	snprintf(name, sizeof(name), "%s/vf%u", pf->netdev, index);
	add_text(o, "name", name);
	for (k = 0; k < sizeof(counts) / sizeof(counts[0]); k++)
		json_object_object_add(o, counts[k].name,
				       json_object_new_uint64(count_of(stats, k)));
	return o;
}

static void print_stats(struct json_object *list)
{
	struct table *t = table_new("VF,>RX PACKETS,>TX PACKETS,>RX BYTES,>TX BYTES,>BROADCAST,"
				    ">MULTICAST,>RX DROPPED,>TX DROPPED");
	size_t i, k;

	for (i = 0; i < array_length(list); i++) {
		struct json_object *vf = json_object_array_get_idx(list, i);

		table_add(t, "%s", field_string(vf, "name"));
		for (k = 0; k < sizeof(counts) / sizeof(counts[0]); k++)
			table_add(t, "%" PRIu64, field_count(vf, counts[k].name));
	}
	table_print(t);
	table_free(t);
}

static int run_stats(const struct verb_args *a)
{
	_cleanup_host_ struct iol_host *host = NULL;
	_cleanup_free_ struct iol_pf *pfs = NULL;
	struct json_object *list;
	int status = host_open(a, &host), n, i;

	if (status)
		return status;
	n = find_pfs(host, a->words[0], &pfs);
	list = json_object_new_array();
	for (i = 0; i < n; i++) {
		_cleanup_free_ struct iol_vf_stats *stats = NULL;
		int vfs, v;

		/* Of all PFs, those that count are meant. */
		if (!pfs[i].netdev[0] && !a->words[0])
			continue;
		vfs = iol_vf_stats_list(host, &pfs[i], &stats);
		if (vfs == -EOPNOTSUPP && !a->words[0])
			continue;
		if (vfs < 0) {
			n = vfs;
			break;
		}
		for (v = 0; v < vfs; v++)
			json_object_array_add(list,
					      stats_json(&pfs[i], (unsigned int)v, &stats[v]));
	}
	if (n < 0) {
		json_object_put(list);
		return prog_fail();
	}
	if (a->json)
		return verb_print_json(list);
	print_stats(list);
	if (!array_length(list))
		printf("no VFs whose packets are counted\n");
	json_object_put(list);
	return prog_flush();
}

static const struct opt opts[] = { HOST_OPTS, { 0 } };

const struct verb vf_list = {
	.name = "list",
	.line = "show VFs, and what can make some",
	.help = "Usage: iolane vf list [PF] [OPTION]...\n"
		"Show the virtual functions of a PF (an address, a network interface, an NVMe\n"
		"controller) or of all, with their settings, and in switchdev mode with their\n"
		"representors.\n"
		"\n" HOST_OPTS_HELP,
	.opts = opts,
	.words = { "PF" },
	.run = run_list,
};

const struct verb vf_stats = {
	.name = "stats",
	.line = "show the packets of VFs",
	.help = "Usage: iolane vf stats [PF] [OPTION]...\n"
		"Show what VFs have sent and received, as the PF's driver counts it.\n"
		"\n" HOST_OPTS_HELP,
	.opts = opts,
	.words = { "PF" },
	.run = run_stats,
};
