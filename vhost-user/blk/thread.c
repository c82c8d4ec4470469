/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loop of a data thread. A turn looks at every queue, submits once, reaps, and shows each driver
 * what is done. After turns that found nothing it polls on for a while and then sleeps, in one
 * epoll_wait() on its eventfd, the drivers' kicks and its engines.
 *
 * Polling adapts as KVM's halt polling does: when work came soon after the thread went to sleep, it
 * polls longer the next time; when it took long, polling was in vain and stops.
 */
#include "vhost-user/blk/thread.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"
#include "vhost-user/blk/disk.h"
#include "vhost-user/ring.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* The first step of polling, and below which it isn't worth it. */
#define POLL_FIRST_NS (10 * IOL_NS_PER_US)
/* Idle turns between two looks at the clock. */
#define IDLE_TURNS 16
/* A thread that has not looked at a message for so long may be blocked in a call. */
#define BORROW_MS 20
/* How long to sleep when a queue has no kick eventfd. */
#define NO_KICK_NS (100 * IOL_NS_PER_US)
/* How long to sleep at first: what a driver without full barriers stored before is seen then. */
#define AGAIN_MS 5

struct iol_blk_message {
	void (*fn)(void *arg);
	void *arg;
	bool done;
	struct iol_blk_message *next;
};

/* ---- messages ---- */

static void run_messages(struct iol_blk_thread *th)
{
	struct iol_blk_message *m;

	pthread_mutex_lock(&th->lock);
	while ((m = th->messages)) {
		th->messages = m->next;
		if (!th->messages)
			th->messages_tail = &th->messages;
		pthread_mutex_unlock(&th->lock);
		m->fn(m->arg);
		pthread_mutex_lock(&th->lock);
		m->done = true;
		pthread_cond_broadcast(&th->cond);
	}
	__atomic_store_n(&th->pending, false, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&th->lock);
}

void iol_blk_thread_wake(struct iol_blk_thread *th)
{
	eventfd_write(th->wake_fd, 1);
}

/* The deadline of a pthread_cond_timedwait(). */
static struct timespec from_now(unsigned int ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * (long)IOL_NS_PER_MS;
	if (t.tv_nsec >= (long)IOL_NS_PER_S) {
		t.tv_sec++;
		t.tv_nsec -= (long)IOL_NS_PER_S;
	}
	return t;
}

static void take_back(struct iol_blk_thread *th, struct iol_blk_message *m)
{
	struct iol_blk_message **at;

	for (at = &th->messages; *at != m; at = &(*at)->next)
		;
	*at = m->next;
	if (!*at)
		th->messages_tail = at;
}

/*
 * Do the message's work while the thread is blocked in a call. Return: whether it was. The thread may
 * have done it on its way from one call to the next.
 */
