/* SPDX-License-Identifier: BSD-3-Clause */
/* Starting another of iolane's programs, as git starts git-NAME. */
#ifndef TOOLS_IOLANE_SIBLING_H
#define TOOLS_IOLANE_SIBLING_H

/**
 * sibling_exec() - Become iolane-@name, found beside this program or else in PATH.
 * @argv: its arguments from argv[0] on, which is replaced; ends with NULL.
 *
 * Return: only when it failed: -ENOENT when there is no such program, or another negative
 * errno; the sentence is set.
 */
int sibling_exec(const char *name, char **argv);

#endif
