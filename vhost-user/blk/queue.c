/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/blk/queue.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"
#include "vhost-user/blk/disk.h"
#include "vhost-user/blk/thread.h"
#include "vhost-user/ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/*
 * What the thread does itself is shown to the driver in portions, so that the driver works on one
 * while the thread works on the next.
 */
#define PUBLISH_REQUESTS 8
#define PUBLISH_BYTES    (256u << 10)

static size_t align(size_t len)
{
	return (len + 63) & ~(size_t)63;
}

int iol_blk_queue_new(struct iol_disk *disk, unsigned int index, const struct iol_blk_port *port,
		      struct iol_blk_queue **queue)
{
	size_t size = iol_ring_size(port->ring);
	size_t reqs = align(size * sizeof(struct iol_blk_req));
	size_t pieces = align(size * IOL_REQ_ARENA * sizeof(struct iovec));
	struct iol_blk_queue *q = calloc(1, sizeof(*q));
	uint8_t *map;

	if (!q)
		return iol_fail(ENOMEM, "no memory for a queue of disk %s", disk->name);
	q->map_len = reqs + pieces;
	map = mmap(NULL, q->map_len, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED) {
		free(q);
		return iol_fail(ENOMEM, "no memory for a queue of disk %s", disk->name);
	}
	q->map = map;
	q->reqs = (struct iol_blk_req *)(void *)map;
	q->arena = (struct iovec *)(void *)(map + reqs);
	q->size = (uint32_t)size;
	q->ring = port->ring;
	q->port = *port;
	q->disk = disk;
	q->image = disk->image;
	q->stats = &disk->stats[index];
	q->index = index;
	*queue = q;
	return 0;
}

void iol_blk_queue_free(struct iol_blk_queue **p)
{
	struct iol_blk_queue *q = iol_take_ptr(*p);

	if (!q)
		return;
	iol_ring_free_mem(&q->mem);
	munmap(q->map, q->map_len);
	free(q);
}

/* The queue whose chain is the oldest, of all the disk's, that is to be done again. */
static unsigned int first_to_replay(const struct iol_disk *disk)
{
	unsigned int i, first = 0;

	for (i = 1; i < disk->num_queues; i++)
		if (IOL_STAT_GET(disk->replay_at[i]) < IOL_STAT_GET(disk->replay_at[first]))
			first = i;
	return first;
}

/* Whether another queue has something older to do. */
static bool gated(const struct iol_blk_queue *q)
{
	const struct iol_disk *disk = q->disk;

	if (!q->replaying)
		return IOL_STAT_GET(disk->replaying);
	return IOL_STAT_GET(disk->replay_at[first_to_replay(disk)]) <
	       IOL_STAT_GET(disk->replay_at[q->index]);
}

/* What the ring has to do again now; others wait for the oldest of all. */
static void step_replay(struct iol_blk_queue *q)
{
	uint64_t next = iol_ring_replay_oldest(q->ring);

	q->replaying = next != UINT64_MAX;
	iol_disk_replay_at(q->disk, q->index, next);
}

void iol_blk_queue_begin_replay(struct iol_blk_queue *q)
{
	q->unread = !iol_ring_read(q->ring);
	if (q->unread)
		q->replaying = IOL_STAT_GET(q->disk->replay_at[q->index]) != UINT64_MAX;
	else
		step_replay(q);
}

bool iol_blk_queue_ready(const struct iol_blk_queue *q)
{
	if (q->stopping || q->failed || q->waiting || (q->replaying && q->inflight))
		return false;
	return !gated(q);
}

bool iol_blk_queue_gated(const struct iol_blk_queue *q)
{
	return !q->stopping && !q->failed && gated(q);
}

/* It may be a front end that waits for us, or storage: whose turn it is to act, the log must tell. */
static void tell_gated(struct iol_blk_queue *q)
{
	struct iol_disk *disk = q->disk;
	unsigned int first = first_to_replay(disk);
	uint64_t now = q->thread->now;

	if (!q->gated_at)
		q->gated_at = now;
	if (now - q->gated_at < disk->stop_timeout_ms * IOL_NS_PER_MS ||
	    IOL_STAT_GET(disk->replay_at[first]) == UINT64_MAX ||
	    __atomic_exchange_n(&disk->gate_told, true, __ATOMIC_RELAXED))
		return;
	iol_log(IOL_LOG_WARNING,
		"%s: no queue takes new requests, as queue %u has older ones to do again, and %s",
		disk->name, first,
		IOL_STAT_GET(disk->stats[first].thread) < 0
			? "does not run: its VMM must enable or stop it"
			: "waits for storage or its VMM");
}

struct iol_blk_req *iol_blk_queue_take(struct iol_blk_queue *q)
{
	struct iol_blk_req *req = q->free;

	if (req) {
		q->free = req->next_held;
		return req;
	}
	if (q->used == q->size)
		return NULL;
	req = &q->reqs[q->used];
	req->q = q;
	req->pieces = q->arena + (size_t)q->used++ * IOL_REQ_ARENA;
	return req;
}

static void fail(struct iol_blk_queue *q)
{
	q->failed = true;
	/* What the dead backend left here stays; the other queues need not wait for it. */
	q->replaying = false;
	iol_disk_replay_at(q->disk, q->index, UINT64_MAX);
	q->port.fail(q->port.ctx);
}

