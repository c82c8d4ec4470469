/* SPDX-License-Identifier: BSD-3-Clause */
/* iolane-bench net: measure a NIC back end. */
#include "net.h"

#include "base/error.h"
#include "base/own.h"
#include "tools/common/prog.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct bench_words words = { .rate_key = "pps",
					  .rate_name = "packets/s",
					  .packets = true };

static const char help[] =
	"Usage: iolane-bench net --tx=PATH --rx=PATH [OPTION]...\n"
	"\n"
	"Measures a vhost-user-net back end: sends at one of its ports, receives at another, and\n"
	"counts packets, bits, losses, latency and CPU. The back end listens on both sockets and\n"
	"forwards from the one to the other. One thread does both ends.\n"
	"\n"
	"  --tx=PATH, --rx=PATH  sockets of the two ports\n"
	"  --size=BYTES|imix    of a frame, without checksum, 64 to 9000 (64); imix: 64, 590, "
	"1514\n"
	"  --burst=N            packets sent and received at once (32)\n"
	"  --rate=N|max         packets a second, such as 500k or 1.5M (max)\n"
	"  --packed             packed rings\n"
	"  --mrg                a frame may lie in several receive buffers\n"
	"  --no-event-idx       do without this feature of the ring\n"
	"  --runtime=S --ramp=S seconds counted (5), and before that not counted (0.5)\n"
	"  --cpu=N              CPU of the load\n"
	"  --backend-pid=PID    whose CPU time to count (who listens on the socket)\n"
	"  --histogram          draw the latencies\n"
	"  --json               print one JSON object instead\n"
	"\n"
	"Exit status: 0 measured, 1 failed, 2 wrong usage.\n";

static void print(const struct net_options *o, char **argv, const struct bench_result *r)
{
	struct json_object *all, *runs, *manifest;
	char size[16] = "imix";

	if (o->size)
		snprintf(size, sizeof(size), "%u bytes", o->size);
	if (!o->json) {
		printf("%s, burst %u, %s queues, %.1f s\n", size, o->burst,
		       o->packed ? "packed" : "split", r->seconds);
		bench_print_run(&words, r);
		if (o->histogram && r->lat.count)
			bench_print_histogram(&r->lat);
		return;
	}
	all = json_object_new_object();
	runs = json_object_new_array();
	manifest = bench_manifest(argv);
	json_object_object_add(manifest, "settings", net_options_json(o));
	json_object_array_add(runs, bench_run_json(&words, o->tx, 0, r));
	json_object_object_add(all, "manifest", manifest);
	json_object_object_add(all, "runs", runs);
	bench_print_json(all);
}

static int measure(const struct net_options *o, struct bench_result *r)
{
	struct net_port *tx = NULL, *rx = NULL;
	int rc;

	bench_result_init(r);
	rc = net_port_open(o, o->tx, 1, &tx);
	if (!rc)
		rc = net_port_open(o, o->rx, 2, &rx);
	if (!rc)
		rc = net_run(o, tx, rx,
			     o->backend_pid ? o->backend_pid
					    : bench_proc_peer(iol_frontend_fd(tx->fe)),
			     r);
	net_port_close(&tx);
	net_port_close(&rx);
	return rc;
}

int bench_net(int argc, char **argv)
{
	_cleanup_free_ struct bench_result *r = malloc(sizeof(*r));
	struct net_options o;
	cpu_set_t cpu;

	if (!r) {
		iol_fail(ENOMEM, "out of memory for the result");
		return prog_fail();
	}
	if (net_options_parse(argc, argv, &o) < 0)
		return prog_usage();
	if (o.help)
		return prog_print(help);
	CPU_ZERO(&cpu);
	CPU_SET(o.cpu, &cpu);
	if (o.have_cpu && sched_setaffinity(0, sizeof(cpu), &cpu) < 0) {
		iol_fail(errno, "cannot run on CPU %d: %s", o.cpu, strerror(errno));
		return prog_fail();
	}
	if (measure(&o, r) < 0) {
		bench_progress(NULL);
		return prog_fail();
	}
	print(&o, argv, r);
	return prog_flush();
}
