/* SPDX-License-Identifier: BSD-3-Clause */
/* iolane-blk: serve disks over vhost-user. */
#include "options.h"
#include "tools/common/daemon.h"
#include "tools/common/prog.h"
#include "verbs.h"

/* How often to look whether the front end of an --fd has gone. */
#define FD_CHECK_MS 200

struct program {
	struct daemon daemon;
	struct disks disks;
};

static int start(struct program *p, struct options *o)
{
	const struct ctl_verbs verbs = { disk_verbs, DISK_VERBS, &p->disks };
	struct disk *d;
	unsigned int i;
	int rc;

	rc = daemon_start(&p->daemon);
	if (rc < 0)
		return rc;
	p->disks.engine = o->threads.engine;
	rc = iol_blk_threads_new(&o->threads, &p->disks.threads);
	if (rc < 0)
		return rc;
	for (i = 0; i < o->num_disks; i++) {
		rc = disks_add(&p->disks, &o->disks[i], &d);
		if (rc < 0)
			return rc;
	}
	return o->control ? daemon_control(&p->daemon, o->control, &verbs) : 0;
}

static void stop(struct program *p)
{
	daemon_end(&p->daemon);
	disks_del_all(&p->disks);
	if (p->disks.threads)
		iol_blk_threads_destroy(&p->disks.threads);
}

static void hangup(void *ctx)
{
	struct program *p = ctx;

	disks_refresh(&p->disks);
}

static int timeout(void *ctx)
{
	struct program *p = ctx;

	return p->disks.num_fds ? FD_CHECK_MS : -1;
}

static bool turn(void *ctx)
{
	struct program *p = ctx;

	disks_reap(&p->disks);
	return p->disks.count || p->daemon.control;
}

int main(int argc, char **argv)
{
	struct program p = { .daemon = DAEMON_NONE };
	const struct daemon_hooks hooks = { hangup, timeout, turn, &p };
	struct options options;
	const char *why = NULL;
	int status;

	prog_start("iolane-blk", IOL_LOG_INFO);
	status = options_parse(&options, argc, argv);
	if (status < 0) {
		if (options.verbose)
			prog_start("iolane-blk", IOL_LOG_DEBUG);
		if (!start(&p, &options))
			why = daemon_serve(&p.daemon, &hooks);
		status = why ? PROG_OK : prog_fail();
		stop(&p);
		if (why)
			iol_log(IOL_LOG_INFO, "ended cleanly: %s", why);
	}
	options_free(&options);
	return status;
}
