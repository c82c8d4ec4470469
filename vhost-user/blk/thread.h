/* SPDX-License-Identifier: BSD-3-Clause */
/* Data threads: one loop that looks at queues, engines and messages, and sleeps in one place. */
#ifndef IOL_VHOST_USER_BLK_THREAD_H
#define IOL_VHOST_USER_BLK_THREAD_H

#include <pthread.h>

#include "base/error.h"
#include "vhost-user/blk/engine.h"
#include "vhost-user/blk/fixed.h"
#include "vhost-user/blk/queue.h"

/* Chains taken from a ring at once, and completions from an engine. */
#define IOL_BLK_BURST 32

struct iol_blk_message;

/* Aligned memory for direct I/O from buffers that are not. */
#define IOL_BOUNCE_SIZE (128u << 10)
#define IOL_BOUNCE_KEEP 16

/**
 * struct iol_blk_thread - A data thread. What is under @lock is everybody's, the rest its own.
 * @now: the clock, read at most once a turn.
 * @released: requests that are not held any more and are to be issued, by next_held; @releasing: they are.
 * @poll_ns: how long it polls at present; @poll_max the longest.
 * @looked_again: it has slept for a while since it last had work, and looked whether it missed some.
 */
struct iol_blk_thread {
	struct iol_blk_threads *all;
	unsigned int index;
	pthread_t id;
	uint64_t now;
	struct iol_engine *engine;  /* what the threads were made with */
	struct iol_engine *workers; /* the pool, which may be the same */
	struct iol_blk_queue **queue;
	unsigned int num_queues, room;
	unsigned int zombies;
	struct iol_blk_req *released, **released_tail;
	bool releasing;
	uint64_t poll_ns, poll_max;
	bool looked_again;
	int epoll_fd, wake_fd;
	bool end;
	void *bounce[IOL_BOUNCE_KEEP];
	unsigned int num_bounce;
	struct iol_fixed *fixed;
	struct iol_chain chains[IOL_BLK_BURST];
	struct iol_io *done[2 * IOL_BLK_BURST];
	struct iol_blk_thread_stats stats;

	unsigned int blocked; /* enum iol_blk_blocked */
	pthread_mutex_t borrow;

	bool pending; /* a message waits */
	pthread_mutex_t lock;
	pthread_cond_t cond; /* something changed that a control thread may wait for */
	struct iol_blk_message *messages, **messages_tail;
	bool ended; /* its loop, and nothing is touched any more */
	bool up;    /* it has made its engines, or failed to: */
	int up_error;
	char up_sentence[IOL_ERROR_MAX];
	unsigned int assigned; /* queues that were given to it */
};

/**
 * struct iol_blk_threads - The data threads of a process.
 */
struct iol_blk_threads {
	const struct iol_engine_ops *engine;
	struct iol_pool *pool;
	bool sqpoll;
	uint64_t poll_max;
	pthread_mutex_t lock; /* of @assigned in the threads */
	void *zeroes;         /* IOL_ZEROES_SIZE bytes that are never written */
	unsigned int num;
	struct iol_blk_thread thread[];
};

#define IOL_ZEROES_SIZE (1u << 20)

/*
 * A thread that writes to the page cache itself may block for as long as storage hangs. While it is
 * in that call it touches nothing of its own, so control can do there what it would have asked the
 * thread to do, queue and ring included; the thread looks around when it comes back.
 */
enum iol_blk_blocked {
	IOL_BLK_RUNNING,
	IOL_BLK_IN_CALL,  /* it may be borrowed */
	IOL_BLK_BORROWED, /* by who holds the lock for it */
};

/** iol_blk_thread_enter(), iol_blk_thread_leave() - Around a call that may block for long. */
static inline void iol_blk_thread_enter(struct iol_blk_thread *th)
{
	__atomic_store_n(&th->blocked, IOL_BLK_IN_CALL, __ATOMIC_RELEASE);
}

static inline void iol_blk_thread_leave(struct iol_blk_thread *th)
{
	unsigned int in_call = IOL_BLK_IN_CALL;

	if (__builtin_expect(__atomic_compare_exchange_n(&th->blocked, &in_call, IOL_BLK_RUNNING,
							 false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE),
			     1))
		return;
	pthread_mutex_lock(&th->borrow);
	__atomic_store_n(&th->blocked, IOL_BLK_RUNNING, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&th->borrow);
}

/** iol_blk_threads_make() - iol_blk_threads_new() with an engine that needs no probing. */
int iol_blk_threads_make(const struct iol_blk_threads_spec *spec,
			 const struct iol_engine_ops *engine, struct iol_blk_threads **threads);

/**
 * iol_blk_thread_call() - Run @fn on the thread between two turns, or in its place while it is blocked
 * in a call; return after it.
 */
void iol_blk_thread_call(struct iol_blk_thread *th, void (*fn)(void *arg), void *arg);

/** iol_blk_thread_wake() - Have the thread look at everything once. */
void iol_blk_thread_wake(struct iol_blk_thread *th);

/** iol_blk_threads_wake() - All of them. */
void iol_blk_threads_wake(struct iol_blk_threads *threads);

/** iol_blk_thread_choose() - The one with the fewest queues; it has one more now. */
struct iol_blk_thread *iol_blk_thread_choose(struct iol_blk_threads *threads);

/** iol_blk_thread_unchoose() - It has one less. */
void iol_blk_thread_unchoose(struct iol_blk_thread *th);

/** iol_blk_thread_add() - The thread takes the queue on. From the control thread. */
int iol_blk_thread_add(struct iol_blk_queue *q);

/**
 * iol_blk_thread_drain() - The queue takes no more chains; wait until all that it has begun is over.
 * Return: whether it is, after @timeout_ms at most.
 */
bool iol_blk_thread_drain(struct iol_blk_queue *q, unsigned int timeout_ms);

/** iol_blk_thread_cancel() - Ask the engines to end what the queue has begun. */
void iol_blk_thread_cancel(struct iol_blk_queue *q);

/**
 * iol_blk_thread_remove() - The thread lets go of the queue, and of its ring at any rate. It frees the
 * queue, or keeps it for what storage has not given back.
 * Return: how many operations those are.
 */
unsigned int iol_blk_thread_remove(struct iol_blk_queue *q);

/** iol_blk_thread_main() - The thread's function. */
void *iol_blk_thread_main(void *arg);

/* On the thread. */

/** iol_blk_thread_bury() - A queue that is gone got an operation back. It may be freed. */
void iol_blk_thread_bury(struct iol_blk_queue *q);

/** iol_bounce_get() - IOL_BOUNCE_SIZE bytes aligned to 4096, or NULL. */
void *iol_bounce_get(struct iol_blk_thread *th);
void iol_bounce_put(struct iol_blk_thread *th, void *buf);

#endif
