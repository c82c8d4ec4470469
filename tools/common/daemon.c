/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/common/daemon.h"

#include "base/error.h"
#include "base/own.h"

#include <iolane/vhost_user.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

static int set_up_signals(struct daemon *d)
{
	struct epoll_event ev = { .events = EPOLLIN };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return iol_fail(errno, "cannot set up signals: %s", strerror(errno));
	d->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (d->signals < 0 || epoll_ctl(d->epoll, EPOLL_CTL_ADD, d->signals, &ev) < 0)
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

int daemon_start(struct daemon *d)
{
	int rc;

	d->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (d->epoll < 0)
		return iol_fail(errno, "cannot make an epoll descriptor: %s", strerror(errno));
	rc = set_up_signals(d);
	if (rc < 0)
		return rc;
	raise_descriptor_limit();
	return 0;
}

int daemon_control(struct daemon *d, const char *path, const struct ctl_verbs *verbs)
{
	int rc;

	rc = ctl_server_new(path, d->epoll, verbs, &d->control);
	if (!rc)
		iol_log(IOL_LOG_INFO, "control socket on %s", path);
	return rc;
}

/* Return: the signal that ends the program, or 0. */
static int take_signal(struct daemon *d, const struct daemon_hooks *hooks)
{
	struct signalfd_siginfo info;

	if (read(d->signals, &info, sizeof(info)) != sizeof(info))
		return 0;
	if (info.ssi_signo != SIGHUP)
		return (int)info.ssi_signo;
	if (hooks->hangup)
		hooks->hangup(hooks->ctx);
	return 0;
}

static int next_timeout(struct daemon *d, const struct daemon_hooks *hooks)
{
	int ours = d->control ? ctl_server_tick(d->control) : -1;
	int theirs = hooks->timeout(hooks->ctx);

	if (ours < 0 || theirs < 0)
		return ours < 0 ? theirs : ours;
	return ours < theirs ? ours : theirs;
}

const char *daemon_serve(struct daemon *d, const struct daemon_hooks *hooks)
{
	for (;;) {
		struct epoll_event ev;
		int n, sig = 0;

		n = epoll_wait(d->epoll, &ev, 1, next_timeout(d, hooks));
		if (n < 0 && errno != EINTR) {
			iol_fail(errno, "cannot wait for events: %s", strerror(errno));
			return NULL;
		}
		if (n > 0 && !ev.data.ptr)
			sig = take_signal(d, hooks);
		else if (n > 0)
			ctl_server_event(d->control, ev.data.ptr, ev.events);
		if (sig)
			return sig == SIGINT ? "interrupted" : "terminated";
		if (!hooks->turn(hooks->ctx))
			return "no front end is left";
	}
}

void daemon_end(struct daemon *d)
{
	ctl_server_destroy(&d->control);
	iol_close(&d->signals);
	iol_close(&d->epoll);
}
