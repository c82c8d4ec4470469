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

static const char *const both_sockets[] = { "tx", "rx", NULL };
static const char *const tx_socket[] = { "tx", NULL };
static const char *const rx_socket[] = { "rx", NULL };
static const struct bench_words words = { .rate_key = "pps",
					  .rate_name = "packets/s",
					  .packets = true };

static const char help[] =
	"Usage: iolane-bench net --tx=PATH --rx=PATH [OPTION]...\n"
	"       iolane-bench net --against=testpmd [OPTION]...\n"
	"       iolane-bench net --compare='CMD A' --compare='CMD B' [OPTION]...\n"
	"       iolane-bench net --load-only [OPTION]...\n"
	"\n"
	"Measures a vhost-user-net back end: sends at one of its ports, receives at another, and\n"
	"counts packets, bits, losses, latency and CPU. The back end listens on both sockets and\n"
	"forwards from the one to the other. One thread does both ends.\n"
	"\n"
	"  --tx=PATH, --rx=PATH sockets of the two ports; with one of them only, count what the\n"
	"                       back end takes, or what comes from it\n"
	"  --against=testpmd    start iolane-net and dpdk-testpmd in turns\n"
	"  --compare=CMD        start CMD, where {tx} and {rx} stand for the sockets' paths\n"
	"  --to-null            of those started: from a guest to an uplink that takes all\n"
	"  --from-null          of those started: to a guest, from an uplink that always gives\n"
	"  --load-only          no back end: how fast the load itself is\n"
	"  --rounds=N           rounds of a comparison (9)\n"
	"  --size=BYTES|imix    of a frame, without checksum, 64 to 9000 (64); imix: 64, 590, "
	"1514\n"
	"  --queues=N           queue pairs of each port, 1 to 64 (1)\n"
	"  --ring=N             descriptors of a ring (1024)\n"
	"  --burst=N            packets sent and received at once (32)\n"
	"  --rate=N|max         packets a second, such as 500k or 1.5M (max)\n"
	"  --zero-loss          find the highest rate at which nothing is lost (RFC 2544)\n"
	"  --max-loss=PERCENT   the same, but so much may be\n"
	"  --packed             packed rings\n"
	"  --mrg                a frame may lie in several receive buffers\n"
	"  --no-event-idx       do without this feature of the ring\n"
	"  --runtime=S --ramp=S seconds counted (5), and before that not counted (0.5)\n"
	"  --wait=S             seconds in which a first packet moves, or none does (15)\n"
	"  --cpu=N              CPU of the load (where back ends are started: the last one)\n"
	"  --backend-cpus=LIST  CPUs of started back ends (the first one)\n"
	"  --backend-pid=PID    whose CPU time to count (who listens on the socket)\n"
	"  --histogram          draw the latencies\n"
	"  --json               print one JSON object instead\n"
	"\n"
	"Exit status: 0 measured, 1 failed, 2 wrong usage.\n";

static struct json_object *describe(const struct net_options *o, char **argv)
{
	struct json_object *manifest = bench_manifest(argv);

	json_object_object_add(manifest, "settings", net_options_json(o));
	return manifest;
}

/* @tx_path and @rx_path: NULL where nothing is sent, or received. @fd is of the first. */
static int run(const struct net_options *o, const char *tx_path, const char *rx_path, int fd,
	       pid_t pid, struct bench_result *r)
{
	struct net_port *tx = NULL, *rx = NULL, *any;
	int rc = 0;

	if (tx_path)
		rc = net_port_open(o, tx_path, fd, 1, &tx);
	if (!rc && rx_path)
		rc = net_port_open(o, rx_path, tx_path ? -1 : fd, 2, &rx);
	any = tx ? tx : rx;
	if (!rc && any && pid <= 0)
		pid = bench_proc_peer(iol_frontend_fd(any->fe));
	if (!rc)
		rc = o->search ? net_search(o, tx, rx, pid, r) : net_run(o, tx, rx, pid, r);
	net_port_close(&tx);
	net_port_close(&rx);
	return rc;
}

static int run_load_only(const struct net_options *o, struct bench_result *r)
{
	struct net_port *tx = NULL, *rx = NULL;
	struct net_mirror *mirror = NULL;
	int rc;

	rc = net_port_open(o, NULL, -1, 1, &tx);
	if (!rc)
		rc = net_port_open(o, NULL, -1, 2, &rx);
	if (!rc)
		rc = net_mirror_start(o, tx, rx, &mirror);
	if (!rc)
		rc = o->search ? net_search(o, tx, rx, -1, r) : net_run(o, tx, rx, -1, r);
	net_mirror_stop(&mirror);
	net_port_close(&tx);
	net_port_close(&rx);
	return rc;
}

