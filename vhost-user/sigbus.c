/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/sigbus.h"

#include <iolane/vhost_user.h>

#include "base/error.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/*
 * Entries are linked once and never freed, so that the handler walks the list at any instant
 * without a lock; a removed entry waits, empty, for the next iol_sigbus_add(). A fault comes only
 * from a thread that uses the range, and a range is removed only when nobody does, so the entry
 * that matches cannot change under the handler; the others may, and @end, written last and
 * cleared first, keeps a half-written one from matching.
 */
struct iol_sigbus_range {
	struct iol_sigbus_range *next;
	uintptr_t start;
	uintptr_t end;
	int wake_fd;
	bool *broken;
	bool taken;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct iol_sigbus_range *head;
static struct sigaction previous;
static bool installed;

struct iol_sigbus_range *iol_sigbus_add(void *start, size_t len, int wake_fd, bool *broken)
{
	struct iol_sigbus_range *r;

	pthread_mutex_lock(&lock);
	for (r = head; r && r->taken; r = r->next)
		;
	if (!r) {
		r = calloc(1, sizeof(*r));
		if (!r) {
			pthread_mutex_unlock(&lock);
			iol_fail(ENOMEM, "no memory to watch a mapping for truncation");
			return NULL;
		}
		r->next = head;
		__atomic_store_n(&head, r, __ATOMIC_RELEASE);
	}
	r->taken = true;
	__atomic_store_n(&r->wake_fd, wake_fd, __ATOMIC_RELAXED);
	__atomic_store_n(&r->broken, broken, __ATOMIC_RELAXED);
	__atomic_store_n(&r->start, (uintptr_t)start, __ATOMIC_RELAXED);
	__atomic_store_n(&r->end, (uintptr_t)start + len, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
	return r;
}

void iol_sigbus_remove(struct iol_sigbus_range **range)
{
	struct iol_sigbus_range *r = *range;

	*range = NULL;
	if (!r)
		return;
	pthread_mutex_lock(&lock);
	__atomic_store_n(&r->end, 0, __ATOMIC_RELEASE);
	r->taken = false;
	pthread_mutex_unlock(&lock);
}

void iol_sigbus_disown(const bool *broken)
{
	static bool nobody;
	struct iol_sigbus_range *r;

	pthread_mutex_lock(&lock);
	for (r = head; r; r = r->next) {
		if (!r->taken || r->broken != broken)
			continue;
		__atomic_store_n(&r->wake_fd, -1, __ATOMIC_RELAXED);
		__atomic_store_n(&r->broken, &nobody, __ATOMIC_RELAXED);
	}
	pthread_mutex_unlock(&lock);
}

/*
 * Zero pages from the fault to the end of the range: all of that lies past the file's new end.
 * What is before it stays, as requests in flight may still be reading it. Huge pages can only be
 * replaced whole, so wider and wider steps are tried.
 */
static bool cover(uintptr_t start, uintptr_t end, uintptr_t addr)
{
	static const uintptr_t align[] = { 4096, 2u << 20, 1u << 30 };
	size_t i;

	for (i = 0; i <= sizeof(align) / sizeof(align[0]); i++) {
		uintptr_t from = start;

		if (i < sizeof(align) / sizeof(align[0]))
			from = addr & ~(align[i] - 1);
		if (from < start)
			from = start;
		if (mmap((void *)from, end - from, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
			 0) != MAP_FAILED)
			return true;
	}
	return false;
}

bool iol_sigbus_handle(void *addr)
{
	const uint64_t one = 1;
	uintptr_t at = (uintptr_t)addr;
	struct iol_sigbus_range *r;
	int saved = errno;
	bool done = false;

	for (r = __atomic_load_n(&head, __ATOMIC_ACQUIRE); r; r = r->next) {
		uintptr_t end = __atomic_load_n(&r->end, __ATOMIC_ACQUIRE);
		uintptr_t start = __atomic_load_n(&r->start, __ATOMIC_ACQUIRE);
		int wake_fd;

		if (at < start || at >= end)
			continue;
		/* Both of one range, and not of two that had the entry one after the other. */
		if (__atomic_load_n(&r->end, __ATOMIC_RELAXED) != end)
			continue;
		if (!cover(start, end, at))
			break;
		__atomic_store_n(__atomic_load_n(&r->broken, __ATOMIC_RELAXED), true,
				 __ATOMIC_RELEASE);
		wake_fd = __atomic_load_n(&r->wake_fd, __ATOMIC_RELAXED);
		/* The only failure, a full eventfd, means that it is readable already. */
		if (wake_fd >= 0 && write(wake_fd, &one, sizeof(one)) < 0)
			errno = saved;
		done = true;
		break;
	}
	errno = saved;
	return done;
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	bool fault = info->si_code > 0; /* not sent by a process */

	if (fault && iol_sigbus_handle(info->si_addr))
		return;
	if (previous.sa_flags & SA_SIGINFO) {
		previous.sa_sigaction(sig, info, context);
	} else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
		previous.sa_handler(sig);
	} else {
		/* The access is tried again on return, and ends the process as it would have. */
		signal(SIGBUS, SIG_DFL);
		if (!fault)
			raise(SIGBUS);
	}
}

int iol_sigbus_install(void)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	int rc = 0;

	sigemptyset(&sa.sa_mask);
	pthread_mutex_lock(&lock);
	if (!installed) {
		if (sigaction(SIGBUS, &sa, &previous) < 0)
			rc = iol_fail(errno, "cannot install a handler for SIGBUS: %s",
				      strerror(errno));
		else
			installed = true;
	}
	pthread_mutex_unlock(&lock);
	return rc;
}
