/* SPDX-License-Identifier: BSD-3-Clause */
/* What split and packed rings have in common, and all that is not done for every request. */
#include "vhost-user/ring_priv.h"

#include "base/own.h"

#include <stdlib.h>
#include <string.h>

/* Chain states kept: by head index, or by any buffer ID that a driver of a packed ring may choose. */
static size_t num_ids(const struct iol_ring *r)
{
	return r->packed ? UINT16_MAX + 1 : r->size;
}

int iol_ring_new(struct iol_ring **ring)
{
	struct iol_ring *r = aligned_alloc(64, (sizeof(*r) + 63) / 64 * 64);

	if (!r)
		return iol_fail(ENOMEM, "no memory for a ring");
	memset(r, 0, sizeof(*r));
	r->special = RING_STOPPED;
	*ring = r;
	return 0;
}

void iol_ring_destroy(struct iol_ring **ring)
{
	if (!*ring)
		return;
	iol_ring_stop(*ring);
	free(*ring);
	*ring = NULL;
}

/* The ring ends here; what is popped already may still be pushed. */
static int break_ring(struct iol_ring *r, int rc)
{
	r->special |= RING_BROKEN;
	r->error = rc;
	memcpy(r->error_text, iol_error(), sizeof(r->error_text) - 1);
	return rc;
}

/* ---- areas ---- */

static int map_area(struct iol_ring *r, const char *name, uint64_t addr, size_t len, uint8_t perm,
		    size_t align, void **area)
{
	struct iovec iov = { 0 };
	int rc;

	if (r->spec.access_platform)
		rc = iol_iotlb_iov(r->iotlb, r->mem, addr, len, perm, &iov, 1);
	else
		rc = iol_mem_iov_uaddr(r->mem, addr, len, &iov, 1);
	if (rc == -EAGAIN)
		return rc;
	if (rc != 1)
		return iol_fail(EFAULT,
				"the ring's %s area (%zu bytes at 0x%llx) is not in one piece of "
				"guest memory",
				name, len, (unsigned long long)addr);
	if ((uintptr_t)iov.iov_base % align)
		return iol_fail(EINVAL, "the ring's %s area at 0x%llx is not aligned to %zu bytes",
				name, (unsigned long long)addr, align);
	*area = iov.iov_base;
	return 0;
}

static int map_areas(struct iol_ring *r)
{
	const struct iol_ring_spec *s = &r->spec;
	size_t n = r->size;
	void *desc = NULL, *avail = NULL, *used = NULL;
	int rc;

	rc = map_area(r, "descriptor", s->desc, n * sizeof(struct vring_desc),
		      r->packed ? IOL_ACCESS_RW : IOL_ACCESS_RO, 16, &desc);
	if (!rc)
		rc = map_area(r, "driver", s->avail, r->packed ? 4 : 6 + 2 * n, IOL_ACCESS_RO,
			      r->packed ? 4 : 2, &avail);
	if (!rc)
		rc = map_area(r, "device", s->used, r->packed ? 4 : 6 + 8 * n, IOL_ACCESS_RW, 4,
			      &used);
	if (rc)
		return rc;
	r->desc = desc;
	r->avail = avail;
	r->used = used;
	r->kicks = KICKS_UNKNOWN;
	r->special &= ~RING_UNMAPPED;
	return 0;
}

/* Where the ring goes on: the base, the used ring and the inflight log tell. */
static int take_up(struct iol_ring *r)
{
	const struct iol_ring_spec *s = &r->spec;
	struct iol_track_pos pos = { .next = r->next,
				     .used_next = r->used_next,
				     .avail_wrap = r->avail_wrap,
				     .used_wrap = r->used_wrap };
	int rc = 0;

	if (!r->packed)
		pos.used_next = __atomic_load_n(&r->used->idx, __ATOMIC_RELAXED);
	if (s->inflight && r->packed)
		rc = iol_track_start_packed(&r->track, s->inflight, s->index, r->size, r->pdesc,
					    &pos);
	else if (s->inflight)
		rc = iol_track_start_split(&r->track, s->inflight, s->index, r->size, pos.used_next,
					   &pos);
	else if (r->resume)
		rc = iol_resume_take_up(r, &pos);
	else if (s->resume_at_used && !r->packed)
		pos.next = pos.used_next;
	if (rc)
		return rc;
	r->next = r->avail_idx = pos.next;
	r->avail_wrap = pos.avail_wrap;
	r->used_next = pos.used_next;
	r->used_wrap = pos.used_wrap;
	if (r->packed) {
		r->slots = pos.next >= pos.used_next ? pos.next - pos.used_next
						     : r->size + pos.next - pos.used_next;
		if (pos.next == pos.used_next && pos.avail_wrap != pos.used_wrap)
			r->slots = r->size;
	}
	if (r->track.nreplay) {
		r->special |= RING_REPLAY;
		if (r->packed)
			iol_ring_log_write(r, r->pdesc, r->size * (uint32_t)sizeof(*r->pdesc), 0);
	}
	r->special &= ~RING_FRESH;
	return 0;
}

