/* SPDX-License-Identifier: BSD-3-Clause */
/* Chains that a device took and gives back untouched: the ring is as if it had not taken them. */
#include "ring_env.h"

#define SIZE 8

/* A chain of @nsegs whose first byte tells which it is. */
static void add(struct env *e, unsigned int cookie, unsigned int nsegs)
{
	struct iol_driver_seg segs[SIZE];
	unsigned int i;

	for (i = 0; i < nsegs; i++)
		segs[i] = (struct iol_driver_seg){
			.addr = ENV_GPA + e->data + cookie % SIZE * ENV_DATA + i * 64,
			.len = 64,
			.write = i > 0,
		};
	e->host[e->data + cookie % SIZE * ENV_DATA] = (uint8_t)cookie;
	assert_int_equal(iol_driver_add(e->driver, segs, nsegs, cookie), 0);
	iol_driver_publish(e->driver);
}

/* Pop up to @max, of which there are @n, the first of them @cookie. */
static void pop(struct env *e, struct iol_chain *c, unsigned int max, unsigned int n,
		unsigned int cookie)
{
	unsigned int i;

	assert_int_equal(iol_ring_pop(e->ring, c, max), n);
	for (i = 0; i < n; i++)
		assert_int_equal(*(uint8_t *)c[i].iov[0].iov_base, (uint8_t)(cookie + i));
}

static void unpop(struct env *e, const struct iol_chain *c, unsigned int n)
{
	unsigned int before = iol_ring_inflight(e->ring);

	assert_int_equal(iol_ring_unpop(e->ring, c, n), 0);
	assert_int_equal(iol_ring_inflight(e->ring), before - n);
}

static void push(struct env *e, const struct iol_chain *c, unsigned int n)
{
	while (n--) {
		iol_ring_push(e->ring, c->id, c->ndesc, c->in_len);
		c++;
	}
	iol_ring_publish(e->ring);
}

static void used(struct env *e, unsigned int cookie, unsigned int n)
{
	uintptr_t got;
	uint32_t len;

	for (; n; n--, cookie++) {
		assert_int_equal(iol_driver_used(e->driver, &got, &len), 1);
		assert_int_equal(got, cookie);
	}
	assert_int_equal(iol_driver_used(e->driver, &got, &len), 0);
}

/* Kinds of rings: split and packed, in order or not, with and without an inflight log. */
#define KINDS 8

static void world(struct env *e, unsigned int kind, uint16_t size, struct iol_inflight **log)
{
	struct env_conf conf = { .size = size, .packed = kind & 1, .in_order = kind & 2 };

	/* Near the end of what counts positions. */
	conf.base = kind & 1 ? (size - 1u) | 0x8000u | (size - 1u) << 16 | 0x80000000u : 65533;
	env_init(e, &conf);
	*log = NULL;
	if (kind & 4)
		assert_int_equal(iol_inflight_new(1, size, kind & 1, log), 0);
	e->spec.inflight = *log;
	env_start(e);
}

static void gone(struct env *e, struct iol_inflight **log)
{
	env_fini(e);
	iol_inflight_destroy(log);
}

/* Receive queues take a burst and use a part of it, round and round the ring. */
static void part_of_a_burst(void **state)
{
	unsigned int kind, round, made, done;
	struct iol_inflight *log;
	struct iol_chain c[SIZE];
	struct env e;
	uint32_t base;

	for (kind = 0; kind < KINDS; kind++) {
		world(&e, kind, SIZE, &log);
		for (round = 0, made = 0, done = 0; round < 50; round++) {
			unsigned int n, keep;

			/* Two slots a chain in a packed ring, so that chains cross its end. */
			while (made - done < (kind & 1 ? SIZE / 2 : SIZE))
				add(&e, made++, 2 - !(kind & 1));
			n = made - done;
			keep = round % (n + 1);
			base = iol_ring_base(e.ring);
			pop(&e, c, SIZE, n, done);
			unpop(&e, c, n);
			assert_int_equal(iol_ring_base(e.ring), base);
			pop(&e, c, SIZE, n, done);
			unpop(&e, c + keep, n - keep);
			push(&e, c, keep);
			used(&e, done, keep);
			done += keep;
		}
		assert_true(done > 2 * SIZE);
		gone(&e, &log);
	}
}

