/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/common/prog.h"

#include "base/own.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *program = "iolane";

/* Where messages go: stderr, or what it was before it was hushed. */
static int messages = STDERR_FILENO;
static int hushed_stdout = -1;
static bool in_progress;

/*
 * One write() a line, so that lines of several threads don't mix. A path or a peer may put
 * control characters into a sentence; they must not reach a terminal.
 */
static void say(const char *prefix, const char *text, const char *suffix)
{
	char line[3 * IOL_ERROR_MAX];
	int n;

	n = snprintf(line, sizeof(line) - 1, "%s: %s%s%s", program, prefix, text, suffix);
	if (n < 0)
		return;
	if ((size_t)n > sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	iol_printable(line);
	line[n++] = '\n';
	prog_progress(NULL);
	/* Where stderr is gone there is nobody to tell. */
	if (write(messages, line, (size_t)n) < 0)
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

void prog_progress(const char *fmt, ...)
{
	char line[160];
	struct winsize size;
	va_list ap;

	if (!fmt && !in_progress)
		return;
	if (!isatty(messages))
		return;
	in_progress = fmt;
	line[0] = '\0';
	if (fmt) {
		va_start(ap, fmt);
		vsnprintf(line, sizeof(line), fmt, ap);
		va_end(ap);
		/* A line that goes on in the next is not wiped as a whole. */
		if (!ioctl(messages, TIOCGWINSZ, &size) && size.ws_col &&
		    size.ws_col <= strlen(line))
			line[size.ws_col - 1] = '\0';
	}
	dprintf(messages, "\r\033[K%s", iol_printable(line));
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

void prog_hush(void)
{
	_cleanup_close_ int sink = memfd_create("iolane-hush", MFD_CLOEXEC);
	_cleanup_close_ int nothing = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	int err = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

	fflush(stdout);
	/* Where that does not work, all is heard. */
	if (sink < 0 || nothing < 0 || out < 0 || err < 0 || dup2(sink, STDERR_FILENO) < 0) {
		iol_close(&out);
		iol_close(&err);
		return;
	}
	messages = err;
	hushed_stdout = out;
	dup2(nothing, STDOUT_FILENO);
}

const char *prog_unhush(void)
{
	static char line[IOL_ERROR_MAX];
	ssize_t n;

	line[0] = '\0';
	if (messages == STDERR_FILENO)
		return line;
	fflush(stdout);
	n = pread(STDERR_FILENO, line, sizeof(line) - 1, 0);
	line[n > 0 ? n : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	dup2(hushed_stdout, STDOUT_FILENO);
	dup2(messages, STDERR_FILENO);
	iol_close(&hushed_stdout);
	close(messages);
	messages = STDERR_FILENO;
	return line;
}
