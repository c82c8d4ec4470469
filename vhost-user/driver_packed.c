/* SPDX-License-Identifier: BSD-3-Clause */
/* Packed virtqueues, driver side (virtio 1.3, 2.8). */
#include "vhost-user/driver_priv.h"

#include "base/error.h"

#include <errno.h>

#define AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED  (1u << VRING_PACKED_DESC_F_USED)

static void put_table(struct vring_desc *table, const struct iol_driver_seg *segs, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct vring_packed_desc *e = (struct vring_packed_desc *)&table[i];
		uint16_t flags = segs[i].write ? VRING_DESC_F_WRITE : 0;

		/* A line that the device's cache holds stays there when nothing in it changes. */
		if (e->addr == segs[i].addr && e->len == segs[i].len && e->flags == flags)
			continue;
		e->addr = segs[i].addr;
		e->len = segs[i].len;
		e->flags = flags;
	}
}

/* Put a descriptor at the end of the ring. Those before the first's flags are stored do not show. */
static void put(struct iol_driver_ring *d, uint64_t addr, uint32_t len, uint16_t id,
		unsigned int flags)
{
	struct vring_packed_desc *p = &d->pdesc[d->next];

	flags |= d->wrap ? AVAIL : USED;
	p->addr = addr;
	p->len = len;
	p->id = id;
	if (d->added) {
		__atomic_store_n(&p->flags, (uint16_t)flags, __ATOMIC_RELAXED);
	} else {
		d->first = d->next;
		d->first_flags = (uint16_t)flags;
	}
	d->added++;
	if (++d->next == d->size) {
		d->next = 0;
		d->wrap = !d->wrap;
	}
}

int iol_driver_packed_add(struct iol_driver_ring *d, const struct iol_driver_seg *segs,
			  unsigned int n, uintptr_t cookie)
{
	bool indirect = d->indirect && n > 1 && n <= d->spec.indirect_max;
	unsigned int ndesc = indirect ? 1 : n, i;
	uint64_t addr;
	uint16_t id;

	if (ndesc > d->size)
		return -EINVAL;
	if (ndesc > d->room)
		return -ENOSPC;
	id = d->free[--d->nfree];
	d->room -= ndesc;
	if (indirect) {
		put_table(driver_table(d, id, &addr), segs, n);
		d->put[id] =
			(struct vring_packed_desc){ .addr = addr,
						    .len = n * (uint32_t)sizeof(struct vring_desc),
						    .id = id,
						    .flags = VRING_DESC_F_INDIRECT };
		put(d, addr, n * (uint32_t)sizeof(struct vring_desc), id, VRING_DESC_F_INDIRECT);
	} else {
		d->put[id] = (struct vring_packed_desc){ .addr = segs[0].addr,
							 .len = segs[0].len,
							 .id = id,
							 .flags = segs[0].write ? VRING_DESC_F_WRITE
										: 0 };
		for (i = 0; i < n; i++)
			put(d, segs[i].addr, segs[i].len, id,
			    (segs[i].write ? VRING_DESC_F_WRITE : 0) |
				    (i + 1 < n ? VRING_DESC_F_NEXT : 0));
	}
	driver_note(d, id, ndesc, segs, n, cookie);
	return 0;
}

bool iol_driver_packed_publish(struct iol_driver_ring *d)
{
	uint16_t old = (uint16_t)(d->next - d->added), event;
	struct vring_packed_desc_event e;
	uint32_t word;

	d->added = 0;
	/* Release: all other descriptors and the buffers are visible before the flags that show them. */
	__atomic_store_n(&d->pdesc[d->first].flags, d->first_flags, __ATOMIC_RELEASE);
	/*
	 * And the flags before the device's wish for kicks is read: the device stores its wish, then
	 * reads the flags. Without the full barrier each could miss the other's store.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	word = __atomic_load_n((const uint32_t *)(const void *)d->device_event, __ATOMIC_RELAXED);
	__builtin_memcpy(&e, &word, sizeof(e));
	if (e.flags == VRING_PACKED_EVENT_FLAG_DISABLE)
		return false;
	if (!d->event_idx || e.flags != VRING_PACKED_EVENT_FLAG_DESC)
		return true;
	event = e.off_wrap & (uint16_t) ~(1u << VRING_PACKED_EVENT_F_WRAP_CTR);
	/* A place of the lap before is that many descriptors back. */
	if (e.off_wrap >> VRING_PACKED_EVENT_F_WRAP_CTR != d->wrap)
		event -= d->size;
	return driver_need_event(event, d->next, old);
}

