/* SPDX-License-Identifier: BSD-3-Clause */
/* The quick way through a ring does what iol_ring_pop(), push and publish do, where it does anything. */
#include "ring_env.h"

#include <linux/virtio_ring.h>

#define SIZE 8

static void make_available(struct env *e, uint64_t addr, uint32_t len, bool write, uintptr_t cookie)
{
	struct iol_driver_seg seg = { .addr = addr, .len = len, .write = write };

	assert_int_equal(iol_driver_add(e->driver, &seg, 1, cookie), 0);
	iol_driver_publish(e->driver);
}

static void add(struct env *e, bool write, uintptr_t cookie)
{
	make_available(e, ENV_GPA + e->data + cookie % e->conf.size * ENV_DATA, 64, write, cookie);
}

static void expect_used(struct env *e, uintptr_t cookie, uint32_t len)
{
	uintptr_t got;
	uint32_t got_len;

	assert_int_equal(iol_driver_used(e->driver, &got, &got_len), 1);
	assert_int_equal(got, cookie);
	assert_int_equal(got_len, len);
}

/* Peek sees nothing, and pop one chain, which goes back. */
static void expect_popped(struct env *e, bool write, uintptr_t cookie)
{
	struct iol_buf bufs[SIZE];
	struct iol_chain c;

	assert_int_equal(iol_ring_peek(e->ring, bufs, SIZE, write), 0);
	assert_int_equal(iol_ring_pop(e->ring, &c, 1), 1);
	iol_ring_push(e->ring, c.id, c.ndesc, 0);
	iol_ring_publish(e->ring);
	expect_used(e, cookie, 0);
}

/* And takes the quick way. */
static void expect_peeked(struct env *e, bool write, uintptr_t cookie)
{
	struct iol_buf bufs[SIZE];
	uint32_t len = write ? 7 : 0;

	assert_int_equal(iol_ring_peek(e->ring, bufs, SIZE, write), 1);
	iol_ring_consume(e->ring, bufs, &len, 1);
	expect_used(e, cookie, len);
	assert_int_equal(iol_ring_inflight(e->ring), 0);
}

/* Each of these ends what is seen, wherever it is in a burst, and nothing of it is lost. */
static void other_kinds(void **state)
{
	static const struct {
		const char *what;
		struct iol_driver_seg segs[3];
		unsigned int n;
		bool good; /* for the long way */
	} rows[] = {
		{ "writable", { { 0, 64, true } }, 1, true },
		{ "empty", { { 0, 0, false } }, 1, true },
		{ "two readable", { { 0, 12, false }, { 64, 64, false } }, 2, true },
		{ "readable and writable", { { 0, 12, false }, { 64, 64, true } }, 2, true },
		{ "an indirect table",
		  { { 0, 12, false }, { 64, 64, false }, { 128, 1, true } },
		  3,
		  true },
		{ "behind the memory's end", { { 1ull << 40, 64, false } }, 1, false },
		{ "across the memory's end", { { UINT64_MAX, 64, false } }, 1, false },
		{ "longer than the memory", { { 0, UINT32_MAX, false } }, 1, false },
	};
	unsigned int i, packed, before, k;
	struct iol_buf bufs[SIZE];
	struct iol_chain c;
	struct env e;

	for (i = 0; i < 2 * sizeof(rows) / sizeof(rows[0]); i++) {
		struct iol_driver_seg segs[3] = { { 0 } };
		uint64_t at;

		packed = i & 1;
		for (before = 0; before < 4; before++) {
			struct env_conf conf = { .size = SIZE,
						 .packed = packed,
						 .indirect = rows[i / 2].n == 3 };

			env_init(&e, &conf);
			env_start(&e);
			for (k = 0; k < before; k++)
				add(&e, false, k);
			at = ENV_GPA + e.data + (size_t)k * ENV_DATA;
			for (k = 0; k < rows[i / 2].n; k++) {
				segs[k] = rows[i / 2].segs[k];
				segs[k].addr += at;
			}
			if (segs[0].addr == at - 1)
				segs[0].addr = ENV_GPA + e.len - 63;
			assert_int_equal(iol_driver_add(e.driver, segs, rows[i / 2].n, before), 0);
			iol_driver_publish(e.driver);
			add(&e, false, before + 1);
			/* Without being taken it is seen again, and the same. */
			for (k = 0; k < 3; k++)
				assert_int_equal(iol_ring_peek(e.ring, bufs, SIZE, false), before);
			iol_ring_consume(e.ring, bufs, NULL, before);
			for (k = 0; k < before; k++)
				expect_used(&e, k, 0);
			assert_int_equal(iol_ring_peek(e.ring, bufs, SIZE, false), 0);
			if (!rows[i / 2].good) {
				assert_int_equal(iol_ring_pop(e.ring, &c, 1), -EPROTO);
				/* Broken for good. */
				assert_int_equal(iol_ring_peek(e.ring, bufs, SIZE, false), 0);
				env_fini(&e);
				continue;
			}
			expect_popped(&e, false, before);
			expect_peeked(&e, false, before + 1);
			env_fini(&e);
		}
	}
}

