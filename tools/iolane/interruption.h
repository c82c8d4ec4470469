/* SPDX-License-Identifier: BSD-3-Clause */
/* What a step of a change would interrupt. */
#ifndef TOOLS_IOLANE_INTERRUPTION_H
#define TOOLS_IOLANE_INTERRUPTION_H

#include "device.h"

/**
 * struct interruption - As far as it can be told ahead.
 * @name: what people call the thing, where the step does not: the interface of a PF.
 * @text: for people; empty for nothing.
 * @use: who has what would be interrupted; NULL when nobody is known of.
 */
struct interruption {
	char name[DEVICE_NAME_MAX];
	char text[400];
	const struct iol_use *use;
};

/** interruption_of() - @d: as it is before the first step, with uses. */
void interruption_of(const struct iol_host *host, const struct devices *d, const struct iol_step *s,
		     struct interruption *i);

#endif
