/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guests with whatever features QEMU can negotiate, sender and receiver: what arrives is what was sent, in a form that
 * its receiver said it takes, however either side laid it out in its memory.
 */
#include "net_frames.h"
#include "net_packet.h"
#include "net_rig.h"

#include <stdio.h>
#include <stdlib.h>

#define VLAN 5

static uint32_t random_state = 1;

static uint32_t random_number(uint32_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state % below;
}

/* ---- pairs of features ---- */

enum {
	VERSION_1,
	MRG,
	PACKED,
	EVENT_IDX,
	INDIRECT,
	IN_ORDER,
	CSUM,
	TSO4,
	TSO6,
	ECN,
	USO,
	FACTORS, /* of one side; the receiver's follow */
};

#define ALL    (2 * FACTORS)
#define ROWS   64
#define SAMPLE 60

static const uint64_t sender_bits[FACTORS] = {
	[VERSION_1] = NRIG_BIT(VIRTIO_F_VERSION_1),
	[MRG] = NRIG_BIT(VIRTIO_NET_F_MRG_RXBUF),
	[PACKED] = NRIG_BIT(VIRTIO_F_RING_PACKED),
	[EVENT_IDX] = NRIG_BIT(VIRTIO_RING_F_EVENT_IDX),
	[INDIRECT] = NRIG_BIT(VIRTIO_RING_F_INDIRECT_DESC),
	[IN_ORDER] = NRIG_BIT(VIRTIO_F_IN_ORDER),
	[CSUM] = NRIG_BIT(VIRTIO_NET_F_CSUM),
	[TSO4] = NRIG_BIT(VIRTIO_NET_F_HOST_TSO4),
	[TSO6] = NRIG_BIT(VIRTIO_NET_F_HOST_TSO6),
	[ECN] = NRIG_BIT(VIRTIO_NET_F_HOST_ECN),
	[USO] = NRIG_BIT(VIRTIO_NET_F_HOST_USO),
};

static const uint64_t receiver_bits[FACTORS] = {
	[CSUM] = NRIG_BIT(VIRTIO_NET_F_GUEST_CSUM),
	[TSO4] = NRIG_BIT(VIRTIO_NET_F_GUEST_TSO4),
	[TSO6] = NRIG_BIT(VIRTIO_NET_F_GUEST_TSO6),
	[ECN] = NRIG_BIT(VIRTIO_NET_F_GUEST_ECN),
	[USO] = NRIG_BIT(VIRTIO_NET_F_GUEST_USO4) | NRIG_BIT(VIRTIO_NET_F_GUEST_USO6),
};

/* Virtio 1.3, 5.1.3.1; and QEMU has neither packed rings nor IN_ORDER for legacy drivers. */
static bool allowed(const bool *f)
{
	return (f[VERSION_1] || !(f[PACKED] || f[IN_ORDER])) &&
	       (f[CSUM] || !(f[TSO4] || f[TSO6] || f[USO])) && (f[TSO4] || f[TSO6] || !f[ECN]);
}

/* A random choice with two of its values given. Return: false when none was found that may be. */
static bool choose(bool *row, unsigned int i, bool vi, unsigned int k, bool vk)
{
	unsigned int try, f;

	for (try = 0; try < 500; try++) {
		for (f = 0; f < ALL; f++)
			row[f] = f == i ? vi : f == k ? vk : random_number(2);
		if (allowed(row) && allowed(row + FACTORS))
			return true;
	}
	return false;
}

/* How many pairs of values a row has that no row had. With @mark it is one from now on. */
static unsigned int news(bool had[ALL][2][ALL][2], const bool *row, bool mark)
{
	unsigned int i, k, n = 0;

	for (i = 0; i < ALL; i++)
		for (k = i + 1; k < ALL; k++) {
			n += !had[i][row[i]][k][row[k]];
			if (mark)
				had[i][row[i]][k][row[k]] = true;
		}
	return n;
}

/* Rows in which every pair of values that can be is in one at least. */
static unsigned int make_rows(bool rows[ROWS][ALL])
{
	static bool had[ALL][2][ALL][2];
	unsigned int n = 0, at, i, k, try;

	for (at = 0; at < ALL * 2 * ALL * 2; at++) {
		bool vi = at & 1, vk = at & 2, row[ALL];
		unsigned int best = 0;

		i = at / 4 / ALL;
		k = at / 4 % ALL;
		if (i >= k || had[i][vi][k][vk])
			continue;
		assert_true(n < ROWS);
		for (try = 0; try < SAMPLE && choose(row, i, vi, k, vk); try++)
			if (news(had, row, false) > best) {
				best = news(had, row, false);
				memcpy(rows[n], row, sizeof(row));
			}
		/* Some pairs can't be. */
		if (best)
			news(had, rows[n++], true);
	}
	return n;
}

