/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads and writes, by the way that is fastest for each, as measured:
 *
 * - Reads through the page cache are tried at once with RWF_NOWAIT, which costs no more than the
 *   copy when the data is there. What is not goes to the engine, and after misses the next
 *   reads skip the attempt (io_uring makes its own).
 * - Many that came together go to io_uring at once: it makes the same attempt for each as they are
 *   submitted, in one system call and without a look-up of the file for each (5 to 9 % less a read).
 * - Writes into the page cache are made at once where they stand: io_uring would hand them to a
 *   kernel thread on most file systems, at several times the cost. They can block, on dirty
 *   throttling or the journal; when one did, writes go to the pool for a while, so that
 *   the other queues of the thread go on.
 * - Direct I/O, and all that must be stable when it completes, goes to an engine.
 *
 * What happens on errors is written down in docs/blk-errors.md.
 */
#include "base/clock.h"
#include "vhost-user/blk/disk.h"
#include "vhost-user/blk/request.h"
#include "vhost-user/blk/thread.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <string.h>

/* A write that blocked for longer than this, and more for what it copied, stalled its thread. */
#define STALL_NS      (2 * IOL_NS_PER_MS)
#define STALL_NS_MIB  IOL_NS_PER_MS
#define STALL_FIRST   (50 * IOL_NS_PER_MS)
#define STALL_MAX     (1600 * IOL_NS_PER_MS)
#define READ_SKIP_MAX 63
/* So many are worth an io_uring_enter(). */
#define BURST_MIN 8

/* A call that may block for as long as storage hangs: then the queue may be gone after it. */
static int run_blocking(struct iol_blk_req *req, int rwf)
{
	struct iol_blk_queue *q = req->q;
	int res;

	q->inflight++;
	iol_blk_thread_enter(q->thread);
	res = q->image->ops->run(q->image, &req->io, rwf);
	iol_blk_thread_leave(q->thread);
	q->inflight--;
	return res;
}

static bool inline_read(struct iol_blk_req *req)
{
	struct iol_blk_queue *q = req->q;
	struct iol_paths *p = &q->paths;
	int res;

	if (!q->image->resident && (p->no_nowait_read || (q->burst >= BURST_MIN &&
							  q->thread->engine != q->thread->workers)))
		return false;
	if (p->read_skip) {
		p->read_skip--;
		return false;
	}
	IOL_STAT_ADD(q->thread->stats.syscalls, 1);
	if (q->image->resident)
		res = run_blocking(req, 0);
	else
		res = q->image->ops->run(q->image, &req->io, RWF_NOWAIT);
	req->io.res = res;
	if ((uint64_t)(int64_t)res == req->io.len) {
		p->read_backoff = 0;
		return true;
	}
	if (res == -EOPNOTSUPP)
		p->no_nowait_read = true;
	if (res >= 0 || res == -EAGAIN) {
		p->read_backoff = p->read_backoff * 2 + 1;
		if (p->read_backoff > READ_SKIP_MAX)
			p->read_backoff = READ_SKIP_MAX;
		p->read_skip = p->read_backoff;
	}
	return res > 0;
}

/* The clock is read here, twice: next to a write into the page cache that is nothing. */
static bool inline_write(struct iol_blk_req *req)
{
	struct iol_blk_queue *q = req->q;
	struct iol_paths *p = &q->paths;
	int rwf = p->no_nowait_write ? 0 : RWF_NOWAIT;
	uint64_t start = iol_now(), took;
	int res;

	if (start < p->write_pool_until)
		return false;
	IOL_STAT_ADD(q->thread->stats.syscalls, 1);
	res = run_blocking(req, rwf);
	if (res == -EOPNOTSUPP && rwf && !q->gone) {
		p->no_nowait_write = true;
		res = run_blocking(req, 0);
	}
	req->io.res = res;
	took = iol_now() - start;
	if (took > STALL_NS + (req->io.len >> 20) * STALL_NS_MIB) {
		p->write_stall = p->write_stall ? p->write_stall * 2 : STALL_FIRST;
		if (p->write_stall > STALL_MAX)
			p->write_stall = STALL_MAX;
		p->write_pool_until = start + took + p->write_stall;
	} else if (p->write_stall && start > p->write_pool_until + 4 * p->write_stall) {
		p->write_stall = 0;
	}
	return res > 0;
}

static bool aligned(const struct iol_blk_req *req)
{
	const struct iol_image *image = req->q->image;
	uint32_t i;

	for (i = 0; i < req->ndata; i++)
		if (((uintptr_t)req->data[i].iov_base & (image->mem_align - 1)) |
		    (req->data[i].iov_len & (image->off_align - 1)))
			return false;
	return true;
}

