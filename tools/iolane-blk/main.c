/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * iolane-blk: serve disks over vhost-user. The main thread only starts and ends things, and sits
 * in one epoll_wait() for signals and the control socket; data and control threads do the rest.
 */
#include "base/error.h"
#include "base/own.h"
#include "control.h"
#include "options.h"
#include "tools/common/prog.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

/* How often to look whether the front end of an --fd has gone. */
#define FD_CHECK_MS 200

struct program {
	struct disks disks;
	struct control *control;
	int epoll;
	int signals;
};

/*
 * Signals are taken from a descriptor, and threads inherit the mask: call this before there is any.
 */
static int set_up_signals(struct program *p)
{
	struct epoll_event ev = { .events = EPOLLIN };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return iol_fail(errno, "cannot set up signals: %s", strerror(errno));
	p->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p->signals < 0 || epoll_ctl(p->epoll, EPOLL_CTL_ADD, p->signals, &ev) < 0)
		return iol_fail(errno, "cannot set up signals: %s", strerror(errno));
	return iol_sigbus_install();
}

/* Each queue brings three descriptors and each piece of guest memory may bring one. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		iol_log(IOL_LOG_DEBUG, "the limit of open files stays: %s", strerror(errno));
}

static int start(struct program *p, struct options *o)
{
	struct disk *d;
	unsigned int i;
	int rc;

	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (p->epoll < 0)
		return iol_fail(errno, "cannot make an epoll descriptor: %s", strerror(errno));
	rc = set_up_signals(p);
	if (rc < 0)
		return rc;
	raise_descriptor_limit();
	p->disks.engine = o->threads.engine;
	rc = iol_blk_threads_new(&o->threads, &p->disks.threads);
	if (rc < 0)
		return rc;
	for (i = 0; i < o->num_disks; i++) {
		rc = disks_add(&p->disks, &o->disks[i], &d);
		if (rc < 0)
			return rc;
	}
	if (o->control)
		rc = control_new(o->control, p->epoll, &p->disks, &p->control);
	if (!rc && o->control)
		iol_log(IOL_LOG_INFO, "control socket on %s", o->control);
	return rc;
}

static void stop(struct program *p)
{
	control_destroy(&p->control);
	disks_del_all(&p->disks);
	if (p->disks.threads)
		iol_blk_threads_destroy(&p->disks.threads);
	iol_close(&p->signals);
	iol_close(&p->epoll);
}

/* Return: the signal that ends the program, or 0. */
static int take_signal(struct program *p)
{
	struct signalfd_siginfo info;

	if (read(p->signals, &info, sizeof(info)) != sizeof(info))
		return 0;
	if (info.ssi_signo != SIGHUP)
		return (int)info.ssi_signo;
	disks_refresh(&p->disks);
	return 0;
}

static int next_timeout(const struct program *p)
{
	int timeout = p->control ? control_tick(p->control) : -1;

	if (p->disks.num_fds && (timeout < 0 || timeout > FD_CHECK_MS))
		timeout = FD_CHECK_MS;
	return timeout;
}

/* Return: what ended it, in words; NULL with the sentence set when waiting failed. */
static const char *serve(struct program *p)
{
	for (;;) {
		struct epoll_event ev;
		int n, sig = 0;

		n = epoll_wait(p->epoll, &ev, 1, next_timeout(p));
		if (n < 0 && errno != EINTR) {
			iol_fail(errno, "cannot wait for events: %s", strerror(errno));
			return NULL;
		}
		if (n > 0 && !ev.data.ptr)
			sig = take_signal(p);
		else if (n > 0)
			control_event(p->control, ev.data.ptr, ev.events);
		if (sig)
			return sig == SIGINT ? "interrupted" : "terminated";
		disks_reap(&p->disks);
		if (!p->disks.count && !p->control)
			return "no front end is left";
	}
}

int main(int argc, char **argv)
{
	struct program p = { .epoll = -1, .signals = -1 };
	struct options options;
	const char *why = NULL;
	int status;

	prog_start("iolane-blk", IOL_LOG_INFO);
	status = options_parse(&options, argc, argv);
	if (status < 0) {
		if (options.verbose)
			prog_start("iolane-blk", IOL_LOG_DEBUG);
		if (!start(&p, &options))
			why = serve(&p);
		status = why ? PROG_OK : prog_fail();
		stop(&p);
		if (why)
			iol_log(IOL_LOG_INFO, "ended cleanly: %s", why);
	}
	options_free(&options);
	return status;
}
