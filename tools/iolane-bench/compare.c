/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rounds. A machine's speed drifts, so the entrants take turns and each round's ratio compares
 * neighbours in time; a back end is gone before the next one starts.
 */
#include "bench.h"

#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int run_one(struct bench_comparison *c, struct bench_entrant *e, struct bench_result *r)
{
	struct bench_backend backend;
	int rc;

	bench_result_init(r);
	if (!e->cmd || !c->sockets)
		return e->run(e->ctx, NULL, r);
	rc = bench_backend_start(e->cmd, c->sockets, c->backend_cpus, &backend);
	if (rc < 0)
		return rc;
	r->start_ms = backend.start_ms;
	rc = e->run(e->ctx, &backend, r);
	bench_backend_stop(&backend);
	return rc;
}

int bench_name_entrants(const char *const *cmds, unsigned int n, struct bench_comparison *c)
{
	unsigned int i, j;
	char name[40];

	for (i = 0; i < n; i++) {
		struct bench_entrant *e = &c->entrant[c->n];
		unsigned int same = 1;

		bench_backend_name(cmds[i], name, sizeof(name));
		for (j = 0; j < i; j++) {
			char other[40];

			bench_backend_name(cmds[j], other, sizeof(other));
			same += !strcmp(name, other);
		}
		snprintf(e->name, sizeof(e->name), same > 1 ? "%s #%u" : "%s", name, same);
		e->cmd = strdup(cmds[i]);
		if (!e->cmd)
			return iol_fail(ENOMEM, "out of memory for a command line");
		c->n++;
	}
	return 0;
}

static int work_out(struct bench_comparison *c)
{
	unsigned int i, round;

	for (i = 0; i + 1 < c->n; i++) {
		struct bench_ratio *ratio = &c->ratio[i];
		double *sorted = calloc(c->rounds, sizeof(*sorted));

		ratio->b = i + 1;
		ratio->rounds = calloc(c->rounds, sizeof(*ratio->rounds));
		if (!sorted || !ratio->rounds) {
			free(sorted);
			return iol_fail(ENOMEM, "out of memory for the results");
		}
		for (round = 0; round < c->rounds; round++) {
			double a = bench_rate(&c->results[round * c->n]);
			double b = bench_rate(&c->results[round * c->n + i + 1]);

			if (c->by_time)
				sorted[round] = a > 0 ? b / a : 0;
			else
				sorted[round] = b > 0 ? a / b : 0;
			ratio->rounds[round] = sorted[round];
		}
		ratio->n = c->rounds;
		ratio->median = bench_median(sorted, c->rounds);
		ratio->min = sorted[0];
		ratio->max = sorted[c->rounds - 1];
		free(sorted);
	}
	return 0;
}

int bench_compare(struct bench_comparison *c)
{
	unsigned int round, i;
	int rc;

	c->results = calloc((size_t)c->rounds * c->n, sizeof(*c->results));
	if (!c->results)
		return iol_fail(ENOMEM, "out of memory for the results");
	for (round = 0; round < c->rounds && !bench_interrupted; round++) {
		for (i = 0; i < c->n && !bench_interrupted; i++) {
			rc = run_one(c, &c->entrant[i], &c->results[round * c->n + i]);
			if (rc < 0 && !bench_interrupted)
				return iol_fail_more(rc, "%s, round %u", c->entrant[i].name,
						     round + 1);
			if (!bench_interrupted && c->done)
				c->done(c, round, i);
		}
		if (bench_interrupted)
			break;
	}
	if (!round)
		return iol_fail(EINTR, "interrupted before the first round was over");
	c->rounds = round;
	return work_out(c);
}

void bench_comparison_free(struct bench_comparison *c)
{
	unsigned int i;

	for (i = 0; i < c->n; i++) {
		free(c->entrant[i].cmd);
		free(c->ratio[i].rounds);
	}
	free(c->results);
}
