/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/error.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char sentence[IOL_ERROR_MAX];

static void (*log_fn)(void *ctx, enum iol_log_level level, const char *line);
static void *log_ctx;
static enum iol_log_level log_level;

const char *iol_error(void)
{
	return sentence;
}

const char *iol_version(void)
{
	return IOL_VERSION;
}

int iol_set_error(int err, const char *fmt, ...)
{
	/* Formatted aside: an argument may be the old sentence. */
	char text[IOL_ERROR_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	memcpy(sentence, iol_printable(text), sizeof(sentence));
	return -err;
}

int iol_prefix_error(int err, const char *fmt, ...)
{
	char text[IOL_ERROR_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(text))
		snprintf(text + n, sizeof(text) - (size_t)n, ": %s", sentence);
	memcpy(sentence, iol_printable(text), sizeof(sentence));
	return err;
}

void iol_log_set(void (*fn)(void *ctx, enum iol_log_level level, const char *line), void *ctx,
		 enum iol_log_level level)
{
	log_fn = fn;
	log_ctx = ctx;
	log_level = level;
}

void iol_log(enum iol_log_level level, const char *fmt, ...)
{
	char line[2 * IOL_ERROR_MAX];
	va_list ap;

	if (!log_fn || level > log_level)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	log_fn(log_ctx, level, iol_printable(line));
}
