/* SPDX-License-Identifier: BSD-3-Clause */
/* Packed virtqueues, device side (virtio 1.3, 2.8). */
#include "vhost-user/ring_priv.h"

#define AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED  (1u << VRING_PACKED_DESC_F_USED)

#define EVENT_FLAGS 3u

/* A chain found in the ring, not taken yet. */
struct found {
	struct ring_desc d; /* the last descriptor; the only one when indirect */
	uint16_t ndesc;
	uint16_t entry; /* of the inflight log, for the last descriptor */
};

/* A place in the ring, with the wrap counter that goes with it. */
struct place {
	uint16_t pos;
	bool wrap;
};

static inline void advance(struct place *p, uint16_t size, unsigned int n)
{
	unsigned int pos = p->pos + n;

	if (pos >= size) {
		pos -= size;
		p->wrap = !p->wrap;
	}
	p->pos = (uint16_t)pos;
}

static inline void retreat(struct place *p, uint16_t size, unsigned int n)
{
	if (p->pos < n) {
		p->pos = (uint16_t)(p->pos + size);
		p->wrap = !p->wrap;
	}
	p->pos = (uint16_t)(p->pos - n);
}

static inline bool is_available(uint16_t flags, bool wrap)
{
	return (flags & (AVAIL | USED)) == (wrap ? AVAIL : USED);
}

/* The flags were read before; see there for why relaxed loads are enough for the rest. */
static inline struct ring_desc load(const struct vring_packed_desc *p, uint16_t flags)
{
	return (struct ring_desc){
		.addr = __atomic_load_n(&p->addr, __ATOMIC_RELAXED),
		.len = __atomic_load_n(&p->len, __ATOMIC_RELAXED),
		.flags = flags,
		.id = __atomic_load_n(&p->id, __ATOMIC_RELAXED),
	};
}

static inline uint16_t save(struct iol_ring *r, const struct ring_desc *d, uint16_t *entry)
{
	uint16_t here = *entry;

	if (r->track.packed)
		*entry = iol_track_packed_save(&r->track, here, d->addr, d->len, d->id, d->flags);
	return here;
}

/* Follow a chain of direct descriptors, the first of which is in @f. */
static inline int walk(struct iol_ring *r, struct place *p, struct found *f, uint16_t *entry,
		       unsigned int room, struct iovec **iov, struct iol_chain *chain)
{
	struct ring_walk w;
	int rc;

	ring_walk_start(r, &w, *iov);
	for (;;) {
		rc = ring_add(r, &w, &f->d);
		if (unlikely(rc))
			return rc;
		if (!(f->d.flags & VRING_DESC_F_NEXT))
			break;
		if (unlikely(f->ndesc == room))
			return iol_fail(EPROTO,
					"the driver made a chain longer than the %u "
					"descriptors that it has left",
					room);
		f->ndesc++;
		advance(p, r->size, 1);
		f->d = load(&r->pdesc[p->pos],
			    __atomic_load_n(&r->pdesc[p->pos].flags, __ATOMIC_RELAXED));
		if (unlikely(f->d.flags & VRING_DESC_F_INDIRECT))
			return iol_fail(EPROTO, "the driver put an indirect table into a chain");
		f->entry = save(r, &f->d, entry);
	}
	rc = ring_walk_end(&w, *iov, chain);
	*iov = w.iov;
	return rc;
}

