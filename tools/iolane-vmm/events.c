/* SPDX-License-Identifier: BSD-3-Clause */
#include "events.h"

#include "base/error.h"
#include "devices.h"
#include "terminal.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const int fatal[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS };

/* A processor's thread leaves KVM_RUN, nothing else. */
static void nothing(int sig)
{
}

/* What printf does, where it must not be called. */
static void say_forbidden(unsigned int call)
{
	char line[] = "iolane-vmm: ended, as it asked the kernel for what it may not: call ....\n";
	char *digit = line + sizeof(line) - 3;

	do {
		*digit-- = (char)('0' + call % 10);
		call /= 10;
	} while (*digit == '.');
	if (write(STDERR_FILENO, line, sizeof(line) - 1) < 0)
		return;
}

static void die(int sig, siginfo_t *info, void *context)
{
	terminal_restore();
	if (sig == SIGSYS)
		say_forbidden((unsigned int)info->si_syscall);
	signal(sig, SIG_DFL);
	raise(sig);
}

int events_signals(void)
{
	struct sigaction kick = { .sa_handler = nothing };
	struct sigaction death = { .sa_sigaction = die, .sa_flags = SA_NODEFER | SA_SIGINFO };
	sigset_t set;
	size_t i;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGCONT);
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || sigprocmask(SIG_BLOCK, &set, NULL) < 0 ||
	    sigaction(SIGUSR1, &kick, NULL) < 0)
		return iol_fail(errno, "cannot set up signals: %s", strerror(errno));
	for (i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		sigaction(fatal[i], &death, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? iol_fail(errno, "cannot set up signals: %s", strerror(errno)) : fd;
}

/* Return: whether the signal ends the program. */
static bool take_signal(int signals, struct terminal *t)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) != sizeof(info))
		return false;
	if (info.ssi_signo != SIGCONT)
		return true;
	terminal_resume(t);
	return false;
}

static void help(void)
{
	iol_log(IOL_LOG_INFO,
		"Ctrl-A X ends the guest, Ctrl-A B sends a break, Ctrl-A Ctrl-A sends "
		"Ctrl-A");
}

/* Return: whether the guest is to be ended. */
static bool take_input(struct machine *m, struct terminal *t)
{
	uint8_t bytes[SERIAL_FIFO];
	size_t room = serial_room(&m->serial), len;
	ssize_t n = read(STDIN_FILENO, bytes, room);

	if (!room || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return false;
	if (n <= 0) {
		t->ended = true;
		return false;
	}
	len = (size_t)n;
	switch (terminal_filter(t, bytes, &len)) {
	case TERMINAL_QUIT:
		return true;
	case TERMINAL_BREAK:
		serial_break(&m->serial);
		break;
	case TERMINAL_HELP:
		help();
		break;
	default:
		break;
	}
	serial_receive(&m->serial, bytes, len);
	return false;
}

static int poll_function(struct machine *m, unsigned int slot)
{
	int rc;

	pthread_mutex_lock(&m->lock);
	rc = iol_pci_function_poll(m->pci.fn[slot]);
	if (rc == -ENODEV) {
		iol_log(IOL_LOG_WARNING, "the host takes the device in slot %u back: %s", slot,
			iol_error());
		pci_host_remove(&m->pci, slot);
		rc = 0;
	}
	pthread_mutex_unlock(&m->lock);
	return rc < 0 ? iol_fail_more(rc, "the device in slot %u", slot) : 0;
}

/* Return: 0 to go on, or as events_run(), the exit status being one more. */
static int do_want(struct machine *m)
{
	enum machine_want want;
	uint64_t count;
	int rc;

	eventfd_read(m->wake, &count);
	pthread_mutex_lock(&m->run_lock);
	want = m->want;
	pthread_mutex_unlock(&m->run_lock);
	switch (want) {
	case MACHINE_RUN:
		return 0;
	case MACHINE_OFF:
		return 1;
	case MACHINE_FAIL:
		return iol_fail(EIO, "%s", m->why);
	default:
		break;
	}
	if (m->opts->no_reboot)
		return STATUS_RESET + 1;
	machine_pause(m);
	m->want = MACHINE_RUN;
	rc = machine_reset(m);
	if (!rc)
		machine_resume(m);
	return rc;
}

enum { FD_SIGNALS, FD_WAKE, FD_INPUT, FD_FUNCTIONS };

static void set_fds(struct machine *m, const struct terminal *t, int signals, struct pollfd *fds)
{
	unsigned int i;

	fds[FD_SIGNALS].fd = signals;
	fds[FD_WAKE].fd = m->wake;
	fds[FD_INPUT].fd = terminal_reads(t) && serial_room(&m->serial) ? STDIN_FILENO : -1;
	for (i = 0; i < PCI_SLOTS; i++)
		fds[FD_FUNCTIONS + i].fd = m->pci.fn[i] ? iol_pci_function_fd(m->pci.fn[i]) : -1;
	for (i = 0; i < FD_FUNCTIONS + PCI_SLOTS; i++)
		fds[i].events = POLLIN;
}

int events_run(struct machine *m, int signals)
{
	struct pollfd fds[FD_FUNCTIONS + PCI_SLOTS];
	struct terminal t;
	unsigned int i;
	int rc;

	terminal_open(&t);
	rc = sandbox_enter(&m->main_sandbox);
	if (!rc)
		machine_resume(m);
	while (!rc) {
		set_fds(m, &t, signals, fds);
		if (poll(fds, FD_FUNCTIONS + PCI_SLOTS, -1) < 0) {
			if (errno != EINTR)
				rc = iol_fail(errno, "cannot wait for events: %s", strerror(errno));
			continue;
		}
		if (fds[FD_SIGNALS].revents && take_signal(signals, &t))
			rc = 1;
		if (!rc && fds[FD_INPUT].revents && take_input(m, &t))
			rc = 1;
		for (i = 0; !rc && i < PCI_SLOTS; i++) {
			if (fds[FD_FUNCTIONS + i].revents)
				rc = poll_function(m, i);
		}
		if (!rc && fds[FD_WAKE].revents)
			rc = do_want(m);
	}
	machine_stop(m);
	terminal_restore();
	return rc > 0 ? rc - 1 : rc;
}
