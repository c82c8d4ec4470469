/* SPDX-License-Identifier: BSD-3-Clause */
#include "blk.h"

#include "base/error.h"
#include "base/units.h"
#include "tools/common/opt.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512
#define BS_MAX (16ull << 20)

static const char *const rw_names[] = {
	[BLK_RANDREAD] = "randread", [BLK_RANDWRITE] = "randwrite", [BLK_RANDRW] = "randrw",
	[BLK_READ] = "read",         [BLK_WRITE] = "write",
};

enum {
	O_SOCKET = 1,
	O_COMPARE,
	O_AGAINST,
	O_FILE,
	O_RW,
	O_READ_PERCENT,
	O_BS,
	O_SIZE,
	O_DEPTH,
	O_QUEUES,
	O_THREADS,
	O_ROUNDS,
	O_RUNTIME,
	O_RAMP,
	O_IDLE,
	O_PACKED,
	O_NO_EVENT_IDX,
	O_NO_INDIRECT,
	O_CALLS,
	O_VERIFY,
	O_JSON,
	O_HISTOGRAM,
	O_RAW,
	O_DIRECT,
	O_PID,
	O_CPU,
	O_BACKEND_CPUS,
	O_HELP,
};

static const struct opt options[] = {
	{ .name = "socket", .arg = "PATH", .id = O_SOCKET, .repeat = true },
	{ .name = "compare", .arg = "CMD", .id = O_COMPARE, .repeat = true },
	{ .name = "against", .arg = "PROGRAM", .id = O_AGAINST },
	{ .name = "blk-file", .arg = "FILE", .id = O_FILE },
	{ .name = "rw", .arg = "MODE", .id = O_RW },
	{ .name = "read-percent", .arg = "N", .id = O_READ_PERCENT },
	{ .name = "bs", .arg = "SIZE", .id = O_BS },
	{ .name = "size", .arg = "SIZE", .id = O_SIZE },
	{ .name = "iodepth", .arg = "N", .id = O_DEPTH },
	{ .name = "queues", .arg = "N", .id = O_QUEUES },
	{ .name = "threads", .arg = "N", .id = O_THREADS },
	{ .name = "rounds", .arg = "N", .id = O_ROUNDS },
	{ .name = "runtime", .arg = "S", .id = O_RUNTIME },
	{ .name = "ramp", .arg = "S", .id = O_RAMP },
	{ .name = "idle", .arg = "S", .id = O_IDLE },
	{ .name = "packed", .id = O_PACKED },
	{ .name = "no-event-idx", .id = O_NO_EVENT_IDX },
	{ .name = "no-indirect", .id = O_NO_INDIRECT },
	{ .name = "calls", .id = O_CALLS },
	{ .name = "verify", .id = O_VERIFY },
	{ .name = "json", .id = O_JSON },
	{ .name = "histogram", .id = O_HISTOGRAM },
	{ .name = "raw", .id = O_RAW },
	{ .name = "direct", .id = O_DIRECT },
	{ .name = "backend-pid", .arg = "PID", .id = O_PID },
	{ .name = "cpu", .arg = "LIST", .id = O_CPU },
	{ .name = "backend-cpus", .arg = "LIST", .id = O_BACKEND_CPUS },
	{ .name = "help", .id = O_HELP },
	{ .name = NULL },
};

const char *blk_rw_name(enum blk_rw rw)
{
	return rw_names[rw];
}

bool blk_writes(const struct blk_options *o)
{
	return o->rw == BLK_RANDWRITE || o->rw == BLK_WRITE ||
	       (o->rw == BLK_RANDRW && o->read_percent < 100);
}

bool blk_reads(const struct blk_options *o)
{
	return o->rw == BLK_RANDREAD || o->rw == BLK_READ ||
	       (o->rw == BLK_RANDRW && o->read_percent > 0);
}

