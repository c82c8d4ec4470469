/* SPDX-License-Identifier: BSD-3-Clause */
/* Prints this processor's time stamp counter's rate in kHz. It runs beside the machine, not in it: see machine.py. */
#include "base/clock.h"

#include <stdio.h>
#include <x86intrin.h>

struct reading {
	uint64_t ns, cycles;
};

/* Both at once, as nearly as whoever else wants the processor lets us. */
static struct reading read_both(void)
{
	struct reading r = { 0 };
	uint64_t best = UINT64_MAX;
	int i;

	for (i = 0; i < 100; i++) {
		uint64_t before = iol_now(), cycles = __rdtsc(), took = iol_now() - before;

		if (took < best) {
			best = took;
			r = (struct reading){ before + took / 2, cycles };
		}
	}
	return r;
}

int main(void)
{
	const struct timespec pause = { 0, 100 * IOL_NS_PER_MS };
	struct reading first = read_both(), last;

	nanosleep(&pause, NULL);
	last = read_both();
	printf("%llu\n",
	       (unsigned long long)((last.cycles - first.cycles) * 1000000 / (last.ns - first.ns)));
	return 0;
}
