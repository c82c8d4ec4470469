/* SPDX-License-Identifier: BSD-3-Clause */
/* What becomes of requests when storage misbehaves, and the order that writes keep there. */
#include "blk_faults.h"
#include "blk_group.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int fill_and_write(uint32_t len)
{
	uint32_t i;

	for (i = 0; i < len; i++)
		rig_data(&rig, 0, 0)[i] = (uint8_t)(i * 7 + i / 251);
	return rig_do(&rig, 0, VIRTIO_BLK_T_OUT, 0, 0, len);
}

static int read_back(uint32_t len)
{
	memset(rig_data(&rig, 0, MIB), 0, len);
	return rig_do(&rig, 0, VIRTIO_BLK_T_IN, 0, MIB, len);
}

static void short_transfers(void **state)
{
	static const struct fault rules[] = {
		{ .op = IOL_IO_WRITE, .times = 3, .res = 4096 },
		{ .op = IOL_IO_READ, .times = 2, .res = 8192 },
		/* Less than a block of direct I/O, on top of what went before: done again. */
		{ .op = IOL_IO_READ, .times = 1, .res = -EINTR },
	};
	unsigned int direct;

	for (direct = 0; direct < 2; direct++) {
		start_faulty(1, direct);
		faults_set(rules, 3);
		if (!direct)
			misbehave();
		assert_int_equal(fill_and_write(65536), 0);
		assert_int_equal(read_back(65536), 0);
		assert_memory_equal(rig_data(&rig, 0, 0), rig_data(&rig, 0, MIB), 65536);
		assert_true(faults_seen(IOL_IO_WRITE) >= 4);
		/* The last try is the pool's, which only the image's own operations show. */
		assert_true(faults_seen(IOL_IO_READ) >= 4 - direct);
		rig_end(&rig);
	}
}

/* An unaligned buffer goes through a bounce buffer, in several steps, each cut short. */
static void short_bounces(void **state)
{
	static const struct fault rules[] = {
		{ .op = IOL_IO_WRITE, .times = 2, .res = 4096 },
		{ .op = IOL_IO_READ, .times = 2, .res = 4096 },
	};
	uint32_t i, len = 300 * 1024;

	start_faulty(1, true);
	faults_set(rules, 2);
	for (i = 0; i < len; i++)
		rig_data(&rig, 0, 1)[i] = (uint8_t)(i * 13 + i / 509);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_OUT, 8, 1, len), 0);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, 8, MIB + 5, len), 0);
	assert_memory_equal(rig_data(&rig, 0, 1), rig_data(&rig, 0, MIB + 5), len);
	rig_end(&rig);
}

static void try_again(void **state)
{
	static const struct fault again[] = {
		{ .op = -1, .times = 3, .res = -EAGAIN },
		{ .op = -1, .times = 2, .res = -EINTR },
	};
	static const struct fault for_ever[] = { { .op = -1, .times = 1000, .res = -EAGAIN } };
	static const uint32_t types[] = { VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_FLUSH };
	size_t i;

	start_faulty(1, true);
	for (i = 0; i < 3; i++) {
		/* The pool that it is tried on is not at fault. */
		faults_set(again, 2);
		assert_int_equal(rig_do(&rig, 0, types[i], 0, 0, i < 2 ? 4096 : 0), 0);
	}
	misbehave();
	for (i = 0; i < 3; i++) {
		faults_set(for_ever, 1);
		assert_int_equal(rig_do(&rig, 0, types[i], 0, 0, i < 2 ? 4096 : 0),
				 VIRTIO_BLK_S_IOERR);
	}
	rig_end(&rig);
	/* Nor is the attempt at once. */
	start_faulty(1, false);
	misbehave();
	for (i = 0; i < 2; i++) {
		faults_set(&again[1], 1);
		assert_int_equal(rig_do(&rig, 0, types[i], 0, 0, 4096), 0);
	}
	rig_end(&rig);
}

