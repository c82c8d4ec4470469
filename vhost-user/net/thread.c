/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loop of a poll thread. A turn takes a burst from every source and passes it on. After turns that
 * found nothing the thread polls on for a while and then sleeps, in one epoll_wait() on its eventfd, its guests'
 * kicks and its uplinks' interrupts.
 *
 * Polling adapts as KVM's halt polling does: when work came soon after the thread went to sleep, it
 * polls longer the next time; when it took long, polling was in vain and stops.
 */
#include "vhost-user/net/switch.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"
#include "vhost-user/net/offload.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <rte_lcore.h>
#include <rte_pause.h>

/* The first step of polling, and below which it isn't worth it. */
#define POLL_FIRST_NS (10 * IOL_NS_PER_US)
/* Idle turns between two looks at the clock, and useful ones. */
#define IDLE_TURNS   16
#define USEFUL_TURNS 64
/* How long to sleep at first: what a driver without full barriers stored before is seen then. */
#define AGAIN_MS 5
/* How long to sleep where nothing tells of frames: as long as it has been quiet, within these bounds. */
#define BLIND_MIN_NS (20 * IOL_NS_PER_US)
#define BLIND_MAX_NS (1 * IOL_NS_PER_MS)

int iol_net_thread_new(struct iol_net *net, unsigned int index, struct net_thread **out)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	struct net_thread *th;

	th = aligned_alloc(64, (sizeof(*th) + 63) / 64 * 64);
	if (!th)
		return iol_fail(ENOMEM, "no memory for a thread");
	memset(th, 0, sizeof(*th));
	th->net = net;
	th->index = index;
	th->cpu = -1;
	th->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	th->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	th->scratch = malloc(IOL_FRAME_MAX);
	th->sources = calloc(1, sizeof(*th->sources));
	*out = th;
	if (!th->scratch || !th->sources)
		return iol_fail(ENOMEM, "no memory for a thread");
	if (th->epoll_fd < 0 || th->wake_fd < 0 ||
	    epoll_ctl(th->epoll_fd, EPOLL_CTL_ADD, th->wake_fd, &ev) < 0)
		return iol_fail(errno, "can't make descriptors for a thread: %s", strerror(errno));
	return 0;
}

void iol_net_thread_free(struct net_thread **p)
{
	struct net_thread *th = iol_take_ptr(*p);

	if (!th)
		return;
	iol_close(&th->epoll_fd);
	iol_close(&th->wake_fd);
	free(th->scratch);
	free(th->sources);
	free(th);
}

void iol_net_thread_wake(struct net_thread *th)
{
	eventfd_write(th->wake_fd, 1);
}

static inline bool is_idle(const struct net_source *s)
{
	return s->failed || __atomic_load_n(&s->paused, __ATOMIC_ACQUIRE);
}

static bool turn(struct net_thread *th, const struct net_sources *all)
{
	bool useful = false;
	unsigned int i;

	th->ports = __atomic_load_n(&th->net->ports, __ATOMIC_ACQUIRE);
	for (i = 0; i < all->num; i++) {
		struct net_source *s = all->source[i];

		if (!is_idle(s))
			useful |= s->in(th, s);
	}
	return useful;
}

/* Let everything wake us. Return: true when there is something to do already. */
static bool arm(const struct net_sources *all, bool *blind)
{
	unsigned int i;

	*blind = false;
	for (i = 0; i < all->num; i++) {
		struct net_source *s = all->source[i];

		if (is_idle(s))
			continue;
		if (s->arm(s))
			return true;
		*blind |= s->blind;
	}
	return false;
}

static void disarm(const struct net_sources *all)
{
	unsigned int i;

	for (i = 0; i < all->num; i++)
		if (!is_idle(all->source[i]))
			all->source[i]->disarm(all->source[i]);
}

