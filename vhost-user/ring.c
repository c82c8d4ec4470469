/* SPDX-License-Identifier: BSD-3-Clause */
/* What split and packed rings have in common, and all that is not done for every request. */
#include "vhost-user/ring_priv.h"

#include <stdlib.h>
#include <string.h>

int iol_ring_break(struct iol_ring *r, int rc)
{
	r->special |= RING_BROKEN;
	r->error = rc;
	memcpy(r->error_text, iol_error(), sizeof(r->error_text) - 1);
	return rc;
}

/* ---- pop ---- */

static int grow_scratch(struct iol_ring *r)
{
	uint32_t max = 2 * r->iov_max < RING_IOV_MAX ? 2 * r->iov_max : RING_IOV_MAX;
	struct iovec *iov;

	if (r->iov_max == max)
		return iol_fail(EPROTO, "the driver made a chain of more than %u pieces",
				RING_IOV_MAX);
	iov = realloc(r->iov, max * sizeof(*iov));
	if (!iov)
		return iol_fail(ENOMEM, "no memory for a chain of more than %u pieces", r->iov_max);
	r->iov = iov;
	r->iov_max = max;
	return 0;
}

/* One chain of those that a dead process left; the next when that was pushed. */
static int replay(struct iol_ring *r, struct iol_chain *chains)
{
	struct iol_track *t = &r->track;
	int rc;

	if (r->inflight)
		return 0;
	if (t->replayed == t->nreplay) {
		r->special &= ~RING_REPLAY;
		return 0;
	}
	if (r->packed)
		rc = iol_packed_pop_saved(r, &t->replay[t->replayed], chains);
	else
		rc = iol_split_pop_head(r, t->replay[t->replayed].id, chains);
	if (rc)
		return rc;
	t->replayed++;
	return 1;
}

/* What to do before a pop: 0 to go on, 1 when @chains[0] was filled, -EAGAIN to wait, an error. */
static int pop_special(struct iol_ring *r, struct iol_chain *chains)
{
	int rc = 0;

	if (r->special & RING_STOPPED)
		return iol_fail(EPROTO, "the ring is not started");
	if (r->special & RING_BROKEN)
		return iol_fail(-r->error, "%s", r->error_text);
	if (r->special & RING_UNMAPPED)
		rc = iol_ring_map_areas(r);
	if (!rc && (r->special & RING_REPLAY))
		rc = replay(r, chains);
	return rc;
}

int iol_ring_pop(struct iol_ring *r, struct iol_chain *chains, unsigned int max)
{
	int rc;

	r->waiting = false;
	do {
		rc = 0;
		if (unlikely(r->special))
			rc = pop_special(r, chains);
		if (!rc && likely(!(r->special & RING_REPLAY)))
			rc = r->packed ? iol_packed_pop(r, chains, max)
				       : iol_split_pop(r, chains, max);
		if (likely(rc >= 0))
			return rc;
		if (rc == -EAGAIN) {
			r->waiting = true;
			return rc;
		}
		/* The first chain alone does not fit the scratch: more room, and again. */
	} while (rc == -ENOBUFS && !(rc = grow_scratch(r)));
	return r->special & (RING_STOPPED | RING_BROKEN) ? rc : iol_ring_break(r, rc);
}

static int translate(struct iol_ring *r, uint64_t addr, uint32_t len, uint8_t perm,
		     struct iovec *iov, size_t max)
{
	unsigned int n = max > RING_IOV_MAX ? RING_IOV_MAX : (unsigned int)max;
	int rc;

	if (r->spec.access_platform) {
		rc = iol_iotlb_iov(r->iotlb, r->mem, addr, len, perm, iov, n);
	} else {
		iol_ring_near(r, addr);
		rc = iol_mem_iov(r->mem, addr, len, iov, n);
	}
	if (rc == -E2BIG)
		return -ENOBUFS;
	if (rc > 0 || rc == -EAGAIN)
		return rc;
	return iol_fail(EPROTO,
			"the driver gave a buffer outside guest memory (%u bytes at 0x%llx)", len,
			(unsigned long long)addr);
}

bool iol_ring_near(struct iol_ring *r, uint64_t addr)
{
	const struct iol_region *region;

	if (r->spec.access_platform)
		return false;
	region = iol_mem_find_gpa(r->mem, addr);
	if (!region)
		return false;
	r->near_gpa = region->gpa;
	r->near_size = region->size;
	r->near_host = region->host;
	return true;
}

int iol_ring_add_slow(struct iol_ring *r, struct ring_walk *w, const struct ring_desc *d)
{
	int rc;

	/* Drivers must not, but some do give empty buffers: there is nothing to pass on. */
	if (!d->len)
		return 0;
	if (w->iov == w->end)
		return -ENOBUFS;
	rc = translate(r, d->addr, d->len,
		       d->flags & VRING_DESC_F_WRITE ? IOL_ACCESS_WO : IOL_ACCESS_RO, w->iov,
		       (size_t)(w->end - w->iov));
	if (rc < 0)
		return rc;
	w->iov += rc;
	return 0;
}