/* Those before may be pushed already, or be in flight for long. */
static void behind_others(void **state)
{
	struct iol_inflight *log;
	struct iol_chain c[SIZE];
	unsigned int kind, i;
	struct env e;

	for (kind = 0; kind < KINDS; kind++) {
		world(&e, kind, 2 * SIZE, &log);
		for (i = 0; i < SIZE; i++)
			add(&e, i, 2);
		pop(&e, c, 3, 3, 0);
		pop(&e, c + 3, 3, 3, 3);
		push(&e, c, 2);
		/* Of both pops; then one more is taken than before. */
		unpop(&e, c + 2, 4);
		used(&e, 0, 2);
		pop(&e, c + 2, 5, 5, 2);
		push(&e, c + 2, 1);
		iol_ring_push(e.ring, c[3].id, c[3].ndesc, 0);
		/* One is pushed and not shown. */
		unpop(&e, c + 5, 2);
		unpop(&e, c + 4, 1);
		iol_ring_publish(e.ring);
		used(&e, 2, 2);
		pop(&e, c + 4, SIZE, 4, 4);
		push(&e, c + 4, 4);
		used(&e, 4, 4);
		gone(&e, &log);
	}
}

/* What the driver, or the memory table, changed meanwhile counts at the next pop. */
static void read_anew(void **state)
{
	const uint64_t far = 0x100000000ull;
	struct iol_mem_desc more = { .gpa = far, .size = 4096, .uaddr = 0x1000 };
	struct iol_driver_seg seg = { .addr = far, .len = 64, .write = true };
	struct iol_inflight *log;
	struct iol_chain c[2];
	struct iol_mem *with;
	unsigned int kind;
	struct env e;

	for (kind = 0; kind < KINDS; kind++) {
		world(&e, kind, SIZE, &log);
		assert_int_equal(iol_mem_add(e.mem, &more, e.fd, -1, &e.broken, &with), 0);
		assert_int_equal(iol_ring_set_mem(e.ring, with), 0);
		add(&e, 0, 1);
		assert_int_equal(iol_driver_add(e.driver, &seg, 1, 1), 0);
		iol_driver_publish(e.driver);
		assert_int_equal(iol_ring_pop(e.ring, c, 2), 2);
		assert_int_equal(iol_ring_set_mem(e.ring, e.mem), 0);
		unpop(&e, c + 1, 1);
		/* Only the first holds the old table now; given back, it is translated by the new. */
		unpop(&e, c, 1);
		pop(&e, c, 1, 1, 0);
		assert_int_equal(iol_ring_pop(e.ring, c + 1, 1), -EPROTO);
		/* A ring that is broken still lets go of what it had. */
		unpop(&e, c, 1);
		gone(&e, &log);
		iol_mem_unref(&with);
	}
}

static void only_what_is_in_flight(void **state)
{
	struct iol_chain c[3], bad;
	struct iol_inflight *log;
	unsigned int kind;
	struct env e;

	for (kind = 0; kind < KINDS; kind++) {
		world(&e, kind, SIZE, &log);
		assert_int_equal(iol_ring_unpop(e.ring, NULL, 0), 0);
		add(&e, 0, 1);
		add(&e, 1, 1);
		pop(&e, c, SIZE, 2, 0);
		iol_ring_push(e.ring, c[0].id, 1, 0);
		/* One of them is pushed: neither goes back. */
		assert_int_equal(iol_ring_unpop(e.ring, c, 2), -EINVAL);
		assert_int_equal(iol_ring_inflight(e.ring), 1);
		bad = c[1];
		bad.ndesc = 2;
		assert_int_equal(iol_ring_unpop(e.ring, &bad, 1), -EINVAL);
		bad.ndesc = 0;
		assert_int_equal(iol_ring_unpop(e.ring, &bad, 1), -EINVAL);
		bad = c[1];
		bad.id = 60000;
		assert_int_equal(iol_ring_unpop(e.ring, &bad, 1), -EINVAL);
		c[2] = c[1];
		assert_int_equal(iol_ring_unpop(e.ring, c + 1, 2), -EINVAL);
		unpop(&e, c + 1, 1);
		assert_int_equal(iol_ring_unpop(e.ring, c + 1, 1), -EINVAL);
		pop(&e, c, SIZE, 1, 1);
		iol_ring_stop(e.ring);
		assert_int_equal(iol_ring_unpop(e.ring, c, 1), -EINVAL);
		gone(&e, &log);
	}
}

