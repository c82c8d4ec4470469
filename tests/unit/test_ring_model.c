/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random steps of driver and device, compared with a plain model: which chains are where, and in which
 * order. Every kind of ring, size and feature; indices and wrap counters begin near their ends.
 */
#include "ring_env.h"

#define SEGS_MAX 6

enum where { FREE, ADDED, POPPED, PUSHED };

struct chain {
	enum where where;
	unsigned int nout, nin;
	uint32_t out_len, in_len, len;
	uint16_t id, ndesc;
	unsigned int slots; /* of the ring */
	bool single;        /* one buffer in one descriptor */
	uint8_t *in;        /* first writable byte as the driver sees it */
	uint8_t *in_dev;    /* and the device */
};

struct model {
	struct env e;
	uint64_t random;
	struct chain chain[32768];
	/* Cookies in the order in which the other side must see them. */
	uint16_t available[32768], used[32768];
	unsigned int navailable, published, nused, shown;
	uint16_t popped[32768]; /* in flight, any order */
	unsigned int npopped;
	unsigned int tail; /* so many of its last: none pushed was popped after one of them */
	unsigned int done, unpopped, consumed;
	bool kick_due, call_due; /* a side armed: the other's next publish must notify it */
};

static unsigned int below(struct model *m, unsigned int n)
{
	return env_random(&m->random) % n;
}

static uint16_t shift(uint16_t *list, unsigned int *n)
{
	uint16_t first = list[0];

	memmove(list, list + 1, --*n * sizeof(*list));
	return first;
}

/* Pieces in this slot's buffer; an empty one now and then, which the ring passes over. */
static void driver_add(struct model *m)
{
	struct iol_driver_seg segs[SEGS_MAX];
	unsigned int n = below(m, 2) ? 1 : 1 + below(m, SEGS_MAX), i, nout = below(m, n + 1), slot;
	size_t at;
	struct chain *c;
	bool indirect;
	int rc;

	for (i = 0, slot = below(m, m->e.conf.size); i < m->e.conf.size; i++)
		if (m->chain[(slot + i) % m->e.conf.size].where == FREE)
			break;
	if (i == m->e.conf.size)
		return;
	slot = (slot + i) % m->e.conf.size;
	c = &m->chain[slot];
	*c = (struct chain){ 0 };
	at = m->e.data + (size_t)slot * ENV_DATA;
	for (i = 0; i < n; i++) {
		uint32_t len = below(m, 16) ? 1 + below(m, ENV_DATA / SEGS_MAX) : 0;

		segs[i] = (struct iol_driver_seg){ .addr = ENV_GPA + at,
						   .len = len,
						   .write = i >= nout };
		if (len && i < nout) {
			c->nout++;
			c->out_len += len;
			memset(m->e.host + at, (uint8_t)slot, len);
		} else if (len) {
			if (!c->nin++)
				c->in = m->e.host + at;
			c->in_len += len;
		}
		at += len;
	}
	indirect = m->e.conf.indirect && n > 1 && n <= m->e.conf.indirect_max;
	c->slots = indirect ? 1 : n;
	c->single = n == 1 && c->nout + c->nin;
	rc = iol_driver_add(m->e.driver, segs, n, slot);
	if (rc) {
		/* Refused only when it can be. */
		if (rc == -EINVAL)
			assert_true(n > m->e.conf.size && !indirect);
		else
			assert_int_equal(rc, -ENOSPC);
		if (rc == -ENOSPC)
			assert_true(iol_driver_inflight(m->e.driver) > 0);
		return;
	}
	c->where = ADDED;
	m->available[m->navailable++] = (uint16_t)slot;
}

static void driver_publish(struct model *m)
{
	bool any = m->published != m->navailable;
	bool kick = iol_driver_publish(m->e.driver);

	if (any && m->kick_due) {
		assert_true(kick);
		m->kick_due = false;
	}
	if (!any)
		assert_false(kick);
	m->published = m->navailable;
}

static void device_pop(struct model *m)
{
	struct iol_chain chains[40];
	unsigned int max = 1 + below(m, 40);
	int n = iol_ring_pop(m->e.ring, chains, max), i;

	assert_int_equal(n, max < m->published ? max : m->published);
	for (i = 0; i < n; i++) {
		uint16_t slot = shift(m->available, &m->navailable);
		struct chain *c = &m->chain[slot];
		unsigned int k;
		size_t b;

		m->published--;
		assert_int_equal(c->where, ADDED);
		assert_int_equal(chains[i].nout, c->nout);
		assert_int_equal(chains[i].nin, c->nin);
		assert_int_equal(chains[i].out_len, c->out_len);
		assert_int_equal(chains[i].in_len, c->in_len);
		for (k = 0; k < c->nout; k++)
			for (b = 0; b < chains[i].iov[k].iov_len; b++)
				assert_int_equal(((uint8_t *)chains[i].iov[k].iov_base)[b],
						 (uint8_t)slot);
		c->where = POPPED;
		c->id = chains[i].id;
		c->ndesc = chains[i].ndesc;
		c->in_dev = c->nin ? chains[i].iov[c->nout].iov_base : NULL;
		m->popped[m->npopped++] = slot;
		m->tail++;
	}
	assert_int_equal(iol_ring_inflight(m->e.ring), m->npopped);
}

