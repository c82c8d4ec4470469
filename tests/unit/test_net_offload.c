/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/net/offload.h"

#include "net_frame.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define F(name) (1ull << VIRTIO_NET_F_##name)
#define SENDER  (F(CSUM) | F(HOST_TSO4) | F(HOST_TSO6) | F(HOST_USO) | F(HOST_ECN))
#define RECEIVER                                                                                   \
	(F(GUEST_CSUM) | F(GUEST_TSO4) | F(GUEST_TSO6) | F(GUEST_USO4) | F(GUEST_USO6) |           \
	 F(GUEST_ECN))

static struct frame whole, part;
static uint8_t payload[65536];

static int fill(void **state)
{
	uint32_t i, x = 12345;

	for (i = 0; i < sizeof(payload); i++) {
		x = x * 1664525 + 1013904223;
		payload[i] = (uint8_t)(x >> 24);
	}
	return 0;
}

/* In memory of its own, so that a sanitizer sees whoever reads behind its end. */
static uint8_t *copy(const struct frame *f, uint32_t len)
{
	uint8_t *p = malloc(len ? len : 1);

	assert_non_null(p);
	return memcpy(p, f->bytes, len);
}

static int start(struct iol_segmenter *s, const struct frame *f, uint8_t **mem)
{
	*mem = copy(f, f->len);
	return iol_segmenter_start(s, *mem, f->len, &f->hdr);
}

/* Cuts what @spec describes, and compares each segment with a frame made for its payload alone. */
static void cut(const struct frame_spec *spec)
{
	uint32_t done = 0, n = 0, left, want = 1;
	struct frame_spec one = *spec;
	struct iol_segmenter s;
	struct iol_segment seg;
	uint8_t *mem;

	one.partial = true;
	frame_make(&whole, &one);
	assert_true(iol_offload_check(&whole.hdr, whole.len, SENDER));
	assert_int_equal(iol_offload_needs(&whole.hdr, 0), IOL_OFFLOAD_SEGMENT);
	assert_int_equal(start(&s, &whole, &mem), 0);
	if (spec->payload_len)
		want = (spec->payload_len + spec->gso_size - 1) / spec->gso_size;
	one.partial = false;
	while (iol_segmenter_next(&s, &seg)) {
		left = spec->payload_len - done;
		one.payload = spec->payload + done;
		one.payload_len = left < spec->gso_size ? left : spec->gso_size;
		one.id = (uint16_t)(spec->id + n);
		one.seq = spec->seq + done;
		one.flags = spec->flags;
		if (n)
			one.flags &= (uint8_t)~TCP_CWR;
		if (n + 1 < want)
			one.flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
		frame_make(&part, &one);
		assert_int_equal(seg.headers_len, part.headers_len);
		assert_memory_equal(seg.headers, part.bytes, part.headers_len);
		assert_int_equal(seg.payload_len, one.payload_len);
		assert_ptr_equal(seg.payload, mem + whole.headers_len + done);
		done += seg.payload_len;
		n++;
	}
	assert_int_equal(done, spec->payload_len);
	assert_int_equal(n, want);
	assert_false(iol_segmenter_next(&s, &seg));
	assert_memory_equal(mem, whole.bytes, whole.len);
	free(mem);
}

static const uint32_t lengths[][2] = {
	/* payload, gso_size */
	{ 1, 1 },        { 7, 1 },       { 1000, 1000 }, { 1001, 1000 }, { 999, 1000 },
	{ 3000, 1000 },  { 4379, 1459 }, { 4381, 1459 }, { 100, 65535 }, { 20001, 8947 },
	{ 65000, 1448 }, { 0, 1448 },    { 5000, 333 },
};

