/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the parts of a ring share: the ring itself, and turning one descriptor into pieces of host
 * memory, which is most of the work that a request costs here and therefore inline.
 */
#ifndef IOL_VHOST_USER_RING_PRIV_H
#define IOL_VHOST_USER_RING_PRIV_H

#include "base/error.h"
#include "vhost-user/ring.h"
#include "vhost-user/track.h"

#include <errno.h>
#include <linux/virtio_ring.h>

/* Every field of a ring is little-endian (virtio 1.3, 1.4), and is used as it is. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "iolane wants a little-endian host");
_Static_assert(sizeof(struct vring_desc) == 16 && sizeof(struct vring_packed_desc) == 16,
	       "descriptors of both kinds are 16 bytes");

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Chains are looked up this many at a time, so that their cache misses overlap. */
#define RING_BURST 32

/*
 * An indirect table may be longer than a small queue: the specification forbids it to drivers, and
 * Linux does it. This is what Linux devices take, too.
 */
#define RING_TABLE_MAX 1024

/* Room for pieces to begin with; a chain alone may grow it to what its counters can hold. */
#define RING_IOV_MIN 4096
#define RING_IOV_MAX UINT16_MAX

/* What makes a pop leave the straight way. */
#define RING_STOPPED  1u
#define RING_BROKEN   2u /* by an error; RING_STOPPED and this are for good */
#define RING_UNMAPPED 4u /* the areas have no translation at the moment */
#define RING_FRESH    8u /* mapped never, so that used index and inflight log are still to be read */
#define RING_REPLAY   16u

/* A chain's state, by id: 0 is not in flight. Below these bits, the ring slots that it takes. */
#define CHAIN_NDESC    0x0000ffffu
#define CHAIN_PUSHED   0x00010000u /* not published yet */
#define CHAIN_WRITABLE 0x00020000u /* has device-writable pieces */
#define CHAIN_OLD_MEM  0x00040000u /* translated by a table that iol_ring_set_mem() replaced */

/* A descriptor of either kind, as it was when it was read. */
struct ring_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next; /* split */
	uint16_t id;   /* packed */
};

/* @more: it is shown together with the next. */
struct ring_used {
	uint16_t id;
	uint16_t ndesc;
	uint32_t len;
	bool more;
};

/* A table that chains in flight still point into. */
struct ring_retired {
	struct iol_mem *mem;
	struct ring_retired *next;
};

enum ring_kicks { KICKS_UNKNOWN, KICKS_WANTED, KICKS_UNWANTED };

struct iol_ring {
	/* What a pop reads. */
	union {
		struct vring_desc *desc;
		struct vring_packed_desc *pdesc;
	};
	union {
		struct vring_avail *avail;
		struct vring_packed_desc_event *driver_event;
	};
	/* The region that the last address was in; near_size is 0 behind an IOMMU. */
	uint8_t *near_host;
	uint64_t near_gpa, near_size;
	uint32_t *state;   /* by id */
	struct iovec *iov; /* scratch of one pop */
	unsigned int special;
	uint16_t size;
	uint16_t next; /* position of the next available chain */

	uint32_t iov_max;
	uint16_t avail_idx; /* split: the driver's index as last seen */
	bool avail_wrap;    /* packed: wrap counter at next */
	bool packed, event_idx, indirect, in_order;
	bool resume;  /* packed, and the ring itself tells where it goes on: ring_resume.c */
	bool waiting; /* the last pop ended at an IOTLB miss */
	uint16_t table_flags;     /* packed: what counts in indirect tables, WRITE or nothing */
	unsigned int slots;       /* packed: slots not given back to the driver */
	unsigned int desc_max;    /* longest chain */
	struct iol_track track;   /* the inflight log */
	struct vring_desc *table; /* scratch for an indirect table that lies in pieces */
	struct iol_mem *mem;
	struct iol_iotlb *iotlb;

	/* What push and publish use. */
	union {
		struct vring_used *used;
		struct vring_packed_desc_event *device_event;
	} __attribute__((aligned(64)));
	struct ring_used *batch; /* pushed, not published */
	unsigned int nbatch;
	unsigned int inflight; /* popped, not pushed */
	uint16_t used_next;    /* position of the next used entry */
	bool used_wrap;
	bool notify;       /* the driver may wait for something that a dead back end published */
	uint32_t uncalled; /* used entries (packed: descriptors) since the last call, up to size */
	uint8_t kicks;     /* enum ring_kicks: what the driver was told last */
	unsigned int unmarked; /* resume: slots to use until the ring can be marked; 0 when it is */
	unsigned int old_mem;  /* chains with CHAIN_OLD_MEM */
	struct ring_retired *retired;
	struct iol_dirty *dirty;

	/* The rest is for starting, mapping and errors. */
	struct iol_ring_spec spec;
	int error;
	char error_text[IOL_ERROR_MAX];
};

/* One chain being translated. */
struct ring_walk {
	struct iovec *iov, *end; /* the next free piece, and where the scratch ends */
	struct iovec *in;        /* the first writable piece */
	uint64_t out_len, in_len;
};

