/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/blk/request.h"

#include "base/clock.h"
#include "base/error.h"
#include "vhost-user/blk/disk.h"
#include "vhost-user/blk/thread.h"
#include "vhost-user/ring.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One line about errors in so long a time, a disk. */
#define COMPLAIN_NS (5 * IOL_NS_PER_S)
/* "Try again" so many times is an error. */
#define TRIES_MAX 8

static const char *const op_names[IOL_BLK_OPS] = {
	[IOL_BLK_OP_READ] = "read",
	[IOL_BLK_OP_WRITE] = "write",
	[IOL_BLK_OP_FLUSH] = "flush",
	[IOL_BLK_OP_DISCARD] = "discard",
	[IOL_BLK_OP_WRITE_ZEROES] = "write zeroes",
	[IOL_BLK_OP_SECURE_ERASE] = "secure erase",
	[IOL_BLK_OP_OTHER] = "other request",
};

bool iol_blk_req_retry(struct iol_blk_req *req, int res)
{
	return (res == -EINTR || res == -EAGAIN) && req->tries++ < TRIES_MAX;
}

uint8_t iol_blk_req_failed(struct iol_blk_req *req, int err)
{
	struct iol_disk *disk = req->q->disk;
	uint64_t now = iol_now();
	uint64_t at = IOL_STAT_GET(disk->complain_at);
	uint64_t others;
	char more[64] = "";

	if (now < at || !__atomic_compare_exchange_n(&disk->complain_at, &at, now + COMPLAIN_NS,
						     false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		__atomic_fetch_add(&disk->complaints, 1, __ATOMIC_RELAXED);
		return VIRTIO_BLK_S_IOERR;
	}
	others = __atomic_exchange_n(&disk->complaints, 0, __ATOMIC_RELAXED);
	if (others)
		snprintf(more, sizeof(more), " (%" PRIu64 " more since the last such line)",
			 others);
	iol_log(IOL_LOG_ERROR, "%s: %s of %" PRIu64 " bytes failed at %" PRIu64 ": %s%s",
		disk->name, op_names[req->op], req->bytes, req->io.off, strerror(-err), more);
	return VIRTIO_BLK_S_IOERR;
}

int iol_blk_req_keep(struct iol_blk_req *req)
{
	struct iol_blk_queue *q = req->q;
	struct iovec *to = req->own;

	if (req->ndata > IOL_REQ_ARENA) {
		to = req->more = malloc(req->ndata * sizeof(*to));
		if (!to) {
			iol_blk_req_finish(req, iol_blk_req_failed(req, -ENOMEM));
			return -ENOMEM;
		}
	} else if (req->ndata > IOL_REQ_OWN) {
		to = req->pieces;
	}
	memcpy(to, req->data, req->ndata * sizeof(*to));
	req->data = to;
	req->state = IOL_REQ_KEPT;
	q->inflight++;
	return 0;
}

void iol_blk_req_give(struct iol_blk_req *req)
{
	const struct iol_blk_thread *th = req->q->thread;
	const struct iol_image *image = req->q->image;
	struct iol_engine *e = th->engine;

	if (req->canceled) {
		iol_blk_req_finish(req, IOL_REQ_LEAVE);
		return;
	}
	/*
	 * A pool thread can wait for what was not ready, io_uring's own threads make writes into the
	 * page cache one at a time, and it knows no ioctl.
	 */
	if (req->tries || (req->io.op == IOL_IO_WRITE && !image->direct) ||
	    (req->io.op == IOL_IO_DISCARD && image->device) || req->io.op == IOL_IO_SECURE_ERASE)
		e = th->workers;
	e->ops->queue(e, &req->io);
}

/* A kept request goes to storage: the first time, or when no longer held. */
static void issue(struct iol_blk_req *req)
{
	if (req->op <= IOL_BLK_OP_WRITE)
		iol_blk_transfer_issue(req);
	else if (req->op == IOL_BLK_OP_FLUSH)
		iol_blk_req_give(req);
	else
		iol_blk_ranges_issue(req);
}

static void count(struct iol_blk_req *req, uint8_t status)
{
	struct iol_blk_queue *q = req->q;
	struct iol_blk_op_counts *c = &q->stats->op[req->op];
	struct iol_turn_counts *t = &q->turn[req->op];

	if (req->state == IOL_REQ_FREE) {
		q->turn_ops |= (uint8_t)(1u << req->op);
		t->requests++;
		t->bytes += status ? 0 : req->bytes;
		t->errors += !!status;
		return;
	}
	iol_hist_add(&c->lat, q->thread->now - req->started);
	IOL_STAT_ADD(c->bytes, status ? 0 : req->bytes);
	IOL_STAT_ADD(c->errors, !!status);
}

static void forget(struct iol_blk_req *req)
{
	if (req->bounce)
		iol_bounce_put(req->q->thread, req->bounce);
	free(req->more);
	req->bounce = NULL;
	req->more = NULL;
	req->state = IOL_REQ_FREE;
	req->q->inflight--;
	iol_blk_queue_give(req->q, req);
}

void iol_blk_req_issue_all(struct iol_blk_thread *th, struct iol_blk_req *list)
{
	struct iol_blk_req *req;

	if (!list)
		return;
	*th->released_tail = list;
	while (*th->released_tail)
		th->released_tail = &(*th->released_tail)->next_held;
	/* One that fails at once comes here again; then the first call goes on. */
	if (th->releasing)
		return;
	th->releasing = true;
	while ((req = th->released)) {
		th->released = req->next_held;
		if (!th->released)
			th->released_tail = &th->released;
		issue(req);
	}
	th->releasing = false;
}

void iol_blk_req_release(struct iol_blk_req *req)
{
	struct iol_blk_queue *q = req->q;
	struct iol_blk_req *others = req->placed ? iol_overlap_end(req) : NULL;

	if (req->state != IOL_REQ_FREE)
		forget(req);
	else
		iol_blk_queue_give(q, req);
	iol_blk_req_issue_all(q->thread, others);
}

void iol_blk_req_finish(struct iol_blk_req *req, uint8_t status)
{
	struct iol_blk_queue *q = req->q;

	if (status == IOL_REQ_LEAVE && !iol_ring_tracked(q->ring))
		status = VIRTIO_BLK_S_IOERR;
	if (status != IOL_REQ_LEAVE) {
		*req->status = status;
		iol_ring_dirty(q->ring, req->status, 1);
		iol_ring_push(q->ring, req->id, req->ndesc, req->in_len);
		q->pushed++;
		count(req, status);
	}
	iol_blk_req_release(req);
}

static void flush(struct iol_blk_req *req)
{
	const struct iol_image *image = req->q->image;

	if (IOL_STAT_GET(req->q->disk->flush_lost)) {
		iol_blk_req_finish(req, VIRTIO_BLK_S_IOERR);
		return;
	}
	if (image->null || image->resident) {
		iol_blk_req_finish(req, VIRTIO_BLK_S_OK);
		return;
	}
	req->io.op = IOL_IO_FLUSH;
	req->ndata = 0;
	if (iol_blk_req_keep(req) == 0)
		iol_blk_req_give(req);
}

static void flush_done(struct iol_blk_req *req)
{
	struct iol_disk *disk = req->q->disk;
	int res = req->io.res;

	if (res >= 0) {
		iol_blk_req_finish(req, VIRTIO_BLK_S_OK);
	} else if (iol_blk_req_retry(req, res)) {
		iol_blk_req_give(req);
	} else {
		iol_disk_flush_failed(disk);
		iol_blk_req_finish(req, iol_blk_req_failed(req, res));
	}
}

void iol_blk_req_done(struct iol_io *io)
{
	struct iol_blk_req *req = (struct iol_blk_req *)io;
	struct iol_blk_queue *q = req->q;

	if (q->gone) {
		iol_blk_req_release(req);
		return;
	}
	/* What ended in spite of the cancel counts as what it is. */
	if (req->canceled && io->res < 0) {
		iol_blk_req_finish(req, IOL_REQ_LEAVE);
		return;
	}
	if (req->op <= IOL_BLK_OP_WRITE)
		iol_blk_transfer_done(req);
	else if (req->op == IOL_BLK_OP_FLUSH)
		flush_done(req);
	else
		iol_blk_ranges_done(req);
}

void iol_blk_req_cancel(struct iol_blk_req *req)
{
	struct iol_engine *e = req->io.engine;

	req->canceled = true;
	if (e)
		e->ops->cancel(e, &req->io);
}

static void get_id(struct iol_blk_req *req, struct iovec *data, uint64_t len)
{
	struct iol_blk_queue *q = req->q;
	uint32_t left = IOL_BLK_SERIAL_MAX, part;
	char serial[IOL_BLK_SERIAL_MAX];
	uint32_t at;

	memcpy(serial, q->disk->serial, sizeof(serial));
	if (len < left)
		left = (uint32_t)len;
	for (at = 0; left; at += part, left -= part, data++) {
		part = data->iov_len < left ? (uint32_t)data->iov_len : left;
		memcpy(data->iov_base, serial + at, part);
		iol_ring_dirty(q->ring, data->iov_base, part);
	}
	iol_blk_req_finish(req, VIRTIO_BLK_S_OK);
}

/* IN and OUT: @left bytes at @sector. */
static void transfer(struct iol_blk_req *req, uint64_t sector)
{
	struct iol_blk_queue *q = req->q;
	struct iol_disk *disk = q->disk;
	uint64_t sectors = IOL_STAT_GET(disk->capacity) >> 9;

	if (req->left & 511 || sector > sectors || req->left >> 9 > sectors - sector ||
	    (req->write && q->image->read_only)) {
		iol_blk_req_finish(req, VIRTIO_BLK_S_IOERR);
		return;
	}
	if (q->image->null || !req->left) {
		iol_blk_req_finish(req, VIRTIO_BLK_S_OK);
		return;
	}
	req->io.off = sector << 9;
	if (req->write) {
		req->io.dsync = !IOL_STAT_GET(disk->writeback) && !q->image->resident;
		if (!IOL_STAT_GET(disk->written))
			IOL_STAT_SET(disk->written, true);
	}
	iol_blk_transfer(req);
}

/* The header may be cut up as the driver likes; the rest of the piece it ends in is data. */
static void take_header(struct iol_blk_req *req, const struct iol_chain *c,
			struct virtio_blk_outhdr *hdr)
{
	struct iovec *iov = c->iov;
	size_t at = 0;

	while (at < sizeof(*hdr)) {
		size_t part = sizeof(*hdr) - at;

		if (part > iov->iov_len)
			part = iov->iov_len;
		memcpy((uint8_t *)hdr + at, iov->iov_base, part);
		at += part;
		if (part == iov->iov_len) {
			iov++;
			continue;
		}
		iov->iov_base = (uint8_t *)iov->iov_base + part;
		iov->iov_len -= part;
	}
	req->data = iov;
	req->ndata = c->nout - (uint32_t)(iov - c->iov);
	req->left = c->out_len - sizeof(*hdr);
}

/* The last writable byte is the status; what comes before it is room for data. */
static uint32_t take_status(struct iol_blk_req *req, const struct iol_chain *c)
{
	struct iovec *last = c->iov + c->nout + c->nin - 1;
	uint32_t nin = c->nin;

	while (!last->iov_len) {
		last--;
		nin--;
	}
	last->iov_len--;
	req->status = (uint8_t *)last->iov_base + last->iov_len;
	return last->iov_len ? nin : nin - 1;
}

static void dispatch(struct iol_blk_req *req, const struct virtio_blk_outhdr *hdr, struct iovec *in,
		     uint32_t nin)
{
	switch (le32toh(hdr->type)) {
	case VIRTIO_BLK_T_IN:
		req->op = IOL_BLK_OP_READ;
		req->io.op = IOL_IO_READ;
		req->data = in;
		req->ndata = nin;
		req->left = req->in_len - 1;
		req->bytes = req->left;
		transfer(req, le64toh(hdr->sector));
		return;
	case VIRTIO_BLK_T_OUT:
		req->op = IOL_BLK_OP_WRITE;
		req->io.op = IOL_IO_WRITE;
		req->write = true;
		req->bytes = req->left;
		transfer(req, le64toh(hdr->sector));
		return;
	case VIRTIO_BLK_T_FLUSH:
		req->op = IOL_BLK_OP_FLUSH;
		flush(req);
		return;
	case VIRTIO_BLK_T_GET_ID:
		get_id(req, in, req->in_len - 1);
		return;
	case VIRTIO_BLK_T_DISCARD:
		req->op = IOL_BLK_OP_DISCARD;
		break;
	case VIRTIO_BLK_T_WRITE_ZEROES:
		req->op = IOL_BLK_OP_WRITE_ZEROES;
		break;
	case VIRTIO_BLK_T_SECURE_ERASE:
		req->op = IOL_BLK_OP_SECURE_ERASE;
		break;
	default:
		iol_blk_req_finish(req, VIRTIO_BLK_S_UNSUPP);
		return;
	}
	iol_blk_ranges(req);
}

int iol_blk_req_start(struct iol_blk_queue *q, const struct iol_chain *c)
{
	struct virtio_blk_outhdr hdr;
	struct iol_blk_req *req;
	uint32_t nin;

	if (c->out_len < sizeof(hdr))
		return iol_fail(EPROTO, "a request's header has %u bytes in place of %zu",
				c->out_len, sizeof(hdr));
	if (!c->in_len)
		return iol_fail(EPROTO, "a request has no room for its status");
	req = iol_blk_queue_take(q);
	if (!req)
		return iol_fail(EPROTO, "the driver has more than %u requests in flight", q->size);
	req->io.image = q->image;
	req->io.slot = (int16_t)q->slot;
	req->io.dsync = false;
	req->id = c->id;
	req->ndesc = c->ndesc;
	req->in_len = c->in_len;
	req->op = IOL_BLK_OP_OTHER;
	req->tries = 0;
	req->write = false;
	req->canceled = false;
	req->bytes = 0;
	req->started = q->thread->now;
	nin = take_status(req, c);
	take_header(req, c, &hdr);
	dispatch(req, &hdr, c->iov + c->nout, nin);
	return 0;
}
