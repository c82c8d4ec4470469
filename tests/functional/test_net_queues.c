/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest's queues: many of them, stopped and started under traffic, logged, and connected anew. */
#include "net_frames.h"
#include "net_packet.h"
#include "net_rig.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define PAGE 4096u

static const uint64_t rings[] = {
	0,
	NRIG_BIT(VIRTIO_F_RING_PACKED),
	NRIG_BIT(VIRTIO_F_IN_ORDER) | NRIG_BIT(VIRTIO_RING_F_EVENT_IDX),
	NRIG_BIT(VIRTIO_F_RING_PACKED) | NRIG_BIT(VIRTIO_F_IN_ORDER),
};

#define RINGS (sizeof(rings) / sizeof(rings[0]))

/* Frames of one sender, numbered. */
static struct small_frame numbered(unsigned int to, uint32_t number, uint32_t len)
{
	struct small_frame f = small_frame(to, 1, UNTAGGED, len);

	memcpy(f.b + 20, &number, sizeof(number));
	return f;
}

static uint32_t number_of(const struct nrig_frame *f)
{
	uint32_t number;

	memcpy(&number, f->data + 20, sizeof(number));
	return number;
}

/* ---- stop and start ---- */

/* What a stopped queue's place is in terms of what its driver saw: all that it took, it gave back. */
static void the_place_is_told(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_port *a = nrig_port_up(net, &(struct nrig_spec){ { 0 } }), *b;
	static struct nrig_frame f;
	unsigned int i, k, taken;

	for (i = 0; i < RINGS; i++) {
		struct nrig_spec to = { .features = NRIG_BASIC | rings[i], .rx_len = 300 };
		bool packed = rings[i] & NRIG_BIT(VIRTIO_F_RING_PACKED);

		b = nrig_port_up(net, &to);
		for (taken = 0; taken < 600;) {
			/* A window of buffers is taken for these, and most go back. */
			for (k = 0; k < 3; k++) {
				struct small_frame s = numbered(2, k, 60 + 500 * k);

				nrig_send(a, s.b, s.len);
			}
			for (k = 0; k < 3; k++) {
				assert_true(nrig_take(b, 0, &f));
				assert_int_equal(number_of(&f), k);
				taken += f.buffers;
			}
			nrig_stop(b, 0);
			if (packed) {
				uint32_t at = taken % NRIG_RING, lap = taken / NRIG_RING;
				uint32_t place = at | (lap % 2 ? 0 : 0x8000);

				assert_int_equal(b->rx[0].q->setup.base, place | place << 16);
			} else {
				assert_int_equal(b->rx[0].q->setup.base, taken & 0xffff);
			}
			assert_false(iol_net_port_link(b->port));
			nrig_start(b, 0);
			assert_true(iol_net_port_link(b->port));
		}
		assert_int_equal(nrig_all_drops(b), 0);
		nrig_port_down(&b);
	}
	nrig_port_down(&a);
	nrig_net_down(&net);
}

struct stream {
	struct nrig_port *from;
	bool end; /* atomic */
	uint32_t sent;
};

static void *stream(void *arg)
{
	struct stream *s = arg;

	while (!__atomic_load_n(&s->end, __ATOMIC_RELAXED)) {
		struct small_frame f = numbered(2, s->sent, 60 + s->sent % 900);

		/* Its queue may stand still. */
		if (nrig_queue_frame(s->from, 0, NULL, f.b, f.len, NULL))
			s->sent++;
		else
			usleep(100);
		nrig_publish(s->from, 0);
	}
	return NULL;
}