/* In ring_start.c: map the areas, and find where to go on if that is not known yet. -EAGAIN: the ring waits. */
int iol_ring_map_areas(struct iol_ring *r);
/* Nothing points into these tables any more. */
void iol_ring_release_retired(struct ring_retired **list);

/* In ring.c: what no chain on the straight way needs. */
/* The ring ends here; what is popped already may still be pushed. Return: @rc. */
int iol_ring_break(struct iol_ring *r, int rc);
bool iol_ring_near(struct iol_ring *r, uint64_t addr);
int iol_ring_add_slow(struct iol_ring *r, struct ring_walk *w, const struct ring_desc *d);
const struct vring_desc *iol_ring_table_slow(struct iol_ring *r, const struct ring_desc *d,
					     int *rc);
void iol_ring_log_write(struct iol_ring *r, const void *p, uint32_t len, uint64_t used_offset);

/* In ring_split.c and ring_packed.c. */
int iol_split_pop(struct iol_ring *r, struct iol_chain *chains, unsigned int max);
int iol_split_pop_head(struct iol_ring *r, uint16_t head, struct iol_chain *chain);
unsigned int iol_split_publish(struct iol_ring *r);
unsigned int iol_split_peek(struct iol_ring *r, struct iol_buf *bufs, unsigned int max,
			    bool writable);
void iol_split_consume(struct iol_ring *r, const struct iol_buf *bufs, const uint32_t *len,
		       unsigned int n);
bool iol_split_wants_call(const struct iol_ring *r, unsigned int entries);
bool iol_split_arm(struct iol_ring *r);
void iol_split_disarm(struct iol_ring *r);
int iol_packed_pop(struct iol_ring *r, struct iol_chain *chains, unsigned int max);
int iol_packed_pop_saved(struct iol_ring *r, const struct iol_track_replay *saved,
			 struct iol_chain *chain);
unsigned int iol_packed_publish(struct iol_ring *r);
unsigned int iol_packed_peek(struct iol_ring *r, struct iol_buf *bufs, unsigned int max,
			     bool writable);
void iol_packed_consume(struct iol_ring *r, const struct iol_buf *bufs, const uint32_t *len,
			unsigned int n);
bool iol_packed_wants_call(const struct iol_ring *r, unsigned int entries);
bool iol_packed_arm(struct iol_ring *r);
void iol_packed_disarm(struct iol_ring *r);
/* Ask for all kicks, or none. */
void iol_packed_kicks(struct iol_ring *r, bool wanted);

/* In ring_resume.c. */

/* A place that no ring with room for marks has; the field means nothing while all kicks are wanted, or none. */
#define RESUME_MARK     0xffffu
#define RESUME_SIZE_MAX 0x7fffu

/*
 * Where a packed ring goes on, which begins with what the front end told. 0, -EINVAL or -ENOMEM; 1: there, chains were
 * being shown together, which is for iol_resume_finish() to end.
 */
int iol_resume_take_up(struct iol_ring *r, struct iol_track_pos *pos);
/* The ring is at that place. 0; -EAGAIN: it is still, and this wants to be done again; or an error. */
int iol_resume_finish(struct iol_ring *r);
/* Slots were used. */
void iol_resume_used(struct iol_ring *r, unsigned int slots);

/*
 * Both loads are relaxed: the index (split) or the flags (packed) that made the descriptor
 * available were read with acquire before. Being atomic they are done once, whatever the compiler
 * thinks, so what was checked is what is used.
 */
static inline struct ring_desc ring_load(const struct vring_desc *p)
{
	const uint64_t *word = (const uint64_t *)p;
	uint64_t hi = __atomic_load_n(&word[1], __ATOMIC_RELAXED);

	return (struct ring_desc){
		.addr = __atomic_load_n(&word[0], __ATOMIC_RELAXED),
		.len = (uint32_t)hi,
		.flags = (uint16_t)(hi >> 32),
		.next = (uint16_t)(hi >> 48),
	};
}

/* Fetch what the driver put at an address, where that is cheap to find. A hint: nothing is checked. */
static inline void ring_prefetch(const struct iol_ring *r, uint64_t addr)
{
	uint64_t off = addr - r->near_gpa;

	if (off < r->near_size)
		__builtin_prefetch(r->near_host + off);
}

/* Add one descriptor's buffer. 0, -EPROTO, -EAGAIN, or -ENOBUFS when the scratch is full. */
static inline int ring_add(struct iol_ring *r, struct ring_walk *w, const struct ring_desc *d)
{
	uint64_t off = d->addr - r->near_gpa;

	if (d->flags & VRING_DESC_F_WRITE) {
		if (!w->in)
			w->in = w->iov;
		w->in_len += d->len;
	} else {
		if (unlikely(w->in))
			return iol_fail(EPROTO, "the driver put a device-readable buffer after a "
						"device-writable one");
		w->out_len += d->len;
	}
	/* An empty buffer (len - 1 is huge then) is left to the slow way, and so is a full scratch. */
	if (likely(off < r->near_size && (uint64_t)d->len - 1 < r->near_size - off &&
		   w->iov < w->end)) {
		w->iov->iov_base = r->near_host + off;
		w->iov->iov_len = d->len;
		w->iov++;
		return 0;
	}
	return iol_ring_add_slow(r, w, d);
}