static int parse_rw(const char *text, enum blk_rw *rw)
{
	size_t i;

	for (i = 0; i < sizeof(rw_names) / sizeof(rw_names[0]); i++) {
		if (strcmp(text, rw_names[i]) != 0)
			continue;
		*rw = (enum blk_rw)i;
		return 0;
	}
	return iol_fail(EINVAL,
			"--rw must be randread, randwrite, randrw, read or write, not \"%s\"",
			text);
}

static int keep(const char *what, const char *text, const char **list, unsigned int *n,
		unsigned int max)
{
	if (!*text)
		return iol_fail(EINVAL, "%s must not be empty", what);
	if (*n == max)
		return iol_fail(EINVAL, "%s may be given %u times at most", what, max);
	list[(*n)++] = text;
	return 0;
}

static int take_text(int option, const char *text, struct blk_options *o)
{
	unsigned int pid = 0;
	int rc;

	switch (option) {
	case O_SOCKET:
		return keep("--socket", text, o->sockets, &o->n_sockets, BLK_SOCKETS_MAX);
	case O_COMPARE:
		return keep("--compare", text, o->compare, &o->n_compare, BLK_COMPARE_MAX);
	case O_AGAINST:
		o->against = text;
		return 0;
	case O_FILE:
		o->file = text;
		return 0;
	case O_RW:
		return parse_rw(text, &o->rw);
	case O_BS:
		return iol_parse_size("--bs", text, &o->bs);
	case O_SIZE:
		return iol_parse_size("--size", text, &o->size);
	case O_PID:
		rc = opt_uint("--backend-pid", text, 1, INT32_MAX, &pid);
		o->backend_pid = (pid_t)pid;
		return rc;
	case O_CPU:
		o->have_cpus = true;
		return opt_cpus("--cpu", text, &o->cpus);
	case O_BACKEND_CPUS:
		o->have_backend_cpus = true;
		return opt_cpus("--backend-cpus", text, &o->backend_cpus);
	default:
		return iol_fail(EINVAL, "there is no such option");
	}
}

static int take_number(int option, const char *text, struct blk_options *o)
{
	switch (option) {
	case O_READ_PERCENT:
		return opt_uint("--read-percent", text, 0, 100, &o->read_percent);
	case O_DEPTH:
		return opt_uint("--iodepth", text, 1, BLK_DEPTH_MAX, &o->depth);
	case O_QUEUES:
		return opt_uint("--queues", text, 1, BLK_QUEUES_MAX, &o->queues);
	case O_THREADS:
		return opt_uint("--threads", text, 1, BLK_QUEUES_MAX, &o->threads);
	case O_ROUNDS:
		return opt_uint("--rounds", text, 1, BENCH_ROUNDS_MAX, &o->rounds);
	case O_RUNTIME:
		return opt_seconds("--runtime", text, &o->runtime);
	case O_RAMP:
		return opt_seconds("--ramp", text, &o->ramp);
	case O_IDLE:
		return opt_seconds("--idle", text, &o->idle);
	default:
		return take_text(option, text, o);
	}
}

static bool *flag(int option, struct blk_options *o)
{
	switch (option) {
	case O_PACKED:
		return &o->packed;
	case O_NO_EVENT_IDX:
		return &o->no_event_idx;
	case O_NO_INDIRECT:
		return &o->no_indirect;
	case O_CALLS:
		return &o->calls;
	case O_VERIFY:
		return &o->verify;
	case O_JSON:
		return &o->json;
	case O_HISTOGRAM:
		return &o->histogram;
	case O_RAW:
		return &o->raw;
	case O_DIRECT:
		return &o->direct;
	case O_HELP:
		return &o->help;
	default:
		return NULL;
	}
}