/* What has to be remembered is nothing for the quick way. */
static void not_quick(void **state)
{
	struct iol_inflight *log;
	struct iol_dirty *dirty;
	struct iol_buf bufs[SIZE];
	struct iol_chain c;
	bool broken = false;
	struct env e;
	int packed, fd;

	for (packed = 0; packed < 2; packed++) {
		struct env_conf conf = { .size = SIZE, .packed = packed };

		env_init(&e, &conf);
		add(&e, true, 1);
		assert_int_equal(iol_ring_peek(e.ring, bufs, SIZE, true), 0);
		env_start(&e);
		/* One in flight, then pushed and not published. */
		add(&e, true, 2);
		assert_int_equal(iol_ring_peek(e.ring, bufs, SIZE, true), 2);
		assert_int_equal(iol_ring_pop(e.ring, &c, 1), 1);
		assert_int_equal(iol_ring_peek(e.ring, bufs, SIZE, true), 0);
		iol_ring_push(e.ring, c.id, c.ndesc, 3);
		assert_int_equal(iol_ring_peek(e.ring, bufs, SIZE, true), 0);
		iol_ring_publish(e.ring);
		expect_used(&e, 1, 3);
		expect_peeked(&e, true, 2);
		/* Popped and given back again is as good as never popped. */
		add(&e, true, 3);
		assert_int_equal(iol_ring_pop(e.ring, &c, 1), 1);
		assert_int_equal(iol_ring_unpop(e.ring, &c, 1), 0);
		expect_peeked(&e, true, 3);

		fd = memfd_create("dirty", MFD_CLOEXEC);
		assert_int_equal(ftruncate(fd, 1 << 20), 0);
		assert_int_equal(iol_dirty_new(fd, 1 << 20, 0, -1, &broken, &dirty), 0);
		assert_false(iol_ring_logs(e.ring));
		iol_ring_set_dirty(e.ring, dirty);
		assert_true(iol_ring_logs(e.ring));
		add(&e, true, 4);
		expect_popped(&e, true, 4);
		iol_ring_set_dirty(e.ring, NULL);
		assert_false(iol_ring_logs(e.ring));
		add(&e, true, 5);
		expect_peeked(&e, true, 5);
		iol_dirty_destroy(&dirty);
		close(fd);

		assert_int_equal(iol_inflight_new(1, SIZE, packed, &log), 0);
		e.spec.inflight = log;
		e.spec.base = iol_ring_base(e.ring);
		env_start(&e);
		add(&e, true, 6);
		expect_popped(&e, true, 6);
		e.spec.inflight = NULL;
		e.spec.base = iol_ring_base(e.ring);
		env_start(&e);
		add(&e, true, 7);
		expect_peeked(&e, true, 7);
		iol_ring_stop(e.ring);
		add(&e, true, 8);
		assert_int_equal(iol_ring_peek(e.ring, bufs, SIZE, true), 0);
		env_fini(&e);
		iol_inflight_destroy(&log);
	}
}

