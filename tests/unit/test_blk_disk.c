/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk as its device sees it: what is refused, config space, the cache, size, threads. */
#include "base/clock.h"
#include "base/error.h"
#include "blk_group.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define BIT(n) (1ull << (n))

static void refused(void **state)
{
	char odd[64], fifo[64];
	const struct {
		const char *file;
		struct iol_disk_spec disk;
		int rc;
		const char *says;
	} cases[] = {
		{ "no/such.img", { 0 }, -ENOENT, "does not exist; make it first" },
		{ ".", { 0 }, -EISDIR, "is a directory; give an image file" },
		{ "/dev/null", { 0 }, -ENOTBLK, "neither a file nor a block device" },
		{ fifo, { 0 }, -ENOTBLK, "neither a file nor a block device" },
		{ odd, { 0 }, -EINVAL, "is no multiple of its block size, 512" },
		{ "", { 0 }, -EINVAL, "a disk needs an image file" },
		{ path, { .block_size = 1024 }, -EINVAL, "neither 512 nor 4096" },
		{ path, { .num_queues = 65 }, -EINVAL, "1 to 64 queues, not 65" },
		{ path, { .serial = "123456789012345678901" }, -EINVAL, "longer than 20" },
		{ path, { .iopoll = true }, -EINVAL, "needs direct I/O" },
		{ path, { .fixed_buffers = true }, -EINVAL, "need direct I/O" },
		{ "null:", { 0 }, -EINVAL, "the size of a null disk" },
		{ "null:0", { 0 }, -EINVAL, "too small" },
		{ "null:1000", { 0 }, -EINVAL, "no multiple" },
		{ "null:1M", { .direct = true }, -EINVAL, "does no I/O" },
	};
	size_t i;

	snprintf(odd, sizeof(odd), "odd.%d.img", (int)getpid());
	snprintf(fifo, sizeof(fifo), "fifo.%d.img", (int)getpid());
	assert_int_equal(mkfifo(fifo, 0600), 0);
	close(open(odd, O_CREAT | O_RDWR, 0600));
	assert_int_equal(truncate(odd, 1000), 0);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig_spec spec = { .file = cases[i].file, .disk = cases[i].disk };

		assert_int_equal(rig_start(&rig, &spec), cases[i].rc);
		if (!strstr(iol_error(), cases[i].says))
			fail_msg("%s: \"%s\"", cases[i].file, iol_error());
		rig_end(&rig);
	}
	unlink(odd);
	unlink(fifo);
}

static void config_space(void **state)
{
	struct rig_spec spec = { .file = path, .disk = { .num_queues = 3, .block_size = 4096 } };
	struct virtio_blk_config c;
	uint8_t raw[IOL_CONFIG_SIZE_MAX];
	uint64_t f;
	int len;

	assert_int_equal(rig_start(&rig, &spec), 0);
	memset(raw, 0xff, sizeof(raw));
	len = iol_disk_get_config(rig.disk, raw);
	assert_int_equal(len, 72);
	assert_int_equal(raw[len], 0xff);
	memcpy(&c, raw, (size_t)len);
	assert_int_equal(c.capacity, 4 * MIB / 512);
	assert_int_equal(c.blk_size, 4096);
	assert_int_equal(c.num_queues, 3);
	assert_int_equal(c.wce, 1);
	assert_int_equal(c.seg_max, 126);
	assert_int_equal(c.max_write_zeroes_seg, IOL_BLK_SEGS_MAX);
	f = iol_disk_features(rig.disk);
	assert_true(f & BIT(VIRTIO_BLK_F_MQ) && f & BIT(VIRTIO_BLK_F_FLUSH));
	assert_false(f & BIT(VIRTIO_BLK_F_RO) || f & BIT(VIRTIO_BLK_F_SECURE_ERASE));
}