static bool is_used(const struct iol_driver_ring *d, uint16_t flags)
{
	return (flags & (AVAIL | USED)) == (d->used_wrap ? AVAIL | USED : 0);
}

int iol_driver_packed_used(struct iol_driver_ring *d, uint16_t *id, uint32_t *len)
{
	const struct vring_packed_desc *p = &d->pdesc[d->last_used];

	/* Acquire: the rest, and what the device wrote, are read after the flags that show them. */
	if (!d->inflight || !is_used(d, __atomic_load_n(&p->flags, __ATOMIC_ACQUIRE)))
		return 0;
	*id = __atomic_load_n(&p->id, __ATOMIC_RELAXED);
	*len = __atomic_load_n(&p->len, __ATOMIC_RELAXED);
	if (*id >= d->size || !d->chain[*id].ndesc)
		return iol_driver_refuse(d, *id);
	return 1;
}

int iol_driver_packed_recycle(struct iol_driver_ring *d, uintptr_t *cookies, uint32_t *lens,
			      unsigned int max)
{
	uint16_t ids[IOL_DRIVER_BURST_MAX], id = 0;
	unsigned int i;

	if (max > d->inflight)
		max = d->inflight;
	for (i = 0; i < max; i++) {
		const struct vring_packed_desc *p = &d->pdesc[d->last_used];

		if (!is_used(d, __atomic_load_n(&p->flags, __ATOMIC_ACQUIRE))) {
			max = i;
			break;
		}
		id = __atomic_load_n(&p->id, __ATOMIC_RELAXED);
		if (id >= d->size || d->chain[id].ndesc != 1)
			break;
		/* Until all are looked at: the device does not give back one twice. */
		d->chain[id].ndesc = 0;
		ids[i] = id;
		cookies[i] = d->chain[id].cookie;
		lens[i] = __atomic_load_n(&p->len, __ATOMIC_RELAXED);
		if (++d->last_used == d->size) {
			d->last_used = 0;
			d->used_wrap = !d->used_wrap;
		}
	}
	if (!i)
		return max ? iol_driver_refuse(d, id) : 0;
	for (max = i, i = 0; i < max; i++) {
		const struct vring_packed_desc *p = &d->put[ids[i]];

		d->chain[ids[i]].ndesc = 1;
		put(d, p->addr, p->len, ids[i], p->flags);
	}
	return (int)max;
}

/* One used descriptor stands for all slots of its chain (and of the chains before, in order). */
void iol_driver_packed_free(struct iol_driver_ring *d, uint16_t id)
{
	unsigned int n = d->chain[id].ndesc;

	d->free[d->nfree++] = id;
	d->room += n;
	d->last_used = (uint16_t)(d->last_used + n);
	if (d->last_used >= d->size) {
		d->last_used -= d->size;
		d->used_wrap = !d->used_wrap;
	}
}

static void set_event(struct iol_driver_ring *d, uint16_t off_wrap, uint16_t flags)
{
	struct vring_packed_desc_event e = { .off_wrap = off_wrap, .flags = flags };
	uint32_t word;

	__builtin_memcpy(&word, &e, sizeof(word));
	__atomic_store_n((uint32_t *)(void *)d->driver_event, word, __ATOMIC_RELAXED);
}

bool iol_driver_packed_arm(struct iol_driver_ring *d)
{
	if (d->event_idx)
		set_event(d,
			  (uint16_t)(d->last_used | d->used_wrap << VRING_PACKED_EVENT_F_WRAP_CTR),
			  VRING_PACKED_EVENT_FLAG_DESC);
	else
		set_event(d, 0, VRING_PACKED_EVENT_FLAG_ENABLE);
	/* Our wish is visible before the flags are read: the device stores those, then reads the wish. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return d->inflight &&
	       is_used(d, __atomic_load_n(&d->pdesc[d->last_used].flags, __ATOMIC_RELAXED));
}

void iol_driver_packed_disarm(struct iol_driver_ring *d)
{
	set_event(d, 0, VRING_PACKED_EVENT_FLAG_DISABLE);
}
