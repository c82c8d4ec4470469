/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IOL_BASE_SIGNALS_H
#define IOL_BASE_SIGNALS_H

#include <pthread.h>
#include <signal.h>

/**
 * iol_signals_block() - Block what is the program's own threads' affair, before a library's thread is
 * started, which inherits it. Not the signals of faults: a fault whose signal is blocked ends the
 * process without asking any handler, and guest memory that is truncated is such a fault.
 * @old: for pthread_sigmask(SIG_SETMASK) after the start.
 */
static inline void iol_signals_block(sigset_t *old)
{
	sigset_t mask;

	sigfillset(&mask);
	sigdelset(&mask, SIGBUS);
	sigdelset(&mask, SIGSEGV);
	sigdelset(&mask, SIGILL);
	sigdelset(&mask, SIGFPE);
	sigdelset(&mask, SIGTRAP);
	pthread_sigmask(SIG_SETMASK, &mask, old);
}

#endif
