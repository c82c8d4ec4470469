/* SPDX-License-Identifier: BSD-3-Clause */
/* A device's life as its front end steers it: what is offered, starting, stopping, coming again. */
#include "full_call.h"
#include "rig.h"

#include "base/clock.h"

#include <endian.h>
#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#define BIT(n)      (1ull << (n))
#define PROTOCOL(n) BIT(VHOST_USER_PROTOCOL_F_##n)

static void what_a_disk_offers(void **state)
{
	struct rig_spec spec = { .queues = 4 };
	struct rig *r = rig_new(&spec);
	struct virtio_blk_config c = { 0 };
	uint8_t all[256];

	rig_start_backend(r);
	r->fe = rig_frontend(r, RIG_WAIT);
	assert_int_equal(iol_frontend_negotiate(r->fe, UINT64_MAX, 0), 0);
	assert_int_equal(iol_frontend_features(r->fe) &
				 (BIT(VIRTIO_BLK_F_RO) | BIT(VIRTIO_BLK_F_SECURE_ERASE) |
				  BIT(VIRTIO_F_IN_ORDER) | BIT(VIRTIO_BLK_F_GEOMETRY)),
			 0);
	/* All that a disk has, and all that the core has. */
	assert_int_equal(~iol_frontend_features(r->fe) &
				 (BIT(VIRTIO_BLK_F_SIZE_MAX) | BIT(VIRTIO_BLK_F_SEG_MAX) |
				  BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_TOPOLOGY) |
				  BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_CONFIG_WCE) |
				  BIT(VIRTIO_BLK_F_MQ) | BIT(VIRTIO_BLK_F_DISCARD) |
				  BIT(VIRTIO_BLK_F_WRITE_ZEROES) | BIT(VIRTIO_F_VERSION_1) |
				  BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_RING_F_EVENT_IDX) |
				  BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_F_RING_RESET) |
				  BIT(VIRTIO_F_ACCESS_PLATFORM) | BIT(VHOST_F_LOG_ALL)),
			 0);
	/* All that this front end has code for; it leaves BACKEND_SEND_FD to those who send some. */
	assert_int_equal(iol_frontend_protocol_features(r->fe),
			 PROTOCOL(MQ) | PROTOCOL(LOG_SHMFD) | PROTOCOL(REPLY_ACK) |
				 PROTOCOL(BACKEND_REQ) | PROTOCOL(CONFIG) |
				 PROTOCOL(INFLIGHT_SHMFD) | PROTOCOL(RESET_DEVICE) |
				 PROTOCOL(CONFIGURE_MEM_SLOTS) | PROTOCOL(STATUS));
	assert_int_equal(iol_frontend_queues_max(r->fe), 4);
	assert_int_equal(iol_frontend_slots_max(r->fe), 509);
	assert_int_equal(iol_frontend_get_config(r->fe, 0, &c, 60), 0);
	assert_int_equal(le64toh(c.capacity), RIG_DISK / 512);
	assert_int_equal(le16toh(c.num_queues), 4);
	assert_int_equal(le32toh(c.blk_size), 512);
	assert_int_equal(c.wce, 1);
	/* Some ask for all there could be. */
	assert_int_equal(iol_frontend_get_config(r->fe, 0, all, sizeof(all)), 0);
	assert_memory_equal(all, &c, 60);
	rig_down(&r);
}

static void the_cache_can_be_switched(void **state)
{
	struct rig_spec spec = { 0 };
	struct rig *r = rig_up(&spec);
	uint32_t wce = offsetof(struct virtio_blk_config, wce);
	uint8_t on = 0, two = 2;

	assert_int_equal(iol_frontend_set_config(r->fe, wce, &on, 1), 0);
	on = 1;
	assert_int_equal(iol_frontend_get_config(r->fe, wce, &on, 1), 0);
	assert_int_equal(on, 0);
	rig_works(r);
	assert_int_equal(iol_frontend_set_config(r->fe, wce, &two, 1), -EREMOTEIO);
	assert_int_equal(iol_frontend_set_config(r->fe, 0, &two, 1), -EREMOTEIO);
	assert_int_equal(iol_frontend_get_config(r->fe, wce, &on, 1), 0);
	assert_int_equal(on, 0);
	rig_works(r);
	rig_down(&r);
}