static void tcp(void **state)
{
	static const uint8_t flags[] = { TCP_ACK, TCP_ACK | TCP_PSH | TCP_FIN,
					 TCP_ACK | TCP_CWR | TCP_ECE | TCP_PSH, TCP_ACK | TCP_ECE };
	unsigned int i, kind, tags;
	struct frame_spec spec;

	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		for (kind = 0; kind < 8; kind++)
			for (tags = 0; tags <= 2; tags++) {
				spec = (struct frame_spec){
					.ipv6 = kind & 1,
					.tags = tags,
					.options = kind & 1 ? 0 : (kind & 2) * 6,
					.extensions = kind & 1 ? kind / 2 : 0,
					.tcp_options = kind & 4 ? 12 : 0,
					.id = (uint16_t)(65530 + kind),
					.seq = 0xffff0000,
					.flags = flags[(i + kind) % 4],
					.payload = payload + i,
					.payload_len = lengths[i][0],
					.gso_size = (uint16_t)lengths[i][1],
				};
				cut(&spec);
			}
}

static void udp(void **state)
{
	unsigned int i, kind, tags;
	struct frame_spec spec;

	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		for (kind = 0; kind < 8; kind++)
			for (tags = 0; tags <= 2; tags++) {
				spec = (struct frame_spec){
					.udp = true,
					.ipv6 = kind & 1,
					.tags = tags,
					.options = kind & 1 ? 0 : (kind & 2) * 20,
					.extensions = kind & 1 ? kind / 2 : 0,
					.id = 7,
					.payload = payload + i,
					.payload_len = lengths[i][0],
					.gso_size = (uint16_t)lengths[i][1],
				};
				cut(&spec);
			}
}

/* The longest that lengths of 16 bits can tell. */
static void longest(void **state)
{
	struct frame_spec spec = { .payload = payload, .flags = TCP_ACK, .gso_size = 48 };

	spec.payload_len = 65535 - 20 - 20;
	cut(&spec);
	spec.gso_size = 65535;
	cut(&spec);
	spec.ipv6 = true;
	spec.tags = 2;
	spec.payload_len = 65535 - 20;
	cut(&spec);
	spec.udp = true;
	spec.payload_len = 65535 - 8;
	cut(&spec);
	spec.gso_size = 48;
	cut(&spec);
}

/* As many segments as a frame may become, and one more. */
static void too_many(void **state)
{
	struct frame_spec spec = { .payload = payload,
				   .flags = TCP_ACK,
				   .gso_size = 3,
				   .payload_len = 3 * IOL_SEGMENTS_MAX };
	struct iol_segmenter cutter;
	uint8_t *mem;

	cut(&spec);
	spec.payload_len += 3;
	spec.partial = true;
	frame_make(&whole, &spec);
	assert_int_equal(start(&cutter, &whole, &mem), -EINVAL);
	free(mem);
}

/* A payload whose checksum comes out as 0: UDP must not say so, TCP must. */
static void zero_checksum(void **state)
{
	struct frame_spec spec = { .payload_len = 100, .gso_size = 100, .flags = TCP_ACK };
	uint8_t *field, data[100], *mem;
	struct iol_segmenter s;
	struct iol_segment seg;

	for (unsigned int kind = 0; kind < 4; kind++) {
		memcpy(data, payload, sizeof(data));
		data[98] = data[99] = 0;
		spec.payload = data;
		spec.udp = kind & 1;
		spec.ipv6 = kind & 2;
		spec.partial = false;
		frame_make(&whole, &spec);
		memcpy(data + 98, whole.bytes + whole.l4 + (spec.udp ? 6 : 16), 2);
		spec.partial = true;
		frame_make(&whole, &spec);
		assert_int_equal(start(&s, &whole, &mem), 0);
		assert_true(iol_segmenter_next(&s, &seg));
		field = seg.headers + whole.l4 + (spec.udp ? 6 : 16);
		assert_int_equal(field[0] << 8 | field[1], spec.udp ? 0xffff : 0);
		free(mem);
		iol_offload_checksum(whole.bytes, whole.len, &whole.hdr);
		field = whole.bytes + whole.l4 + (spec.udp ? 6 : 16);
		assert_int_equal(field[0] << 8 | field[1], spec.udp ? 0xffff : 0);
	}
}

