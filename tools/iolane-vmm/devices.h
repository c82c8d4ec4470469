/* SPDX-License-Identifier: BSD-3-Clause */
/* The devices of the command line: functions passed through, and virtio devices that back ends serve. */
#ifndef IOLANE_VMM_DEVICES_H
#define IOLANE_VMM_DEVICES_H

#include "machine.h"

/** devices_open() - Take all of them, in slots from 1 on. */
int devices_open(struct machine *m);
void devices_close(struct machine *m);

#endif
