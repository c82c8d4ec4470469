/* SPDX-License-Identifier: BSD-3-Clause */
/* Split virtqueues, driver side (virtio 1.3, 2.7). */
#include "vhost-user/driver_priv.h"

#include "base/error.h"

#include <errno.h>

static uint16_t *used_event(struct iol_driver_ring *d)
{
	return &d->avail->ring[d->size];
}

static const uint16_t *avail_event(const struct iol_driver_ring *d)
{
	return (const uint16_t *)(const void *)&d->used->ring[d->size];
}

/* A line that the device's cache holds stays there when nothing in it changes. */
static void put(struct vring_desc *d, uint64_t addr, uint32_t len, unsigned int flags,
		uint16_t next)
{
	if (d->addr != addr)
		d->addr = addr;
	if (d->len != len || d->flags != flags || d->next != next) {
		d->len = len;
		d->flags = (uint16_t)flags;
		d->next = next;
	}
}

static uint16_t take_free(struct iol_driver_ring *d)
{
	uint16_t i = d->next_desc;

	d->nfree--;
	if (!d->in_order)
		return d->free[d->nfree];
	d->next_desc = (i + 1) & (d->size - 1);
	return i;
}

static void put_table(struct iol_driver_ring *d, uint16_t head, const struct iol_driver_seg *segs,
		      unsigned int n)
{
	uint64_t addr;
	struct vring_desc *table = driver_table(d, head, &addr);
	unsigned int i;

	for (i = 0; i < n; i++)
		put(&table[i], segs[i].addr, segs[i].len,
		    (segs[i].write ? VRING_DESC_F_WRITE : 0) | (i + 1 < n ? VRING_DESC_F_NEXT : 0),
		    (uint16_t)(i + 1 < n ? i + 1 : 0));
	put(&d->desc[head], addr, n * (uint32_t)sizeof(*table), VRING_DESC_F_INDIRECT, 0);
}

int iol_driver_split_add(struct iol_driver_ring *d, const struct iol_driver_seg *segs,
			 unsigned int n, uintptr_t cookie)
{
	bool indirect = d->indirect && n > 1 && n <= d->spec.indirect_max;
	unsigned int ndesc = indirect ? 1 : n, i;
	uint16_t head, at;

	if (ndesc > d->size)
		return -EINVAL;
	if (ndesc > d->nfree)
		return -ENOSPC;
	head = at = take_free(d);
	if (indirect) {
		put_table(d, head, segs, n);
	} else {
		for (i = 0; i < n; i++) {
			uint16_t next = i + 1 < n ? take_free(d) : 0;

			put(&d->desc[at], segs[i].addr, segs[i].len,
			    (segs[i].write ? VRING_DESC_F_WRITE : 0) |
				    (i + 1 < n ? VRING_DESC_F_NEXT : 0),
			    next);
			d->chain[at].next = next;
			at = next;
		}
	}
	driver_note(d, head, ndesc, segs, n, cookie);
	/* Relaxed: the index that shows the entry is stored with release. */
	__atomic_store_n(&d->avail->ring[d->next++ & (d->size - 1)], head, __ATOMIC_RELAXED);
	d->added++;
	return 0;
}

