/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory that comes, goes, is cut into many pieces, or is pulled from under the back end. */
#include "rig.h"

#include "base/clock.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define MIB   (1ull << 20)
#define PLUG  (1ull << 35) /* where memory is plugged, far from the rest */
#define BUSY  8            /* requests kept in flight on queue 1 */
#define PAGES 8            /* of 2 MiB, for a guest and what is plugged into it */

/* Queue 1 always has something to do; its requests live in memory that stays. */
static void busy_send(struct rig *r, unsigned int slot)
{
	struct iol_driver_seg seg = { .addr = r->buf_addr + MIB / 2 + slot * 4096,
				      .len = 4096,
				      .write = slot % 2 };

	rig_send(r, 1, slot, slot % 2 ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, 4096 + slot * 8, &seg,
		 1);
}

static void busy_start(struct rig *r)
{
	unsigned int slot;

	for (slot = 0; slot < BUSY; slot++)
		busy_send(r, slot);
}

static void busy_turn(struct rig *r, bool again)
{
	unsigned int i, slots[BUSY];
	uint8_t status;

	for (i = 0; i < BUSY; i++) {
		slots[i] = rig_take(r, 1, &status, NULL);
		assert_int_equal(status, VIRTIO_BLK_S_OK);
	}
	for (i = 0; again && i < BUSY; i++)
		busy_send(r, slots[i]);
}

/* Write from @gpa and read back to it: everything in between works. */
static void works_at(struct rig *r, uint64_t gpa, uint32_t len, uint32_t seed)
{
	struct iol_driver_seg seg = { .addr = gpa, .len = len };
	uint32_t first = len / 2;
	uint8_t *a = iol_guest_memory_host(r->mem, gpa, first);
	uint8_t *b = iol_guest_memory_host(r->mem, gpa + first, len - first);
	uint8_t data[65536];

	assert_true(len <= sizeof(data));
	assert_non_null(a);
	assert_non_null(b);
	rig_fill(data, len, seed);
	memcpy(a, data, first);
	memcpy(b, data + first, len - first);
	assert_int_equal(rig_request(r, 0, VIRTIO_BLK_T_OUT, 0, &seg, 1), VIRTIO_BLK_S_OK);
	assert_true(rig_disk_is(r, 0, len, seed));
	memset(a, 0, first);
	memset(b, 0, len - first);
	seg.write = true;
	assert_int_equal(rig_request(r, 0, VIRTIO_BLK_T_IN, 0, &seg, 1), VIRTIO_BLK_S_OK);
	assert_memory_equal(a, data, first);
	assert_memory_equal(b, data + first, len - first);
}

static void slots_come_and_go_under_load(void **state)
{
	unsigned int packed, i;

	for (packed = 0; packed < 2; packed++) {
		struct rig_spec spec = {
			.queues = 2, .threads = 2, .packed = packed, .event_idx = true
		};
		struct rig *r = rig_up(&spec);

		busy_start(r);
		for (i = 0; i < 20; i++) {
			uint64_t gpa = PLUG + i % 3 * MIB;

			assert_int_equal(iol_guest_memory_add(r->mem, gpa, MIB, -1, 0), 0);
			assert_int_equal(iol_guest_memory_add(r->mem, gpa + MIB, MIB, -1, 0), 0);
			assert_int_equal(iol_frontend_set_memory(r->fe, r->mem), 0);
			busy_turn(r, true);
			/* A buffer that lies half in one file and half in the next. */
			works_at(r, gpa + MIB - 2048, 4096, i);
			works_at(r, gpa + MIB - 32768, 65536, i + 100);
			assert_int_equal(iol_guest_memory_remove(r->mem, gpa), 0);
			assert_int_equal(iol_frontend_set_memory(r->fe, r->mem), 0);
			works_at(r, gpa + MIB, 4096, i + 200);
			assert_int_equal(iol_guest_memory_remove(r->mem, gpa + MIB), 0);
			assert_int_equal(iol_frontend_set_memory(r->fe, r->mem), 0);
			busy_turn(r, true);
		}
		busy_turn(r, false);
		assert_int_equal(r->failures, 0);
		rig_down(&r);
	}
}