void iol_blk_pieces_copy(const struct iovec *iov, void *buf, size_t len, bool to_iov)
{
	uint8_t *at = buf;

	while (len) {
		size_t n = iov->iov_len < len ? iov->iov_len : len;

		if (to_iov)
			memcpy(iov->iov_base, at, n);
		else
			memcpy(at, iov->iov_base, n);
		at += n;
		len -= n;
		iov++;
	}
}

static int use_bounce(struct iol_blk_req *req)
{
	if (!req->bounce)
		req->bounce = iol_bounce_get(req->q->thread);
	if (!req->bounce)
		return -ENOMEM;
	req->one.iov_base = req->bounce;
	req->one.iov_len = req->left < IOL_BOUNCE_SIZE ? req->left : IOL_BOUNCE_SIZE;
	req->io.iov = &req->one;
	req->io.niov = 1;
	req->io.len = req->one.iov_len;
	if (req->io.op == IOL_IO_WRITE)
		iol_blk_pieces_copy(req->data, req->bounce, req->one.iov_len, false);
	return 0;
}

static void set_io(struct iol_blk_req *req)
{
	req->io.iov = req->data;
	req->io.niov = req->ndata;
	req->io.len = req->left;
	req->io.buf = -1;
}

void iol_blk_transfer_issue(struct iol_blk_req *req)
{
	const struct iol_image *image = req->q->image;
	int rc = 0;

	set_io(req);
	if (image->direct && !image->resident) {
		if ((req->io.off | req->left) & (image->off_align - 1))
			rc = -EINVAL;
		else if (!aligned(req))
			rc = use_bounce(req);
		else if (req->q->fixed && req->ndata == 1)
			req->io.buf = iol_fixed_find(req->q->fixed, req->data);
	}
	if (rc < 0) {
		iol_blk_req_finish(req, iol_blk_req_failed(req, rc));
		return;
	}
	iol_blk_req_give(req);
}

/* @n bytes more are where they belong. */
static void advance(struct iol_blk_req *req, uint32_t n)
{
	struct iol_blk_queue *q = req->q;
	bool in = req->io.op == IOL_IO_READ;

	req->io.off += n;
	req->left -= n;
	while (n) {
		struct iovec *iov = req->data;
		uint32_t part = iov->iov_len < n ? (uint32_t)iov->iov_len : n;

		if (in && !q->gone)
			iol_ring_dirty(q->ring, iov->iov_base, part);
		iov->iov_base = (uint8_t *)iov->iov_base + part;
		iov->iov_len -= part;
		n -= part;
		if (!iov->iov_len) {
			req->data++;
			req->ndata--;
		}
	}
}

void iol_blk_transfer(struct iol_blk_req *req)
{
	struct iol_blk_queue *q = req->q;
	const struct iol_image *image = q->image;
	bool at_once = false;

	if (req->write) {
		req->range.start = req->io.off;
		req->range.end = req->io.off + req->left;
		if (!iol_overlap_begin(req)) {
			if (iol_blk_req_keep(req) == 0 && !iol_overlap_hold(req))
				iol_blk_transfer_issue(req);
			return;
		}
	}
	set_io(req);
	if (!image->direct || image->resident)
		at_once = req->write ? !req->io.dsync && inline_write(req) : inline_read(req);
	if (q->gone) {
		iol_blk_req_release(req);
		return;
	}
	if (at_once) {
		uint32_t n = (uint32_t)req->io.res;

		q->moved += n;
		/* Nearly always the whole, which needs no bookkeeping unless it is logged. */
		advance(req, n);
		if (!req->left) {
			iol_blk_req_finish(req, VIRTIO_BLK_S_OK);
			return;
		}
	}
	if (iol_blk_req_keep(req) == 0)
		iol_blk_transfer_issue(req);
}

void iol_blk_transfer_done(struct iol_blk_req *req)
{
	int res = req->io.res;

	/* Direct I/O goes on at a block's start only. */
	if (res > 0 && req->q->image->direct && (uint64_t)(uint32_t)res < req->left)
		res &= ~(int)(req->q->image->off_align - 1);
	if (res > 0) {
		if (req->bounce && req->io.op == IOL_IO_READ && !req->q->gone)
			iol_blk_pieces_copy(req->data, req->bounce, (size_t)res, true);
		advance(req, (uint32_t)res);
		if (!req->left) {
			iol_blk_req_finish(req, VIRTIO_BLK_S_OK);
			return;
		}
	} else if (!iol_blk_req_retry(req, res)) {
		/* Nothing read or written and no error: the image ends before the disk does. */
		iol_blk_req_finish(req, iol_blk_req_failed(req, res ? res : -EIO));
		return;
	}
	iol_blk_transfer_issue(req);
}
