/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/clock.h"
#include "base/units.h"
#include "blk.h"
#include "table.h"

#include <inttypes.h>
#include <json-c/json_object_iterator.h>
#include <stdio.h>

/* @seconds: 0 for totals, else what happened since @before, a second. */
static void add_op(struct table *t, struct json_object *op, struct json_object *before,
		   double seconds)
{
	static const char *const percentiles[] = { "mean", "p50", "p99", "p999", "max" };
	struct json_object *lat = field(op, "lat_us");
	char size[16];
	size_t i;

	if (seconds > 0) {
		table_add(t, "%.0f", (double)field_growth(op, before, "requests") / seconds);
		table_add(t, "%.1f",
			  (double)field_growth(op, before, "bytes") / seconds / (1 << 20));
	} else {
		table_add(t, "%" PRIu64, field_count(op, "requests"));
		table_add(t, "%s", iol_format_size(field_count(op, "bytes"), size, sizeof(size)));
	}
	table_add(t, "%" PRIu64, field_count(op, "errors"));
	for (i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++)
		table_add(t, "%.1f", field_number(lat, percentiles[i]));
}

static void add_queue(struct table *t, struct json_object *disk, struct json_object *queue,
		      struct json_object *before, double seconds)
{
	struct json_object *ops = field(queue, "ops"), *ops_before = field(before, "ops");
	struct json_object_iterator it, end;

	if (!json_object_is_type(ops, json_type_object))
		return;
	it = json_object_iter_begin(ops);
	end = json_object_iter_end(ops);
	for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it)) {
		const char *name = json_object_iter_peek_name(&it);

		table_add(t, "%s", field_string(disk, "name"));
		table_add(t, "%s", field_string(queue, "index"));
		table_add(t, "%s", field(queue, "thread") ? field_string(queue, "thread") : "-");
		table_add(t, "%s", name);
		add_op(t, json_object_iter_peek_value(&it), field(ops_before, name), seconds);
	}
}

static void print_disks(struct json_object *now, struct json_object *before, double seconds)
{
	struct json_object *disks = field(now, "disks");
	struct table *t = table_new(seconds > 0 ? "DISK,>QUEUE,>THREAD,OPERATION,>REQ/S,>MIB/S,"
						  ">ERRORS,>MEAN US,>P50,>P99,>P99.9,>MAX"
						: "DISK,>QUEUE,>THREAD,OPERATION,>REQUESTS,>BYTES,"
						  ">ERRORS,>MEAN US,>P50,>P99,>P99.9,>MAX");
	size_t i, j, rows = 0;

	for (i = 0; i < array_length(disks); i++) {
		struct json_object *disk = json_object_array_get_idx(disks, i);
		struct json_object *queues = field(disk, "queues"), *disk_before, *queues_before;

		disk_before =
			array_find(field(before, "disks"), "name", field_string(disk, "name"));
		queues_before = field(disk_before, "queues");
		for (j = 0; j < array_length(queues); j++) {
			struct json_object *queue = json_object_array_get_idx(queues, j);

			add_queue(t, disk, queue,
				  array_find(queues_before, "index", field_string(queue, "index")),
				  seconds);
			rows++;
		}
	}
	table_print(t);
	table_free(t);
	if (!rows)
		printf("no requests yet\n");
}

static void print_threads(struct json_object *now, struct json_object *before, double seconds)
{
	struct json_object *threads = field(now, "threads"), *was = field(before, "threads");
	struct table *t = table_new(seconds > 0 ? ">THREAD,>TURNS/S,>USEFUL,>SLEEPS/S,>SYSCALLS/S"
						: ">THREAD,>TURNS,>USEFUL,>SLEEPS,>SYSCALLS");
	size_t i;

	if (seconds <= 0)
		seconds = 1;
	for (i = 0; i < array_length(threads); i++) {
		struct json_object *o = json_object_array_get_idx(threads, i);
		struct json_object *b = array_find(was, "index", field_string(o, "index"));
		double turns = (double)field_growth(o, b, "turns");
		double useful = (double)field_growth(o, b, "useful");

		table_add(t, "%s", field_string(o, "index"));
		table_add(t, "%.0f", turns / seconds);
		table_add(t, "%.1f %%", turns > 0 ? 100 * useful / turns : 0);
		table_add(t, "%.0f", (double)field_growth(o, b, "sleeps") / seconds);
		table_add(t, "%.0f", (double)field_growth(o, b, "syscalls") / seconds);
	}
	putchar('\n');
	table_print(t);
	table_free(t);
}

static void print_stats(struct json_object *now, struct json_object *before)
{
	uint64_t ns = before ? field_growth(now, before, "time_ns") : 0;
	double seconds = (double)ns / (double)IOL_NS_PER_S;

	print_disks(now, before, seconds);
	print_threads(now, before, seconds);
}

static int run(const struct verb_args *a)
{
	return verb_stats(a, print_stats);
}

static const struct opt opts[] = {
	VERB_OPTS,
	{ "watch", "TIME", VERB_WATCH, .optional = true },
	{ 0 },
};

const struct verb blk_stats = {
	.name = "stats",
	.line = "show requests, bytes, errors and latency",
	.help = "Usage: iolane blk stats [NAME] [OPTION]...\n"
		"Show what each queue of a disk, or of all disks, has done since the disk came: "
		"requests,\n"
		"bytes, errors, and latency in microseconds from taking a request to giving it "
		"back. Then\n"
		"each data thread: turns of its loop, how many found something to do, sleeps, and "
		"system\n"
		"calls for I/O.\n"
		"\n"
		"  --watch[=TIME]   show it every second, or every TIME, with rates, until "
		"interrupted\n" VERB_OPTS_HELP("iolane-blk"),
	.opts = opts,
	.words = { "the NAME of a disk" },
	.run = run,
};
