/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest at its worst at one port of a switch. Whatever it does, its frame is dropped and counted, or its queue or its
 * connection ends; guests at other ports notice nothing.
 */
#include "tests/functional/net_frames.h"
#include "tests/functional/net_packet.h"
#include "tests/functional/net_rig.h"

#include "base/clock.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define OFFLOADS                                                                                   \
	(NRIG_BIT(VIRTIO_NET_F_CSUM) | NRIG_BIT(VIRTIO_NET_F_HOST_TSO4) |                          \
	 NRIG_BIT(VIRTIO_NET_F_HOST_TSO6) | NRIG_BIT(VIRTIO_NET_F_HOST_USO) |                      \
	 NRIG_BIT(VIRTIO_NET_F_GUEST_CSUM) | NRIG_BIT(VIRTIO_NET_F_GUEST_TSO4) |                   \
	 NRIG_BIT(VIRTIO_NET_F_GUEST_TSO6))

#define MEMORY (32u << 20)

/* The guest in question, and two who have nothing to do with it. */
struct town {
	struct iol_net *net;
	struct nrig_port *evil, *one, *other;
};

static void town_up(struct town *t, const struct nrig_spec *evil)
{
	t->net = nrig_net_up(NULL);
	t->evil = nrig_port_up(t->net, evil);
	t->one = nrig_port_up(t->net, &(struct nrig_spec){ .memory = MEMORY });
	t->other = nrig_port_up(t->net, &(struct nrig_spec){ .memory = MEMORY,
							     .features = NRIG_BASIC | OFFLOADS });
}

static void town_down(struct town *t)
{
	nrig_port_down(&t->evil);
	nrig_port_down(&t->one);
	nrig_port_down(&t->other);
	nrig_net_down(&t->net);
}

static void drain(struct nrig_port *p)
{
	static struct nrig_frame f;

	while (nrig_take(p, NRIG_ANY, &f))
		;
}

/* The neighbours still hear each other. */
static void undisturbed(struct town *t)
{
	struct small_frame f = small_frame(0x22, 0x11, UNTAGGED, 700);

	drain(t->one);
	drain(t->other);
	nrig_send(t->one, f.b, f.len);
	nrig_gets(t->other, f.b, f.len);
	f = small_frame(0x11, 0x22, UNTAGGED, 700);
	nrig_send(t->other, f.b, f.len);
	nrig_gets(t->one, f.b, f.len);
}

static void come_again(struct town *t)
{
	struct small_frame f = small_frame(BROADCAST, 0x66, UNTAGGED, 100);

	drain(t->one);
	drain(t->other);
	nrig_disconnect(t->evil);
	t->evil->failures = 0;
	nrig_connect(t->evil);
	nrig_send(t->evil, f.b, f.len);
	nrig_gets(t->one, f.b, f.len);
	nrig_gets(t->other, f.b, f.len);
}

/* ---- chains ---- */

#define PASSES IOL_NET_DROP_REASONS
#define ENDS   (IOL_NET_DROP_REASONS + 1)

/* Where pieces lie: in the middle of a buffer, or where nothing is. */
#define BUF     0
#define OUTSIDE (1ull << 45)

struct piece {
	uint64_t at;
	uint32_t len;
	bool write;
};

