/* SPDX-License-Identifier: BSD-3-Clause */
/* iolane-net: give virtual machines NICs over vhost-user, on a switch with DPDK poll threads. */
#include "options.h"
#include "report.h"
#include "tools/common/daemon.h"
#include "tools/common/prog.h"
#include "verbs.h"

#include <string.h>

/* How often to look whether the front end of an --fd has gone. */
#define FD_CHECK_MS 200

/**
 * struct program - All there is.
 * @had_guests: it served one, so that it ends with the last.
 */
struct program {
	struct daemon daemon;
	struct ports ports;
	struct report report;
	bool eal;
	bool had_guests;
};

static void log_threads(const struct program *p)
{
	struct iol_net_thread_stats stats;
	unsigned int i;

	for (i = 0; !iol_net_thread_stats(p->ports.net, i, &stats); i++) {
		if (stats.cpu < 0)
			iol_log(IOL_LOG_INFO, "poll thread %u on any CPU", i);
		else
			iol_log(IOL_LOG_INFO, "poll thread %u on CPU %d", i, stats.cpu);
	}
}

/* EAL explains itself at length, and getopt names the option that it does not know. */
static int start_eal(const struct iol_net_eal_spec *spec)
{
	const char *said, *words;
	int rc;

	prog_hush();
	rc = iol_net_eal_start(spec);
	said = prog_unhush();
	words = strstr(said, ": ");
	if (rc < 0 && words && spec->num_args && !strncmp(said, "iolane", strlen("iolane")))
		return iol_fail_more(rc, "%s", words + 2);
	return rc;
}

static int start_net(struct program *p, const struct options *o)
{
	int rc;

	rc = start_eal(&o->eal);
	if (rc < 0)
		return rc;
	p->eal = true;
	p->ports.mode = o->net.mode;
	rc = iol_net_new(&o->net, &p->ports.net);
	if (!rc)
		log_threads(p);
	return rc;
}

static int start(struct program *p, struct options *o)
{
	const struct ctl_verbs verbs = { port_verbs, PORT_VERBS, &p->ports };
	struct port *port;
	unsigned int i;
	int rc;

	rc = daemon_start(&p->daemon);
	if (rc < 0)
		return rc;
	rc = start_net(p, o);
	if (rc < 0)
		return rc;
	for (i = 0; i < o->num_ports; i++) {
		rc = ports_add(&p->ports, &o->ports[i], &port);
		if (rc < 0)
			return rc;
	}
	p->had_guests = p->ports.num_guests;
	report_start(&p->report, o->stats_ms);
	return o->control ? daemon_control(&p->daemon, o->control, &verbs) : 0;
}

static void stop(struct program *p)
{
	daemon_end(&p->daemon);
	ports_del_all(&p->ports);
	iol_net_destroy(&p->ports.net);
	if (p->eal)
		iol_net_eal_stop();
}

static int timeout(void *ctx)
{
	const struct program *p = ctx;
	int due = report_timeout(&p->report);

	return p->ports.num_fds && (due < 0 || due > FD_CHECK_MS) ? FD_CHECK_MS : due;
}

/* Uplinks alone are worth going on for, unless there were guests. */
static bool turn(void *ctx)
{
	struct program *p = ctx;

	ports_reap(&p->ports);
	report_turn(&p->report, &p->ports);
	return p->ports.num_guests || !p->had_guests || p->daemon.control;
}

int main(int argc, char **argv)
{
	struct program p = { .daemon = DAEMON_NONE };
	const struct daemon_hooks hooks = { NULL, timeout, turn, &p };
	struct options options;
	const char *why = NULL;
	int status;

	prog_start("iolane-net", IOL_LOG_INFO);
	status = options_parse(&options, argc, argv);
	if (status < 0) {
		if (options.verbose)
			prog_start("iolane-net", IOL_LOG_DEBUG);
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
