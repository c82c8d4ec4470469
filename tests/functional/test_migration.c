/* SPDX-License-Identifier: BSD-3-Clause */
/* The dirty log, moving a guest from one back end to another, and devices behind an IOMMU. */
#include "rig.h"

#include <linux/virtio_config.h>
#include <signal.h>

#define PAGE 4096ull
#define MIB  (1ull << 20)
#define RW   (IOL_IOMMU_READ | IOL_IOMMU_WRITE)

/* ---- the dirty log ---- */

/* Take every bit; the pages that were set, as a map of guest memory. */
static void take_log(struct rig *r, uint8_t *dirty)
{
	uint64_t i, pages = RIG_HALF / PAGE;

	for (i = 0; i < pages; i++) {
		dirty[i] = (uint8_t)iol_frontend_log_take(r->fe, i * PAGE);
		dirty[pages + i] = (uint8_t)iol_frontend_log_take(r->fe, RIG_HIGH + i * PAGE);
	}
}

static size_t page_of(uint64_t gpa)
{
	return (size_t)(gpa < RIG_HIGH ? gpa / PAGE : (RIG_HALF + gpa - RIG_HIGH) / PAGE);
}

static uint64_t without_iova(const struct rig *r, uint64_t addr)
{
	return r->spec.iommu ? addr - RIG_IOVA : addr;
}

static void expect(uint8_t *want, uint64_t gpa, uint64_t len)
{
	uint64_t at;

	for (at = gpa & ~(PAGE - 1); at < gpa + len; at += PAGE)
		want[page_of(at)] = 1;
}

/* The pages that the device writes while it answers, and not one more. */
static void expect_ring(struct rig *r, uint8_t *want)
{
	const struct iol_frontend_queue *q = &r->queue[0]->setup;

	expect(want, without_iova(r, r->request_addr[0]), sizeof(struct rig_request));
	if (r->spec.packed)
		expect(want, without_iova(r, q->desc), 16ull * RIG_RING);
	expect(want, without_iova(r, q->used), r->spec.packed ? 4 : 6 + 8 * RIG_RING);
}

static void compare(const uint8_t *got, const uint8_t *want, const uint8_t *may)
{
	size_t i;

	for (i = 0; i < 2 * RIG_HALF / PAGE; i++)
		if (want[i] != got[i] && !(may && may[i]))
			fail_msg("page %zu is %s", i, got[i] ? "dirty" : "not dirty");
}

static void written_pages_are_dirty(void **state)
{
	static uint8_t got[2 * RIG_HALF / PAGE], want[sizeof(got)], may[sizeof(got)];
	unsigned int i;

	for (i = 0; i < 4; i++) {
		struct rig_spec spec = { .packed = i & 1, .iommu = i & 2, .event_idx = true };
		struct rig *r = rig_up(&spec);

		rig_works(r);
		assert_int_equal(iol_frontend_log_start(r->fe), 0);
		take_log(r, got);

		/* A write only reads the data. */
		memset(want, 0, sizeof(want));
		memset(may, 0, sizeof(may));
		assert_int_equal(rig_write(r, 0, 0, 8 * PAGE, PAGE), VIRTIO_BLK_S_OK);
		expect_ring(r, may);
		expect(want, without_iova(r, r->request_addr[0]), sizeof(struct rig_request));
		expect(want,
		       without_iova(r, r->spec.packed ? r->queue[0]->setup.desc
						      : r->queue[0]->setup.used),
		       4);
		take_log(r, got);
		compare(got, want, may);

		/* A read writes it, from the middle of a page to the middle of another. */
		assert_int_equal(rig_read(r, 0, 0, 20 * PAGE + 2048, 3 * PAGE), VIRTIO_BLK_S_OK);
		expect(want, r->buf_gpa + 20 * PAGE + 2048, 3 * PAGE);
		take_log(r, got);
		compare(got, want, may);

		/* And nothing once it is switched off and on, but what happens after. */
		assert_int_equal(iol_frontend_log_stop(r->fe), 0);
		assert_int_equal(rig_read(r, 0, 0, 40 * PAGE, PAGE), VIRTIO_BLK_S_OK);
		assert_int_equal(iol_frontend_log_start(r->fe), 0);
		take_log(r, got);
		assert_int_equal(got[page_of(r->buf_gpa + 40 * PAGE)], 0);
		rig_works(r);
		assert_int_equal(iol_frontend_log_stop(r->fe), 0);
		rig_down(&r);
	}
}

/* One that dies may have written to its rings, and not noted it. */
static void a_dead_back_ends_rings_are_dirty(void **state)
{
	static uint8_t got[2 * RIG_HALF / PAGE];
	unsigned int packed;

	for (packed = 0; packed < 2; packed++) {
		struct rig_spec spec = { .packed = packed, .track = true };
		struct rig *r = rig_up(&spec);
		uint64_t ring = packed ? r->queue[0]->setup.desc : r->queue[0]->setup.used;

		rig_works(r);
		assert_int_equal(iol_frontend_log_start(r->fe), 0);
		rig_stop_backend(r, SIGTERM);
		take_log(r, got);
		rig_start_backend(r);
		assert_int_equal(iol_frontend_reconnect(r->fe), 0);
		take_log(r, got);
		assert_int_equal(got[page_of(ring)], 1);
		assert_int_equal(got[page_of(r->buf_gpa)], 0);
		rig_works(r);
		rig_down(&r);
	}
}

/* ---- moving ---- */