/* A front end may tell of chains in flight that nobody has: their slots stay out. */
static void base_apart(void **state)
{
	struct env_conf conf = { .size = SIZE, .packed = true };
	struct vring_packed_desc *d;
	struct iol_buf bufs[SIZE];
	struct iol_chain c;
	struct env e;

	env_init(&e, &conf);
	d = (void *)(e.host + e.desc);
	/* The device is at 3, and has used all before 1. */
	e.spec.base = 0x80000000u | 1u << 16 | 0x8000u | 3u;
	env_start(&e);
	d[3] = (struct vring_packed_desc){ .addr = ENV_GPA + e.data,
					   .len = 64,
					   .id = 5,
					   .flags = 1 << VRING_PACKED_DESC_F_AVAIL };
	if (iol_ring_peek(e.ring, bufs, SIZE, false)) {
		iol_ring_consume(e.ring, bufs, NULL, 1);
	} else {
		assert_int_equal(iol_ring_pop(e.ring, &c, 1), 1);
		iol_ring_push(e.ring, c.id, c.ndesc, 0);
		iol_ring_publish(e.ring);
	}
	assert_int_equal(iol_ring_base(e.ring), 0x80000000u | 2u << 16 | 0x8000u | 4u);
	assert_int_equal(d[1].id, 5);
	env_fini(&e);
}

/* An IOVA is never looked up the quick way, be its translation known or not. */
static void iommu(void **state)
{
	struct iol_iotlb *tlb;
	struct iol_buf bufs[SIZE];
	struct env e;
	int packed;

	for (packed = 0; packed < 2; packed++) {
		struct env_conf conf = { .size = SIZE, .packed = packed };

		env_init(&e, &conf);
		assert_int_equal(iol_iotlb_new(-1, &tlb), 0);
		e.spec.access_platform = true;
		e.spec.iotlb = tlb;
		env_start(&e);
		assert_int_equal(iol_ring_peek(e.ring, bufs, SIZE, false), 0);
		assert_int_equal(iol_iotlb_update(tlb, ENV_UADDR, e.len, ENV_UADDR, IOL_ACCESS_RW),
				 0);
		assert_int_equal(iol_iotlb_update(tlb, ENV_GPA, e.len, ENV_UADDR, IOL_ACCESS_RW),
				 0);
		assert_int_equal(iol_ring_map(e.ring), 0);
		add(&e, false, 1);
		expect_popped(&e, false, 1);
		add(&e, true, 2);
		expect_popped(&e, true, 2);
		env_fini(&e);
		iol_iotlb_destroy(&tlb);
	}
}

/* Buffers in turns in two regions, which are no neighbours, and one that reaches into the other. */
static void regions(void **state)
{
	struct iol_mem_desc desc[2];
	struct iol_buf bufs[SIZE];
	struct iol_mem *mem;
	int packed, fds[2];
	struct env e;
	size_t half;
	uint64_t i;

	for (packed = 0; packed < 2; packed++) {
		struct env_conf conf = { .size = SIZE, .packed = packed };

		env_init(&e, &conf);
		half = e.data + 4 * ENV_DATA;
		desc[0] = (struct iol_mem_desc){ .gpa = ENV_GPA, .size = half, .uaddr = ENV_UADDR };
		desc[1] = (struct iol_mem_desc){ .gpa = ENV_GPA + half,
						 .size = e.len - half,
						 .uaddr = ENV_UADDR + (1ull << 32),
						 .offset = half };
		fds[0] = fds[1] = e.fd;
		assert_int_equal(iol_mem_new(desc, fds, 2, -1, &e.broken, &mem), 0);
		env_start(&e);
		assert_int_equal(iol_ring_set_mem(e.ring, mem), 0);
		for (i = 0; i < 6; i++) {
			uint64_t at = e.data + (i / 2 + i % 2 * 4) * ENV_DATA;

			e.host[at] = (uint8_t)i;
			/* All of a page: to the region's last byte, and not a byte more. */
			make_available(&e, ENV_GPA + at, ENV_DATA, false, i);
		}
		make_available(&e, ENV_GPA + half - 63, 64, false, 6);
		make_available(&e, ENV_GPA + half - 64, 64, false, 7);
		assert_int_equal(iol_ring_peek(e.ring, bufs, SIZE, false), 6);
		for (i = 0; i < 6; i++)
			assert_int_equal(*bufs[i].base, (uint8_t)i);
		iol_ring_consume(e.ring, bufs, NULL, 6);
		for (i = 0; i < 6; i++)
			expect_used(&e, i, 0);
		/* In two pieces. */
		expect_popped(&e, false, 6);
		expect_peeked(&e, false, 7);
		env_fini(&e);
		iol_mem_unref(&mem);
	}
}

