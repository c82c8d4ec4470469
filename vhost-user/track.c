/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/track.h"

#include "base/error.h"
#include "vhost-user/inflight_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED  (1u << VRING_PACKED_DESC_F_USED)

/* The front end can write the log while it is read: what is checked must be what is used. */
#define ONCE(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)

static int compare(const void *a, const void *b)
{
	const struct iol_track_replay *x = a, *y = b;

	return (x->counter > y->counter) - (x->counter < y->counter);
}

/* Put what was found in order of submission, and count on after the newest of it. */
static void sort(struct iol_track *t)
{
	if (!t->nreplay)
		return;
	qsort(t->replay, t->nreplay, sizeof(t->replay[0]), compare);
	t->counter = t->replay[t->nreplay - 1].counter + 1;
}

static int nonsense(const char *what, unsigned int value)
{
	return iol_fail(EINVAL, "the inflight log that the front end kept makes no sense: %s %u",
			what, value);
}

static void *part(const struct iol_inflight *inflight, unsigned int index, uint16_t size,
		  bool packed)
{
	if (inflight->packed != packed || index >= inflight->num_queues ||
	    size > inflight->queue_size) {
		iol_fail(EINVAL,
			 "the inflight log is for %u %s queues of up to %u; queue %u is %s, of %u",
			 inflight->num_queues, inflight->packed ? "packed" : "split",
			 inflight->queue_size, index, packed ? "packed" : "split", size);
		return NULL;
	}
	return iol_inflight_queue(inflight, index);
}

/*
 * Whether the log is for a ring as it is: 1, or 0 for one to be begun: never used, or by a ring of
 * another size, whose chains nobody waits for any more.
 */
static int in_use(uint16_t version, uint16_t desc_num, uint16_t size)
{
	if (version && version != IOL_TRACK_VERSION)
		return nonsense("version", version);
	return version && desc_num == size;
}

/* Entries of the batch whose used index was stored, but which may be marked as in flight still. */
static int split_finish_batch(struct iol_log_split *log, uint16_t size, uint16_t used_idx)
{
	uint16_t n = (uint16_t)(used_idx - ONCE(log->used_idx));
	uint16_t i = ONCE(log->last_batch_head);

	if (n > size)
		return nonsense("a last batch of", n);
	for (; n; n--) {
		if (i >= size)
			return nonsense("a last batch with descriptor", i);
		log->desc[i].inflight = 0;
		i = ONCE(log->desc[i].next);
	}
	return 0;
}

static void split_init(struct iol_log_split *log, uint16_t size, uint16_t used_idx)
{
	log->version = 0;
	iol_track_fence();
	memset(log->desc, 0, size * sizeof(log->desc[0]));
	log->desc_num = size;
	log->used_idx = used_idx;
	iol_track_fence();
	log->version = IOL_TRACK_VERSION;
	iol_track_fence();
}

static int split_recover(struct iol_track *t, uint16_t size, uint16_t used_idx,
			 struct iol_track_pos *pos)
{
	struct iol_log_split *log = t->split;
	unsigned int i;
	bool any = false;
	int rc = 0;

	t->replay = calloc(size, sizeof(t->replay[0]));
	if (!t->replay)
		return iol_fail(ENOMEM, "no memory to replay a ring of %u", size);
	for (i = 0; i < size && !any; i++)
		any = ONCE(log->desc[i].inflight);
	/* The batch is not looked at in an empty log: that may be of a ring that was reset since. */
	if (any)
		rc = split_finish_batch(log, size, used_idx);
	if (rc)
		return rc;
	iol_track_fence();
	log->used_idx = used_idx;
	iol_track_fence();
	for (i = 0; i < size; i++)
		if (ONCE(log->desc[i].inflight))
			t->replay[t->nreplay++] = (struct iol_track_replay){
				.counter = ONCE(log->desc[i].counter),
				.id = (uint16_t)i,
				.num = 1,
			};
	sort(t);
	/* Every chain that was taken has its used entry or is in the log. */
	pos->next = (uint16_t)(used_idx + t->nreplay);
	return 0;
}

int iol_track_start_split(struct iol_track *t, const struct iol_inflight *inflight,
			  unsigned int index, uint16_t size, uint16_t used_idx,
			  struct iol_track_pos *pos)
{
	struct iol_log_split *log = part(inflight, index, size, false);
	int rc;

	if (!log)
		return -EINVAL;
	t->split = log;
	rc = in_use(ONCE(log->version), ONCE(log->desc_num), size);
	if (rc > 0)
		return split_recover(t, size, used_idx, pos);
	if (!rc)
		split_init(log, size, used_idx);
	return rc;
}