/* clang-format off */
static const struct chain {
	const char *what;
	struct piece piece[8];
	unsigned int n, outcome;
	bool passes_in_table; /* of a packed ring, where all is taken for readable: iol_ring_only_read() */
} sent[] = {
	{ "a frame", { { BUF, 72 } }, 1, PASSES },
	{ "no bytes", { { BUF, 0 } }, 1, IOL_NET_DROP_RUNT },
	{ "pieces of no bytes", { { BUF, 0 }, { OUTSIDE, 0 }, { BUF, 0 } }, 3, IOL_NET_DROP_RUNT },
	{ "a frame among them", { { BUF, 0 }, { BUF, 12 }, { OUTSIDE, 0 }, { BUF, 60 }, { BUF, 0 } }, 5,
	  PASSES },
	{ "half a header", { { BUF, 6 } }, 1, IOL_NET_DROP_RUNT },
	{ "a header", { { BUF, 12 } }, 1, IOL_NET_DROP_RUNT },
	{ "a header and 13 bytes", { { BUF, 12 }, { BUF, 13 } }, 2, IOL_NET_DROP_RUNT },
	{ "a buffer to write to", { { BUF, 72, true } }, 1, IOL_NET_DROP_RUNT },
	{ "a header, and room", { { BUF, 12 }, { BUF, 72, true } }, 2, IOL_NET_DROP_RUNT, true },
	{ "a frame, and room", { { BUF, 72 }, { BUF, 72, true } }, 2, PASSES },
	{ "the same bytes again and again", { { BUF, 72 }, { BUF, 72 }, { BUF, 72 } }, 3, PASSES },
	{ "more than a frame can have", { { BUF, 65000 }, { BUF, 1000 } }, 2, IOL_NET_DROP_IN_TOO_BIG },
	{ "megabytes", { { BUF, 1 << 20 }, { BUF, 1 << 20 }, { BUF, 1 << 20 } }, 3,
	  IOL_NET_DROP_IN_TOO_BIG },
	{ "4 GiB", { { BUF, UINT32_MAX } }, 1, ENDS },
	{ "4 GiB in pieces", { { BUF, 72 }, { BUF, UINT32_MAX } }, 2, ENDS },
	{ "nothing there", { { OUTSIDE, 72 } }, 1, ENDS },
	{ "a header, and nothing there", { { BUF, 12 }, { OUTSIDE, 60 } }, 2, ENDS },
	{ "room before the frame", { { BUF, 12, true }, { BUF, 60 } }, 2, ENDS, true },
};

static const struct chain received[] = {
	{ "a buffer", { { BUF, 2048, true } }, 1, PASSES },
	{ "just room enough", { { BUF, 112, true } }, 1, PASSES },
	{ "a header's end in another piece", { { BUF, 11, true }, { BUF + 100, 101, true } }, 2, PASSES },
	{ "bytes to read before it", { { BUF, 100 }, { BUF + 200, 500, true } }, 2, PASSES },
	{ "pieces of no bytes", { { BUF, 0, true }, { BUF, 112, true }, { OUTSIDE, 0, true } }, 3, PASSES },
	{ "one byte too few", { { BUF, 111, true } }, 1, IOL_NET_DROP_SMALL_BUFFER },
	{ "room for a header", { { BUF, 12, true } }, 1, IOL_NET_DROP_SMALL_BUFFER },
	{ "one byte", { { BUF, 1, true } }, 1, IOL_NET_DROP_SMALL_BUFFER },
	{ "no bytes", { { BUF, 0, true } }, 1, IOL_NET_DROP_SMALL_BUFFER },
	{ "nothing to write to", { { BUF, 2048 } }, 1, IOL_NET_DROP_SMALL_BUFFER },
	{ "the header's place for the frame", { { BUF, 12, true }, { BUF, 2048, true } }, 2, PASSES },
	{ "all in one place", { { BUF, 30, true }, { BUF, 30, true }, { BUF, 30, true },
	  { BUF, 30, true } }, 4, PASSES },
	{ "nothing there", { { OUTSIDE, 2048, true } }, 1, ENDS },
	{ "4 GiB", { { BUF, UINT32_MAX, true } }, 1, ENDS },
	{ "reading behind writing", { { BUF, 100, true }, { BUF, 100 } }, 2, ENDS },
};
/* clang-format on */

/* Make a chain available, in a buffer of the rig's that holds zeroes: a header without wishes, whatever follows. */
static void offer(struct nrig_queue *q, const struct chain *c)
{
	unsigned int slot = q->free[--q->nfree], i;
	struct iol_driver_seg seg[8];

	memset(q->slot[slot].host, 0, q->slot[slot].room);
	for (i = 0; i < c->n; i++)
		seg[i] = (struct iol_driver_seg){ c->piece[i].at == OUTSIDE
							  ? OUTSIDE
							  : q->slot[slot].addr + c->piece[i].at,
						  c->piece[i].len, c->piece[i].write };
	if (iol_driver_add(q->q->driver, seg, c->n, slot) < 0)
		fail_msg("%s: %s", c->what, iol_error());
	iol_driver_publish(q->q->driver);
	iol_guest_queue_kick(q->q);
}

