/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A histogram of durations with a bounded relative error, after the idea of HDR
 * histograms: each power of two is cut into IOL_HIST_SUB equal buckets, so a value is known
 * to 1/IOL_HIST_SUB whatever its size. One thread adds; others may read while it does and
 * see counts that are a moment old.
 */
#ifndef IOL_BASE_HIST_H
#define IOL_BASE_HIST_H

#include <stdint.h>

#define IOL_HIST_SUB_BITS 5
#define IOL_HIST_SUB      (1u << IOL_HIST_SUB_BITS)
/* Values from 0 to 2^40 ns, about 18 minutes; longer ones count as the longest. */
#define IOL_HIST_MAX_BITS 40
#define IOL_HIST_BUCKETS  ((IOL_HIST_MAX_BITS - IOL_HIST_SUB_BITS + 1) * IOL_HIST_SUB)

struct iol_hist {
	uint64_t count, sum, min, max;
	uint64_t bucket[IOL_HIST_BUCKETS];
};

static inline unsigned int iol_hist_bucket(uint64_t value)
{
	unsigned int shift;

	if (value < IOL_HIST_SUB)
		return (unsigned int)value;
	if (value >> IOL_HIST_MAX_BITS)
		return IOL_HIST_BUCKETS - 1;
	shift = 63u - (unsigned int)__builtin_clzll(value) - IOL_HIST_SUB_BITS;
	return (shift + 1) * IOL_HIST_SUB + (unsigned int)(value >> shift) - IOL_HIST_SUB;
}

/* A reader on another thread must see whole words; only one thread writes. */
#define IOL_STAT_SET(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELAXED)
#define IOL_STAT_GET(field)        __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define IOL_STAT_ADD(field, n)     IOL_STAT_SET(field, (field) + (n))

/** iol_hist_add_n() - @n values of the same size at once; @n is not 0. */
static inline void iol_hist_add_n(struct iol_hist *h, uint64_t value, uint64_t n)
{
	unsigned int b = iol_hist_bucket(value);

	IOL_STAT_ADD(h->bucket[b], n);
	IOL_STAT_ADD(h->sum, value * n);
	if (value > h->max)
		IOL_STAT_SET(h->max, value);
	if (value < h->min || !h->count)
		IOL_STAT_SET(h->min, value);
	IOL_STAT_ADD(h->count, n);
}

static inline void iol_hist_add(struct iol_hist *h, uint64_t value)
{
	iol_hist_add_n(h, value, 1);
}

/** iol_hist_merge() - Add what @from has counted to @to. */
void iol_hist_merge(struct iol_hist *to, const struct iol_hist *from);

/**
 * iol_hist_quantile() - The value below which the fraction @q (0 to 1) of what was added lies,
 * as the upper end of its bucket, never above the largest value added; 0 when nothing was.
 */
uint64_t iol_hist_quantile(const struct iol_hist *h, double q);

#endif