/* An index that cannot be is an error when all before it are taken, and not earlier. */
static void index_jumps(void **state)
{
	struct env_conf conf = { .size = SIZE };
	struct vring_avail *avail;
	struct iol_buf bufs[SIZE];
	struct iol_chain c;
	struct env e;
	unsigned int i;

	env_init(&e, &conf);
	avail = (void *)(e.host + e.avail);
	env_start(&e);
	for (i = 0; i < 5; i++)
		add(&e, false, i);
	assert_int_equal(iol_ring_peek(e.ring, bufs, 2, false), 2);
	avail->idx = 5 + SIZE;
	assert_int_equal(iol_ring_peek(e.ring, bufs, SIZE, false), 5);
	iol_ring_consume(e.ring, bufs, NULL, 4);
	assert_int_equal(iol_ring_peek(e.ring, bufs, SIZE, false), 1);
	iol_ring_consume(e.ring, bufs, NULL, 1);
	for (i = 0; i < 5; i++)
		expect_used(&e, i, 0);
	avail->idx = 5 + SIZE + 1;
	assert_int_equal(iol_ring_peek(e.ring, bufs, SIZE, false), 0);
	assert_int_equal(iol_ring_pop(e.ring, &c, 1), -EPROTO);
	env_fini(&e);
}

/* A head that cannot be ends what is seen; the long way says what it is. */
static void bad_head(void **state)
{
	struct env_conf conf = { .size = SIZE };
	struct vring_avail *avail;
	struct iol_buf bufs[SIZE];
	struct iol_chain c;
	struct env e;
	unsigned int i;

	env_init(&e, &conf);
	avail = (void *)(e.host + e.avail);
	env_start(&e);
	for (i = 0; i < 4; i++)
		add(&e, false, i);
	avail->ring[2] = SIZE;
	avail->ring[3] = UINT16_MAX;
	/* The last is fetched ahead only. */
	assert_int_equal(iol_ring_peek(e.ring, bufs, 3, false), 2);
	iol_ring_consume(e.ring, bufs, NULL, 2);
	assert_int_equal(iol_ring_peek(e.ring, bufs, SIZE, false), 0);
	assert_int_equal(iol_ring_pop(e.ring, &c, 1), -EPROTO);
	env_fini(&e);
}

/* Whoever makes a buffer available twice gets it back twice. What is used is what was looked at. */
static void twice(void **state)
{
	struct vring_packed_desc *pd;
	struct vring_avail *avail;
	struct iol_buf bufs[SIZE];
	struct vring_used *used;
	struct env e;
	int packed;

	for (packed = 0; packed < 2; packed++) {
		struct env_conf conf = { .size = SIZE, .packed = packed };

		env_init(&e, &conf);
		env_start(&e);
		add(&e, true, 0);
		add(&e, true, 1);
		pd = (void *)(e.host + e.desc);
		avail = (void *)(e.host + e.avail);
		used = (void *)(e.host + e.used);
		if (packed)
			pd[1].id = pd[0].id;
		else
			avail->ring[1] = avail->ring[0];
		assert_int_equal(iol_ring_peek(e.ring, bufs, SIZE, true), 2);
		assert_int_equal(bufs[0].id, bufs[1].id);
		if (packed)
			pd[0].id = pd[1].id = 77;
		else
			avail->ring[0] = avail->ring[1] = 5;
		iol_ring_consume(e.ring, bufs, (uint32_t[]){ 3, 4 }, 2);
		if (packed) {
			assert_int_equal(pd[0].id, bufs[0].id);
			assert_int_equal(pd[1].id, bufs[0].id);
			assert_int_equal(pd[1].len, 4);
		} else {
			assert_int_equal(used->ring[0].id, bufs[0].id);
			assert_int_equal(used->ring[1].id, bufs[0].id);
			assert_int_equal(used->ring[1].len, 4);
			assert_int_equal(used->idx, 2);
		}
		env_fini(&e);
	}
}

