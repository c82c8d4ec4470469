/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/hist.h"

static uint64_t bucket_end(unsigned int b)
{
	unsigned int shift;

	if (b < IOL_HIST_SUB)
		return b;
	shift = b / IOL_HIST_SUB - 1;
	return (((uint64_t)(b % IOL_HIST_SUB) + IOL_HIST_SUB + 1) << shift) - 1;
}

void iol_hist_merge(struct iol_hist *to, const struct iol_hist *from)
{
	uint64_t count = IOL_STAT_GET(from->count);
	uint64_t min = IOL_STAT_GET(from->min);
	uint64_t max = IOL_STAT_GET(from->max);
	unsigned int b;

	if (count && (min < to->min || !to->count))
		to->min = min;
	if (max > to->max)
		to->max = max;
	to->count += count;
	to->sum += IOL_STAT_GET(from->sum);
	for (b = 0; b < IOL_HIST_BUCKETS; b++)
		to->bucket[b] += IOL_STAT_GET(from->bucket[b]);
}

uint64_t iol_hist_quantile(const struct iol_hist *h, double q)
{
	uint64_t total = 0, seen = 0, want;
	unsigned int b;

	for (b = 0; b < IOL_HIST_BUCKETS; b++)
		total += IOL_STAT_GET(h->bucket[b]);
	if (!total)
		return 0;
	want = (uint64_t)(q * (double)total);
	if (want >= total)
		want = total - 1;
	for (b = 0; b < IOL_HIST_BUCKETS; b++) {
		seen += IOL_STAT_GET(h->bucket[b]);
		if (seen > want)
			break;
	}
	if (b == IOL_HIST_BUCKETS || bucket_end(b) > IOL_STAT_GET(h->max))
		return IOL_STAT_GET(h->max);
	return bucket_end(b);
}
