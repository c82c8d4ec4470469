/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench.h"

#include <stdio.h>

const char *bench_format_cpus(const cpu_set_t *set, char *buf, size_t len)
{
	size_t used = 0;
	int i, last;

	buf[0] = '\0';
	for (i = 0; i < CPU_SETSIZE && used < len; i = last + 1) {
		last = i;
		if (!CPU_ISSET(i, set))
			continue;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, set))
			last++;
		used += (size_t)snprintf(buf + used, len - used, last > i ? "%s%d-%d" : "%s%d",
					 used ? "," : "", i, last);
	}
	return buf;
}

int bench_cpu_nth(const cpu_set_t *set, unsigned int n)
{
	int i;

	n %= (unsigned int)CPU_COUNT(set);
	for (i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, set) && !n--)
			break;
	return i;
}

void bench_default_cpus(cpu_set_t *load, cpu_set_t *backend)
{
	cpu_set_t allowed;
	int last;

	CPU_ZERO(load);
	CPU_ZERO(backend);
	CPU_ZERO(&allowed);
	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0 || !CPU_COUNT(&allowed))
		CPU_SET(0, &allowed);
	last = bench_cpu_nth(&allowed, (unsigned int)CPU_COUNT(&allowed) - 1);
	CPU_SET(last, load);
	CPU_SET(bench_cpu_nth(&allowed, 0), backend);
}