static const uint64_t rings[] = {
	0,
	NRIG_BIT(VIRTIO_F_RING_PACKED),
	NRIG_BIT(VIRTIO_RING_F_INDIRECT_DESC),
	NRIG_BIT(VIRTIO_F_RING_PACKED) | NRIG_BIT(VIRTIO_RING_F_INDIRECT_DESC),
};
#define RINGS (sizeof(rings) / sizeof(rings[0]))

static unsigned int outcome_of(const struct chain *c, uint64_t ring)
{
	return c->passes_in_table && ring == rings[RINGS - 1] ? PASSES : c->outcome;
}

static void chains_that_are_sent(void **state)
{
	unsigned int k, i;

	for (k = 0; k < RINGS; k++) {
		struct nrig_spec spec = { .features = NRIG_BASIC | OFFLOADS | rings[k],
					  .memory = MEMORY };
		static struct nrig_frame f;
		struct town t;

		town_up(&t, &spec);
		for (i = 0; i < sizeof(sent) / sizeof(sent[0]); i++) {
			unsigned int outcome = outcome_of(&sent[i], rings[k]);
			uint64_t drops = nrig_all_drops(t.evil);

			drain(t.one);
			offer(&t.evil->tx[0], &sent[i]);
			if (outcome == ENDS) {
				nrig_until_failed(t.evil, 1);
				undisturbed(&t);
				come_again(&t);
				continue;
			}
			nrig_flush(t.evil);
			assert_int_equal(t.evil->failures, 0);
			if (nrig_take(t.one, 0, &f) != (outcome == PASSES))
				fail_msg("%s: another outcome", sent[i].what);
			drops = nrig_all_drops(t.evil) - drops;
			assert_int_equal(drops, outcome != PASSES);
		}
		for (i = 0; i < IOL_NET_DROP_REASONS; i++) {
			uint64_t want = 0;

			for (unsigned int c = 0; c < sizeof(sent) / sizeof(sent[0]); c++)
				want += outcome_of(&sent[c], rings[k]) == i;
			assert_int_equal(nrig_drops(t.evil, i), want);
		}
		undisturbed(&t);
		town_down(&t);
	}
}

static void chains_to_receive_in(void **state)
{
	struct small_frame f = small_frame(BROADCAST, 0x11, UNTAGGED, 100);
	unsigned int k, i;

	for (k = 0; k < 2 * sizeof(rings) / sizeof(rings[0]); k++) {
		struct nrig_spec spec = { .features = NRIG_BIT(VIRTIO_F_VERSION_1) | rings[k % 4],
					  .no_rx = true,
					  .memory = MEMORY };
		struct town t;
		bool mrg = k >= 4;

		if (mrg)
			spec.features |= NRIG_BIT(VIRTIO_NET_F_MRG_RXBUF);
		town_up(&t, &spec);
		for (i = 0; i < sizeof(received) / sizeof(received[0]); i++) {
			const struct chain *c = &received[i];
			/* Several buffers make one: then there are too few. */
			enum iol_net_drop why = mrg ? IOL_NET_DROP_NO_BUFFERS : c->outcome;
			struct nrig_queue *q = &t.evil->rx[0];
			uintptr_t slot;
			uint32_t len;

			offer(q, c);
			nrig_send(t.one, f.b, f.len);
			nrig_gets(t.other, f.b, f.len);
			if (c->outcome == PASSES) {
				assert_int_equal(iol_driver_used(q->q->driver, &slot, &len), 1);
				assert_int_equal(len, 112);
				q->free[q->nfree++] = (unsigned int)slot;
				continue;
			}
			assert_int_equal(iol_driver_used(q->q->driver, &slot, &len), 0);
			if (c->outcome == ENDS)
				nrig_until_failed(t.evil, 1);
			else
				assert_true(nrig_drops(t.evil, why) > 0);
			undisturbed(&t);
			come_again(&t);
		}
		town_down(&t);
	}
}