static uint64_t features(const bool *f, bool receiver)
{
	uint64_t bits = 0;
	unsigned int i;

	for (i = 0; i < FACTORS; i++)
		if (f[i])
			bits |= receiver && receiver_bits[i] ? receiver_bits[i] : sender_bits[i];
	return bits;
}

/* ---- a row ---- */

#define PACKETS_MAX 16

struct way {
	struct nrig_port *a, *b;
	const bool *sender;
	unsigned int buffers; /* of the receiver's that the packets under way need, at most */
	unsigned int n;
	struct packet sent[PACKETS_MAX];
};

/* What it is seen with there: the receiver is in the VLAN, or has it in its trunk. */
static int seen_tci(const struct way *w, const struct packet *p)
{
	if (w->b->spec.port.vlan == VLAN)
		return -1;
	return p->tci < 0 ? VLAN : p->tci;
}

/* All that is under way arrives, in order. */
static void arrive(struct way *w)
{
	static struct nrig_frame f;
	unsigned int i;

	nrig_publish(w->a, 0);
	nrig_flush(w->a);
	for (i = 0; i < w->n; i++) {
		struct packet_seen seen = { .p = &w->sent[i],
					    .features = w->b->spec.features,
					    .tci = seen_tci(w, &w->sent[i]) };

		do {
			if (!nrig_take(w->b, 0, &f))
				fail_msg("packet %u of %u: part %u is missing", i, w->n,
					 seen.parts);
		} while (!packet_arrived(&seen, &f));
	}
	nrig_silent(w->b);
	w->n = w->buffers = 0;
}

static void depart(struct way *w, const struct packet *p, const uint32_t *pieces)
{
	static uint8_t frame[NRIG_FRAME_MAX];
	uint32_t parts = p->gso && p->payload ? (p->payload + p->gso - 1) / p->gso : 1;
	uint32_t part = packet_headers(p) + 4 + NRIG_HEADER + (p->gso ? p->gso : p->payload);
	uint32_t need = parts * ((part + w->b->spec.rx_len - 1) / w->b->spec.rx_len);
	struct virtio_net_hdr_v1 hdr;
	uint32_t len;

	/* One large frame in small buffers can need more than its segments would. */
	if (w->n == PACKETS_MAX || w->buffers + need + 1 > w->b->spec.rx_buffers)
		arrive(w);
	len = packet_make(p, &hdr, frame);
	assert_true(nrig_queue_frame(w->a, 0, &hdr, frame, len, pieces));
	w->sent[w->n++] = *p;
	w->buffers += need + 1;
}

static bool can_send(const struct way *w, const struct packet *p)
{
	if (p->partial && !w->sender[CSUM])
		return false;
	if (p->ecn && !w->sender[ECN])
		return false;
	return !p->gso || w->sender[p->udp ? USO : p->ipv6 ? TSO6 : TSO4];
}

static const uint32_t tx_pieces[][NRIG_PIECES] = {
	{ 0 },
	{ 12 },
	{ 10, 14, 20, 20 },
	{ 1, 3, 8, 6, 6, 2, 2, 2, 1, 1, 1, 30, 500 },
	{ 26, 2, 4, 4, 4 },
	{ 100, 1400, 1400 },
	{ 11, 5, 12, 1 },
};

static void all_packets(struct way *w)
{
	static const uint32_t sizes[] = { 0, 1, 6, 535, 1460, 1461, 4097, 20000, 64800 };
	static const uint16_t gso[] = { 0, 0, 536, 1448, 8000, 65000 };
	unsigned int kind, size, number = 0;

	for (kind = 0; kind < 16; kind++)
		for (size = 0; size < sizeof(sizes) / sizeof(sizes[0]); size++, number++) {
			struct packet p = { .tci = kind & 4 ? 0x6000 | VLAN : -1,
					    .ipv6 = kind & 1,
					    .udp = kind & 2,
					    .options = number % 3 ? 0 : 8,
					    .tcp_options = number % 2 ? 12 : 0,
					    .tcp_flags = number % 5 ? 0 : 0x89,
					    .payload = sizes[size],
					    .seed = number };
			unsigned int how;

			small_mac(p.dst, 2);
			small_mac(p.src, 1);
			for (how = 0; how < sizeof(gso) / sizeof(gso[0]); how++) {
				p.partial = how > 0;
				p.gso = gso[how];
				p.ecn = p.gso && !p.udp && kind & 8;
				if (can_send(w, &p))
					depart(w, &p,
					       tx_pieces[(number + how) % (sizeof(tx_pieces) /
									   sizeof(tx_pieces[0]))]);
			}
		}
	arrive(w);
}