static void write_cache(void **state)
{
	struct rig_spec spec = { .file = path };
	uint8_t off = 0, on = 1, bad = 2;
	struct virtio_blk_config c;
	const uint32_t at = offsetof(struct virtio_blk_config, wce);

	assert_int_equal(rig_start(&rig, &spec), 0);
	assert_true(rig.disk->writeback);
	/* Only that byte, and only 0 and 1. */
	assert_int_equal(iol_disk_set_config(rig.disk, at, &bad, 1), -EINVAL);
	assert_int_equal(iol_disk_set_config(rig.disk, at - 1, &off, 1), -EINVAL);
	assert_int_equal(iol_disk_set_config(rig.disk, at, &c, 2), -EINVAL);
	assert_int_equal(iol_disk_set_config(rig.disk, 0, &c, sizeof(c)), -EINVAL);
	assert_true(rig.disk->writeback);
	assert_int_equal(iol_disk_set_config(rig.disk, at, &off, 1), 0);
	assert_false(rig.disk->writeback);
	iol_disk_get_config(rig.disk, &c);
	assert_int_equal(c.wce, 0);
	/* A reset never turns it on behind the driver's back. */
	iol_disk_reset(rig.disk);
	assert_false(rig.disk->writeback);
	assert_int_equal(iol_disk_set_config(rig.disk, at, &on, 1), 0);
	iol_disk_reset(rig.disk);
	assert_true(rig.disk->writeback);
	/* A driver that can't flush never finds a cache, whatever the byte says. */
	iol_disk_set_features(rig.disk, BIT(VIRTIO_BLK_F_CONFIG_WCE));
	assert_false(rig.disk->writeback);
	assert_int_equal(iol_disk_set_config(rig.disk, at, &on, 1), 0);
	assert_false(rig.disk->writeback);
	/* Without CONFIG_WCE nothing may be set. */
	iol_disk_set_features(rig.disk, BIT(VIRTIO_BLK_F_FLUSH));
	assert_true(rig.disk->writeback);
	assert_int_equal(iol_disk_set_config(rig.disk, at, &off, 1), -EINVAL);
	rig_end(&rig);
	spec.disk.writethrough = true;
	assert_int_equal(rig_start(&rig, &spec), 0);
	assert_false(rig.disk->writeback);
	iol_disk_get_config(rig.disk, &c);
	assert_int_equal(c.wce, 0);
}

static void resize(void **state)
{
	struct rig_spec spec = { .file = path };
	uint64_t larger = 8 * MIB, smaller = MIB, odd = 8 * MIB + 100;
	struct rig other;

	assert_int_equal(rig_start(&rig, &spec), 0);
	assert_int_equal(rig_queue_start(&rig, 0), 0);
	assert_int_equal(iol_disk_resize(rig.disk, NULL), 0);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, 8192, 0, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(iol_disk_resize(rig.disk, &larger), 1);
	assert_int_equal(iol_disk_capacity(rig.disk), larger);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_OUT, 8192, 0, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(iol_disk_resize(rig.disk, &smaller), -EINVAL);
	assert_non_null(strstr(iol_error(), "can't shrink"));
	assert_int_equal(iol_disk_resize(rig.disk, &odd), -EINVAL);
	/* Somebody else changed it: grown, then shrunk below what the guest knows. */
	assert_int_equal(truncate(path, 16 * MIB + 100), 0);
	assert_int_equal(iol_disk_resize(rig.disk, NULL), 1);
	assert_int_equal(iol_disk_capacity(rig.disk), 16 * MIB);
	assert_int_equal(truncate(path, 4 * MIB), 0);
	assert_int_equal(iol_disk_resize(rig.disk, NULL), 1);
	assert_non_null(strstr(rig_log(), "shrank from 16777216 to 4194304 bytes"));
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, 8192, 0, 512), VIRTIO_BLK_S_IOERR);
	/* Not by a disk that is not running while another one has the image. */
	assert_int_equal(rig_start(&other, &spec), 0);
	assert_int_equal(iol_disk_resize(other.disk, &larger), -EBUSY);
	rig_queue_stop(&rig, 0);
	assert_int_equal(iol_disk_resize(other.disk, &larger), 1);
	/* The first one sees it when it starts. */
	assert_int_equal(rig_queue_start(&rig, 0), 0);
	assert_int_equal(iol_disk_capacity(rig.disk), larger);
	rig_end(&other);
	assert_int_equal(truncate(path, 4 * MIB), 0);
}

static const struct iol_image_ops *file_ops;

static void *start_disk(void *arg)
{
	return (void *)(intptr_t)iol_disk_start(rig.disk);
}

/* Time enough for a start that would not wait. */
static int grow_slowly(struct iol_image *image, uint64_t size)
{
	usleep(200000);
	return file_ops->grow(image, size);
}

