/* SPDX-License-Identifier: BSD-3-Clause */
/* The order that the queues of a disk keep among each other, on one thread and on several. */
#include "blk_faults.h"
#include "blk_rig.h"

#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1u << 20)

static char *path;
static struct rig rig;

static int make_image(void **state)
{
	path = rig_image("blk_order", 8 * MIB);
	return 0;
}

static int drop_image(void **state)
{
	unlink(path);
	free(path);
	return 0;
}

static int end(void **state)
{
	faults_release();
	rig_end(&rig);
	return 0;
}

/* Direct I/O: everything goes to the engine. Otherwise: reads and writes are made where they stand. */
static void setup(unsigned int threads, bool direct)
{
	struct rig_spec spec = {
		.file = path,
		.engine = &faults_engine,
		.threads = threads,
		.tracked = true,
		.disk = { .direct = direct, .stop_timeout_ms = 200, .lock_timeout_ms = 200 },
	};

	faults_set(NULL, 0);
	assert_int_equal(rig_start(&rig, &spec), 0);
	rig.disk->image->resident = false;
	faults_image_of(rig.disk->image->ops);
	assert_int_equal(rig_queue_start(&rig, 0), 0);
}

static void send_write(unsigned int q, uint32_t slot, uint64_t sector, uint8_t byte, uint32_t len)
{
	struct rig_req req = { .type = VIRTIO_BLK_T_OUT,
			       .sector = sector,
			       .slot = slot,
			       .data = slot * 65536,
			       .len = len };

	memset(rig_data(&rig, q, req.data), byte, len);
	rig_send(&rig, q, &req);
}

/* Time enough for what must not be done to be done. */
static void nothing_comes(unsigned int q)
{
	uintptr_t cookie;
	uint32_t len;

	usleep(50000);
	assert_int_equal(iol_driver_used(rig.q[q].driver, &cookie, &len), 0);
}

static void wait_held(unsigned int n)
{
	unsigned int i;

	for (i = 0; i < 2000 && faults_held() != n; i++)
		usleep(1000);
	assert_int_equal(faults_held(), n);
}

/* ---- replay ---- */

/* A queue that is started, and not in a thread's hands yet, has older chains than the others' new ones. */
static void others_wait_for_a_started_queue(void **state)
{
	unsigned int threads;

	for (threads = 1; threads <= 2; threads++) {
		setup(threads, false);
		iol_disk_replay_at(rig.disk, 1, 5);
		send_write(0, 0, 8, 1, 4096);
		nothing_comes(0);
		/* What is left grows newer; it is still there. */
		iol_disk_replay_at(rig.disk, 1, 7);
		nothing_comes(0);
		/* It is not started any more. */
		iol_disk_replay_at(rig.disk, 1, UINT64_MAX);
		assert_int_equal(rig_wait(&rig, 0, NULL), 0);
		/* It runs, and its ring has nothing to do again after all. */
		iol_disk_replay_at(rig.disk, 1, 5);
		send_write(0, 1, 8, 2, 4096);
		nothing_comes(0);
		assert_int_equal(rig_queue_start(&rig, 1), 0);
		assert_int_equal(rig_wait(&rig, 0, NULL), 1);
		assert_int_equal(rig_do(&rig, 1, VIRTIO_BLK_T_IN, 8, MIB, 4096), 0);
		assert_int_equal(rig_data(&rig, 1, MIB)[0], 2);
		assert_int_equal(rig.disk->replaying, 0);
		rig_end(&rig);
	}
}

/* Storage hangs in one queue, which is stopped: what it leaves in its log comes before anything new. */
static void others_wait_for_what_a_stop_left(void **state)
{
	static const struct fault hold = { .op = IOL_IO_WRITE, .times = 1, .hold = true };
	unsigned int threads;

	for (threads = 1; threads <= 2; threads++) {
		setup(threads, true);
		assert_int_equal(rig_queue_start(&rig, 1), 0);
		faults_set(&hold, 1);
		send_write(1, 0, 8, 1, 4096);
		wait_held(1);
		iol_disk_queue_stop(rig.disk, 1);
		send_write(0, 0, 8, 2, 4096);
		nothing_comes(0);
		rig_queue_stop(&rig, 1);
		assert_int_equal(rig_wait(&rig, 0, NULL), 0);
		/* Started anew it is replayed: too late here, as nobody said so before. */
		assert_int_equal(rig_queue_start(&rig, 1), 0);
		assert_int_equal(rig_wait(&rig, 1, NULL), 0);
		assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, 8, MIB, 4096), 0);
		assert_int_equal(rig_data(&rig, 0, MIB)[0], 1);
		rig_end(&rig);
	}
}

/* A driver that breaks the rules in what is to be done again keeps nobody waiting. */
static void a_failed_queue_is_not_waited_for(void **state)
{
	static const struct fault hold = { .op = IOL_IO_WRITE, .times = 1, .hold = true };
	unsigned int i;

	setup(2, true);
	assert_int_equal(rig_queue_start(&rig, 1), 0);
	faults_set(&hold, 1);
	send_write(1, 0, 8, 1, 4096);
	wait_held(1);
	rig_queue_stop(&rig, 1);
	((struct vring_desc *)(void *)rig.q[1].base)->addr = 8;
	assert_int_equal(rig_queue_start(&rig, 1), 0);
	send_write(0, 0, 8, 2, 4096);
	assert_int_equal(rig_wait(&rig, 0, NULL), 0);
	for (i = 0; i < 2000 && !__atomic_load_n(&rig.q[1].failed, __ATOMIC_SEQ_CST); i++)
		usleep(1000);
	assert_true(rig.q[1].failed);
	rig_end(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(others_wait_for_a_started_queue, end),
		cmocka_unit_test_teardown(others_wait_for_what_a_stop_left, end),
		cmocka_unit_test_teardown(a_failed_queue_is_not_waited_for, end),
	};

	return cmocka_run_group_tests(tests, make_image, drop_image);
}