static void errors(void **state)
{
	static const int errs[] = { -EIO, -ENOSPC, -ENOMEM, -EFAULT, 0 };
	unsigned int direct, n = 0;
	size_t i;

	for (direct = 0; direct < 2; direct++) {
		start_faulty(1, direct);
		if (!direct)
			misbehave();
		for (i = 0; i < sizeof(errs) / sizeof(errs[0]); i++) {
			struct fault rule = { .op = -1, .times = 1, .res = errs[i] };

			/* An error of the attempt at once is only believed when the engine has it too. */
			rule.times = 2 - direct;
			faults_set(&rule, 1);
			assert_int_equal(fill_and_write(4096), VIRTIO_BLK_S_IOERR);
			assert_int_equal(fill_and_write(4096), VIRTIO_BLK_S_OK);
			faults_set(&rule, 1);
			assert_int_equal(read_back(4096), VIRTIO_BLK_S_IOERR);
			assert_int_equal(read_back(4096), VIRTIO_BLK_S_OK);
		}
		rig_end(&rig);
	}
	/* Ten errors in a moment: one line, or two should a moment take that long. */
	for (const char *p = rig_log(); (p = strstr(p, " failed at ")); p++)
		n++;
	assert_in_range(n, 1, 2);
	assert_non_null(strstr(rig_log(), "rig: write of 4096 bytes failed at 0: "));
}

/* Half of it is at storage, then an error: the whole fails. */
static void error_in_the_middle(void **state)
{
	static const struct fault rules[] = {
		{ .op = IOL_IO_WRITE, .times = 1, .res = 4096 },
		{ .op = IOL_IO_WRITE, .times = 1, .res = -ENOSPC },
	};
	unsigned int direct;

	for (direct = 0; direct < 2; direct++) {
		start_faulty(1, direct);
		if (!direct)
			misbehave();
		faults_set(rules, 2);
		assert_int_equal(fill_and_write(16384), VIRTIO_BLK_S_IOERR);
		assert_int_equal(fill_and_write(16384), VIRTIO_BLK_S_OK);
		rig_end(&rig);
	}
}

/* After a failed flush of the page cache nobody knows what is stable; of direct I/O one does. */
static void failed_flush(void **state)
{
	static const struct fault rule = { .op = IOL_IO_FLUSH, .times = 1, .res = -EIO };

	start_faulty(1, false);
	faults_set(&rule, 1);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_IOERR);
	assert_non_null(strstr(rig_log(), "every flush fails until the disk is opened again"));
	rig_end(&rig);
	start_faulty(1, true);
	faults_set(&rule, 1);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0), VIRTIO_BLK_S_OK);
	rig_end(&rig);
}

/* With the cache off a write is stable when it ends, and zeroes by the flush after them. */
static void cache_off(void **state)
{
	const uint32_t at = offsetof(struct virtio_blk_config, wce);
	const uint8_t off = 0, on = 1;
	const struct {
		uint64_t sector;
		uint32_t sectors, flags;
	} zero = { 0, 64, 0 };
	unsigned int direct;

	for (direct = 0; direct < 2; direct++) {
		start_faulty(1, direct);
		misbehave();
		assert_int_equal(fill_and_write(4096), 0);
		assert_int_equal(faults_seen(FAULTS_STABLE), 0);
		assert_int_equal(iol_disk_set_config(rig.disk, at, &off, 1), 0);
		assert_int_equal(fill_and_write(4096), 0);
		assert_true(faults_seen(FAULTS_STABLE) > 0);
		assert_int_equal(faults_seen(IOL_IO_FLUSH), 0);
		memcpy(rig_data(&rig, 0, 2 * MIB), &zero, sizeof(zero));
		assert_int_equal(
			rig_do(&rig, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, 2 * MIB, sizeof(zero)), 0);
		assert_true(faults_seen(IOL_IO_FLUSH) > 0);
		assert_int_equal(iol_disk_set_config(rig.disk, at, &on, 1), 0);
		faults_set(NULL, 0);
		assert_int_equal(fill_and_write(4096), 0);
		assert_int_equal(faults_seen(FAULTS_STABLE), 0);
		rig_end(&rig);
	}
}

struct range {
	uint64_t sector;
	uint32_t sectors, flags;
};

static int do_range(uint32_t type, const struct range *r)
{
	memcpy(rig_data(&rig, 0, 2 * MIB), r, sizeof(*r));
	return rig_do(&rig, 0, type, 0, 2 * MIB, sizeof(*r));
}