/* The first of the available again, in the order in which they were taken. */
static void device_unpop(struct model *m)
{
	unsigned int n, i;
	struct iol_chain *chains;

	if (!m->tail)
		return;
	n = 1 + below(m, m->tail);
	chains = calloc(n, sizeof(*chains));
	assert_non_null(chains);
	memmove(m->available + n, m->available, m->navailable * sizeof(m->available[0]));
	m->npopped -= n;
	m->tail -= n;
	for (i = 0; i < n; i++) {
		uint16_t slot = m->popped[m->npopped + i];

		m->chain[slot].where = ADDED;
		chains[i].id = m->chain[slot].id;
		chains[i].ndesc = m->chain[slot].ndesc;
		m->available[i] = slot;
	}
	m->navailable += n;
	m->published += n;
	m->unpopped += n;
	assert_int_equal(iol_ring_unpop(m->e.ring, chains, n), 0);
	assert_int_equal(iol_ring_inflight(m->e.ring), m->npopped);
	free(chains);
}

static void device_push(struct model *m)
{
	unsigned int k = m->e.conf.in_order || !m->npopped ? 0 : below(m, m->npopped);
	struct chain *c;
	uint16_t slot;

	if (!m->npopped)
		return;
	slot = m->popped[k];
	c = &m->chain[slot];
	memmove(m->popped + k, m->popped + k + 1, (--m->npopped - k) * sizeof(m->popped[0]));
	if (m->tail > m->npopped - k)
		m->tail = m->npopped - k;
	if (c->nin)
		*c->in_dev = (uint8_t)~slot;
	c->len = c->in_len ? below(m, c->in_len) : 0;
	iol_ring_push(m->e.ring, c->id, c->ndesc, c->len);
	/* Once only: a second push, or one of something not out, changes nothing. */
	iol_ring_push(m->e.ring, c->id, c->ndesc, c->len);
	c->where = PUSHED;
	m->used[m->nused++] = slot;
}

static void device_publish(struct model *m)
{
	bool any = m->shown != m->nused;
	bool call = iol_ring_publish(m->e.ring);

	if (any && m->call_due) {
		assert_true(call);
		m->call_due = false;
	}
	if (!any)
		assert_false(call);
	m->shown = m->nused;
}

/* The quick way: nothing is seen of it where something has to be remembered. */
static void device_consume(struct model *m)
{
	unsigned int max = 1 + below(m, 40), n = 0, i;
	bool writable = below(m, 2), call;
	struct iol_buf bufs[40];
	uint32_t len[40];

	if (below(m, 2)) {
		while (m->npopped)
			device_push(m);
		device_publish(m);
	}
	if (!m->npopped && m->nused == m->shown)
		for (; n < max && n < m->published; n++) {
			const struct chain *c = &m->chain[m->available[n]];

			if (!c->single || c->nin != writable)
				break;
		}
	assert_int_equal(iol_ring_peek(m->e.ring, bufs, max, writable), n);
	if (!n)
		return;
	n = below(m, 4) ? n : below(m, n);
	for (i = 0; i < n; i++) {
		uint16_t slot = shift(m->available, &m->navailable);
		struct chain *c = &m->chain[slot];

		assert_int_equal(bufs[i].len, c->out_len + c->in_len);
		if (writable)
			*bufs[i].base = (uint8_t)~slot;
		else
			assert_int_equal(bufs[i].base[bufs[i].len - 1], (uint8_t)slot);
		len[i] = c->len = writable ? below(m, c->in_len) : 0;
		m->published--;
		c->where = PUSHED;
		m->used[m->nused++] = slot;
	}
	m->shown = m->nused;
	m->consumed += n;
	call = iol_ring_consume(m->e.ring, bufs, writable ? len : NULL, n);
	if (n && m->call_due) {
		assert_true(call);
		m->call_due = false;
	}
	if (!n)
		assert_false(call);
	assert_int_equal(iol_ring_inflight(m->e.ring), 0);
}

static struct chain *check_used(struct model *m, uintptr_t cookie, uint32_t len)
{
	struct chain *c = &m->chain[cookie];

