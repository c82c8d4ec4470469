/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/common/prog.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char *program = "iolane";

/*
 * One write() a line, so that lines of several threads don't mix. A path or a peer may put
 * control characters into a sentence; they must not reach a terminal.
 */
static void say(const char *prefix, const char *text, const char *suffix)
{
	char line[3 * IOL_ERROR_MAX];
	int i, n;

	n = snprintf(line, sizeof(line) - 1, "%s: %s%s%s", program, prefix, text, suffix);
	if (n < 0)
		return;
	if ((size_t)n > sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	for (i = 0; i < n; i++) {
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	}
	line[n++] = '\n';
	/* Where stderr is gone there is nobody to tell. */
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return;
}

static void log_line(void *ctx, enum iol_log_level level, const char *line)
{
	static const char *const prefixes[] = {
		[IOL_LOG_ERROR] = "error: ",
		[IOL_LOG_WARNING] = "warning: ",
		[IOL_LOG_INFO] = "",
		[IOL_LOG_DEBUG] = "debug: ",
	};

	say(prefixes[level], line, "");
}

void prog_start(const char *name, enum iol_log_level level)
{
	program = name;
	iol_log_set(log_line, NULL, level);
}

int prog_fail(void)
{
	say("", iol_error(), "");
	return PROG_FAILED;
}

int prog_usage(void)
{
	char hint[64];

	snprintf(hint, sizeof(hint), " (try %s --help)", program);
	say("", iol_error(), hint);
	return PROG_USAGE;
}

int prog_print(const char *text)
{
	fputs(text, stdout);
	return prog_flush();
}

int prog_flush(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return PROG_OK;
	iol_fail(errno, "cannot write to standard output: %s", strerror(errno));
	return prog_fail();
}

bool prog_asks_capabilities(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--print-capabilities"))
			return true;
	}
	return false;
}
