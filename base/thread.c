/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/thread.h"

#include <signal.h>

int iol_thread_start(pthread_t *id, size_t stack, void *(*fn)(void *arg), void *arg)
{
	pthread_t detached;
	pthread_attr_t attr;
	sigset_t mask, old;
	int rc;

	rc = pthread_attr_init(&attr);
	if (rc)
		return -rc;
	if (stack)
		pthread_attr_setstacksize(&attr, stack);
	if (!id)
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&mask);
	sigdelset(&mask, SIGBUS);
	sigdelset(&mask, SIGSEGV);
	sigdelset(&mask, SIGILL);
	sigdelset(&mask, SIGFPE);
	sigdelset(&mask, SIGTRAP);
	/* A thread inherits the mask of the one that starts it. */
	pthread_sigmask(SIG_SETMASK, &mask, &old);
	rc = pthread_create(id ? id : &detached, &attr, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return -rc;
}