/* Many tiny buffers for a large frame, more than are looked at for one; and buffers within the rings. */
static void buffers_of_one_byte(void **state)
{
	struct nrig_spec spec = { .no_rx = true, .memory = MEMORY };
	const struct chain tiny = { "tiny", { { BUF, 1, true } }, 1, 0 };
	struct small_frame f = small_frame(BROADCAST, 0x11, UNTAGGED, 100);
	struct town t;
	unsigned int i;
	uintptr_t slot;
	uint32_t len;

	town_up(&t, &spec);
	for (i = 0; i < 64; i++)
		offer(&t.evil->rx[0], &tiny);
	nrig_send(t.one, f.b, 14);
	for (i = 0; i < 26; i++) {
		assert_int_equal(iol_driver_used(t.evil->rx[0].q->driver, &slot, &len), 1);
		assert_int_equal(len, 1);
		t.evil->rx[0].free[t.evil->rx[0].nfree++] = (unsigned int)slot;
	}
	nrig_send(t.one, f.b, f.len);
	assert_int_equal(iol_driver_used(t.evil->rx[0].q->driver, &slot, &len), 0);
	assert_int_equal(nrig_drops(t.evil, IOL_NET_DROP_NO_BUFFERS), 1);
	undisturbed(&t);
	town_down(&t);
}

/* Four chains that fill the ring's room for pieces to the last, and nothing in them can be written to. */
static void thousands_of_pieces_to_read(void **state)
{
	struct nrig_spec spec = { .features = NRIG_BASIC | NRIG_BIT(VIRTIO_RING_F_INDIRECT_DESC),
				  .no_rx = true,
				  .rx_len = 20000,
				  .memory = MEMORY };
	struct small_frame f = small_frame(BROADCAST, 0x11, UNTAGGED, 60);
	const unsigned int pieces = 1024, chains = 4;
	struct vring_avail *avail;
	struct vring_desc *desc, *table;
	struct nrig_slot *s;
	struct town t;
	unsigned int i, k;

	town_up(&t, &spec);
	desc = t.evil->rx[0].q->area[0];
	avail = t.evil->rx[0].q->area[1];
	for (i = 0; i < chains; i++) {
		s = &t.evil->rx[0].slot[i];
		table = (void *)s->host;
		for (k = 0; k < pieces; k++)
			table[k] = (struct vring_desc){ s->addr, 1,
							k + 1 < pieces ? VRING_DESC_F_NEXT : 0,
							(uint16_t)(k + 1) };
		desc[i] = (struct vring_desc){ s->addr, pieces * 16, VRING_DESC_F_INDIRECT, 0 };
		avail->ring[i] = (uint16_t)i;
	}
	__atomic_store_n(&avail->idx, chains, __ATOMIC_RELEASE);
	for (i = 0; i < 2 * chains; i++)
		assert_true(nrig_queue_frame(t.one, 0, NULL, f.b, f.len, NULL));
	nrig_publish(t.one, 0);
	nrig_flush(t.one);
	assert_int_equal(nrig_drops(t.evil, IOL_NET_DROP_NO_BUFFERS), 2 * chains);
	undisturbed(&t);
	town_down(&t);
}

static void rings_as_buffers(void **state)
{
	unsigned int k, area;

	for (k = 0; k < 2; k++)
		for (area = 0; area < 3; area++) {
			struct nrig_spec spec = { .features = NRIG_BASIC | rings[k],
						  .no_rx = true,
						  .memory = MEMORY };
			struct small_frame f = small_frame(BROADCAST, 0x11, UNTAGGED, 400);
			struct town t;
			struct iol_guest_queue *q;
			struct iol_driver_seg seg = { .len = 500, .write = true };
			unsigned int i;

			town_up(&t, &spec);
			q = t.evil->rx[0].q;
			memset(f.b + 14, 0xff, 386);
			seg.addr = area == 0   ? q->setup.desc
				   : area == 1 ? q->setup.avail
					       : q->setup.used;
			for (i = 0; i < 20; i++)
				assert_int_equal(iol_driver_add(q->driver, &seg, 1, i), 0);
			iol_driver_publish(q->driver);
			/* What the ring becomes is its driver's affair. */
			for (i = 0; i < 20; i++) {
				nrig_send(t.one, f.b, f.len);
				undisturbed(&t);
			}
			come_again(&t);
			town_down(&t);
		}
}

