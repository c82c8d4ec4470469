/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The writes of a queue that are at storage. Two that overlap are never there at once, so that the
 * order in which they end is the order in which they came: a replay after a crash, which runs the
 * older one again, could otherwise put its data over the newer one's.
 */
#ifndef IOL_VHOST_USER_BLK_OVERLAP_H
#define IOL_VHOST_USER_BLK_OVERLAP_H

#include <stdbool.h>
#include <stdint.h>

struct iol_blk_req;

struct iol_range {
	uint64_t start, end; /* bytes; end is the first one after it */
};

/**
 * struct iol_overlap - Writes at storage, in no order, and those that wait for them, oldest first.
 * @range, @owner: two arrays, so that the check runs through the ranges alone.
 */
struct iol_overlap {
	struct iol_range *range;
	struct iol_blk_req **owner;
	uint32_t n;
	struct iol_blk_req *held, **held_tail;
};

/** iol_overlap_init() - None yet; the arrays have room for every request of the queue. */
void iol_overlap_init(struct iol_overlap *o, struct iol_range *range, struct iol_blk_req **owner);

/** iol_overlap_any() - Whether @range touches a write at storage or a held one. */
bool iol_overlap_any(const struct iol_overlap *o, const struct iol_range *range);

/** iol_overlap_add() - @req goes to storage. */
void iol_overlap_add(struct iol_overlap *o, struct iol_blk_req *req);

/** iol_overlap_hold() - @req waits. */
void iol_overlap_hold(struct iol_overlap *o, struct iol_blk_req *req);

/** iol_overlap_remove() - @req, which was added, has ended. */
void iol_overlap_remove(struct iol_overlap *o, struct iol_blk_req *req);

/**
 * iol_overlap_next() - Take the oldest held request that nothing stands in the way of, and add it.
 * Return: NULL when there is none.
 */
struct iol_blk_req *iol_overlap_next(struct iol_overlap *o);

/** iol_overlap_drop() - @req, which is held, is given up. */
void iol_overlap_drop(struct iol_overlap *o, struct iol_blk_req *req);

#endif
