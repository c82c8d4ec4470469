/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pool: threads that make blocking calls for data threads. It is the whole engine where io_uring
 * may not be used, and beside io_uring it takes what would hold up a data thread and what io_uring
 * has no operation for.
 *
 * One queue, first in first out, under a mutex. Each data thread has a list of what completed, to
 * which workers push with one atomic exchange and which it takes as a whole; its eventfd is
 * written only when it sleeps.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/hist.h"
#include "base/own.h"
#include "base/thread.h"
#include "vhost-user/blk/engine.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK_SIZE (256u << 10)
/* How long the end of a pool waits for a worker that storage doesn't answer. */
#define END_S 1

struct iol_pool {
	pthread_mutex_t lock;
	pthread_cond_t work;
	pthread_cond_t ended;
	struct iol_io *head, **tail;
	unsigned int max, threads, idle;
	unsigned int queued;
	bool end;
};

struct pool_engine {
	struct iol_engine e;
	struct iol_pool *pool;
	uint64_t *syscalls;
	struct iol_io *batch, **batch_tail; /* queued, not submitted */
	unsigned int batch_len;
	struct iol_io *ready, **ready_tail; /* completed, in order, not reaped */
	struct iol_io *done;                /* what workers push to, newest first */
	bool sleeping;
};

static struct pool_engine *pool_engine(struct iol_engine *e)
{
	return (struct pool_engine *)e;
}

/*
 * Sequentially consistent, as is the thread's store to sleeping before it looks at done: one of the
 * two sees the other, so no completion is slept over.
 */
static void complete(struct iol_io *io)
{
	struct pool_engine *pe = pool_engine(io->engine);
	struct iol_io *old = __atomic_load_n(&pe->done, __ATOMIC_RELAXED);
	int fd = pe->e.fd;

	do {
		io->next = old;
	} while (!__atomic_compare_exchange_n(&pe->done, &old, io, true, __ATOMIC_SEQ_CST,
					      __ATOMIC_RELAXED));
	if (__atomic_load_n(&pe->sleeping, __ATOMIC_SEQ_CST))
		eventfd_write(fd, 1);
}

static void *worker(void *arg)
{
	struct iol_pool *pool = arg;

	pthread_setname_np(pthread_self(), "iolane-io");
	pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct iol_io *io;

		while (!pool->head && !pool->end) {
			pool->idle++;
			pthread_cond_wait(&pool->work, &pool->lock);
			pool->idle--;
		}
		if (!pool->head)
			break;
		io = pool->head;
		pool->head = io->next;
		if (!pool->head)
			pool->tail = &pool->head;
		pool->queued--;
		pthread_mutex_unlock(&pool->lock);
		io->res = io->image->ops->run(io->image, io, 0);
		complete(io);
		pthread_mutex_lock(&pool->lock);
	}
	pool->threads--;
	pthread_cond_signal(&pool->ended);
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

static int start_worker(struct iol_pool *pool)
{
	int rc = iol_thread_start(NULL, STACK_SIZE, worker, pool);

	if (!rc)
		pool->threads++;
	return rc;
}

int iol_pool_new(unsigned int max, struct iol_pool **out)
{
	struct iol_pool *pool = calloc(1, sizeof(*pool));
	pthread_condattr_t attr;

	if (!pool)
		return iol_fail(ENOMEM, "no memory for I/O threads");
	pool->max = max;
	pool->tail = &pool->head;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&pool->work, NULL);
	pthread_cond_init(&pool->ended, &attr);
	pthread_condattr_destroy(&attr);
	*out = pool;
	return 0;
}

int iol_pool_destroy(struct iol_pool **p)
{
	struct iol_pool *pool = iol_take_ptr(*p);
	struct timespec until;
	unsigned int left;

	if (!pool)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += END_S;
	pthread_mutex_lock(&pool->lock);
	pool->end = true;
	pthread_cond_broadcast(&pool->work);
	while (pool->threads)
		if (pthread_cond_timedwait(&pool->ended, &pool->lock, &until) == ETIMEDOUT)
			break;
	left = pool->threads;
	pthread_mutex_unlock(&pool->lock);
	if (left) {
		iol_log(IOL_LOG_WARNING, "%u I/O threads still wait for storage; left behind",
			left);
		return -EBUSY;
	}
	pthread_cond_destroy(&pool->work);
	pthread_cond_destroy(&pool->ended);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
	return 0;
}

static int pool_create(const struct iol_engine_spec *spec, struct iol_engine **out)
{
	struct pool_engine *pe = calloc(1, sizeof(*pe));

	if (!pe)
		return iol_fail(ENOMEM, "no memory for a thread pool");
	pe->e.ops = &iol_engine_pool;
	pe->pool = spec->pool;
	pe->syscalls = spec->syscalls;
	pe->batch_tail = &pe->batch;
	pe->ready_tail = &pe->ready;
	pe->e.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pe->e.fd < 0) {
		int rc = iol_fail(errno, "can't make an eventfd: %s", strerror(errno));

		free(pe);
		return rc;
	}
	*out = &pe->e;
	return 0;
}