	m->shown--;
	assert_int_equal(cookie, shift(m->used, &m->nused));
	assert_int_equal(c->where, PUSHED);
	assert_int_equal(len, c->len);
	if (c->nin)
		assert_int_equal(*c->in, (uint8_t)~cookie);
	m->done++;
	return c;
}

static void driver_used(struct model *m)
{
	uintptr_t cookie;
	uint32_t len;
	int rc = iol_driver_used(m->e.driver, &cookie, &len);

	assert_int_equal(rc, m->shown ? 1 : 0);
	if (rc)
		check_used(m, cookie, len)->where = FREE;
}

static void driver_recycle(struct model *m)
{
	uintptr_t cookies[12];
	uint32_t lens[12];
	int max = 1 + (int)below(m, 12), n = 0, i;

	while (n < max && n < (int)m->shown && m->chain[m->used[n]].slots == 1)
		n++;
	if (m->e.conf.in_order || (!n && m->shown))
		n = -EINVAL;
	assert_int_equal(iol_driver_recycle(m->e.driver, cookies, lens, (unsigned int)max), n);
	for (i = 0; i < n; i++) {
		check_used(m, cookies[i], lens[i])->where = ADDED;
		m->available[m->navailable++] = (uint16_t)cookies[i];
	}
}

static void step(struct model *m)
{
	switch (below(m, 16)) {
	case 0 ... 4:
		driver_add(m);
		break;
	case 5:
	case 6:
		driver_publish(m);
		break;
	case 7:
		if (below(m, 2))
			device_consume(m);
		else if (below(m, 3))
			device_pop(m);
		else
			device_unpop(m);
		break;
	case 8 ... 10:
		device_push(m);
		break;
	case 11:
		device_publish(m);
		break;
	case 12:
		driver_used(m);
		break;
	case 13:
		if (below(m, 2))
			driver_used(m);
		else
			driver_recycle(m);
		break;
	case 14:
		if (below(m, 2)) {
			assert_int_equal(iol_ring_arm(m->e.ring), m->published > 0);
			m->kick_due = !m->published;
		} else {
			iol_ring_disarm(m->e.ring);
			m->kick_due = false;
		}
		break;
	case 15:
		if (below(m, 2)) {
			assert_int_equal(iol_driver_arm(m->e.driver), m->shown > 0);
			m->call_due = !m->shown;
		} else {
			iol_driver_disarm(m->e.driver);
			m->call_due = false;
		}
		break;
	}
}

/* Chains that were given back untouched, and those that went the quick way. */
static unsigned int unpopped, consumed;

static void run(const struct env_conf *conf, unsigned int steps)
{
	struct model *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	m->random = 0x9e3779b97f4a7c15ull ^ (conf->size * 64u + conf->packed * 32u +
					     conf->event_idx * 16u + conf->indirect * 8u);
	env_init(&m->e, conf);
	env_start(&m->e);
	while (steps--)
		step(m);
	/* Nothing may be left. */
	driver_publish(m);
	while (m->published)
		device_pop(m);
	while (m->npopped)
		device_push(m);
	device_publish(m);
	while (m->shown)
		driver_used(m);
	assert_int_equal(iol_driver_inflight(m->e.driver), 0);
	assert_true(m->done > 0);
	unpopped += m->unpopped;
	consumed += m->consumed;
	assert_int_equal(iol_ring_base(m->e.ring), iol_driver_base(m->e.driver));
	env_fini(&m->e);
	free(m);
}

static void all(bool packed, const uint16_t *sizes, size_t nsizes)
{
	unsigned int f;
	size_t i;

	unpopped = consumed = 0;
	for (i = 0; i < nsizes; i++) {
		for (f = 0; f < 8; f++) {
			uint16_t last = sizes[i] - 1;
			struct env_conf conf = {
				.size = sizes[i],
				.packed = packed,
				.event_idx = f & 1,
				.indirect = f & 2,
				.in_order = f & 4,
				/* Soon past 65535, or at the ring's end with the first wrap counter. */
				.base = packed ? (last | 0x8000u) | (uint32_t)(last | 0x8000u) << 16
					       : 65500,
			};

			run(&conf, sizes[i] > 256 ? 3000 : 6000);
			conf.base = 0;
			run(&conf, 600);
		}
	}
	assert_true(unpopped > 1000);
	assert_true(consumed > 1000);
}

static void split(void **state)
{
	static const uint16_t sizes[] = { 1, 2, 4, 8, 256, 32768 };

	all(false, sizes, sizeof(sizes) / sizeof(sizes[0]));
}

static void packed(void **state)
{
	static const uint16_t sizes[] = { 1, 2, 3, 4, 7, 256, 300, 32767, 32768 };

	all(true, sizes, sizeof(sizes) / sizeof(sizes[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split),
		cmocka_unit_test(packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
