/* SPDX-License-Identifier: BSD-3-Clause */
/* Our disk back end beside another one, each with the command line that suits it best. */
#include "blk.h"

#include "base/error.h"
#include "base/own.h"
#include "base/units.h"
#include "tools/common/prog.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define QSD           "qemu-storage-daemon"
#define PROBE_SECONDS 0.5
#define PROBE_ROUNDS  3
#define PROBE_RAMP    0.2

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int our_command(const struct blk_options *o, char **cmd)
{
	char ours[PATH_MAX + 32], program[PATH_MAX + 64], file[PATH_MAX];
	int rc;

	bench_find_ours("iolane-blk", ours, sizeof(ours));
	rc = bench_quote("the program", ours, program, sizeof(program));
	if (!rc)
		rc = bench_quote("--blk-file", o->file, file, sizeof(file));
	if (rc < 0)
		return rc;
	if (asprintf(cmd, "%s --socket-path={socket} --blk-file=%s --num-queues=%u --threads=%u%s",
		     program, file, o->queues, o->threads, o->direct ? " --direct" : "") < 0)
		return iol_fail(ENOMEM, "out of memory for a command line");
	return 0;
}

/* The storage daemon's node over the file; a comma in a name would end its option. */
static int qsd_node(const struct blk_options *o, const char *aio, char *node, size_t len)
{
	char file[PATH_MAX];
	struct stat st;
	uint64_t size;
	int rc;

	if (!strncmp(o->file, "null:", 5)) {
		rc = iol_parse_size("the size of --blk-file=null:", o->file + 5, &size);
		snprintf(node, len,
			 "driver=null-co,node-name=disk,size=%" PRIu64 ",read-zeroes=off",
			 rc < 0 ? 0 : size);
		return rc;
	}
	if (strchr(o->file, ','))
		return iol_fail(EINVAL, "--blk-file must have no comma: %s", o->file);
	if (stat(o->file, &st) < 0)
		return iol_fail(errno, "cannot open %s: %s", o->file, strerror(errno));
	rc = bench_quote("--blk-file", o->file, file, sizeof(file));
	if (rc < 0)
		return rc;
	snprintf(node, len,
		 "driver=%s,node-name=disk,filename=%s,aio=%s,cache.direct=%s,discard=unmap",
		 S_ISBLK(st.st_mode) ? "host_device" : "file", file, aio, o->direct ? "on" : "off");
	return 0;
}

static int qsd_command(const struct blk_options *o, const char *aio, char **cmd)
{
	char node[2 * PATH_MAX];
	int rc;

	rc = qsd_node(o, aio, node, sizeof(node));
	if (rc < 0)
		return rc;
	if (asprintf(cmd,
		     "'%s' --object iothread,id=data --blockdev %s --export "
		     "type=vhost-user-blk,id=export,node-name=disk,writable=on,num-queues=%u,"
		     "iothread=data,addr.type=unix,addr.path={socket}",
		     o->against, node, o->queues) < 0)
		return iol_fail(ENOMEM, "out of memory for a command line");
	return 0;
}

/*
 * Short runs of each mode in turns, and the mode of the best: what holds one run up must not choose. A mode
 * that does not start (io_uring may be forbidden) drops out.
 */
static int choose_aio(const struct blk_options *o, const struct bench_comparison *c,
		      int (*run)(void *, struct bench_backend *, struct bench_result *),
		      const char **best, struct json_object **probes)
{
	const char *const modes[] = { "io_uring", "threads", "native" };
	/* Linux has no native AIO through the page cache. */
	const size_t n = o->direct ? 3 : 2;
	struct blk_options probe = *o;
	double most = -1;
	size_t i;

	probe.runtime = o->runtime < PROBE_SECONDS ? o->runtime : PROBE_SECONDS;
	probe.ramp = PROBE_RAMP;
	probe.idle = 0;
	probe.verify = false;
	*probes = json_object_new_array();
	for (i = 0; i < PROBE_ROUNDS * n && !bench_interrupted; i++) {
		const char *mode = modes[i % n];
		_cleanup_free_ char *cmd = NULL;
		struct json_object *entry;
		struct bench_backend backend;
		struct bench_result r;
		int rc;

		rc = qsd_command(o, mode, &cmd);
		if (rc < 0)
			return rc;
		bench_result_init(&r);
		prog_progress("trying " QSD " with aio=%s", mode);
		rc = bench_backend_start(cmd, c->sockets, c->backend_cpus, &backend);
		if (!rc) {
			rc = run(&probe, &backend, &r);
			bench_backend_stop(&backend);
		}
		entry = json_object_new_object();
		json_object_object_add(entry, "aio", json_object_new_string(mode));
		if (rc < 0)
			json_object_object_add(entry, "error", json_object_new_string(iol_error()));
		else
			json_object_object_add(entry, "iops",
					       json_object_new_int64((int64_t)bench_rate(&r)));
		json_object_array_add(*probes, entry);
		if (!rc && bench_rate(&r) > most) {
			most = bench_rate(&r);
			*best = mode;
		}
	}
	prog_progress(NULL);
	return most < 0 ? -EIO : 0;
}

int blk_against(const struct blk_options *o, struct bench_comparison *c,
		int (*run)(void *ctx, struct bench_backend *backend, struct bench_result *r),
		struct json_object **probes)
{
	const char *aio = "io_uring";
	int rc;

	*probes = NULL;
	if (strcmp(base_name(o->against), QSD) != 0)
		return iol_fail(EINVAL,
				"--against knows " QSD
				" only; for \"%s\" write the command lines with "
				"--compare",
				o->against);
	if (strncmp(o->file, "null:", 5) != 0 && o->runtime > 0) {
		rc = choose_aio(o, c, run, &aio, probes);
		if (rc < 0)
			return rc;
	}
	rc = our_command(o, &c->entrant[0].cmd);
	if (!rc)
		rc = qsd_command(o, aio, &c->entrant[1].cmd);
	if (rc < 0)
		return rc;
	snprintf(c->entrant[0].name, sizeof(c->entrant[0].name), "iolane-blk");
	snprintf(c->entrant[1].name, sizeof(c->entrant[1].name), QSD);
	c->n = 2;
	return 0;
}