/* A resize that borrows the image's lock doesn't take it from a disk that has just got it. */
static void resize_meets_start(void **state)
{
	struct rig_spec spec = { .file = path, .disk.lock_timeout_ms = 5000 };
	struct iol_image_ops ops;
	uint64_t larger = 6 * MIB;
	struct rig other;
	unsigned int i;
	pthread_t id;
	void *failed;
	int rc;

	assert_int_equal(rig_start(&other, &spec), 0);
	assert_int_equal(rig_queue_start(&other, 0), 0);
	assert_int_equal(rig_start(&rig, &spec), 0);
	file_ops = rig.disk->image->ops;
	ops = *file_ops;
	ops.grow = grow_slowly;
	rig.disk->image->ops = &ops;
	assert_int_equal(pthread_create(&id, NULL, start_disk, NULL), 0);
	for (i = 0; i < 2000 && !strstr(rig_log(), "waiting up to"); i++)
		usleep(1000);
	rig_queue_stop(&other, 0);
	rc = iol_disk_resize(rig.disk, &larger);
	assert_true(rc == -EBUSY || rc == 1);
	assert_int_equal(pthread_join(id, &failed), 0);
	assert_null(failed);
	rig.disk->image->ops = file_ops;
	assert_int_equal(iol_disk_resize(rig.disk, &larger), rc != 1);
	other.disk->lock_timeout_ms = 1;
	assert_int_equal(rig_queue_start(&other, 0), -EBUSY);
	rig_end(&other);
	iol_disk_stop(rig.disk);
	rig_end(&rig);
	assert_int_equal(truncate(path, 4 * MIB), 0);
}

static void null_disk(void **state)
{
	struct rig_spec spec = { .file = "null:1T" };

	assert_int_equal(rig_start(&rig, &spec), 0);
	assert_int_equal(rig_queue_start(&rig, 0), 0);
	assert_int_equal(iol_disk_capacity(rig.disk), 1ull << 40);
	memset(rig_data(&rig, 0, 0), 0x77, 4096);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_OUT, (1ull << 31) - 8, 0, 4096), 0);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, 0, 0, 4096), 0);
	assert_int_equal(rig_data(&rig, 0, 0)[4095], 0x77);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0), 0);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_OUT, 1ull << 31, 0, 512), 1);
	assert_int_equal(iol_disk_resize(rig.disk, &(uint64_t){ 1ull << 41 }), -EINVAL);
}

static void statistics(void **state)
{
	struct rig_spec spec = { .file = path, .threads = 2 };
	struct iol_blk_op_stats s[IOL_BLK_OPS];
	struct iol_blk_thread_stats t;
	unsigned int i;

	assert_int_equal(rig_start(&rig, &spec), 0);
	/* The queues are dealt out. */
	for (i = 0; i < RIG_QUEUES; i++)
		assert_int_equal(rig_queue_start(&rig, i), 0);
	for (i = 0; i < RIG_QUEUES; i++)
		assert_int_equal(iol_disk_queue_thread(rig.disk, i), i % 2);
	for (i = 0; i < 5; i++)
		assert_int_equal(rig_do(&rig, 1, VIRTIO_BLK_T_OUT, 0, 0, 4096), 0);
	assert_int_equal(rig_do(&rig, 1, VIRTIO_BLK_T_IN, 0, 0, 1024), 0);
	assert_int_equal(rig_do(&rig, 1, VIRTIO_BLK_T_IN, 1u << 20, 0, 512), 1);
	assert_int_equal(rig_do(&rig, 1, VIRTIO_BLK_T_FLUSH, 0, 0, 0), 0);
	/* What ended within a turn is counted at its end, which the driver need not wait for. */
	rig_queue_stop(&rig, 1);
	assert_int_equal(iol_disk_queue_thread(rig.disk, 1), -1);
	assert_int_equal(iol_disk_queue_stats(rig.disk, 1, s), 0);
	assert_int_equal(s[IOL_BLK_OP_WRITE].requests, 5);
	assert_int_equal(s[IOL_BLK_OP_WRITE].bytes, 5 * 4096);
	assert_int_equal(s[IOL_BLK_OP_READ].requests, 2);
	assert_int_equal(s[IOL_BLK_OP_READ].bytes, 1024);
	assert_int_equal(s[IOL_BLK_OP_READ].errors, 1);
	assert_int_equal(s[IOL_BLK_OP_FLUSH].requests, 1);
	assert_true(s[IOL_BLK_OP_WRITE].lat_max_ns >= s[IOL_BLK_OP_WRITE].lat_p50_ns);
	assert_true(s[IOL_BLK_OP_WRITE].lat_p50_ns > 0);
	assert_int_equal(iol_disk_queue_stats(rig.disk, 0, s), 0);
	assert_int_equal(s[IOL_BLK_OP_WRITE].requests, 0);
	assert_int_equal(iol_disk_queue_stats(rig.disk, RIG_QUEUES, s), -ENOENT);
	assert_int_equal(iol_blk_threads_stats(rig.threads, 1, &t), 0);
	assert_true(t.turns >= t.useful && t.useful > 0 && t.syscalls > 0);
	assert_int_equal(iol_blk_threads_stats(rig.threads, 2, &t), -ENOENT);
	/* It starts again on the thread with the fewest. */
	assert_int_equal(rig_queue_start(&rig, 1), 0);
	assert_int_equal(iol_disk_queue_thread(rig.disk, 1), 1);
}

