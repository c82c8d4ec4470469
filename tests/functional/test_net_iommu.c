/* SPDX-License-Identifier: BSD-3-Clause */
/* NICs behind an IOMMU: each page of rings and buffers is asked for, moves, and is taken away under traffic. */
#include "net_frames.h"
#include "net_rig.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define IOMMU   NRIG_BIT(VIRTIO_F_ACCESS_PLATFORM)
#define PACKED  NRIG_BIT(VIRTIO_F_RING_PACKED)
#define BUFFERS 32

static const uint64_t rings[] = {
	0,
	PACKED,
	NRIG_BIT(VIRTIO_F_IN_ORDER) | NRIG_BIT(VIRTIO_RING_F_EVENT_IDX),
	PACKED | NRIG_BIT(VIRTIO_F_IN_ORDER) | NRIG_BIT(VIRTIO_RING_F_INDIRECT_DESC),
};

#define RINGS (sizeof(rings) / sizeof(rings[0]))

/* ---- frames ---- */

/* Frames of one sender, numbered. */
static struct small_frame numbered(uint32_t number)
{
	struct small_frame f = { .len = 60 + number * 7 % 900 };
	uint32_t i;

	small_mac(f.b, 2);
	small_mac(f.b + 6, 1);
	f.b[12] = 0x88;
	f.b[13] = 0xb5;
	memcpy(f.b + 14, &number, sizeof(number));
	for (i = 18; i < f.len; i++)
		f.b[i] = (uint8_t)(number * 5 + i * 11);
	return f;
}

/* The whole of what arrived is right. Return: its number. */
static uint32_t check(const struct nrig_frame *f)
{
	struct small_frame want;
	uint32_t number;

	memcpy(&number, f->data + 14, sizeof(number));
	want = numbered(number);
	assert_int_equal(f->len, want.len);
	assert_memory_equal(f->data, want.b, want.len);
	return number;
}

static void send_number(struct nrig_port *p, uint32_t number)
{
	struct small_frame f = numbered(number);

	nrig_send(p, f.b, f.len);
}

/* Send until one arrives, as who sends for long does. Return: the next number. */
static uint32_t reach(struct nrig_port *from, struct nrig_port *to, uint32_t number)
{
	uint64_t end = iol_now() + NRIG_WAIT * IOL_NS_PER_MS;
	static struct nrig_frame f;

	for (;; number++) {
		assert_true(iol_now() < end);
		send_number(from, number);
		nrig_serve();
		if (nrig_take(to, 0, &f)) {
			assert_int_equal(check(&f), number);
			return number + 1;
		}
	}
}

/* ---- what is asked for ---- */

static void one_by_one(struct nrig_port *from, struct nrig_port *to, uint32_t number,
		       unsigned int n)
{
	static struct nrig_frame f;

	while (n--) {
		send_number(from, number);
		assert_true(nrig_take(to, 0, &f));
		assert_int_equal(check(&f), number++);
	}
}

static uint64_t answered(const struct nrig_port *p)
{
	uint64_t n, unknown;

	iol_frontend_iommu_misses(p->fe, &n, &unknown);
	return n;
}

static uint64_t unanswered(const struct nrig_port *p)
{
	uint64_t n, unknown;

	iol_frontend_iommu_misses(p->fe, &n, &unknown);
	return unknown;
}

/* A page is mapped to somewhere else. What was asked for in between nobody asks for again. */
static void move_page(struct nrig_port *p, uint64_t addr, uint64_t gpa, unsigned int perm)
{
	uint64_t before = unanswered(p);

	assert_int_equal(iol_frontend_iommu_unmap(p->fe, addr), 0);
	assert_int_equal(iol_frontend_iommu_map(p->fe, addr, NRIG_PAGE, gpa, perm), 0);
	if (unanswered(p) > before)
		assert_int_equal(iol_frontend_iommu_push(p->fe, addr), 0);
}

/* The mapping of a page goes and comes. */
static void turn_page(struct nrig_port *p, uint64_t addr)
{
	addr &= ~(NRIG_PAGE - 1);
	move_page(p, addr, addr - NRIG_IOVA, IOL_IOMMU_READ | IOL_IOMMU_WRITE);
}

