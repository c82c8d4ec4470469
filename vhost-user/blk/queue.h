/* SPDX-License-Identifier: BSD-3-Clause */
/* A running queue of a disk: its data thread's alone, from when it is added till it is removed. */
#ifndef IOL_VHOST_USER_BLK_QUEUE_H
#define IOL_VHOST_USER_BLK_QUEUE_H

#include <iolane/blk.h>

#include "base/hist.h"
#include "vhost-user/blk/request.h"
#include "vhost-user/ring.h"

struct iol_blk_thread;
struct iol_disk;

/** struct iol_blk_port - What a queue is attached to: a ring, and how to reach its driver. */
struct iol_blk_port {
	struct iol_ring *ring;
	int kick_fd; /* -1: must be polled */
	void (*call)(void *ctx);
	void (*fail)(void *ctx);
	void *ctx;
};

struct iol_blk_op_counts {
	struct iol_hist lat;
	uint64_t bytes, errors;
};

struct iol_blk_queue_stats {
	struct iol_blk_op_counts op[IOL_BLK_OPS];
	int thread; /* -1 while it is not running */
};

/**
 * struct iol_paths - What was learned about the ways to storage (transfer.c).
 * @read_skip: reads that don't try the page cache. @read_backoff: how many after the next miss.
 * @no_nowait_read, @no_nowait_write: the file system has no RWF_NOWAIT for it.
 * @write_stall: how long writes keep to the pool after one that took too long; @write_pool_until.
 */
struct iol_paths {
	unsigned int read_skip, read_backoff;
	bool no_nowait_read, no_nowait_write;
	uint64_t write_stall, write_pool_until;
};

/** struct iol_turn_counts - Requests that ended within the turn in which they came. */
struct iol_turn_counts {
	uint32_t requests, errors;
	uint64_t bytes;
};

/**
 * struct iol_blk_queue - A running queue.
 * @inflight: requests begun and not over. @pushed: since the last publish. @moved: bytes, likewise.
 * @gone: the ring is not ours any more; what comes back from storage is only counted.
 * @stopping: take no more chains. @failed: the driver broke the rules; likewise.
 * @waiting: for an IOTLB entry. @unread: so its inflight log could not be read yet. @replaying: has, or may
 * have, chains to do that are in the log.
 * @held: requests that wait for writes of the disk's. @news: of iol_overlap.news, what it has seen.
 * @gated_at: since when it has waited for other queues' replay; 0 for not.
 * @woken: set by the control thread.
 * @mem: while storage may use guest memory that the ring does not hold any more.
 * @fixed: registered buffers, NULL without.
 */
struct iol_blk_queue {
	struct iol_ring *ring;
	struct iol_disk *disk;
	struct iol_image *image;
	struct iol_blk_thread *thread;
	struct iol_blk_req *reqs;
	struct iol_blk_req *free; /* by next_held; the last used first, as it is in the cache */
	struct iovec *arena;
	uint32_t size;
	uint32_t used; /* requests that were ever used: the rest is not even in the list */
	uint32_t inflight;
	uint32_t held, news;
	uint64_t gated_at;
	uint32_t pushed;
	uint32_t moved;
	int slot;
	unsigned int index;
	bool stopping, failed, waiting, unread, replaying, gone, drained;
	bool woken;
	uint8_t burst;    /* chains that came together */
	uint8_t turn_ops; /* bits: which of @turn counted something */
	struct iol_turn_counts turn[IOL_BLK_OPS];
	struct iol_paths paths;
	struct iol_blk_queue_stats *stats;
	struct iol_blk_port port;
	struct iol_ring_memory *mem;
	struct iol_fixed *fixed;
	void *map;
	size_t map_len;
};

/**
 * iol_blk_queue_new() - Room for a queue's requests; touched only as they are used.
 * Return: 0, or -ENOMEM.
 */
int iol_blk_queue_new(struct iol_disk *disk, unsigned int index, const struct iol_blk_port *port,
		      struct iol_blk_queue **queue);
void iol_blk_queue_free(struct iol_blk_queue **queue);

/* On its thread. */

/** iol_blk_queue_turn() - Take new chains and begin them. Return: whether there were any. */
bool iol_blk_queue_turn(struct iol_blk_queue *q);

/** iol_blk_queue_take() - A request that is not in use, NULL when there are as many as descriptors. */
struct iol_blk_req *iol_blk_queue_take(struct iol_blk_queue *q);

/** iol_blk_queue_give() - @req is not in use any more. */
static inline void iol_blk_queue_give(struct iol_blk_queue *q, struct iol_blk_req *req)
{
	req->next_held = q->free;
	q->free = req;
}

/** iol_blk_queue_publish() - Show the driver what was pushed. */
void iol_blk_queue_publish(struct iol_blk_queue *q);

/** iol_blk_queue_settle() - End of a turn that took @took ns: publish, count. */
void iol_blk_queue_settle(struct iol_blk_queue *q, uint64_t took);

/** iol_blk_queue_begin_replay() - Before it runs: it may have chains of its log's to do. */
void iol_blk_queue_begin_replay(struct iol_blk_queue *q);

/** iol_blk_queue_ready() - Whether it would take chains, if there were some. */
bool iol_blk_queue_ready(const struct iol_blk_queue *q);

/** iol_blk_queue_gated() - Whether it would not, as another queue has older ones to do again. */
bool iol_blk_queue_gated(const struct iol_blk_queue *q);

/** iol_blk_queue_new_mem() - The ring may have another memory table: register that. */
void iol_blk_queue_new_mem(struct iol_blk_queue *q);

/** iol_blk_queue_cancel() - Ask that all in flight ends. */
void iol_blk_queue_cancel(struct iol_blk_queue *q);

#endif