/* Find the chain at @p: 1, 0 when none is available, or an error. */
static inline int find(struct iol_ring *r, struct place *p, struct found *f, uint16_t *entry,
		       unsigned int room, struct iovec **iov, struct iol_chain *chain)
{
	/*
	 * Acquire: the rest of the descriptor, of its chain and the buffers are read after the
	 * flags that make them available; pairs with the driver's barrier before it stores them.
	 */
	uint16_t flags = __atomic_load_n(&r->pdesc[p->pos].flags, __ATOMIC_ACQUIRE);
	int rc;

	if (!is_available(flags, p->wrap))
		return 0;
	f->d = load(&r->pdesc[p->pos], flags);
	f->ndesc = 1;
	f->entry = save(r, &f->d, entry);
	ring_prefetch(r, f->d.addr);
	if (!(flags & VRING_DESC_F_INDIRECT)) {
		rc = walk(r, p, f, entry, room, iov, chain);
		if (unlikely(rc))
			return rc;
	} else if (unlikely(!r->indirect || flags & VRING_DESC_F_NEXT)) {
		return iol_fail(EPROTO, "the driver made an indirect descriptor %s",
				r->indirect ? "that goes on" : "without INDIRECT_DESC");
	}
	advance(p, r->size, 1);
	return 1;
}

static inline int take_table(struct iol_ring *r, const struct ring_desc *d, struct iovec **iov,
			     struct iol_chain *chain)
{
	struct ring_walk w;
	int rc;

	ring_walk_start(r, &w, *iov);
	rc = ring_add_table(r, &w, d, true);
	if (!rc)
		rc = ring_walk_end(&w, *iov, chain);
	*iov = w.iov;
	if (!rc && chain->nout)
		__builtin_prefetch(chain->iov->iov_base);
	return rc;
}

/* Find up to @n chains, then take them: so the tables of all are fetched while others are read. */
static int take_burst(struct iol_ring *r, struct iol_chain *chains, unsigned int n,
		      struct iovec **iov)
{
	struct place p = { .pos = r->next, .wrap = r->avail_wrap };
	unsigned int i, good, slots = r->slots;
	uint16_t entry = r->track.free_head;
	struct found found[RING_BURST];
	int rc = 0;

	for (good = 0; good < n && slots < r->size; good++) {
		rc = find(r, &p, &found[good], &entry, r->size - slots, iov, &chains[good]);
		if (rc <= 0)
			break;
		slots += found[good].ndesc;
	}
	if (!good)
		return rc;
	if (r->track.packed)
		iol_track_clock(&r->track);
	rc = 0;
	for (i = 0; i < good; i++) {
		const struct found *f = &found[i];
		uint16_t id = f->d.id;

		if (unlikely(r->state[id])) {
			rc = iol_fail(EPROTO,
				      "the driver made buffer %u available again before it "
				      "was used",
				      id);
			break;
		}
		if (f->d.flags & VRING_DESC_F_INDIRECT)
			rc = take_table(r, &f->d, iov, &chains[i]);
		if (unlikely(rc))
			break;
		chains[i].id = id;
		chains[i].ndesc = f->ndesc;
		r->state[id] = f->ndesc | (chains[i].nin ? CHAIN_WRITABLE : 0);
		if (r->track.packed)
			iol_track_packed_take(&r->track, id, f->entry, f->ndesc);
		r->slots += f->ndesc;
		p = (struct place){ .pos = r->next, .wrap = r->avail_wrap };
		advance(&p, r->size, f->ndesc);
		r->next = p.pos;
		r->avail_wrap = p.wrap;
	}
	r->inflight += i;
	return i ? (int)i : rc;
}

int iol_packed_pop(struct iol_ring *r, struct iol_chain *chains, unsigned int max)
{
	struct iovec *iov = r->iov;
	unsigned int n, got = 0;
	int rc;

	while (got < max) {
		n = max - got < RING_BURST ? max - got : RING_BURST;
		rc = take_burst(r, chains + got, n, &iov);
		if (rc < (int)n) {
			if (rc > 0)
				got += (unsigned int)rc;
			return got ? (int)got : rc;
		}
		got += n;
	}
	return (int)got;
}

