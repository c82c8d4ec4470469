/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How operations reach storage: io_uring, or threads that call preadv2() and the like. A data thread
 * has its own engines and alone calls them; nothing here takes a lock but the pool's queue.
 */
#ifndef IOL_VHOST_USER_BLK_ENGINE_H
#define IOL_VHOST_USER_BLK_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vhost-user/blk/image.h"
#include "vhost-user/blk/io.h"

struct iol_engine;
struct iol_pool;

/**
 * struct iol_engine_spec - What an engine is made with.
 * @pool: the threads of the pool engine.
 * @sqpoll: IORING_SETUP_SQPOLL. @syscalls: counts system calls; the data thread's own.
 */
struct iol_engine_spec {
	struct iol_pool *pool;
	bool sqpoll;
	uint64_t *syscalls;
};

/**
 * struct iol_engine_ops - An engine. All on the data thread that made it, but @destroy, which comes
 * when that thread and the pool's have ended.
 * @attach: an image's operations will come; return the slot for iol_io.slot, or a negative errno.
 * @detach: no more of them will come.
 * @queue: take @io; it reaches storage by the next @submit. Never fails: errors come with @reap.
 * @submit: let storage see what was queued.
 * @reap: take up to @max completed operations.
 * @sleep: the thread is about to sleep on @fd. Return: true when it must not.
 * @awake: it doesn't any more.
 * @cancel: ask that @io, which it has, ends soon; it still comes back by @reap.
 * @fixed: register @iov for iol_io.buf, first index returned; NULL where it can't be done.
 *         @unfix lets them go, when the operations that use them have ended.
 */
struct iol_engine_ops {
	const char *name;
	int (*create)(const struct iol_engine_spec *spec, struct iol_engine **engine);
	void (*destroy)(struct iol_engine *engine);
	int (*attach)(struct iol_engine *engine, struct iol_image *image);
	void (*detach)(struct iol_engine *engine, int slot);
	void (*queue)(struct iol_engine *engine, struct iol_io *io);
	void (*submit)(struct iol_engine *engine);
	unsigned int (*reap)(struct iol_engine *engine, struct iol_io **done, unsigned int max);
	bool (*sleep)(struct iol_engine *engine);
	void (*awake)(struct iol_engine *engine);
	void (*cancel)(struct iol_engine *engine, struct iol_io *io);
	int (*fixed)(struct iol_engine *engine, const struct iovec *iov, unsigned int n);
	void (*unfix)(struct iol_engine *engine, int first, unsigned int n);
};

/**
 * struct iol_engine - The part that all engines have.
 * @fd: readable when @reap would find something; -1 for none. It is waited for
 * edge-triggered and never read.
 */
struct iol_engine {
	const struct iol_engine_ops *ops;
	int fd;
};

extern const struct iol_engine_ops iol_engine_uring;
extern const struct iol_engine_ops iol_engine_pool;

/** iol_engine_uring_probe() - Whether io_uring may be used here; the sentence says why not. */
int iol_engine_uring_probe(void);

/**
 * iol_pool_new() - Threads for blocking calls, started as they are needed.
 * @max: at most so many.
 */
int iol_pool_new(unsigned int max, struct iol_pool **pool);

/**
 * iol_pool_destroy() - End the threads, before the engines that use them are destroyed.
 * Return: 0, or -EBUSY when one that storage does not answer had to be left behind: then the engines
 * must be, too.
 */
int iol_pool_destroy(struct iol_pool **pool);

#endif
