/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * iolane-blk killed with SIGKILL while a guest writes, and started again on the same socket: every
 * request gets its used entry exactly once, and what was written is there.
 */
#include "rig.h"

#include "vhost-user/inflight_priv.h"
#include "vhost-user/track.h"
#include "vmm-glue/frontend.h"

#include <endian.h>
#include <linux/virtio_ring.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define BLOCK  RIG_BLOCK
#define ROUNDS 12

static void killed_and_started_again(void **state)
{
	unsigned int i, round;

	for (i = 0; i < 4; i++) {
		struct rig_spec spec = { .program = true,
					 .track = true,
					 .queues = 4,
					 .threads = 2,
					 .packed = i & 1,
					 .event_idx = i & 1,
					 .indirect = i & 2 };
		struct rig *r = rig_up(&spec);
		struct rig_story story = { 0 };

		rig_works(r);
		for (round = 1; round <= ROUNDS; round++) {
			rig_write_all(r, &story, round);
			/* At once, or after some were done: each round catches it elsewhere. */
			if (round % 3)
				usleep(round * 50);
			rig_stop_backend(r, SIGKILL);
			assert_int_equal(iol_frontend_poll(r->fe, RIG_WAIT), -ENOTCONN);
			rig_start_backend(r);
			assert_int_equal(iol_frontend_reconnect(r->fe), 0);
			rig_take_all(r, &story);
		}
		assert_int_equal(r->failures, 0);
		rig_works(r);
		rig_down(&r);
	}
}

/*
 * All queues write to one place: what is there in the end was written whole, and after what was answered
 * before the last round.
 */
static void killed_while_queues_overlap(void **state)
{
	unsigned int i, n, q, round;

	for (i = 0; i < 4; i++) {
		struct rig_spec spec = { .program = true,
					 .track = true,
					 .queues = RIG_QUEUES,
					 .threads = 1 + (i & 1),
					 .packed = i & 2 };
		struct rig *r = rig_up(&spec);

		for (round = 1; round <= ROUNDS; round++) {
			bool found = false;

			for (n = 0; n < 4 * RIG_QUEUES; n++) {
				struct iol_driver_seg seg = { .addr = r->buf_addr + n * BLOCK,
							      .len = BLOCK };

				rig_fill(r->buf + n * BLOCK, BLOCK, round * 100 + n);
				rig_send(r, n % RIG_QUEUES, n, VIRTIO_BLK_T_OUT, 0, &seg, 1);
			}
			if (round % 3)
				usleep(round * 20);
			rig_stop_backend(r, SIGKILL);
			assert_int_equal(iol_frontend_poll(r->fe, RIG_WAIT), -ENOTCONN);
			rig_start_backend(r);
			assert_int_equal(iol_frontend_reconnect(r->fe), 0);
			for (q = 0; q < RIG_QUEUES; q++) {
				for (n = 0; n < 4; n++) {
					uint8_t status;

					rig_take(r, q, &status, NULL);
					assert_int_equal(status, VIRTIO_BLK_S_OK);
				}
				assert_int_equal(iol_driver_inflight(r->queue[q]->driver), 0);
			}
			/* The last of some queue's. */
			for (n = 3 * RIG_QUEUES; n < 4 * RIG_QUEUES && !found; n++)
				found = rig_disk_is(r, 0, BLOCK, round * 100 + n);
			assert_true(found);
		}
		rig_down(&r);
	}
}

/* Killed while it has what it found in the log and has not given it back yet. */
static void killed_again_while_it_recovers(void **state)
{
	unsigned int packed, round;

	for (packed = 0; packed < 2; packed++) {
		struct rig_spec spec = {
			.program = true, .track = true, .queues = 4, .packed = packed
		};
		struct rig *r = rig_up(&spec);
		struct rig_story story = { 0 };

		rig_write_all(r, &story, 1);
		for (round = 0; round < 8; round++) {
			rig_stop_backend(r, SIGKILL);
			assert_int_equal(iol_frontend_poll(r->fe, RIG_WAIT), -ENOTCONN);
			rig_start_backend(r);
			assert_int_equal(iol_frontend_reconnect(r->fe), 0);
		}
		rig_take_all(r, &story);
		rig_works(r);
		rig_down(&r);
	}
}