/* Storage that knows no ranges: zeroes are written, a discard is let be. */
static void no_ranges(void **state)
{
	static const struct fault rules[] = {
		{ .op = IOL_IO_ZERO, .times = 100, .res = -EOPNOTSUPP },
		{ .op = IOL_IO_UNMAP, .times = 100, .res = -EOPNOTSUPP },
		{ .op = IOL_IO_DISCARD, .times = 100, .res = -EOPNOTSUPP },
		{ .op = IOL_IO_WRITE, .skip = 1, .times = 1, .res = 4096 },
	};
	static const struct fault io_error[] = {
		{ .op = IOL_IO_DISCARD, .times = 1, .res = -EIO },
		{ .op = IOL_IO_ZERO, .times = 1, .res = -EIO },
	};
	const struct range most = { 8, 6000, 0 };
	const struct range unmap = { 0, 8, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP };
	uint8_t *in;
	uint32_t i;

	start_faulty(1, true);
	rig.disk->discard = true;
	in = rig_data(&rig, 0, 4 * MIB);
	memset(rig_data(&rig, 0, 0), 0xcc, 4 * MIB);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_OUT, 0, 0, 4 * MIB), 0);
	faults_set(rules, 4);
	assert_int_equal(do_range(VIRTIO_BLK_T_WRITE_ZEROES, &most), 0);
	assert_true(faults_seen(IOL_IO_WRITE) >= 3);
	assert_int_equal(do_range(VIRTIO_BLK_T_WRITE_ZEROES, &unmap), 0);
	assert_int_equal(do_range(VIRTIO_BLK_T_DISCARD, &most), 0);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, 0, 4 * MIB, 4 * MIB), 0);
	for (i = 0; i < 4 * MIB && in[i] == (i < 6008 * 512 ? 0 : 0xcc); i++)
		;
	assert_int_equal(i, 4 * MIB);
	faults_set(io_error, 2);
	assert_int_equal(do_range(VIRTIO_BLK_T_DISCARD, &most), VIRTIO_BLK_S_IOERR);
	assert_int_equal(do_range(VIRTIO_BLK_T_WRITE_ZEROES, &most), VIRTIO_BLK_S_IOERR);
	rig_end(&rig);
}

/* Writes that overlap go to storage one after the other, in order; others don't wait. */
static void overlaps(void **state)
{
	static const struct fault hold = { .op = IOL_IO_WRITE, .times = 1, .hold = true };
	unsigned int i;

	start_faulty(1, true);
	faults_set(&hold, 1);
	send_write(0, 0, 8, 1, 8192); /* held by storage: sectors 8 to 23 */
	wait_held(1);
	send_write(0, 1, 16, 2, 8192); /* 16 to 31: overlaps the first */
	send_write(0, 2, 24, 3, 8192); /* 24 to 39: overlaps the second, which waits */
	send_write(0, 3, 40, 4, 4096); /* free to go */
	assert_int_equal(rig_wait(&rig, 0, NULL), 3);
	/* Only those two have been at storage. */
	assert_int_equal(faults_seen(IOL_IO_WRITE), 2);
	faults_release();
	for (i = 0; i < 3; i++)
		assert_int_equal(rig_wait(&rig, 0, NULL), i);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, 8, MIB, 20480), 0);
	for (i = 0; i < 20480; i++) {
		uint32_t sector = 8 + i / 512;
		uint8_t want = sector < 16 ? 1 : sector < 24 ? 2 : sector < 40 ? 3 : 4;

		assert_int_equal(rig_data(&rig, 0, MIB)[i], want);
	}
	rig_end(&rig);
}

/* A range is a write too, and a read is none. */
static void ranges_overlap(void **state)
{
	static const struct fault hold = { .op = IOL_IO_WRITE, .times = 1, .hold = true };
	const struct range zero = { 0, 64, 0 };
	struct rig_req req = {
		.type = VIRTIO_BLK_T_WRITE_ZEROES, .data = 2 * MIB, .len = 16, .slot = 1
	};
	struct rig_req read = { .type = VIRTIO_BLK_T_IN, .data = MIB, .len = 4096, .slot = 2 };

	start_faulty(1, true);
	faults_set(&hold, 1);
	send_write(0, 0, 8, 0x55, 4096);
	wait_held(1);
	memcpy(rig_data(&rig, 0, 2 * MIB), &zero, sizeof(zero));
	rig_send(&rig, 0, &req);
	rig_send(&rig, 0, &read);
	assert_int_equal(rig_wait(&rig, 0, NULL), 2);
	assert_int_equal(faults_seen(IOL_IO_ZERO), 0);
	faults_release();
	assert_int_equal(rig_wait(&rig, 0, NULL), 0);
	assert_int_equal(rig_wait(&rig, 0, NULL), 1);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, 8, MIB, 4096), 0);
	assert_int_equal(rig_data(&rig, 0, MIB)[0], 0);
	rig_end(&rig);
}

