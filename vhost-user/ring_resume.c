/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a packed ring goes on when nobody knows: the back end was killed, the front end remembers a place of long
 * ago (QEMU has none to look at: virtio_queue_packed_restore_last_avail_idx()), and there is no inflight log. A
 * device that uses its chains in order can read it off the descriptors, as long as it leaves no slot behind
 * that looks available (publish_resumable()).
 *
 * Each slot then is one of these, where its round (the wrap counter that it was made available with) is in its
 * AVAIL bit:
 *   done: AVAIL and USED are the same: used, or zeroed by a driver that begins, as if used in round 0;
 *   open: they differ: the driver wrote it and the device has not used it.
 * From the device's place on there are open slots up to the driver's place, then done ones of the round before,
 * up to the device's place again. The driver may be anywhere on its way of writing more: of the slots from its
 * place on, any may be open already, of their next round, whether it has shown them or not. So the driver's
 * place can't be told. The device's can: it is between a slot and the one before it that are
 *   - open, and done in the round that it follows,
 *   - or done, and done in a later round: nothing is in flight,
 *   - or open, and open in a later round: the ring is full,
 * and no other two are so. A slot follows another if its AVAIL bit is the same, or at the ring's start the other
 * one. What does not follow is of an earlier round, except where the driver writes behind a head that it has not
 * shown (open, and done in an earlier round). One case is left: nothing is in flight, and the driver wrote all
 * slots but a head at the device's place, which alone is done.
 *
 * Chains that are shown together are done from the last to the first (publish_resumable()). In between there are
 * open slots at the device's place, and then done ones that follow, which is so nowhere else. What to say of the open
 * ones is known, as all but the last of such chains were filled: iol_resume_finish() does them, too. Chains that take
 * all of the ring could be the one case that was left above, so none do (iol_ring_group_max()).
 *
 * The rest of a chain may look done before its head is (use_rest()). What follows an open slot whose chain
 * goes on is open. A driver that wrote all the way round has ended its chain at the last slot.
 *
 * All this is so in a ring that no other kind of device left slots in: those skip a chain's rest. So the ring is
 * marked when its place can be read: the mark is in the device's event suppression structure, in a
 * field that drivers look at in a mode alone which is not used here. It is there from the first start, if the
 * ring is in good shape at the place that the front end tells, or else when the device has been round it once;
 * and until iol_ring_leave(). A ring without it goes on where the front end says.
 */
#include "vhost-user/ring_priv.h"

#include <stdlib.h>

#define AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED  (1u << VRING_PACKED_DESC_F_USED)

/* A slot. */
#define ROUND 1u
#define DONE  2u
#define NEXT  4u

/* The driver may run: what is told by the one slot that is done can take a second look. */
#define PICTURES 16

struct picture {
	uint16_t size;
	uint8_t slot[];
};

static void take(struct picture *p, const struct iol_ring *r)
{
	unsigned int i;

	for (i = 0; i < p->size; i++) {
		uint16_t flags = __atomic_load_n(&r->pdesc[i].flags, __ATOMIC_RELAXED);

		p->slot[i] = (flags & AVAIL ? ROUND : 0) |
			     (!(flags & AVAIL) == !(flags & USED) ? DONE : 0) |
			     (flags & VRING_DESC_F_NEXT ? NEXT : 0);
	}
}

static unsigned int before(const struct picture *p, unsigned int i)
{
	return i ? i - 1 : p->size - 1u;
}

static bool follows(const struct picture *p, unsigned int i)
{
	return ((p->slot[i] ^ p->slot[before(p, i)]) & ROUND) == (i ? 0 : ROUND);
}

/*
 * A slot that does not follow the one before. There is one in every ring, as going round it once would else lead to
 * the next round.
 */
static unsigned int find_break(const struct picture *p)
{
	unsigned int i;

	for (i = 0; i + 1u < p->size && follows(p, i); i++)
		;
	return i;
}

/* The rest of a chain in flight is, too. */
static void open_rest(struct picture *p)
{
	unsigned int i = find_break(p), n;

	for (n = 1; n < p->size; n++) {
		i = i + 1u == p->size ? 0 : i + 1;
		if (follows(p, i) && (p->slot[before(p, i)] & (DONE | NEXT)) == NEXT)
			p->slot[i] &= (uint8_t)~DONE;
	}
}

/* Whether slots are open, from the first on, then done, up to the other place, and each follows the one before. */
static bool together(const struct picture *p, unsigned int from, unsigned int to)
{
	unsigned int i = from;
	bool done = false;

	do {
		bool is_done = p->slot[i] & DONE;

		if (i == from ? is_done : !follows(p, i) || (done && !is_done))
			return false;
		done = is_done;
		i = i + 1u == p->size ? 0 : i + 1;
	} while (i != to);
	return done;
}

/*
 * The device's place, if there is just one that it can be. Return: 1; or 2, when chains there were being shown
 * together; 0 when it can't be told.
 */