/* What was unplugged is out of reach: the queue that still uses it stops. */
static void unplugged_memory_is_gone(void **state)
{
	struct rig_spec spec = { .queues = 2 };
	struct rig *r = rig_up(&spec);
	struct iol_driver_seg seg = { .addr = PLUG, .len = 4096 };

	assert_int_equal(iol_guest_memory_add(r->mem, PLUG, MIB, -1, 0), 0);
	assert_int_equal(iol_frontend_set_memory(r->fe, r->mem), 0);
	works_at(r, PLUG, 4096, 1);
	assert_int_equal(iol_guest_memory_remove(r->mem, PLUG), 0);
	assert_int_equal(iol_frontend_set_memory(r->fe, r->mem), 0);
	rig_send(r, 1, 0, VIRTIO_BLK_T_OUT, 0, &seg, 1);
	rig_until(r, &r->failures, 1);
	r->spec.queues = 1;
	rig_works(r);
	r->spec.queues = 2;
	rig_down(&r);
}

static void as_many_slots_as_there_are(void **state)
{
	struct rig_spec spec = { 0 };
	struct rig *r = rig_up(&spec);
	unsigned int have = iol_guest_memory_regions(r->mem), i;
	unsigned int slots = iol_frontend_slots_max(r->fe);

	assert_int_equal(slots, 509);
	/* One file holds them all, each beside the next for the guest, and mapped on its own. */
	for (i = have; i < slots; i++)
		assert_int_equal(
			iol_guest_memory_add(r->mem, PLUG + (i - have) * 4096, 4096, -1, 0), 0);
	assert_int_equal(iol_frontend_set_memory(r->fe, r->mem), 0);
	works_at(r, PLUG, 4096, 1);
	works_at(r, PLUG + (slots - have - 1) * 4096ull, 4096, 2);
	/* Half of two neighbours; a middle cut at their border is what works_at() does. */
	works_at(r, PLUG + 100 * 4096 + 2048, 4096, 3);
	assert_int_equal(iol_guest_memory_add(r->mem, PLUG + MIB * 512, 4096, -1, 0), 0);
	assert_int_equal(iol_frontend_set_memory(r->fe, r->mem), -ENOSPC);
	assert_int_equal(iol_guest_memory_remove(r->mem, PLUG + MIB * 512), 0);
	/* All of them again, after the connection was lost. */
	assert_int_equal(iol_frontend_reconnect(r->fe), 0);
	works_at(r, PLUG + (slots - have - 1) * 4096ull, 4096, 4);
	for (i = have; i < slots; i++)
		assert_int_equal(iol_guest_memory_remove(r->mem, PLUG + (i - have) * 4096), 0);
	assert_int_equal(iol_frontend_set_memory(r->fe, r->mem), 0);
	rig_works(r);
	rig_down(&r);
}

/* One buffer over many regions, in one request. */
static void a_buffer_over_many_slots(void **state)
{
	struct rig_spec spec = { .indirect = true };
	struct rig *r = rig_up(&spec);
	struct iol_driver_seg seg = { .addr = PLUG, .len = 16 * 4096 };
	uint8_t *page;
	unsigned int i;

	for (i = 0; i < 16; i++) {
		assert_int_equal(iol_guest_memory_add(r->mem, PLUG + i * 4096, 4096, -1, 0), 0);
		page = iol_guest_memory_host(r->mem, PLUG + i * 4096, 4096);
		rig_fill(page, 4096, i);
	}
	assert_int_equal(iol_frontend_set_memory(r->fe, r->mem), 0);
	assert_int_equal(rig_request(r, 0, VIRTIO_BLK_T_OUT, 0, &seg, 1), VIRTIO_BLK_S_OK);
	for (i = 0; i < 16; i++)
		assert_true(rig_disk_is(r, i * 4096, 4096, i));
	/* Into them in another order: 15, 0, 1, … */
	seg = (struct iol_driver_seg){ .addr = PLUG + 15 * 4096, .len = 4096, .write = true };
	assert_int_equal(rig_request(r, 0, VIRTIO_BLK_T_IN, 0, &seg, 1), VIRTIO_BLK_S_OK);
	seg = (struct iol_driver_seg){ .addr = PLUG, .len = 15 * 4096, .write = true };
	assert_int_equal(rig_request(r, 0, VIRTIO_BLK_T_IN, 8, &seg, 1), VIRTIO_BLK_S_OK);
	for (i = 0; i < 16; i++) {
		page = iol_guest_memory_host(r->mem, PLUG + i * 4096, 4096);
		assert_true(rig_is(page, 4096, (i + 1) % 16));
	}
	rig_down(&r);
}