/* Return: false when the time that a first sleep has went by. */
static bool wait_for_work(struct net_thread *th, bool blind, uint64_t quiet_ns)
{
	struct timespec shortly = { 0 };
	struct epoll_event ev[16];
	int n, ms = th->looked_again ? -1 : AGAIN_MS;

	IOL_STAT_ADD(th->stats.sleeps, 1);
	if (!blind)
		return epoll_wait(th->epoll_fd, ev, 16, ms) != 0;
	if (quiet_ns < BLIND_MIN_NS)
		quiet_ns = BLIND_MIN_NS;
	shortly.tv_nsec = (long)(quiet_ns < BLIND_MAX_NS ? quiet_ns : BLIND_MAX_NS);
	n = epoll_pwait2(th->epoll_fd, ev, 16, &shortly, NULL);
	/* Linux before 5.11 knows milliseconds only. */
	if (n < 0 && errno == ENOSYS)
		epoll_wait(th->epoll_fd, ev, 16, 1);
	return quiet_ns < AGAIN_MS * IOL_NS_PER_MS;
}

static void look_at_clock(struct net_thread *th)
{
	th->now = iol_now();
	th->now_s = (uint32_t)(th->now / IOL_NS_PER_S);
}

/* @idle_since: when it last had work. */
static void sleep_now(struct net_thread *th, const struct net_sources *all, uint64_t idle_since)
{
	struct rte_rcu_qsbr *rcu = th->net->rcu;
	/* What came before interrupts were on tells of itself by none, so look once more. */
	bool blind, busy = arm(all, &blind) || turn(th, all);
	uint64_t gap;

	if (busy) {
		th->looked_again = false;
	} else {
		/* Control need not wait for who sleeps; what is in @all may be gone afterwards. */
		rte_rcu_qsbr_thread_offline(rcu, th->index);
		/* Who was woken and finds nothing looks again, too: it may come to be seen after what woke. */
		th->looked_again = !wait_for_work(th, blind, th->now - idle_since);
		rte_rcu_qsbr_thread_online(rcu, th->index);
		all = __atomic_load_n(&th->sources, __ATOMIC_ACQUIRE);
	}
	disarm(all);
	look_at_clock(th);
	gap = th->now - idle_since;
	if (gap > th->poll_max)
		th->poll_ns = 0;
	else if (th->poll_ns < th->poll_max)
		th->poll_ns = th->poll_ns ? 2 * th->poll_ns : POLL_FIRST_NS;
	if (th->poll_ns > th->poll_max)
		th->poll_ns = th->poll_max;
}

static void loop(struct net_thread *th)
{
	struct rte_rcu_qsbr *rcu = th->net->rcu;
	unsigned int idle = 0, useful = 0;
	uint64_t idle_since;

	look_at_clock(th);
	idle_since = th->now;
	while (!__atomic_load_n(&th->net->end, __ATOMIC_RELAXED)) {
		const struct net_sources *all = __atomic_load_n(&th->sources, __ATOMIC_ACQUIRE);
		bool worked = turn(th, all);

		IOL_STAT_ADD(th->stats.turns, 1);
		rte_rcu_qsbr_quiescent(rcu, th->index);
		if (worked) {
			IOL_STAT_ADD(th->stats.useful, 1);
			idle = 0;
			th->looked_again = false;
			if (useful++ % USEFUL_TURNS == 0)
				look_at_clock(th);
			continue;
		}
		/* Time goes by from the first turn that found nothing. */
		if (!idle++) {
			look_at_clock(th);
			idle_since = th->now;
		}
		if ((th->always || th->poll_ns) && idle % IDLE_TURNS) {
			rte_pause();
			continue;
		}
		look_at_clock(th);
		if (!th->always && th->now - idle_since >= th->poll_ns) {
			all = __atomic_load_n(&th->sources, __ATOMIC_ACQUIRE);
			sleep_now(th, all, idle_since);
		}
	}
}

int iol_net_thread_main(void *arg)
{
	struct net_thread *th = arg;

	rte_rcu_qsbr_thread_register(th->net->rcu, th->index);
	rte_rcu_qsbr_thread_online(th->net->rcu, th->index);
	loop(th);
	rte_rcu_qsbr_thread_offline(th->net->rcu, th->index);
	rte_rcu_qsbr_thread_unregister(th->net->rcu, th->index);
	__atomic_store_n(&th->ended, true, __ATOMIC_RELEASE);
	return 0;
}
