/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One ring's use of the inflight log: which stores are made in which order, so that whatever the
 * instruction is at which the process dies, the next one finds every chain that was taken and
 * not given back. Layouts and order: vhost-user, "Inflight I/O tracking".
 *
 * A killed process has made every store of the instructions before and none of those after, so
 * it is enough to keep the compiler from reordering: signal fences, and no CPU barriers.
 *
 * The log is memory that the front end can write. It is read at start only, once, and
 * checked; what a running ring needs of it is kept here, too.
 */
#ifndef IOL_VHOST_USER_TRACK_H
#define IOL_VHOST_USER_TRACK_H

#include "base/clock.h"
#include "vhost-user/inflight.h"

#include <linux/virtio_ring.h>

#define IOL_TRACK_VERSION 1

/* DescStateSplit and QueueRegionSplit of the specification. */
struct iol_log_split_desc {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};

struct iol_log_split {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct iol_log_split_desc desc[];
};

/* DescStatePacked and QueueRegionPacked. */
struct iol_log_packed_desc {
	uint8_t inflight;
	uint8_t padding;
	uint16_t next;
	uint16_t last;
	uint16_t num;
	uint64_t counter;
	uint16_t id;
	uint16_t flags;
	uint32_t len;
	uint64_t addr;
};

/* Four fields that change together change in one store. */
struct iol_log_used {
	uint16_t idx;
	uint16_t old_idx;
	uint8_t wrap;
	uint8_t old_wrap;
	uint8_t padding[2];
} __attribute__((aligned(8)));

struct iol_log_packed {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t free_head;
	uint16_t old_free_head;
	struct iol_log_used used;
	uint8_t padding[8];
	struct iol_log_packed_desc desc[];
};

_Static_assert(sizeof(struct iol_log_split_desc) == 16 && sizeof(struct iol_log_split) == 16 &&
		       sizeof(struct iol_log_packed_desc) == 32 &&
		       sizeof(struct iol_log_packed) == 32,
	       "the inflight log is laid out as its specification says");

/* A chain to be taken again. */
struct iol_track_replay {
	uint64_t counter;
	uint16_t id;    /* head index (split) or buffer ID (packed) */
	uint16_t entry; /* packed: first of its entries in the log */
	uint16_t num;   /* packed: descriptors */
};

/* Where a ring stands. */
struct iol_track_pos {
	uint16_t next, used_next;
	bool avail_wrap, used_wrap; /* packed */
};

struct iol_track {
	/* One of them, or none when nothing is tracked. */
	struct iol_log_split *split;
	struct iol_log_packed *packed;
	uint64_t counter; /* the next to give */
	/* Packed: our own view of the log's lists. */
	uint16_t free_head;
	uint16_t *next; /* by entry */
	uint16_t *last; /* by entry: a chain's first to its last */
	uint16_t *slot; /* by buffer ID: the first entry */
	/* Left from the process before, sorted; replay[replayed] is the next. */
	struct iol_track_replay *replay;
	unsigned int nreplay, replayed;
	struct vring_packed_desc *saved; /* packed: by entry, what the log held at start */
};

/**
 * iol_track_start_split(), iol_track_start_packed() - Begin to track a ring, and find out what the
 * process before left of it.
 * @used_idx: split: the index in the used ring. @ring: packed: the descriptor ring.
 * @pos: where the ring would go on without a log; changed to what the log says.
 *
 * Return: 0; -EINVAL when the log is for other rings or makes no sense; -ENOMEM.
 */
int iol_track_start_split(struct iol_track *t, const struct iol_inflight *inflight,
			  unsigned int index, uint16_t size, uint16_t used_idx,
			  struct iol_track_pos *pos);
int iol_track_start_packed(struct iol_track *t, const struct iol_inflight *inflight,
			   unsigned int index, uint16_t size, struct vring_packed_desc *ring,
			   struct iol_track_pos *pos);
void iol_track_stop(struct iol_track *t);

/**
 * iol_track_oldest() - Look into the log of a ring that is not started, and change nothing: when the oldest
 * chain that is marked as in flight was taken, UINT64_MAX for none. A mark may turn out at start to be of
 * a chain that was given back, so the ring's own oldest is no older than this. @inflight may be NULL; what
 * is no log of such a ring has none.
 */
uint64_t iol_track_oldest(const struct iol_inflight *inflight, unsigned int index, uint16_t size,
			  bool packed);