static int check(const struct blk_options *o)
{
	bool compares = o->n_compare || o->against;
	bool null = o->file && !strncmp(o->file, "null:", 5);

	if (o->bs < SECTOR || o->bs % SECTOR || o->bs > BS_MAX)
		return iol_fail(EINVAL, "--bs must be a multiple of 512, at most 16M");
	if (!o->n_sockets && !compares && !o->raw)
		return iol_fail(EINVAL,
				"say which back end to measure: --socket=PATH of a running one, "
				"--compare='CMD' or --against=qemu-storage-daemon to start it");
	if (o->n_sockets && (compares || o->raw))
		return iol_fail(EINVAL,
				"--socket measures a back end that runs; it does not go with "
				"--compare, --against or --raw, which start their own");
	if (o->n_compare && o->against)
		return iol_fail(EINVAL,
				"--against writes the command lines itself; leave out --compare");
	if ((o->against || o->raw) && !o->file)
		return iol_fail(EINVAL, "--against and --raw need --blk-file=FILE");
	if (o->raw && null)
		return iol_fail(EINVAL, "a null disk has no file for --raw to read");
	if (o->n_sockets > 1 && o->runtime > 0)
		return iol_fail(EINVAL, "several --socket are for --idle with --runtime=0 only");
	if (o->runtime == 0 && o->idle == 0)
		return iol_fail(EINVAL,
				"--runtime=0 leaves nothing to measure; add --idle=SECONDS");
	if (o->verify && o->raw)
		return iol_fail(EINVAL, "--verify does not go with --raw");
	if (o->read_percent <= 100 && o->read_percent != 50 && o->rw != BLK_RANDRW)
		return iol_fail(EINVAL, "--read-percent goes with --rw=randrw only");
	return 0;
}

int blk_options_parse(int argc, char **argv, struct blk_options *o)
{
	struct opt_parser parser = { .opts = options, .argc = argc, .argv = argv, .next = 1 };
	const char *value;
	int id, rc;
	bool *f;

	*o = (struct blk_options){ .read_percent = 50,
				   .bs = 4096,
				   .depth = 32,
				   .queues = 1,
				   .threads = 1,
				   .rounds = 9,
				   .runtime = 5,
				   .ramp = 0.5 };
	while ((id = opt_next(&parser, &value)) > 0) {
		if (id == OPT_WORD)
			return iol_fail(EINVAL, "\"%s\" is no option", value);
		f = flag(id, o);
		if (f)
			*f = true;
		rc = f ? 0 : take_number(id, value, o);
		if (rc < 0 || o->help)
			return rc;
	}
	return id < 0 ? id : check(o);
}

struct json_object *blk_options_json(const struct blk_options *o)
{
	struct json_object *j = json_object_new_object();
	char cpus[256];

	json_object_object_add(j, "rw", json_object_new_string(blk_rw_name(o->rw)));
	if (o->rw == BLK_RANDRW)
		json_object_object_add(j, "read_percent",
				       json_object_new_int((int)o->read_percent));
	json_object_object_add(j, "bs", json_object_new_int64((int64_t)o->bs));
	if (o->size)
		json_object_object_add(j, "size", json_object_new_int64((int64_t)o->size));
	json_object_object_add(j, "iodepth", json_object_new_int((int)o->depth));
	json_object_object_add(j, "queues", json_object_new_int((int)o->queues));
	json_object_object_add(j, "runtime", json_object_new_double(o->runtime));
	json_object_object_add(j, "ramp", json_object_new_double(o->ramp));
	if (o->idle > 0)
		json_object_object_add(j, "idle", json_object_new_double(o->idle));
	json_object_object_add(j, "packed", json_object_new_boolean(o->packed));
	json_object_object_add(j, "event_idx", json_object_new_boolean(!o->no_event_idx));
	json_object_object_add(j, "indirect", json_object_new_boolean(!o->no_indirect));
	json_object_object_add(j, "calls", json_object_new_boolean(o->calls));
	json_object_object_add(j, "direct", json_object_new_boolean(o->direct));
	json_object_object_add(j, "verify", json_object_new_boolean(o->verify));
	if (o->have_cpus)
		json_object_object_add(
			j, "load_cpus",
			json_object_new_string(bench_format_cpus(&o->cpus, cpus, sizeof(cpus))));
	if (o->have_backend_cpus)
		json_object_object_add(j, "backend_cpus",
				       json_object_new_string(bench_format_cpus(
					       &o->backend_cpus, cpus, sizeof(cpus))));
	return j;
}
