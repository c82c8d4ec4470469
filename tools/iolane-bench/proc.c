/* SPDX-License-Identifier: BSD-3-Clause */
/* What the kernel says of a back end's process. */
#include "bench.h"

#include "base/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static bool read_text(const char *path, char *buf, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, buf, len - 1);
	close(fd);
	if (n < 0)
		return false;
	buf[n] = '\0';
	return true;
}

/* A process's own CPU clock counts all its threads, ended ones as well, in nanoseconds. */
int64_t bench_proc_cpu_ns(pid_t pid)
{
	struct timespec ts;
	clockid_t clock;

	if (pid <= 0 || clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &ts) < 0)
		return -1;
	return (int64_t)ts.tv_sec * (int64_t)IOL_NS_PER_S + ts.tv_nsec;
}

pid_t bench_proc_peer(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -1;
	return cred.pid > 0 ? cred.pid : -1;
}

void bench_usage_look(struct bench_usage *u, pid_t pid)
{
	u->cpu = bench_proc_cpu_ns(pid);
	u->at = iol_now();
}

double bench_usage_cores(const struct bench_usage *a, const struct bench_usage *b)
{
	/* A process that is gone, or that we may not look at, has used nothing that we know of. */
	if (a->cpu < 0 || b->cpu < a->cpu || b->at <= a->at)
		return -1;
	return (double)(b->cpu - a->cpu) / (double)(b->at - a->at);
}

/* The number after @key in the kernel's words on @pid, or -1. */
static double status(pid_t pid, const char *key)
{
	char path[64], text[4096];
	const char *s;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (!read_text(path, text, sizeof(text)))
		return -1;
	s = strstr(text, key);
	return s ? strtod(s + strlen(key), NULL) : -1;
}

double bench_proc_rss_kib(pid_t pid)
{
	double anon = status(pid, "\nRssAnon:"), file = status(pid, "\nRssFile:");

	return anon < 0 || file < 0 ? -1 : anon + file;
}

int bench_proc_threads(pid_t pid)
{
	return (int)status(pid, "\nThreads:");
}