/* A queue that nobody kicks is looked at all the same, and an idle thread sleeps. */
static void without_kicks(void **state)
{
	struct rig_spec spec = { .file = path, .no_kick = true };

	assert_int_equal(rig_start(&rig, &spec), 0);
	assert_int_equal(rig_queue_start(&rig, 0), 0);
	usleep(20000);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_OUT, 0, 0, 4096), 0);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_FLUSH, 0, 0, 0), 0);
}

/* Reads that come together go to io_uring together: fewer system calls than reads. */
static void burst(void **state)
{
	struct rig_spec spec = { .file = path, .event_idx = true };
	struct rig_req req = { .type = VIRTIO_BLK_T_IN, .len = 512 };
	struct iol_blk_thread_stats before, after;
	struct rig_queue *q = &rig.q[0];
	uint32_t i, seen = 0;
	int kick;

	assert_int_equal(rig_start(&rig, &spec), 0);
	assert_int_equal(rig_queue_start(&rig, 0), 0);
	for (i = 0; i < 32; i++) {
		memset(rig_data(&rig, 0, 0), (int)i + 1, 512);
		assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_OUT, i, 0, 512), 0);
	}
	usleep(20000);
	iol_blk_threads_stats(rig.threads, 0, &before);
	kick = q->kick;
	q->kick = -1;
	for (i = 0; i < 32; i++) {
		req.slot = i;
		req.sector = i;
		req.data = i * 512;
		rig_send(&rig, 0, &req);
	}
	q->kick = kick;
	eventfd_write(kick, 1);
	for (i = 0; i < 32; i++) {
		long slot = rig_wait(&rig, 0, NULL);

		assert_in_range(slot, 0, 31);
		assert_int_equal(rig_status(&rig, 0, (uint32_t)slot), 0);
		assert_int_equal(rig_data(&rig, 0, (uint32_t)slot * 512)[511], slot + 1);
		seen |= 1u << slot;
	}
	assert_int_equal(seen, UINT32_MAX);
	iol_blk_threads_stats(rig.threads, 0, &after);
	assert_in_range(after.syscalls - before.syscalls, 1, 16);
}

/*
 * A driver without full barriers may take a sleeping thread for one that is awake, and not kick it. When
 * it has slept for a while, the thread looks for itself. Where the test comes too late to be seen by
 * that one look, it tries again.
 */
static void missed_kick(void **state)
{
	struct rig_spec spec = { .file = path, .event_idx = true };
	struct rig_req req = { .type = VIRTIO_BLK_T_IN, .len = 512 };
	struct rig_queue *q = &rig.q[0];
	unsigned int tries, wait;
	uintptr_t cookie;
	uint32_t len;
	int kick;

	assert_int_equal(rig_start(&rig, &spec), 0);
	assert_int_equal(rig_queue_start(&rig, 0), 0);
	for (tries = 0; tries < 20; tries++) {
		assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, 0, 0, 512), 0);
		usleep(500);
		kick = q->kick;
		q->kick = -1;
		rig_send(&rig, 0, &req);
		q->kick = kick;
		for (wait = 0; wait < 200; wait++) {
			if (iol_driver_used(q->driver, &cookie, &len))
				return;
			usleep(1000);
		}
		eventfd_write(kick, 1);
		assert_int_equal(rig_wait(&rig, 0, NULL), 0);
	}
	fail_msg("no request without a kick was seen");
}

