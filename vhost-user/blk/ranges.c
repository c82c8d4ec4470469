/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests about ranges of the disk that move no data: DISCARD, WRITE_ZEROES, SECURE_ERASE. A request
 * may name several ranges; they are done one after the other, and where storage can't zero a
 * range, zeroes are written to it.
 *
 * Specification: virtio 1.3, 5.2.6.2 (struct virtio_blk_discard_write_zeroes).
 */
#include "base/hist.h"
#include "vhost-user/blk/disk.h"
#include "vhost-user/blk/request.h"
#include "vhost-user/blk/thread.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <string.h>

_Static_assert(sizeof(struct iol_blk_seg) == sizeof(struct virtio_blk_discard_write_zeroes),
	       "a range is checked where it lies");
_Static_assert(sizeof(struct iol_blk_seg) == sizeof(struct iovec), "ranges lie where pieces do");

static struct iol_blk_seg *segs(const struct iol_blk_req *req)
{
	return (struct iol_blk_seg *)(void *)req->pieces;
}

static bool offered(const struct iol_blk_req *req)
{
	const struct iol_disk *disk = req->q->disk;

	switch (req->op) {
	case IOL_BLK_OP_DISCARD:
		return disk->discard;
	case IOL_BLK_OP_WRITE_ZEROES:
		return disk->write_zeroes;
	default:
		return disk->secure_erase;
	}
}

/* Ranges from the guest's form to ours, each checked. Return: the status to answer, or OK. */
static uint8_t check(struct iol_blk_req *req)
{
	struct iol_disk *disk = req->q->disk;
	uint64_t capacity = IOL_STAT_GET(disk->capacity) >> 9;
	unsigned int i;

	req->range.start = UINT64_MAX;
	req->range.end = 0;
	for (i = 0; i < req->nsegs; i++) {
		struct virtio_blk_discard_write_zeroes raw;
		struct iol_blk_seg *seg = &segs(req)[i];
		uint64_t sector;
		uint32_t flags;

		memcpy(&raw, seg, sizeof(raw));
		sector = le64toh(raw.sector);
		seg->sectors = le32toh(raw.num_sectors);
		flags = le32toh(raw.flags);
		seg->unmap = flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP;
		if (flags & ~VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP ||
		    (seg->unmap && req->op != IOL_BLK_OP_WRITE_ZEROES))
			return VIRTIO_BLK_S_UNSUPP;
		if (seg->sectors > IOL_BLK_SECTORS_MAX || sector > capacity ||
		    seg->sectors > capacity - sector)
			return VIRTIO_BLK_S_IOERR;
		seg->off = sector << 9;
		/* Direct I/O may have to write zeroes, and devices erase whole blocks only. */
		if ((seg->off | (uint64_t)seg->sectors << 9) & (req->q->image->off_align - 1))
			return VIRTIO_BLK_S_IOERR;
		req->bytes += (uint64_t)seg->sectors << 9;
		if (seg->off < req->range.start)
			req->range.start = seg->off;
		if (seg->off + ((uint64_t)seg->sectors << 9) > req->range.end)
			req->range.end = seg->off + ((uint64_t)seg->sectors << 9);
	}
	return VIRTIO_BLK_S_OK;
}

void iol_blk_ranges(struct iol_blk_req *req)
{
	struct iol_blk_queue *q = req->q;
	size_t unit = sizeof(struct iol_blk_seg);
	const struct iovec *data = req->data;
	uint64_t len = req->left;
	uint8_t status;

	if (!offered(req)) {
		iol_blk_req_finish(req, VIRTIO_BLK_S_UNSUPP);
		return;
	}
	if (q->image->read_only || !len || len % unit || len / unit > IOL_BLK_SEGS_MAX) {
		iol_blk_req_finish(req, VIRTIO_BLK_S_IOERR);
		return;
	}
	req->nsegs = (uint8_t)(len / unit);
	iol_blk_pieces_copy(data, req->pieces, len, false);
	status = check(req);
	if (status != VIRTIO_BLK_S_OK || q->image->null) {
		iol_blk_req_finish(req, status);
		return;
	}
	if (!IOL_STAT_GET(q->disk->written))
		IOL_STAT_SET(q->disk->written, true);
	req->ndata = 0;
	req->seg = 0;
	req->left = 0;
	req->zeroes = false;
	req->syncing = false;
	req->write = true;
	if (iol_blk_req_keep(req) < 0)
		return;
	if (iol_overlap_begin(req) || !iol_overlap_hold(req))
		iol_blk_ranges_issue(req);
}

