/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the program's threads may ask of the host's kernel while a guest runs (seccomp): nothing that opens a file, starts
 * a program or makes memory executable. What else is asked ends the program by SIGSYS.
 */
#ifndef IOLANE_VMM_SANDBOX_H
#define IOLANE_VMM_SANDBOX_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>

/** struct sandbox - The filter of a kind of thread. */
struct sandbox {
	struct sock_fprog prog;
	size_t size;
};

/** sandbox_new() - For processors' threads, or (@main_thread) for who handles events. */
int sandbox_new(bool main_thread, struct sandbox *sandbox);
void sandbox_free(struct sandbox *sandbox);

/** sandbox_enter() - The calling thread is in it, for good. */
int sandbox_enter(const struct sandbox *sandbox);

#endif
