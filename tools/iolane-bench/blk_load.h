/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The load generator: keeps every queue of a virtio-blk device filled to a depth. It must cost
 * less than any back end, so requests, buffers and descriptors are made once; the used rings are
 * polled without calls, unless they are asked for; a batch of completions costs one look at the clock and
 * one publish.
 */
#ifndef IOL_BENCH_BLK_LOAD_H
#define IOL_BENCH_BLK_LOAD_H

#include "blk_verify.h"

#include "base/hist.h"
#include "vmm-glue/guest_queue.h"

#include <pthread.h>

/**
 * struct blk_load_spec - What to do.
 * @random: anywhere, else one block after the other. @read_percent: 0 to 100.
 * @once: each block once and no more; with @written_only just those that were written.
 * @depth: requests kept in flight on each queue.
 * @calls: sleep until the device calls when there is nothing to do, as a guest's driver does.
 * @ramp_ns, @run_ns: not counted, and counted; no end with @once.
 * @verify: NULL, or where what was written is remembered.
 */
struct blk_load_spec {
	bool random, once, written_only, calls;
	unsigned int read_percent;
	uint32_t bs;
	uint64_t blocks;
	unsigned int depth;
	uint64_t ramp_ns, run_ns;
	uint64_t seed;
	struct blk_verify *verify;
};

struct blk_request;

struct blk_stream {
	struct iol_guest_queue *gq;
	struct blk_request *requests;
	/* Blocks of this queue alone (when in sequence), and the next one. */
	uint64_t first, end, next;
};

/** struct blk_worker - One thread of load, over its own queues. */
struct blk_worker {
	const struct blk_load_spec *spec;
	struct blk_stream *streams;
	unsigned int n;
	uint64_t first, blocks; /* where it reads and writes */
	int cpu;                /* -1: anywhere */
	/* Set by others. */
	int stop, give_up;
	/* Read by others while it runs (IOL_STAT_GET). */
	uint64_t done;
	int finished;
	/* Results. */
	uint64_t ops, bytes, elapsed_ns;
	struct iol_hist lat;
	int rc;
	char error[256];
	pthread_t thread;
	uint64_t rng;
};

/** blk_stream_init() - Make @depth requests of at most @bs bytes in guest memory. */
int blk_stream_init(struct blk_stream *s, struct iol_guest_memory *mem, struct iol_guest_queue *gq,
		    unsigned int depth, uint32_t bs, uint64_t iova_offset);
void blk_stream_free(struct blk_stream *s);

/** blk_stream_bytes() - Guest memory that a stream takes, at most. */
uint64_t blk_stream_bytes(unsigned int depth, uint32_t bs);

/** blk_workers_split() - Give each of @n workers its part of the disk, and each stream its own. */
void blk_workers_split(struct blk_worker *workers, unsigned int n,
		       const struct blk_load_spec *spec);

/** blk_worker_run() - The thread's function: runs the load till its end or till told to stop. */
void *blk_worker_run(void *worker);

#endif