/* An indirect table that is unaligned, or in pieces, or in another region than the last address. */
const struct vring_desc *iol_ring_table_slow(struct iol_ring *r, const struct ring_desc *d, int *rc)
{
	/* Pages of 4 KiB, one more when it begins within one; regions are no smaller. */
	struct iovec iov[(IOL_QUEUE_SIZE_MAX * sizeof(struct vring_desc)) / 4096 + 2];
	uint8_t *to;
	int i, n;

	n = translate(r, d->addr, d->len, IOL_ACCESS_RO, iov, sizeof(iov) / sizeof(iov[0]));
	if (n < 0) {
		*rc = n == -ENOBUFS
			      ? iol_fail(EPROTO,
					 "the driver's indirect table lies in too many pieces")
			      : n;
		return NULL;
	}
	if (n == 1 && !((uintptr_t)iov[0].iov_base % sizeof(uint64_t)))
		return iov[0].iov_base;
	if (!r->table)
		r->table = calloc(r->desc_max, sizeof(*r->table));
	if (!r->table) {
		*rc = iol_fail(ENOMEM, "no memory for an indirect table");
		return NULL;
	}
	to = (uint8_t *)r->table;
	for (i = 0; i < n; to += iov[i++].iov_len)
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
	return r->table;
}

/* ---- push, unpop, publish, notifications ---- */

static inline void push(struct iol_ring *r, uint16_t id, uint16_t ndesc, uint32_t len, bool more)
{
	uint32_t state;

	/* Nothing is in flight in a stopped ring. What was not popped cannot be pushed, nor twice. */
	if (unlikely(!r->state || (id >= r->size && !r->packed)))
		return;
	state = r->state[id];
	if (unlikely((state & (CHAIN_NDESC | CHAIN_PUSHED)) != ndesc || !ndesc))
		return;
	r->state[id] = state | CHAIN_PUSHED;
	r->batch[r->nbatch++] =
		(struct ring_used){ .id = id, .ndesc = ndesc, .len = len, .more = more };
	r->inflight--;
	if (unlikely(state & CHAIN_OLD_MEM) && !--r->old_mem)
		iol_ring_release_retired(&r->retired);
}

void iol_ring_push(struct iol_ring *r, uint16_t id, uint16_t ndesc, uint32_t len)
{
	push(r, id, ndesc, len, false);
}

void iol_ring_push_more(struct iol_ring *r, uint16_t id, uint16_t ndesc, uint32_t len)
{
	push(r, id, ndesc, len, true);
}

unsigned int iol_ring_group_max(const struct iol_ring *r)
{
	return r->resume ? r->size - 1u : r->size;
}

/* Chains that were popped take the ring's position back with them, the last first. */
static void step_back(struct iol_ring *r, const struct iol_chain *chains, unsigned int n,
		      unsigned int slots)
{
	if (!r->packed) {
		r->next -= (uint16_t)n;
	} else {
		r->slots -= slots;
		if (r->next < slots) {
			r->next += r->size;
			r->avail_wrap = !r->avail_wrap;
		}
		r->next -= (uint16_t)slots;
	}
	if (likely(!r->spec.inflight))
		return;
	/* One by one: those that the log has left are at any time the first that the driver made. */
	while (n) {
		if (r->packed)
			iol_track_packed_untake(&r->track, chains[--n].id);
		else
			iol_track_split_untake(&r->track, chains[--n].id);
	}
}

int iol_ring_unpop(struct iol_ring *r, const struct iol_chain *chains, unsigned int n)
{
	unsigned int i, slots = 0;

	for (i = 0; i < n; i++) {
		const struct iol_chain *c = &chains[i];

		if (unlikely(!r->state || (c->id >= r->size && !r->packed) || !c->ndesc ||
			     (r->state[c->id] & (CHAIN_NDESC | CHAIN_PUSHED)) != c->ndesc))
			return iol_fail(EINVAL,
					"chain %u cannot be given back: it is not in flight",
					c->id);
		slots += c->ndesc;
	}
	if (unlikely(n > r->inflight))
		return iol_fail(EINVAL, "%u chains cannot be given back: %u are in flight", n,
				r->inflight);
	for (i = 0; i < n; i++) {
		uint32_t *state = &r->state[chains[i].id];

		if (unlikely(*state & CHAIN_OLD_MEM) && !--r->old_mem)
			iol_ring_release_retired(&r->retired);
		*state = 0;
	}
	r->inflight -= n;
	/* What was waited for comes after these. */
	r->waiting = false;
	/* A replayed chain, which is in flight alone, stays in the log; the position is past it already. */
	if (unlikely(r->special & RING_REPLAY))
		r->track.replayed -= n;
	else
		step_back(r, chains, n, slots);
	return 0;
}