static void run(struct iol_net *net, const bool *row, unsigned int number)
{
	static const uint32_t rx_lens[] = { 2048, 1526, 4096, 66000 };
	static const uint32_t rx_pieces[][8] = {
		{ 0 }, { 12 }, { 5 }, { 20, 30, 1, 500 }, { 3, 9 }
	};
	struct nrig_spec from = { .port = { .vlan = VLAN, .trunk_all = true },
				  .features = features(row, false) };
	struct nrig_spec to = { .port = { .trunk_all = true },
				.features = features(row + FACTORS, true),
				.rx_buffers = 128 };
	struct way w = { .sender = row };

	to.rx_len = row[FACTORS + MRG] ? rx_lens[number % 4] : 66000;
	/* Without tables a chain's pieces take room in the ring. */
	to.rx_pieces = rx_pieces[row[FACTORS + INDIRECT] ? number % 5 : number % 3];
	if (number % 2)
		to.port.vlan = VLAN;
	w.a = nrig_port_up(net, &from);
	w.b = nrig_port_up(net, &to);
	all_packets(&w);
	assert_int_equal(nrig_all_drops(w.a) + nrig_all_drops(w.b), 0);
	nrig_port_down(&w.a);
	nrig_port_down(&w.b);
}

static void pairwise(void **state)
{
	static bool rows[ROWS][ALL];
	unsigned int n = make_rows(rows), i, k;
	struct iol_net *net = nrig_net_up(NULL);

	print_message("%u combinations\n", n);
	for (i = 0; i < n; i++) {
		char text[2 * ALL + 1] = "";

		for (k = 0; k < ALL; k++)
			strcat(text, k == FACTORS ? "  " : ""),
				strcat(text, rows[i][k] ? "1" : "0");
		print_message("%s\n", text);
		run(net, rows[i], i);
	}
	nrig_net_down(&net);
}

/* ---- layouts ---- */

static void random_pieces(uint32_t *pieces, unsigned int max)
{
	unsigned int n = random_number(max), i;

	memset(pieces, 0, NRIG_PIECES * sizeof(*pieces));
	for (i = 0; i < n; i++)
		pieces[i] = 1 + random_number(random_number(4) ? 20 : 600);
}

static void any_layout(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	uint32_t rx[NRIG_PIECES], tx[NRIG_PIECES];
	const bool sender[FACTORS] = { [CSUM] = true, [TSO4] = true };
	unsigned int round, i;

	for (round = 0; round < 24; round++) {
		struct nrig_spec from = { .features = NRIG_BASIC | sender_bits[CSUM] |
						      sender_bits[TSO4] |
						      NRIG_BIT(VIRTIO_RING_F_INDIRECT_DESC),
					  .port = { .vlan = VLAN } };
		struct nrig_spec to = { .features = NRIG_BIT(VIRTIO_F_VERSION_1) |
						    NRIG_BIT(VIRTIO_RING_F_INDIRECT_DESC),
					.port = { .vlan = VLAN },
					.rx_buffers = 64,
					.rx_len = 16000 };
		struct way w = { .sender = sender };

		if (round & 1) {
			to.features |= NRIG_BIT(VIRTIO_NET_F_MRG_RXBUF);
			/* Down to a byte for the frame, in the first. */
			to.rx_len = round & 2 ? 1024 : 300 + random_number(100);
			to.rx_buffers = 128;
		}
		if (round & 4)
			to.features |= NRIG_BIT(VIRTIO_F_RING_PACKED);
		random_pieces(rx, NRIG_PIECES - 1);
		to.rx_pieces = rx;
		w.a = nrig_port_up(net, &from);
		w.b = nrig_port_up(net, &to);
		for (i = 0; i < 60; i++) {
			struct packet p = { .tci = -1,
					    .partial = i % 3,
					    .payload = random_number(i % 8 ? 1400 : 14000),
					    .gso = i % 3 == 2 ? 100 + (uint16_t)random_number(1300)
							      : 0,
					    .seed = i };

			small_mac(p.dst, 2);
			small_mac(p.src, 1);
			if (p.gso && p.payload > 40u * p.gso)
				p.payload = 40u * p.gso;
			random_pieces(tx, NRIG_PIECES - 1);
			depart(&w, &p, tx);
		}
		arrive(&w);
		assert_int_equal(nrig_all_drops(w.b), 0);
		nrig_port_down(&w.a);
		nrig_port_down(&w.b);
	}
	nrig_net_down(&net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairwise),
		cmocka_unit_test(any_layout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
