/* SPDX-License-Identifier: BSD-3-Clause */
#include "verbs.h"

#include "base/clock.h"

static void add_count(struct json_object *o, const char *key, uint64_t n)
{
	json_object_object_add(o, key, json_object_new_uint64(n));
}

static struct json_object *report_port(const struct port *p)
{
	struct json_object *o = json_object_new_object(), *drops = json_object_new_object();
	struct iol_net_port_stats s;
	unsigned int i;

	iol_net_port_stats(p->port, &s);
	json_object_object_add(o, "name", json_object_new_string(p->opts.name));
	add_count(o, "in_packets", s.in_packets);
	add_count(o, "in_bytes", s.in_bytes);
	add_count(o, "in_multicast", s.in_multicast);
	add_count(o, "out_packets", s.out_packets);
	add_count(o, "out_bytes", s.out_bytes);
	add_count(o, "checksums", s.checksums);
	add_count(o, "segmented", s.segmented);
	add_count(o, "missed", s.missed);
	for (i = 0; i < IOL_NET_DROP_REASONS; i++)
		add_count(drops, iol_net_drop_name((enum iol_net_drop)i), s.drops[i]);
	json_object_object_add(o, "drops", drops);
	return o;
}

static struct json_object *report_thread(unsigned int index, const struct iol_net_thread_stats *s)
{
	struct json_object *o = json_object_new_object();

	add_count(o, "index", index);
	json_object_object_add(o, "cpu", s->cpu < 0 ? NULL : json_object_new_int(s->cpu));
	add_count(o, "queues", s->queues);
	add_count(o, "turns", s->turns);
	add_count(o, "useful", s->useful);
	json_object_object_add(
		o, "useful_ratio",
		json_object_new_double(s->turns ? (double)s->useful / (double)s->turns : 0));
	add_count(o, "sleeps", s->sleeps);
	return o;
}

struct json_object *stats_report(const struct ports *ports, const struct port *only)
{
	struct json_object *o = json_object_new_object();
	struct json_object *list = json_object_new_array(), *threads = json_object_new_array();
	struct iol_net_thread_stats stats;
	const struct port *p;
	unsigned int i;

	for (p = ports->first; p; p = p->next) {
		if (!only || p == only)
			json_object_array_add(list, report_port(p));
	}
	for (i = 0; !iol_net_thread_stats(ports->net, i, &stats); i++)
		json_object_array_add(threads, report_thread(i, &stats));
	add_count(o, "time_ns", iol_now());
	json_object_object_add(o, "ports", list);
	json_object_object_add(o, "threads", threads);
	return o;
}
