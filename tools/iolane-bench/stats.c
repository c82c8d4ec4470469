/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

void bench_result_init(struct bench_result *r)
{
	memset(r, 0, sizeof(*r));
	r->backend_cpu = r->idle_cpu = r->rss_kib = r->start_ms = r->load_busy = -1;
}

double bench_rate(const struct bench_result *r)
{
	return r->seconds > 0 ? (double)r->ops / r->seconds : 0;
}

double bench_cycles(const struct bench_result *r)
{
	if (r->backend_cpu < 0 || !r->ticks || !r->ops)
		return -1;
	return r->backend_cpu * (double)r->ticks / (double)r->ops;
}

double bench_loss(const struct bench_result *r)
{
	return r->sent > r->received ? (double)(r->sent - r->received) / (double)r->sent : 0;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(double *v, unsigned int n)
{
	if (!n)
		return 0;
	qsort(v, n, sizeof(*v), ascending);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}
