/* SPDX-License-Identifier: BSD-3-Clause */
/* Every request of a disk, in every kind of ring. */
#include "rig.h"

#include <endian.h>
#include <stdlib.h>
#include <unistd.h>

#define SECTOR 512

static void pieces(struct rig *r)
{
	/* A page, odd neighbours that make whole sectors together, and some from above the hole. */
	struct iol_driver_seg segs[] = {
		{ .addr = r->buf_addr, .len = 4096 },
		{ .addr = r->buf_addr + 5000, .len = 1 },
		{ .addr = r->buf_addr + 6001, .len = 510 },
		{ .addr = r->buf_addr + 9000, .len = 513 },
		{ .addr = r->buf_addr + 16384, .len = 65536 },
	};
	uint32_t total = 0;
	unsigned int i;
	uint8_t *all;

	for (i = 0; i < 5; i++)
		total += segs[i].len;
	all = malloc(total);
	assert_non_null(all);
	rig_fill(all, total, 7);
	for (i = 0, total = 0; i < 5; total += segs[i++].len)
		memcpy(r->buf + (segs[i].addr - r->buf_addr), all + total, segs[i].len);
	assert_int_equal(rig_request(r, 0, VIRTIO_BLK_T_OUT, 3, segs, 5), VIRTIO_BLK_S_OK);
	assert_true(rig_disk_is(r, 3 * SECTOR, total, 7));
	memset(r->buf, 0, RIG_BUF);
	for (i = 0; i < 5; i++)
		segs[i].write = true;
	assert_int_equal(rig_request(r, 0, VIRTIO_BLK_T_IN, 3, segs, 5), VIRTIO_BLK_S_OK);
	for (i = 0, total = 0; i < 5; total += segs[i++].len)
		assert_memory_equal(r->buf + (segs[i].addr - r->buf_addr), all + total,
				    segs[i].len);
	/* And not a byte more. */
	assert_int_equal(r->buf[5001], 0);
	free(all);
}

static uint8_t range(struct rig *r, uint32_t type, uint64_t sector, uint32_t sectors,
		     uint32_t flags)
{
	struct virtio_blk_discard_write_zeroes *z = (void *)(r->buf + RIG_BUF - 64);
	struct iol_driver_seg seg = { .addr = r->buf_addr + RIG_BUF - 64, .len = sizeof(*z) };

	z->sector = htole64(sector);
	z->num_sectors = htole32(sectors);
	z->flags = htole32(flags);
	return rig_request(r, 0, type, 0, &seg, 1);
}