/* What a dead process left is still left, and comes before the rest; what it let go of is new. */
static void replayed(void **state)
{
	struct iol_inflight *log;
	struct iol_chain c[4];
	unsigned int kind, i;
	struct env e;

	for (kind = 4; kind < KINDS; kind++) {
		world(&e, kind, 2 * SIZE, &log);
		for (i = 0; i < 4; i++)
			add(&e, i, 2);
		pop(&e, c, 4, 4, 0);
		unpop(&e, c + 2, 2);
		env_start(&e);
		assert_int_equal(iol_ring_replaying(e.ring), 2);
		for (i = 0; i < 2; i++) {
			pop(&e, c, 4, 1, i);
			unpop(&e, c, 1);
			assert_int_equal(iol_ring_replaying(e.ring), 2 - i);
			assert_true(iol_ring_arm(e.ring));
			/* And if this one dies, too. */
			env_start(&e);
			assert_int_equal(iol_ring_replaying(e.ring), 2 - i);
			pop(&e, c, 4, 1, i);
			push(&e, c, 1);
			used(&e, i, 1);
		}
		pop(&e, c, 4, 2, 2);
		unpop(&e, c + 1, 1);
		push(&e, c, 1);
		pop(&e, c, 4, 1, 3);
		push(&e, c, 1);
		used(&e, 2, 2);
		assert_int_equal(iol_ring_base(e.ring) & 0xffff,
				 iol_driver_base(e.driver) & 0xffff);
		gone(&e, &log);
	}
}

/* A chain that waits for the IOMMU is behind those given back: the thread must not sleep on them. */
static void before_one_that_waits(void **state)
{
	struct iol_driver_seg seg = { .addr = 0x5000, .len = 64 };
	struct iol_chain c[2];
	struct iol_iotlb *tlb;
	struct env e;
	int packed;

	for (packed = 0; packed < 2; packed++) {
		struct env_conf conf = { .size = SIZE, .packed = packed };

		env_init(&e, &conf);
		assert_int_equal(iol_iotlb_new(-1, &tlb), 0);
		e.spec.access_platform = true;
		e.spec.iotlb = tlb;
		assert_int_equal(iol_iotlb_update(tlb, ENV_UADDR, e.len, ENV_UADDR, IOL_ACCESS_RW),
				 0);
		assert_int_equal(iol_iotlb_update(tlb, ENV_GPA, e.len, ENV_UADDR, IOL_ACCESS_RW),
				 0);
		env_start(&e);
		add(&e, 0, 1);
		assert_int_equal(iol_driver_add(e.driver, &seg, 1, 1), 0);
		iol_driver_publish(e.driver);
		pop(&e, c, 2, 1, 0);
		assert_int_equal(iol_ring_pop(e.ring, c + 1, 1), -EAGAIN);
		assert_false(iol_ring_arm(e.ring));
		unpop(&e, c, 1);
		assert_true(iol_ring_arm(e.ring));
		pop(&e, c, 2, 1, 0);
		push(&e, c, 1);
		used(&e, 0, 1);
		env_fini(&e);
		iol_iotlb_destroy(&tlb);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(part_of_a_burst), cmocka_unit_test(behind_others),
		cmocka_unit_test(read_anew),       cmocka_unit_test(only_what_is_in_flight),
		cmocka_unit_test(replayed),        cmocka_unit_test(before_one_that_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