/* In good order it gives back all that it took, and the next one goes on there. */
static void ended_and_started_again(void **state)
{
	unsigned int packed, round;

	for (packed = 0; packed < 2; packed++) {
		struct rig_spec spec = { .program = true,
					 .track = true,
					 .queues = 2,
					 .packed = packed,
					 .event_idx = true };
		struct rig *r = rig_up(&spec);
		struct rig_story story = { 0 };

		for (round = 1; round <= 4; round++) {
			rig_write_all(r, &story, round);
			rig_stop_backend(r, SIGTERM);
			assert_int_equal(iol_frontend_poll(r->fe, RIG_WAIT), -ENOTCONN);
			rig_start_backend(r);
			assert_int_equal(iol_frontend_reconnect(r->fe), 0);
			rig_take_all(r, &story);
		}
		rig_down(&r);
	}
}

static void *guest(struct rig *r, uint64_t addr, uint64_t len)
{
	return iol_guest_memory_host(r->mem, addr - (r->spec.iommu ? RIG_IOVA : 0), len);
}

/*
 * The back end is dead, and what was made available last in queue @q becomes what it had taken at @counter
 * and not given back.
 */
static void take_for_the_dead(struct rig *r, unsigned int q, uint64_t counter)
{
	const struct iol_frontend_queue *setup = &r->queue[q]->setup;
	const struct vring_avail *avail = guest(r, setup->avail, 6 + 2 * RIG_RING);
	const struct vring_used *used = guest(r, setup->used, 4);
	uint16_t head = le16toh(avail->ring[(le16toh(avail->idx) - 1) % RIG_RING]);
	const struct vhost_user_inflight *in = &r->fe->inflight;
	struct iol_inflight *inflight = NULL;
	struct iol_log_split *log;
	bool broken = false;

	assert_int_equal(iol_inflight_map(dup(r->fe->inflight_fd), in->mmap_size, in->mmap_offset,
					  in->num_queues, in->queue_size, false, -1, &broken,
					  &inflight),
			 0);
	log = iol_inflight_queue(inflight, q);
	assert_int_equal(log->version, IOL_TRACK_VERSION);
	log->used_idx = le16toh(used->idx);
	log->desc[head].counter = counter;
	log->desc[head].inflight = 1;
	iol_inflight_destroy(&inflight);
}

static void send_block(struct rig *r, unsigned int q, uint32_t seed)
{
	struct iol_driver_seg seg = { .addr = r->buf_addr + q * BLOCK, .len = BLOCK };

	rig_fill(r->buf + q * BLOCK, BLOCK, seed);
	rig_send(r, q, q, VIRTIO_BLK_T_OUT, 0, &seg, 1);
}

/*
 * Queues are started together and enabled one by one, as VMMs do. The first that is enabled has new writes, the
 * last an old one of the dead process, to one place: the new ones wait for the old one, or until the queue
 * that has it is stopped. So do those that a queue enabled before has to do again and that are newer.
 */