/* ---- indices ---- */

static void available_indices(void **state)
{
	static const uint16_t jumps[] = { 257, 1000, 0x8000, 0xffff };
	unsigned int i, rx;

	for (rx = 0; rx < 2; rx++)
		for (i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
			struct nrig_spec spec = { .no_rx = true, .memory = MEMORY };
			struct small_frame f = small_frame(BROADCAST, 0x11, UNTAGGED, 60);
			struct vring_avail *avail;
			struct iol_guest_queue *q;
			struct town t;

			town_up(&t, &spec);
			q = rx ? t.evil->rx[0].q : t.evil->tx[0].q;
			avail = q->area[1];
			__atomic_store_n(&avail->idx, (uint16_t)(avail->idx + jumps[i]),
					 __ATOMIC_RELEASE);
			iol_guest_queue_kick(q);
			nrig_send(t.one, f.b, f.len);
			nrig_until_failed(t.evil, 1);
			undisturbed(&t);
			if (rx)
				assert_true(nrig_drops(t.evil, IOL_NET_DROP_NOT_RUNNING) +
						    nrig_drops(t.evil, IOL_NET_DROP_NO_BUFFERS) >
					    0);
			come_again(&t);
			town_down(&t);
		}
}

/* ---- headers ---- */

#define NEEDS VIRTIO_NET_HDR_F_NEEDS_CSUM
#define TCP4  VIRTIO_NET_HDR_GSO_TCPV4
#define TCP6  VIRTIO_NET_HDR_GSO_TCPV6
#define UDP   VIRTIO_NET_HDR_GSO_UDP_L4
#define BAD   IOL_NET_DROP_BAD_HEADER
#define UNCUT IOL_NET_DROP_NOT_SEGMENTABLE

