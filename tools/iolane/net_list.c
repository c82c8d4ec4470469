/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane net list" and "iolane net addresses". */
#include "net.h"
#include "table.h"
#include "tools/common/prog.h"

#include <inttypes.h>

/* How many queue pairs run, of how many. */
static void add_pairs(struct table *t, struct json_object *port)
{
	struct json_object *threads = field(port, "threads");
	unsigned int running = 0;
	size_t i;

	for (i = 0; i < array_length(threads); i++)
		running += json_object_array_get_idx(threads, i) != NULL;
	if (field(port, "queues"))
		table_add(t, "%u of %u", running, (unsigned int)field_count(port, "queues"));
	else
		table_add(t, "-");
}

/* "0,1,-,0": the thread of each queue pair. */
static void add_threads(struct table *t, struct json_object *port)
{
	struct json_object *threads = field(port, "threads");
	char text[256] = "-";
	size_t i, len = 0;

	for (i = 0; i < array_length(threads) && len < sizeof(text); i++) {
		struct json_object *thread = json_object_array_get_idx(threads, i);

		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", i ? "," : "",
					thread ? json_object_get_string(thread) : "-");
	}
	table_add(t, "%s", text);
}

static void add_port(struct table *t, struct json_object *port)
{
	bool uplink = field(port, "uplink");

	table_add(t, "%s", field_string(port, "name"));
	table_add(t, "%s", field_string(port, "kind"));
	table_add(t, "%s", field_bool(port, "link") ? "up" : "down");
	table_add(t, "%s", or_dash(field_string(port, "mac")));
	table_add(t, "%s", field_string(port, "vlan"));
	table_add(t, "%s", or_dash(field_string(port, "trunk")));
	table_add(t, "%s", field_string(port, "mtu"));
	add_pairs(t, port);
	add_threads(t, port);
	table_add(t, "%s", uplink ? "-" : field_bool(port, "connected") ? "connected" : "none");
	if (uplink)
		table_add(t, "%s", field_string(port, "uplink"));
	else if (field(port, "socket"))
		table_add(t, "%s", field_string(port, "socket"));
	else
		table_add(t, "fd %s", field_string(port, "fd"));
}

static void print_threads(struct json_object *threads)
{
	struct table *t = table_new(">THREAD,CPU,>QUEUES");
	size_t i;

	for (i = 0; i < array_length(threads); i++) {
		struct json_object *thread = json_object_array_get_idx(threads, i);

		table_add(t, "%s", field_string(thread, "index"));
		table_add(t, "%s", field(thread, "cpu") ? field_string(thread, "cpu") : "any");
		table_add(t, "%s", field_string(thread, "queues"));
	}
	putchar('\n');
	table_print(t);
	table_free(t);
}

static int run_list(const struct verb_args *a)
{
	struct json_object *result, *ports;
	struct table *t;
	size_t i;
	int status;

	status = verb_call(a, verb_request("list"), &result);
	if (status)
		return status;
	if (a->json)
		return verb_print_json(result);
	ports = field(result, "ports");
	t = table_new(
		"NAME,KIND,LINK,MAC,VLAN,TRUNK,>MTU,>PAIRS,THREADS,FRONT END,SOCKET OR DEVICE");
	for (i = 0; i < array_length(ports); i++)
		add_port(t, json_object_array_get_idx(ports, i));
	table_print(t);
	table_free(t);
	if (!i)
		printf("no ports\n");
	print_threads(field(result, "threads"));
	json_object_put(result);
	return prog_flush();
}

static int run_addresses(const struct verb_args *a)
{
	struct json_object *result;
	struct table *t;
	size_t i;
	int status;

	status = verb_call(a, verb_request("addresses"), &result);
	if (status)
		return status;
	if (a->json)
		return verb_print_json(result);
	t = table_new("ADDRESS,>VLAN,PORT,>SILENT S");
	for (i = 0; i < array_length(result); i++) {
		struct json_object *address = json_object_array_get_idx(result, i);

		table_add(t, "%s", field_string(address, "mac"));
		table_add(t, "%s", field_string(address, "vlan"));
		table_add(t, "%s", field_string(address, "port"));
		table_add(t, "%" PRIu64, field_count(address, "age_s"));
	}
	table_print(t);
	table_free(t);
	if (!i)
		printf("no addresses were learned\n");
	json_object_put(result);
	return prog_flush();
}

static const struct opt opts[] = { VERB_OPTS, { 0 } };

const struct verb net_list = {
	.name = "list",
	.line = "show the ports and the poll threads",
	.help = "Usage: iolane net list [OPTION]...\n"
		"Show the ports of a running iolane-net: link, address, VLANs, MTU, how many "
		"queue\n"
		"pairs run and on which poll threads, whether a front end is connected, and the "
		"socket\n"
		"or device. Then each poll thread, its CPU, and how many queues it polls.\n"
		"\n" VERB_OPTS_HELP("iolane-net"),
	.opts = opts,
	.run = run_list,
};

const struct verb net_addresses = {
	.name = "addresses",
	.line = "show the addresses that the switch has learned",
	.help = "Usage: iolane net addresses [OPTION]...\n"
		"Show which addresses the switch of a running iolane-net has learned: VLAN, port, "
		"and\n"
		"for how many seconds nothing came from there.\n"
		"\n" VERB_OPTS_HELP("iolane-net"),
	.opts = opts,
	.run = run_addresses,
};
