/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane apply --boot". */
#ifndef TOOLS_IOLANE_BOOT_H
#define TOOLS_IOLANE_BOOT_H

#include "verb.h"

#define BOOT_FILE    "/etc/iolane/vf.yaml"
#define BOOT_WAIT_MS 30000

/**
 * boot_apply() - Bring each PF of a file to what it shall be, by itself, and say of each in one line what became of it.
 * @wait_ms: how long they may take to come, all together.
 *
 * Return: the exit status.
 */
int boot_apply(const struct verb_args *a, const char *path, unsigned int wait_ms);

#endif
