/* SPDX-License-Identifier: BSD-3-Clause */
/* What another program says. */
#ifndef TOOLS_IOLANE_CAPTURE_H
#define TOOLS_IOLANE_CAPTURE_H

/**
 * capture() - Run a program and take what it prints, at stdout and stderr.
 * @argv: looked for in PATH. @input: at its stdin; NULL for nothing.
 * @output: for the caller to free; cut off past a bound.
 *
 * Return: its exit status, 128 and more when a signal ended it; or a negative errno with the sentence set: -ENOENT: there is
 * none; -ETIMEDOUT: it has not ended within 30 s, and was killed.
 */
int capture(const char *const *argv, const char *input, char **output);

#endif
