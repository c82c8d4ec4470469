/* SPDX-License-Identifier: BSD-3-Clause */
#include "net_packet.h"

#include <endian.h>
#include <string.h>

#define ETHER 14u
#define TAG   4u
#define TCP   20u
#define UDP   8u
#define SEQ   0xfffff000u /* wraps within larger packets */
#define ID    0xfff0u
#define FIN   0x01u
#define PSH   0x08u
#define ACK   0x10u
#define CWR   0x80u

/* ---- numbers ---- */

static void put16(uint8_t *to, uint32_t v)
{
	to[0] = (uint8_t)(v >> 8);
	to[1] = (uint8_t)v;
}

static uint32_t get16(const uint8_t *p)
{
	return (uint32_t)(p[0] << 8 | p[1]);
}

static void put32(uint8_t *to, uint32_t v)
{
	put16(to, v >> 16);
	put16(to + 2, v);
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) << 16 | get16(p + 2);
}

/* RFC 1071, a byte at a time. */
static uint32_t add(uint32_t sum, const uint8_t *p, uint32_t len)
{
	uint32_t i;

	for (i = 0; i < len; i++) {
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

static uint8_t byte(const struct packet *p, uint32_t at)
{
	uint32_t v = (at + p->seed * 2654435761u) * 2246822519u;

	return (uint8_t)(v >> 24);
}

/* ---- where things are ---- */

static uint32_t l3_len(const struct packet *p)
{
	return (p->ipv6 ? 40 : 20) + p->options;
}

static uint32_t l4_len(const struct packet *p)
{
	return p->udp ? UDP : TCP + p->tcp_options;
}

static uint32_t l3_at(int tci)
{
	return ETHER + (tci < 0 ? 0 : TAG);
}

uint32_t packet_headers(const struct packet *p)
{
	return l3_at(p->tci) + l3_len(p) + l4_len(p);
}

/* The pseudo header's sum over addresses, protocol and a length; the routing header's subtleties are not made here. */
static uint32_t pseudo(const struct packet *p, const uint8_t *l3, uint32_t len)
{
	uint32_t sum = p->ipv6 ? add(0, l3 + 8, 32) : add(0, l3 + 12, 8);
	uint8_t rest[4] = { 0, p->udp ? 17 : 6 };

	put16(rest + 2, len);
	return add(sum, rest, 4);
}

/* ---- making ---- */

static void make_ipv6(const struct packet *p, uint8_t *l3, uint32_t len)
{
	uint32_t at = 40, i;
	uint8_t *next = l3 + 6;

	l3[0] = 0x60;
	put16(l3 + 4, len - 40);
	l3[7] = 64;
	for (i = 0; i < 32; i++)
		l3[8 + i] = (uint8_t)(0xfd + i * 3);
	/* Destination options of nothing but padding (RFC 8200, 4.6 and 4.2). */
	for (; at < 40 + p->options; at += 8) {
		*next = 60;
		next = l3 + at;
		l3[at + 1] = 0;
		l3[at + 2] = 1;
		l3[at + 3] = 4;
	}
	*next = p->udp ? 17 : 6;
}

static void make_ipv4(const struct packet *p, uint8_t *l3, uint32_t len)
{
	l3[0] = (uint8_t)(0x45 + p->options / 4);
	put16(l3 + 2, len);
	put16(l3 + 4, ID);
	l3[8] = 64;
	l3[9] = p->udp ? 17 : 6;
	put32(l3 + 12, 0x0a000001);
	put32(l3 + 16, 0x0a000002);
	memset(l3 + 20, 1, p->options); /* no operation */
	put16(l3 + 10, ~add(0, l3, 20 + p->options));
}

static void make_l4(const struct packet *p, uint8_t *l4, uint32_t len)
{
	put16(l4, 4000 + p->seed % 1000);
	put16(l4 + 2, 80);
	if (p->udp) {
		put16(l4 + 4, len);
		return;
	}
	put32(l4 + 4, SEQ);
	put32(l4 + 8, 77);
	l4[12] = (uint8_t)((TCP + p->tcp_options) / 4 << 4);
	l4[13] = p->tcp_flags | ACK;
	put16(l4 + 14, 500);
	memset(l4 + 20, 1, p->tcp_options);
}

uint32_t packet_make(const struct packet *p, struct virtio_net_hdr_v1 *hdr, uint8_t *frame)
{
	uint32_t at = l3_at(p->tci), l4_at = at + l3_len(p), headers = packet_headers(p), i;
	uint32_t len = headers + p->payload, sum_at = p->udp ? 6 : 16;
	uint8_t *l3 = frame + at, *l4 = frame + l4_at;

	memset(frame, 0, headers);
	memcpy(frame, p->dst, 6);
	memcpy(frame + 6, p->src, 6);
	if (p->tci >= 0) {
		put16(frame + 12, 0x8100);
		put16(frame + 14, (uint32_t)p->tci);
	}
	put16(l3 - 2, p->ipv6 ? 0x86dd : 0x0800);
	if (p->ipv6)
		make_ipv6(p, l3, len - at);
	else
		make_ipv4(p, l3, len - at);
	make_l4(p, l4, len - l4_at);
	for (i = 0; i < p->payload; i++)
		frame[headers + i] = byte(p, i);
	put16(l4 + sum_at, pseudo(p, l3, len - l4_at));
	memset(hdr, 0, sizeof(*hdr));
	if (!p->partial) {
		uint32_t sum = 0xffff & ~add(0, l4, len - l4_at);

		put16(l4 + sum_at, sum || !p->udp ? sum : 0xffff);
		return len;
	}
	hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr->csum_start = htole16((uint16_t)l4_at);
	hdr->csum_offset = htole16((uint16_t)sum_at);
	if (p->gso) {
		hdr->gso_type = p->udp    ? VIRTIO_NET_HDR_GSO_UDP_L4
				: p->ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6
					  : VIRTIO_NET_HDR_GSO_TCPV4;
		if (p->ecn)
			hdr->gso_type |= VIRTIO_NET_HDR_GSO_ECN;
		hdr->gso_size = htole16(p->gso);
		hdr->hdr_len = htole16((uint16_t)headers);
	}
	return len;
}

/* ---- looking ---- */

/* What is left to do must be allowed, and described right. Return: whether it is a large one. */
static bool check_header(const struct packet_seen *seen, const struct nrig_frame *f, uint32_t l4_at)
{
	const struct packet *p = seen->p;
	uint64_t need = NRIG_BIT(VIRTIO_NET_F_GUEST_CSUM);
	uint8_t type = VIRTIO_NET_HDR_GSO_NONE;

	if (!(f->hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
		assert_int_equal(f->hdr.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		if (!(seen->features & need))
			assert_int_equal(f->hdr.flags, 0);
		assert_int_equal(f->hdr.gso_size, 0);
		return false;
	}
	assert_true(p->partial);
	assert_int_equal(le16toh(f->hdr.csum_start), l4_at);
	assert_int_equal(le16toh(f->hdr.csum_offset), p->udp ? 6 : 16);
	if (p->gso) {
		type = p->udp    ? VIRTIO_NET_HDR_GSO_UDP_L4
		       : p->ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6
				 : VIRTIO_NET_HDR_GSO_TCPV4;
		need |= p->udp ? NRIG_BIT(p->ipv6 ? VIRTIO_NET_F_GUEST_USO6
						  : VIRTIO_NET_F_GUEST_USO4)
			       : NRIG_BIT(p->ipv6 ? VIRTIO_NET_F_GUEST_TSO6
						  : VIRTIO_NET_F_GUEST_TSO4);
		if (p->ecn) {
			type |= VIRTIO_NET_HDR_GSO_ECN;
			need |= NRIG_BIT(VIRTIO_NET_F_GUEST_ECN);
		}
		assert_int_equal(le16toh(f->hdr.gso_size), p->gso);
	}
	assert_int_equal(f->hdr.gso_type, type);
	assert_int_equal(seen->features & need, need);
	return type;
}

/* Of every header: what the packet had, but for what must be another in a part of it. */
static void check_ip(const struct packet *p, const uint8_t *want, const uint8_t *l3, uint32_t len,
		     uint32_t part)
{
	uint8_t is[128], was[128];

	assert_true(l3_len(p) <= sizeof(is));
	memcpy(is, l3, l3_len(p));
	memcpy(was, want, l3_len(p));
	if (p->ipv6) {
		assert_int_equal(get16(is + 4), len - 40);
		memset(is + 4, 0, 2);
		memset(was + 4, 0, 2);
	} else {
		assert_int_equal(add(0, is, l3_len(p)), 0xffff);
		assert_int_equal(get16(is + 2), len);
		assert_int_equal(get16(is + 4), (ID + part) & 0xffff);
		memset(is + 2, 0, 4);
		memset(was + 2, 0, 4);
		memset(is + 10, 0, 2);
		memset(was + 10, 0, 2);
	}
	assert_memory_equal(is, was, l3_len(p));
}

static void check_l4(const struct packet_seen *seen, const uint8_t *want, const uint8_t *l4,
		     uint32_t len, bool last)
{
	const struct packet *p = seen->p;
	uint8_t is[64], was[64], flags;

	memcpy(is, l4, l4_len(p));
	memcpy(was, want, l4_len(p));
	if (p->udp) {
		assert_int_equal(get16(is + 4), len);
		memset(is + 4, 0, 4);
		memset(was + 4, 0, 4);
	} else {
		assert_int_equal(get32(is + 4), (uint32_t)(SEQ + seen->payload));
		flags = was[13];
		if (!last)
			flags &= (uint8_t) ~(FIN | PSH);
		if (seen->payload)
			flags &= (uint8_t)~CWR;
		assert_int_equal(is[13], flags);
		memset(is + 4, 0, 4);
		memset(was + 4, 0, 4);
		is[13] = was[13] = 0;
		memset(is + 16, 0, 2);
		memset(was + 16, 0, 2);
	}
	assert_memory_equal(is, was, l4_len(p));
}

static void check_sum(const struct packet *p, const struct nrig_frame *f, const uint8_t *l3,
		      const uint8_t *l4, uint32_t len)
{
	uint32_t sum = pseudo(p, l3, len), field = get16(l4 + (p->udp ? 6 : 16));

	if (f->hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		assert_int_equal(field, sum);
		return;
	}
	assert_int_equal(add(sum, l4, len), 0xffff);
	/* UDP's 0 would say that there is none. */
	if (p->udp)
		assert_int_not_equal(field, 0);
}

bool packet_arrived(struct packet_seen *seen, const struct nrig_frame *f)
{
	static uint8_t original[NRIG_FRAME_MAX];
	const struct packet *p = seen->p;
	struct virtio_net_hdr_v1 unused;
	uint32_t at = l3_at(seen->tci), l4_at = at + l3_len(p), headers = l4_at + l4_len(p);
	uint32_t was_at = l3_at(p->tci), payload, want, i;
	bool large, last;

	if (!seen->parts)
		packet_make(p, &unused, original);
	assert_true(f->len >= headers);
	payload = f->len - headers;
	large = check_header(seen, f, l4_at);
	want = p->payload - seen->payload;
	if (p->gso && !large && want > p->gso)
		want = p->gso;
	assert_int_equal(payload, want);
	last = seen->payload + payload == p->payload;

	assert_memory_equal(f->data, original, 12);
	if (seen->tci >= 0) {
		assert_int_equal(get16(f->data + 12), 0x8100);
		assert_int_equal(get16(f->data + 14), (uint32_t)seen->tci);
	}
	assert_int_equal(get16(f->data + at - 2), p->ipv6 ? 0x86dd : 0x0800);
	check_ip(p, original + was_at, f->data + at, f->len - at, seen->parts);
	check_l4(seen, original + was_at + l3_len(p), f->data + l4_at, f->len - l4_at, last);
	check_sum(p, f, f->data + at, f->data + l4_at, f->len - l4_at);
	for (i = 0; i < payload; i++)
		if (f->data[headers + i] != byte(p, seen->payload + i))
			fail_msg("byte %u of the payload is another", seen->payload + i);
	seen->payload += payload;
	seen->parts++;
	return last;
}
