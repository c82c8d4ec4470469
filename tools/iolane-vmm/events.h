/* SPDX-License-Identifier: BSD-3-Clause */
/* What the main thread does while the guest runs. */
#ifndef IOLANE_VMM_EVENTS_H
#define IOLANE_VMM_EVENTS_H

#include "machine.h"

/* Exit status of --no-reboot. */
#define STATUS_RESET 3

/** events_signals() - Take signals from a descriptor; threads inherit that. Return: it, or a negative errno. */
int events_signals(void);

/** events_run() - Until the guest ends, or is ended. Return: the exit status; a negative errno with the sentence set. */
int events_run(struct machine *m, int signals);

#endif
