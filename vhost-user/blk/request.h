/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests: from a chain of the ring to operations at storage and back. What can be done at once is
 * done where it stands, and needs no more than the ring's own copy of the chain; what goes to
 * an engine keeps its pieces in its request.
 *
 * Specification: virtio 1.3, 5.2.6.
 */
#ifndef IOL_VHOST_USER_BLK_REQUEST_H
#define IOL_VHOST_USER_BLK_REQUEST_H

#include "vhost-user/blk/io.h"
#include "vhost-user/blk/overlap.h"

struct iol_blk_queue;
struct iol_blk_thread;
struct iol_chain;

/* Pieces kept in the request itself; in the queue's arena; beyond that they are allocated. */
#define IOL_REQ_OWN   4
#define IOL_REQ_ARENA 128

/* What config space tells the driver: segments in a discard or write-zeroes, sectors in one. */
#define IOL_BLK_SEGS_MAX    32
#define IOL_BLK_SECTORS_MAX (1u << 22)

enum iol_req_state {
	IOL_REQ_FREE, /* or being answered where it stands */
	IOL_REQ_KEPT, /* an engine has it, or is about to */
	IOL_REQ_HELD, /* it waits for an older write that it overlaps */
};

/* In place of a status: no answer, as its queue stops and the inflight log remembers it. */
#define IOL_REQ_LEAVE 0xff

/* A range of a DISCARD, WRITE_ZEROES or SECURE_ERASE; as large as a piece, whose room it takes. */
struct iol_blk_seg {
	uint64_t off;
	uint32_t sectors;
	uint32_t unmap;
};

/**
 * struct iol_blk_req - A request that was popped and not pushed.
 * @io: first, so that an engine's answer leads back here.
 * @data, @ndata: what is left of the guest's buffer, for @left bytes. @more: allocated room for it.
 * @status: the guest's status byte. @in_len: bytes in its writable pieces, the status included.
 * @range, @place, @next_held: struct iol_overlap's. @write: whether it is one of its writes. @placed: whether
 *                             it is there as one at storage.
 * @nsegs, @seg: ranges, which lie in @pieces, and the one being worked on.
 * @zeroes: the range is being written, as storage can't zero it. @syncing: the flush after it.
 * @bounce: aligned memory in place of @data for direct I/O; @one: the piece that describes it.
 * @canceled: asked to end, as its queue stops.
 */
struct iol_blk_req {
	struct iol_io io;
	struct iol_blk_queue *q;
	struct iovec *data;
	uint8_t *status;
	uint64_t started;
	uint64_t left;
	uint64_t bytes;
	uint32_t ndata;
	uint32_t in_len;
	uint16_t id, ndesc;
	uint8_t op, state, tries;
	bool write, placed, zeroes, syncing, canceled;
	uint8_t nsegs, seg;
	uint32_t place;
	struct iol_range range;
	struct iol_blk_req *next_held;
	void *bounce;
	struct iovec *pieces; /* its place in the queue's arena */
	void *more;
	struct iovec one;
	struct iovec own[IOL_REQ_OWN];
};

/**
 * iol_blk_req_start() - Begin what @chain asks for; it may be over when this returns.
 * Return: 0, or -EPROTO when the chain is no request (sentence set).
 */
int iol_blk_req_start(struct iol_blk_queue *q, const struct iol_chain *chain);

/** iol_blk_req_done() - An engine gave @io back. */
void iol_blk_req_done(struct iol_io *io);

/** iol_blk_req_finish() - Answer @req with @status (VIRTIO_BLK_S_*) and free it. */
void iol_blk_req_finish(struct iol_blk_req *req, uint8_t status);

/** iol_blk_req_release() - @req is over, and what waited for it goes on; no answer is given. */
void iol_blk_req_release(struct iol_blk_req *req);

/** iol_blk_req_issue_all() - Hand requests that are not held any more, a list by next_held, to @th's engines. */
void iol_blk_req_issue_all(struct iol_blk_thread *th, struct iol_blk_req *list);

/** iol_blk_req_retry() - Whether result @res means that it should be tried again; counts. */
bool iol_blk_req_retry(struct iol_blk_req *req, int res);

/** iol_blk_req_failed() - The status for error @err of storage, told in the log once in a while. */
uint8_t iol_blk_req_failed(struct iol_blk_req *req, int err);

/* transfer.c: moving data between the guest's buffer and storage. */

/** iol_blk_transfer() - Move @req's data; what can be done at once is, and then it is answered. */
void iol_blk_transfer(struct iol_blk_req *req);

/** iol_blk_transfer_issue() - Hand what is left of a transfer to an engine. */
void iol_blk_transfer_issue(struct iol_blk_req *req);

/** iol_blk_transfer_done() - A part of a transfer came back: go on with the rest, or answer. */
void iol_blk_transfer_done(struct iol_blk_req *req);

/**
 * iol_blk_req_keep() - Before @req goes to an engine or is held: pieces that lie in the ring move
 * here. Return: 0, or -ENOMEM and it is answered.
 */
int iol_blk_req_keep(struct iol_blk_req *req);

/** iol_blk_req_give() - @req's operation goes to the engine that is best for it. */
void iol_blk_req_give(struct iol_blk_req *req);

/** iol_blk_req_cancel() - Ask that @req, which is kept, ends. */
void iol_blk_req_cancel(struct iol_blk_req *req);

/* ranges.c: discard, write zeroes, secure erase. */

/** iol_blk_ranges() - Begin a request whose ranges are in @left bytes of @data. */
void iol_blk_ranges(struct iol_blk_req *req);

/** iol_blk_ranges_issue() - Work on the present range. */
void iol_blk_ranges_issue(struct iol_blk_req *req);

/** iol_blk_ranges_done() - A step of it came back. */
void iol_blk_ranges_done(struct iol_blk_req *req);

/** iol_blk_pieces_copy() - Copy @len bytes between @buf and the start of @iov, which holds more. */
void iol_blk_pieces_copy(const struct iovec *iov, void *buf, size_t len, bool to_iov);

#endif