static bool borrow(struct iol_blk_thread *th, struct iol_blk_message *m)
{
	unsigned int in_call = IOL_BLK_IN_CALL;
	bool mine, done;

	pthread_mutex_lock(&th->borrow);
	mine = __atomic_compare_exchange_n(&th->blocked, &in_call, IOL_BLK_BORROWED, false,
					   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
	if (mine) {
		pthread_mutex_lock(&th->lock);
		done = m->done;
		if (!done)
			take_back(th, m);
		pthread_mutex_unlock(&th->lock);
		if (!done)
			m->fn(m->arg);
		__atomic_store_n(&th->blocked, IOL_BLK_IN_CALL, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&th->borrow);
	return mine;
}

void iol_blk_thread_call(struct iol_blk_thread *th, void (*fn)(void *arg), void *arg)
{
	struct iol_blk_message m = { .fn = fn, .arg = arg };

	pthread_mutex_lock(&th->lock);
	*th->messages_tail = &m;
	/* cppcheck-suppress autoVariables ; it is waited for below */
	th->messages_tail = &m.next;
	__atomic_store_n(&th->pending, true, __ATOMIC_SEQ_CST);
	iol_blk_thread_wake(th);
	while (!m.done) {
		struct timespec until = from_now(BORROW_MS);

		if (pthread_cond_timedwait(&th->cond, &th->lock, &until) != ETIMEDOUT || m.done)
			continue;
		pthread_mutex_unlock(&th->lock);
		if (borrow(th, &m))
			return;
		pthread_mutex_lock(&th->lock);
	}
	pthread_mutex_unlock(&th->lock);
}

/* ---- queues come and go ---- */

struct queue_call {
	struct iol_blk_queue *q;
	int rc;
	char sentence[IOL_ERROR_MAX]; /* sentences stay with the thread that made them */
};

static int add(struct iol_blk_thread *th, struct iol_blk_queue *q)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int rc;

	if (th->num_queues == th->room) {
		unsigned int room = th->room ? 2 * th->room : 8;
		struct iol_blk_queue **more = realloc(th->queue, room * sizeof(*more));

		if (!more)
			return iol_fail(ENOMEM, "no memory for %u queues", room);
		th->queue = more;
		th->room = room;
	}
	rc = iol_overlap_join(&q->disk->writes, q->size);
	if (rc < 0)
		return rc;
	if (q->disk->fixed_buffers) {
		rc = iol_fixed_get(th, iol_ring_mem(q->ring), &q->fixed);
		if (rc < 0)
			goto quit;
	}
	if (q->port.kick_fd >= 0 &&
	    epoll_ctl(th->epoll_fd, EPOLL_CTL_ADD, q->port.kick_fd, &ev) < 0) {
		rc = iol_fail(errno, "can't wait for its kicks: %s", strerror(errno));
		iol_fixed_put(th, &q->fixed);
		goto quit;
	}
	q->slot = th->engine->ops->attach(th->engine, q->image);
	th->queue[th->num_queues++] = q;
	return 0;
quit:
	iol_overlap_quit(&q->disk->writes, q->size);
	return rc;
}

static void add_message(void *arg)
{
	struct queue_call *c = arg;

	c->rc = add(c->q->thread, c->q);
	if (c->rc < 0)
		memcpy(c->sentence, iol_error(), strnlen(iol_error(), sizeof(c->sentence) - 1));
}

int iol_blk_thread_add(struct iol_blk_queue *q)
{
	struct queue_call c = { .q = q };

	iol_blk_thread_call(q->thread, add_message, &c);
	if (c.rc < 0)
		return iol_fail(-c.rc, "can't start a queue of disk %s: %s", q->disk->name,
				c.sentence);
	return 0;
}

/* Control threads wait for this under the lock. */
static void tell_drained(struct iol_blk_queue *q)
{
	struct iol_blk_thread *th = q->thread;

	pthread_mutex_lock(&th->lock);
	q->drained = true;
	pthread_cond_broadcast(&th->cond);
	pthread_mutex_unlock(&th->lock);
}

/* A thread that another queue's write holds up can't say by itself that this one has nothing left. */
static void stop_message(void *arg)
{
	struct iol_blk_queue *q = arg;

	q->stopping = true;
	if (!q->inflight)
		tell_drained(q);
}

bool iol_blk_thread_drain(struct iol_blk_queue *q, unsigned int timeout_ms)
{
	struct iol_blk_thread *th = q->thread;
	struct timespec until = from_now(timeout_ms);
	bool drained;
	int rc = 0;

	iol_blk_thread_call(th, stop_message, q);
	pthread_mutex_lock(&th->lock);
	while (!q->drained && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&th->cond, &th->lock, &until);
	drained = q->drained;
	pthread_mutex_unlock(&th->lock);
	return drained;
}

static void cancel_message(void *arg)
{
	iol_blk_queue_cancel(arg);
}

void iol_blk_thread_cancel(struct iol_blk_queue *q)
{
	iol_blk_thread_call(q->thread, cancel_message, q);
}

static void drop(struct iol_blk_queue *q)
{
	struct iol_blk_thread *th = q->thread;

	iol_overlap_quit(&q->disk->writes, q->size);
	th->engine->ops->detach(th->engine, q->slot);
	iol_fixed_put(th, &q->fixed);
	iol_blk_queue_free(&q);
}

void iol_blk_thread_bury(struct iol_blk_queue *q)
{
	struct iol_disk *disk = q->disk;

	if (!q->inflight) {
		q->thread->zombies--;
		drop(q);
	}
	iol_disk_zombies_add(disk, -1);
}

static void remove_message(void *arg)
{
	struct queue_call *c = arg;
	struct iol_blk_queue *q = c->q;
	struct iol_blk_thread *th = q->thread;
	unsigned int i;

	/* A burst that a blocked write held up goes on after the cancel. What is held of it nobody would issue. */
	if (q->held)
		iol_blk_queue_cancel(q);
	iol_blk_queue_settle(q, 0);
	for (i = 0; th->queue[i] != q; i++)
		;
	th->queue[i] = th->queue[--th->num_queues];
	if (q->port.kick_fd >= 0)
		epoll_ctl(th->epoll_fd, EPOLL_CTL_DEL, q->port.kick_fd, NULL);
	/*
	 * Nothing newer of the disk's may go before what is left in the log: for as long as the queue is
	 * started, and how old that is, the control thread will say.
	 */
	if (!q->replaying && iol_ring_tracked(q->ring) && iol_ring_inflight(q->ring))
		iol_disk_replay_at(q->disk, q->index, 0);
	c->rc = (int)q->inflight;
	if (!q->inflight) {
		drop(q);
		return;
	}
	/* The ring goes; the memory that storage may still write to, and the disk, stay. */
	q->mem = iol_ring_keep_mem(q->ring);
	q->ring = NULL;
	q->gone = true;
	th->zombies++;
	iol_disk_zombies_add(q->disk, (int)q->inflight);
}

void iol_blk_thread_unchoose(struct iol_blk_thread *th)
{
	pthread_mutex_lock(&th->all->lock);
	th->assigned--;
	pthread_mutex_unlock(&th->all->lock);
}

unsigned int iol_blk_thread_remove(struct iol_blk_queue *q)
{
	struct iol_blk_thread *th = q->thread;
	struct queue_call c = { .q = q };

	iol_blk_thread_call(th, remove_message, &c);
	iol_blk_thread_unchoose(th);
	return (unsigned int)c.rc;
}

/* ---- bounce buffers ---- */

void *iol_bounce_get(struct iol_blk_thread *th)
{
	void *buf;

	if (th->num_bounce)
		return th->bounce[--th->num_bounce];
	return posix_memalign(&buf, 4096, IOL_BOUNCE_SIZE) ? NULL : buf;
}

void iol_bounce_put(struct iol_blk_thread *th, void *buf)
{
	if (th->num_bounce < IOL_BOUNCE_KEEP)
		th->bounce[th->num_bounce++] = buf;
	else
		free(buf);
}

/* ---- the loop ---- */

static unsigned int reap(struct iol_blk_thread *th)
{
	unsigned int n;

	n = th->engine->ops->reap(th->engine, th->done, IOL_BLK_BURST);
	if (th->workers != th->engine)
		n += th->workers->ops->reap(th->workers, th->done + n, IOL_BLK_BURST);
	return n;
}

static void finish(struct iol_blk_thread *th, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct iol_blk_queue *q = ((struct iol_blk_req *)th->done[i])->q;

		iol_blk_req_done(th->done[i]);
		if (q->gone)
			iol_blk_thread_bury(q);
	}
}