/* Storage hangs, and lets itself be canceled: nothing is answered, and the next start replays it. */
static void stop_cancels(void **state)
{
	static const struct fault hold = { .op = IOL_IO_WRITE, .times = 1, .hold = true };
	struct rig_req read = { .type = VIRTIO_BLK_T_IN, .data = MIB, .len = 4096, .slot = 3 };
	uint32_t len;

	start_faulty(1, true);
	faults_set(&hold, 1);
	send_write(0, 0, 8, 1, 4096);
	wait_held(1);
	send_write(0, 1, 8, 2, 8192);  /* waits for the first, and is given up with it */
	send_write(0, 2, 16, 3, 4096); /* waits for the second, and must not take its turn */
	rig_send(&rig, 0, &read);
	assert_int_equal(rig_wait(&rig, 0, NULL), 3); /* so all of them were taken */
	rig_queue_stop(&rig, 0);
	assert_non_null(strstr(rig_log(), "has not answered for 200 ms; canceling"));
	assert_null(strstr(rig_log(), "would not give back"));
	assert_int_equal(faults_seen(IOL_IO_WRITE), 1);
	assert_int_equal(iol_driver_inflight(rig.q[0].driver), 3);
	/* The ring was stopped in good order, so its log has them all, oldest first. */
	assert_int_equal(rig_queue_start(&rig, 0), 0);
	assert_int_equal(rig_wait(&rig, 0, &len), 0);
	assert_int_equal(rig_wait(&rig, 0, &len), 1);
	assert_int_equal(rig_wait(&rig, 0, &len), 2);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, 8, MIB, 4096), 0);
	assert_int_equal(rig_data(&rig, 0, MIB)[0], 2);
	rig_end(&rig);
}

/* Storage hangs for good: the queue stops all the same, and the disk does not start till it is over. */
static void stop_abandons(void **state)
{
	static const struct fault hold = { .op = -1, .times = 2, .hold = true };
	struct rig_req read = { .type = VIRTIO_BLK_T_IN, .data = MIB, .len = 4096, .slot = 1 };
	unsigned int i;

	start_faulty(1, true);
	faults_set(&hold, 1);
	faults_stubborn(true);
	send_write(0, 0, 8, 1, 4096);
	rig_send(&rig, 0, &read);
	wait_held(2);
	rig_queue_stop(&rig, 0);
	assert_non_null(strstr(rig_log(), "2 operations that storage would not give back"));
	assert_non_null(strstr(rig_log(), "keeping the lock of"));
	assert_int_equal(iol_disk_zombies(rig.disk), 2);
	assert_int_equal(rig_queue_start(&rig, 0), -EBUSY);
	assert_non_null(strstr(iol_error(), "storage still has 2 operations from before"));
	assert_int_equal(iol_driver_inflight(rig.q[0].driver), 2);
	faults_release();
	for (i = 0; i < 2000 && iol_disk_zombies(rig.disk); i++)
		usleep(1000);
	assert_non_null(strstr(rig_log(), "storage has given back all"));
	/* Not a word of it reached the ring. */
	assert_int_equal(rig_status(&rig, 0, 0), 0xee);
	assert_int_equal(rig_status(&rig, 0, 1), 0xee);
	assert_int_equal(rig_queue_start(&rig, 0), 0);
	assert_true(rig_wait(&rig, 0, NULL) >= 0);
	assert_true(rig_wait(&rig, 0, NULL) >= 0);
	assert_int_equal(rig_status(&rig, 0, 0), 0);
	assert_int_equal(rig_status(&rig, 0, 1), 0);
	rig_end(&rig);
}

/*
 * A write that the data thread makes itself blocks, with more chains behind it: control does without
 * the thread, stops both of its queues and starts again when storage answers.
 */
static void stop_while_blocked(void **state)
{
	static const struct fault hold = { .op = IOL_IO_WRITE, .times = 1, .hold = true };
	unsigned int i;

	start_faulty(1, false);
	misbehave();
	assert_int_equal(rig_queue_start(&rig, 1), 0);
	faults_set(&hold, 1);
	send_write(0, 0, 8, 1, 4096);
	wait_held(1);
	send_write(0, 1, 8, 2, 4096);
	rig_queue_stop(&rig, 1);
	/* That one had nothing at storage, and did not have to wait for the thread to say so. */
	assert_null(strstr(rig_log(), "queue 1 stops, but"));
	rig_queue_stop(&rig, 0);
	assert_int_equal(iol_disk_zombies(rig.disk), 1);
	assert_int_equal(rig_queue_start(&rig, 0), -EBUSY);
	faults_release();
	for (i = 0; i < 2000 && iol_disk_zombies(rig.disk); i++)
		usleep(1000);
	assert_int_equal(rig_status(&rig, 0, 0), 0xee);
	assert_int_equal(rig_queue_start(&rig, 0), 0);
	assert_int_equal(rig_wait(&rig, 0, NULL), 0);
	assert_int_equal(rig_wait(&rig, 0, NULL), 1);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, 8, MIB, 4096), 0);
	assert_int_equal(rig_data(&rig, 0, MIB)[0], 2);
	rig_end(&rig);
}