/* The source is suspended, and the destination goes on in the same rings. */
static void a_guest_moves(void **state)
{
	unsigned int packed, i;

	for (packed = 0; packed < 2; packed++) {
		struct rig_spec spec = { .packed = packed, .queues = 4, .event_idx = true };
		struct rig *r = rig_up(&spec), *to = rig_new(&spec);
		struct iol_frontend *fe;

		/* One image, two back ends. */
		to->spec.file = r->image;
		rig_start_backend(to);
		rig_works(r);
		assert_int_equal(iol_frontend_log_start(r->fe), 0);
		rig_works(r);
		for (i = 0; i < 4; i++)
			assert_int_equal(
				iol_frontend_queue_stop(r->fe, i, &r->queue[i]->setup.base), 0);
		to->fe = rig_frontend(to, RIG_WAIT);
		assert_int_equal(iol_frontend_negotiate(to->fe, iol_frontend_features(r->fe), 0),
				 0);
		assert_int_equal(iol_frontend_set_memory(to->fe, r->mem), 0);
		/* The image's lock was let go when the source was suspended. */
		for (i = 0; i < 4; i++)
			assert_int_equal(iol_frontend_queue_start(to->fe, i, &r->queue[i]->setup),
					 0);
		/* Requests find the new one. */
		fe = r->fe;
		r->fe = to->fe;
		rig_works(r);
		r->fe = fe;
		rig_down(&to);
		rig_down(&r);
	}
}

/* ---- behind an IOMMU ---- */

static void misses_are_asked_for_and_answered(void **state)
{
	unsigned int packed;

	for (packed = 0; packed < 2; packed++) {
		struct rig_spec spec = { .packed = packed, .indirect = true, .iommu = true };
		struct rig *r = rig_up(&spec);
		uint64_t answered, unknown, before;

		rig_works(r);
		iol_frontend_iommu_misses(r->fe, &before, &unknown);
		assert_true(before > 0);
		assert_int_equal(unknown, 0);
		rig_works(r);
		iol_frontend_iommu_misses(r->fe, &answered, &unknown);
		assert_int_equal(answered, before);
		rig_down(&r);
	}
}

/* Data goes where the mapping of the day says. */
static void mappings_move(void **state)
{
	struct rig_spec spec = { .iommu = true, .queues = 2 };
	struct rig *r = rig_up(&spec);
	uint64_t iova = 1ull << 45, there;
	struct iol_driver_seg seg = { .addr = iova, .len = PAGE, .write = true };
	uint8_t *high;

	assert_int_equal(iol_guest_memory_alloc(r->mem, 3 * MIB, PAGE, &there), 0);
	high = iol_guest_memory_host(r->mem, there, PAGE);
	rig_fill(r->buf, PAGE, 5);
	assert_int_equal(rig_write(r, 0, 0, 0, PAGE), VIRTIO_BLK_S_OK);
	memset(r->buf, 0, PAGE);

	assert_int_equal(iol_frontend_iommu_map(r->fe, iova, PAGE, there, RW), 0);
	assert_int_equal(rig_request(r, 0, VIRTIO_BLK_T_IN, 0, &seg, 1), VIRTIO_BLK_S_OK);
	assert_true(rig_is(high, PAGE, 5));
	memset(high, 0, PAGE);
	assert_int_equal(iol_frontend_iommu_unmap(r->fe, iova), 0);
	assert_int_equal(iol_frontend_iommu_map(r->fe, iova, PAGE, r->buf_gpa, RW), 0);
	assert_int_equal(rig_request(r, 0, VIRTIO_BLK_T_IN, 0, &seg, 1), VIRTIO_BLK_S_OK);
	assert_true(rig_is(r->buf, PAGE, 5));
	assert_int_equal(high[0], 0);
	rig_down(&r);
}

/* A request to what is not mapped waits, with the others behind it, until it is. */
static void a_request_waits_for_its_mapping(void **state)
{
	struct rig_spec spec = { .iommu = true, .queues = 2 };
	struct rig *r = rig_up(&spec);
	uint64_t iova = 1ull << 45, answered, unknown = 0;
	struct iol_driver_seg seg = { .addr = iova, .len = PAGE };
	uint8_t status;

	rig_works(r);
	rig_send(r, 1, 3, VIRTIO_BLK_T_OUT, 0, &seg, 1);
	while (!unknown) {
		assert_int_equal(iol_frontend_poll(r->fe, RIG_WAIT), 1);
		iol_frontend_iommu_misses(r->fe, &answered, &unknown);
	}
	/* Another queue goes on. */
	assert_int_equal(rig_write(r, 0, 8192, 0, PAGE), VIRTIO_BLK_S_OK);
	rig_fill(r->buf, PAGE, 6);
	assert_int_equal(iol_frontend_iommu_map(r->fe, iova, PAGE, r->buf_gpa, IOL_IOMMU_READ), 0);
	assert_int_equal(iol_frontend_iommu_push(r->fe, iova), 0);
	assert_int_equal(rig_take(r, 1, &status, NULL), 3);
	assert_int_equal(status, VIRTIO_BLK_S_OK);
	assert_true(rig_disk_is(r, 0, PAGE, 6));
	/* The whole of memory goes and comes: the rings are mapped anew. */
	assert_int_equal(iol_frontend_iommu_unmap(r->fe, RIG_IOVA), 0);
	assert_int_equal(iol_frontend_iommu_map(r->fe, RIG_IOVA, RIG_HALF, 0, RW), 0);
	rig_works(r);
	rig_down(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(written_pages_are_dirty),
		cmocka_unit_test(a_dead_back_ends_rings_are_dirty),
		cmocka_unit_test(a_guest_moves),
		cmocka_unit_test(misses_are_asked_for_and_answered),
		cmocka_unit_test(mappings_move),
		cmocka_unit_test(a_request_waits_for_its_mapping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
