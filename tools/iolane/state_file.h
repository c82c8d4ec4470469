/* SPDX-License-Identifier: BSD-3-Clause */
/* The file that declares a host's virtual functions (iolane-vf.yaml(5)). */
#ifndef TOOLS_IOLANE_STATE_FILE_H
#define TOOLS_IOLANE_STATE_FILE_H

#include <iolane/sriov.h>

#include "base/own.h"

/** struct state_file - A file that was read; its PFs need not be there yet. */
struct state_file;

/**
 * state_file_open() - Read a file, and check what can be without its PFs.
 * @path: "-" for standard input.
 *
 * Return: 0; a negative errno: the sentence begins with the file and line.
 */
int state_file_open(const char *path, struct state_file **file);
void state_file_close(struct state_file **file);

#define _cleanup_state_file_ _cleanup_(state_file_close)

/** state_file_find() - Look for the PF of number @i, which is then noted in the state. Return: as above. */
int state_file_find(struct state_file *f, const struct iol_host *host, unsigned int i);

/** state_file_check() - Check all that can be checked of the PFs that were found. Return: as above. */
int state_file_check(struct state_file *f);

/** state_file_state() - What it declares; PFs that were not found yet have no name. */
struct iol_state *state_file_state(struct state_file *f);

/**
 * state_load() - Read, check and look up all that a file declares.
 *
 * Return: 0 and @state, for state_clear(); others as above.
 */
int state_load(const struct iol_host *host, const char *path, struct iol_state *state);
void state_clear(struct iol_state *state);

#define _cleanup_state_ _cleanup_(state_clear)

/** state_line() - The line of a field in a text of YAML; the nearest that there is. 0: none. */
unsigned int state_line(const char *text, size_t len, unsigned int pf, int vf, const char *field);

#endif