/* Behind an IOMMU a ring may be mapped, and its log read, only now. Return: whether it was. */
static bool read_log(struct iol_blk_queue *q)
{
	int rc = iol_ring_map(q->ring);

	if (rc == -EAGAIN) {
		q->waiting = true;
	} else if (rc < 0) {
		fail(q);
	} else {
		q->unread = false;
		step_replay(q);
	}
	return rc == 0;
}

/*
 * The headers were written by the driver on another core, and so will the status bytes be read
 * there: fetch them all while there is other work.
 */
static void prefetch(const struct iol_chain *chains, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		const struct iol_chain *c = &chains[i];

		if (!c->nout || !c->nin)
			continue;
		__builtin_prefetch(c->iov[0].iov_base);
		__builtin_prefetch((uint8_t *)c->iov[c->nout + c->nin - 1].iov_base +
					   c->iov[c->nout + c->nin - 1].iov_len - 1,
				   1);
	}
}

/* Return: whether requests that were held go on. */
static bool look_at_held(struct iol_blk_queue *q)
{
	uint32_t news = __atomic_load_n(&q->disk->writes.news, __ATOMIC_ACQUIRE);
	struct iol_blk_req *list;

	if (news == q->news)
		return false;
	q->news = news;
	list = iol_overlap_look(q);
	iol_blk_req_issue_all(q->thread, list);
	return list;
}

bool iol_blk_queue_turn(struct iol_blk_queue *q)
{
	struct iol_chain *chains = q->thread->chains;
	bool useful = q->held && look_at_held(q);
	int i, n;

	if (__atomic_load_n(&q->woken, __ATOMIC_RELAXED) &&
	    __atomic_exchange_n(&q->woken, false, __ATOMIC_ACQUIRE))
		q->waiting = false;
	if (q->unread && (q->stopping || q->failed || q->waiting || !read_log(q)))
		return useful;
	if (q->replaying && !q->inflight && !q->stopping)
		step_replay(q);
	if (!iol_blk_queue_ready(q)) {
		if (iol_blk_queue_gated(q))
			tell_gated(q);
		return useful;
	}
	q->gated_at = 0;
	n = iol_ring_pop(q->ring, chains, IOL_BLK_BURST);
	if (n <= 0) {
		if (n == -EAGAIN)
			q->waiting = true;
		else if (n < 0)
			fail(q);
		return useful;
	}
	prefetch(chains, n);
	q->burst = (uint8_t)n;
	for (i = 0; i < n && !q->failed; i++) {
		if (iol_blk_req_start(q, &chains[i]) < 0)
			fail(q);
		/* Taken away while a write was blocked: what is left of the burst is in the log. */
		if (q->gone) {
			iol_blk_thread_bury(q);
			return true;
		}
		if (q->pushed >= PUBLISH_REQUESTS || q->moved >= PUBLISH_BYTES)
			iol_blk_queue_publish(q);
	}
	return true;
}

void iol_blk_queue_publish(struct iol_blk_queue *q)
{
	q->pushed = 0;
	q->moved = 0;
	if (iol_ring_publish(q->ring))
		q->port.call(q->port.ctx);
}

/* Requests that ended where they stood took from the last turn's end to this one's. */
static void settle_counts(struct iol_blk_queue *q, uint64_t took)
{
	unsigned int op;

	for (op = 0; op < IOL_BLK_OPS; op++) {
		struct iol_turn_counts *t = &q->turn[op];
		struct iol_blk_op_counts *c = &q->stats->op[op];

		if (!(q->turn_ops & 1u << op))
			continue;
		iol_hist_add_n(&c->lat, took, t->requests);
		IOL_STAT_ADD(c->bytes, t->bytes);
		if (t->errors)
			IOL_STAT_ADD(c->errors, t->errors);
		memset(t, 0, sizeof(*t));
	}
	q->turn_ops = 0;
}

void iol_blk_queue_settle(struct iol_blk_queue *q, uint64_t took)
{
	if (q->pushed)
		iol_blk_queue_publish(q);
	if (q->turn_ops)
		settle_counts(q, took);
}

void iol_blk_queue_new_mem(struct iol_blk_queue *q)
{
	struct iol_mem *mem = iol_ring_mem(q->ring);

	if (q->fixed && iol_fixed_mem(q->fixed) == mem)
		return;
	iol_fixed_put(q->thread, &q->fixed);
	if (iol_fixed_get(q->thread, mem, &q->fixed) < 0)
		iol_log(IOL_LOG_WARNING, "%s: goes on without fixed buffers: %s", q->disk->name,
			iol_error());
}

void iol_blk_queue_cancel(struct iol_blk_queue *q)
{
	struct iol_blk_req *req, *next;
	uint32_t i;

	/*
	 * What is given up here will be replayed: nothing newer, of whichever queue, may go to storage when it
	 * doesn't stand in the way any more. So those that are held go first; and others wait.
	 */
	if (!q->replaying && iol_ring_tracked(q->ring))
		iol_disk_replay_at(q->disk, q->index, 0);
	req = iol_overlap_drop(q);
	if (req) {
		iol_overlap_news(&q->disk->writes);
		iol_blk_threads_wake(q->disk->threads);
	}
	for (; req; req = next) {
		next = req->next_held;
		req->canceled = true;
		iol_blk_req_finish(req, IOL_REQ_LEAVE);
	}
	for (i = 0; i < q->used; i++)
		if (q->reqs[i].state != IOL_REQ_FREE)
			iol_blk_req_cancel(&q->reqs[i]);
}
