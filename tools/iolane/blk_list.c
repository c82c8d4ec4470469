/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/units.h"
#include "blk.h"
#include "table.h"
#include "tools/common/prog.h"

static void add_row(struct table *t, struct json_object *disk)
{
	bool connected = field_bool(disk, "connected");
	char size[16];

	table_add(t, "%s", field_string(disk, "name"));
	table_add(t, "%s", iol_format_size(field_count(disk, "capacity"), size, sizeof(size)));
	table_add(t, "%s", field_bool(disk, "read_only") ? "ro" : "rw");
	table_add(t, "%u of %u", (unsigned int)field_count(disk, "queues_running"),
		  (unsigned int)field_count(disk, "queues"));
	table_add(t, "%s", connected ? "connected" : "none");
	if (field(disk, "socket"))
		table_add(t, "%s", field_string(disk, "socket"));
	else
		table_add(t, "fd %s", field_string(disk, "fd"));
	table_add(t, "%s", field_string(disk, "file"));
}

static int run(const struct verb_args *a)
{
	struct json_object *result;
	struct table *t;
	size_t i, n;
	int status;

	status = verb_call(a, verb_request("list"), &result);
	if (status)
		return status;
	if (a->json)
		return verb_print_json(result);
	t = table_new("NAME,>SIZE,MODE,>QUEUES,FRONT END,SOCKET,FILE");
	n = array_length(result);
	for (i = 0; i < n; i++)
		add_row(t, json_object_array_get_idx(result, i));
	table_print(t);
	table_free(t);
	if (!n)
		printf("no disks\n");
	json_object_put(result);
	return prog_flush();
}

static const struct opt opts[] = { VERB_OPTS, { 0 } };

const struct verb blk_list = {
	.name = "list",
	.line = "show the disks that are served",
	.help = "Usage: iolane blk list [OPTION]...\n"
		"Show the disks of a running iolane-blk: their size, queues that run, whether a "
		"front end\n"
		"is connected, socket and image.\n"
		"\n" VERB_OPTS_HELP("iolane-blk"),
	.opts = opts,
	.run = run,
};