unsigned int iol_packed_peek(struct iol_ring *r, struct iol_buf *bufs, unsigned int max,
			     bool writable)
{
	struct place p = { .pos = r->next, .wrap = r->avail_wrap };
	uint16_t kind = writable ? VRING_DESC_F_WRITE : 0;
	unsigned int i;

	for (i = 0; i < max && i < r->size; i++) {
		/* Acquire: as in find(). */
		uint16_t flags = __atomic_load_n(&r->pdesc[p.pos].flags, __ATOMIC_ACQUIRE);
		struct ring_desc d;

		if (!is_available(flags, p.wrap))
			break;
		d = load(&r->pdesc[p.pos], flags);
		if (!ring_single(r, &d, kind, &bufs[i]))
			break;
		bufs[i].id = d.id;
		advance(&p, r->size, 1);
	}
	if (i == max)
		for (max = 0; max < RING_BURST && p.pos + max < r->size;
		     max += 64 / sizeof(*r->pdesc))
			__builtin_prefetch(&r->pdesc[p.pos + max]);
	return i;
}

void iol_packed_consume(struct iol_ring *r, const struct iol_buf *bufs, const uint32_t *len,
			unsigned int n)
{
	struct place p = { .pos = r->used_next, .wrap = r->used_wrap };
	unsigned int i;

	for (i = 0; i < n; i++) {
		uint32_t wrote = len ? len[i] : 0;
		uint16_t flags = (p.wrap ? AVAIL | USED : 0) | (wrote ? VRING_DESC_F_WRITE : 0);

		/* One store each and in order, as publish_resumable() has to. Release: what was written comes before. */
		__atomic_store_n((uint64_t *)(void *)&r->pdesc[p.pos].len,
				 wrote | (uint64_t)bufs[i].id << 32 | (uint64_t)flags << 48,
				 __ATOMIC_RELEASE);
		advance(&p, r->size, 1);
	}
	r->next = r->used_next = p.pos;
	r->avail_wrap = r->used_wrap = p.wrap;
	if (unlikely(r->resume && r->unmarked))
		iol_resume_used(r, n);
}

/* A chain of the inflight log: the ring's descriptors may be overwritten, those in the log count. */
int iol_packed_pop_saved(struct iol_ring *r, const struct iol_track_replay *saved,
			 struct iol_chain *chain)
{
	struct iovec *iov = r->iov;
	uint16_t entry = saved->entry, n;
	struct ring_walk w;
	int rc = 0;

	ring_walk_start(r, &w, iov);
	for (n = 0; n < saved->num && !rc; n++, entry = r->track.next[entry]) {
		const struct vring_packed_desc *s = &r->track.saved[entry];
		struct ring_desc d = load(s, s->flags);

		if (!(d.flags & VRING_DESC_F_INDIRECT))
			rc = ring_add(r, &w, &d);
		else if (saved->num == 1 && r->indirect)
			rc = ring_add_table(r, &w, &d, true);
		else
			rc = iol_fail(EPROTO, "the inflight log holds an indirect table where none "
					      "can be");
	}
	if (!rc)
		rc = ring_walk_end(&w, iov, chain);
	if (rc)
		return rc;
	chain->id = saved->id;
	chain->ndesc = saved->num;
	r->state[saved->id] = saved->num | (chain->nin ? CHAIN_WRITABLE : 0);
	r->inflight++;
	return 0;
}

bool iol_packed_wants_call(const struct iol_ring *r, unsigned int entries)
{
	struct vring_packed_desc_event e;
	uint32_t word;
	uint16_t event;

	/*
	 * The store of the flags must be visible before the driver's wish is read: a driver stores
	 * its wish, then looks at the flags. Without the full barrier each could miss the other's.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	word = __atomic_load_n((const uint32_t *)(const void *)r->driver_event, __ATOMIC_RELAXED);
	__builtin_memcpy(&e, &word, sizeof(e));
	if ((e.flags & EVENT_FLAGS) == VRING_PACKED_EVENT_FLAG_DISABLE)
		return false;
	if (!r->event_idx || (e.flags & EVENT_FLAGS) != VRING_PACKED_EVENT_FLAG_DESC)
		return true;
	event = e.off_wrap & (uint16_t) ~(1u << VRING_PACKED_EVENT_F_WRAP_CTR);
	/* A place of the lap before is that many descriptors back. */
	if (e.off_wrap >> VRING_PACKED_EVENT_F_WRAP_CTR != r->used_wrap)
		event -= r->size;
	return ring_need_event(event, r->used_next, (uint16_t)(r->used_next - entries));
}