static void status_and_reset(void **state)
{
	struct rig_spec spec = { .queues = 2 };
	struct rig *r = rig_up(&spec);
	uint8_t status = 0;

	assert_int_equal(iol_frontend_set_status(r->fe, 15), 0);
	assert_int_equal(iol_frontend_get_status(r->fe, &status), 0);
	assert_int_equal(status, 15);
	rig_works(r);
	assert_int_equal(iol_frontend_reset(r->fe), 0);
	assert_int_equal(iol_frontend_get_status(r->fe, &status), 0);
	assert_int_equal(status, 0);
	/* The guest boots again. */
	rig_disconnect(r);
	rig_connect(r);
	rig_make_guest(r);
	rig_works(r);
	rig_down(&r);
}

/* Everything sent comes back before GET_VRING_BASE is answered, and the base tells so. */
static void stopping_drains(void **state)
{
	unsigned int packed, i, round;

	for (packed = 0; packed < 2; packed++) {
		struct rig_spec spec = { .packed = packed, .indirect = true, .event_idx = true };
		struct rig *r = rig_up(&spec);

		for (round = 0; round < 5; round++) {
			uint32_t base = 0;

			for (i = 0; i < RIG_RING; i++) {
				struct iol_driver_seg seg = { .addr = r->buf_addr + i * 4096,
							      .len = 4096 };

				rig_fill(r->buf + i * 4096, 4096, round * 100 + i);
				rig_send(r, 0, i, VIRTIO_BLK_T_OUT, i * 8, &seg, 1);
			}
			assert_int_equal(iol_frontend_queue_stop(r->fe, 0, &base), 0);
			r->queue[0]->setup.base = base;
			/* Taken ones are done; those that it did not take wait in the ring. */
			assert_int_equal(iol_frontend_queue_start(r->fe, 0, &r->queue[0]->setup),
					 0);
			for (i = 0; i < RIG_RING; i++) {
				uint8_t status;
				unsigned int slot = rig_take(r, 0, &status, NULL);

				assert_int_equal(status, VIRTIO_BLK_S_OK);
				assert_true(
					rig_disk_is(r, slot * 4096ull, 4096, round * 100 + slot));
			}
			assert_int_equal(iol_driver_inflight(r->queue[0]->driver), 0);
		}
		assert_int_equal(iol_frontend_suspend(r->fe), 0);
		assert_int_equal(iol_frontend_resume(r->fe), 0);
		rig_works(r);
		rig_down(&r);
	}
}

/* RING_RESET: the driver takes one queue back and sets it up anew in another size; the other goes on. */
static void one_queue_is_reset(void **state)
{
	static const uint16_t sizes[] = { RIG_RING / 2, RIG_RING, RIG_RING / 4 };
	unsigned int packed, i;

	for (packed = 0; packed < 2; packed++) {
		struct rig_spec spec = {
			.queues = 2, .packed = packed, .event_idx = true, .track = true
		};
		struct rig *r = rig_up(&spec);
		struct iol_driver_seg seg = { .addr = r->buf_addr, .len = 4096 };

		assert_true(iol_frontend_features(r->fe) & 1ull << VIRTIO_F_RING_RESET);
		for (i = 0; i < 3; i++) {
			struct iol_guest_queue_spec anew = { .size = sizes[i],
							     .features =
								     iol_frontend_features(r->fe),
							     .segs_max = RIG_SEGS + 2 };

			rig_fill(r->buf, 4096, i);
			rig_send(r, 1, i, VIRTIO_BLK_T_OUT, 64, &seg, 1);
			assert_int_equal(iol_frontend_queue_stop(r->fe, 1, NULL), 0);
			assert_int_equal(rig_write(r, 0, 0, 8192, 4096), VIRTIO_BLK_S_OK);
			iol_guest_queue_destroy(&r->queue[1]);
			assert_int_equal(iol_guest_queue_new(r->mem, &anew, &r->queue[1]), 0);
			assert_int_equal(iol_frontend_queue_start(r->fe, 1, &r->queue[1]->setup),
					 0);
			/* Nothing of the old ring comes back in the new one. */
			assert_int_equal(rig_write(r, 1, 4096, 4096, 4096), VIRTIO_BLK_S_OK);
			assert_int_equal(iol_driver_inflight(r->queue[1]->driver), 0);
			rig_works(r);
		}
		rig_down(&r);
	}
}

