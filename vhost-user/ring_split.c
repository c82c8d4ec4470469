/* SPDX-License-Identifier: BSD-3-Clause */
/* Split virtqueues, device side (virtio 1.3, 2.7). */
#include "vhost-user/ring_priv.h"

#include <stddef.h>

static uint16_t *used_event(const struct iol_ring *r)
{
	return &r->avail->ring[r->size];
}

static uint16_t *avail_event(const struct iol_ring *r)
{
	return (uint16_t *)(void *)&r->used->ring[r->size];
}

/* Follow a chain from its first descriptor, which was read already. */
static inline int walk(struct iol_ring *r, struct ring_desc d, struct ring_walk *w)
{
	unsigned int n;
	int rc;

	for (n = 1;; n++) {
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (unlikely(!r->indirect || d.flags & VRING_DESC_F_NEXT))
				return iol_fail(EPROTO, "the driver made an indirect descriptor %s",
						r->indirect ? "that goes on"
							    : "without INDIRECT_DESC");
			return ring_add_table(r, w, &d, false);
		}
		rc = ring_add(r, w, &d);
		if (unlikely(rc))
			return rc;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return 0;
		if (unlikely(d.next >= r->size))
			return iol_fail(EPROTO, "the driver's chain goes on at descriptor %u of %u",
					d.next, r->size);
		if (unlikely(n >= r->size))
			return iol_fail(EPROTO,
					"the driver made a chain longer than the queue (%u), or a "
					"circle",
					r->size);
		d = ring_load(&r->desc[d.next]);
	}
}

static inline int take(struct iol_ring *r, uint16_t head, const struct ring_desc *first,
		       struct iovec **iov, struct iol_chain *chain)
{
	struct ring_walk w;
	int rc;

	if (unlikely(r->state[head]))
		return iol_fail(EPROTO,
				"the driver made descriptor %u available again before it was "
				"used",
				head);
	ring_walk_start(r, &w, *iov);
	rc = walk(r, *first, &w);
	if (!rc)
		rc = ring_walk_end(&w, *iov, chain);
	if (unlikely(rc))
		return rc;
	chain->id = head;
	chain->ndesc = 1;
	r->state[head] = 1u | (chain->nin ? CHAIN_WRITABLE : 0);
	*iov = w.iov;
	return 0;
}

/* Take @n chains that are available; their cache misses overlap. */
static int take_burst(struct iol_ring *r, struct iol_chain *chains, unsigned int n,
		      struct iovec **iov)
{
	struct ring_desc first[RING_BURST];
	uint16_t head[RING_BURST], mask = r->size - 1;
	unsigned int i, good;
	int rc = 0;

	for (good = 0; good < n; good++) {
		/* Relaxed: the acquire of idx came before. */
		head[good] =
			__atomic_load_n(&r->avail->ring[(r->next + good) & mask], __ATOMIC_RELAXED);
		if (unlikely(head[good] >= r->size))
			break;
		__builtin_prefetch(&r->desc[head[good]]);
	}
	if (unlikely(!good))
		return iol_fail(EPROTO, "the driver made descriptor %u of %u available", head[0],
				r->size);
	for (i = 0; i < good; i++) {
		first[i] = ring_load(&r->desc[head[i]]);
		ring_prefetch(r, first[i].addr);
	}
	if (r->track.split)
		iol_track_clock(&r->track);
	for (i = 0; i < good; i++) {
		rc = take(r, head[i], &first[i], iov, &chains[i]);
		if (unlikely(rc))
			break;
		/* The device looks at the header first; the chain's other pages are not its business. */
		if (first[i].flags & VRING_DESC_F_INDIRECT && chains[i].nout)
			__builtin_prefetch(chains[i].iov->iov_base);
		if (r->track.split)
			iol_track_split_take(&r->track, head[i]);
	}
	r->next += (uint16_t)i;
	r->inflight += i;
	return i ? (int)i : rc;
}

/*
 * How many chains are available, up to @max; looks at the driver's index when those it knows of don't do. -EPROTO
 * for an index that cannot be, unless some were known before.
 */
