/* SPDX-License-Identifier: BSD-3-Clause */
#include "verbs.h"

#include "base/clock.h"

static const char *const op_names[IOL_BLK_OPS] = {
	[IOL_BLK_OP_READ] = "read",
	[IOL_BLK_OP_WRITE] = "write",
	[IOL_BLK_OP_FLUSH] = "flush",
	[IOL_BLK_OP_DISCARD] = "discard",
	[IOL_BLK_OP_WRITE_ZEROES] = "write_zeroes",
	[IOL_BLK_OP_SECURE_ERASE] = "secure_erase",
	[IOL_BLK_OP_OTHER] = "other",
};

static void add_us(struct json_object *o, const char *key, uint64_t ns)
{
	json_object_object_add(o, key, json_object_new_double((double)ns / (double)IOL_NS_PER_US));
}

static void add_count(struct json_object *o, const char *key, uint64_t n)
{
	json_object_object_add(o, key, json_object_new_uint64(n));
}

static struct json_object *report_op(const struct iol_blk_op_stats *s)
{
	struct json_object *o = json_object_new_object(), *lat = json_object_new_object();

	add_count(o, "requests", s->requests);
	add_count(o, "bytes", s->bytes);
	add_count(o, "errors", s->errors);
	add_us(lat, "mean", s->lat_mean_ns);
	add_us(lat, "p50", s->lat_p50_ns);
	add_us(lat, "p99", s->lat_p99_ns);
	add_us(lat, "p999", s->lat_p999_ns);
	add_us(lat, "max", s->lat_max_ns);
	json_object_object_add(o, "lat_us", lat);
	return o;
}

/* A queue that nobody has used says nothing: NULL. */
static struct json_object *report_queue(const struct disk *d, unsigned int index)
{
	struct iol_blk_op_stats stats[IOL_BLK_OPS];
	struct json_object *o, *ops;
	int thread = iol_disk_queue_thread(d->disk, index);
	unsigned int i, used = 0;

	if (iol_disk_queue_stats(d->disk, index, stats) < 0)
		return NULL;
	for (i = 0; i < IOL_BLK_OPS; i++)
		used += stats[i].requests != 0;
	if (thread < 0 && !used)
		return NULL;

	o = json_object_new_object();
	ops = json_object_new_object();
	add_count(o, "index", index);
	json_object_object_add(o, "thread", thread < 0 ? NULL : json_object_new_int(thread));
	for (i = 0; i < IOL_BLK_OPS; i++) {
		if (stats[i].requests)
			json_object_object_add(ops, op_names[i], report_op(&stats[i]));
	}
	json_object_object_add(o, "ops", ops);
	return o;
}

static struct json_object *report_disk(const struct disk *d)
{
	struct json_object *o = json_object_new_object(), *queues = json_object_new_array();
	unsigned int i;

	json_object_object_add(o, "name", json_object_new_string(d->opts.name));
	for (i = 0; i < d->opts.queues; i++) {
		struct json_object *queue = report_queue(d, i);

		if (queue)
			json_object_array_add(queues, queue);
	}
	json_object_object_add(o, "queues", queues);
	return o;
}

static struct json_object *report_thread(unsigned int index, const struct iol_blk_thread_stats *s)
{
	struct json_object *o = json_object_new_object();

	add_count(o, "index", index);
	add_count(o, "turns", s->turns);
	add_count(o, "useful", s->useful);
	json_object_object_add(
		o, "useful_ratio",
		json_object_new_double(s->turns ? (double)s->useful / (double)s->turns : 0));
	add_count(o, "sleeps", s->sleeps);
	add_count(o, "syscalls", s->syscalls);
	return o;
}

struct json_object *stats_report(const struct disks *disks, const struct disk *only)
{
	struct json_object *o = json_object_new_object();
	struct json_object *list = json_object_new_array(), *threads = json_object_new_array();
	struct iol_blk_thread_stats stats;
	const struct disk *d;
	unsigned int i;

	for (d = disks->first; d; d = d->next) {
		if (!only || d == only)
			json_object_array_add(list, report_disk(d));
	}
	for (i = 0; !iol_blk_threads_stats(disks->threads, i, &stats); i++)
		json_object_array_add(threads, report_thread(i, &stats));
	json_object_object_add(o, "time_ns", json_object_new_uint64(iol_now()));
	json_object_object_add(o, "engine",
			       json_object_new_string(iol_blk_threads_engine(disks->threads)));
	json_object_object_add(o, "disks", list);
	json_object_object_add(o, "threads", threads);
	return o;
}
