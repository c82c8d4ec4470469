/* SPDX-License-Identifier: BSD-3-Clause */
/* The thread-local error sentence and the log, as the libraries themselves use them. */
#ifndef IOL_BASE_ERROR_H
#define IOL_BASE_ERROR_H

#include <iolane/base.h>

#define IOL_ERROR_MAX 512

/**
 * iol_fail() - Set this thread's error sentence and return the error.
 * @err: a positive errno value.
 * @fmt: printf format of the sentence: what was tried, on what, why, what to do.
 *
 * Return: -@err, so that a failing function ends with `return iol_fail(...)`.
 */
int iol_fail(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3), cold));

/**
 * iol_fail_more() - Put words before this thread's error sentence.
 * @err: the negative errno that is being passed on; returned as it is.
 * @fmt: what the caller was doing; joined to the sentence with ": ".
 */
int iol_fail_more(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3), cold));

/** iol_log() - Hand one line to the program's log function. */
void iol_log(enum iol_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), cold));

#endif
