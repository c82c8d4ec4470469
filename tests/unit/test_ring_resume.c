/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rings without an inflight log whose device serves them in order: a new process goes on after the last used
 * chain, whatever it is told. Random traffic, killed anywhere, also while the driver writes; test_ring_crash
 * kills the device's process at each instruction.
 */
#include "ring_env.h"

#include <linux/virtio_ring.h>

#define CHAINS 40

struct model {
	struct env e;
	uint64_t random;
	struct iol_chain popped[CHAINS * 2];
	uintptr_t order[4096]; /* cookies in the order in which they were added */
	unsigned int added, published, taken, pushed, shown, seen;
	uint16_t pos; /* the device's place, packed */
	bool wrap;
	/* What was pushed and not shown, if it is one group: how many chains, and the slots of each. */
	unsigned int group, group_ndesc[CHAINS];
};

static unsigned int below(struct model *m, unsigned int n)
{
	return env_random(&m->random) % n;
}

static unsigned int at(unsigned int i)
{
	return i % (sizeof(((struct model *)0)->order) / sizeof(uintptr_t));
}

static void add(struct model *m)
{
	struct iol_driver_seg segs[4];
	unsigned int n = 1 + below(m, 4), i;

	for (i = 0; i < n; i++)
		segs[i] = (struct iol_driver_seg){ .addr = ENV_GPA + m->e.data + i * 64,
						   .len = 1 + m->added % 61,
						   .write = i > 0 };
	if (m->added - m->seen >= CHAINS || iol_driver_add(m->e.driver, segs, n, m->added))
		return;
	m->order[at(m->added)] = n;
	m->added++;
}

static void publish(struct model *m)
{
	iol_driver_publish(m->e.driver);
	m->published = m->added;
}

static void pop(struct model *m)
{
	unsigned int have = m->taken - m->pushed;
	int n = iol_ring_pop(m->e.ring, m->popped + have, 1 + below(m, 8)), i;

	assert_true(n >= 0);
	for (i = 0; i < n; i++, m->taken++) {
		/* The first segment's length is the chain's own. */
		assert_int_equal(m->popped[have + (unsigned int)i].iov[0].iov_len,
				 1 + m->taken % 61);
		assert_int_equal(m->popped[have + (unsigned int)i].nout +
					 m->popped[have + (unsigned int)i].nin,
				 m->order[at(m->taken)]);
	}
	assert_true(m->taken <= m->published);
}

static void push_one(struct model *m, bool more)
{
	struct iol_chain *c = m->popped;

	if (more)
		iol_ring_push_more(m->e.ring, c->id, c->ndesc, c->in_len);
	else
		iol_ring_push(m->e.ring, c->id, c->ndesc, c->in_len ? 1 : 0);
	m->pos += c->ndesc;
	if (m->pos >= m->e.conf.size) {
		m->pos -= m->e.conf.size;
		m->wrap = !m->wrap;
	}
	m->pushed++;
	memmove(c, c + 1, (m->taken - m->pushed) * sizeof(*c));
}

static void push(struct model *m)
{
	unsigned int have = m->taken - m->pushed, n = 1 + below(m, 4), slots = 0, i;
	bool first = m->pushed == m->shown;

	for (i = 0; i < n && i < have; i++) {
		slots += m->popped[i].ndesc;
		if (i && slots > iol_ring_group_max(m->e.ring))
			break;
		m->group_ndesc[i] = m->popped[i].ndesc;
	}
	m->group = first ? i : 0;
	for (; i; i--)
		push_one(m, i > 1);
}

static void unpop(struct model *m)
{
	unsigned int have = m->taken - m->pushed, n = below(m, have + 1);

	assert_int_equal(iol_ring_unpop(m->e.ring, m->popped + have - n, n), 0);
	m->taken -= n;
}

static void show(struct model *m)
{
	iol_ring_publish(m->e.ring);
	m->shown = m->pushed;
}

static uint32_t place(struct model *m);
static uint32_t expected(const struct model *m);

