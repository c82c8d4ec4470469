/* SPDX-License-Identifier: BSD-3-Clause */
/* Back ends that the bench starts, connects to and stops itself. */
#include "bench.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_TIMEOUT_MS 10000
#define STOP_TIMEOUT_MS  5000
#define LOOK_US          100

void bench_find_ours(const char *program, char *buf, size_t len)
{
	char self[PATH_MAX], *slash;
	struct stat st;
	ssize_t n;
	int i;

	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		*slash = '\0';
		for (i = 0; i < 2; i++) {
			if (i)
				snprintf(buf, len, "%s/../%s/%s", self, program, program);
			else
				snprintf(buf, len, "%s/%s", self, program);
			if (!stat(buf, &st) && S_ISREG(st.st_mode) && !access(buf, X_OK))
				return;
		}
	}
	snprintf(buf, len, "%s", program);
}

/* wordexp() reads the command, so a path goes in single quotes. */
int bench_quote(const char *what, const char *text, char *buf, size_t len)
{
	if (strchr(text, '\'') || strlen(text) + 3 > len)
		return iol_fail(EINVAL, "%s must be shorter and without single quotes: %s", what,
				text);
	snprintf(buf, len, "'%s'", text);
	return 0;
}

void bench_backend_name(const char *cmd, char *buf, size_t len)
{
	/* A quoted one is the whole first word. */
	const char ends[] = { *cmd, '\0' };
	bool quoted = *cmd == '\'' || *cmd == '"';
	size_t n, from = 0, i;

	cmd += quoted;
	n = strcspn(cmd, quoted ? ends : " \t");
	for (i = 0; i < n; i++)
		if (cmd[i] == '/')
			from = i + 1;
	snprintf(buf, len, "%.*s", (int)(n - from), cmd + from);
}

/* @cmd with each @mark replaced by @path; NULL without one, or without memory. */
static char *put_socket(const char *cmd, const char *mark, const char *path)
{
	size_t len = strlen(path), skip = strlen(mark), n = 0;
	const char *s;
	char *out, *o;

	for (s = cmd; (s = strstr(s, mark)); s += skip)
		n++;
	if (!n)
		return NULL;
	o = out = malloc(strlen(cmd) + n * len + 1);
	if (!out)
		return NULL;
	while ((s = strstr(cmd, mark))) {
		o = mempcpy(o, cmd, (size_t)(s - cmd));
		o = mempcpy(o, path, len);
		cmd = s + skip;
	}
	strcpy(o, cmd);
	return out;
}

/* Choose a path for each socket, and put them all into the command. */
static int name_sockets(const char *cmd, const char *const *sockets, struct bench_backend *b,
			char **line)
{
	*line = strdup(cmd);
	for (b->n = 0; *line && sockets[b->n]; b->n++) {
		_cleanup_free_ char *before = *line;
		char mark[32];

		snprintf(mark, sizeof(mark), "{%s}", sockets[b->n]);
		snprintf(b->socket[b->n], sizeof(b->socket[0]), "%s/%s.sock", b->dir,
			 sockets[b->n]);
		*line = put_socket(before, mark, b->socket[b->n]);
		if (!*line)
			return iol_fail(
				EINVAL,
				"the command \"%s\" does not say where %s goes; write %s where "
				"the socket's path belongs",
				cmd, mark, mark);
	}
	return *line ? 0 : iol_fail(ENOMEM, "out of memory for a command line");
}

/* What the program said last, for people. */
static void last_line(int log, char *buf, size_t len)
{
	char text[2048];
	off_t size = lseek(log, 0, SEEK_END);
	off_t from = size > (off_t)sizeof(text) ? size - (off_t)sizeof(text) : 0;
	ssize_t n = pread(log, text, sizeof(text), from);

	bench_last_line(text, n > 0 ? (size_t)n : 0, buf, len);
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

/* Return: a connection to @path, or an error. */
static int wait_listening(const char *cmd, struct bench_backend *b, const char *path,
			  uint64_t start)
{
	char said[512];
	int fd, status;

	for (;;) {
		fd = try_connect(path);
		if (fd >= 0)
			return fd;
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
					path, START_TIMEOUT_MS / 1000, cmd, said);
		}
		usleep(LOOK_US);
	}
}

/* The connection to the first is kept; to the others it was a front end that goes at once. */
static int wait_all(const char *cmd, struct bench_backend *b, uint64_t start)
{
	unsigned int i;
	int fd;

	for (i = 0; i < b->n; i++) {
		fd = wait_listening(cmd, b, b->socket[i], start);
		if (fd < 0)
			return fd;
		if (i)
			close(fd);
		else
			b->fd = fd;
	}
	b->start_ms = (double)(iol_now() - start) / (double)IOL_NS_PER_MS;
	return 0;
}

int bench_backend_start(const char *cmd, const char *const *sockets, const cpu_set_t *cpus,
			struct bench_backend *b)
{
	struct bench_spawn how = { .cpus = cpus, .in = -1 };
	_cleanup_free_ char *line = NULL;
	const char *tmp = getenv("TMPDIR");
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
	rc = name_sockets(cmd, sockets, b, &line);
	if (rc < 0)
		goto fail;
	b->log = memfd_create("iolane-bench-log", MFD_CLOEXEC);
	if (b->log < 0) {
		rc = iol_fail(errno, "cannot make a file for the back end's messages: %m");
		goto fail;
	}
	how.out = b->log;
	start = iol_now();
	rc = bench_spawn(line, &how, &b->pid);
	if (!rc)
		rc = wait_all(line, b, start);
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
	unsigned int i;

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
		for (i = 0; i < b->n; i++)
			unlink(b->socket[i]);
		rmdir(b->dir);
		b->dir[0] = '\0';
	}
}
