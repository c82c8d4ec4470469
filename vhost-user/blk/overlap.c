/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/blk/overlap.h"

#include "vhost-user/blk/request.h"

#include <stddef.h>

static bool touch(const struct iol_range *a, const struct iol_range *b)
{
	return a->start < b->end && b->start < a->end;
}

void iol_overlap_init(struct iol_overlap *o, struct iol_range *range, struct iol_blk_req **owner)
{
	o->range = range;
	o->owner = owner;
	o->n = 0;
	o->held = NULL;
	o->held_tail = &o->held;
}

static bool at_storage(const struct iol_overlap *o, const struct iol_range *range)
{
	uint32_t i;

	for (i = 0; i < o->n; i++)
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

bool iol_overlap_any(const struct iol_overlap *o, const struct iol_range *range)
{
	return at_storage(o, range) || held_before(o, range, NULL);
}

void iol_overlap_add(struct iol_overlap *o, struct iol_blk_req *req)
{
	req->state = IOL_REQ_KEPT;
	req->place = o->n;
	o->range[o->n] = req->range;
	o->owner[o->n++] = req;
}

void iol_overlap_hold(struct iol_overlap *o, struct iol_blk_req *req)
{
	req->state = IOL_REQ_HELD;
	req->next_held = NULL;
	*o->held_tail = req;
	o->held_tail = &req->next_held;
}

void iol_overlap_remove(struct iol_overlap *o, struct iol_blk_req *req)
{
	uint32_t last = --o->n;

	o->range[req->place] = o->range[last];
	o->owner[req->place] = o->owner[last];
	o->owner[req->place]->place = req->place;
}

struct iol_blk_req *iol_overlap_next(struct iol_overlap *o)
{
	struct iol_blk_req **at, *req;

	for (at = &o->held; (req = *at); at = &req->next_held) {
		if (at_storage(o, &req->range) || held_before(o, &req->range, req))
			continue;
		*at = req->next_held;
		if (!*at)
			o->held_tail = at;
		iol_overlap_add(o, req);
		return req;
	}
	return NULL;
}

void iol_overlap_drop(struct iol_overlap *o, struct iol_blk_req *req)
{
	struct iol_blk_req **at;

	for (at = &o->held; *at != req; at = &(*at)->next_held)
		;
	*at = req->next_held;
	if (!*at)
		o->held_tail = at;
}