/* Never more than the ring has, whatever was asked for, and round its end. */
static void small_rings(void **state)
{
	static const uint16_t sizes[] = { 1, 2, 3, 4, 7 };
	struct iol_buf bufs[40];
	unsigned int i, k, round;
	struct env e;

	for (i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct env_conf conf = { .size = sizes[i / 2], .packed = i & 1 };

		if (!conf.packed && conf.size & (conf.size - 1u))
			continue;
		env_init(&e, &conf);
		env_start(&e);
		for (round = 0; round < 5; round++) {
			for (k = 0; k < conf.size; k++)
				add(&e, true, k);
			assert_int_equal(iol_ring_peek(e.ring, bufs, 0, true), 0);
			assert_int_equal(iol_ring_peek(e.ring, bufs, 40, true), conf.size);
			assert_false(iol_ring_consume(e.ring, bufs, NULL, 0));
			iol_ring_consume(e.ring, bufs, NULL, conf.size);
			assert_int_equal(iol_ring_peek(e.ring, bufs, 40, true), 0);
			for (k = 0; k < conf.size; k++)
				expect_used(&e, k, 0);
			assert_int_equal(iol_ring_base(e.ring), iol_driver_base(e.driver));
		}
		env_fini(&e);
	}
}

/* ---- the same steps on two rings, by either way ---- */

struct twins {
	struct env e[2]; /* by the quick way, and by the long one */
	uint64_t random;
	unsigned int made, quick, parts, calls;
};

static unsigned int below(struct twins *t, unsigned int n)
{
	return env_random(&t->random) % n;
}

/* Most are single buffers; all of a queue's are of one kind. */
static void twins_add(struct twins *t, bool write)
{
	unsigned int n = below(t, 8) ? 1 : 2, i;
	struct iol_driver_seg segs[2];
	int rc[2];

	for (i = 0; i < 2; i++)
		segs[i] = (struct iol_driver_seg){
			.addr = ENV_GPA + t->e[0].data + t->made % t->e[0].conf.size * ENV_DATA +
				i * 2048,
			.len = 1 + below(t, 2048),
			.write = write,
		};
	for (i = 0; i < 2; i++)
		rc[i] = iol_driver_add(t->e[i].driver, segs, n, t->made);
	assert_int_equal(rc[0], rc[1]);
	if (!rc[0])
		t->made++;
}

/* A device that takes up to @max and uses @some. Return: whether it calls. */
static bool serve_chains(struct env *e, unsigned int max, unsigned int some, const uint32_t *len,
			 unsigned int *took)
{
	struct iol_chain c[40];
	int n = iol_ring_pop(e->ring, c, max);
	unsigned int i;

	assert_true(n >= 0);
	if (some > (unsigned int)n)
		some = (unsigned int)n;
	for (i = 0; i < some; i++)
		iol_ring_push(e->ring, c[i].id, c[i].ndesc, len[i] < c[i].in_len ? len[i] : 0);
	assert_int_equal(iol_ring_unpop(e->ring, c + some, (unsigned int)n - some), 0);
	*took = some;
	return iol_ring_publish(e->ring);
}

static void twins_serve(struct twins *t, bool write)
{
	unsigned int max = 1 + below(t, 40), some, i, took[2];
	uint32_t len[40], wrote[40];
	struct iol_buf bufs[40];
	bool call[2];

	some = 1 + below(t, max);
	for (i = 0; i < 40; i++)
		len[i] = below(t, 4) ? below(t, 3000) : 0;
	i = iol_ring_peek(t->e[0].ring, bufs, max, write);
	if (i) {
		t->quick++;
		if (some > i)
			some = i;
		for (i = 0; i < some; i++)
			wrote[i] = write && len[i] < bufs[i].len ? len[i] : 0;
		call[0] = iol_ring_consume(t->e[0].ring, bufs, write ? wrote : NULL, some);
		took[0] = some;
	} else {
		call[0] = serve_chains(&t->e[0], max, some, len, &took[0]);
	}
	call[1] = serve_chains(&t->e[1], max, some, len, &took[1]);
	assert_int_equal(took[0], took[1]);
	assert_int_equal(call[0], call[1]);
	t->calls += call[0];
	assert_int_equal(iol_ring_base(t->e[0].ring), iol_ring_base(t->e[1].ring));
	/* In order a batch may have one used entry, and needs not. */
	if (!t->e[0].conf.in_order)
		assert_memory_equal(t->e[0].host + t->e[0].desc, t->e[1].host + t->e[1].desc,
				    t->e[0].tables - t->e[0].desc);
}