/* On a TCP packet over IPv4, of which one byte may be changed as well. */
/* clang-format off */
static const struct header {
	const char *what;
	uint8_t flags, type;
	uint16_t gso_size, csum_start, csum_offset, hdr_len;
	uint16_t at, value;
	/* For whom cannot cut, and for whom all can be left to. */
	unsigned int outcome, able;
} headers[] = {
	{ "good", NEEDS, TCP4, 500, 34, 16, 54, 0, 0, PASSES, PASSES },
	{ "a wrong hint", NEEDS, TCP4, 500, 34, 16, 65535, 0, 0, PASSES, PASSES },
	{ "words nobody knows", 0xfe, 0, 0, 0, 0, 0, 0, 0, PASSES, PASSES },
	{ "numbers for nothing", 0, 0, 65535, 65535, 65535, 65535, 0, 0, PASSES, PASSES },
	{ "checksum past the end", NEEDS, 0, 0, 3054, 16, 0, 0, 0, BAD, BAD },
	{ "checksum half past the end", NEEDS, 0, 0, 3037, 16, 0, 0, 0, BAD, BAD },
	{ "checksum at the end", NEEDS, 0, 0, 3036, 16, 0, 0, 0, PASSES, PASSES },
	{ "checksum far past the end", NEEDS, 0, 0, 65535, 65535, 0, 0, 0, BAD, BAD },
	{ "checksum's offset past the end", NEEDS, 0, 0, 34, 65535, 0, 0, 0, BAD, BAD },
	{ "checksum's place wraps", NEEDS, 0, 0, 65530, 20, 0, 0, 0, BAD, BAD },
	{ "checksum in Ethernet's header", NEEDS, 0, 0, 0, 6, 0, 0, 0, BAD, BAD },
	{ "checksum in IP's addresses", NEEDS, 0, 0, 26, 2, 0, 0, 0, BAD, BAD },
	{ "checksum in an address behind a tag", NEEDS, 0, 0, 33, 2, 0, 0, 0, BAD, BAD },
	{ "segments of no bytes", NEEDS, TCP4, 0, 34, 16, 0, 0, 0, BAD, BAD },
	{ "segments without a checksum", 0, TCP4, 500, 34, 16, 0, 0, 0, BAD, BAD },
	{ "segments with the checksum elsewhere", NEEDS, TCP4, 500, 34, 6, 0, 0, 0, BAD, BAD },
	{ "fragments", NEEDS, VIRTIO_NET_HDR_GSO_UDP, 500, 34, 6, 0, 0, 0, BAD, BAD },
	{ "a kind that isn't", NEEDS, 2, 500, 34, 16, 0, 0, 0, BAD, BAD },
	{ "all kinds", NEEDS, 0x7f, 500, 34, 16, 0, 0, 0, BAD, BAD },
	{ "congestion, not negotiated", NEEDS, TCP4 | VIRTIO_NET_HDR_GSO_ECN, 500, 34, 16, 0, 0, 0,
	  BAD, BAD },
	{ "congestion alone", NEEDS, VIRTIO_NET_HDR_GSO_ECN, 500, 34, 16, 0, 0, 0, BAD, BAD },
	{ "another version of IP", NEEDS, TCP6, 500, 34, 16, 0, 0, 0, UNCUT, PASSES },
	{ "another protocol", NEEDS, UDP, 500, 34, 6, 0, 0, 0, UNCUT, UNCUT },
	{ "segments that start elsewhere", NEEDS, TCP4, 500, 38, 16, 0, 0, 0, UNCUT, PASSES },
	{ "one segment", NEEDS, TCP4, 65535, 34, 16, 0, 0, 0, PASSES, PASSES },
	{ "IPv4 of no length", NEEDS, TCP4, 500, 34, 16, 0, 14, 0x40, UNCUT, PASSES },
	{ "IPv4 of too much length", NEEDS, TCP4, 500, 34, 16, 0, 14, 0x4f, UNCUT, PASSES },
	{ "IPv5", NEEDS, TCP4, 500, 34, 16, 0, 14, 0x55, UNCUT, PASSES },
	{ "a packet longer than its frame", NEEDS, TCP4, 500, 34, 16, 0, 16, 0xff, UNCUT, PASSES },
	{ "a packet shorter than its frame", NEEDS, TCP4, 500, 34, 16, 0, 16, 0, UNCUT, PASSES },
	{ "a fragment", NEEDS, TCP4, 500, 34, 16, 0, 20, 0x20, UNCUT, PASSES },
	{ "no TCP", NEEDS, TCP4, 500, 34, 16, 0, 23, 17, UNCUT, PASSES },
	{ "TCP of no length", NEEDS, TCP4, 500, 34, 16, 0, 46, 0, UNCUT, PASSES },
	{ "a SYN", NEEDS, TCP4, 500, 34, 16, 0, 47, 2, UNCUT, PASSES },
	{ "no IP", NEEDS, TCP4, 500, 34, 16, 0, 12, 0, UNCUT, PASSES },
	{ "segments of a byte", NEEDS, TCP4, 1, 34, 16, 0, 0, 0, UNCUT, PASSES },
	{ "1500 segments", NEEDS, TCP4, 2, 34, 16, 0, 0, 0, UNCUT, PASSES },
	{ "1000 segments", NEEDS, TCP4, 3, 34, 16, 0, 0, 0, PASSES, PASSES },
};
/* clang-format on */

static void send_header(struct town *t, const struct header *h)
{
	struct packet p = { .tci = -1, .partial = true, .payload = 3000, .gso = 500 };
	static uint8_t frame[NRIG_FRAME_MAX];
	struct virtio_net_hdr_v1 hdr;
	uint32_t len = packet_make(&p, &hdr, frame);

	memset(frame, 0xff, 6);
	frame[6] = 2;
	frame[11] = 0x66;
	if (h->at)
		frame[h->at] = (uint8_t)h->value;
	hdr = (struct virtio_net_hdr_v1){ .flags = h->flags,
					  .gso_type = h->type,
					  .hdr_len = h->hdr_len,
					  .gso_size = h->gso_size,
					  .csum_start = h->csum_start,
					  .csum_offset = h->csum_offset };
	nrig_send_with(t->evil, &hdr, frame, len);
}

