/* SPDX-License-Identifier: BSD-3-Clause */
/* Our network back end beside DPDK's own, each with the command line that suits it best. */
#include "net.h"

#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TESTPMD "dpdk-testpmd"

/* What stands in for the other port: an uplink that takes all and gives nothing, or gives all the time. */
static void null_uplink(const struct net_options *o, char *buf, size_t len)
{
	if (o->to_null)
		snprintf(buf, len, "net_null0,no-rx=1");
	else
		snprintf(buf, len, "net_null0,size=%u", o->size);
}

static int our_command(const struct net_options *o, int cpu, char **cmd)
{
	char ours[PATH_MAX + 32], program[PATH_MAX + 64], uplink[64];
	char tx[64] = "", rx[64] = "", other[96] = "";
	int rc;

	bench_find_ours("iolane-net", ours, sizeof(ours));
	rc = bench_quote("the program", ours, program, sizeof(program));
	if (rc < 0)
		return rc;
	null_uplink(o, uplink, sizeof(uplink));
	if (!o->from_null)
		snprintf(tx, sizeof(tx), " --port=socket={tx},name=tx,queues=%u", o->queues);
	if (!o->to_null)
		snprintf(rx, sizeof(rx), " --port=socket={rx},name=rx,queues=%u", o->queues);
	if (o->to_null || o->from_null)
		snprintf(other, sizeof(other), " --uplink=%s", uplink);
	if (asprintf(cmd, "%s --mode=patch%s%s%s --poll-us=inf --lcores=%d", program, tx, rx, other,
		     cpu) < 0)
		return iol_fail(ENOMEM, "out of memory for a command line");
	return 0;
}

/*
 * Bursts of 64 are some 4 % faster than testpmd's usual 32 with packed rings, and 4 % slower with split ones. More
 * packet buffers or fewer, another cache of them, and 512 bit vectors make no difference.
 *
 * testpmd forwards on one lcore; the other, which waits for commands, costs nothing and shares the CPU. With its
 * input at its end it stays only while it has statistics to print.
 */
static int testpmd_command(const struct net_options *o, const char *program, int cpu, char **cmd)
{
	char tx[64] = "", rx[64] = "", uplink[64], other[96] = "";
	int rc;

	null_uplink(o, uplink, sizeof(uplink));
	if (!o->from_null)
		snprintf(tx, sizeof(tx), " --vdev=net_vhost0,iface={tx},queues=%u", o->queues);
	if (!o->to_null)
		snprintf(rx, sizeof(rx), " --vdev=net_vhost1,iface={rx},queues=%u", o->queues);
	if (o->to_null || o->from_null)
		snprintf(other, sizeof(other), " --vdev=%s", uplink);
	rc = asprintf(cmd,
		      "'%s' --lcores=0@%d,1@%d --no-huge --no-shconf --no-pci -m %u "
		      "--log-level=error%s%s%s -- --nb-cores=1 --forward-mode=io --no-flush-rx "
		      "--auto-start --disable-link-check --rxq=%u --txq=%u "
		      "--total-num-mbufs=%u --burst=%u --stats-period=3600",
		      program, cpu, cpu, 128 + 16 * o->queues, tx, rx, other, o->queues, o->queues,
		      4096 * o->queues, o->packed ? 64u : 32u);
	return rc < 0 ? iol_fail(ENOMEM, "out of memory for a command line") : 0;
}

int net_against(const struct net_options *o, struct bench_comparison *c)
{
	int cpu = bench_cpu_nth(&o->backend_cpus, 0), rc;
	const char *program = o->against;
	char name[64];

	bench_backend_name(program, name, sizeof(name));
	if (!strcmp(program, "testpmd"))
		program = TESTPMD;
	else if (strcmp(name, TESTPMD) != 0 || strchr(program, '\''))
		return iol_fail(EINVAL,
				"--against knows testpmd only (" TESTPMD
				", or a path of it); for \"%s\" write the command lines with "
				"--compare",
				program);
	rc = our_command(o, cpu, &c->entrant[0].cmd);
	if (!rc)
		rc = testpmd_command(o, program, cpu, &c->entrant[1].cmd);
	if (rc < 0)
		return rc;
	snprintf(c->entrant[0].name, sizeof(c->entrant[0].name), "iolane-net");
	snprintf(c->entrant[1].name, sizeof(c->entrant[1].name), TESTPMD);
	c->n = 2;
	return 0;
}
