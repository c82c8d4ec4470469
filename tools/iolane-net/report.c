/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"

#include <inttypes.h>
#include <stdio.h>

void report_start(struct report *r, unsigned int every_ms)
{
	r->every_ms = every_ms;
	r->last_ns = iol_now();
}

int report_timeout(const struct report *r)
{
	uint64_t due = r->last_ns + r->every_ms * IOL_NS_PER_MS, now = iol_now();

	if (!r->every_ms)
		return -1;
	return due <= now ? 0 : (int)((due - now) / IOL_NS_PER_MS) + 1;
}

/* ", dropped 3 no_buffers, 1 runt", for the caller to free; NULL for none. */
static char *format_drops(const struct iol_net_port_stats *now,
			  const struct iol_net_port_stats *before)
{
	char *text = NULL;
	unsigned int i;
	size_t len;
	FILE *out;

	out = open_memstream(&text, &len);
	if (!out)
		return NULL;
	for (i = 0; i < IOL_NET_DROP_REASONS; i++) {
		uint64_t n = now->drops[i] - before->drops[i];

		if (n)
			fprintf(out, "%s%" PRIu64 " %s", ftell(out) ? ", " : "; dropped ", n,
				iol_net_drop_name((enum iol_net_drop)i));
	}
	if (now->missed != before->missed)
		fprintf(out, "%s%" PRIu64 " missed", ftell(out) ? ", " : "; dropped ",
			now->missed - before->missed);
	fclose(out);
	return text;
}

static void report_port(struct port *p, double seconds)
{
	struct iol_net_port_stats now, *before = &p->reported;
	_cleanup_free_ char *drops = NULL;

	iol_net_port_stats(p->port, &now);
	drops = format_drops(&now, before);
	iol_log(IOL_LOG_INFO, "%s: in %.0f packets/s %.3f Mbit/s, out %.0f packets/s %.3f Mbit/s%s",
		p->opts.name, (double)(now.in_packets - before->in_packets) / seconds,
		(double)(now.in_bytes - before->in_bytes) * 8e-6 / seconds,
		(double)(now.out_packets - before->out_packets) / seconds,
		(double)(now.out_bytes - before->out_bytes) * 8e-6 / seconds, drops ? drops : "");
	*before = now;
}

void report_turn(struct report *r, struct ports *ports)
{
	uint64_t now = iol_now();
	struct port *p;

	if (report_timeout(r) != 0)
		return;
	for (p = ports->first; p; p = p->next)
		report_port(p, (double)(now - r->last_ns) / (double)IOL_NS_PER_S);
	r->last_ns = now;
}