/* The same when the process is killed between: the next does the rest, whatever the driver has done meanwhile. */
static void show_by_another(struct model *m)
{
	size_t len = (size_t)m->e.conf.size * sizeof(struct vring_packed_desc);
	struct vring_packed_desc *ring = (void *)(m->e.host + m->e.desc);
	struct vring_packed_desc *was = malloc(len), *is = malloc(len);
	unsigned int at = iol_ring_base(m->e.ring) >> 16 & 0x7fff, left, i, k;

	assert_non_null(was);
	assert_non_null(is);
	memcpy(was, ring, len);
	show(m);
	memcpy(is, ring, len);
	/* Chains are done from the last on; this is where the next would be. */
	left = 1 + below(m, m->group - 1);
	for (i = 0, k = at; i < left; i++) {
		unsigned int n;

		for (n = 0; n < m->group_ndesc[i]; n++, k = (k + 1) % m->e.conf.size)
			ring[k] = was[k];
	}
	if (below(m, 2)) {
		add(m);
		publish(m);
	}
	assert_int_equal(place(m), expected(m));
	for (i = 0; at != k; i++, at = (at + 1) % m->e.conf.size) {
		/* What a driver looks at. */
		assert_int_equal(ring[at].flags & (1u << VRING_PACKED_DESC_F_AVAIL |
						   1u << VRING_PACKED_DESC_F_USED),
				 is[at].flags & (1u << VRING_PACKED_DESC_F_AVAIL |
						 1u << VRING_PACKED_DESC_F_USED));
		assert_int_equal(ring[at].id, is[at].id);
		assert_int_equal(ring[at].len, is[at].len);
	}
	free(was);
	free(is);
}

static void see(struct model *m)
{
	uintptr_t cookie;
	uint32_t len;
	int rc = iol_driver_used(m->e.driver, &cookie, &len);

	assert_int_equal(rc, m->seen < m->shown);
	if (rc)
		assert_int_equal(cookie, m->seen++);
}

/* Where a new process would go on: nobody knows what base it is told. */
static uint32_t place(struct model *m)
{
	struct iol_ring_spec spec = m->e.spec;
	struct iol_ring *r;
	uint32_t base;

	spec.base = m->e.conf.packed ? below(m, m->e.conf.size) | below(m, 2) << 15 |
					       below(m, m->e.conf.size) << 16 | below(m, 2) << 31
				     : below(m, 65536);
	assert_int_equal(iol_ring_new(&r), 0);
	base = iol_ring_start(r, &spec) ? UINT32_MAX : iol_ring_base(r);
	iol_ring_destroy(&r);
	return base;
}

static uint32_t expected(const struct model *m)
{
	uint32_t at_used = m->pos | (uint32_t)m->wrap << 15;

	return m->e.conf.packed ? at_used | at_used << 16 : (uint16_t)(m->e.conf.base + m->shown);
}

/* What was popped or pushed and never shown comes again. */
static void killed(struct model *m)
{
	/* Pushed and not shown: lost with the process. */
	if (m->shown != m->pushed)
		return;
	assert_int_equal(place(m), expected(m));
	m->e.spec.base = below(m, 2) ? 0 : m->e.conf.packed ? 0x80008000u : 7;
	env_start(&m->e);
	assert_int_equal(iol_ring_base(m->e.ring), expected(m));
	m->taken = m->pushed;
}

/*
 * The driver adds a batch, and of what it stores any part may be seen before the rest. Where nothing was in
 * flight, some such parts are of no driver that writes in order; then nothing wrong is told, or nothing.
 */