/* Pages of the rings of a port with one pair. */
static unsigned int ring_pages(const struct nrig_port *p)
{
	const struct nrig_queue *const queue[] = { p->rx, p->tx };
	unsigned int num = 0, i, k, n;
	uint64_t page[32], at;

	for (i = 0; i < 2; i++) {
		const struct iol_frontend_queue *s = &queue[i]->q->setup;
		const uint64_t addr[] = { s->desc, s->avail, s->used };
		size_t bytes[3], align[3];

		iol_driver_areas(s->size, p->spec.features & PACKED, bytes, align);
		for (k = 0; k < 3; k++)
			for (at = addr[k] / NRIG_PAGE; at <= (addr[k] + bytes[k] - 1) / NRIG_PAGE;
			     at++) {
				for (n = 0; n < num && page[n] != at; n++)
					;
				page[n] = at;
				num += n == num;
			}
	}
	return num;
}

/*
 * Buffers are asked for ahead of the frames that need them: who has sent some frames in vain has lost no
 * more than those, however many buffers there are.
 */
static void buffers_are_asked_for_ahead(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	unsigned int i;

	for (i = 0; i < RINGS; i++) {
		struct nrig_spec spec = { .features = NRIG_BASIC | IOMMU | rings[i],
					  .rx_buffers = BUFFERS };
		struct nrig_port *a = nrig_port_up(net, &spec), *b = nrig_port_up(net, &spec);
		uint64_t end = iol_now() + NRIG_WAIT * IOL_NS_PER_MS;

		/* Those that lie there when the queue starts need no frame at all. */
		while (answered(b) < ring_pages(b) + BUFFERS) {
			assert_true(iol_now() < end);
			if (nrig_serve())
				usleep(100);
		}
		/* The last answer has been taken when this one's has. */
		assert_int_equal(iol_frontend_iommu_push(b->fe, NRIG_IOVA), 0);
		one_by_one(a, b, 0, 3 * NRIG_RING);
		assert_int_equal(nrig_all_drops(a) + nrig_all_drops(b), 0);
		assert_int_equal(a->failures + b->failures, 0);
		nrig_port_down(&a);
		nrig_port_down(&b);
	}
	nrig_net_down(&net);
}

/* A driver that moves each buffer to another address, as one whose IOMMU is strict. */
static void every_buffer_is_a_miss(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	unsigned int i, round, k;

	for (i = 0; i < RINGS; i++) {
		struct nrig_spec spec = { .features = NRIG_BASIC | IOMMU | rings[i],
					  .rx_buffers = 128 };
		struct nrig_port *a = nrig_port_up(net, &spec), *b = nrig_port_up(net, &spec);
		uint32_t number = reach(a, b, 0);

		for (round = 0; round < 10; round++) {
			for (k = 0; k < b->rx[0].num; k++)
				turn_page(b, b->rx[0].slot[k].addr);
			number = reach(a, b, number);
		}
		assert_int_equal(nrig_all_drops(b), nrig_drops(b, IOL_NET_DROP_NO_BUFFERS));
		assert_int_equal(nrig_all_drops(a), 0);
		assert_int_equal(nrig_stats(b).out_packets + nrig_all_drops(b), number);
		nrig_port_down(&a);
		nrig_port_down(&b);
	}
	nrig_net_down(&net);
}

/* ---- under traffic ---- */

struct stream {
	struct nrig_port *from;
	bool end; /* atomic */
	uint32_t sent;
};

static void *stream(void *arg)
{
	static const uint32_t pieces[] = { 12, 40, 0 };
	struct stream *s = arg;

	while (!__atomic_load_n(&s->end, __ATOMIC_RELAXED)) {
		struct small_frame f = numbered(s->sent);

		/* Its queue may stand still. */
		if (nrig_queue_frame(s->from, 0, NULL, f.b, f.len, s->sent % 3 ? NULL : pieces))
			s->sent++;
		else
			usleep(100);
		nrig_publish(s->from, 0);
	}
	return NULL;
}

static void turn_pages(struct nrig_port *p, struct nrig_queue *q, unsigned int round)
{
	const struct iol_frontend_queue *s = &q->q->setup;
	const uint64_t area[] = { s->desc, s->avail, s->used };

	turn_page(p, q->slot[round * 5 % q->num].addr);
	turn_page(p, q->slot[round * 7 % q->num].addr);
	if (round % 2)
		turn_page(p, area[round / 2 % 3]);
}

