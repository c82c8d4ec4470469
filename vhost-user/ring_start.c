/* SPDX-License-Identifier: BSD-3-Clause */
/* The life of a ring: its start, where it goes on, its areas, and what changes while it runs. */
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
	int rc = 0, finish = 0;

	if (!r->packed)
		pos.used_next = __atomic_load_n(&r->used->idx, __ATOMIC_RELAXED);
	if (s->inflight && r->packed)
		rc = iol_track_start_packed(&r->track, s->inflight, s->index, r->size, r->pdesc,
					    &pos);
	else if (s->inflight)
		rc = iol_track_start_split(&r->track, s->inflight, s->index, r->size, pos.used_next,
					   &pos);
	else if (r->resume)
		rc = finish = iol_resume_take_up(r, &pos);
	else if (s->resume_at_used && !r->packed)
		pos.next = pos.used_next;
	if (rc < 0)
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
	if (finish) {
		rc = iol_resume_finish(r);
		if (rc)
			return rc;
	}
	r->special &= ~RING_FRESH;
	return 0;
}

int iol_ring_map_areas(struct iol_ring *r)
{
	int rc = map_areas(r);

	if (!rc && (r->special & RING_FRESH)) {
		rc = take_up(r);
		if (rc)
			r->special |= RING_UNMAPPED;
	}
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
	r->table_flags = VRING_DESC_F_WRITE;
	r->notify = true;
	r->special = RING_FRESH | RING_UNMAPPED;
	r->desc_max = r->size > RING_TABLE_MAX ? r->size : RING_TABLE_MAX;
	r->iov_max = r->desc_max > RING_IOV_MIN ? r->desc_max : RING_IOV_MIN;
	r->state = calloc(num_ids(r), sizeof(*r->state));
	r->batch = calloc(r->size, sizeof(*r->batch));
	r->iov = reallocarray(NULL, r->iov_max, sizeof(*r->iov));
	if (!r->state || !r->batch || !r->iov)
		rc = iol_fail(ENOMEM, "no memory for a ring of %u descriptors", r->size);
	if (!rc)
		rc = iol_ring_map_areas(r);
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
	return r->special & RING_UNMAPPED ? iol_ring_map_areas(r) : 0;
}

bool iol_ring_read(const struct iol_ring *r)
{
	return !r->spec.inflight || !(r->special & RING_FRESH);
}

bool iol_ring_placed(const struct iol_ring *r)
{
	return !(r->special & RING_FRESH);
}

void iol_ring_release_retired(struct ring_retired **list)
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
	iol_ring_release_retired(&r->retired);
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
		return iol_ring_break(r, rc);
	r->mem = iol_mem_ref(mem);
	r->near_size = 0;
	r->special |= RING_UNMAPPED;
	rc = iol_ring_map_areas(r);
	return rc && rc != -EAGAIN ? iol_ring_break(r, rc) : 0;
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
	rc = iol_ring_map_areas(r);
	return rc && rc != -EAGAIN ? iol_ring_break(r, rc) : 0;
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
	iol_ring_release_retired(&m->retired);
	iol_mem_unref(&m->mem);
	free(m);
}
