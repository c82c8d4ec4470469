/* SPDX-License-Identifier: BSD-3-Clause */
/* The file that declares a host's virtual functions (iolane-vf.yaml(5)). */
#ifndef TOOLS_IOLANE_STATE_FILE_H
#define TOOLS_IOLANE_STATE_FILE_H

#include <iolane/sriov.h>

/**
 * state_load() - Read, check and look up all that a file declares.
 * @path: "-" for standard input.
 *
 * Return: 0 and @state, for state_clear(); a negative errno: the sentence begins with the file and line.
 */
int state_load(const struct iol_host *host, const char *path, struct iol_state *state);
void state_clear(struct iol_state *state);

#define _cleanup_state_ _cleanup_(state_clear)

/** state_line() - The line of a field in a text of YAML; the nearest that there is. 0: none. */
unsigned int state_line(const char *text, size_t len, unsigned int pf, int vf, const char *field);

#endif
