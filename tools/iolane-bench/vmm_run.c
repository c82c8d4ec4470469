/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VMM is started twice. Once under a filter that stops its first KVM_RUN and tells the bench, which needs no help
 * of the VMM's and costs its other system calls next to nothing; then it is killed. And once as it is, until the guest says a word.
 */
#include "vmm.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_MS 100 /* for an interruption */

/* What is kept of a VMM's output: the guest's word may come in pieces, and the last line tells why it ended. */
#define OUTPUT_MAX 4096u

/**
 * struct vmm - One that runs.
 * @in: the other end of its standard input, where nothing ever comes. @out: of its output.
 * @listener: tells of the first KVM_RUN, -1 without a filter.
 * @start: when it was about to exec.
 */
struct vmm {
	pid_t pid;
	int in, out, listener;
	uint64_t start;
	size_t n;
	char output[OUTPUT_MAX];
};

/** struct hello - What the child says right before exec. @error: errno when the filter could not be had. */
struct hello {
	uint64_t start;
	int error;
};

struct greeter {
	int socket;
	bool filtered;
};

/* ---- the child ---- */

/* Calls of a 32-bit program have other numbers; that one would be told of something else does no harm. */
static struct sock_filter is_kvm_run[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
	/* The low half of a request, which is what the kernel looks at. */
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, KVM_RUN, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

static int install_filter(void)
{
	struct sock_fprog program = {
		.len = sizeof(is_kvm_run) / sizeof(is_kvm_run[0]),
		.filter = is_kvm_run,
	};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	/* Without slower speculation, which VMMs don't have otherwise. */
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			    SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_SPEC_ALLOW,
			    &program);
}

static bool greet(void *ctx)
{
	const struct greeter *greeter = ctx;
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .head = {
			      .cmsg_len = CMSG_LEN(sizeof(int)),
			      .cmsg_level = SOL_SOCKET,
			      .cmsg_type = SCM_RIGHTS,
		      } };
	struct hello hello = { 0 };
	struct iovec iov = { .iov_base = &hello, .iov_len = sizeof(hello) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int listener = -1;

	if (greeter->filtered) {
		listener = install_filter();
		if (listener < 0)
			hello.error = errno;
	}
	if (listener >= 0) {
		memcpy(CMSG_DATA(&control.head), &listener, sizeof(listener));
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
	}
	hello.start = iol_now();
	/* The descriptors of both close on exec. */
	return sendmsg(greeter->socket, &msg, MSG_NOSIGNAL) == sizeof(hello) && !hello.error;
}

/* ---- start and end ---- */

static int await_hello(struct vmm *vmm, int socket)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct hello hello = { 0 };
	struct iovec iov = { .iov_base = &hello, .iov_len = sizeof(hello) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	const struct cmsghdr *head;
	ssize_t n;

	do {
		n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n != sizeof(hello))
		return iol_fail(ECHILD, "a started process ended before it ran the program");
	if (hello.error)
		return iol_fail(hello.error,
				"cannot watch for the first KVM_RUN (seccomp: %s): the kernel, or "
				"the container that this runs in, does not allow it",
				strerror(hello.error));
	head = CMSG_FIRSTHDR(&msg);
	if (head)
		memcpy(&vmm->listener, CMSG_DATA(head), sizeof(vmm->listener));
	vmm->start = hello.start;
	return 0;
}

static int vmm_start(const char *cmd, bool filtered, struct vmm *vmm)
{
	_cleanup_close_ int in = -1, out = -1, ours = -1, its = -1;
	struct greeter greeter = { .filtered = filtered };
	struct bench_spawn how = { .before = greet, .ctx = &greeter };
	int ends[2], rc;

	*vmm = (struct vmm){ .pid = -1, .in = -1, .out = -1, .listener = -1 };
	if (pipe2(ends, O_CLOEXEC))
		goto fail;
	in = ends[0];
	vmm->in = ends[1];
	if (pipe2(ends, O_CLOEXEC))
		goto fail;
	vmm->out = ends[0];
	out = ends[1];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		goto fail;
	ours = ends[0];
	its = ends[1];
	greeter.socket = its;
	how.in = in;
	how.out = out;
	rc = bench_spawn(cmd, &how, &vmm->pid);
	iol_close(&its);
	return rc ? rc : await_hello(vmm, ours);
fail:
	return iol_fail(errno, "cannot make a pipe to a VMM: %s", strerror(errno));
}