static bool wants_call(const struct iol_ring *r, unsigned int entries)
{
	return r->packed ? iol_packed_wants_call(r, entries) : iol_split_wants_call(r, entries);
}

/* @n used entries (packed: descriptors) were shown. Return: whether the driver is to be notified. */
static inline bool published(struct iol_ring *r, unsigned int n)
{
	if (wants_call(r, n) || unlikely(r->notify)) {
		r->notify = false;
		r->uncalled = 0;
		return true;
	}
	/* What lies a whole ring back the driver has taken. */
	r->uncalled = r->uncalled + n < r->size ? r->uncalled + n : r->size;
	return false;
}

bool iol_ring_publish(struct iol_ring *r)
{
	unsigned int n;

	if (!r->nbatch)
		return false;
	if (unlikely(r->special & RING_UNMAPPED) && iol_ring_map_areas(r))
		return false;
	n = r->packed ? iol_packed_publish(r) : iol_split_publish(r);
	r->nbatch = 0;
	return published(r, n);
}

void iol_ring_only_read(struct iol_ring *r)
{
	r->table_flags = 0;
}

/*
 * The quick way is for rings of which nothing has to be remembered. The base of a packed ring may leave out slots that
 * are in flight no more.
 */
static inline bool is_quick(const struct iol_ring *r)
{
	return !(r->special | r->nbatch | r->inflight | r->slots) && !r->spec.inflight && !r->dirty;
}

unsigned int iol_ring_peek(struct iol_ring *r, struct iol_buf *bufs, unsigned int max,
			   bool writable)
{
	if (unlikely(!is_quick(r)))
		return 0;
	return r->packed ? iol_packed_peek(r, bufs, max, writable)
			 : iol_split_peek(r, bufs, max, writable);
}

bool iol_ring_consume(struct iol_ring *r, const struct iol_buf *bufs, const uint32_t *len,
		      unsigned int n)
{
	if (!n)
		return false;
	if (r->packed)
		iol_packed_consume(r, bufs, len, n);
	else
		iol_split_consume(r, bufs, len, n);
	return published(r, n);
}

/* Whether there is nothing that a kick would be about. */
static bool deaf(struct iol_ring *r)
{
	if (r->special & (RING_STOPPED | RING_BROKEN))
		return true;
	if ((r->special & RING_UNMAPPED) && iol_ring_map_areas(r))
		return true;
	return false;
}

bool iol_ring_arm(struct iol_ring *r)
{
	bool available;

	if (unlikely(r->special) && deaf(r))
		return false;
	available = r->packed ? iol_packed_arm(r) : iol_split_arm(r);
	/* A chain that waits for the IOTLB is known: an entry wakes the queue, not a kick. */
	if (unlikely(r->waiting))
		return false;
	/* New chains wait for the replayed one, whose end the owner sees. */
	if (unlikely(r->special & RING_REPLAY))
		return !r->inflight;
	return available;
}

bool iol_ring_recall(struct iol_ring *r)
{
	if (!r->uncalled || (unlikely(r->special) && deaf(r)) || !wants_call(r, r->uncalled))
		return false;
	r->uncalled = 0;
	return true;
}

void iol_ring_disarm(struct iol_ring *r)
{
	if (unlikely(r->special) && deaf(r))
		return;
	if (r->kicks == KICKS_UNWANTED)
		return;
	r->kicks = KICKS_UNWANTED;
	if (r->packed)
		iol_packed_disarm(r);
	else
		iol_split_disarm(r);
}

/* ---- the dirty log ---- */

void iol_ring_dirty(struct iol_ring *r, const void *base, uint32_t len)
{
	const uint8_t *p = base;

	while (unlikely(r->dirty != NULL) && len) {
		/* The table of today knows the buffer, unless its memory is gone: then so is its page. */
		const struct iol_region *region = r->mem ? iol_mem_find_host(r->mem, p) : NULL;
		uint64_t off, n;

		if (!region)
			return;
		off = (uint64_t)(p - region->host);
		n = region->size - off < len ? region->size - off : len;
		iol_dirty_mark(r->dirty, region->gpa + off, n);
		p += n;
		len -= (uint32_t)n;
	}
}

/*
 * The ring itself was written at @p, @used_offset bytes into the used ring. The front end says where
 * that is in the log; what it says means nothing to packed rings (whose descriptor ring is written)
 * and behind an IOMMU (where it is an IOVA), so there the region tells.
 */
void iol_ring_log_write(struct iol_ring *r, const void *p, uint32_t len, uint64_t used_offset)
{
	if (likely(!r->dirty) || !r->spec.log_used)
		return;
	if (r->packed || r->spec.access_platform)
		iol_ring_dirty(r, p, len);
	else
		iol_dirty_mark(r->dirty, r->spec.log_addr + used_offset, len);
}
