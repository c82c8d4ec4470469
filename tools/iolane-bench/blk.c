/* SPDX-License-Identifier: BSD-3-Clause */
/* iolane-bench blk: measure a disk back end, or several beside each other. */
#include "blk.h"

#include "base/error.h"
#include "base/own.h"
#include "base/units.h"
#include "tools/common/prog.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const sockets[] = { "socket", NULL };
static const struct bench_words words = { .rate_key = "iops", .rate_name = "IOPS" };

static const char help[] =
	"Usage: iolane-bench blk --socket=PATH [OPTION]...\n"
	"       iolane-bench blk --compare='CMD A' --compare='CMD B' [OPTION]...\n"
	"       iolane-bench blk --against=qemu-storage-daemon --blk-file=FILE [OPTION]...\n"
	"\n"
	"Measures a vhost-user-blk back end: IOPS, bandwidth, latency, CPU.\n"
	"\n"
	"  --socket=PATH        a back end that runs (repeat it for more idle disks)\n"
	"  --compare=CMD        start CMD, where {socket} stands for the socket's path\n"
	"  --against=PROGRAM    compare iolane-blk with qemu-storage-daemon on --blk-file\n"
	"  --blk-file=FILE      image, block device or null:SIZE, for --against and --raw\n"
	"  --raw                also measure the file itself, through io_uring in this process\n"
	"  --rounds=N           rounds of a comparison (9)\n"
	"  --threads=N          data threads of iolane-blk, for --against (1)\n"
	"  --direct             O_DIRECT, for --against and --raw\n"
	"  --rw=MODE            randread (default), randwrite, randrw, read, write\n"
	"  --read-percent=N     reads among randrw's requests (50)\n"
	"  --bs=SIZE            bytes a request (4k)\n"
	"  --iodepth=N          requests in flight on each queue (32)\n"
	"  --queues=N           queues (1)\n"
	"  --size=SIZE          use only the first SIZE bytes of the disk (all; --verify: 256M)\n"
	"  --runtime=S --ramp=S seconds counted (5), and before that not counted (0.5)\n"
	"  --idle=S             first watch the started device do nothing: CPU and memory\n"
	"  --packed             packed rings\n"
	"  --no-event-idx, --no-indirect  do without these features of the ring\n"
	"  --calls              sleep until the device calls, as a guest's driver does (it polls)\n"
	"  --verify             stamp every write, check every read; exit 1 on a mismatch\n"
	"  --cpu=LIST           CPUs of the load, a thread on each (a comparison: the last CPU)\n"
	"  --backend-cpus=LIST  CPUs of started back ends and of --raw (the first CPU)\n"
	"  --backend-pid=PID    whose CPU time to count (who listens on the socket)\n"
	"  --histogram          draw the latencies\n"
	"  --json               print one JSON object instead\n"
	"\n"
	"Exit status: 0 measured, 1 failed, 2 wrong usage.\n";

static int run_entrant(void *ctx, struct bench_backend *backend, struct bench_result *r)
{
	const struct blk_options *o = ctx;
	_cleanup_(blk_disk_close) struct blk_disk *disk = NULL;
	int rc;

	rc = blk_disk_open(o, backend->socket[0], iol_take_fd(&backend->fd), &disk);
	if (!rc && o->idle > 0)
		rc = blk_disk_idle(disk, o->idle, backend->pid, r);
	if (!rc && o->runtime > 0)
		rc = blk_disk_load(disk, backend->pid, r);
	return rc;
}

static int run_raw(void *ctx, struct bench_backend *backend, struct bench_result *r)
{
	return blk_raw_run(ctx, r);
}

static void show_run(const struct bench_comparison *c, unsigned int round, unsigned int entrant)
{
	prog_progress("round %u of %u: %s %.0f IOPS", round + 1, c->rounds,
		      c->entrant[entrant].name, bench_rate(&c->results[round * c->n + entrant]));
}

static struct json_object *describe(const struct blk_options *o, char **argv, const char *cached,
				    struct json_object *probes, const struct bench_comparison *c)
{
	struct json_object *manifest = bench_manifest(argv);
	struct json_object *commands = json_object_new_object(), *image = NULL;
	unsigned int i;

	json_object_object_add(manifest, "settings", blk_options_json(o));
	if (o->file)
		image = bench_manifest_image(o->file);
	if (image) {
		if (cached)
			json_object_object_add(image, "page_cache", json_object_new_string(cached));
		json_object_object_add(manifest, "image", image);
	}
	for (i = 0; c && i < c->n; i++)
		json_object_object_add(commands, c->entrant[i].name,
				       json_object_new_string(c->entrant[i].cmd
								      ? c->entrant[i].cmd
								      : "in this process"));
	json_object_object_add(manifest, "commands", commands);
	if (probes)
		json_object_object_add(manifest, "aio_probes", json_object_get(probes));
	return manifest;
}

