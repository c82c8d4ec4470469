/* SPDX-License-Identifier: BSD-3-Clause */
/* The order that the queues of a disk keep among each other, on one thread and on several. */
#include "blk_faults.h"
#include "blk_group.h"

#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Time enough for what must not be done to be done. */
static void nothing_comes(unsigned int q)
{
	uintptr_t cookie;
	uint32_t len;

	usleep(50000);
	assert_int_equal(iol_driver_used(rig.q[q].driver, &cookie, &len), 0);
}

/* ---- replay ---- */

/* A queue that is started, and not in a thread's hands yet, has older chains than the others' new ones. */
static void others_wait_for_a_started_queue(void **state)
{
	unsigned int threads;

	for (threads = 1; threads <= 2; threads++) {
		start_faulty(threads, false);
		misbehave();
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
		assert_int_equal(IOL_STAT_GET(rig.disk->replaying), 0);
		rig_end(&rig);
	}
}

/* Storage hangs in one queue, which is stopped: what it leaves in its log comes before anything new. */
static void others_wait_for_what_a_stop_left(void **state)
{
	static const struct fault hold = { .op = IOL_IO_WRITE, .times = 1, .hold = true };
	unsigned int threads;

	for (threads = 1; threads <= 2; threads++) {
		start_faulty(threads, true);
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

static void logged(const char *line)
{
	unsigned int i;

	for (i = 0; i < 5000 && !strstr(rig_log(), line); i++)
		usleep(1000);
	assert_non_null(strstr(rig_log(), line));
}

/* Whoever reads the log can tell why nothing goes on, and when it does; once. */
static void a_long_wait_is_told(void **state)
{
	static const char line[] = "queue 1 has older ones to do again, and does not run";
	unsigned int i;

	start_faulty(2, false);
	misbehave();
	assert_int_equal(rig_queue_start(&rig, 2), 0);
	iol_disk_replay_at(rig.disk, 1, 5);
	send_write(0, 0, 8, 1, 4096);
	logged(line);
	for (i = 0; i < 10; i++)
		nothing_comes(0);
	assert_null(strstr(strstr(rig_log(), line) + 1, line));
	assert_null(strstr(rig_log(), "go on"));
	iol_disk_replay_at(rig.disk, 1, UINT64_MAX);
	assert_int_equal(rig_wait(&rig, 0, NULL), 0);
	logged("its queues go on");
	rig_end(&rig);
}

/* A driver that breaks the rules in what is to be done again keeps nobody waiting. */
static void a_failed_queue_is_not_waited_for(void **state)
{
	static const struct fault hold = { .op = IOL_IO_WRITE, .times = 1, .hold = true };
	unsigned int i;

	start_faulty(2, true);
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

/* ---- writes that overlap ---- */

/* Queue @q has taken all that was sent before: something that nothing stands in the way of is answered. */
static void all_taken(unsigned int q)
{
	struct rig_req read = { .type = VIRTIO_BLK_T_IN, .data = MIB, .len = 4096, .slot = 9 };

	rig_send(&rig, q, &read);
	assert_int_equal(rig_wait(&rig, q, NULL), 9);
}

static void sectors_are(uint64_t sector, const uint8_t *want, unsigned int n)
{
	unsigned int i;

	assert_int_equal(rig_do(&rig, 0, VIRTIO_BLK_T_IN, sector, MIB, n * 4096), 0);
	for (i = 0; i < n * 4096; i++)
		assert_int_equal(rig_data(&rig, 0, MIB)[i], want[i / 4096]);
}

/* One after the other, in order, whosever they are; others don't wait. */
static void overlaps_across_queues(void **state)
{
	static const struct fault hold = { .op = IOL_IO_WRITE, .times = 1, .hold = true };
	static const uint8_t want[] = { 1, 2, 3, 3, 4 };
	unsigned int threads;

	for (threads = 1; threads <= 2; threads++) {
		start_faulty(threads, true);
		assert_int_equal(rig_queue_start(&rig, 1), 0);
		faults_set(&hold, 1);
		send_write(0, 0, 8, 1, 8192);
		wait_held(1);
		send_write(1, 0, 16, 2, 8192); /* overlaps the first */
		all_taken(1);
		send_write(0, 1, 24, 3, 8192); /* overlaps the second, which waits */
		all_taken(0);
		send_write(1, 1, 40, 4, 4096); /* free to go */
		assert_int_equal(rig_wait(&rig, 1, NULL), 1);
		assert_int_equal(faults_seen(IOL_IO_WRITE), 2);
		faults_release();
		assert_int_equal(rig_wait(&rig, 0, NULL), 0);
		assert_int_equal(rig_wait(&rig, 1, NULL), 0);
		assert_int_equal(rig_wait(&rig, 0, NULL), 1);
		sectors_are(8, want, 5);
		rig_end(&rig);
	}
}

/*
 * A write that a thread makes itself, and is blocked in, when the disk gets its second queue: of another
 * thread, whose writes and ranges wait for it.
 */
static void overlaps_with_a_blocked_thread(void **state)
{
	static const struct fault hold = { .op = IOL_IO_WRITE, .times = 1, .hold = true };
	const struct virtio_blk_discard_write_zeroes zero = { .sector = 8, .num_sectors = 8 };
	struct rig_req zeroes = {
		.type = VIRTIO_BLK_T_WRITE_ZEROES, .data = 2 * MIB, .len = sizeof(zero), .slot = 1
	};
	static const uint8_t want[] = { 0, 2, 2 };

	start_faulty(2, false);
	misbehave();
	faults_set(&hold, 1);
	send_write(0, 0, 8, 1, 8192);
	wait_held(1);
	assert_int_equal(rig_queue_start(&rig, 1), 0);
	assert_int_equal(iol_disk_queue_thread(rig.disk, 1), 1);
	send_write(1, 0, 16, 2, 8192);
	memcpy(rig_data(&rig, 1, 2 * MIB), &zero, sizeof(zero));
	rig_send(&rig, 1, &zeroes);
	send_write(1, 2, 40, 4, 4096);
	assert_int_equal(rig_wait(&rig, 1, NULL), 2);
	nothing_comes(1);
	assert_int_equal(faults_seen(IOL_IO_ZERO), 0);
	faults_release();
	assert_int_equal(rig_wait(&rig, 0, NULL), 0);
	assert_true(rig_wait(&rig, 1, NULL) >= 0);
	assert_true(rig_wait(&rig, 1, NULL) >= 0);
	sectors_are(8, want, 3);
	rig_end(&rig);
}

/* What storage has not answered of a queue that has gone may still reach the image. */
static void overlaps_with_what_was_abandoned(void **state)
{
	static const struct fault hold = { .op = IOL_IO_WRITE, .times = 1, .hold = true };
	static const uint8_t want[] = { 2, 2 };
	unsigned int direct, i;

	for (direct = 0; direct < 2; direct++) {
		start_faulty(2, direct);
		if (!direct)
			misbehave();
		assert_int_equal(rig_queue_start(&rig, 1), 0);
		faults_set(&hold, 1);
		faults_stubborn(true);
		send_write(0, 0, 8, 1, 8192);
		wait_held(1);
		rig_queue_stop(&rig, 0);
		assert_int_equal(iol_disk_zombies(rig.disk), 1);
		send_write(1, 0, 8, 2, 8192);
		nothing_comes(1);
		faults_release();
		assert_int_equal(rig_wait(&rig, 1, NULL), 0);
		for (i = 0; i < 2000 && iol_disk_zombies(rig.disk); i++)
			usleep(1000);
		iol_inflight_forget(rig.inflight, 0);
		assert_int_equal(rig_queue_start(&rig, 0), 0);
		assert_true(rig_wait(&rig, 0, NULL) >= 0);
		assert_int_equal(rig_do(&rig, 1, VIRTIO_BLK_T_OUT, 8, 0, 8192), 0);
		sectors_are(8, want, 2);
		rig_end(&rig);
	}
}

/* Of two that overlap the older is given up, as its queue stops, and done again later: the newer one waits. */
static void overlaps_with_what_was_given_up(void **state)
{
	static const struct fault hold = { .op = IOL_IO_WRITE, .times = 1, .hold = true };
	static const uint8_t want[] = { 1, 3, 4 };
	unsigned int threads;

	for (threads = 1; threads <= 2; threads++) {
		start_faulty(threads, true);
		assert_int_equal(rig_queue_start(&rig, 1), 0);
		faults_set(&hold, 1);
		send_write(0, 0, 8, 1, 8192);
		wait_held(1);
		send_write(0, 1, 16, 2, 8192);
		all_taken(0);
		send_write(1, 0, 16, 3, 4096);
		send_write(1, 1, 24, 4, 4096);
		all_taken(1);
		iol_disk_queue_stop(rig.disk, 0);
		iol_ring_destroy(&rig.q[0].ring);
		rig.q[0].running = false;
		nothing_comes(1);
		assert_int_equal(faults_seen(IOL_IO_WRITE), 1);
		assert_int_equal(rig_queue_start(&rig, 0), 0);
		assert_int_equal(rig_wait(&rig, 0, NULL), 0);
		assert_int_equal(rig_wait(&rig, 0, NULL), 1);
		assert_true(rig_wait(&rig, 1, NULL) >= 0);
		assert_true(rig_wait(&rig, 1, NULL) >= 0);
		sectors_are(8, want, 3);
		rig_end(&rig);
	}
}

/* Storage that answers a write that its thread is blocked in as soon as the stop has canceled the queue. */
static void *answer_late(void *arg)
{
	unsigned int i;

	for (i = 0; i < 2000 && IOL_STAT_GET(rig.disk->replay_at[0]); i++)
		usleep(1000);
	faults_release();
	return NULL;
}

/* What came together with that write, and is begun only then, is left in the log like all else. */
static void a_stop_in_the_middle_of_a_burst(void **state)
{
	static const struct fault hold = { .op = IOL_IO_WRITE, .times = 1, .hold = true };
	static const uint8_t want[] = { 1, 2, 3 };
	pthread_t id;
	int kick;

	start_faulty(1, false);
	misbehave();
	faults_set(&hold, 1);
	kick = rig.q[0].kick;
	rig.q[0].kick = -1;
	send_write(0, 0, 8, 1, 4096);
	send_write(0, 1, 16, 2, 4096);
	rig.q[0].kick = kick;
	send_write(0, 2, 24, 3, 4096);
	wait_held(1);
	assert_int_equal(pthread_create(&id, NULL, answer_late, NULL), 0);
	iol_disk_queue_stop(rig.disk, 0);
	pthread_join(id, NULL);
	assert_int_equal(iol_disk_zombies(rig.disk), 0);
	iol_ring_destroy(&rig.q[0].ring);
	rig.q[0].running = false;
	assert_int_equal(rig_queue_start(&rig, 0), 0);
	assert_int_equal(rig_wait(&rig, 0, NULL), 0);
	assert_int_equal(rig_wait(&rig, 0, NULL), 1);
	assert_int_equal(rig_wait(&rig, 0, NULL), 2);
	sectors_are(8, want, 3);
}

/* Image operations that look who else is there. */
static const struct iol_image_ops *below;
static pthread_mutex_t there_lock = PTHREAD_MUTEX_INITIALIZER;
static struct iol_range there[256];
static unsigned int n_there, together;

static int watched_run(struct iol_image *image, const struct iol_io *io, int rwf)
{
	struct iol_range r = { io->off, io->off + io->len };
	unsigned int i;
	int res;

	if (io->op != IOL_IO_WRITE && io->op != IOL_IO_ZERO)
		return below->run(image, io, rwf);
	pthread_mutex_lock(&there_lock);
	for (i = 0; i < n_there; i++)
		together += there[i].start < r.end && r.start < there[i].end;
	there[n_there++] = r;
	pthread_mutex_unlock(&there_lock);
	sched_yield();
	res = below->run(image, io, rwf);
	pthread_mutex_lock(&there_lock);
	for (i = 0; there[i].start != r.start || there[i].end != r.end; i++)
		;
	there[i] = there[--n_there];
	pthread_mutex_unlock(&there_lock);
	return res;
}

static int watched_size(struct iol_image *image, uint64_t *size)
{
	return below->size(image, size);
}

static const struct iol_image_ops watched = { .run = watched_run, .size = watched_size };

/* Many writes of few blocks from all queues at once. */
static void overlaps_in_a_crowd(void **state)
{
	unsigned int direct, round, q, i, n;

	for (direct = 0; direct < 2; direct++) {
		struct rig_spec spec = { .file = path,
					 .engine = &iol_engine_pool,
					 .threads = 3,
					 .disk.direct = direct };
		uint32_t seed = 1 + direct;

		assert_int_equal(rig_start(&rig, &spec), 0);
		rig.disk->image->resident = false;
		below = rig.disk->image->ops;
		rig.disk->image->ops = &watched;
		for (round = 0; round < 40; round++) {
			/* Queues come when others are at work already. */
			n = round < RIG_QUEUES ? round + 1 : RIG_QUEUES;
			if (round < RIG_QUEUES)
				assert_int_equal(rig_queue_start(&rig, round), 0);
			for (i = 0; i < 16; i++) {
				for (q = 0; q < n; q++) {
					seed = seed * 1664525u + 1013904223u;
					send_write(q, i, 8 * (seed >> 24 & 15), (uint8_t)round,
						   4096u << (seed >> 30));
				}
			}
			for (q = 0; q < n; q++)
				for (i = 0; i < 16; i++)
					assert_true(rig_wait(&rig, q, NULL) >= 0);
		}
		/* After that all threads' work is done and seen. */
		for (q = 0; q < RIG_QUEUES; q++)
			rig_queue_stop(&rig, q);
		assert_int_equal(together, 0);
		assert_int_equal(rig.disk->writes.n, 0);
		rig.disk->image->ops = below;
		rig_end(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(others_wait_for_a_started_queue, end),
		cmocka_unit_test_teardown(others_wait_for_what_a_stop_left, end),
		cmocka_unit_test_teardown(a_long_wait_is_told, end),
		cmocka_unit_test_teardown(a_failed_queue_is_not_waited_for, end),
		cmocka_unit_test_teardown(overlaps_across_queues, end),
		cmocka_unit_test_teardown(overlaps_with_a_blocked_thread, end),
		cmocka_unit_test_teardown(overlaps_with_what_was_abandoned, end),
		cmocka_unit_test_teardown(overlaps_with_what_was_given_up, end),
		cmocka_unit_test_teardown(a_stop_in_the_middle_of_a_burst, end),
		cmocka_unit_test_teardown(overlaps_in_a_crowd, end),
	};

	image_size = 8 * MIB;
	return cmocka_run_group_tests(tests, make_image, drop_image);
}