/* All that sums can be, so that each carry there is comes up. */
static void every_sum(void **state)
{
	uint8_t data[3] = { 0, 0, 0xff };
	struct frame_spec spec = { .payload = data, .payload_len = 3, .gso_size = 2 };
	unsigned int v;

	for (v = 0; v < 65536; v++) {
		data[0] = (uint8_t)(v >> 8);
		data[1] = (uint8_t)v;
		spec.udp = v & 1;
		spec.ipv6 = v & 2;
		cut(&spec);
		spec.udp = !spec.udp;
		cut(&spec);
	}
}

static void checksums(void **state)
{
	static const struct virtio_net_hdr_v1 nothing;
	struct frame_spec spec;
	unsigned int kind, len;
	uint8_t *mem;

	for (kind = 0; kind < 16; kind++)
		for (len = 0; len < 70; len++) {
			spec = (struct frame_spec){
				.udp = kind & 1,
				.ipv6 = kind & 2,
				.tags = kind & 4 ? 1 : 0,
				.options = kind & 2 ? 0 : kind / 2 & 4,
				.extensions = kind & 2 ? kind / 4 : 0,
				.payload = payload + len,
				.payload_len = len,
				.partial = true,
			};
			frame_make(&whole, &spec);
			spec.partial = false;
			frame_make(&part, &spec);
			assert_true(iol_offload_check(&whole.hdr, whole.len, F(CSUM)));
			assert_int_equal(iol_offload_needs(&whole.hdr, 0), IOL_OFFLOAD_CHECKSUM);
			mem = copy(&whole, whole.len);
			iol_offload_checksum(mem, whole.len, &whole.hdr);
			assert_memory_equal(mem, part.bytes, part.len);
			assert_memory_equal(&whole.hdr, &nothing, sizeof(nothing));
			assert_int_equal(iol_offload_needs(&whole.hdr, 0), IOL_OFFLOAD_NONE);
			/* And no more is done. */
			iol_offload_checksum(mem, whole.len, &whole.hdr);
			assert_memory_equal(mem, part.bytes, part.len);
			free(mem);
		}
}

static bool checked(struct virtio_net_hdr_v1 hdr, uint32_t len, uint64_t features)
{
	return iol_offload_check(&hdr, len, features);
}

static void check(void **state)
{
	struct virtio_net_hdr_v1 none = { 0 }, dirty,
				 csum = { .flags = 1, .csum_start = 34, .csum_offset = 16 };
	struct virtio_net_hdr_v1 gso = {
		.flags = 1, .csum_start = 34, .csum_offset = 16, .gso_size = 1448
	};
	unsigned int type, i;

	assert_true(checked(none, 14, 0));
	assert_true(checked(none, 0, 0));
	memset(&dirty, 0xff, sizeof(dirty));
	dirty.flags = 0xfe;
	dirty.gso_type = 0;
	assert_true(iol_offload_check(&dirty, 60, SENDER));
	assert_memory_equal(&dirty, &none, sizeof(none));

	/* The field's two bytes are the last there can be; and none are before any transport header. */
	assert_true(checked(csum, 52, F(CSUM)));
	assert_false(checked(csum, 51, F(CSUM)));
	assert_false(checked(csum, 52, SENDER & ~F(CSUM)));
	csum.csum_offset = 2;
	assert_true(checked(csum, 60, SENDER));
	csum.csum_offset = 1;
	assert_false(checked(csum, 60, SENDER));
	csum.csum_offset = 16;
	csum.csum_start = 33;
	assert_false(checked(csum, 60, SENDER));
	csum.csum_start = 0;
	csum.csum_offset = 50;
	assert_false(checked(csum, 60, SENDER));
	csum.csum_start = csum.csum_offset = 65535;
	assert_false(checked(csum, 60, SENDER));
	assert_false(checked(csum, 65535, SENDER));
	csum.csum_start = 60;
	csum.csum_offset = 65535;
	assert_false(checked(csum, 60, SENDER));

	/* Of all types, those that there are, and each with its feature only. */
	for (type = 1; type < 256; type++) {
		static const struct {
			unsigned int type;
			uint64_t features;
		} known[] = {
			{ 1, F(HOST_TSO4) },
			{ 4, F(HOST_TSO6) },
			{ 5, F(HOST_USO) },
			{ 0x81, F(HOST_TSO4) | F(HOST_ECN) },
			{ 0x84, F(HOST_TSO6) | F(HOST_ECN) },
		};
		uint64_t need = 0, bit;

		for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (known[i].type == type)
				need = known[i].features | F(CSUM);
		gso.gso_type = (uint8_t)type;
		gso.csum_offset = type == 5 ? 6 : 16;
		assert_int_equal(checked(gso, 1000, ~0ull), need != 0);
		if (!need)
			continue;
		assert_true(checked(gso, 1000, need));
		for (bit = 1; bit; bit <<= 1)
			if (need & bit)
				assert_false(checked(gso, 1000, ~bit));
	}
	gso.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	gso.csum_offset = 6;
	assert_false(checked(gso, 1000, SENDER));
	gso.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
	assert_true(checked(gso, 1000, SENDER));
	gso.csum_offset = 16;
	assert_false(checked(gso, 1000, SENDER));
	gso.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	assert_true(checked(gso, 1000, SENDER));
	gso.gso_size = 0;
	assert_false(checked(gso, 1000, SENDER));
	gso.gso_size = 1448;
	gso.flags = 0;
	assert_false(checked(gso, 1000, SENDER));
	gso.flags = 1;
	gso.csum_start = 1000;
	assert_false(checked(gso, 1000, SENDER));
}