/* Whatever stops meanwhile: what the switch took arrives, once and in order, or its loss is counted. */
static void stopped_under_traffic(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	static struct nrig_frame f;
	unsigned int i, round;

	for (i = 0; i < RINGS; i++) {
		struct nrig_spec spec = { .features = NRIG_BASIC | rings[i], .rx_len = 512 };
		struct nrig_port *a = nrig_port_up(net, &spec), *b = nrig_port_up(net, &spec);
		struct stream s = { .from = a };
		struct iol_net_port_stats stats;
		uint32_t got = 0, next = 0;
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, stream, &s), 0);
		for (round = 0; round < 60; round++) {
			unsigned int k;

			nrig_stop(a, 1);
			nrig_start(a, 1);
			nrig_stop(b, 0);
			nrig_start(b, 0);
			/* Those who feel for an enabled queue at rest, too. */
			assert_int_equal(iol_frontend_queue_enable(b->fe, 0, false), 0);
			assert_int_equal(iol_frontend_queue_enable(b->fe, 0, true), 0);
			for (k = 0; k < 20; k++, got++) {
				nrig_wait(b, 0, &f);
				assert_true(number_of(&f) >= next);
				next = number_of(&f) + 1;
			}
		}
		__atomic_store_n(&s.end, true, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
		nrig_flush(a);
		for (; nrig_take(b, 0, &f); got++) {
			assert_true(number_of(&f) >= next);
			next = number_of(&f) + 1;
		}
		stats = nrig_stats(b);
		assert_int_equal(stats.out_packets, got);
		assert_int_equal(got + stats.drops[IOL_NET_DROP_NOT_RUNNING] +
					 stats.drops[IOL_NET_DROP_NO_BUFFERS],
				 s.sent);
		assert_int_equal(nrig_stats(a).in_packets, s.sent);
		assert_int_equal(nrig_all_drops(a), 0);
		nrig_port_down(&a);
		nrig_port_down(&b);
	}
	nrig_net_down(&net);
}

/* Memory tables change under traffic, and a front end that goes is followed by another. */
static void memory_and_front_ends_come_and_go(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_spec spec = { .memory = 16 << 20 };
	struct nrig_port *a = nrig_port_up(net, &spec), *b = nrig_port_up(net, &spec);
	struct stream s = { .from = a };
	static struct nrig_frame f;
	unsigned int round, k;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, stream, &s), 0);
	for (round = 0; round < 20; round++) {
		struct nrig_port *const plugged[2] = { a, b };
		uint64_t gpa = 1ull << 35;
		uint32_t next = 0;

		for (k = 0; k < 2; k++) {
			struct nrig_port *p = plugged[k];

			assert_int_equal(iol_guest_memory_add(p->mem, gpa, 1 << 20, -1, 0), 0);
			assert_int_equal(iol_frontend_set_memory(p->fe, p->mem), 0);
			assert_int_equal(iol_guest_memory_remove(p->mem, gpa), 0);
			assert_int_equal(iol_frontend_set_memory(p->fe, p->mem), 0);
		}
		for (k = 0; k < 30; k++) {
			nrig_wait(b, 0, &f);
			assert_true(number_of(&f) >= next);
			next = number_of(&f) + 1;
		}
		nrig_disconnect(b);
		nrig_connect(b);
	}
	__atomic_store_n(&s.end, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	nrig_flush(a);
	assert_int_equal(nrig_stats(b).out_packets + nrig_all_drops(b), s.sent);
	nrig_port_down(&a);
	nrig_port_down(&b);
	nrig_net_down(&net);
}

/* A sender's queue is stopped with frames in it: they are taken when it starts. */
static void what_waits_is_sent_later(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	unsigned int i, k;

	for (i = 0; i < RINGS; i++) {
		struct nrig_spec spec = { .features = NRIG_BASIC | rings[i] };
		struct nrig_port *a = nrig_port_up(net, &spec), *b = nrig_port_up(net, &spec);
		struct small_frame f[40];

		nrig_stop(a, 1);
		for (k = 0; k < 40; k++) {
			f[k] = numbered(2, k, 100 + k);
			assert_true(nrig_queue_frame(a, 0, NULL, f[k].b, f[k].len, NULL));
		}
		nrig_publish(a, 0);
		nrig_silent(b);
		nrig_start(a, 1);
		nrig_flush(a);
		for (k = 0; k < 40; k++)
			nrig_gets(b, f[k].b, f[k].len);
		nrig_silent(b);
		nrig_port_down(&a);
		nrig_port_down(&b);
	}
	nrig_net_down(&net);
}

/* ---- the dirty log ---- */