static int find_place(struct picture *p, uint16_t *pos, bool *wrap)
{
	unsigned int i, found = 0, done = 0, last = 0, place[2] = { 0, 0 };
	int rc = 1;

	open_rest(p);
	for (i = 0; i < p->size; i++) {
		bool was_done = p->slot[before(p, i)] & DONE, is_done = p->slot[i] & DONE;

		if (is_done) {
			done++;
			last = i;
		}
		if (follows(p, i) ? !was_done || is_done : was_done != is_done)
			continue;
		if (found < 2)
			place[found] = i;
		found++;
	}
	if (found == 2) {
		rc = 2;
		if (together(p, place[1], place[0]))
			place[0] = place[1];
		else if (!together(p, place[0], place[1]))
			return 0;
	} else if (!found && done == 1) {
		place[0] = last;
	} else if (found != 1) {
		return 0;
	}
	*pos = (uint16_t)place[0];
	/* A slot that is done was so a round ago. */
	*wrap = !(p->slot[*pos] & ROUND) == !!(p->slot[*pos] & DONE);
	return rc;
}

static int look(const struct iol_ring *r, uint16_t *pos, bool *wrap)
{
	struct picture *p = calloc(1, sizeof(*p) + r->size);
	unsigned int i;
	int found = 0;

	if (!p)
		return iol_fail(ENOMEM, "no memory to look at a ring of %u", r->size);
	p->size = r->size;
	for (i = 0; i < PICTURES && !found; i++) {
		take(p, r);
		found = find_place(p, pos, wrap);
	}
	free(p);
	return found;
}

int iol_resume_take_up(struct iol_ring *r, struct iol_track_pos *pos)
{
	uint16_t mark = __atomic_load_n(&r->device_event->off_wrap, __ATOMIC_RELAXED), at = 0;
	bool marked = mark == RESUME_MARK && r->size <= RESUME_SIZE_MAX, wrap = false;
	int found;

	if (r->spec.base_sure) {
		r->unmarked = marked ? 0 : r->size;
		pos->next = pos->used_next;
		pos->avail_wrap = pos->used_wrap;
		return 0;
	}
	found = look(r, &at, &wrap);
	if (found < 0)
		return found;
	if (marked && !found)
		return iol_fail(
			EINVAL,
			"the packed ring's descriptors do not tell where the back end was before; "
			"reset the device");
	if (marked) {
		pos->used_next = at;
		pos->used_wrap = wrap;
	}
	/* What was taken before is taken again. */
	pos->next = pos->used_next;
	pos->avail_wrap = pos->used_wrap;
	r->unmarked = r->size;
	/* Without the mark, what seems to have been shown together is what another kind of device left. */
	if (found && (marked || found == 1) && at == pos->used_next && wrap == pos->used_wrap)
		iol_resume_used(r, r->size);
	return marked && found == 2;
}

static bool is_done(const struct iol_ring *r, unsigned int pos, bool wrap)
{
	uint16_t flags = __atomic_load_n(&r->pdesc[pos].flags, __ATOMIC_RELAXED);

	return (flags & (AVAIL | USED)) == (wrap ? AVAIL | USED : 0);
}

/*
 * The chains at the device's place that are open, up to those that are done and follow, were filled by a process that
 * was killed while it showed them.
 */
int iol_resume_finish(struct iol_ring *r)
{
	unsigned int n = 0, done = 0, i;
	struct iol_chain c;
	int rc = 0;

	while (n < r->size && !is_done(r, r->next, r->avail_wrap)) {
		rc = iol_ring_pop(r, &c, 1);
		if (rc <= 0)
			break;
		r->batch[n++] = (struct ring_used){ c.id, c.ndesc, c.in_len, .more = true };
	}
	/* As if none had been popped. */
	for (i = 0; i < n; i++)
		r->state[r->batch[i].id] = 0;
	r->inflight = 0;
	if (rc <= 0) {
		r->slots = 0;
		r->next = r->used_next;
		r->avail_wrap = r->used_wrap;
		return rc ? rc
			  : iol_fail(EINVAL,
				     "the driver changed descriptors of the packed ring that "
				     "it had given to the device");
	}
	for (; done < r->size && is_done(r, r->next, r->avail_wrap); done++) {
		if (++r->next == r->size) {
			r->next = 0;
			r->avail_wrap = !r->avail_wrap;
		}
	}
	r->nbatch = n;
	iol_packed_publish(r);
	r->nbatch = 0;
	r->used_next = r->next;
	r->used_wrap = r->avail_wrap;
	/* The call that comes with the start may have been earlier, if the ring had to be waited for. */
	r->uncalled = r->size;
	return 0;
}

void iol_resume_used(struct iol_ring *r, unsigned int slots)
{
	if (r->unmarked > slots) {
		r->unmarked -= slots;
		return;
	}
	if (r->size > RESUME_SIZE_MAX)
		return;
	r->unmarked = 0;
	iol_packed_kicks(r, r->kicks != KICKS_UNWANTED);
}

void iol_ring_leave(struct iol_ring *r)
{
	if (!r->resume || r->special & (RING_STOPPED | RING_UNMAPPED))
		return;
	r->unmarked = r->size;
	iol_packed_kicks(r, true);
}
