/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/clock.h"
#include "base/units.h"
#include "blk.h"
#include "table.h"
#include "tools/common/ctl.h"
#include "tools/common/prog.h"

#include <inttypes.h>
#include <json-c/json_object_iterator.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static size_t length(struct json_object *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

/* The element of an array of objects whose field says the same; NULL when there is none. */
static struct json_object *find_by(struct json_object *array, const char *key, const char *text)
{
	size_t i;

	for (i = 0; i < length(array); i++) {
		struct json_object *o = json_object_array_get_idx(array, i);

		if (!strcmp(blk_get_string(o, key), text))
			return o;
	}
	return NULL;
}

static uint64_t growth(struct json_object *now, struct json_object *before, const char *key)
{
	uint64_t a = blk_get_count(now, key), b = blk_get_count(before, key);

	/* A disk that went and came back starts from zero. */
	return a < b ? a : a - b;
}

/* @seconds: 0 for totals, else what happened since @before, a second. */
static void add_op(struct table *t, struct json_object *op, struct json_object *before,
		   double seconds)
{
	static const char *const percentiles[] = { "mean", "p50", "p99", "p999", "max" };
	struct json_object *lat = blk_get(op, "lat_us");
	char size[16];
	size_t i;

	if (seconds > 0) {
		table_add(t, "%.0f", (double)growth(op, before, "requests") / seconds);
		table_add(t, "%.1f", (double)growth(op, before, "bytes") / seconds / (1 << 20));
	} else {
		table_add(t, "%" PRIu64, blk_get_count(op, "requests"));
		table_add(t, "%s", iol_format_size(blk_get_count(op, "bytes"), size, sizeof(size)));
	}
	table_add(t, "%" PRIu64, blk_get_count(op, "errors"));
	for (i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++)
		table_add(t, "%.1f", blk_get_number(lat, percentiles[i]));
}

static void add_queue(struct table *t, struct json_object *disk, struct json_object *queue,
		      struct json_object *before, double seconds)
{
	struct json_object *ops = blk_get(queue, "ops"), *ops_before = blk_get(before, "ops");
	struct json_object_iterator it, end;

	if (!json_object_is_type(ops, json_type_object))
		return;
	it = json_object_iter_begin(ops);
	end = json_object_iter_end(ops);
	for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it)) {
		const char *name = json_object_iter_peek_name(&it);

		table_add(t, "%s", blk_get_string(disk, "name"));
		table_add(t, "%s", blk_get_string(queue, "index"));
		table_add(t, "%s",
			  blk_get(queue, "thread") ? blk_get_string(queue, "thread") : "-");
		table_add(t, "%s", name);
		add_op(t, json_object_iter_peek_value(&it), blk_get(ops_before, name), seconds);
	}
}

static void print_disks(struct json_object *now, struct json_object *before, double seconds)
{
	struct json_object *disks = blk_get(now, "disks");
	struct table *t = table_new(seconds > 0 ? "DISK,>QUEUE,>THREAD,OPERATION,>REQ/S,>MIB/S,"
						  ">ERRORS,>MEAN US,>P50,>P99,>P99.9,>MAX"
						: "DISK,>QUEUE,>THREAD,OPERATION,>REQUESTS,>BYTES,"
						  ">ERRORS,>MEAN US,>P50,>P99,>P99.9,>MAX");
	size_t i, j, rows = 0;

	for (i = 0; i < length(disks); i++) {
		struct json_object *disk = json_object_array_get_idx(disks, i);
		struct json_object *queues = blk_get(disk, "queues"), *disk_before, *queues_before;

		disk_before =
			find_by(blk_get(before, "disks"), "name", blk_get_string(disk, "name"));
		queues_before = blk_get(disk_before, "queues");
		for (j = 0; j < length(queues); j++) {
			struct json_object *queue = json_object_array_get_idx(queues, j);

			add_queue(t, disk, queue,
				  find_by(queues_before, "index", blk_get_string(queue, "index")),
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
	struct json_object *threads = blk_get(now, "threads"), *was = blk_get(before, "threads");
	struct table *t = table_new(seconds > 0 ? ">THREAD,>TURNS/S,>USEFUL,>SLEEPS/S,>SYSCALLS/S"
						: ">THREAD,>TURNS,>USEFUL,>SLEEPS,>SYSCALLS");
	size_t i;

	if (seconds <= 0)
		seconds = 1;
	for (i = 0; i < length(threads); i++) {
		struct json_object *o = json_object_array_get_idx(threads, i);
		struct json_object *b = find_by(was, "index", blk_get_string(o, "index"));
		double turns = (double)growth(o, b, "turns");
		double useful = (double)growth(o, b, "useful");

		table_add(t, "%s", blk_get_string(o, "index"));
		table_add(t, "%.0f", turns / seconds);
		table_add(t, "%.1f %%", turns > 0 ? 100 * useful / turns : 0);
		table_add(t, "%.0f", (double)growth(o, b, "sleeps") / seconds);
		table_add(t, "%.0f", (double)growth(o, b, "syscalls") / seconds);
	}
	putchar('\n');
	table_print(t);
	table_free(t);
}

static void print_stats(struct json_object *now, struct json_object *before)
{
	uint64_t ns = before ? growth(now, before, "time_ns") : 0;
	double seconds = (double)ns / (double)IOL_NS_PER_S;

	print_disks(now, before, seconds);
	print_threads(now, before, seconds);
}

static int ask(const struct blk_args *a, struct json_object **result)
{
	struct json_object *request = blk_request("stats");

	if (a->words[0])
		ctl_add_string(request, "name", a->words[0]);
	return blk_call(a, request, result);
}

static int print_line(struct json_object *result)
{
	printf("%s\n", json_object_to_json_string_ext(result, JSON_C_TO_STRING_PLAIN));
	return prog_flush();
}

/* Until it is interrupted, or iolane-blk ends. */
static int watch(const struct blk_args *a)
{
	struct timespec pause = { a->watch_ms / 1000, a->watch_ms % 1000 * (long)IOL_NS_PER_MS };
	struct json_object *now, *before = NULL;
	int status;

	for (;;) {
		status = ask(a, &now);
		if (status)
			break;
		if (a->json) {
			status = print_line(now);
		} else if (before) {
			if (isatty(STDOUT_FILENO))
				printf("\033[H\033[2J");
			print_stats(now, before);
			if (!isatty(STDOUT_FILENO))
				putchar('\n');
			status = prog_flush();
		}
		json_object_put(before);
		before = now;
		if (status)
			break;
		nanosleep(&pause, NULL);
	}
	json_object_put(before);
	return status;
}

static int run(const struct blk_args *a)
{
	struct json_object *result;
	int status;

	if (a->watch_ms)
		return watch(a);
	status = ask(a, &result);
	if (status)
		return status;
	if (a->json)
		return blk_print_json(result);
	print_stats(result, NULL);
	json_object_put(result);
	return prog_flush();
}

static const struct opt opts[] = {
	BLK_OPTS,
	{ "watch", "TIME", BLK_WATCH, .optional = true },
	{ 0 },
};

const struct blk_verb blk_stats = {
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
		"interrupted\n" BLK_OPTS_HELP,
	.opts = opts,
	.words = { "the NAME of a disk" },
	.run = run,
};