/* The log's lists first, then where the ring will be: undone at restart until the flags are stored. */
static void track_begin(struct iol_ring *r, unsigned int slots)
{
	struct place p = { .pos = r->used_next, .wrap = r->used_wrap };
	unsigned int i;

	for (i = 0; i < r->nbatch; i++)
		iol_track_packed_link(&r->track, r->batch[i].id);
	advance(&p, r->size, slots);
	iol_track_packed_used(&r->track, (struct iol_log_used){ .idx = p.pos,
								.old_idx = r->used_next,
								.wrap = p.wrap,
								.old_wrap = r->used_wrap });
}

static void track_end(struct iol_ring *r)
{
	struct iol_log_packed *log = r->track.packed;
	unsigned int i;

	iol_track_fence();
	for (i = 0; i < r->nbatch; i++)
		__atomic_store_n(&log->desc[r->track.slot[r->batch[i].id]].inflight, 0,
				 __ATOMIC_RELAXED);
	iol_track_fence();
	log->old_free_head = r->track.free_head;
	iol_track_packed_used(&r->track, (struct iol_log_used){ .idx = r->used_next,
								.old_idx = r->used_next,
								.wrap = r->used_wrap,
								.old_wrap = r->used_wrap });
}

/*
 * Slots of a chain that is about to be used look used, too, though no driver looks at them: so what looks
 * available, and is not behind something else that does, is what the driver made available. What else is
 * in their flags stays, as the chain is read again if we are killed here.
 */
static void use_rest(struct iol_ring *r, struct place p, unsigned int ndesc)
{
	while (--ndesc) {
		uint16_t *flags;

		advance(&p, r->size, 1);
		flags = &r->pdesc[p.pos].flags;
		__atomic_store_n(flags,
				 (uint16_t)((__atomic_load_n(flags, __ATOMIC_RELAXED) & ~USED) |
					    (p.wrap ? USED : 0)),
				 __ATOMIC_RELAXED);
		if (unlikely(r->dirty != NULL))
			iol_ring_log_write(r, &r->pdesc[p.pos], sizeof(*r->pdesc), 0);
	}
}

static inline void show(struct iol_ring *r, const struct ring_used *u, struct place p)
{
	struct vring_packed_desc *d = &r->pdesc[p.pos];
	uint16_t flags = (p.wrap ? AVAIL | USED : 0) | (u->len ? VRING_DESC_F_WRITE : 0);

	if (unlikely(u->ndesc > 1))
		use_rest(r, p, u->ndesc);
	/* Release: what the device wrote to the buffers comes before. */
	__atomic_store_n((uint64_t *)(void *)&d->len,
			 u->len | (uint64_t)u->id << 32 | (uint64_t)flags << 48, __ATOMIC_RELEASE);
	if (unlikely(r->dirty != NULL))
		iol_ring_log_write(r, d, sizeof(*d), 0);
	r->state[u->id] = 0;
}

/*
 * For rings that tell themselves where they go on. Each used descriptor is one store, and shown before the
 * next is written, in order: a process killed anywhere leaves whole chains behind, used ones and then
 * others. So none is skipped in a batch either. Chains that are shown together are written the last first, and seen
 * with the first: iol_resume_finish() does the rest for who is killed between.
 */
static unsigned int publish_resumable(struct iol_ring *r)
{
	struct place p = { .pos = r->used_next, .wrap = r->used_wrap };
	unsigned int i, n, k, all = 0;

	for (i = 0; i < r->nbatch; i += n) {
		unsigned int slots = r->batch[i].ndesc;

		for (n = 1; unlikely(r->batch[i + n - 1].more) && i + n < r->nbatch; n++)
			slots += r->batch[i + n].ndesc;
		advance(&p, r->size, slots);
		for (k = i + n; k-- > i;) {
			retreat(&p, r->size, r->batch[k].ndesc);
			show(r, &r->batch[k], p);
		}
		advance(&p, r->size, slots);
		all += slots;
	}
	r->used_next = p.pos;
	r->used_wrap = p.wrap;
	r->slots -= all;
	if (unlikely(r->unmarked))
		iol_resume_used(r, all);
	return all;
}

