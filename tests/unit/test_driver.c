/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver side against a device that lies, and what it refuses itself. */
#include "ring_env.h"

#include <linux/virtio_ring.h>

#define SIZE 4

static void areas(void **state)
{
	size_t bytes[3], align[3];

	iol_driver_areas(256, false, bytes, align);
	assert_int_equal(bytes[0], 4096);
	assert_int_equal(bytes[1], 6 + 512);
	assert_int_equal(bytes[2], 6 + 2048);
	assert_int_equal(align[0], 16);
	assert_int_equal(align[1], 2);
	assert_int_equal(align[2], 4);
	iol_driver_areas(3, true, bytes, align);
	assert_int_equal(bytes[0], 48);
	assert_int_equal(bytes[1], 4);
	assert_int_equal(bytes[2], 4);
	assert_int_equal(align[1], 4);
}

static void refused(void **state)
{
	static const struct {
		uint16_t size;
		bool packed;
		uint32_t base;
		int rc;
	} cases[] = {
		{ 0, false, 0, -EINVAL },         { 3, false, 0, -EINVAL },
		{ 4, false, 65535, 0 },           { 32769, false, 0, -EINVAL },
		{ 0, true, 0, -EINVAL },          { 3, true, 0, 0 },
		{ 3, true, 0x80038003, -EINVAL }, { 3, true, 0x80028002, 0 },
		{ 3, true, 0x80028001, -EINVAL }, { 32769, true, 0, -EINVAL },
	};
	void *area = aligned_alloc(4096, 1 << 20);
	struct iol_driver_ring *d;
	size_t i;

	assert_non_null(area);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct iol_driver_spec spec = { .size = cases[i].size,
						.packed = cases[i].packed,
						.base = cases[i].base,
						.desc = area,
						.avail = (char *)area + 4096,
						.used = (char *)area + 8192 };

		d = NULL;
		assert_int_equal(iol_driver_new(&spec, &d), cases[i].rc);
		if (!cases[i].rc && cases[i].base)
			assert_int_equal(iol_driver_base(d), cases[i].base);
		iol_driver_destroy(&d);
		spec.indirect = true;
		assert_int_equal(iol_driver_new(&spec, &d), -EINVAL);
		spec.indirect = false;
		spec.used = NULL;
		assert_int_equal(iol_driver_new(&spec, &d), -EINVAL);
	}
	free(area);
}

static void world(struct env *e, bool packed)
{
	struct env_conf conf = { .size = SIZE, .packed = packed };

	env_init(e, &conf);
}

static int add(struct env *e, unsigned int n, uintptr_t cookie)
{
	struct iol_driver_seg segs[SIZE + 1];
	unsigned int i;

	for (i = 0; i < n; i++)
		segs[i] = (struct iol_driver_seg){ .addr = ENV_GPA + e->data, .len = 1 };
	return iol_driver_add(e->driver, segs, n, cookie);
}

static void full(bool packed)
{
	struct env e;

	world(&e, packed);
	assert_int_equal(add(&e, 0, 1), -EINVAL);
	assert_int_equal(add(&e, SIZE + 1, 1), -EINVAL);
	assert_int_equal(add(&e, 3, 1), 0);
	assert_int_equal(add(&e, 2, 2), -ENOSPC);
	assert_int_equal(add(&e, 1, 3), 0);
	assert_int_equal(add(&e, 1, 4), -ENOSPC);
	assert_int_equal(iol_driver_inflight(e.driver), 2);
	/* Not published, they don't count for a device that begins now. */
	assert_int_equal(iol_driver_base(e.driver), packed ? 0x80008000 : 0);
	assert_true(iol_driver_publish(e.driver));
	assert_false(iol_driver_publish(e.driver));
	assert_int_equal(iol_driver_base(e.driver), packed ? 0 : 2);
	env_fini(&e);
}

static void split_full(void **state)
{
	full(false);
}

static void packed_full(void **state)
{
	full(true);
}

static void split_lies(void **state)
{
	static const struct {
		uint16_t idx;
		uint32_t id[2];
		int rc[2];
	} cases[] = {
		/* One chain, head 0, is in flight. */
		{ 1, { 0 }, { 1, 0 } },        { 2, { 0, 0 }, { -EPROTO } },
		{ 1, { 1 }, { -EPROTO } },     { 1, { SIZE }, { -EPROTO } },
		{ 1, { 65536 }, { -EPROTO } }, { 65535, { 0 }, { -EPROTO } },
	};
	uintptr_t cookie;
	struct env e;
	uint32_t len;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vring_used *used;

		world(&e, false);
		assert_int_equal(add(&e, 1, 77), 0);
		iol_driver_publish(e.driver);
		assert_int_equal(iol_driver_used(e.driver, &cookie, &len), 0);
		used = (void *)(e.host + e.used);
		used->ring[0].id = cases[i].id[0];
		used->ring[1].id = cases[i].id[1];
		used->idx = cases[i].idx;
		assert_int_equal(iol_driver_used(e.driver, &cookie, &len), cases[i].rc[0]);
		if (cases[i].rc[0] == 1) {
			assert_int_equal(cookie, 77);
			assert_int_equal(iol_driver_used(e.driver, &cookie, &len), cases[i].rc[1]);
			/* The same again. */
			used->idx++;
			assert_int_equal(iol_driver_used(e.driver, &cookie, &len), -EPROTO);
		}
		env_fini(&e);
	}
}