static void nothing_new_before_what_is_old(void **state)
{
	unsigned int i;

	for (i = 0; i < 8; i++) {
		struct rig_spec spec = { .program = true,
					 .track = true,
					 .queues = 3,
					 .threads = 1 + (i & 1),
					 .iommu = i & 2 };
		struct rig *r = rig_up(&spec);
		uintptr_t slot;
		uint32_t len;
		unsigned int n;

		rig_works(r);
		rig_stop_backend(r, SIGKILL);
		assert_int_equal(iol_frontend_poll(r->fe, RIG_WAIT), -ENOTCONN);
		send_block(r, 2, 1);
		take_for_the_dead(r, 2, 1);
		send_block(r, 1, 2);
		take_for_the_dead(r, 1, 2);
		send_block(r, 0, 3);
		r->fe->queues[2].enabled = false;
		rig_start_backend(r);
		assert_int_equal(iol_frontend_reconnect(r->fe), 0);
		/* Time enough for what must not be done to be done. */
		for (n = 0; n < 10; n++)
			assert_true(iol_frontend_poll(r->fe, 5) >= 0);
		assert_int_equal(iol_driver_used(r->queue[0]->driver, &slot, &len), 0);
		assert_int_equal(iol_driver_used(r->queue[1]->driver, &slot, &len), 0);
		if (i & 4) {
			assert_int_equal(iol_frontend_queue_stop(r->fe, 2, NULL), 0);
		} else {
			assert_int_equal(iol_frontend_queue_enable(r->fe, 2, true), 0);
			assert_int_equal(rig_take(r, 2, NULL, NULL), 2);
		}
		assert_int_equal(rig_take(r, 1, NULL, NULL), 1);
		assert_int_equal(rig_take(r, 0, NULL, NULL), 0);
		assert_true(rig_disk_is(r, 0, BLOCK, 3));
		rig_down(&r);
	}
}

/*
 * With a front end that keeps no inflight log, a split ring goes on at its used index. One request in
 * flight is all that it can tell about; it is made again.
 */
static void killed_without_a_log(void **state)
{
	struct rig_spec spec = { .program = true, .event_idx = true };
	struct rig *r = rig_up(&spec);
	unsigned int round;
	uint8_t status;

	for (round = 0; round < ROUNDS; round++) {
		struct iol_driver_seg seg = { .addr = r->buf_addr, .len = BLOCK };

		rig_fill(r->buf, BLOCK, round);
		rig_send(r, 0, round, VIRTIO_BLK_T_OUT, 0, &seg, 1);
		rig_stop_backend(r, SIGKILL);
		assert_int_equal(iol_frontend_poll(r->fe, RIG_WAIT), -ENOTCONN);
		rig_start_backend(r);
		assert_int_equal(iol_frontend_reconnect(r->fe), 0);
		assert_int_equal(rig_take(r, 0, &status, NULL), round);
		assert_int_equal(status, VIRTIO_BLK_S_OK);
		assert_true(rig_disk_is(r, 0, BLOCK, round));
		assert_int_equal(iol_driver_inflight(r->queue[0]->driver), 0);
	}
	rig_works(r);
	rig_down(&r);
}

/* The guest has turned the write cache off, and nobody will say so again. */
static void the_cache_stays_off(void **state)
{
	struct rig_spec spec = { .program = true, .track = true };
	struct rig *r = rig_up(&spec);
	const uint32_t at = offsetof(struct virtio_blk_config, wce);
	uint8_t on = 0;

	for (on = 0; on < 2; on++) {
		uint8_t is = !on;

		assert_int_equal(iol_frontend_set_config(r->fe, at, &on, 1), 0);
		rig_works(r);
		rig_stop_backend(r, SIGKILL);
		assert_int_equal(iol_frontend_poll(r->fe, RIG_WAIT), -ENOTCONN);
		rig_start_backend(r);
		assert_int_equal(iol_frontend_reconnect(r->fe), 0);
		assert_int_equal(iol_frontend_get_config(r->fe, at, &is, 1), 0);
		assert_int_equal(is, on);
		rig_works(r);
	}
	rig_down(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_and_started_again),
		cmocka_unit_test(killed_while_queues_overlap),
		cmocka_unit_test(killed_again_while_it_recovers),
		cmocka_unit_test(ended_and_started_again),
		cmocka_unit_test(nothing_new_before_what_is_old),
		cmocka_unit_test(killed_without_a_log),
		cmocka_unit_test(the_cache_stays_off),
	};

	if (!getenv("IOLANE_BLK")) {
		print_message("skipped: iolane-blk was not built\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