static uint8_t io_op(const struct iol_blk_req *req)
{
	switch (req->op) {
	case IOL_BLK_OP_DISCARD:
		return IOL_IO_DISCARD;
	case IOL_BLK_OP_SECURE_ERASE:
		return IOL_IO_SECURE_ERASE;
	default:
		return segs(req)[req->seg].unmap && req->q->image->unmap ? IOL_IO_UNMAP
									 : IOL_IO_ZERO;
	}
}

/* A step of writing zeroes to what is left of the range. */
static void issue_zeroes(struct iol_blk_req *req)
{
	req->one.iov_base = req->q->thread->all->zeroes;
	req->one.iov_len = req->left < IOL_ZEROES_SIZE ? req->left : IOL_ZEROES_SIZE;
	req->io.op = IOL_IO_WRITE;
	req->io.iov = &req->one;
	req->io.niov = 1;
	req->io.len = req->one.iov_len;
	req->io.buf = -1;
	iol_blk_req_give(req);
}

void iol_blk_ranges_issue(struct iol_blk_req *req)
{
	while (req->seg < req->nsegs && !segs(req)[req->seg].sectors)
		req->seg++;
	if (req->seg < req->nsegs) {
		const struct iol_blk_seg *seg = &segs(req)[req->seg];

		req->io.op = io_op(req);
		req->io.off = seg->off;
		req->io.len = (uint64_t)seg->sectors << 9;
		iol_blk_req_give(req);
		return;
	}
	if (IOL_STAT_GET(req->q->disk->writeback) || req->op == IOL_BLK_OP_DISCARD ||
	    req->syncing) {
		iol_blk_req_finish(req, VIRTIO_BLK_S_OK);
		return;
	}
	/* The write cache is off: stable when it completes. */
	req->syncing = true;
	req->io.op = IOL_IO_FLUSH;
	iol_blk_req_give(req);
}

static void next_range(struct iol_blk_req *req)
{
	req->zeroes = false;
	req->tries = 0;
	req->seg++;
	iol_blk_ranges_issue(req);
}

static void zeroes_done(struct iol_blk_req *req)
{
	int res = req->io.res;

	if (res > 0) {
		req->io.off += (uint32_t)res;
		req->left -= (uint32_t)res;
		if (!req->left) {
			next_range(req);
			return;
		}
	} else if (!iol_blk_req_retry(req, res)) {
		iol_blk_req_finish(req, iol_blk_req_failed(req, res ? res : -EIO));
		return;
	}
	issue_zeroes(req);
}

void iol_blk_ranges_done(struct iol_blk_req *req)
{
	int res = req->io.res;

	if (req->zeroes) {
		zeroes_done(req);
	} else if (res >= 0) {
		if (req->syncing)
			iol_blk_req_finish(req, VIRTIO_BLK_S_OK);
		else
			next_range(req);
	} else if (iol_blk_req_retry(req, res)) {
		iol_blk_req_give(req);
	} else if (res == -EOPNOTSUPP && req->op == IOL_BLK_OP_WRITE_ZEROES) {
		req->zeroes = true;
		req->left = req->io.len;
		issue_zeroes(req);
	} else if (res == -EOPNOTSUPP && req->op == IOL_BLK_OP_DISCARD) {
		/* A hint that storage did not take. */
		next_range(req);
	} else if (res == -EOPNOTSUPP) {
		iol_blk_req_finish(req, VIRTIO_BLK_S_UNSUPP);
	} else {
		if (req->syncing)
			iol_disk_flush_failed(req->q->disk);
		iol_blk_req_finish(req, iol_blk_req_failed(req, res));
	}
}