static void add_one(void *arg)
{
	__atomic_add_fetch((unsigned int *)arg, 1, __ATOMIC_SEQ_CST);
}

static void *call_add_one(void *arg)
{
	iol_disk_queue_call(rig.disk, 0, add_one, arg);
	return NULL;
}

/* A caller gives up on a blocked thread just when that goes on, takes the message, and blocks again. */
static void lent_too_late(void **state)
{
	static const struct fault hold = { .op = IOL_IO_WRITE, .times = 1, .hold = true };
	pthread_mutex_t *borrow;
	unsigned int i, n = 0;
	pthread_t id;

	start_faulty(1, false);
	misbehave();
	borrow = &rig.threads->thread[0].borrow;
	faults_set(&hold, 1);
	send_write(0, 0, 8, 1, 4096);
	wait_held(1);
	pthread_mutex_lock(borrow);
	assert_int_equal(pthread_create(&id, NULL, call_add_one, &n), 0);
	/* Time for the caller to lose its patience; if it does not, this shows nothing. */
	usleep(200000);
	faults_release();
	for (i = 0; i < 2000 && !__atomic_load_n(&n, __ATOMIC_SEQ_CST); i++)
		usleep(1000);
	assert_int_equal(rig_wait(&rig, 0, NULL), 0);
	/* After a stall the pool makes the writes for 50 ms. */
	usleep(200000);
	faults_set(&hold, 1);
	send_write(0, 1, 8, 2, 4096);
	wait_held(1);
	pthread_mutex_unlock(borrow);
	assert_int_equal(pthread_join(id, NULL), 0);
	faults_release();
	assert_int_equal(rig_wait(&rig, 0, NULL), 1);
	assert_int_equal(n, 1);
	rig_end(&rig);
}

/* The end of the program does not wait for ever for a write that the data thread makes itself. */
static void end_while_blocked(void **state)
{
	static const struct fault hold = { .op = IOL_IO_WRITE, .times = 1, .hold = true };
	static struct iol_blk_threads *left_behind; /* for the leak checker to find */
	unsigned int i;

	start_faulty(1, false);
	misbehave();
	left_behind = rig.threads;
	faults_set(&hold, 1);
	send_write(0, 0, 8, 1, 4096);
	wait_held(1);
	rig_queue_stop(&rig, 0);
	iol_disk_unref(rig.disk);
	rig.disk = NULL;
	iol_blk_threads_destroy(&rig.threads);
	assert_non_null(left_behind);
	assert_non_null(strstr(rig_log(), "are left behind"));
	faults_release();
	for (i = 0; i < 2000 && !strstr(rig_log(), "has given back all"); i++)
		usleep(1000);
	assert_non_null(strstr(rig_log(), "has given back all"));
	rig_end(&rig);
}

/* The image is shorter than the disk thinks: an error, and no endless loop. */
static void truncated_image(void **state)
{
	unsigned int direct;

	for (direct = 0; direct < 2; direct++) {
		start_faulty(1, direct);
		assert_int_equal(truncate(path, MIB), 0);
		assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, 4096, 0, 4096),
				 VIRTIO_BLK_S_IOERR);
		assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, 2040, 0, 8192),
				 VIRTIO_BLK_S_IOERR);
		assert_int_equal(truncate(path, 8 * MIB), 0);
		rig_end(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(short_transfers, end),
		cmocka_unit_test_teardown(short_bounces, end),
		cmocka_unit_test_teardown(try_again, end),
		cmocka_unit_test_teardown(errors, end),
		cmocka_unit_test_teardown(error_in_the_middle, end),
		cmocka_unit_test_teardown(failed_flush, end),
		cmocka_unit_test_teardown(cache_off, end),
		cmocka_unit_test_teardown(no_ranges, end),
		cmocka_unit_test_teardown(overlaps, end),
		cmocka_unit_test_teardown(ranges_overlap, end),
		cmocka_unit_test_teardown(stop_cancels, end),
		cmocka_unit_test_teardown(stop_abandons, end),
		cmocka_unit_test_teardown(stop_while_blocked, end),
		cmocka_unit_test_teardown(lent_too_late, end),
		cmocka_unit_test_teardown(end_while_blocked, end),
		cmocka_unit_test_teardown(truncated_image, end),
	};

	image_size = 8 * MIB;
	return cmocka_run_group_tests(tests, make_image, drop_image);
}