/* All that were used, so that no twin's driver arms in the middle of a batch that it takes one by one. */
static void twins_drain(struct twins *t)
{
	uintptr_t cookie[2] = { 0 };
	uint32_t len[2] = { 0 };
	int rc[2], i;

	do {
		for (i = 0; i < 2; i++)
			rc[i] = iol_driver_used(t->e[i].driver, &cookie[i], &len[i]);
		assert_int_equal(rc[0], rc[1]);
		assert_int_equal(cookie[0], cookie[1]);
		assert_int_equal(len[0], len[1]);
	} while (rc[0]);
}

static void twins_step(struct twins *t)
{
	unsigned int what = below(t, 8), i;
	bool rc[2] = { false };

	if (what < 4)
		twins_drain(t);
	for (i = 0; i < 2; i++) {
		if (what == 0)
			rc[i] = iol_driver_arm(t->e[i].driver);
		else if (what == 1)
			iol_driver_disarm(t->e[i].driver);
		else if (what == 4)
			rc[i] = iol_ring_arm(t->e[i].ring);
		else if (what == 5)
			rc[i] = iol_ring_recall(t->e[i].ring);
		else if (what > 5)
			rc[i] = iol_driver_publish(t->e[i].driver);
	}
	assert_int_equal(rc[0], rc[1]);
	for (i = 0; i < 2 && what == 5; i++)
		iol_ring_disarm(t->e[i].ring);
}

static void twins_run(const struct env_conf *conf, bool resume, bool write)
{
	struct twins *t = calloc(1, sizeof(*t));
	unsigned int i;

	assert_non_null(t);
	t->random = 0x9e3779b97f4a7c15ull ^ (conf->size * 8u + conf->packed * 4u + write);
	for (i = 0; i < 2; i++) {
		env_init(&t->e[i], conf);
		t->e[i].spec.resume_at_used = resume;
		/* What is not in good shape when it starts is marked after a round. */
		t->e[i].spec.base_sure = resume && conf->event_idx;
		env_start(&t->e[i]);
	}
	for (i = 0; i < 6000; i++) {
		switch (below(t, 4)) {
		case 0:
			twins_add(t, write);
			break;
		case 1:
			twins_serve(t, write);
			break;
		default:
			twins_step(t);
		}
	}
	assert_true(t->quick > 100);
	assert_true(t->calls > 10);
	env_fini(&t->e[0]);
	env_fini(&t->e[1]);
	free(t);
}

static void twins(bool packed, const uint16_t *sizes, size_t nsizes)
{
	unsigned int f;
	size_t i;

	for (i = 0; i < nsizes; i++) {
		for (f = 0; f < 16; f++) {
			uint16_t last = sizes[i] - 1;
			struct env_conf conf = {
				.size = sizes[i],
				.packed = packed,
				.event_idx = f & 1,
				.in_order = f & 2,
				.base = packed ? (last | 0x8000u) | (uint32_t)(last | 0x8000u) << 16
					       : 65500,
			};

			/* Where the used ring is zero, an old place is none to go on at. */
			if (f & 4)
				conf.base = 0;
			twins_run(&conf, f & 4, f & 8);
		}
	}
}

static void split_twins(void **state)
{
	static const uint16_t sizes[] = { 1, 2, 4, 8, 64, 256 };

	twins(false, sizes, sizeof(sizes) / sizeof(sizes[0]));
}

static void packed_twins(void **state)
{
	static const uint16_t sizes[] = { 1, 2, 3, 7, 64, 300 };

	twins(true, sizes, sizeof(sizes) / sizeof(sizes[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_kinds),  cmocka_unit_test(not_quick),
		cmocka_unit_test(base_apart),   cmocka_unit_test(iommu),
		cmocka_unit_test(regions),      cmocka_unit_test(index_jumps),
		cmocka_unit_test(bad_head),     cmocka_unit_test(twice),
		cmocka_unit_test(small_rings),  cmocka_unit_test(split_twins),
		cmocka_unit_test(packed_twins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