static long pool(const char *name, long value)
{
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-2048kB/%s", name);
	f = fopen(path, value < 0 ? "re" : "we");
	if (!f)
		return -1;
	if (value >= 0)
		fprintf(f, "%ld\n", value);
	else if (fscanf(f, "%ld", &value) != 1)
		value = -1;
	return fclose(f) ? -1 : value;
}

static long had_pages;

/* However the test ended: pages left behind would change what other programs do. */
static int put_pages_back(void **state)
{
	(void)state;
	return had_pages < 0 || pool("nr_hugepages", had_pages) >= 0 ? 0 : -1;
}

/* Huge pages are mapped whole only, and all of them must be given back. */
static void huge_pages(void **state)
{
	struct rig_spec spec = { .queues = 2, .hugepages = true, .event_idx = true };
	unsigned int round;
	struct rig *r;
	long before;

	had_pages = pool("nr_hugepages", -1);
	if (had_pages >= 0)
		pool("nr_hugepages", had_pages + PAGES);
	before = pool("free_hugepages", -1);
	if (before < PAGES) {
		print_message("not run: no %d huge pages are free, nor may any be made\n", PAGES);
		skip();
	}
	r = rig_up(&spec);
	for (round = 0; round < 3; round++) {
		rig_works(r);
		assert_int_equal(iol_guest_memory_add(r->mem, PLUG, 4 * MIB, -1, 0), 0);
		assert_int_equal(iol_frontend_set_memory(r->fe, r->mem), 0);
		works_at(r, PLUG + 2 * MIB - 4096, 8192, round);
		assert_int_equal(iol_guest_memory_remove(r->mem, PLUG), 0);
		assert_int_equal(iol_frontend_set_memory(r->fe, r->mem), 0);
		rig_disconnect(r);
		rig_connect(r);
		rig_make_guest(r);
	}
	rig_works(r);
	rig_down(&r);
	assert_int_equal(pool("free_hugepages", -1), before);
}

/*
 * A front end that truncates what it shares loses its connection. The process lives, another disk in
 * it goes on, and the next front end is served. From the truncation on the guest's own memory must
 * not be touched here either.
 */
static void truncated_memory_ends_the_connection(void **state)
{
	struct rig_spec spec = { .unsealed = true }, other = { .packed = true };
	struct rig *r = rig_up(&spec), *o = rig_up(&other);
	struct iol_driver_seg seg = { .addr = r->buf_addr, .len = 4096 };
	unsigned int round;

	assert_int_equal(iol_sigbus_install(), 0);
	for (round = 0; round < 2; round++) {
		const struct iol_guest_region *ram = iol_guest_memory_region(r->mem, 0);
		uint64_t end = iol_now() + RIG_WAIT * IOL_NS_PER_MS;
		int rc = 0;

		rig_works(r);
		rig_works(o);
		seg.addr = r->buf_addr;
		/* Available before, and found after. */
		assert_int_equal(iol_driver_add(r->queue[0]->driver, &seg, 1, 0), 0);
		iol_driver_publish(r->queue[0]->driver);
		assert_int_equal(ftruncate(ram->fd, 0), 0);
		while (rc != -ENOTCONN && iol_now() < end) {
			iol_guest_queue_kick(r->queue[0]);
			rc = iol_frontend_poll(r->fe, 10);
		}
		assert_int_equal(rc, -ENOTCONN);
		rig_works(o);
		rig_disconnect(r);
		rig_connect(r);
		rig_make_guest(r);
	}
	rig_works(r);
	rig_down(&r);
	rig_down(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_come_and_go_under_load),
		cmocka_unit_test(unplugged_memory_is_gone),
		cmocka_unit_test(as_many_slots_as_there_are),
		cmocka_unit_test(a_buffer_over_many_slots),
		cmocka_unit_test_teardown(huge_pages, put_pages_back),
		cmocka_unit_test(truncated_memory_ends_the_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
