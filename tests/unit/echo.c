/* SPDX-License-Identifier: BSD-3-Clause */
#include "echo.h"

#include "base/error.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define QUEUES_MAX 16u
#define BATCH      8u

struct echo {
	struct iol_device *dev;
	pthread_t thread;
	int mail; /* eventfd */
	pthread_mutex_t lock;
	pthread_cond_t done;
	void (*fn)(void *arg); /* what the control thread waits for */
	void *arg;
	bool quit;
	/* The data thread's. */
	struct iol_queue *queue[QUEUES_MAX];
	bool failed[QUEUES_MAX];
};

static void fill(struct iol_queue *q, const struct iol_chain *c)
{
	struct iol_ring *r = iol_queue_ring(q);
	unsigned int i;

	for (i = c->nout; i < (unsigned int)c->nout + c->nin; i++) {
		memset(c->iov[i].iov_base, 0x42, c->iov[i].iov_len);
		iol_ring_dirty(r, c->iov[i].iov_base, (uint32_t)c->iov[i].iov_len);
	}
	iol_ring_push(r, c->id, c->ndesc, c->in_len);
}

/* All that the ring has, until it has no more and kicks are on. */
static void drain(struct echo *e, struct iol_queue *q)
{
	struct iol_ring *r = iol_queue_ring(q);
	struct iol_chain chains[BATCH];
	int n, i;

	do {
		while ((n = iol_ring_pop(r, chains, BATCH)) > 0) {
			for (i = 0; i < n; i++)
				fill(q, &chains[i]);
			if (iol_ring_publish(r))
				iol_queue_call(q);
		}
		if (iol_ring_publish(r))
			iol_queue_call(q);
		if (n < 0 && n != -EAGAIN) {
			iol_queue_fail(q);
			e->failed[iol_queue_index(q)] = true;
			return;
		}
	} while (!n && iol_ring_arm(r));
}

static void *data_thread(void *arg)
{
	struct echo *e = arg;
	bool quit = false;

	while (!quit) {
		struct pollfd p[QUEUES_MAX + 1] = { { .fd = e->mail, .events = POLLIN } };
		unsigned int i;
		uint64_t n;

		for (i = 0; i < QUEUES_MAX; i++) {
			p[i + 1].fd = e->queue[i] ? iol_queue_kick_fd(e->queue[i]) : -1;
			p[i + 1].events = POLLIN;
		}
		if (poll(p, QUEUES_MAX + 1, -1) < 0)
			continue;
		if (p[0].revents && read(e->mail, &n, sizeof(n)) == sizeof(n)) {
			pthread_mutex_lock(&e->lock);
			quit = e->quit;
			if (e->fn) {
				e->fn(e->arg);
				e->fn = NULL;
				pthread_cond_signal(&e->done);
			}
			pthread_mutex_unlock(&e->lock);
		}
		for (i = 0; i < QUEUES_MAX; i++) {
			if (!e->queue[i] || e->failed[i])
				continue;
			if (p[i + 1].revents && read(p[i + 1].fd, &n, sizeof(n)) < 0 &&
			    errno != EAGAIN)
				continue;
			drain(e, e->queue[i]);
		}
	}
	return NULL;
}

static void post(struct echo *e, void (*fn)(void *arg), void *arg)
{
	const uint64_t one = 1;

	pthread_mutex_lock(&e->lock);
	e->fn = fn;
	e->arg = arg;
	if (write(e->mail, &one, sizeof(one)) != sizeof(one))
		abort();
	while (e->fn)
		pthread_cond_wait(&e->done, &e->lock);
	pthread_mutex_unlock(&e->lock);
}

struct move {
	struct echo *e;
	struct iol_queue *q;
};

static void give(void *arg)
{
	struct move *m = arg;

	m->e->queue[iol_queue_index(m->q)] = m->q;
	m->e->failed[iol_queue_index(m->q)] = false;
}

static void take(void *arg)
{
	struct move *m = arg;

	m->e->queue[iol_queue_index(m->q)] = NULL;
}

static void nothing(void *arg)
{
}

static int queue_start(void *ctx, struct iol_queue *q)
{
	struct move m = { ctx, q };

	post(ctx, give, &m);
	return 0;
}

static void queue_stop(void *ctx, struct iol_queue *q)
{
	struct move m = { ctx, q };

	post(ctx, take, &m);
}

static void queue_call(void *ctx, struct iol_queue *q, void (*fn)(void *arg), void *arg)
{
	post(ctx, fn, arg);
}

static void queue_wake(void *ctx, struct iol_queue *q)
{
	post(ctx, nothing, NULL);
}

static int get_config(void *ctx, void *config)
{
	memset(config, 0x5a, 8);
	return 8;
}

static const struct iol_device_ops ops = {
	.get_config = get_config,
	.queue_start = queue_start,
	.queue_stop = queue_stop,
	.queue_call = queue_call,
	.queue_wake = queue_wake,
};

struct echo *echo_new(unsigned int num_queues)
{
	struct echo *e = calloc(1, sizeof(*e));
	const struct iol_device_spec spec = {
		.name = "echo", .num_queues = num_queues, .ops = &ops, .ctx = e
	};

	if (!e)
		return NULL;
	e->mail = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->done, NULL);
	if (num_queues > QUEUES_MAX || e->mail < 0 || iol_device_new(&spec, &e->dev) ||
	    pthread_create(&e->thread, NULL, data_thread, e))
		abort();
	return e;
}

void echo_destroy(struct echo *e)
{
	pthread_mutex_lock(&e->lock);
	e->quit = true;
	pthread_mutex_unlock(&e->lock);
	post(e, nothing, NULL);
	pthread_join(e->thread, NULL);
	iol_device_destroy(&e->dev);
	pthread_mutex_destroy(&e->lock);
	pthread_cond_destroy(&e->done);
	close(e->mail);
	free(e);
}

struct iol_device *echo_device(struct echo *e)
{
	return e->dev;
}