static void a_disabled_queue_waits(void **state)
{
	struct rig_spec spec = { .queues = 2, .event_idx = true };
	struct rig *r = rig_up(&spec);
	struct iol_driver_seg seg = { .addr = r->buf_addr, .len = 512 };
	uintptr_t cookie;
	uint32_t len;
	uint8_t status;

	assert_int_equal(iol_frontend_queue_enable(r->fe, 1, false), 0);
	rig_send(r, 1, 5, VIRTIO_BLK_T_OUT, 0, &seg, 1);
	/* The other one works meanwhile, so that there was time. */
	assert_int_equal(rig_write(r, 0, 0, 0, 4096), VIRTIO_BLK_S_OK);
	assert_int_equal(iol_driver_used(r->queue[1]->driver, &cookie, &len), 0);
	assert_int_equal(iol_frontend_queue_enable(r->fe, 1, true), 0);
	assert_int_equal(rig_take(r, 1, &status, NULL), 5);
	assert_int_equal(status, VIRTIO_BLK_S_OK);
	rig_works(r);
	rig_down(&r);
}

/* Without a kick eventfd the back end polls; without a call one the guest does. */
static void without_eventfds(void **state)
{
	struct rig_spec spec = { 0 };
	struct rig *r = rig_up(&spec);
	struct iol_frontend_queue setup = r->queue[0]->setup;
	struct iol_driver_seg seg = { .addr = r->buf_addr, .len = 512 };
	uint64_t end = iol_now() + RIG_WAIT * IOL_NS_PER_MS;
	uintptr_t cookie;
	uint32_t len;
	int rc = 0;

	assert_int_equal(iol_frontend_queue_stop(r->fe, 0, &setup.base), 0);
	setup.kick = setup.call = setup.err = -1;
	assert_int_equal(iol_frontend_queue_start(r->fe, 0, &setup), 0);
	/* Its kick goes to an eventfd that nobody reads. */
	rig_send(r, 0, 1, VIRTIO_BLK_T_OUT, 0, &seg, 1);
	while (!rc && iol_now() < end)
		rc = iol_driver_used(r->queue[0]->driver, &cookie, &len);
	assert_int_equal(rc, 1);
	assert_int_equal(r->request[0][1].status, VIRTIO_BLK_S_OK);
	rig_down(&r);
}

/* A front end that lets its eventfds fill up keeps none waiting but its own device, and that not for long. */
static void eventfds_that_fill_up(void **state)
{
	struct rig_spec spec = { .queues = 2 }, other = { .packed = true };
	struct iol_driver_seg seg = { .len = 512, .write = true };
	struct rig *r = rig_up(&spec), *o;
	unsigned int round;

	other.beside = r;
	o = rig_up(&other);
	seg.addr = r->buf_addr;
	for (round = 0; round < 3; round++) {
		rig_works(r);
		rig_works(o);
		fill_call(r->queue[round % 2]);
		rig_send(r, round % 2, 0, VIRTIO_BLK_T_IN, 0, &seg, 1);
		rig_works(o);
		assert_int_equal(rig_take(r, round % 2, NULL, NULL), 0);
	}
	/* A new descriptor is told while the old one is full. */
	fill_call(r->queue[0]);
	rig_send(r, 0, 0, VIRTIO_BLK_T_IN, 0, &seg, 1);
	assert_int_equal(iol_frontend_suspend(r->fe), 0);
	assert_int_equal(iol_frontend_resume(r->fe), 0);
	assert_int_equal(rig_take(r, 0, NULL, NULL), 0);
	fill_call(r->queue[1]);
	rig_disconnect(r);
	rig_connect(r);
	rig_make_guest(r);
	rig_works(r);
	rig_works(o);
	rig_down(&o);
	rig_down(&r);
}

