/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The throughput of RFC 2544 (26.1): the highest rate at which nothing is lost. The first trial sends as many as
 * go; from what arrived of those the search halves what is between the best good rate and the worst bad one.
 */
#include "net.h"

#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <stdlib.h>

#define TRIALS 10
/* As near as this to the next bad rate is near enough. */
#define NEAR 0.01

static int trial(const struct net_options *o, double rate, struct net_port *tx, struct net_port *rx,
		 pid_t pid, struct bench_result *r)
{
	struct net_options once = *o;

	once.rate = rate;
	bench_result_init(r);
	return net_run(&once, tx, rx, pid, r);
}

int net_search(const struct net_options *o, struct net_port *tx, struct net_port *rx, pid_t pid,
	       struct bench_result *best)
{
	_cleanup_free_ struct bench_result *r = malloc(sizeof(*r));
	double good = 0, bad, start_ms = best->start_ms;
	unsigned int i;
	int rc;

	if (!r)
		return iol_fail(ENOMEM, "out of memory for a result");
	rc = trial(o, 0, tx, rx, pid, best);
	if (rc < 0)
		return rc;
	best->start_ms = start_ms;
	if (bench_loss(best) <= o->max_loss)
		return 0;
	bad = bench_rate(best);
	for (i = 0; i < TRIALS && bad - good > NEAR * bad && !bench_interrupted; i++) {
		/* What arrived when everything was sent may well arrive again. */
		double rate = i ? (good + bad) / 2 : bad;

		rc = trial(o, rate, tx, rx, pid, r);
		if (rc < 0)
			return rc;
		if (bench_loss(r) > o->max_loss) {
			bad = rate;
			continue;
		}
		good = rate;
		if (!i)
			bad = rate * (1 + NEAR);
		r->start_ms = start_ms;
		*best = *r;
	}
	if (good <= 0)
		return iol_fail(EIO,
				"packets were lost at every rate, down to %.0f a second; "
				"--max-loss says how "
				"many in a hundred may be",
				bad);
	return 0;
}