/* Whatever is unmapped meanwhile: what was sent arrives, once and in order, or its loss is counted. */
static void pages_go_under_traffic(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	static struct nrig_frame f;
	unsigned int i, round, k;

	for (i = 0; i < RINGS; i++) {
		struct nrig_spec spec = { .features = NRIG_BASIC | IOMMU | rings[i],
					  .rx_len = 512 };
		struct nrig_port *a = nrig_port_up(net, &spec), *b = nrig_port_up(net, &spec);
		struct stream s = { .from = a };
		uint32_t got = 0, next = 0;
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, stream, &s), 0);
		for (round = 0; round < 200; round++) {
			turn_pages(a, &a->tx[0], round);
			turn_pages(b, &b->rx[0], round);
			for (k = 0; k < 10; k++, got++) {
				nrig_wait(b, 0, &f);
				assert_true(check(&f) >= next);
				next = check(&f) + 1;
			}
		}
		__atomic_store_n(&s.end, true, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
		nrig_flush(a);
		for (; nrig_take(b, 0, &f); got++) {
			assert_true(check(&f) >= next);
			next = check(&f) + 1;
		}
		assert_int_equal(nrig_stats(a).in_packets, s.sent);
		assert_int_equal(nrig_all_drops(a), 0);
		assert_int_equal(nrig_stats(b).out_packets, got);
		assert_int_equal(got + nrig_drops(b, IOL_NET_DROP_NO_BUFFERS), s.sent);
		assert_int_equal(a->failures + b->failures, 0);
		nrig_port_down(&a);
		nrig_port_down(&b);
	}
	nrig_net_down(&net);
}

/* ---- where it goes ---- */

/* Frames are read from and written to where the mapping of the day says, and nowhere else. */
static void mappings_move(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	unsigned int i, k;

	for (i = 0; i < RINGS; i++) {
		struct nrig_spec spec = { .features = NRIG_BASIC | IOMMU | rings[i],
					  .rx_buffers = BUFFERS };
		struct nrig_port *a = nrig_port_up(net, &spec), *b = nrig_port_up(net, &spec);
		uint8_t *old[BUFFERS], was[2048];
		uint32_t number = reach(a, b, 0);
		uint64_t there;

		/* Every buffer of the receiver's moves, and nobody touches where it was. */
		for (k = 0; k < BUFFERS; k++) {
			struct nrig_slot *s = &b->rx[0].slot[k];

			assert_int_equal(iol_guest_memory_alloc(b->mem, s->room, NRIG_PAGE, &there),
					 0);
			old[k] = s->host;
			s->host = iol_guest_memory_host(b->mem, there, s->room);
			memcpy(s->host, old[k], s->room);
			memset(old[k], 0x77, s->room);
			move_page(b, s->addr, there, IOL_IOMMU_WRITE);
		}
		memset(was, 0x77, sizeof(was));
		for (k = 0; k < 2 * BUFFERS; k++)
			number = reach(a, b, number);
		for (k = 0; k < BUFFERS; k++)
			assert_memory_equal(old[k], was, sizeof(was));
		/* A sender's buffers as well: the slot that is used next is always the same. */
		for (k = 0; k < 4; k++) {
			struct nrig_queue *q = &a->tx[0];
			struct nrig_slot *s = &q->slot[q->free[q->nfree - 1]];

			assert_int_equal(
				iol_guest_memory_alloc(a->mem, NRIG_PAGE, NRIG_PAGE, &there), 0);
			memset(s->host, 0x55, NRIG_PAGE);
			s->host = iol_guest_memory_host(a->mem, there, NRIG_PAGE);
			move_page(a, s->addr, there, IOL_IOMMU_READ);
			number = reach(a, b, number);
		}
		assert_int_equal(a->failures + b->failures, 0);
		nrig_port_down(&a);
		nrig_port_down(&b);
	}
	nrig_net_down(&net);
}

/* ---- what is not mapped ---- */

static void until_unanswered(struct nrig_port *p, uint64_t before)
{
	uint64_t end = iol_now() + NRIG_WAIT * IOL_NS_PER_MS;

	while (unanswered(p) == before) {
		assert_true(iol_now() < end);
		assert_true(iol_frontend_poll(p->fe, 10) >= 0);
	}
}

/* How an answer comes to be known: pushed, or asked for again after the driver changed its mappings. */
static void make_known(struct nrig_port *p, uint64_t addr, bool pushed)
{
	nrig_map(p, addr);
	if (pushed)
		assert_int_equal(iol_frontend_iommu_push(p->fe, addr), 0);
	else
		turn_page(p, NRIG_IOVA + p->spec.memory - NRIG_PAGE);
}