static void log_is(struct nrig_port *p, const uint8_t *before, const uint8_t *now, uint64_t size,
		   bool exact)
{
	unsigned int logged = 0, changed = 0;
	uint64_t at;

	for (at = 0; at < size; at += PAGE) {
		bool differs = memcmp(before + at, now + at, PAGE);
		int rc = iol_frontend_log_take(p->fe, at);

		assert_true(rc >= 0);
		if (exact && differs && !rc)
			fail_msg("the page at %#llx was written and not logged",
				 (unsigned long long)at);
		changed += differs;
		logged += rc > 0;
	}
	/* The ring's flags may be written as they were. */
	if (exact) {
		assert_true(changed > 0);
		assert_in_range(logged, changed, changed + 3);
	}
}

static void writes_are_logged(void **state)
{
	const uint64_t size = 16 << 20;
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_spec from = { .features = NRIG_BASIC | NRIG_BIT(VIRTIO_NET_F_CSUM) |
					      NRIG_BIT(VIRTIO_NET_F_HOST_TSO4) };
	struct nrig_port *a = nrig_port_up(net, &from), *b;
	static uint8_t frame[NRIG_FRAME_MAX];
	uint8_t *before = malloc(size);
	static struct nrig_frame f;
	unsigned int i;

	assert_non_null(before);
	for (i = 0; i < 2 * RINGS; i++) {
		static const uint32_t pieces[] = { 12, 3000, 1, 0 };
		struct nrig_spec to = { .features = NRIG_BASIC | rings[i % RINGS] |
						    NRIG_BIT(VIRTIO_RING_F_INDIRECT_DESC),
					.rx_len = i % 3 ? 5000 : 700,
					.rx_pieces = i % 2 ? pieces : NULL,
					.memory = size };
		struct packet p = { .tci = -1, .payload = 3300 };
		struct virtio_net_hdr_v1 hdr;
		const uint8_t *now;
		uint32_t len;

		b = nrig_port_up(net, &to);
		now = iol_guest_memory_host(b->mem, 0, size);
		assert_int_equal(iol_frontend_log_start(b->fe), 0);
		for (unsigned int how = 0; how < 4; how++) {
			p.partial = how & 1;
			p.gso = how == 3 ? 1000 : 0;
			log_is(b, before, now, size, false);
			memcpy(before, now, size);
			len = packet_make(&p, &hdr, frame);
			nrig_send_with(a, &hdr, frame, len);
			log_is(b, before, now, size, true);
			while (nrig_take(b, 0, &f))
				;
		}
		assert_int_equal(iol_frontend_log_stop(b->fe), 0);
		assert_int_equal(nrig_all_drops(b), 0);
		nrig_port_down(&b);
	}
	free(before);
	nrig_port_down(&a);
	nrig_net_down(&net);
}

/* ---- many queues ---- */

#define FLOWS 40
#define EACH  25

/* Whichever thread a queue is with: a flow stays on one, in order. */
static void flows(struct nrig_port *a, struct nrig_port *b, unsigned int pairs)
{
	static uint8_t frame[NRIG_FRAME_MAX];
	static struct nrig_frame f;
	unsigned int on[FLOWS], next[FLOWS] = { 0 }, used = 0, i, k;
	struct virtio_net_hdr_v1 hdr;

	for (i = 0; i < EACH; i++) {
		for (k = 0; k < FLOWS; k++) {
			struct packet p = { .tci = -1, .udp = true, .payload = 40, .seed = k };
			uint32_t len, at;

			p.ipv6 = k % 2;
			at = packet_headers(&p);
			small_mac(p.dst, 2);
			small_mac(p.src, 1);
			len = packet_make(&p, &hdr, frame);
			frame[at] = (uint8_t)k;
			frame[at + 1] = (uint8_t)i;
			assert_true(nrig_queue_frame(a, k % NRIG_PAIRS, &hdr, frame, len, NULL));
		}
		for (k = 0; k < NRIG_PAIRS; k++)
			nrig_publish(a, k);
		nrig_flush(a);
		for (k = 0; k < FLOWS; k++) {
			unsigned int flow, at;

			assert_true(nrig_take(b, NRIG_ANY, &f));
			at = f.len - 40;
			flow = f.data[at];
			assert_true(flow < FLOWS);
			assert_int_equal(f.data[at + 1], next[flow]++);
			if (!i)
				on[flow] = f.pair;
			assert_int_equal(f.pair, on[flow]);
			used |= 1u << f.pair;
		}
	}
	nrig_silent(b);
	/* And they are spread. */
	assert_int_equal(__builtin_popcount(used), pairs);
}