/* -EAGAIN is no failure, but a ring that waits. */
static int map(struct iol_ring *r)
{
	int rc = map_areas(r);

	if (!rc && (r->special & RING_FRESH))
		rc = take_up(r);
	return rc;
}

/* ---- start and stop ---- */

static int check_spec(const struct iol_ring_spec *s)
{
	uint16_t size = s->size;

	if (!size || size > IOL_QUEUE_SIZE_MAX || (!s->packed && size & (size - 1)))
		return iol_fail(EINVAL, "a %s ring of %u descriptors cannot be: %s",
				s->packed ? "packed" : "split", size,
				s->packed ? "1 to 32768 are allowed"
					  : "powers of two up to 32768 are allowed");
	if (s->packed && ((s->base & 0x7fff) >= size || (s->base >> 16 & 0x7fff) >= size))
		return iol_fail(EINVAL, "base 0x%x is outside a ring of %u descriptors", s->base,
				size);
	if (s->access_platform && !s->iotlb)
		return iol_fail(EINVAL, "a ring with IOVAs needs an IOTLB");
	return 0;
}

int iol_ring_start(struct iol_ring *r, const struct iol_ring_spec *spec)
{
	int rc = check_spec(spec);

	if (rc)
		return rc;
	iol_ring_stop(r);
	memset(r, 0, sizeof(*r));
	r->spec = *spec;
	r->size = spec->size;
	r->packed = spec->packed;
	r->event_idx = spec->event_idx;
	r->indirect = spec->indirect;
	r->in_order = spec->in_order;
	r->resume = spec->packed && spec->resume_at_used && !spec->inflight;
	r->mem = iol_mem_ref(spec->mem);
	r->iotlb = spec->iotlb;
	r->dirty = spec->dirty;
	r->next = (uint16_t)(r->packed ? spec->base & 0x7fff : spec->base);
	r->avail_idx = r->next;
	r->avail_wrap = spec->base >> 15 & 1;
	r->used_next = spec->base >> 16 & 0x7fff;
	r->used_wrap = spec->base >> 31;
	r->notify = true;
	r->special = RING_FRESH | RING_UNMAPPED;
	r->desc_max = r->size > RING_TABLE_MAX ? r->size : RING_TABLE_MAX;
	r->iov_max = r->desc_max > RING_IOV_MIN ? r->desc_max : RING_IOV_MIN;
	r->state = calloc(num_ids(r), sizeof(*r->state));
	r->batch = calloc(r->size, sizeof(*r->batch));
	r->iov = calloc(r->iov_max, sizeof(*r->iov));
	if (!r->state || !r->batch || !r->iov)
		rc = iol_fail(ENOMEM, "no memory for a ring of %u descriptors", r->size);
	if (!rc)
		rc = map(r);
	if (rc && rc != -EAGAIN) {
		iol_ring_stop(r);
		return rc;
	}
	return 0;
}

int iol_ring_map(struct iol_ring *r)
{
	if (r->special & (RING_STOPPED | RING_BROKEN))
		return 0;
	return r->special & RING_UNMAPPED ? map(r) : 0;
}

bool iol_ring_read(const struct iol_ring *r)
{
	return !r->spec.inflight || !(r->special & RING_FRESH);
}

bool iol_ring_placed(const struct iol_ring *r)
{
	return !(r->special & RING_FRESH);
}

static void release_retired(struct ring_retired **list)
{
	while (*list) {
		struct ring_retired *old = *list;

		*list = old->next;
		iol_mem_unref(&old->mem);
		free(old);
	}
}

void iol_ring_stop(struct iol_ring *r)
{
	if (r->special & RING_STOPPED)
		return;
	r->special = RING_STOPPED;
	iol_track_stop(&r->track);
	release_retired(&r->retired);
	iol_mem_unref(&r->mem);
	free(r->state);
	free(r->batch);
	free(r->iov);
	free(r->table);
	r->state = NULL;
	r->batch = NULL;
	r->iov = NULL;
	r->table = NULL;
	r->desc = NULL;
	r->avail = NULL;
	r->used = NULL;
	r->nbatch = r->inflight = 0;
}

uint32_t iol_ring_base(const struct iol_ring *r)
{
	if (!r->packed)
		return r->next;
	return r->next | (uint32_t)r->avail_wrap << 15 | (uint32_t)r->used_next << 16 |
	       (uint32_t)r->used_wrap << 31;
}

bool iol_ring_logs(const struct iol_ring *r)
{
	return r->dirty;
}

uint16_t iol_ring_size(const struct iol_ring *r)
{
	return r->size;
}

unsigned int iol_ring_inflight(const struct iol_ring *r)
{
	return r->inflight;
}