/* A queue that a guest broke stops alone, and the front end hears of it. */
static void a_broken_queue_is_told(void **state)
{
	unsigned int packed;

	for (packed = 0; packed < 2; packed++) {
		struct rig_spec spec = { .queues = 2, .packed = packed };
		struct rig *r = rig_up(&spec);
		struct iol_driver_seg nowhere = { .addr = RIG_HALF + 4096, .len = 512 };

		rig_send(r, 1, 0, VIRTIO_BLK_T_OUT, 0, &nowhere, 1);
		rig_until(r, &r->failures, 1);
		r->spec.queues = 1;
		rig_works(r);
		assert_int_equal(iol_frontend_queue_stop(r->fe, 1, NULL), 0);
		r->spec.queues = 2;
		/* After a reset the queue is as good as new. */
		assert_int_equal(iol_frontend_reset(r->fe), 0);
		rig_disconnect(r);
		rig_connect(r);
		rig_make_guest(r);
		rig_works(r);
		rig_down(&r);
	}
}

/* ---- connections ---- */

static void a_second_front_end_waits(void **state)
{
	struct rig_spec spec = { 0 };
	struct rig *r = rig_up(&spec);
	struct iol_frontend *second = rig_frontend(r, 200);

	assert_int_equal(iol_frontend_negotiate(second, 0, 0), -ETIMEDOUT);
	iol_frontend_destroy(&second);
	rig_works(r);
	second = rig_frontend(r, RIG_WAIT);
	rig_disconnect(r);
	assert_int_equal(iol_frontend_negotiate(second, 0, 0), 0);
	iol_frontend_destroy(&second);
	rig_connect(r);
	rig_make_guest(r);
	rig_works(r);
	rig_down(&r);
}

static void a_front_end_comes_again(void **state)
{
	unsigned int packed;

	for (packed = 0; packed < 2; packed++) {
		struct rig_spec spec = { .queues = 4, .packed = packed, .track = true };
		struct rig *r = rig_up(&spec);
		unsigned int i;

		for (i = 0; i < 3; i++) {
			rig_works(r);
			assert_int_equal(iol_frontend_reconnect(r->fe), 0);
		}
		rig_works(r);
		rig_down(&r);
	}
}

static void given_a_socket_it_ends_with_it(void **state)
{
	struct rig_spec spec = { .given_fd = true };
	struct rig *r = rig_up(&spec);
	uint64_t end = iol_now() + RIG_WAIT * IOL_NS_PER_MS;

	rig_works(r);
	assert_false(iol_server_finished(r->server));
	rig_disconnect(r);
	while (!iol_server_finished(r->server) && iol_now() < end)
		usleep(1000);
	assert_true(iol_server_finished(r->server));
	rig_down(&r);
}

static void a_client_back_end_comes_to_us(void **state)
{
	struct rig_spec spec = { .client = true };
	struct rig *r = rig_up(&spec);
	unsigned int i;

	for (i = 0; i < 2; i++) {
		rig_works(r);
		assert_int_equal(iol_frontend_reconnect(r->fe), 0);
	}
	rig_works(r);
	/* Back end gone, and a new one. */
	rig_stop_backend(r, SIGTERM);
	assert_int_equal(iol_frontend_poll(r->fe, 1000), -ENOTCONN);
	rig_start_backend(r);
	assert_int_equal(iol_frontend_reconnect(r->fe), 0);
	rig_works(r);
	rig_down(&r);
}

/* ---- resizing ---- */

static uint64_t told_capacity(struct rig *r)
{
	uint64_t sectors = 0;

	assert_int_equal(iol_frontend_get_config(r->fe, 0, &sectors, sizeof(sectors)), 0);
	return le64toh(sectors) * 512;
}