/* Order between two stores to the log, for the process that reads it after our death. */
static inline void iol_track_fence(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/*
 * The counter is the clock, as far as chains taken in the same nanosecond allow: so chains of several
 * queues, and of processes one after the other, can be put in one order. Once a burst.
 */
static inline void iol_track_clock(struct iol_track *t)
{
	uint64_t now = iol_now();

	if (now > t->counter)
		t->counter = now;
}

/* Split: a chain was taken. */
static inline void iol_track_split_take(struct iol_track *t, uint16_t head)
{
	struct iol_log_split_desc *e = &t->split->desc[head];

	e->counter = t->counter++;
	iol_track_fence();
	__atomic_store_n(&e->inflight, 1, __ATOMIC_RELAXED);
	iol_track_fence();
}

/* Split: a chain was not taken after all; the last that was, first. */
static inline void iol_track_split_untake(struct iol_track *t, uint16_t head)
{
	__atomic_store_n(&t->split->desc[head].inflight, 0, __ATOMIC_RELAXED);
	iol_track_fence();
}

/* Split: @head is about to be published; called for each, then the used index is stored. */
static inline void iol_track_split_link(struct iol_track *t, uint16_t *batch_head, uint16_t head)
{
	t->split->desc[head].next = *batch_head;
	iol_track_fence();
	__atomic_store_n(&t->split->last_batch_head, head, __ATOMIC_RELAXED);
	iol_track_fence();
	*batch_head = head;
}

/* Packed: a descriptor of a chain, as it was read. Return: the entry for the next. */
static inline uint16_t iol_track_packed_save(struct iol_track *t, uint16_t entry, uint64_t addr,
					     uint32_t len, uint16_t id, uint16_t flags)
{
	struct iol_log_packed_desc *e = &t->packed->desc[entry];

	e->addr = addr;
	e->len = len;
	e->id = id;
	e->flags = flags;
	return t->next[entry];
}

/* Packed: the chain saved from the free list's head to @last, @num of them, was taken. */
static inline void iol_track_packed_take(struct iol_track *t, uint16_t id, uint16_t last,
					 uint16_t num)
{
	struct iol_log_packed *log = t->packed;
	uint16_t head = t->free_head;
	struct iol_log_packed_desc *e = &log->desc[head];

	e->num = num;
	e->last = last;
	e->counter = t->counter++;
	__atomic_store_n(&e->inflight, 1, __ATOMIC_RELAXED);
	t->slot[id] = head;
	t->last[head] = last;
	t->free_head = t->next[last];
	iol_track_fence();
	__atomic_store_n(&log->free_head, t->free_head, __ATOMIC_RELAXED);
	iol_track_fence();
	/* From this store on the entries are out of the free list, and the chain is taken. */
	__atomic_store_n(&log->old_free_head, t->free_head, __ATOMIC_RELAXED);
	iol_track_fence();
}

/* Packed: @id is about to be published: its entries go back to the free list, not for good yet. */
static inline void iol_track_packed_link(struct iol_track *t, uint16_t id)
{
	struct iol_log_packed *log = t->packed;
	uint16_t head = t->slot[id], last = t->last[head];

	t->next[last] = t->free_head;
	log->desc[last].next = t->free_head;
	t->free_head = head;
	iol_track_fence();
	__atomic_store_n(&log->free_head, head, __ATOMIC_RELAXED);
	iol_track_fence();
}

/* Packed: a chain was not taken after all; the last that was, first. */
static inline void iol_track_packed_untake(struct iol_track *t, uint16_t id)
{
	struct iol_log_packed *log = t->packed;
	uint16_t head = t->slot[id];

	iol_track_packed_link(t, id);
	/* From this store on its entries are free, whatever mark is on them. */
	__atomic_store_n(&log->old_free_head, head, __ATOMIC_RELAXED);
	iol_track_fence();
	__atomic_store_n(&log->desc[head].inflight, 0, __ATOMIC_RELAXED);
	iol_track_fence();
}

static inline void iol_track_packed_used(struct iol_track *t, struct iol_log_used used)
{
	uint64_t word;

	__builtin_memcpy(&word, &used, sizeof(word));
	iol_track_fence();
	__atomic_store_n((uint64_t *)(void *)&t->packed->used, word, __ATOMIC_RELAXED);
	iol_track_fence();
}

#endif
