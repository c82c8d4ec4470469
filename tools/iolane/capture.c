/* SPDX-License-Identifier: BSD-3-Clause */
#include "capture.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define OUTPUT_MAX (1u << 20)
#define TIMEOUT_MS 30000

extern char **environ;

/* A file that holds @input, to be read from its start. */
static int input_file(const char *input)
{
	int fd = memfd_create("input", MFD_CLOEXEC);

	if (fd < 0)
		return iol_fail(errno, "cannot make a file in memory: %s", strerror(errno));
	if (write(fd, input, strlen(input)) != (ssize_t)strlen(input) || lseek(fd, 0, SEEK_SET)) {
		iol_close(&fd);
		return iol_fail(ENOSPC, "cannot write %zu bytes into memory", strlen(input));
	}
	return fd;
}

static int start(const char *const *argv, int in, int out, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	int rc;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
	rc = posix_spawnp(pid, argv[0], &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (rc)
		return iol_fail(rc, "cannot start %s: %s", argv[0], strerror(rc));
	return 0;
}

/* Read until the other end is closed. Return: 0, or -ETIMEDOUT. */
static int read_all(const char *program, int fd, char *buf, size_t size)
{
	uint64_t end = iol_now() + TIMEOUT_MS * IOL_NS_PER_MS, now;
	char more[4096];
	size_t len = 0;
	ssize_t n;

	while ((now = iol_now()) < end) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };

		if (poll(&pfd, 1, (int)((end - now) / IOL_NS_PER_MS) + 1) <= 0)
			continue;
		n = read(fd, more, sizeof(more));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return 0;
		if ((size_t)n > size - 1 - len)
			n = (ssize_t)(size - 1 - len);
		memcpy(buf + len, more, (size_t)n);
		len += (size_t)n;
		buf[len] = '\0';
	}
	return iol_fail(ETIMEDOUT, "%s has not ended in %d s", program, TIMEOUT_MS / 1000);
}

int capture(const char *const *argv, const char *input, char **output)
{
	_cleanup_free_ char *buf = calloc(1, OUTPUT_MAX);
	_cleanup_close_ int in = -1, out = -1, theirs = -1;
	int rc, status, fds[2];
	pid_t pid;

	if (!buf)
		return iol_fail(ENOMEM, "no memory for what %s says", argv[0]);
	in = input ? input_file(input) : open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return input ? in : iol_fail(errno, "cannot open /dev/null: %s", strerror(errno));
	if (pipe2(fds, O_CLOEXEC))
		return iol_fail(errno, "cannot make a pipe: %s", strerror(errno));
	out = fds[0];
	theirs = fds[1];
	rc = start(argv, in, theirs, &pid);
	if (rc)
		return rc;
	iol_close(&theirs);
	rc = read_all(argv[0], out, buf, OUTPUT_MAX);
	if (rc)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return iol_fail(errno, "cannot wait for %s: %s", argv[0], strerror(errno));
	}
	if (rc)
		return rc;
	*output = iol_take_ptr(buf);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