static inline int available(struct iol_ring *r, unsigned int max)
{
	uint16_t known = (uint16_t)(r->avail_idx - r->next), idx;

	if (known >= max)
		return (int)max;
	/* Likely written just before the index was: fetch both lines at once. */
	__builtin_prefetch(&r->avail->ring[r->avail_idx & (r->size - 1)]);
	/*
	 * Acquire: ring entries, descriptors and buffers are read after the index that
	 * makes them available; pairs with the driver's barrier before it stores idx.
	 */
	idx = __atomic_load_n(&r->avail->idx, __ATOMIC_ACQUIRE);
	if (likely((uint16_t)(idx - r->next) <= r->size)) {
		r->avail_idx = idx;
		known = (uint16_t)(idx - r->next);
	} else if (!known) {
		return iol_fail(EPROTO,
				"the driver's available index jumped from %u to %u in a "
				"queue of %u",
				r->next, idx, r->size);
	}
	return known < max ? known : (int)max;
}

int iol_split_pop(struct iol_ring *r, struct iol_chain *chains, unsigned int max)
{
	struct iovec *iov = r->iov;
	unsigned int n, got = 0;
	int rc = available(r, max);

	if (unlikely(rc < 0))
		return rc;
	max = (unsigned int)rc;
	while (got < max) {
		n = max - got < RING_BURST ? max - got : RING_BURST;
		rc = take_burst(r, chains + got, n, &iov);
		if (unlikely(rc < (int)n)) {
			if (rc > 0)
				got += (unsigned int)rc;
			return got ? (int)got : rc;
		}
		got += n;
	}
	return (int)got;
}

/* The driver's descriptors are fetched while the chains before them are worked on. */
static inline void prefetch_next(const struct iol_ring *r, unsigned int from)
{
	unsigned int i, n = (uint16_t)(r->avail_idx - r->next);
	uint16_t mask = r->size - 1;

	for (i = from; i < n && i < from + RING_BURST; i++)
		/* A hint: a head that can't be is found when its turn comes, and no fetch faults. */
		__builtin_prefetch(&r->desc[__atomic_load_n(&r->avail->ring[(r->next + i) & mask],
							    __ATOMIC_RELAXED)]);
}

unsigned int iol_split_peek(struct iol_ring *r, struct iol_buf *bufs, unsigned int max,
			    bool writable)
{
	uint16_t size = r->size, at = r->next, flags = writable ? VRING_DESC_F_WRITE : 0;
	const uint16_t *heads = r->avail->ring;
	const struct vring_desc *desc = r->desc;
	int n = available(r, max), i;

	/* What is wrong, iol_ring_pop() says. */
	for (i = 0; i < n; i++, at++) {
		uint16_t head = __atomic_load_n(&heads[at & (size - 1)], __ATOMIC_RELAXED);
		struct ring_desc d;

		if (unlikely(head >= size))
			break;
		d = ring_load(&desc[head]);
		if (!ring_single(r, &d, flags, &bufs[i]))
			break;
		bufs[i].id = head;
	}
	if (n > 0)
		prefetch_next(r, (unsigned int)n);
	return i > 0 ? (unsigned int)i : 0;
}

void iol_split_consume(struct iol_ring *r, const struct iol_buf *bufs, const uint32_t *len,
		       unsigned int n)
{
	struct vring_used_elem *used = r->used->ring;
	uint16_t mask = r->size - 1, at = r->used_next;
	unsigned int i;

	for (i = 0; i < n; i++, at++)
		used[at & mask] =
			(struct vring_used_elem){ .id = bufs[i].id, .len = len ? len[i] : 0 };
	r->next += (uint16_t)n;
	r->used_next = at;
	/* Release: the entries, and what the device wrote to the buffers, come before the index. */
	__atomic_store_n(&r->used->idx, r->used_next, __ATOMIC_RELEASE);
}

/* A chain of the inflight log: it is marked there already, and next has passed it. */
int iol_split_pop_head(struct iol_ring *r, uint16_t head, struct iol_chain *chain)
{
	struct ring_desc first = ring_load(&r->desc[head]);
	struct iovec *iov = r->iov;
	int rc = take(r, head, &first, &iov, chain);

	if (!rc)
		r->inflight++;
	return rc;
}

