/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/clock.h"
#include "base/units.h"
#include "net.h"
#include "table.h"

#include <inttypes.h>
#include <json-c/json_object_iterator.h>
#include <stdio.h>

/* Packets and bytes in one direction: totals, or with @seconds a rate since @before. */
static void add_traffic(struct table *t, struct json_object *port, struct json_object *before,
			const char *packets, const char *bytes, double seconds)
{
	char size[16];

	if (seconds > 0) {
		table_add(t, "%.0f", (double)field_growth(port, before, packets) / seconds);
		table_add(t, "%.3f", (double)field_growth(port, before, bytes) * 8e-6 / seconds);
	} else {
		table_add(t, "%" PRIu64, field_count(port, packets));
		table_add(t, "%s", iol_format_size(field_count(port, bytes), size, sizeof(size)));
	}
}

/* "3 no_buffers, 1 runt": what was dropped since @before, by reason. */
static void add_drops(struct table *t, struct json_object *port, struct json_object *before)
{
	struct json_object *drops = field(port, "drops"), *drops_before = field(before, "drops");
	uint64_t missed = field_growth(port, before, "missed");
	struct json_object_iterator it, end;
	char text[512] = "-";
	size_t len = 0;

	if (missed)
		len = (size_t)snprintf(text, sizeof(text), "%" PRIu64 " missed", missed);
	if (!json_object_is_type(drops, json_type_object)) {
		table_add(t, "%s", text);
		return;
	}
	it = json_object_iter_begin(drops);
	end = json_object_iter_end(drops);
	for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it)) {
		const char *name = json_object_iter_peek_name(&it);
		uint64_t n = field_growth(drops, drops_before, name);

		if (n && len < sizeof(text))
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%" PRIu64 " %s",
						len ? ", " : "", n, name);
	}
	table_add(t, "%s", text);
}

static void print_ports(struct json_object *now, struct json_object *before, double seconds)
{
	struct json_object *ports = field(now, "ports");
	struct table *t = table_new(seconds > 0 ? "PORT,>IN/S,>MBIT/S,>OUT/S,>MBIT/S,DROPPED"
						: "PORT,>IN,>BYTES,>OUT,>BYTES,DROPPED");
	size_t i;

	for (i = 0; i < array_length(ports); i++) {
		struct json_object *port = json_object_array_get_idx(ports, i);
		struct json_object *was =
			array_find(field(before, "ports"), "name", field_string(port, "name"));

		table_add(t, "%s", field_string(port, "name"));
		add_traffic(t, port, was, "in_packets", "in_bytes", seconds);
		add_traffic(t, port, was, "out_packets", "out_bytes", seconds);
		add_drops(t, port, was);
	}
	table_print(t);
	table_free(t);
	if (!i)
		printf("no ports\n");
}

static void print_threads(struct json_object *now, struct json_object *before, double seconds)
{
	struct json_object *threads = field(now, "threads"), *was = field(before, "threads");
	struct table *t = table_new(seconds > 0 ? ">THREAD,CPU,>QUEUES,>TURNS/S,>BUSY,>SLEEPS/S"
						: ">THREAD,CPU,>QUEUES,>TURNS,>BUSY,>SLEEPS");
	size_t i;

	if (seconds <= 0)
		seconds = 1;
	for (i = 0; i < array_length(threads); i++) {
		struct json_object *o = json_object_array_get_idx(threads, i);
		struct json_object *b = array_find(was, "index", field_string(o, "index"));
		double turns = (double)field_growth(o, b, "turns");
		double useful = (double)field_growth(o, b, "useful");

		table_add(t, "%s", field_string(o, "index"));
		table_add(t, "%s", field(o, "cpu") ? field_string(o, "cpu") : "any");
		table_add(t, "%s", field_string(o, "queues"));
		table_add(t, "%.0f", turns / seconds);
		table_add(t, "%.1f %%", turns > 0 ? 100 * useful / turns : 0);
		table_add(t, "%.0f", (double)field_growth(o, b, "sleeps") / seconds);
	}
	putchar('\n');
	table_print(t);
	table_free(t);
}

static void print_stats(struct json_object *now, struct json_object *before)
{
	uint64_t ns = before ? field_growth(now, before, "time_ns") : 0;
	double seconds = (double)ns / (double)IOL_NS_PER_S;

	print_ports(now, before, seconds);
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

const struct verb net_stats = {
	.name = "stats",
	.line = "show packets, bytes and drops",
	.help = "Usage: iolane net stats [NAME] [OPTION]...\n"
		"Show what came in by a port, or by all ports, and went out of it since it was "
		"added,\n"
		"and what was dropped and why. Then each poll thread: turns of its loop, how many "
		"of\n"
		"them found something to do, and how often it slept.\n"
		"\n"
		"  --watch[=TIME]   show it every second, or every TIME, with rates, until "
		"interrupted\n" VERB_OPTS_HELP("iolane-net"),
	.opts = opts,
	.words = { "the NAME of a port" },
	.run = run,
};
