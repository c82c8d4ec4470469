/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The writes of a disk that are at storage. Two that overlap are never there at once, whichever queues
 * they came by, so that the order in which they end is the order in which they came: a replay after a crash,
 * which runs the older one again, could otherwise put its data over the newer one's.
 *
 * While all running queues of a disk are on one data thread, that thread alone touches this, and no lock is
 * taken. On the thread of the request's queue, all but iol_overlap_init() to iol_overlap_unshare().
 */
#ifndef IOL_VHOST_USER_BLK_OVERLAP_H
#define IOL_VHOST_USER_BLK_OVERLAP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct iol_blk_queue;
struct iol_blk_req;

struct iol_range {
	uint64_t start, end; /* bytes; end is the first one after it */
};

/**
 * struct iol_overlap - Writes at storage, in no order, and those that wait for them, oldest first.
 * @range, @owner: two arrays, so that the check runs through the ranges alone. @room: what they have room
 *                 for; @needed: requests of all queues.
 * @shared: queues of several threads are there, so that the lock is taken.
 * @news: counts up when a held request may go and its own thread is to look; atomic.
 */
struct iol_overlap {
	pthread_mutex_t lock;
	bool shared;
	struct iol_range *range;
	struct iol_blk_req **owner;
	uint32_t n, room, needed;
	struct iol_blk_req *held, **held_tail;
	uint32_t news;
};

/** iol_overlap_init(), iol_overlap_fini() - None yet; none any more. */
void iol_overlap_init(struct iol_overlap *o);
void iol_overlap_fini(struct iol_overlap *o);

/**
 * iol_overlap_share() - From now on queues of other threads come, too. On the thread that has all there are,
 * before the first of them does. iol_overlap_unshare() when there are no queues, by whoever adds the next.
 */
void iol_overlap_share(struct iol_overlap *o);
void iol_overlap_unshare(struct iol_overlap *o);

/** iol_overlap_join() - Room for @size requests more. Return: 0, or -ENOMEM. */
int iol_overlap_join(struct iol_overlap *o, uint32_t size);

/** iol_overlap_quit() - A queue of so many has gone, and nothing of it is left here. */
void iol_overlap_quit(struct iol_overlap *o, uint32_t size);

/**
 * iol_overlap_begin() - @req, whose range is set, wants to go to storage.
 * Return: whether it may, and counts as there until iol_overlap_end().
 */
bool iol_overlap_begin(struct iol_blk_req *req);

/**
 * iol_overlap_hold() - @req could not begin, was kept, and waits until it can: then the thread issues it.
 * Return: whether it waits; else it may go to storage now after all.
 */
bool iol_overlap_hold(struct iol_blk_req *req);

/**
 * iol_overlap_end() - @req is not at storage any more.
 * Return: held ones of this thread that may go now, and count as there; a list by next_held.
 */
struct iol_blk_req *iol_overlap_end(struct iol_blk_req *req);

/** iol_overlap_look() - There was news: held ones of @q that may go now, as from iol_overlap_end(). */
struct iol_blk_req *iol_overlap_look(struct iol_blk_queue *q);

/** iol_overlap_drop() - All held ones of @q, which are given up, are not held any more; a list by next_held. */
struct iol_blk_req *iol_overlap_drop(struct iol_blk_queue *q);

/** iol_overlap_news() - Have every queue that holds something look again; wake their threads then. */
static inline void iol_overlap_news(struct iol_overlap *o)
{
	__atomic_add_fetch(&o->news, 1, __ATOMIC_SEQ_CST);
}

#endif