static void log_used(struct iol_ring *r, uint16_t from, unsigned int n)
{
	for (; n; n--, from++) {
		const struct vring_used_elem *e = &r->used->ring[from & (r->size - 1)];

		iol_ring_log_write(r, e, sizeof(*e), (uint64_t)((const char *)e - (char *)r->used));
	}
	iol_ring_log_write(r, &r->used->idx, sizeof(r->used->idx),
			   offsetof(struct vring_used, idx));
}

bool iol_split_wants_call(const struct iol_ring *r, unsigned int entries)
{
	/*
	 * The store of idx must be visible before the driver's wish is read: a driver stores its
	 * wish, then looks at idx. Without the full barrier each could miss the other's store.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (r->event_idx)
		return ring_need_event(__atomic_load_n(used_event(r), __ATOMIC_RELAXED),
				       r->used_next, (uint16_t)(r->used_next - entries));
	return !(__atomic_load_n(&r->avail->flags, __ATOMIC_RELAXED) & VRING_AVAIL_F_NO_INTERRUPT);
}

unsigned int iol_split_publish(struct iol_ring *r)
{
	uint16_t old = r->used_next, mask = r->size - 1, batch_head;
	unsigned int i, n, run;

	n = r->nbatch;
	if (r->track.split) {
		batch_head = r->track.split->last_batch_head;
		for (i = 0; i < n; i++)
			iol_track_split_link(&r->track, &batch_head, r->batch[i].id);
	}
	if (unlikely(r->in_order)) {
		for (i = 0; i < n; i += run) {
			run = ring_run_length(r, i);
			r->used->ring[(uint16_t)(old + i) & mask] =
				(struct vring_used_elem){ .id = r->batch[i + run - 1].id,
							  .len = r->batch[i + run - 1].len };
		}
	} else {
		for (i = 0; i < n; i++)
			r->used->ring[(uint16_t)(old + i) & mask] =
				(struct vring_used_elem){ .id = r->batch[i].id,
							  .len = r->batch[i].len };
	}
	for (i = 0; i < n; i++)
		r->state[r->batch[i].id] = 0;
	r->used_next += (uint16_t)n;
	/* Release: the entries, and what the device wrote to the buffers, come before the index. */
	__atomic_store_n(&r->used->idx, r->used_next, __ATOMIC_RELEASE);
	if (r->track.split) {
		struct iol_log_split *log = r->track.split;

		iol_track_fence();
		for (i = 0; i < n; i++)
			__atomic_store_n(&log->desc[r->batch[i].id].inflight, 0, __ATOMIC_RELAXED);
		iol_track_fence();
		log->used_idx = r->used_next;
		iol_track_fence();
	}
	if (unlikely(r->dirty != NULL))
		log_used(r, old, n);
	return n;
}

bool iol_split_arm(struct iol_ring *r)
{
	if (r->event_idx) {
		__atomic_store_n(avail_event(r), r->next, __ATOMIC_RELAXED);
		iol_ring_log_write(r, avail_event(r), sizeof(uint16_t),
				   (uint64_t)((char *)avail_event(r) - (char *)r->used));
	} else if (r->kicks != KICKS_WANTED) {
		__atomic_store_n(&r->used->flags, 0, __ATOMIC_RELAXED);
		iol_ring_log_write(r, &r->used->flags, sizeof(uint16_t), 0);
	}
	r->kicks = KICKS_WANTED;
	/*
	 * Our wish for kicks must be visible before idx is read: the driver stores idx, then reads
	 * the wish. Else it could see none while we see no chain, and both would wait for ever.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&r->avail->idx, __ATOMIC_RELAXED) != r->next;
}

/* With EVENT_IDX there is nothing to write: the event stays behind, and is not met again for long. */
void iol_split_disarm(struct iol_ring *r)
{
	if (r->event_idx)
		return;
	__atomic_store_n(&r->used->flags, VRING_USED_F_NO_NOTIFY, __ATOMIC_RELAXED);
	iol_ring_log_write(r, &r->used->flags, sizeof(uint16_t), 0);
}