/* The listener stays until nobody is left who could go on without it. */
static void vmm_stop(struct vmm *vmm)
{
	if (vmm->pid > 0) {
		kill(-vmm->pid, SIGKILL);
		kill(vmm->pid, SIGKILL);
		while (waitpid(vmm->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	vmm->pid = -1;
	iol_close(&vmm->listener);
	iol_close(&vmm->in);
	iol_close(&vmm->out);
}

/* ---- waiting ---- */

/* Read what is there, keep the end of it. Return: whether @text came. */
static bool take_output(struct vmm *vmm, const char *text)
{
	const size_t keep = OUTPUT_MAX / 2;
	ssize_t n;

	if (vmm->n > keep) {
		memmove(vmm->output, vmm->output + vmm->n - keep, keep);
		vmm->n = keep;
	}
	n = read(vmm->out, vmm->output + vmm->n, OUTPUT_MAX - vmm->n);
	if (n <= 0)
		return false;
	vmm->n += (size_t)n;
	return text && memmem(vmm->output, vmm->n, text, strlen(text));
}

static bool has_ended(const struct vmm *vmm)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)vmm->pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid;
}

static int ended_early(const struct vmm *vmm, const char *before)
{
	char said[300];

	bench_last_line(vmm->output, vmm->n, said, sizeof(said));
	return iol_fail(ECHILD, "the VMM ended before %s; %s", before, iol_printable(said));
}

/*
 * Until the first KVM_RUN where there is a listener, until @text where there is one, else for all of @seconds.
 * Return: 1 when it came, 0 when the time is over, -EINTR when interrupted, another error when the VMM ended.
 */
static int vmm_wait(struct vmm *vmm, const char *text, double seconds, const char *what,
		    uint64_t *when)
{
	uint64_t end = iol_now() + (uint64_t)(seconds * (double)IOL_NS_PER_S);

	for (;;) {
		struct pollfd fds[] = {
			{ .fd = vmm->out, .events = POLLIN },
			{ .fd = vmm->listener, .events = POLLIN },
		};
		uint64_t now = iol_now(), left;

		if (bench_interrupted)
			return iol_fail(EINTR, "interrupted");
		if (now >= end)
			return 0;
		left = (end - now) / IOL_NS_PER_MS + 1;
		if (poll(fds, 2, left < LOOK_MS ? (int)left : LOOK_MS) < 0 && errno != EINTR)
			return iol_fail(errno, "cannot wait for a VMM: %s", strerror(errno));
		*when = iol_now();
		if (fds[1].revents & POLLIN)
			return 1;
		if (fds[0].revents & POLLIN) {
			if (take_output(vmm, text))
				return 1;
			continue;
		}
		/* It may run on without an output. */
		if (fds[0].revents)
			iol_close(&vmm->out);
		if (has_ended(vmm))
			return ended_early(vmm, what);
	}
}

static int too_late(double seconds, const char *what, const struct vmm *vmm)
{
	char said[300];

	bench_last_line(vmm->output, vmm->n, said, sizeof(said));
	return iol_fail(ETIMEDOUT, "%g s went by without %s (--timeout tells how long to wait); %s",
			seconds, what, iol_printable(said));
}

/* ---- figures ---- */

static double ms_since(const struct vmm *vmm, uint64_t when)
{
	return (double)(when - vmm->start) / (double)IOL_NS_PER_MS;
}

static int measure_start(const struct vmm_options *o, struct vmm *vmm, struct vmm_figures *f)
{
	const char *what = "its guest's first instruction (KVM_RUN)";
	uint64_t when;
	int rc = vmm_wait(vmm, NULL, o->timeout, what, &when);

	if (!rc)
		return too_late(o->timeout, what, vmm);
	if (rc > 0)
		f->first_ms = ms_since(vmm, when);
	return rc < 0 ? rc : 0;
}

static int measure_exits(const struct vmm_options *o, struct vmm *vmm, struct vmm_figures *f)
{
	struct vmm_counts before, after;
	uint64_t when;
	int rc = vmm_counts_read(VMM_DEBUGFS, vmm->pid, &before);

	if (!rc)
		rc = vmm_wait(vmm, NULL, o->exits, "its exits were counted", &when);
	if (!rc)
		rc = vmm_counts_read(VMM_DEBUGFS, vmm->pid, &after);
	if (rc)
		return rc;
	for (unsigned int i = 0; i < VMM_STATS; i++)
		f->exits[i] = (double)(after.of[i] - before.of[i]) /
			      ((double)(after.at - before.at) / (double)IOL_NS_PER_S);
	f->to_user = f->exits[VMM_STAT_IO] + f->exits[VMM_STAT_MMIO] + f->exits[VMM_STAT_SIGNAL] +
		     f->exits[VMM_STAT_WINDOW];
	return 0;
}

static int measure_guest(const struct vmm_options *o, struct vmm *vmm, struct vmm_figures *f)
{
	char what[300];
	uint64_t when;
	int rc;

	snprintf(what, sizeof(what), "its guest's \"%s\"", o->until);
	rc = vmm_wait(vmm, o->until, o->timeout, what, &when);
	if (!rc)
		return too_late(o->timeout, what, vmm);
	if (rc < 0)
		return rc;
	f->up_ms = ms_since(vmm, when);
	f->rss_kib = bench_proc_rss_kib(vmm->pid);
	f->threads = bench_proc_threads(vmm->pid);
	return o->exits > 0 ? measure_exits(o, vmm, f) : 0;
}

int vmm_measure(const struct vmm_options *o, const char *cmd, struct vmm_figures *f)
{
	struct vmm vmm;
	int rc;

	*f = (struct vmm_figures){ -1, -1, -1, -1, .to_user = -1 };
	rc = vmm_start(cmd, true, &vmm);
	if (!rc)
		rc = measure_start(o, &vmm, f);
	vmm_stop(&vmm);
	if (rc || !o->until)
		return rc;
	rc = vmm_start(cmd, false, &vmm);
	if (!rc)
		rc = measure_guest(o, &vmm, f);
	vmm_stop(&vmm);
	return rc;
}

int vmm_run(void *ctx, struct bench_backend *backend, struct bench_result *result)
{
	struct vmm_runs *runs = ctx;
	struct vmm_figures *f = &runs->figures[runs->n];
	int rc = vmm_measure(runs->options, runs->cmd, f);

	if (rc)
		return rc;
	runs->n++;
	result->seconds = f->first_ms / 1e3;
	result->ops = 1;
	result->rss_kib = f->rss_kib;
	return 0;
}