static void packed_init(struct iol_log_packed *log, uint16_t size, const struct iol_track_pos *pos)
{
	unsigned int i;

	log->version = 0;
	iol_track_fence();
	memset(log->desc, 0, size * sizeof(log->desc[0]));
	for (i = 0; i < size; i++)
		log->desc[i].next = (uint16_t)(i + 1);
	log->desc_num = size;
	log->free_head = log->old_free_head = 0;
	log->used = (struct iol_log_used){ .idx = pos->used_next,
					   .old_idx = pos->used_next,
					   .wrap = pos->used_wrap,
					   .old_wrap = pos->used_wrap };
	iol_track_fence();
	log->version = IOL_TRACK_VERSION;
	iol_track_fence();
}

/*
 * Finish the update that the dead process was in, or undo it: its first used descriptor decides,
 * since that was written last.
 */
static int packed_settle(struct iol_track *t, uint16_t size, struct vring_packed_desc *ring,
			 struct iol_track_pos *pos)
{
	struct iol_log_packed *log = t->packed;
	struct iol_log_used used = { .idx = ONCE(log->used.idx),
				     .old_idx = ONCE(log->used.old_idx),
				     .wrap = ONCE(log->used.wrap),
				     .old_wrap = ONCE(log->used.old_wrap) };
	uint16_t free_head = ONCE(log->free_head), old_free_head = ONCE(log->old_free_head);

	if (used.idx >= size || used.old_idx >= size || used.wrap > 1 || used.old_wrap > 1)
		return nonsense("a used index of", used.idx >= size ? used.idx : used.old_idx);
	if (used.idx != used.old_idx || used.wrap != used.old_wrap) {
		uint16_t flags = __atomic_load_n(&ring[used.old_idx].flags, __ATOMIC_RELAXED);

		if ((flags & (AVAIL | USED)) != (used.old_wrap ? AVAIL : USED)) {
			used.old_idx = used.idx;
			used.old_wrap = used.wrap;
			old_free_head = free_head;
		}
	}
	used.idx = used.old_idx;
	used.wrap = used.old_wrap;
	/*
	 * The list's head before the index: should we die between the two, the next process decides
	 * as we did, as the old index and the flags that it points at are still there.
	 */
	log->old_free_head = old_free_head;
	iol_track_fence();
	log->free_head = old_free_head;
	iol_track_fence();
	iol_track_packed_used(t, used);
	t->free_head = old_free_head;
	pos->used_next = used.idx;
	pos->used_wrap = used.wrap;
	return 0;
}

/* Take the free list over, and clear marks in it: those of pops that did not get to their end. */
static int packed_free_list(struct iol_track *t, uint16_t size, uint8_t *seen)
{
	struct iol_log_packed *log = t->packed;
	uint16_t i = t->free_head;

	while (i != size) {
		if (i > size || seen[i])
			return nonsense("a free list with entry", i);
		seen[i] = 1;
		log->desc[i].inflight = 0;
		t->next[i] = ONCE(log->desc[i].next);
		i = t->next[i];
	}
	return 0;
}

/* A chain in the log from entry @head on: copied, so that it is read and checked once. */
static int packed_chain(struct iol_track *t, uint16_t size, uint16_t head, uint8_t *seen,
			uint8_t *ids)
{
	const struct iol_log_packed_desc *log = t->packed->desc;
	uint16_t num = ONCE(log[head].num), last = ONCE(log[head].last), i = head, n, id = 0;

	if (!num || num > size)
		return nonsense("a chain in flight of length", num);
	for (n = 0; n < num; n++) {
		if (i >= size || seen[i])
			return nonsense("a chain in flight with entry", i);
		seen[i] = 1;
		t->saved[i] = (struct vring_packed_desc){ .addr = ONCE(log[i].addr),
							  .len = ONCE(log[i].len),
							  .id = ONCE(log[i].id),
							  .flags = ONCE(log[i].flags) };
		id = t->saved[i].id;
		if (n + 1 == num)
			break;
		t->next[i] = ONCE(log[i].next);
		i = t->next[i];
	}
	if (i != last)
		return nonsense("a chain in flight that should end with entry", last);
	if (ids[id])
		return nonsense("two chains in flight with buffer ID", id);
	ids[id] = 1;
	t->slot[id] = head;
	t->last[head] = last;
	t->replay[t->nreplay++] = (struct iol_track_replay){
		.counter = ONCE(log[head].counter),
		.id = id,
		.entry = head,
		.num = num,
	};
	return 0;
}

/*
 * The dead process may have written used descriptors behind the one that would have shown them.
 * Nothing else would take them away before the driver gets there, so make them available again.
 */