static void many_queues(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_spec spec = { .port = { .pairs = NRIG_PAIRS },
				  .features = NRIG_BASIC | NRIG_BIT(VIRTIO_NET_F_MQ),
				  .memory = 32 << 20 };
	struct nrig_port *a = nrig_port_up(net, &spec), *b = nrig_port_up(net, &spec);
	struct iol_net_thread_stats stats;
	unsigned int i, sum = 0;

	for (i = 0; i < nrig_threads(); i++) {
		assert_int_equal(iol_net_thread_stats(net, i, &stats), 0);
		assert_int_equal(stats.queues, 2 * NRIG_PAIRS / nrig_threads());
	}
	flows(a, b, NRIG_PAIRS);
	/* A driver that uses fewer now, as ethtool -L has it: the front end disables the others. */
	assert_int_equal(iol_frontend_queue_enable(b->fe, 2, false), 0);
	assert_int_equal(iol_frontend_queue_enable(b->fe, 6, false), 0);
	flows(a, b, NRIG_PAIRS - 2);
	assert_int_equal(iol_frontend_queue_enable(b->fe, 2, true), 0);
	assert_int_equal(iol_frontend_queue_enable(b->fe, 6, true), 0);
	flows(a, b, NRIG_PAIRS);
	for (i = 0; i < NRIG_PAIRS; i++)
		assert_int_equal(iol_frontend_queue_enable(b->fe, 2 * i, false), 0);
	nrig_send(a, small_frame(2, 1, UNTAGGED, 60).b, 60);
	assert_int_equal(nrig_drops(b, IOL_NET_DROP_NOT_RUNNING), 1);
	for (i = 0; i < NRIG_PAIRS; i++)
		sum += iol_net_port_thread(b->port, i) >= 0;
	assert_int_equal(sum, NRIG_PAIRS);
	assert_int_equal(nrig_all_drops(a) + nrig_all_drops(b), 1);
	nrig_port_down(&a);
	nrig_port_down(&b);
	nrig_net_down(&net);
}

/* Two senders on two threads, one receive queue. */
static void two_threads_one_queue(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_port *from[2], *b;
	struct stream s[2] = { { 0 } };
	static struct nrig_frame f;
	uint32_t next[2] = { 0 }, got = 0;
	pthread_t thread[2];
	unsigned int i;

	for (i = 0; i < 2; i++) {
		from[i] = nrig_port_up(net, &(struct nrig_spec){ { 0 } });
		s[i].from = from[i];
	}
	b = nrig_port_up(net, &(struct nrig_spec){ .port = { .spoof = IOL_NET_SPOOF_ALLOW } });
	nrig_send(b, small_frame(9, 2, UNTAGGED, 60).b, 60);
	for (i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, stream, &s[i]), 0);
	while (got < 3000) {
		nrig_wait(b, 0, &f);
		got++;
	}
	for (i = 0; i < 2; i++)
		__atomic_store_n(&s[i].end, true, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++) {
		pthread_join(thread[i], NULL);
		nrig_flush(from[i]);
		next[i] = s[i].sent;
	}
	while (nrig_take(b, 0, &f))
		got++;
	assert_int_equal(got + nrig_all_drops(b), next[0] + next[1]);
	assert_int_equal(nrig_stats(b).out_packets, got);
	for (i = 0; i < 2; i++)
		nrig_port_down(&from[i]);
	nrig_port_down(&b);
	nrig_net_down(&net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_place_is_told),
		cmocka_unit_test(stopped_under_traffic),
		cmocka_unit_test(memory_and_front_ends_come_and_go),
		cmocka_unit_test(what_waits_is_sent_later),
		cmocka_unit_test(writes_are_logged),
		cmocka_unit_test(many_queues),
		cmocka_unit_test(two_threads_one_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