static bool turn(struct iol_blk_thread *th)
{
	uint64_t began = th->now;
	bool useful = false;
	unsigned int i, n;

	if (__atomic_load_n(&th->pending, __ATOMIC_RELAXED)) {
		run_messages(th);
		useful = true;
	}
	for (i = 0; i < th->num_queues; i++)
		useful |= iol_blk_queue_turn(th->queue[i]);
	th->engine->ops->submit(th->engine);
	if (th->workers != th->engine)
		th->workers->ops->submit(th->workers);
	n = reap(th);
	if (!useful && !n)
		return false;
	th->now = iol_now();
	finish(th, n);
	for (i = 0; i < th->num_queues; i++) {
		struct iol_blk_queue *q = th->queue[i];

		if (q->pushed || q->turn_ops)
			iol_blk_queue_settle(q, th->now - began);
		if (q->stopping && !q->inflight && !q->drained)
			tell_drained(q);
	}
	return true;
}

/* Kicks are wanted. Return: true when there is something to do already. */
static bool arm(struct iol_blk_thread *th, bool *kicks)
{
	unsigned int i;

	*kicks = true;
	for (i = 0; i < th->num_queues; i++) {
		struct iol_blk_queue *q = th->queue[i];

		if (__atomic_load_n(&q->woken, __ATOMIC_RELAXED))
			return true;
		if (!iol_blk_queue_ready(q))
			continue;
		if (q->port.kick_fd < 0)
			*kicks = false;
		if (iol_ring_arm(q->ring))
			return true;
	}
	return false;
}

static void disarm(struct iol_blk_thread *th)
{
	unsigned int i;

	for (i = 0; i < th->num_queues; i++)
		if (iol_blk_queue_ready(th->queue[i]))
			iol_ring_disarm(th->queue[i]->ring);
}

/* Drivers that missed a call; what kicks were missed for, the next turn finds. See iol_ring_recall(). */
static void look_again(struct iol_blk_thread *th)
{
	unsigned int i;

	th->looked_again = true;
	for (i = 0; i < th->num_queues; i++) {
		struct iol_blk_queue *q = th->queue[i];

		if (!q->failed && iol_ring_recall(q->ring))
			q->port.call(q->port.ctx);
	}
}

/* How many ms to sleep at most, -1 for any time. A queue that waits for others says so when that takes long. */
static int patience(const struct iol_blk_thread *th)
{
	unsigned int i, least = INT_MAX;

	if (!th->looked_again)
		return AGAIN_MS;
	for (i = 0; i < th->num_queues; i++) {
		const struct iol_blk_queue *q = th->queue[i];

		if (q->disk->stop_timeout_ms < least && iol_blk_queue_gated(q))
			least = q->disk->stop_timeout_ms;
	}
	return least < INT_MAX ? (int)least : -1;
}

