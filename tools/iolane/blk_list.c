/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/units.h"
#include "blk.h"
#include "table.h"
#include "tools/common/prog.h"

static void add_row(struct table *t, struct json_object *disk)
{
	bool connected = blk_get_bool(disk, "connected");
	char size[16];

	table_add(t, "%s", blk_get_string(disk, "name"));
	table_add(t, "%s", iol_format_size(blk_get_count(disk, "capacity"), size, sizeof(size)));
	table_add(t, "%s", blk_get_bool(disk, "read_only") ? "ro" : "rw");
	table_add(t, "%u of %u", (unsigned int)blk_get_count(disk, "queues_running"),
		  (unsigned int)blk_get_count(disk, "queues"));
	table_add(t, "%s", connected ? "connected" : "none");
	if (blk_get(disk, "socket"))
		table_add(t, "%s", blk_get_string(disk, "socket"));
	else
		table_add(t, "fd %s", blk_get_string(disk, "fd"));
	table_add(t, "%s", blk_get_string(disk, "file"));
}

static int run(const struct blk_args *a)
{
	struct json_object *result;
	struct table *t;
	size_t i, n;
	int status;

	status = blk_call(a, blk_request("list"), &result);
	if (status)
		return status;
	if (a->json)
		return blk_print_json(result);
	t = table_new("NAME,>SIZE,MODE,>QUEUES,FRONT END,SOCKET,FILE");
	n = json_object_is_type(result, json_type_array) ? json_object_array_length(result) : 0;
	for (i = 0; i < n; i++)
		add_row(t, json_object_array_get_idx(result, i));
	table_print(t);
	table_free(t);
	if (!n)
		printf("no disks\n");
	json_object_put(result);
	return prog_flush();
}

static const struct opt opts[] = { BLK_OPTS, { 0 } };

const struct blk_verb blk_list = {
	.name = "list",
	.line = "show the disks that are served",
	.help = "Usage: iolane blk list [OPTION]...\n"
		"Show the disks of a running iolane-blk: their size, queues that run, whether a "
		"front end\n"
		"is connected, socket and image.\n"
		"\n" BLK_OPTS_HELP,
	.opts = opts,
	.run = run,
};
