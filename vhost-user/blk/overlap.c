/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/blk/overlap.h"

#include "base/error.h"
#include "vhost-user/blk/disk.h"
#include "vhost-user/blk/thread.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

static bool touch(const struct iol_range *a, const struct iol_range *b)
{
	return a->start < b->end && b->start < a->end;
}

static void lock(struct iol_overlap *o)
{
	if (o->shared)
		pthread_mutex_lock(&o->lock);
}

static void unlock(struct iol_overlap *o)
{
	if (o->shared)
		pthread_mutex_unlock(&o->lock);
}

void iol_overlap_init(struct iol_overlap *o)
{
	*o = (struct iol_overlap){ 0 };
	pthread_mutex_init(&o->lock, NULL);
	o->held_tail = &o->held;
}

void iol_overlap_fini(struct iol_overlap *o)
{
	free(o->range);
	free(o->owner);
	pthread_mutex_destroy(&o->lock);
}

void iol_overlap_share(struct iol_overlap *o)
{
	o->shared = true;
}

void iol_overlap_unshare(struct iol_overlap *o)
{
	o->shared = false;
}

static int grow(struct iol_overlap *o, uint32_t room)
{
	struct iol_range *range = reallocarray(o->range, room, sizeof(*range));
	struct iol_blk_req **owner;

	if (!range)
		return iol_fail(ENOMEM, "no memory for %u requests", room);
	o->range = range;
	owner = reallocarray(o->owner, room, sizeof(struct iol_blk_req *));
	if (!owner)
		return iol_fail(ENOMEM, "no memory for %u requests", room);
	o->owner = owner;
	o->room = room;
	return 0;
}

int iol_overlap_join(struct iol_overlap *o, uint32_t size)
{
	int rc = 0;

	lock(o);
	if (o->needed + size > o->room)
		rc = grow(o, o->needed + size);
	if (rc == 0)
		o->needed += size;
	unlock(o);
	return rc;
}

void iol_overlap_quit(struct iol_overlap *o, uint32_t size)
{
	lock(o);
	o->needed -= size;
	unlock(o);
}

/* From the end, as what came last is what others wait for most. */
static bool at_storage(const struct iol_overlap *o, const struct iol_range *range)
{
	uint32_t i;

	for (i = o->n; i--;)
		if (touch(&o->range[i], range))
			return true;
	return false;
}

/* Held ones older than @end; all of them for NULL. */
static bool held_before(const struct iol_overlap *o, const struct iol_range *range,
			const struct iol_blk_req *end)
{
	const struct iol_blk_req *req;

	for (req = o->held; req != end; req = req->next_held)
		if (touch(&req->range, range))
			return true;
	return false;
}

/*
 * A write that came before another queue's replay began must not be at storage before what is replayed, which
 * is older. By the queue's own thread.
 */
static bool too_new(const struct iol_blk_queue *q)
{
	return !q->replaying && IOL_STAT_GET(q->disk->replaying);
}

static bool may_begin(const struct iol_overlap *o, const struct iol_blk_req *req)
{
	if (at_storage(o, &req->range))
		return false;
	/* What is replayed is older than all that is held. */
	return req->q->replaying || (!held_before(o, &req->range, NULL) && !too_new(req->q));
}

static void place(struct iol_overlap *o, struct iol_blk_req *req)
{
	req->placed = true;
	req->place = o->n;
	o->range[o->n] = req->range;
	o->owner[o->n++] = req;
}

bool iol_overlap_begin(struct iol_blk_req *req)
{
	struct iol_overlap *o = &req->q->disk->writes;
	bool begins;

	lock(o);
	begins = may_begin(o, req);
	if (begins)
		place(o, req);
	unlock(o);
	return begins;
}

static void insert(struct iol_overlap *o, struct iol_blk_req **at, struct iol_blk_req *req)
{
	req->next_held = *at;
	*at = req;
	if (!req->next_held)
		o->held_tail = &req->next_held;
	req->state = IOL_REQ_HELD;
	req->q->held++;
}

static void take_out(struct iol_overlap *o, struct iol_blk_req **at)
{
	struct iol_blk_req *req = *at;

	*at = req->next_held;
	if (!*at)
		o->held_tail = at;
	req->state = IOL_REQ_KEPT;
	req->q->held--;
}

bool iol_overlap_hold(struct iol_blk_req *req)
{
	struct iol_overlap *o = &req->q->disk->writes;
	bool begins;

	lock(o);
	begins = may_begin(o, req);
	if (begins)
		place(o, req);
	else
		insert(o, req->q->replaying ? &o->held : o->held_tail, req);
	unlock(o);
	return !begins;
}

/* A list that grows at its end. */
struct list {
	struct iol_blk_req *first, **tail;
};

static void append(struct list *l, struct iol_blk_req *req)
{
	req->next_held = NULL;
	*l->tail = req;
	l->tail = &req->next_held;
}

/* The held request at *@at goes to storage, unless something stands in its way. Return: whether it does. */
static bool let_go(struct iol_overlap *o, struct iol_blk_req **at, struct list *l)
{
	struct iol_blk_req *req = *at;

	if (too_new(req->q) || at_storage(o, &req->range) || held_before(o, &req->range, req))
		return false;
	take_out(o, at);
	place(o, req);
	append(l, req);
	return true;
}

/*
 * Only those that touch what has ended can have waited for it alone; and one that goes lets no other go. One of
 * another thread is that thread's to issue: nothing can get in its way meanwhile.
 */
static void release(struct iol_overlap *o, const struct iol_range *range,
		    const struct iol_blk_thread *th, struct list *l)
{
	struct iol_blk_req **at, *req;

	for (at = &o->held; (req = *at);) {
		if (!touch(&req->range, range)) {
			at = &req->next_held;
		} else if (req->q->thread == th) {
			if (!let_go(o, at, l))
				at = &req->next_held;
		} else {
			if (!at_storage(o, &req->range) && !held_before(o, &req->range, req)) {
				iol_overlap_news(o);
				iol_blk_thread_wake(req->q->thread);
			}
			at = &req->next_held;
		}
	}
}

struct iol_blk_req *iol_overlap_end(struct iol_blk_req *req)
{
	struct iol_overlap *o = &req->q->disk->writes;
	struct list l = { .tail = &l.first };
	uint32_t last;

	lock(o);
	last = --o->n;
	o->range[req->place] = o->range[last];
	o->owner[req->place] = o->owner[last];
	o->owner[req->place]->place = req->place;
	req->placed = false;
	if (o->held)
		release(o, &req->range, req->q->thread, &l);
	unlock(o);
	return l.first;
}

struct iol_blk_req *iol_overlap_look(struct iol_blk_queue *q)
{
	struct iol_overlap *o = &q->disk->writes;
	struct list l = { .tail = &l.first };
	struct iol_blk_req **at, *req;

	lock(o);
	for (at = &o->held; (req = *at);)
		if (req->q != q || !let_go(o, at, &l))
			at = &req->next_held;
	unlock(o);
	return l.first;
}

struct iol_blk_req *iol_overlap_drop(struct iol_blk_queue *q)
{
	struct iol_overlap *o = &q->disk->writes;
	struct list l = { .tail = &l.first };
	struct iol_blk_req **at, *req;

	lock(o);
	for (at = &o->held; (req = *at);) {
		if (req->q != q) {
			at = &req->next_held;
			continue;
		}
		take_out(o, at);
		append(&l, req);
	}
	unlock(o);
	return l.first;
}