/* A frame in what is not mapped waits with those behind it; other queues go on. */
static void a_sender_waits_for_its_mapping(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	static struct nrig_frame f;
	unsigned int i, k;

	for (i = 0; i < 2 * RINGS; i++) {
		struct nrig_spec spec = { .features = NRIG_BASIC | IOMMU | rings[i / 2],
					  .port = { .pairs = 2 },
					  .memory = 16 << 20 };
		struct nrig_port *a = nrig_port_up(net, &spec),
				 *b = nrig_port_up(net, &(struct nrig_spec){ { 0 } });
		struct nrig_queue *q = &a->tx[0];
		uint32_t number = reach(a, b, 0);
		uint64_t addr = q->slot[q->free[q->nfree - 1]].addr;
		uint64_t before = unanswered(a);
		struct small_frame s;

		assert_int_equal(iol_frontend_iommu_unmap(a->fe, addr), 0);
		for (k = 0; k < 5; k++) {
			s = numbered(number + k);
			assert_true(nrig_queue_frame(a, 0, NULL, s.b, s.len, NULL));
			nrig_publish(a, 0);
		}
		until_unanswered(a, before);
		s = numbered(number + 9);
		assert_true(nrig_queue_frame(a, 1, NULL, s.b, s.len, NULL));
		nrig_publish(a, 1);
		nrig_wait(b, 0, &f);
		assert_int_equal(check(&f), number + 9);
		make_known(a, addr, i % 2);
		for (k = 0; k < 5; k++) {
			nrig_wait(b, 0, &f);
			assert_int_equal(check(&f), number + k);
		}
		nrig_flush(a);
		assert_int_equal(nrig_all_drops(a) + nrig_all_drops(b), 0);
		nrig_port_down(&a);
		nrig_port_down(&b);
	}
	nrig_net_down(&net);
}

/* A buffer that is not mapped: frames are lost and counted until it is, and the sender goes on. */
static void a_receiver_waits_for_its_mapping(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	unsigned int i, k;

	for (i = 0; i < 2 * RINGS; i++) {
		struct nrig_spec spec = { .features = NRIG_BASIC | IOMMU | rings[i / 2],
					  .rx_buffers = 4 };
		struct nrig_port *a = nrig_port_up(net, &(struct nrig_spec){ { 0 } }),
				 *b = nrig_port_up(net, &spec);
		uint32_t number = reach(a, b, 0);
		uint64_t addr = b->rx[0].slot[1].addr, asked = unanswered(b), before;
		static struct nrig_frame f;

		assert_int_equal(iol_frontend_iommu_unmap(b->fe, addr), 0);
		before = nrig_drops(b, IOL_NET_DROP_NO_BUFFERS);
		for (k = 0; k < 20; k++)
			send_number(a, number++);
		until_unanswered(b, asked);
		for (k = 0; nrig_take(b, 0, &f); k++)
			check(&f);
		assert_true(k < 4);
		assert_int_equal(nrig_drops(b, IOL_NET_DROP_NO_BUFFERS) - before, 20 - k);
		make_known(b, addr, i % 2);
		for (k = 0; k < 20; k++)
			number = reach(a, b, number);
		assert_int_equal(nrig_all_drops(a), 0);
		nrig_port_down(&a);
		nrig_port_down(&b);
	}
	nrig_net_down(&net);
}

/* What is mapped for reading only is not written to. */
static void read_only_buffers(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_spec spec = { .features = NRIG_BASIC | IOMMU, .rx_buffers = 1 };
	struct nrig_port *a = nrig_port_up(net, &(struct nrig_spec){ { 0 } }),
			 *b = nrig_port_up(net, &spec);
	uint32_t number = reach(a, b, 0);
	struct nrig_slot *s = &b->rx[0].slot[0];
	uint64_t asked = unanswered(b);
	uint8_t was[2048];

	memcpy(was, s->host, sizeof(was));
	assert_int_equal(iol_frontend_iommu_unmap(b->fe, s->addr), 0);
	assert_int_equal(iol_frontend_iommu_map(b->fe, s->addr, NRIG_PAGE, s->addr - NRIG_IOVA,
						IOL_IOMMU_READ),
			 0);
	assert_int_equal(iol_frontend_iommu_push(b->fe, s->addr), 0);
	send_number(a, number++);
	until_unanswered(b, asked);
	send_number(a, number++);
	nrig_silent(b);
	assert_memory_equal(s->host, was, sizeof(was));
	turn_page(b, s->addr);
	reach(a, b, number);
	nrig_port_down(&a);
	nrig_port_down(&b);
	nrig_net_down(&net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffers_are_asked_for_ahead),
		cmocka_unit_test(every_buffer_is_a_miss),
		cmocka_unit_test(pages_go_under_traffic),
		cmocka_unit_test(mappings_move),
		cmocka_unit_test(a_sender_waits_for_its_mapping),
		cmocka_unit_test(a_receiver_waits_for_its_mapping),
		cmocka_unit_test(read_only_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