static void idle(void **state)
{
	struct rig_spec spec = { .file = path, .poll_us = 100000, .event_idx = true };
	struct iol_blk_thread_stats before, after;
	unsigned int i;

	assert_int_equal(rig_start(&rig, &spec), 0);
	for (i = 0; i < RIG_QUEUES; i++)
		assert_int_equal(rig_queue_start(&rig, i), 0);
	assert_int_equal(rig_do(&rig, 2, VIRTIO_BLK_T_OUT, 0, 0, 4096), 0);
	/* However long it polls, it ends by sleeping until there is something to do. */
	do {
		iol_blk_threads_stats(rig.threads, 0, &before);
		usleep(250000);
		iol_blk_threads_stats(rig.threads, 0, &after);
	} while (before.turns != after.turns);
	assert_int_equal(before.sleeps, after.sleeps);
	assert_int_equal(rig_do(&rig, 3, VIRTIO_BLK_T_IN, 0, 0, 4096), 0);
}

static void add_one(void *arg)
{
	++*(unsigned int *)arg;
}

static void calls(void **state)
{
	struct rig_spec spec = { .file = path };
	unsigned int n = 0, i;

	assert_int_equal(rig_start(&rig, &spec), 0);
	assert_int_equal(rig_queue_start(&rig, 0), 0);
	for (i = 0; i < 1000; i++) {
		iol_disk_queue_call(rig.disk, 0, add_one, &n);
		assert_int_equal(n, i + 1);
		iol_disk_queue_wake(rig.disk, 0);
	}
	/* Of a queue that no thread has, they are the caller's. */
	iol_disk_queue_call(rig.disk, 1, add_one, &n);
	assert_int_equal(n, 1001);
	iol_disk_queue_wake(rig.disk, 1);
}

/* An open disk costs no memory for what its queues might be asked to do. */
static uint64_t resident_bytes(void)
{
	unsigned long size, resident;
	FILE *f = fopen("/proc/self/statm", "re");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu", &size, &resident), 2);
	fclose(f);
	return resident * 4096ull;
}

static void memory(void **state)
{
	struct rig_spec spec = { .file = "null:1G", .ring_size = 1024 };
	uint64_t before = resident_bytes();
	unsigned int i;

	assert_int_equal(rig_start(&rig, &spec), 0);
	for (i = 0; i < RIG_QUEUES; i++)
		assert_int_equal(rig_queue_start(&rig, i), 0);
	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, 0, 0, 4096), 0);
	assert_true(resident_bytes() - before < 8 * MIB);
}

static void bad_threads(void **state)
{
	struct iol_blk_threads_spec spec = { .num = 0 };
	struct iol_blk_threads *t = NULL;

	assert_int_equal(iol_blk_threads_new(&spec, &t), -EINVAL);
	spec.num = 65;
	assert_int_equal(iol_blk_threads_new(&spec, &t), -EINVAL);
	spec.num = 1;
	spec.poll_us = 2000000;
	assert_int_equal(iol_blk_threads_new(&spec, &t), -EINVAL);
	spec.poll_us = IOL_BLK_POLL_DEFAULT;
	spec.engine = IOL_BLK_ENGINE_POOL;
	spec.sqpoll = true;
	assert_int_equal(iol_blk_threads_new(&spec, &t), -EINVAL);
	spec.sqpoll = false;
	assert_int_equal(iol_blk_threads_new(&spec, &t), 0);
	assert_string_equal(iol_blk_threads_engine(t), "pool");
	iol_blk_threads_destroy(&t);
	assert_null(t);
	iol_blk_threads_destroy(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(refused, end),
		cmocka_unit_test_teardown(config_space, end),
		cmocka_unit_test_teardown(write_cache, end),
		cmocka_unit_test_teardown(resize, end),
		cmocka_unit_test_teardown(resize_meets_start, end),
		cmocka_unit_test_teardown(null_disk, end),
		cmocka_unit_test_teardown(statistics, end),
		cmocka_unit_test_teardown(without_kicks, end),
		cmocka_unit_test_teardown(burst, end),
		cmocka_unit_test_teardown(missed_kick, end),
		cmocka_unit_test_teardown(idle, end),
		cmocka_unit_test_teardown(calls, end),
		cmocka_unit_test_teardown(memory, end),
		cmocka_unit_test(bad_threads),
	};

	image_size = 4 * MIB;
	return cmocka_run_group_tests(tests, make_image, drop_image);
}
