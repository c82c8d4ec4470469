/* SPDX-License-Identifier: BSD-3-Clause */
/* How every program talks: its log and its last sentence on stderr, its exit status. */
#ifndef TOOLS_COMMON_PROG_H
#define TOOLS_COMMON_PROG_H

#include "base/error.h"

#include <stdbool.h>
#include <stdio.h>

/* Exit statuses of all programs: the machine said no, or the command line is wrong by itself. */
enum {
	PROG_OK = 0,
	PROG_FAILED = 1,
	PROG_USAGE = 2,
};

/**
 * prog_start() - Name the program in its messages and send the libraries' log to stderr.
 * @name: kept, not copied.
 */
void prog_start(const char *name, enum iol_log_level level);

/** prog_fail() - Say iol_error() on stderr. Return: PROG_FAILED. */
int prog_fail(void);

/** prog_usage() - Say iol_error() on stderr and where help is. Return: PROG_USAGE. */
int prog_usage(void);

/**
 * prog_print() - Write @text to standard output and see that it got there.
 * Return: PROG_OK, or PROG_FAILED after saying why.
 */
int prog_print(const char *text);

/** prog_flush() - The same for what was printed to stdout with stdio. */
int prog_flush(void);

/**
 * prog_progress() - A line on stderr that replaces the last one, cut off at its edge; on a terminal only. NULL wipes it,
 * and so does a message.
 */
void prog_progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/**
 * prog_asks_capabilities() - Whether --print-capabilities is among the arguments: the conventions for
 * vhost-user back ends want every other one ignored then.
 */
bool prog_asks_capabilities(int argc, char **argv);

/**
 * prog_hush() - Keep from the user what somebody else's library prints at stdout and stderr; our own messages
 * still come. Before there are threads that could print, or open files.
 */
void prog_hush(void);

/** prog_unhush() - The end of that. Return: the first line that came at stderr, "" for none. */
const char *prog_unhush(void);

#endif
