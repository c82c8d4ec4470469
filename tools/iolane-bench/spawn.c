/* SPDX-License-Identifier: BSD-3-Clause */
/* Programs that the bench starts: they never outlive it. */
#include "bench.h"

#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <wordexp.h>

/* Only async-signal-safe calls between fork and exec. */
static _Noreturn void child(char **argv, const struct bench_spawn *how, pid_t parent)
{
	sigset_t none;
	int in;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	if (how->cpus)
		sched_setaffinity(0, sizeof(*how->cpus), how->cpus);
	in = how->in < 0 ? open("/dev/null", O_RDONLY) : how->in;
	if (in < 0 || dup2(in, 0) < 0 || dup2(how->out, 1) < 0 || dup2(how->out, 2) < 0)
		_exit(127);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	if (how->before && !how->before(how->ctx))
		_exit(127);
	execvp(argv[0], argv);
	dprintf(2, "cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

int bench_spawn(const char *cmd, const struct bench_spawn *how, pid_t *pid)
{
	_cleanup_(wordfree) wordexp_t words = { 0 };
	pid_t self = getpid();

	if (wordexp(cmd, &words, WRDE_NOCMD | WRDE_UNDEF) || !words.we_wordc)
		return iol_fail(EINVAL,
				"cannot read the command \"%s\": quote what is special to a shell",
				cmd);
	*pid = fork();
	if (*pid < 0)
		return iol_fail(errno, "cannot start a process: %s", strerror(errno));
	if (!*pid)
		child(words.we_wordv, how, self);
	return 0;
}

void bench_last_line(const char *text, size_t n, char *buf, size_t len)
{
	const char *line;

	while (n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	if (!n) {
		snprintf(buf, len, "it said nothing");
		return;
	}
	line = memrchr(text, '\n', n);
	line = line ? line + 1 : text;
	snprintf(buf, len, "it said: %.*s", (int)(text + n - line), line);
}
