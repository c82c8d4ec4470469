/* SPDX-License-Identifier: BSD-3-Clause */
/* The data threads as a whole: probing the engine, start, end, and who serves what. */
#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"
#include "base/thread.h"
#include "vhost-user/blk/thread.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>

#define THREADS_MAX 64
#define STACK_SIZE  (256u << 10)
/* Blocking calls at a time, in the whole process. */
#define POOL_MAX 16
/*
 * Measured: a guest at depth 1 whose processor sleeps between requests did 33 thousand of them a
 * second with 0 and 20, 63 with 50, 74 with 100; with a request every 60 us, 50 costs a quarter
 * of a core, and 100 all of it.
 */
#define POLL_DEFAULT_US 50
#define POLL_MAX_US     1000000u
/* How long the end waits for a thread that storage holds up in a write. */
#define END_S 1

static int start_thread(struct iol_blk_thread *th)
{
	int rc = iol_thread_start(&th->id, STACK_SIZE, iol_blk_thread_main, th);

	if (rc < 0)
		return iol_fail(-rc, "can't start a data thread: %s", strerror(-rc));
	pthread_mutex_lock(&th->lock);
	while (!th->up)
		pthread_cond_wait(&th->cond, &th->lock);
	rc = th->up_error;
	pthread_mutex_unlock(&th->lock);
	if (rc < 0) {
		pthread_join(th->id, NULL);
		return iol_fail(-rc, "%s", th->up_sentence);
	}
	return 0;
}

static int init_thread(struct iol_blk_threads *all, unsigned int index)
{
	struct iol_blk_thread *th = &all->thread[index];
	pthread_condattr_t attr;

	th->all = all;
	th->index = index;
	th->poll_max = all->poll_max;
	th->messages_tail = &th->messages;
	th->released_tail = &th->released;
	pthread_mutex_init(&th->lock, NULL);
	pthread_mutex_init(&th->borrow, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&th->cond, &attr);
	pthread_condattr_destroy(&attr);
	th->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	th->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (th->wake_fd < 0 || th->epoll_fd < 0)
		return iol_fail(errno, "can't make an eventfd for a data thread: %s",
				strerror(errno));
	return start_thread(th);
}

static void end_message(void *arg)
{
	struct iol_blk_thread *th = arg;

	th->end = true;
}

static void free_thread(struct iol_blk_thread *th)
{
	if (th->engine && th->engine != th->workers)
		th->engine->ops->destroy(th->engine);
	if (th->workers)
		th->workers->ops->destroy(th->workers);
	while (th->num_bounce)
		free(th->bounce[--th->num_bounce]);
	free(th->queue);
	iol_close(&th->wake_fd);
	iol_close(&th->epoll_fd);
	pthread_cond_destroy(&th->cond);
	pthread_mutex_destroy(&th->borrow);
	pthread_mutex_destroy(&th->lock);
}

/* Return: whether it has ended. */
static bool end_thread(struct iol_blk_thread *th)
{
	struct timespec until;
	bool ended;
	int rc = 0;

	if (!th->up || th->up_error)
		return true;
	iol_blk_thread_call(th, end_message, th);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += END_S;
	pthread_mutex_lock(&th->lock);
	while (!th->ended && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&th->cond, &th->lock, &until);
	ended = th->ended;
	pthread_mutex_unlock(&th->lock);
	if (ended)
		pthread_join(th->id, NULL);
	else
		pthread_detach(th->id);
	return ended;
}

void iol_blk_threads_destroy(struct iol_blk_threads **p)
{
	struct iol_blk_threads *all = iol_take_ptr(*p);
	bool stuck = false, ended = true;
	unsigned int i;

	if (!all)
		return;
	for (i = 0; i < all->num; i++) {
		ended &= end_thread(&all->thread[i]);
		stuck |= !ended || all->thread[i].zombies > 0;
	}
	/* A thread that goes on some day needs the pool. */
	stuck |= ended && iol_pool_destroy(&all->pool) < 0;
	if (stuck) {
		iol_log(IOL_LOG_WARNING, "operations that storage never answered are left behind");
		return;
	}
	for (i = 0; i < all->num; i++)
		free_thread(&all->thread[i]);
	munmap(all->zeroes, IOL_ZEROES_SIZE);
	pthread_mutex_destroy(&all->lock);
	free(all);
}