/* Add what an indirect table holds. In a packed ring all of it, in order (virtio 1.3, 2.8.7). */
static inline __attribute__((always_inline)) int
ring_add_table(struct iol_ring *r, struct ring_walk *w, const struct ring_desc *d, bool packed)
{
	uint64_t off = d->addr - r->near_gpa;
	const struct vring_desc *table;
	uint32_t n = d->len / sizeof(*table), i = 0, visited;
	int rc = 0;

	if (unlikely(!n || d->len % sizeof(*table)))
		return iol_fail(EPROTO,
				"the driver's indirect table has %u bytes, not a multiple "
				"of 16",
				d->len);
	if (unlikely(n > r->desc_max))
		return iol_fail(EPROTO,
				"the driver's indirect table has %u descriptors, more than %u", n,
				r->desc_max);
	/* In one piece and aligned it is read where it lies, each descriptor once. */
	if (likely(off < r->near_size && d->len <= r->near_size - off &&
		   !((uintptr_t)(r->near_host + off) % sizeof(uint64_t)))) {
		table = (const struct vring_desc *)(const void *)(r->near_host + off);
	} else {
		table = iol_ring_table_slow(r, d, &rc);
		if (!table)
			return rc;
	}
	for (visited = 1;; visited++) {
		struct ring_desc e = ring_load(&table[i]);

		if (packed)
			/* The fields after len change places, and only WRITE counts, at most. */
			e.flags = e.next & r->table_flags;
		else if (unlikely(e.flags & VRING_DESC_F_INDIRECT))
			return iol_fail(EPROTO, "the driver put an indirect table into another");
		rc = ring_add(r, w, &e);
		if (unlikely(rc))
			return rc;
		if (packed) {
			if (++i == n)
				return 0;
			continue;
		}
		if (!(e.flags & VRING_DESC_F_NEXT))
			return 0;
		i = e.next;
		if (unlikely(i >= n))
			return iol_fail(EPROTO,
					"the driver's indirect table of %u goes on at "
					"descriptor %u",
					n, i);
		if (unlikely(visited >= n))
			return iol_fail(EPROTO,
					"the driver's indirect table of %u descriptors "
					"runs in a circle",
					n);
	}
}

static inline void ring_walk_start(const struct iol_ring *r, struct ring_walk *w, struct iovec *iov)
{
	*w = (struct ring_walk){ .iov = iov, .end = r->iov + r->iov_max };
}

/*
 * The buffer of a descriptor that is a chain by itself, in one piece. Return: false when it is something
 * else, which the long way has to look at.
 */
static inline bool ring_single(struct iol_ring *r, const struct ring_desc *d, unsigned int flags,
			       struct iol_buf *buf)
{
	uint64_t off = d->addr - r->near_gpa;

	if (unlikely((d->flags &
		      (VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT)) != flags))
		return false;
	if (unlikely(off >= r->near_size)) {
		if (!iol_ring_near(r, d->addr))
			return false;
		off = d->addr - r->near_gpa;
	}
	if (unlikely((uint64_t)d->len - 1 >= r->near_size - off))
		return false;
	buf->base = r->near_host + off;
	buf->len = d->len;
	return true;
}

/* All of a chain was added, from @iov on. Virtio 1.3, 2.7.5.1: it holds less than 4 GiB, here. */
static inline int ring_walk_end(const struct ring_walk *w, struct iovec *iov,
				struct iol_chain *chain)
{
	const struct iovec *in = w->in ? w->in : w->iov;

	if (unlikely(w->out_len + w->in_len > UINT32_MAX))
		return iol_fail(EPROTO, "the driver made a chain of %llu bytes; 4 GiB is too long",
				(unsigned long long)(w->out_len + w->in_len));
	chain->nout = (uint16_t)(in - iov);
	chain->nin = (uint16_t)(w->iov - in);
	chain->out_len = (uint32_t)w->out_len;
	chain->in_len = (uint32_t)w->in_len;
	chain->iov = iov;
	return 0;
}

/*
 * A run of chains that the driver can take for used from its last alone: with IN_ORDER, and nothing
 * written to any (virtio 1.3, 2.7.9 and 2.8.8: of those skipped, the driver thinks that they were
 * filled).
 */
static inline unsigned int ring_run_length(const struct iol_ring *r, unsigned int i)
{
	unsigned int n = 1;

	if (r->in_order)
		while (i + n < r->nbatch && !(r->state[r->batch[i + n - 1].id] & CHAIN_WRITABLE) &&
		       !(r->state[r->batch[i + n].id] & CHAIN_WRITABLE))
			n++;
	return n;
}

/*
 * Whether a notification is wanted at @event, when the index went from @old to @new
 * (virtio 1.3, 2.7.7.2 and 2.7.10; all wraps at 65536).
 */
static inline bool ring_need_event(uint16_t event, uint16_t new, uint16_t old)
{
	return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

#endif