static void needs(void **state)
{
	static const struct {
		uint8_t type;
		uint64_t features;
	} known[] = {
		{ 1, F(GUEST_TSO4) },
		{ 4, F(GUEST_TSO6) },
		{ 5, F(GUEST_USO4) | F(GUEST_USO6) },
		{ 0x81, F(GUEST_TSO4) | F(GUEST_ECN) },
		{ 0x84, F(GUEST_TSO6) | F(GUEST_ECN) },
	};
	struct virtio_net_hdr_v1 hdr = { 0 };
	uint64_t need, bit;
	unsigned int i;

	assert_int_equal(iol_offload_needs(&hdr, 0), IOL_OFFLOAD_NONE);
	hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	assert_int_equal(iol_offload_needs(&hdr, F(GUEST_CSUM)), IOL_OFFLOAD_NONE);
	assert_int_equal(iol_offload_needs(&hdr, ~F(GUEST_CSUM)), IOL_OFFLOAD_CHECKSUM);
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		hdr.gso_type = known[i].type;
		hdr.gso_size = 1448;
		need = known[i].features | F(GUEST_CSUM);
		assert_int_equal(iol_offload_needs(&hdr, need), IOL_OFFLOAD_NONE);
		assert_int_equal(iol_offload_needs(&hdr, RECEIVER), IOL_OFFLOAD_NONE);
		for (bit = 1; bit; bit <<= 1)
			assert_int_equal(iol_offload_needs(&hdr, ~bit),
					 need & bit ? IOL_OFFLOAD_SEGMENT : IOL_OFFLOAD_NONE);
	}
}

static const struct frame_spec good[] = {
	{ .flags = TCP_ACK },
	{ .flags = TCP_ACK, .options = 8, .tcp_options = 12, .tags = 1 },
	{ .flags = TCP_ACK, .ipv6 = true },
	{ .flags = TCP_ACK, .ipv6 = true, .extensions = 3, .tags = 2 },
	{ .udp = true },
	{ .udp = true, .ipv6 = true, .extensions = 1 },
};

static void make_good(unsigned int i)
{
	struct frame_spec spec = good[i];

	spec.partial = true;
	spec.payload = payload;
	spec.payload_len = 3000;
	spec.gso_size = 1000;
	frame_make(&whole, &spec);
}

static void refused(void)
{
	struct iol_segmenter s;
	uint8_t *mem;

	assert_int_equal(start(&s, &whole, &mem), -EINVAL);
	free(mem);
}

static void set16(uint32_t at, unsigned int v)
{
	whole.bytes[at] = (uint8_t)(v >> 8);
	whole.bytes[at + 1] = (uint8_t)v;
}

