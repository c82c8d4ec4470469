/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What every iolane library shares with its caller: the error sentence, the log
 * and the version. Functions return 0 or a count on success and a negative errno
 * on failure; iol_error() then holds one sentence for people.
 */
#ifndef IOLANE_BASE_H
#define IOLANE_BASE_H

#ifdef __cplusplus
extern "C" {
#endif

/**
 * iol_error() - The sentence that explains this thread's last failure.
 *
 * It says what was tried, on what, why it failed and what to do about it, without
 * a final full stop or newline. The text belongs to the library and is valid until
 * the next iolane call that fails on this thread. Never NULL; empty before the
 * first failure.
 */
const char *iol_error(void);

enum iol_log_level {
	IOL_LOG_ERROR,
	IOL_LOG_WARNING,
	IOL_LOG_INFO,
	IOL_LOG_DEBUG,
};

/**
 * iol_log_set() - Where the libraries' log lines go.
 * @fn: called with each line, without newline; from any thread, several at once.
 *      NULL (the state at start) drops them all.
 * @ctx: handed to @fn.
 * @level: lines above this level are dropped before they are formatted.
 *
 * Call it before any other thread uses the libraries.
 */
void iol_log_set(void (*fn)(void *ctx, enum iol_log_level level, const char *line), void *ctx,
		 enum iol_log_level level);

/**
 * iol_version() - The version of the libraries, as "MAJOR.MINOR.PATCH".
 */
const char *iol_version(void);

#ifdef __cplusplus
}
#endif
#endif