static void ranges(struct rig *r)
{
	const uint64_t sectors = RIG_DISK / SECTOR;

	rig_fill(r->buf, 16384, 9);
	assert_int_equal(rig_write(r, 0, 1 << 20, 0, 16384), VIRTIO_BLK_S_OK);
	assert_int_equal(range(r, VIRTIO_BLK_T_WRITE_ZEROES, 2048 + 8, 8, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(range(r, VIRTIO_BLK_T_WRITE_ZEROES, 2048 + 24, 8, 1), VIRTIO_BLK_S_OK);
	memset(r->buf + 4096, 0, 4096);
	memset(r->buf + 12288, 0, 4096);
	assert_int_equal(rig_read(r, 0, 1 << 20, 65536, 16384), VIRTIO_BLK_S_OK);
	assert_memory_equal(r->buf, r->buf + 65536, 16384);
	assert_int_equal(range(r, VIRTIO_BLK_T_DISCARD, 2048, 8, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(range(r, VIRTIO_BLK_T_DISCARD, 2048, 8, 1), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range(r, VIRTIO_BLK_T_WRITE_ZEROES, 2048, 8, 2), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range(r, VIRTIO_BLK_T_DISCARD, sectors, 8, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(r, VIRTIO_BLK_T_WRITE_ZEROES, sectors - 1, 2, 0),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(r, VIRTIO_BLK_T_WRITE_ZEROES, UINT64_MAX, 2, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range(r, VIRTIO_BLK_T_SECURE_ERASE, 0, 8, 0), VIRTIO_BLK_S_UNSUPP);
}

static void the_rest(struct rig *r)
{
	struct iol_driver_seg id = { .addr = r->buf_addr, .len = 20, .write = true };
	struct iol_driver_seg out = { .addr = r->buf_addr, .len = SECTOR };

	assert_int_equal(rig_request(r, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), VIRTIO_BLK_S_OK);
	memset(r->buf, 0xee, 64);
	assert_int_equal(rig_request(r, 0, VIRTIO_BLK_T_GET_ID, 0, &id, 1), VIRTIO_BLK_S_OK);
	assert_string_equal((char *)r->buf, "functional");
	assert_int_equal(r->buf[20], 0xee);
	assert_int_equal(rig_request(r, 0, 77, 0, &out, 1), VIRTIO_BLK_S_UNSUPP);
	/* Past the end, over the end, and no whole sectors. */
	assert_int_equal(rig_read(r, 0, RIG_DISK, 0, SECTOR), VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig_read(r, 0, RIG_DISK - SECTOR, 0, 2 * SECTOR), VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig_read(r, 0, UINT64_MAX, 0, SECTOR), VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig_write(r, 0, 0, 0, 100), VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig_read(r, 0, RIG_DISK - SECTOR, 0, SECTOR), VIRTIO_BLK_S_OK);
}

/* A full ring on each queue, answered in any order, each exactly once. */
static void many_at_once(struct rig *r)
{
	unsigned int queues = r->spec.queues, chains = r->spec.indirect ? RIG_RING : RIG_RING / 3;
	unsigned int q, i, left = queues * chains;
	bool seen[RIG_QUEUES][RIG_RING] = { { false } };

	for (i = 0; i < chains; i++) {
		for (q = 0; q < queues; q++) {
			uint64_t at = (q * RIG_RING + i) * SECTOR;
			struct iol_driver_seg seg = { .addr = r->buf_addr + at, .len = SECTOR };

			rig_fill(r->buf + at, SECTOR, q * 1000 + i);
			rig_send(r, q, i, VIRTIO_BLK_T_OUT, q * 4096 + i, &seg, 1);
		}
	}
	for (q = 0; q < queues; q++) {
		for (i = 0; i < chains; i++, left--) {
			uint8_t status;
			unsigned int slot = rig_take(r, q, &status, NULL);

			assert_int_equal(status, VIRTIO_BLK_S_OK);
			assert_false(seen[q][slot]);
			seen[q][slot] = true;
			assert_true(rig_disk_is(r, (q * 4096 + slot) * (uint64_t)SECTOR, SECTOR,
						q * 1000 + slot));
		}
		assert_int_equal(iol_driver_inflight(r->queue[q]->driver), 0);
	}
	assert_int_equal(left, 0);
}

static void every_request_in_every_ring(void **state)
{
	unsigned int i;

	for (i = 0; i < 8; i++) {
		/* One queue and four in turn, so that every pair of features meets both. */
		struct rig_spec spec = { .packed = i & 1,
					 .event_idx = i & 2,
					 .indirect = i & 4,
					 .queues = (i ^ i >> 1 ^ i >> 2) & 1 ? 4 : 1,
					 .threads = 1 + (i & 1) };
		struct rig *r = rig_up(&spec);

		rig_works(r);
		pieces(r);
		ranges(r);
		the_rest(r);
		many_at_once(r);
		rig_works(r);
		assert_int_equal(r->failures, 0);
		rig_down(&r);
	}
}

static void a_read_only_disk_stays_as_it_is(void **state)
{
	struct rig_spec spec = { .read_only = true };
	struct rig *r = rig_up(&spec);

	rig_fill(r->buf, 4096, 3);
	assert_int_equal(pwrite(r->image_fd, r->buf, 4096, 8192), 4096);
	assert_int_equal(rig_read(r, 0, 8192, 8192, 4096), VIRTIO_BLK_S_OK);
	assert_true(rig_is(r->buf + 8192, 4096, 3));
	memset(r->buf, 0, 4096);
	assert_int_equal(rig_write(r, 0, 8192, 0, 4096), VIRTIO_BLK_S_IOERR);
	assert_int_not_equal(range(r, VIRTIO_BLK_T_DISCARD, 16, 8, 0), VIRTIO_BLK_S_OK);
	assert_int_not_equal(range(r, VIRTIO_BLK_T_WRITE_ZEROES, 16, 8, 0), VIRTIO_BLK_S_OK);
	assert_true(rig_disk_is(r, 8192, 4096, 3));
	rig_down(&r);
}

static void a_null_disk_takes_all_and_keeps_none(void **state)
{
	struct rig_spec spec = { .file = "null:1G", .packed = true, .event_idx = true };
	struct rig *r = rig_up(&spec);
	uint64_t capacity = 0;

	assert_int_equal(iol_frontend_get_config(r->fe, 0, &capacity, sizeof(capacity)), 0);
	assert_int_equal(le64toh(capacity), (1ull << 30) / SECTOR);
	assert_int_equal(rig_write(r, 0, (1ull << 30) - 4096, 0, 4096), VIRTIO_BLK_S_OK);
	assert_int_equal(rig_read(r, 0, (1ull << 30) - 4096, 0, 4096), VIRTIO_BLK_S_OK);
	assert_int_equal(rig_read(r, 0, 1ull << 30, 0, 4096), VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig_request(r, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), VIRTIO_BLK_S_OK);
	rig_down(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_request_in_every_ring),
		cmocka_unit_test(a_read_only_disk_stays_as_it_is),
		cmocka_unit_test(a_null_disk_takes_all_and_keeps_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