/* What must not be right in a frame of each kind. */
static void not_segmentable(void **state)
{
	unsigned int i, len, v;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		uint32_t l4, l3, full;

		make_good(i);
		l3 = whole.l3;
		l4 = whole.l4;
		full = whole.len;

		/* Shorter, longer than IP says; and too long for anything. */
		for (len = 0; len < full; len++) {
			whole.len = len;
			refused();
		}
		whole.len = full + 1;
		refused();
		whole.len = 65535 + l3 + 1;
		refused();
		whole.len = IOL_FRAME_MAX + 1;
		refused();
		whole.len = full;

		/* Another type, or none. */
		for (v = 0; v < 256; v++) {
			uint8_t type = whole.hdr.gso_type;

			if ((v & 0x7f) == type)
				continue;
			whole.hdr.gso_type = (uint8_t)v;
			refused();
			whole.hdr.gso_type = type;
		}
		whole.hdr.gso_size = 0;
		refused();
		make_good(i);
		whole.hdr.csum_start++;
		refused();
		make_good(i);
		whole.hdr.csum_offset += 2;
		refused();
		make_good(i);
		set16(l3 - 2, 0x0806);
		refused();
		make_good(i);
		whole.bytes[l3] ^= 0x10;
		refused();

		/* Lengths that lie, by as little as can be. */
		for (v = 0; v <= 1; v++) {
			make_good(i);
			set16(l3 + (good[i].ipv6 ? 4 : 2),
			      full - l3 - (good[i].ipv6 ? 40 : 0) + (v ? 1 : -1u));
			refused();
			make_good(i);
			if (!good[i].udp)
				continue;
			set16(l4 + 4, full - l4 + (v ? 1 : -1u));
			refused();
		}
		if (good[i].udp)
			continue;
		make_good(i);
		whole.bytes[l4 + 13] |= TCP_SYN;
		refused();
		for (v = 0; v < 5; v++) {
			make_good(i);
			whole.bytes[l4 + 12] = (uint8_t)(v << 4);
			refused();
		}
	}
}

static void not_segmentable_ipv4(void **state)
{
	struct frame_spec spec = {
		.flags = TCP_ACK, .partial = true, .payload = payload, .gso_size = 10
	};
	unsigned int ihl, len;

	make_good(0);
	whole.bytes[whole.l3 + 9] = 17;
	refused();
	/* First, middle and last fragments. */
	make_good(0);
	set16(whole.l3 + 6, 0x2000);
	refused();
	set16(whole.l3 + 6, 0x2001);
	refused();
	set16(whole.l3 + 6, 0x0001);
	refused();
	for (ihl = 0; ihl < 16; ihl++) {
		make_good(0);
		if (ihl == 5)
			continue;
		whole.bytes[whole.l3] = (uint8_t)(0x40 + ihl);
		refused();
		/* As well where csum_start agrees. */
		whole.hdr.csum_start = (uint16_t)(whole.l3 + 4 * ihl);
		if (ihl < 5)
			refused();
	}
	/* Headers that do not end within the frame. */
	frame_make(&whole, &spec);
	whole.bytes[whole.l3] = 0x4f;
	whole.hdr.csum_start = (uint16_t)(whole.l3 + 60);
	refused();
	frame_make(&whole, &spec);
	whole.bytes[whole.l4 + 12] = 0x60;
	refused();
	/* The frame ends within TCP's and UDP's fixed header, and IP agrees. */
	whole.len -= 1;
	set16(whole.l3 + 2, whole.len - whole.l3);
	refused();
	spec.udp = true;
	frame_make(&whole, &spec);
	whole.len -= 1;
	set16(whole.l3 + 2, whole.len - whole.l3);
	refused();
	for (len = 0; len < 8; len++) {
		frame_make(&whole, &spec);
		whole.len = whole.l4 + len;
		set16(whole.l3 + 2, whole.len - whole.l3);
		set16(whole.l4 + 4, len);
		refused();
	}
	/* More tags than any switch adds. */
	spec.tags = 3;
	frame_make(&whole, &spec);
	refused();
}