static int compare(struct blk_options *o, char **argv)
{
	struct bench_comparison c = { .rounds = o->rounds,
				      .sockets = sockets,
				      .backend_cpus = &o->backend_cpus,
				      .done = show_run };
	struct json_object *probes = NULL;
	unsigned int i;
	const char *cached;
	int rc;

	cached = blk_warm_up(o);
	rc = o->against ? blk_against(o, &c, run_entrant, &probes)
			: bench_name_entrants(o->compare, o->n_compare, &c);
	for (i = 0; i < c.n; i++) {
		c.entrant[i].run = run_entrant;
		c.entrant[i].ctx = o;
	}
	if (o->raw) {
		c.entrant[c.n] =
			(struct bench_entrant){ .name = "raw io_uring", .run = run_raw, .ctx = o };
		c.n++;
	}
	if (!rc)
		rc = bench_compare(&c);
	prog_progress(NULL);
	if (!rc && o->json) {
		bench_print_json(
			bench_comparison_json(&words, &c, describe(o, argv, cached, probes, &c)));
	} else if (!rc) {
		if (probes)
			printf("qemu-storage-daemon's AIO modes: %s\n",
			       json_object_to_json_string_ext(probes, JSON_C_TO_STRING_PLAIN));
		bench_print_comparison(&words, &c);
	}
	json_object_put(probes);
	bench_comparison_free(&c);
	return rc;
}

static int print_single(const struct blk_options *o, char **argv, const struct bench_result *r)
{
	char bs[16];

	if (!o->json) {
		printf("%s %s, depth %u, %u %s %s, %.1f s\n", blk_rw_name(o->rw),
		       iol_format_size(o->bs, bs, sizeof(bs)), o->depth, o->queues,
		       o->packed ? "packed" : "split", o->queues > 1 ? "queues" : "queue",
		       r->seconds);
		bench_print_run(&words, r);
		if (o->histogram && r->lat.count)
			bench_print_histogram(&r->lat);
		return 0;
	}
	bench_print_json(
		bench_single_json(&words, o->sockets[0], r, describe(o, argv, NULL, NULL, NULL)));
	return 0;
}

static int single(const struct blk_options *o, char **argv)
{
	struct blk_disk *disks[BLK_SOCKETS_MAX] = { NULL };
	struct bench_result *r = malloc(sizeof(*r));
	pid_t pid = o->backend_pid;
	unsigned int i;
	int rc = 0;

	if (!r)
		return iol_fail(ENOMEM, "out of memory for the result");
	bench_result_init(r);
	for (i = 0; i < o->n_sockets && !rc; i++)
		rc = blk_disk_open(o, o->sockets[i], -1, &disks[i]);
	if (!rc && pid <= 0)
		pid = blk_disk_peer(disks[0]);
	if (!rc && o->idle > 0)
		rc = blk_disk_idle(disks[0], o->idle, pid, r);
	if (!rc && o->runtime > 0)
		rc = blk_disk_load(disks[0], pid, r);
	for (i = 0; i < o->n_sockets; i++)
		blk_disk_close(&disks[i]);
	if (!rc)
		rc = print_single(o, argv, r);
	free(r);
	return rc;
}

/* What the bench starts itself must not share a CPU with the load. */
static void choose_cpus(struct blk_options *o)
{
	cpu_set_t load, backend;

	bench_default_cpus(&load, &backend);
	if (!o->have_cpus)
		o->cpus = load;
	if (!o->have_backend_cpus)
		o->backend_cpus = backend;
	o->have_cpus = o->have_backend_cpus = true;
}

int bench_blk(int argc, char **argv)
{
	_cleanup_free_ struct blk_options *o = calloc(1, sizeof(*o));
	int rc;

	if (!o) {
		iol_fail(ENOMEM, "out of memory for options");
		return prog_fail();
	}
	rc = blk_options_parse(argc, argv, o);
	if (rc < 0)
		return prog_usage();
	if (o->help)
		return prog_print(help);
	if (!o->n_sockets)
		choose_cpus(o);
	/* The main thread too stays off the back end's CPUs. */
	if (o->have_cpus)
		sched_setaffinity(0, sizeof(o->cpus), &o->cpus);
	rc = o->n_sockets ? single(o, argv) : compare(o, argv);
	if (rc < 0) {
		prog_progress(NULL);
		return prog_fail();
	}
	return prog_flush();
}