static void lies_in_headers(void **state)
{
	struct nrig_spec spec = { .features = NRIG_BASIC | OFFLOADS, .memory = MEMORY };
	static struct nrig_frame f;
	struct town t;
	unsigned int i;

	town_up(&t, &spec);
	for (i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		const struct header *h = &headers[i];
		uint64_t bad = nrig_drops(t.evil, BAD);

		send_header(&t, h);
		bad = nrig_drops(t.evil, BAD) - bad;
		if (bad != (h->outcome == BAD))
			fail_msg("%s: believed, or not", h->what);
		if (nrig_take(t.one, 0, &f) != (h->outcome == PASSES))
			fail_msg("%s: came, or did not, where it has to be made good", h->what);
		if (h->outcome == PASSES)
			assert_int_equal(f.hdr.flags | f.hdr.gso_type, 0);
		if (nrig_take(t.other, 0, &f) != (h->able == PASSES))
			fail_msg("%s: came, or did not, where it need not be made good", h->what);
		if (h->able == PASSES) {
			assert_int_equal(f.hdr.flags & ~NEEDS, 0);
			assert_int_equal(f.hdr.gso_type, h->type);
			assert_int_equal(f.hdr.csum_start, h->flags & NEEDS ? h->csum_start : 0);
		}
		undisturbed(&t);
	}
	town_down(&t);
}

/* Where a checksum begins is counted in 16 bits, and a tag put in moves it on. */
static void a_tag_moves_a_checksum(void **state)
{
	struct nrig_spec spec = { .features = NRIG_BASIC | OFFLOADS,
				  .port = { .vlan = 5 },
				  .memory = MEMORY };
	static uint8_t frame[NRIG_FRAME_MAX];
	struct virtio_net_hdr_v1 hdr = { .flags = NEEDS, .csum_start = 65534, .csum_offset = 2 };
	struct nrig_port *b;
	static struct nrig_frame f;
	struct town t;

	town_up(&t, &spec);
	b = nrig_port_up(t.net, &(struct nrig_spec){ .port = { .trunk_all = true },
						     .features = NRIG_BASIC | OFFLOADS,
						     .memory = MEMORY });
	memset(frame, 0xff, 6);
	frame[6] = 2;
	nrig_send_with(t.evil, &hdr, frame, IOL_FRAME_MAX - 50);
	if (nrig_take(b, 0, &f))
		assert_true(f.hdr.csum_start >= 34);
	undisturbed(&t);
	nrig_port_down(&b);
	town_down(&t);
}

/* ---- a guest that changes its frames meanwhile ---- */

#define OWN   0x66
#define IP_AT 46 /* of a tagged ARP's sender, in a buffer behind its header */

struct flips {
	uint8_t *frame[NRIG_SENDS];
	bool header, end; /* @end: atomic */
};

static void *flip(void *arg)
{
	struct flips *s = arg;
	unsigned int i, n = 0;

	for (; !__atomic_load_n(&s->end, __ATOMIC_RELAXED); n++)
		for (i = 0; i < NRIG_SENDS; i++) {
			volatile uint8_t *b = s->frame[i];

			if (s->header) {
				b[0] = n % 2;
				b[1] = (uint8_t)(n % 7);
				b[4] = (uint8_t)n;
				b[6] = (uint8_t)(n % 80);
			} else {
				b[12 + 11] = n % 2 ? OWN : 1;
				b[12 + 15] = n % 3 ? 5 : 7;
				b[IP_AT + 3] = n % 5 ? 1 : 9;
				b[12 + 13] = n % 4 ? 0 : 1;
			}
		}
	return NULL;
}