unsigned int iol_packed_publish(struct iol_ring *r)
{
	struct place p = { .pos = r->used_next, .wrap = r->used_wrap };
	struct vring_packed_desc *first = &r->pdesc[p.pos], *d;
	unsigned int i, run, n, all = 0, slots;
	uint16_t flags, first_flags = 0;

	if (r->resume)
		return publish_resumable(r);
	for (i = 0; i < r->nbatch; i++)
		all += r->batch[i].ndesc;
	if (r->track.packed)
		track_begin(r, all);
	for (i = 0; i < r->nbatch; i += run) {
		const struct ring_used *last;

		run = ring_run_length(r, i);
		last = &r->batch[i + run - 1];
		d = &r->pdesc[p.pos];
		d->id = last->id;
		d->len = last->len;
		flags = (p.wrap ? AVAIL | USED : 0) | (last->len ? VRING_DESC_F_WRITE : 0);
		/* The driver does not look past the first, so that one shows them all. */
		if (i)
			__atomic_store_n(&d->flags, flags, __ATOMIC_RELAXED);
		else
			first_flags = flags;
		if (unlikely(r->dirty != NULL))
			iol_ring_log_write(r, d, sizeof(*d), 0);
		for (slots = 0, n = 0; n < run; n++)
			slots += r->batch[i + n].ndesc;
		advance(&p, r->size, slots);
	}
	for (i = 0; i < r->nbatch; i++)
		r->state[r->batch[i].id] = 0;
	r->used_next = p.pos;
	r->used_wrap = p.wrap;
	r->slots -= all;
	/* Release: all other fields, and what the device wrote to the buffers, come before. */
	__atomic_store_n(&first->flags, first_flags, __ATOMIC_RELEASE);
	if (r->track.packed)
		track_end(r);
	if (unlikely(r->dirty != NULL))
		iol_ring_log_write(r, first, sizeof(*first), 0);
	return all;
}

static void set_event(struct iol_ring *r, uint16_t off_wrap, uint16_t flags)
{
	struct vring_packed_desc_event e = { .off_wrap = off_wrap, .flags = flags };
	uint32_t word;

	__builtin_memcpy(&word, &e, sizeof(word));
	/* Both fields at once: the driver must not see one of them new and the other old. */
	__atomic_store_n((uint32_t *)(void *)r->device_event, word, __ATOMIC_RELAXED);
	iol_ring_log_write(r, r->device_event, sizeof(word), 0);
}

void iol_packed_kicks(struct iol_ring *r, bool wanted)
{
	set_event(r, r->resume && !r->unmarked ? RESUME_MARK : 0,
		  wanted ? VRING_PACKED_EVENT_FLAG_ENABLE : VRING_PACKED_EVENT_FLAG_DISABLE);
}

bool iol_packed_arm(struct iol_ring *r)
{
	/* The field of an event is where the mark is: a kick more now and then. */
	if (r->event_idx && !r->resume)
		set_event(r, (uint16_t)(r->next | r->avail_wrap << VRING_PACKED_EVENT_F_WRAP_CTR),
			  VRING_PACKED_EVENT_FLAG_DESC);
	else if (r->kicks != KICKS_WANTED)
		iol_packed_kicks(r, true);
	r->kicks = KICKS_WANTED;
	/*
	 * Our wish for kicks must be visible before the flags are read: the driver stores flags, then
	 * reads the wish. Else it could see none while we see no chain, and both would wait for ever.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return r->slots < r->size &&
	       is_available(__atomic_load_n(&r->pdesc[r->next].flags, __ATOMIC_RELAXED),
			    r->avail_wrap);
}

void iol_packed_disarm(struct iol_ring *r)
{
	iol_packed_kicks(r, false);
}