static void packed_lies(void **state)
{
	const uint16_t used = 1u << VRING_PACKED_DESC_F_AVAIL | 1u << VRING_PACKED_DESC_F_USED;
	struct vring_packed_desc *desc;
	uintptr_t cookie;
	uint16_t id;
	uint32_t len;
	struct env e;

	for (id = 0; id < SIZE + 2; id++) {
		world(&e, true);
		desc = (void *)(e.host + e.desc);
		assert_int_equal(add(&e, 1, 77), 0);
		assert_int_equal(add(&e, 1, 78), 0);
		iol_driver_publish(e.driver);
		assert_int_equal(iol_driver_used(e.driver, &cookie, &len), 0);
		desc[0].id = desc[1].id = id;
		desc[0].flags = desc[1].flags = used;
		if (id < 2) {
			assert_int_equal(iol_driver_used(e.driver, &cookie, &len), 1);
			assert_int_equal(cookie, 77 + id);
		}
		/* Never sent, or sent back a second time. */
		assert_int_equal(iol_driver_used(e.driver, &cookie, &len), -EPROTO);
		env_fini(&e);
	}
}

/* A burst with what was never sent, or is sent back twice: what came before it counts, it does not. */
static void recycled_lies(bool packed)
{
	const uint16_t used = 1u << VRING_PACKED_DESC_F_AVAIL | 1u << VRING_PACKED_DESC_F_USED;
	static const struct {
		uint16_t id[3];
		int good;
	} cases[] = {
		{ { 0, 1, 0 }, 2 },    { { 1, 1, 0 }, 1 },     { { 3, 0, 1 }, 0 },
		{ { 0, SIZE, 1 }, 1 }, { { 65535, 0, 0 }, 0 }, { { 1, 0, 3 }, 2 },
	};
	uintptr_t cookies[SIZE];
	uint32_t lens[SIZE];
	unsigned int i, k;
	struct env e;
	int n;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		world(&e, packed);
		for (k = 0; k < 3; k++)
			assert_int_equal(add(&e, k == 2 ? 2 : 1, 70 + k), 0);
		iol_driver_publish(e.driver);
		assert_int_equal(iol_driver_recycle(e.driver, cookies, lens, SIZE), 0);
		for (k = 0; k < 3; k++) {
			struct vring_packed_desc *desc = (void *)(e.host + e.desc);
			struct vring_used *ring = (void *)(e.host + e.used);

			if (packed) {
				desc[k].id = cases[i].id[k];
				desc[k].flags = used;
			} else {
				ring->ring[k].id = cases[i].id[k];
				ring->idx = 3;
			}
		}
		n = iol_driver_recycle(e.driver, cookies, lens, SIZE);
		assert_int_equal(n, cases[i].good ? cases[i].good : -EPROTO);
		for (k = 0; (int)k < n; k++)
			assert_int_equal(cookies[k], 70 + cases[i].id[k]);
		assert_int_equal(iol_driver_inflight(e.driver), 3);
		env_fini(&e);
	}
}

static void split_recycled_lies(void **state)
{
	recycled_lies(false);
}

static void packed_recycled_lies(void **state)
{
	recycled_lies(true);
}

/* A chain of several descriptors is left where it is, and the device may not claim more than it has. */
static void recycled_refused(bool packed)
{
	uintptr_t cookies[SIZE];
	uint32_t lens[SIZE];
	struct iol_chain c[2];
	struct env e;

	world(&e, packed);
	env_start(&e);
	assert_int_equal(add(&e, 1, 77), 0);
	assert_int_equal(add(&e, 2, 78), 0);
	iol_driver_publish(e.driver);
	assert_int_equal(iol_ring_pop(e.ring, c, 2), 2);
	iol_ring_push(e.ring, c[0].id, c[0].ndesc, 0);
	iol_ring_push(e.ring, c[1].id, c[1].ndesc, 0);
	iol_ring_publish(e.ring);
	assert_int_equal(iol_driver_recycle(e.driver, cookies, lens, SIZE), 1);
	assert_int_equal(cookies[0], 77);
	assert_int_equal(iol_driver_recycle(e.driver, cookies, lens, SIZE), -EINVAL);
	assert_int_equal(iol_driver_used(e.driver, cookies, lens), 1);
	assert_int_equal(cookies[0], 78);
	assert_int_equal(iol_driver_inflight(e.driver), 1);
	if (!packed) {
		((struct vring_used *)(void *)(e.host + e.used))->idx += 2;
		assert_int_equal(iol_driver_recycle(e.driver, cookies, lens, SIZE), -EPROTO);
	}
	env_fini(&e);
}

static void split_recycled_refused(void **state)
{
	recycled_refused(false);
}

static void packed_recycled_refused(void **state)
{
	recycled_refused(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(areas),
		cmocka_unit_test(refused),
		cmocka_unit_test(split_full),
		cmocka_unit_test(packed_full),
		cmocka_unit_test(split_lies),
		cmocka_unit_test(packed_lies),
		cmocka_unit_test(split_recycled_lies),
		cmocka_unit_test(packed_recycled_lies),
		cmocka_unit_test(split_recycled_refused),
		cmocka_unit_test(packed_recycled_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