static void packed_unuse(struct vring_packed_desc *ring, uint16_t size, uint16_t pos, bool wrap,
			 unsigned int n)
{
	for (; n; n--) {
		__atomic_store_n(&ring[pos].flags, (uint16_t)(wrap ? AVAIL : USED),
				 __ATOMIC_RELAXED);
		if (++pos == size) {
			pos = 0;
			wrap = !wrap;
		}
	}
}

/* Read the lists. @seen and @ids: zeroed, for each entry and buffer ID. */
static int packed_read(struct iol_track *t, uint16_t size, uint8_t *seen, uint8_t *ids)
{
	struct iol_log_packed *log = t->packed;
	unsigned int i;
	int rc = packed_free_list(t, size, seen);

	for (i = 0; i < size && !rc; i++)
		if (ONCE(log->desc[i].inflight))
			rc = seen[i] ? nonsense("a chain in flight within another, entry", i)
				     : packed_chain(t, size, (uint16_t)i, seen, ids);
	for (i = 0; i < size && !rc; i++)
		if (!seen[i])
			rc = nonsense("a list that has lost entry", i);
	return rc;
}

static int packed_recover(struct iol_track *t, uint16_t size, struct vring_packed_desc *ring,
			  struct iol_track_pos *pos)
{
	unsigned int i, slots = 0;
	uint8_t *seen;
	int rc;

	t->replay = calloc(size, sizeof(t->replay[0]));
	t->saved = calloc(size, sizeof(t->saved[0]));
	seen = calloc(1, size + UINT16_MAX + 1);
	if (!t->replay || !t->saved || !seen)
		rc = iol_fail(ENOMEM, "no memory to replay a ring of %u", size);
	else
		rc = packed_settle(t, size, ring, pos);
	if (!rc)
		rc = packed_read(t, size, seen, seen + size);
	free(seen);
	if (rc)
		return rc;
	sort(t);
	for (i = 0; i < t->nreplay; i++)
		slots += t->replay[i].num;
	packed_unuse(ring, size, pos->used_next, pos->used_wrap, slots);
	pos->next = (uint16_t)((pos->used_next + slots) % size);
	pos->avail_wrap = pos->used_wrap ^ (pos->used_next + slots >= size);
	return 0;
}

int iol_track_start_packed(struct iol_track *t, const struct iol_inflight *inflight,
			   unsigned int index, uint16_t size, struct vring_packed_desc *ring,
			   struct iol_track_pos *pos)
{
	struct iol_log_packed *log = part(inflight, index, size, true);
	unsigned int i;
	int rc;

	if (!log)
		return -EINVAL;
	t->packed = log;
	t->next = calloc(size, sizeof(t->next[0]));
	t->last = calloc(size, sizeof(t->last[0]));
	t->slot = calloc(UINT16_MAX + 1, sizeof(t->slot[0]));
	if (!t->next || !t->last || !t->slot)
		return iol_fail(ENOMEM, "no memory to track a ring of %u", size);
	rc = in_use(ONCE(log->version), ONCE(log->desc_num), size);
	if (rc)
		return rc < 0 ? rc : packed_recover(t, size, ring, pos);
	packed_init(log, size, pos);
	for (i = 0; i < size; i++)
		t->next[i] = (uint16_t)(i + 1);
	return 0;
}

uint64_t iol_track_oldest(const struct iol_inflight *inflight, unsigned int index, uint16_t size,
			  bool packed)
{
	const struct iol_log_packed *p;
	const struct iol_log_split *s;
	uint64_t oldest = UINT64_MAX, counter;
	unsigned int i;

	if (!inflight || inflight->packed != packed || index >= inflight->num_queues ||
	    size > inflight->queue_size)
		return UINT64_MAX;
	/* Both layouts have the version and the size at one place. */
	s = iol_inflight_queue(inflight, index);
	p = iol_inflight_queue(inflight, index);
	if (ONCE(s->version) != IOL_TRACK_VERSION || ONCE(s->desc_num) != size)
		return UINT64_MAX;
	for (i = 0; i < size; i++) {
		if (!(packed ? ONCE(p->desc[i].inflight) : ONCE(s->desc[i].inflight)))
			continue;
		counter = packed ? ONCE(p->desc[i].counter) : ONCE(s->desc[i].counter);
		if (counter < oldest)
			oldest = counter;
	}
	return oldest;
}

void iol_track_stop(struct iol_track *t)
{
	free(t->next);
	free(t->last);
	free(t->slot);
	free(t->replay);
	free(t->saved);
	*t = (struct iol_track){ 0 };
}
