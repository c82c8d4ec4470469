/* SPDX-License-Identifier: BSD-3-Clause */
/* Statistics for the log, every so often. */
#ifndef TOOLS_IOLANE_NET_REPORT_H
#define TOOLS_IOLANE_NET_REPORT_H

#include "ports.h"

/**
 * struct report - When it is due.
 * @every_ms: 0 for never.
 */
struct report {
	unsigned int every_ms;
	uint64_t last_ns;
};

/** report_start() - Count from now on. */
void report_start(struct report *r, unsigned int every_ms);

/** report_timeout() - Milliseconds until it is due; -1 for never. */
int report_timeout(const struct report *r);

/** report_turn() - One line a port, if it is due. */
void report_turn(struct report *r, struct ports *ports);

#endif
