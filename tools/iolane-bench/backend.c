/* SPDX-License-Identifier: BSD-3-Clause */
/* Back ends that the bench starts, connects to and stops itself. */
#include "bench.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wordexp.h>

#define START_TIMEOUT_MS 10000
#define STOP_TIMEOUT_MS  5000
#define LOOK_US          100

void bench_backend_name(const char *cmd, char *buf, size_t len)
{
	size_t n, from = 0, i;

	n = strcspn(cmd, " \t");
	for (i = 0; i < n; i++)
		if (cmd[i] == '/')
			from = i + 1;
	snprintf(buf, len, "%.*s", (int)(n - from), cmd + from);
}

static char *put_socket(const char *cmd, const char *socket)
{
	static const char mark[] = "{socket}";
	size_t len = strlen(socket), n = 0;
	const char *s;
	char *out, *o;

	for (s = cmd; (s = strstr(s, mark)); s += sizeof(mark) - 1)
		n++;
	if (!n)
		return NULL;
	o = out = malloc(strlen(cmd) + n * len + 1);
	if (!out)
		return NULL;
	while ((s = strstr(cmd, mark))) {
		o = mempcpy(o, cmd, (size_t)(s - cmd));
		o = mempcpy(o, socket, len);
		cmd = s + sizeof(mark) - 1;
	}
	strcpy(o, cmd);
	return out;
}

/* Only async-signal-safe calls between fork and exec. */
static _Noreturn void child(char **argv, const cpu_set_t *cpus, int log, pid_t parent)
{
	sigset_t none;
	int null;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	if (cpus)
		sched_setaffinity(0, sizeof(*cpus), cpus);
	null = open("/dev/null", O_RDONLY);
	if (null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
		_exit(127);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	execvp(argv[0], argv);
	dprintf(2, "cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* The last line that the program said, for people. */
static void last_line(int log, char *buf, size_t len)
{
	char text[2048];
	off_t size = lseek(log, 0, SEEK_END);
	off_t from = size > (off_t)sizeof(text) - 1 ? size - ((off_t)sizeof(text) - 1) : 0;
	ssize_t n = pread(log, text, sizeof(text) - 1, from);
	char *line;

	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	if (n <= 0) {
		snprintf(buf, len, "it said nothing");
		return;
	}
	text[n] = '\0';
	line = strrchr(text, '\n');
	snprintf(buf, len, "it said: %s", line ? line + 1 : text);
}

static int try_connect(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	strcpy(sa.sun_path, path);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return -errno;
	return iol_take_fd(&fd);
}

static int wait_listening(const char *cmd, struct bench_backend *b, uint64_t start)
{
	char said[512];
	int status;

	for (;;) {
		b->fd = try_connect(b->socket);
		if (b->fd >= 0)
			break;
		if (waitpid(b->pid, &status, WNOHANG) == b->pid) {
			b->pid = -1;
			last_line(b->log, said, sizeof(said));
			return iol_fail(ECHILD, "the back end ended before it listened (%s): %s",
					cmd, said);
		}
		if (bench_interrupted)
			return iol_fail(EINTR, "interrupted");
		if (iol_now() - start > START_TIMEOUT_MS * IOL_NS_PER_MS) {
			last_line(b->log, said, sizeof(said));
			return iol_fail(ETIMEDOUT,
					"the back end has not listened on %s within %d s (%s): %s",
					b->socket, START_TIMEOUT_MS / 1000, cmd, said);
		}
		usleep(LOOK_US);
	}
	b->start_ms = (double)(iol_now() - start) / (double)IOL_NS_PER_MS;
	return 0;
}

int bench_backend_start(const char *cmd, const cpu_set_t *cpus, struct bench_backend *b)
{
	_cleanup_(wordfree) wordexp_t words = { 0 };
	_cleanup_free_ char *line = NULL;
	const char *tmp = getenv("TMPDIR");
	pid_t self = getpid();
	uint64_t start;
	int rc;

	*b = (struct bench_backend){ .pid = -1, .fd = -1, .log = -1 };
	if (!tmp || strlen(tmp) > sizeof(b->dir) - 24)
		tmp = "/tmp";
	snprintf(b->dir, sizeof(b->dir), "%s/iolane-bench-XXXXXX", tmp);
	if (!mkdtemp(b->dir)) {
		b->dir[0] = '\0';
		return iol_fail(errno, "cannot make a folder for the socket in %s: %s", tmp,
				strerror(errno));
	}
	snprintf(b->socket, sizeof(b->socket), "%s/backend.sock", b->dir);
	line = put_socket(cmd, b->socket);
	if (!line) {
		rc = iol_fail(EINVAL,
			      "the command \"%s\" does not say where {socket} goes; write {socket} "
			      "where the socket's path belongs",
			      cmd);
		goto fail;
	}
	if (wordexp(line, &words, WRDE_NOCMD | WRDE_UNDEF) || !words.we_wordc) {
		rc = iol_fail(EINVAL,
			      "cannot read the command \"%s\": quote what is special to a shell",
			      cmd);
		goto fail;
	}
	b->log = memfd_create("iolane-bench-log", MFD_CLOEXEC);
	if (b->log < 0) {
		rc = iol_fail(errno, "cannot make a file for the back end's messages: %m");
		goto fail;
	}
	start = iol_now();
	b->pid = fork();
	if (b->pid < 0) {
		rc = iol_fail(errno, "cannot start a process: %s", strerror(errno));
		goto fail;
	}
	if (!b->pid)
		child(words.we_wordv, cpus, b->log, self);
	rc = wait_listening(line, b, start);
	if (!rc)
		return 0;
fail:
	bench_backend_stop(b);
	return rc;
}

void bench_backend_stop(struct bench_backend *b)
{
	uint64_t start = iol_now();
	bool killed = false;

	iol_close(&b->fd);
	if (b->pid > 0) {
		kill(b->pid, SIGTERM);
		while (waitpid(b->pid, NULL, WNOHANG) == 0) {
			if (!killed && iol_now() - start > STOP_TIMEOUT_MS * IOL_NS_PER_MS) {
				kill(-b->pid, SIGKILL);
				kill(b->pid, SIGKILL);
				killed = true;
			}
			usleep(1000);
		}
		b->pid = -1;
	}
	iol_close(&b->log);
	if (b->dir[0]) {
		unlink(b->socket);
		rmdir(b->dir);
		b->dir[0] = '\0';
	}
}