static void torn(struct model *m)
{
	size_t len = (size_t)m->e.conf.size * sizeof(struct vring_packed_desc);
	struct vring_packed_desc *ring = (void *)(m->e.host + m->e.desc);
	struct vring_packed_desc *was, *is;
	unsigned int i, n, head;
	uint32_t base;
	bool idle;

	if (!m->e.conf.packed || m->shown != m->pushed)
		return;
	was = malloc(len);
	is = malloc(len);
	assert_non_null(was);
	assert_non_null(is);
	publish(m);
	idle = m->published == m->shown;
	head = iol_driver_base(m->e.driver) & 0x7fff;
	memcpy(was, ring, len);
	for (n = below(m, m->e.conf.size); n; n--)
		add(m);
	publish(m);
	memcpy(is, ring, len);
	for (n = 0; n < 4; n++) {
		for (i = 0; i < m->e.conf.size; i++)
			ring[i] = below(m, 2) ? was[i] : is[i];
		base = place(m);
		if (!idle || base != UINT32_MAX)
			assert_int_equal(base, expected(m));
	}
	/* As drivers do: all but the head that shows it. */
	memcpy(ring, is, len);
	ring[head] = was[head];
	assert_int_equal(place(m), expected(m));
	memcpy(ring, is, len);
	free(was);
	free(is);
}

static void run(const struct env_conf *conf, unsigned int steps)
{
	struct model *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	m->random = 0x9e3779b97f4a7c15ull ^ (conf->size * 64u + conf->packed * 32u +
					     conf->in_order * 16u + conf->indirect * 8u);
	m->wrap = true;
	env_init(&m->e, conf);
	m->e.spec.resume_at_used = true;
	env_start(&m->e);
	while (steps--) {
		switch (below(m, 16)) {
		case 0 ... 3:
			add(m);
			break;
		case 4:
			publish(m);
			break;
		case 5:
		case 6:
			pop(m);
			break;
		case 7 ... 9:
			push(m);
			break;
		case 10:
			unpop(m);
			break;
		case 11:
			if (m->group > 1 && m->e.conf.packed && below(m, 2))
				show_by_another(m);
			else
				show(m);
			m->group = 0;
			break;
		case 12 ... 13:
			see(m);
			break;
		case 14:
			killed(m);
			break;
		case 15:
			torn(m);
			break;
		}
	}
	assert_true(m->seen > 50);
	env_fini(&m->e);
	free(m);
}

static void any_time(bool packed, const uint16_t *sizes, size_t n)
{
	unsigned int f;
	size_t i;

	for (i = 0; i < n; i++) {
		for (f = 0; f < 8; f++) {
			struct env_conf conf = { .size = sizes[i],
						 .packed = packed,
						 .event_idx = f & 1,
						 .indirect = f & 2,
						 .in_order = f & 4,
						 .base = packed ? 0 : 65500 };

			run(&conf, 6000);
		}
	}
}

static void split(void **state)
{
	static const uint16_t sizes[] = { 1, 2, 8, 256 };

	any_time(false, sizes, sizeof(sizes) / sizeof(sizes[0]));
}

static void packed(void **state)
{
	static const uint16_t sizes[] = { 1, 2, 3, 4, 5, 7, 8, 13, 64, 300 };

	any_time(true, sizes, sizeof(sizes) / sizeof(sizes[0]));
}

/* ---- whom to believe ---- */

#define SIZE 5

/* A chain of two slots, served. */
static void serve(struct env *e)
{
	struct iol_driver_seg segs[2] = { { .addr = ENV_GPA + e->data, .len = 16 },
					  { .addr = ENV_GPA + e->data, .len = 16, .write = true } };
	struct iol_chain c;
	uintptr_t cookie;
	uint32_t len;

	assert_int_equal(iol_driver_add(e->driver, segs, 2, 1), 0);
	iol_driver_publish(e->driver);
	assert_int_equal(iol_ring_pop(e->ring, &c, 1), 1);
	iol_ring_push(e->ring, c.id, c.ndesc, 16);
	iol_ring_publish(e->ring);
	assert_int_equal(iol_driver_used(e->driver, &cookie, &len), 1);
}

static void start_at(struct env *e, uint32_t told, uint32_t is)
{
	e->spec.base = told;
	env_start(e);
	assert_int_equal(iol_ring_base(e->ring), is);
}

