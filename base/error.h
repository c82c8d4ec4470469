/* SPDX-License-Identifier: BSD-3-Clause */
/* The thread-local error sentence and the log, as the libraries themselves use them. */
#ifndef IOL_BASE_ERROR_H
#define IOL_BASE_ERROR_H

#include <errno.h>

#include <iolane/base.h>

#define IOL_ERROR_MAX 512

/* Set the sentence, or put words before it; return -err, or err. Called through the macros below. */
int iol_set_error(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3), cold));
int iol_prefix_error(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3), cold));

/*
 * A failure is never 0 or more, and compilers and analysers can see that in the calling function
 * (analysers do not always look into an inline one).
 */
#define IOL_NEGATIVE(rc)                                                                           \
	({                                                                                         \
		int rc_ = (rc);                                                                    \
		rc_ < 0 ? rc_ : -EIO;                                                              \
	})

/**
 * iol_fail() - Set this thread's error sentence and return the error.
 * @err: a positive errno value.
 * @...: printf format of the sentence (what was tried, on what, why, what to do) and its arguments.
 *
 * Return: -@err, so that a failing function ends with `return iol_fail(...)`; -EIO should @err not
 * be positive.
 */
#define iol_fail(err, ...) IOL_NEGATIVE(iol_set_error((err), __VA_ARGS__))

/**
 * iol_fail_more() - Put words before this thread's error sentence.
 * @err: the negative errno that is being passed on; returned as it is.
 * @...: printf format of what the caller was doing; joined to the sentence with ": ".
 */
#define iol_fail_more(err, ...) IOL_NEGATIVE(iol_prefix_error((err), __VA_ARGS__))

/** iol_log() - Hand one line to the program's log function. */
void iol_log(enum iol_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), cold));

#endif