static void not_segmentable_ipv6(void **state)
{
	static const uint8_t others[] = { 44, 50, 51, 59, 41, 17, 1, 135, 255 };
	struct frame_spec spec = {
		.flags = TCP_ACK, .partial = true, .ipv6 = true, .gso_size = 10
	};
	unsigned int i, len;

	/* Fragments, encryption, … directly and behind headers that are known. */
	for (i = 0; i < sizeof(others); i++) {
		make_good(2);
		whole.bytes[whole.l3 + 6] = others[i];
		refused();
		make_good(3);
		whole.bytes[whole.l3 + 40 + 8] = others[i];
		refused();
	}
	/* Extension headers that end behind the frame's end, or at it, or start too near to it. */
	spec.payload = payload;
	spec.extensions = 1;
	for (len = 0; len < 20; len++) {
		spec.payload_len = len;
		frame_make(&whole, &spec);
		for (i = 1; i < 256; i++) {
			whole.bytes[whole.l3 + 41] = (uint8_t)i;
			whole.hdr.csum_start = (uint16_t)(whole.l3 + 48 + i * 8);
			refused();
		}
		frame_make(&whole, &spec);
		whole.len = whole.l3 + 40 + len;
		set16(whole.l3 + 4, len);
		refused();
	}
	/* A chain without end. */
	spec.payload_len = 3000;
	frame_make(&whole, &spec);
	memset(whole.bytes + whole.l3 + 40, 0, whole.len - whole.l3 - 40);
	refused();
	/* Good, but longer than headers may be. */
	frame_make(&whole, &spec);
	memmove(whole.bytes + whole.l4 + 256, whole.bytes + whole.l4, whole.len - whole.l4);
	whole.bytes[whole.l3 + 41] = 32;
	whole.len += 256;
	whole.hdr.csum_start += 256;
	set16(whole.l3 + 4, whole.len - whole.l3 - 40);
	refused();
}

/* At the limit of the headers, and past it by TCP's options alone. */
static void long_headers(void **state)
{
	struct frame_spec spec = {
		.flags = TCP_ACK, .partial = true, .ipv6 = true, .payload = payload, .gso_size = 10
	};
	uint32_t grow, tags;
	struct iol_segmenter s;
	struct iol_segment seg;
	uint8_t *mem;

	spec.extensions = 1;
	spec.payload_len = 100;
	for (grow = 0; grow < 256; grow += 8)
		for (tags = 0; tags <= 2; tags++)
			for (spec.tcp_options = 0; spec.tcp_options <= 40; spec.tcp_options += 4) {
				spec.tags = tags;
				frame_make(&whole, &spec);
				memmove(whole.bytes + whole.l4 + grow, whole.bytes + whole.l4,
					whole.len - whole.l4);
				whole.bytes[whole.l3 + 41] = (uint8_t)(grow / 8);
				whole.len += grow;
				whole.hdr.csum_start += (uint16_t)grow;
				set16(whole.l3 + 4, whole.len - whole.l3 - 40);
				assert_int_equal(start(&s, &whole, &mem),
						 whole.headers_len + grow <= 256 ? 0 : -EINVAL);
				if (whole.headers_len + grow <= 256) {
					assert_true(iol_segmenter_next(&s, &seg));
					assert_int_equal(seg.headers_len, whole.headers_len + grow);
				}
				free(mem);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(check),
		cmocka_unit_test(needs),
		cmocka_unit_test(every_sum),
		cmocka_unit_test(checksums),
		cmocka_unit_test(zero_checksum),
		cmocka_unit_test(tcp),
		cmocka_unit_test(udp),
		cmocka_unit_test(longest),
		cmocka_unit_test(too_many),
		cmocka_unit_test(not_segmentable),
		cmocka_unit_test(not_segmentable_ipv4),
		cmocka_unit_test(not_segmentable_ipv6),
		cmocka_unit_test(long_headers),
	};

	return cmocka_run_group_tests(tests, fill, NULL);
}