static void begin(struct env *e, bool resume)
{
	struct env_conf conf = { .size = SIZE, .packed = true, .event_idx = true };

	env_init(e, &conf);
	e->spec.resume_at_used = resume;
	env_start(e);
}

/* Another kind of device leaves the rest of chains looking available. */
static void what_others_leave(void **state)
{
	struct env e;

	begin(&e, false);
	serve(&e);
	serve(&e);
	serve(&e);
	e.spec.resume_at_used = true;
	/* Handed over in order: what is told counts, and where that is, and not what seems to be. */
	start_at(&e, 0x00010001u, 0x00010001u);
	serve(&e);
	/* Killed before it has been round the ring, there is nothing but what is told. */
	start_at(&e, 0x00010001u, 0x00010001u);
	start_at(&e, 0x00030003u, 0x00030003u);
	serve(&e);
	serve(&e);
	serve(&e);
	start_at(&e, 0x00010001u, 0x80048004u);
	serve(&e);
	/* Left in order, another may have it. */
	iol_ring_leave(e.ring);
	start_at(&e, 0x00020002u, 0x00020002u);
	/* And what is told is right, so that it need not be gone round. */
	start_at(&e, 0x80018001u, 0x80018001u);
	start_at(&e, 0x00020002u, 0x00020002u);
	env_fini(&e);
}

static void told_what_cannot_be(void **state)
{
	struct vring_packed_desc *ring;
	struct env e;
	int i;

	begin(&e, true);
	serve(&e);
	serve(&e);
	ring = (void *)(e.host + e.desc);
	/* A slot of another round among those that were used. */
	ring[2].flags ^= 1u << VRING_PACKED_DESC_F_AVAIL | 1u << VRING_PACKED_DESC_F_USED;
	assert_int_equal(iol_ring_start(e.ring, &e.spec), -EINVAL);
	assert_int_equal(iol_ring_start(e.ring, &e.spec), -EINVAL);
	/* The process that had it itself knows better. */
	e.spec.base_sure = true;
	start_at(&e, 0x80048004u, 0x80048004u);
	/* A driver that begins anew. */
	e.spec.base_sure = false;
	for (i = 0; i < SIZE; i++)
		ring[i].flags = 0;
	memset(e.host + e.used, 0, 4);
	start_at(&e, 0x80008000u, 0x80008000u);
	env_fini(&e);
}

/* The mark stays whatever kicks are asked for, and no driver takes it for an event. */
static void the_mark_is_no_event(void **state)
{
	struct vring_packed_desc_event *event;
	struct env e;

	begin(&e, true);
	event = (void *)(e.host + e.used);
	assert_int_equal(event->off_wrap, 0xffff);
	assert_int_equal(event->flags, VRING_PACKED_EVENT_FLAG_ENABLE);
	iol_ring_disarm(e.ring);
	assert_int_equal(event->off_wrap, 0xffff);
	assert_int_equal(event->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
	iol_ring_arm(e.ring);
	assert_int_equal(event->off_wrap, 0xffff);
	assert_int_equal(event->flags, VRING_PACKED_EVENT_FLAG_ENABLE);
	iol_ring_leave(e.ring);
	assert_int_equal(event->off_wrap, 0);
	env_fini(&e);
}

/* Where the mark could be a place, there is none. */
static void the_largest_ring(void **state)
{
	struct env_conf conf = { .size = 32768, .packed = true };
	struct env e;

	env_init(&e, &conf);
	e.spec.resume_at_used = true;
	env_start(&e);
	serve(&e);
	start_at(&e, 0x80018001u, 0x80018001u);
	/* What the one before had taken and not used is taken again. */
	start_at(&e, 0x80018003u, 0x80018001u);
	env_fini(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split),
		cmocka_unit_test(packed),
		cmocka_unit_test(what_others_leave),
		cmocka_unit_test(told_what_cannot_be),
		cmocka_unit_test(the_mark_is_no_event),
		cmocka_unit_test(the_largest_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
