/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Time, and system calls. Those are counted by tracing a process of its own that runs a few batches: it marks where one begins
 * and ends by a call that nobody else makes in this way.
 */
#include "vfio.h"

#include "base/clock.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MARK_START 0x696f6c616e6501ul
#define MARK_STOP  0x696f6c616e6502ul

/* The first may ask once for what is then known. */
#define TRACED_BATCHES 3u

bool vfio_meter_more(const struct vfio_meter *m)
{
	if (m->tracing)
		return m->batches < TRACED_BATCHES;
	/* What is not counted (undoing) may take its time, too. */
	return !bench_interrupted &&
	       (!m->batches || (m->result->seconds < m->seconds &&
				(double)(iol_now() - m->began) / 1e9 < m->seconds * 4));
}

void vfio_meter_start(struct vfio_meter *m)
{
	if (m->tracing) {
		if (m->batches)
			syscall(SYS_getppid, MARK_START, 0);
		return;
	}
	m->start = iol_now();
	if (!m->began)
		m->began = m->start;
}

void vfio_meter_stop(struct vfio_meter *m, uint64_t ops)
{
	uint64_t ns;

	if (m->tracing) {
		if (m->batches++)
			syscall(SYS_getppid, MARK_STOP, ops);
		return;
	}
	ns = iol_now() - m->start;
	m->spent += (double)ns / 1e9;
	m->ops = ops;
	if (m->num < VFIO_SAMPLES)
		m->samples[m->num++] = (double)ns / 1e9;
	if (m->latency)
		iol_hist_add(&m->result->lat, ns);
	m->batches++;
}

void vfio_meter_end(struct vfio_meter *m)
{
	m->result->seconds = bench_median(m->samples, m->num);
	m->result->ops = m->ops;
}

/* Follow @pid; @gone: to its end. */
static double follow(pid_t pid, bool *gone)
{
	uint64_t calls = 0, ops = 0;
	bool inside = false;
	int status, sig = 0;

	if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) ||
	    ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL))
		return -1;
	for (;;) {
		struct __ptrace_syscall_info info = { 0 };

		if (ptrace(PTRACE_SYSCALL, pid, 0, sig) || waitpid(pid, &status, 0) != pid)
			return -1;
		*gone = WIFEXITED(status) || WIFSIGNALED(status);
		if (*gone)
			break;
		sig = WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status);
		if (sig || ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) < 0 ||
		    info.op != PTRACE_SYSCALL_INFO_ENTRY)
			continue;
		if (info.entry.nr == SYS_getppid && info.entry.args[0] == MARK_START) {
			inside = true;
		} else if (info.entry.nr == SYS_getppid && info.entry.args[0] == MARK_STOP) {
			inside = false;
			ops += info.entry.args[1];
		} else {
			calls += inside;
		}
	}
	return ops && WIFEXITED(status) && !WEXITSTATUS(status) ? (double)calls / (double)ops : -1;
}

double vfio_count(struct vfio_run *r)
{
	pid_t pid = fork();
	bool gone = false;
	double calls;

	if (pid < 0)
		return -1;
	if (!pid) {
		r->meter = (struct vfio_meter){ .tracing = true };
		if (ptrace(PTRACE_TRACEME, 0, 0, 0) || raise(SIGSTOP))
			_exit(1);
		_exit(vfio_run_row(r) ? 1 : 0);
	}
	calls = follow(pid, &gone);
	if (!gone) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return calls;
}