static void wait_for_work(struct iol_blk_thread *th, bool kicks)
{
	struct timespec shortly = { .tv_nsec = NO_KICK_NS };
	int n, ms = kicks ? patience(th) : 1;
	struct epoll_event ev[16];

	IOL_STAT_ADD(th->stats.sleeps, 1);
	/* Milliseconds will do for all else, and on Linux before 5.11 must. */
	n = kicks ? -1 : epoll_pwait2(th->epoll_fd, ev, 16, &shortly, NULL);
	if (kicks || (n < 0 && errno == ENOSYS))
		n = epoll_wait(th->epoll_fd, ev, 16, ms);
	if (n == 0 && kicks)
		look_again(th);
}

/* @idle_since: when it last had work. */
static void sleep_now(struct iol_blk_thread *th, uint64_t idle_since)
{
	bool busy, kicks;
	uint64_t gap;

	busy = arm(th, &kicks);
	if (!busy)
		busy = th->engine->ops->sleep(th->engine);
	if (!busy && th->workers != th->engine)
		busy = th->workers->ops->sleep(th->workers);
	if (!busy && !__atomic_load_n(&th->pending, __ATOMIC_SEQ_CST))
		wait_for_work(th, kicks);
	th->engine->ops->awake(th->engine);
	if (th->workers != th->engine)
		th->workers->ops->awake(th->workers);
	disarm(th);
	th->now = iol_now();
	gap = th->now - idle_since;
	if (gap > th->poll_max)
		th->poll_ns = 0;
	else if (th->poll_ns < th->poll_max)
		th->poll_ns = th->poll_ns ? 2 * th->poll_ns : POLL_FIRST_NS;
	if (th->poll_ns > th->poll_max)
		th->poll_ns = th->poll_max;
}

static void loop(struct iol_blk_thread *th)
{
	uint64_t idle_since;
	unsigned int idle = 0;

	th->now = idle_since = iol_now();
	while (!th->end) {
		IOL_STAT_ADD(th->stats.turns, 1);
		if (turn(th)) {
			IOL_STAT_ADD(th->stats.useful, 1);
			idle_since = th->now;
			idle = 0;
			th->looked_again = false;
			continue;
		}
		if (th->poll_ns && ++idle % IDLE_TURNS) {
			__builtin_ia32_pause();
			continue;
		}
		if (th->poll_ns)
			th->now = iol_now();
		if (th->now - idle_since >= th->poll_ns)
			sleep_now(th, idle_since);
	}
}

static int set_up(struct iol_blk_thread *th)
{
	struct iol_engine_spec spec = {
		.pool = th->all->pool,
		.sqpoll = th->all->sqpoll,
		.syscalls = &th->stats.syscalls,
	};
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	int rc;

	rc = iol_engine_pool.create(&spec, &th->workers);
	if (rc < 0)
		return rc;
	th->engine = th->workers;
	if (th->all->engine != &iol_engine_pool) {
		rc = th->all->engine->create(&spec, &th->engine);
		if (rc < 0)
			th->engine = th->workers;
		if (rc < 0)
			return rc;
	}
	if (epoll_ctl(th->epoll_fd, EPOLL_CTL_ADD, th->wake_fd, &ev) < 0 ||
	    epoll_ctl(th->epoll_fd, EPOLL_CTL_ADD, th->workers->fd, &ev) < 0 ||
	    (th->engine != th->workers && th->engine->fd >= 0 &&
	     epoll_ctl(th->epoll_fd, EPOLL_CTL_ADD, th->engine->fd, &ev) < 0))
		return iol_fail(errno, "can't wait for I/O: %s", strerror(errno));
	return 0;
}

void *iol_blk_thread_main(void *arg)
{
	struct iol_blk_thread *th = arg;
	char name[16];
	int rc;

	snprintf(name, sizeof(name), "iolane-blk%u", th->index);
	pthread_setname_np(pthread_self(), name);
	rc = set_up(th);
	pthread_mutex_lock(&th->lock);
	th->up = true;
	th->up_error = rc;
	if (rc < 0)
		snprintf(th->up_sentence, sizeof(th->up_sentence), "%s", iol_error());
	pthread_cond_broadcast(&th->cond);
	pthread_mutex_unlock(&th->lock);
	if (rc < 0)
		return NULL;
	loop(th);
	pthread_mutex_lock(&th->lock);
	th->ended = true;
	pthread_cond_broadcast(&th->cond);
	pthread_mutex_unlock(&th->lock);
	return NULL;
}