static void a_disk_grows(void **state)
{
	struct rig_spec spec = { 0 };
	struct rig *r = rig_up(&spec);
	uint64_t more = 3 * RIG_DISK;

	/* The rings started before we had read the size, so that we were asked to. */
	rig_until(r, &r->config_changes, 1);
	assert_int_equal(iol_disk_refresh(r->disk, NULL), 0);
	assert_int_equal(rig_write(r, 0, RIG_DISK, 0, 4096), VIRTIO_BLK_S_IOERR);
	/* The image grew by itself. */
	assert_int_equal(ftruncate(r->image_fd, (off_t)(2 * RIG_DISK)), 0);
	assert_int_equal(iol_disk_refresh(r->disk, NULL), 1);
	rig_until(r, &r->config_changes, 2);
	assert_int_equal(told_capacity(r), 2 * RIG_DISK);
	assert_int_equal(rig_write(r, 0, RIG_DISK, 0, 4096), VIRTIO_BLK_S_OK);
	/* We make it grow. */
	assert_int_equal(iol_disk_refresh(r->disk, &more), 1);
	rig_until(r, &r->config_changes, 3);
	assert_int_equal(told_capacity(r), more);
	assert_int_equal(rig_write(r, 0, more - 4096, 0, 4096), VIRTIO_BLK_S_OK);
	more = RIG_DISK;
	assert_true(iol_disk_refresh(r->disk, &more) < 0);
	assert_int_equal(told_capacity(r), 3 * RIG_DISK);
	rig_down(&r);
}

/* Like QEMU, a front end that comes again does not read what it has read once: it must be asked to. */
static void a_disk_grows_while_nobody_looks(void **state)
{
	struct rig_spec spec = { .track = true };
	struct rig *r = rig_up(&spec);
	unsigned int before;

	assert_int_equal(told_capacity(r), RIG_DISK);
	rig_works(r);
	before = r->config_changes;
	assert_int_equal(iol_frontend_reconnect(r->fe), 0);
	rig_works(r);
	assert_int_equal(r->config_changes, before);
	assert_int_equal(ftruncate(r->image_fd, (off_t)(2 * RIG_DISK)), 0);
	assert_int_equal(iol_frontend_reconnect(r->fe), 0);
	rig_until(r, &r->config_changes, before + 1);
	assert_int_equal(told_capacity(r), 2 * RIG_DISK);
	rig_down(&r);
}

static void a_guest_that_cannot_be_told(void **state)
{
	struct rig_spec spec = { .protocol_off = PROTOCOL(BACKEND_REQ) };
	struct rig *r = rig_up(&spec);

	assert_int_equal(ftruncate(r->image_fd, (off_t)(2 * RIG_DISK)), 0);
	assert_int_equal(iol_disk_refresh(r->disk, NULL), -EOPNOTSUPP);
	/* It finds out when it looks. */
	assert_int_equal(told_capacity(r), 2 * RIG_DISK);
	rig_works(r);
	rig_down(&r);
}

/* With as little of the protocol as there can be. */
static void a_plain_front_end(void **state)
{
	struct rig_spec spec = { .protocol_off = ~PROTOCOL(CONFIG) };
	struct rig *r = rig_up(&spec);

	assert_int_equal(iol_frontend_protocol_features(r->fe), PROTOCOL(CONFIG));
	rig_works(r);
	assert_int_equal(iol_frontend_suspend(r->fe), 0);
	assert_int_equal(iol_frontend_resume(r->fe), 0);
	rig_works(r);
	rig_down(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_disk_offers),
		cmocka_unit_test(the_cache_can_be_switched),
		cmocka_unit_test(status_and_reset),
		cmocka_unit_test(stopping_drains),
		cmocka_unit_test(one_queue_is_reset),
		cmocka_unit_test(a_disabled_queue_waits),
		cmocka_unit_test(without_eventfds),
		cmocka_unit_test(eventfds_that_fill_up),
		cmocka_unit_test(a_broken_queue_is_told),
		cmocka_unit_test(a_second_front_end_waits),
		cmocka_unit_test(a_front_end_comes_again),
		cmocka_unit_test(given_a_socket_it_ends_with_it),
		cmocka_unit_test(a_client_back_end_comes_to_us),
		cmocka_unit_test(a_disk_grows),
		cmocka_unit_test(a_disk_grows_while_nobody_looks),
		cmocka_unit_test(a_guest_that_cannot_be_told),
		cmocka_unit_test(a_plain_front_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