bool iol_driver_split_publish(struct iol_driver_ring *d)
{
	uint16_t old = (uint16_t)(d->next - d->added);

	d->added = 0;
	/* Release: descriptors, entries and buffers are visible before the index that shows them. */
	__atomic_store_n(&d->avail->idx, d->next, __ATOMIC_RELEASE);
	/*
	 * And the index before the device's wish for kicks is read: the device stores its wish, then
	 * reads the index. Without the full barrier each could miss the other's store.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (d->event_idx)
		return driver_need_event(__atomic_load_n(avail_event(d), __ATOMIC_RELAXED), d->next,
					 old);
	return !(__atomic_load_n(&d->used->flags, __ATOMIC_RELAXED) & VRING_USED_F_NO_NOTIFY);
}

/* How many used entries wait; @enough are as good as more. */
static int waiting(struct iol_driver_ring *d, unsigned int enough)
{
	uint16_t n = (uint16_t)(d->used_idx - d->last_used);

	if (n >= enough)
		return n;
	/* Acquire: entries and what the device wrote are read after the index that shows them. */
	d->used_idx = __atomic_load_n(&d->used->idx, __ATOMIC_ACQUIRE);
	n = (uint16_t)(d->used_idx - d->last_used);
	if (n > d->inflight)
		return iol_fail(EPROTO,
				"the device's used index went from %u to %u with %u "
				"chains in flight",
				d->last_used, d->used_idx, d->inflight);
	return n;
}

int iol_driver_split_used(struct iol_driver_ring *d, uint16_t *id, uint32_t *len)
{
	const struct vring_used_elem *e = &d->used->ring[d->last_used & (d->size - 1)];
	uint32_t used_id;
	int rc = waiting(d, 1);

	if (rc <= 0)
		return rc;
	used_id = __atomic_load_n(&e->id, __ATOMIC_RELAXED);
	if (used_id >= d->size || !d->chain[used_id].ndesc)
		return iol_driver_refuse(d, used_id);
	*id = (uint16_t)used_id;
	*len = __atomic_load_n(&e->len, __ATOMIC_RELAXED);
	if (!d->in_order)
		d->last_used++;
	return 1;
}

int iol_driver_split_recycle(struct iol_driver_ring *d, uintptr_t *cookies, uint32_t *lens,
			     unsigned int max)
{
	uint16_t ids[IOL_DRIVER_BURST_MAX];
	const unsigned int mask = d->size - 1u;
	uint32_t id = 0;
	unsigned int i;
	int n = waiting(d, max);

	if (n < 0)
		return n;
	if (max > (unsigned int)n)
		max = (unsigned int)n;
	for (i = 0; i < max; i++) {
		const struct vring_used_elem *e = &d->used->ring[(d->last_used + i) & mask];

		id = __atomic_load_n(&e->id, __ATOMIC_RELAXED);
		if (id >= d->size || d->chain[id].ndesc != 1)
			break;
		/* Until all are looked at: the device does not give back one twice. */
		d->chain[id].ndesc = 0;
		ids[i] = (uint16_t)id;
		cookies[i] = d->chain[id].cookie;
		lens[i] = __atomic_load_n(&e->len, __ATOMIC_RELAXED);
	}
	if (!i)
		return max ? iol_driver_refuse(d, id) : 0;
	d->last_used = (uint16_t)(d->last_used + i);
	d->added += i;
	for (max = i, i = 0; i < max; i++) {
		uint16_t *entry = &d->avail->ring[d->next++ & mask];

		d->chain[ids[i]].ndesc = 1;
		/* A line that the device's cache holds stays there when nothing in it changes. */
		if (*entry != ids[i])
			__atomic_store_n(entry, ids[i], __ATOMIC_RELAXED);
	}
	return (int)max;
}

void iol_driver_split_free(struct iol_driver_ring *d, uint16_t id)
{
	unsigned int n = d->chain[id].ndesc, i;

	if (d->in_order)
		/* One used entry may stand for several chains; each takes its place in the ring. */
		d->last_used++;
	else
		/* Head uppermost: the same chain again finds the same descriptors. */
		for (i = n; i; i--, id = d->chain[id].next)
			d->free[d->nfree + i - 1] = id;
	d->nfree += n;
}

bool iol_driver_split_arm(struct iol_driver_ring *d)
{
	if (d->event_idx)
		__atomic_store_n(used_event(d), d->last_used, __ATOMIC_RELAXED);
	else
		__atomic_store_n(&d->avail->flags, 0, __ATOMIC_RELAXED);
	/* Our wish is visible before the index is read: the device stores that, then reads the wish. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&d->used->idx, __ATOMIC_RELAXED) != d->last_used;
}

/* With EVENT_IDX the event stays behind, and is not met again for 65536 chains. */
void iol_driver_split_disarm(struct iol_driver_ring *d)
{
	if (!d->event_idx)
		__atomic_store_n(&d->avail->flags, VRING_AVAIL_F_NO_INTERRUPT, __ATOMIC_RELAXED);
}