bool iol_ring_settled(const struct iol_ring *r)
{
	return !r->inflight && !r->nbatch && !iol_ring_replaying(r) && iol_ring_read(r);
}

unsigned int iol_ring_replaying(const struct iol_ring *r)
{
	return r->track.nreplay - r->track.replayed;
}

uint64_t iol_ring_replay_oldest(const struct iol_ring *r)
{
	return iol_ring_replaying(r) ? r->track.replay[r->track.replayed].counter : UINT64_MAX;
}

/* ---- changes to a running ring ---- */

void iol_ring_unmap(struct iol_ring *r)
{
	if (!(r->special & RING_STOPPED))
		r->special |= RING_UNMAPPED;
}

/* Chains in flight point into the table that goes: keep it till the last of them was pushed. */
static int retire_mem(struct iol_ring *r)
{
	struct ring_retired *old;
	size_t i;

	if (!r->inflight) {
		iol_mem_unref(&r->mem);
		return 0;
	}
	old = malloc(sizeof(*old));
	if (!old)
		return iol_fail(ENOMEM, "no memory to keep a memory table");
	old->mem = iol_take_ptr(r->mem);
	old->next = r->retired;
	r->retired = old;
	for (i = 0; i < num_ids(r); i++)
		if (r->state[i] && !(r->state[i] & CHAIN_PUSHED))
			r->state[i] |= CHAIN_OLD_MEM;
	r->old_mem = r->inflight;
	return 0;
}

int iol_ring_set_mem(struct iol_ring *r, struct iol_mem *mem)
{
	int rc;

	if (r->special & RING_STOPPED)
		return 0;
	rc = retire_mem(r);
	if (rc)
		return break_ring(r, rc);
	r->mem = iol_mem_ref(mem);
	r->near_size = 0;
	r->special |= RING_UNMAPPED;
	rc = map(r);
	return rc && rc != -EAGAIN ? break_ring(r, rc) : 0;
}

void iol_ring_set_dirty(struct iol_ring *r, struct iol_dirty *dirty)
{
	r->dirty = dirty;
}

int iol_ring_set_addr(struct iol_ring *r, const struct iol_ring_spec *spec)
{
	int rc;

	if (r->special & RING_STOPPED)
		return 0;
	r->spec.desc = spec->desc;
	r->spec.avail = spec->avail;
	r->spec.used = spec->used;
	r->spec.log_used = spec->log_used;
	r->spec.log_addr = spec->log_addr;
	r->special |= RING_UNMAPPED;
	rc = map(r);
	return rc && rc != -EAGAIN ? break_ring(r, rc) : 0;
}

bool iol_ring_tracked(const struct iol_ring *r)
{
	return r->spec.inflight != NULL;
}

struct iol_mem *iol_ring_mem(const struct iol_ring *r)
{
	return r->mem;
}

struct iol_ring_memory {
	struct iol_mem *mem;
	struct ring_retired *retired;
};

struct iol_ring_memory *iol_ring_keep_mem(struct iol_ring *r)
{
	struct iol_ring_memory *m = calloc(1, sizeof(*m));
	struct ring_retired *retired = iol_take_ptr(r->retired);

	/* One reference more, that nobody knows, keeps a table for good. */
	iol_mem_ref(r->mem);
	if (!m)
		return NULL;
	m->mem = r->mem;
	m->retired = retired;
	return m;
}

void iol_ring_free_mem(struct iol_ring_memory **memory)
{
	struct iol_ring_memory *m = iol_take_ptr(*memory);

	if (!m)
		return;
	release_retired(&m->retired);
	iol_mem_unref(&m->mem);
	free(m);
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
		rc = map(r);
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
	return r->special & (RING_STOPPED | RING_BROKEN) ? rc : break_ring(r, rc);
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

void iol_ring_push(struct iol_ring *r, uint16_t id, uint16_t ndesc, uint32_t len)
{
	uint32_t state;

	/* Nothing is in flight in a stopped ring. What was not popped cannot be pushed, nor twice. */
	if (unlikely(!r->state || (id >= r->size && !r->packed)))
		return;
	state = r->state[id];
	if (unlikely((state & (CHAIN_NDESC | CHAIN_PUSHED)) != ndesc || !ndesc))
		return;
	r->state[id] = state | CHAIN_PUSHED;
	r->batch[r->nbatch++] = (struct ring_used){ .id = id, .ndesc = ndesc, .len = len };
	r->inflight--;
	if (unlikely(state & CHAIN_OLD_MEM) && !--r->old_mem)
		release_retired(&r->retired);
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
			release_retired(&r->retired);
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
	if (unlikely(r->special & RING_UNMAPPED) && map(r))
		return false;
	n = r->packed ? iol_packed_publish(r) : iol_split_publish(r);
	r->nbatch = 0;
	return published(r, n);
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
	if ((r->special & RING_UNMAPPED) && map(r))
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