static void flipped(struct town *t, struct nrig_port *observer, bool header)
{
	struct flips s = { .header = header };
	struct nrig_queue *q = &t->evil->tx[0];
	uint64_t end = iol_now() + NRIG_WAIT * IOL_NS_PER_MS;
	static struct nrig_frame f;
	struct small_frame arp = small_frame(BROADCAST, OWN, 5, 64);
	unsigned int i, round, got = 0;
	pthread_t thread;

	arp.b[16] = 0x08;
	arp.b[17] = 0x06;
	small_mac(arp.b + 18 + 8, OWN);
	memcpy(arp.b + 18 + 14, "\x0a\x00\x00\x01", 4);
	for (i = 0; i < NRIG_SENDS; i++)
		s.frame[i] = q->slot[i].host;
	assert_int_equal(pthread_create(&thread, NULL, flip, &s), 0);
	for (round = 0; round < 400 || (!header && got < 50); round++) {
		assert_true(iol_now() < end);
		for (i = 0; i < 32; i++)
			assert_true(nrig_queue_frame(t->evil, 0, NULL, arp.b, arp.len, NULL));
		nrig_publish(t->evil, 0);
		nrig_flush(t->evil);
		while (nrig_take(observer, 0, &f)) {
			got++;
			if (header)
				continue;
			assert_int_equal(f.data[11], OWN);
			/* Tagged with what its port is in, or without a tag of ours: in its native VLAN, 0. */
			if (f.data[12] == 0x81 && f.data[13] == 0) {
				assert_int_equal(f.data[15], 5);
				assert_int_equal(f.data[35], 1);
			}
		}
		drain(t->one);
		drain(t->other);
	}
	__atomic_store_n(&s.end, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	undisturbed(t);
}

static void frames_that_change(void **state)
{
	struct nrig_spec spec = { .port = { .spoof = IOL_NET_SPOOF_IP, .ip = 0x0a000001 },
				  .features = NRIG_BASIC | OFFLOADS,
				  .memory = MEMORY };
	struct nrig_port *observer;
	struct town t;

	small_mac(spec.port.mac, OWN);
	iol_net_vlan_set(spec.port.trunk, 5);
	town_up(&t, &spec);
	observer = nrig_port_up(t.net, &(struct nrig_spec){ .port = { .trunk_all = true },
							    .memory = MEMORY });
	flipped(&t, observer, false);
	assert_true(nrig_drops(t.evil, IOL_NET_DROP_SPOOF_MAC) > 0);
	flipped(&t, observer, true);
	nrig_port_down(&observer);
	town_down(&t);
}

/* ---- memory that goes away ---- */

static void truncated_memory(void **state)
{
	struct nrig_spec spec = { .unsealed = true, .memory = MEMORY };
	unsigned int round;
	struct town t;

	assert_int_equal(iol_sigbus_install(), 0);
	town_up(&t, &spec);
	for (round = 0; round < 4; round++) {
		struct small_frame f =
			small_frame(BROADCAST, round % 2 ? 0x11 : OWN, UNTAGGED, 900);
		uint64_t end = iol_now() + NRIG_WAIT * IOL_NS_PER_MS;
		int rc = 0;

		/* As sender: available before, and found after. As receiver: by what others send. */
		if (round % 2 == 0) {
			nrig_stop(t.evil, 1);
			assert_true(nrig_queue_frame(t.evil, 0, NULL, f.b, f.len, NULL));
			iol_driver_publish(t.evil->tx[0].q->driver);
		}
		assert_int_equal(ftruncate(iol_guest_memory_region(t.evil->mem, 0)->fd, 0), 0);
		if (round % 2 == 0)
			iol_frontend_queue_start(t.evil->fe, 1, &t.evil->tx[0].q->setup);
		while (rc != -ENOTCONN) {
			assert_true(iol_now() < end);
			nrig_send(t.one, f.b, f.len);
			iol_guest_queue_kick(t.evil->tx[0].q);
			rc = iol_frontend_poll(t.evil->fe, 10);
		}
		undisturbed(&t);
		come_again(&t);
	}
	undisturbed(&t);
	town_down(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chains_that_are_sent),
		cmocka_unit_test(chains_to_receive_in),
		cmocka_unit_test(buffers_of_one_byte),
		cmocka_unit_test(thousands_of_pieces_to_read),
		cmocka_unit_test(rings_as_buffers),
		cmocka_unit_test(available_indices),
		cmocka_unit_test(lies_in_headers),
		cmocka_unit_test(a_tag_moves_a_checksum),
		cmocka_unit_test(frames_that_change),
		cmocka_unit_test(truncated_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