static int run_entrant(void *ctx, struct bench_backend *b, struct bench_result *r)
{
	const struct net_options *o = ctx;
	const char *tx = net_sends(o) ? b->socket[0] : NULL;
	const char *rx = net_receives(o) ? b->socket[b->n - 1] : NULL;

	return run(o, tx, rx, iol_take_fd(&b->fd), b->pid, r);
}

static void show_run(const struct bench_comparison *c, unsigned int round, unsigned int entrant)
{
	prog_progress("round %u of %u: %s %.0f packets/s", round + 1, c->rounds,
		      c->entrant[entrant].name, bench_rate(&c->results[round * c->n + entrant]));
}

static int compare(struct net_options *o, char **argv)
{
	struct bench_comparison c = { .rounds = o->rounds,
				      .sockets = o->to_null     ? tx_socket
						 : o->from_null ? rx_socket
								: both_sockets,
				      .backend_cpus = &o->backend_cpus,
				      .done = show_run };
	struct json_object *manifest, *commands;
	unsigned int i;
	int rc;

	rc = o->against ? net_against(o, &c) : bench_name_entrants(o->compare, o->n_compare, &c);
	for (i = 0; i < c.n; i++) {
		c.entrant[i].run = run_entrant;
		c.entrant[i].ctx = o;
	}
	if (!rc)
		rc = bench_compare(&c);
	prog_progress(NULL);
	if (!rc && o->json) {
		manifest = describe(o, argv);
		commands = json_object_new_object();
		for (i = 0; i < c.n; i++)
			json_object_object_add(commands, c.entrant[i].name,
					       json_object_new_string(c.entrant[i].cmd));
		json_object_object_add(manifest, "commands", commands);
		bench_print_json(bench_comparison_json(&words, &c, manifest));
	} else if (!rc) {
		bench_print_comparison(&words, &c);
	}
	bench_comparison_free(&c);
	return rc;
}

static void print_single(const struct net_options *o, char **argv, const struct bench_result *r)
{
	char size[16] = "imix";

	if (o->size)
		snprintf(size, sizeof(size), "%u bytes", o->size);
	if (!o->json) {
		printf("%s, burst %u, %u %s %s, %.1f s", size, o->burst, o->queues,
		       o->packed ? "packed" : "split", o->queues > 1 ? "pairs" : "pair",
		       r->seconds);
		if (o->search)
			printf(", the highest rate that loses at most %.4g %%", o->max_loss * 100);
		printf("\n");
		bench_print_run(&words, r);
		if (o->histogram && r->lat.count)
			bench_print_histogram(&r->lat);
		return;
	}
	bench_print_json(bench_single_json(&words,
					   o->load_only ? "the load only"
					   : o->tx      ? o->tx
							: o->rx,
					   r, describe(o, argv)));
}

static int single(const struct net_options *o, char **argv)
{
	_cleanup_free_ struct bench_result *r = malloc(sizeof(*r));
	int rc;

	if (!r)
		return iol_fail(ENOMEM, "out of memory for the result");
	bench_result_init(r);
	rc = o->load_only ? run_load_only(o, r) : run(o, o->tx, o->rx, -1, o->backend_pid, r);
	if (!rc)
		print_single(o, argv, r);
	return rc;
}

/* What the bench starts itself must not share a CPU with the load. */
static void choose_cpus(struct net_options *o)
{
	cpu_set_t load, backend;

	bench_default_cpus(&load, &backend);
	if (!o->have_cpu)
		o->cpu = bench_cpu_nth(&load, 0);
	if (!o->have_backend_cpus)
		o->backend_cpus = backend;
	o->have_cpu = o->have_backend_cpus = true;
}

int bench_net(int argc, char **argv)
{
	struct net_options o;
	cpu_set_t cpu;

	if (net_options_parse(argc, argv, &o) < 0)
		return prog_usage();
	if (o.help)
		return prog_print(help);
	if (!o.tx && !o.rx)
		choose_cpus(&o);
	CPU_ZERO(&cpu);
	CPU_SET(o.cpu, &cpu);
	if (o.have_cpu && sched_setaffinity(0, sizeof(cpu), &cpu) < 0) {
		iol_fail(errno, "cannot run on CPU %d: %s", o.cpu, strerror(errno));
		return prog_fail();
	}
	if ((o.n_compare || o.against ? compare(&o, argv) : single(&o, argv)) < 0) {
		prog_progress(NULL);
		return prog_fail();
	}
	return prog_flush();
}