static void pool_destroy(struct iol_engine *e)
{
	iol_close(&e->fd);
	free(e);
}

static int pool_attach(struct iol_engine *e, struct iol_image *image)
{
	return 0;
}

static void pool_detach(struct iol_engine *e, int slot)
{
}

static void pool_queue(struct iol_engine *e, struct iol_io *io)
{
	struct pool_engine *pe = pool_engine(e);

	io->engine = e;
	io->next = NULL;
	*pe->batch_tail = io;
	pe->batch_tail = &io->next;
	pe->batch_len++;
}

static void add_ready(struct pool_engine *pe, struct iol_io *io)
{
	io->next = NULL;
	*pe->ready_tail = io;
	pe->ready_tail = &io->next;
}

static void pool_submit(struct iol_engine *e)
{
	struct pool_engine *pe = pool_engine(e);
	struct iol_pool *pool = pe->pool;
	unsigned int wanted, n;
	int rc = 0;

	if (!pe->batch)
		return;
	pthread_mutex_lock(&pool->lock);
	*pool->tail = pe->batch;
	pool->tail = pe->batch_tail;
	pool->queued += pe->batch_len;
	wanted = pool->queued;
	for (n = pool->idle; n < wanted && pool->threads < pool->max && !rc; n++)
		rc = start_worker(pool);
	if (!pool->threads) {
		/* Not one thread can be made: they all fail, newer batches included. */
		struct iol_io *io = pool->head;

		pool->head = NULL;
		pool->tail = &pool->head;
		pool->queued = 0;
		while (io) {
			struct iol_io *next = io->next;

			io->res = rc;
			complete(io);
			io = next;
		}
	}
	for (n = 0; n < wanted && n < pool->idle; n++)
		pthread_cond_signal(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	IOL_STAT_ADD(*pe->syscalls, 1);
	pe->batch = NULL;
	pe->batch_tail = &pe->batch;
	pe->batch_len = 0;
}

static unsigned int pool_reap(struct iol_engine *e, struct iol_io **done, unsigned int max)
{
	struct pool_engine *pe = pool_engine(e);
	unsigned int n = 0;

	if (__atomic_load_n(&pe->done, __ATOMIC_RELAXED)) {
		struct iol_io *io = __atomic_exchange_n(&pe->done, NULL, __ATOMIC_ACQUIRE);
		struct iol_io *oldest = NULL;

		while (io) {
			struct iol_io *next = io->next;

			io->next = oldest;
			oldest = io;
			io = next;
		}
		for (io = oldest; io; io = oldest) {
			oldest = io->next;
			add_ready(pe, io);
		}
	}
	while (n < max && pe->ready) {
		struct iol_io *io = pe->ready;

		pe->ready = io->next;
		if (!pe->ready)
			pe->ready_tail = &pe->ready;
		io->engine = NULL;
		done[n++] = io;
	}
	return n;
}

static bool pool_sleep(struct iol_engine *e)
{
	struct pool_engine *pe = pool_engine(e);

	__atomic_store_n(&pe->sleeping, true, __ATOMIC_SEQ_CST);
	return pe->batch || pe->ready || __atomic_load_n(&pe->done, __ATOMIC_SEQ_CST);
}

static void pool_awake(struct iol_engine *e)
{
	__atomic_store_n(&pool_engine(e)->sleeping, false, __ATOMIC_RELAXED);
}

/* What no worker has taken yet ends at once; what one works on can't be called back. */
static void pool_cancel(struct iol_engine *e, struct iol_io *io)
{
	struct pool_engine *pe = pool_engine(e);
	struct iol_pool *pool = pe->pool;
	struct iol_io **at;

	pthread_mutex_lock(&pool->lock);
	for (at = &pool->head; *at && *at != io; at = &(*at)->next)
		;
	if (*at) {
		*at = io->next;
		if (!*at)
			pool->tail = at;
		pool->queued--;
		io->res = -ECANCELED;
		add_ready(pe, io);
	}
	pthread_mutex_unlock(&pool->lock);
}

const struct iol_engine_ops iol_engine_pool = {
	.name = "pool",
	.create = pool_create,
	.destroy = pool_destroy,
	.attach = pool_attach,
	.detach = pool_detach,
	.queue = pool_queue,
	.submit = pool_submit,
	.reap = pool_reap,
	.sleep = pool_sleep,
	.awake = pool_awake,
	.cancel = pool_cancel,
};