int iol_blk_threads_make(const struct iol_blk_threads_spec *spec,
			 const struct iol_engine_ops *engine, struct iol_blk_threads **out)
{
	uint64_t poll_us = spec->poll_us == IOL_BLK_POLL_DEFAULT ? POLL_DEFAULT_US : spec->poll_us;
	struct iol_blk_threads *all;
	unsigned int i;
	int rc;

	if (!spec->num || spec->num > THREADS_MAX)
		return iol_fail(EINVAL, "a process has 1 to %u data threads, not %u", THREADS_MAX,
				spec->num);
	if (poll_us > POLL_MAX_US)
		return iol_fail(EINVAL, "polling lasts %u us at most, not %u", POLL_MAX_US,
				spec->poll_us);
	all = calloc(1, sizeof(*all) + spec->num * sizeof(all->thread[0]));
	if (!all)
		return iol_fail(ENOMEM, "no memory for data threads");
	pthread_mutex_init(&all->lock, NULL);
	all->engine = engine;
	all->sqpoll = spec->sqpoll;
	all->poll_max = poll_us * IOL_NS_PER_US;
	all->zeroes = mmap(NULL, IOL_ZEROES_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (all->zeroes == MAP_FAILED) {
		free(all);
		return iol_fail(ENOMEM, "no memory for data threads");
	}
	rc = iol_pool_new(POOL_MAX, &all->pool);
	for (i = 0; i < spec->num && rc == 0; i++) {
		all->num++;
		rc = init_thread(all, i);
	}
	if (rc < 0) {
		iol_blk_threads_destroy(&all);
		return rc;
	}
	*out = all;
	return 0;
}

int iol_blk_threads_new(const struct iol_blk_threads_spec *spec, struct iol_blk_threads **threads)
{
	const struct iol_engine_ops *engine = &iol_engine_uring;
	int rc;

	if (spec->engine == IOL_BLK_ENGINE_POOL) {
		engine = &iol_engine_pool;
	} else {
		rc = iol_engine_uring_probe();
		if (rc < 0 && spec->engine == IOL_BLK_ENGINE_URING)
			return rc;
		if (rc < 0) {
			iol_log(IOL_LOG_WARNING,
				"%s; I/O that is not in the page cache goes through threads that "
				"call preadv and pwritev, at a fraction of the speed",
				iol_error());
			engine = &iol_engine_pool;
		}
	}
	if (spec->sqpoll && engine == &iol_engine_pool)
		return iol_fail(EINVAL, "sqpoll needs io_uring, which is not in use");
	return iol_blk_threads_make(spec, engine, threads);
}

const char *iol_blk_threads_engine(const struct iol_blk_threads *threads)
{
	return threads->engine->name;
}

struct iol_blk_thread *iol_blk_thread_choose(struct iol_blk_threads *all)
{
	struct iol_blk_thread *best = &all->thread[0];
	unsigned int i;

	pthread_mutex_lock(&all->lock);
	for (i = 1; i < all->num; i++)
		if (all->thread[i].assigned < best->assigned)
			best = &all->thread[i];
	best->assigned++;
	pthread_mutex_unlock(&all->lock);
	return best;
}

void iol_blk_threads_wake(struct iol_blk_threads *all)
{
	unsigned int i;

	for (i = 0; i < all->num; i++)
		iol_blk_thread_wake(&all->thread[i]);
}

int iol_blk_threads_stats(const struct iol_blk_threads *all, unsigned int index,
			  struct iol_blk_thread_stats *stats)
{
	const struct iol_blk_thread_stats *from;

	if (index >= all->num)
		return iol_fail(ENOENT, "there is no data thread %u, only %u of them", index,
				all->num);
	from = &all->thread[index].stats;
	stats->turns = IOL_STAT_GET(from->turns);
	stats->useful = IOL_STAT_GET(from->useful);
	stats->sleeps = IOL_STAT_GET(from->sleeps);
	stats->syscalls = IOL_STAT_GET(from->syscalls);
	return 0;
}
