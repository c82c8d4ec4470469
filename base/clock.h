/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IOL_BASE_CLOCK_H
#define IOL_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define IOL_NS_PER_US 1000ull
#define IOL_NS_PER_MS 1000000ull
#define IOL_NS_PER_S  1000000000ull

/** iol_now() - CLOCK_MONOTONIC in nanoseconds: one clock for every process until the host reboots. */
static inline uint64_t iol_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * IOL_NS_PER_S + (uint64_t)ts.tv_nsec;
}

#endif
