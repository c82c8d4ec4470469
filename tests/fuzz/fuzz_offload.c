/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hostile driver's frames and virtio-net headers: checked, completed and cut. The input's first
 * byte chooses a good frame to begin with, or none; then come the header that the driver wrote and
 * how long the frame is; the rest are changes to it. What comes out of the segmenter must be the
 * frame's payload, all of it and once, behind headers whose lengths are true.
 */
#include "vhost-user/net/offload.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define ROOM 2048

struct input {
	const uint8_t *at;
	size_t left;
};

static unsigned int next(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->at++;
}

static void demand(bool good)
{
	if (!good)
		abort();
}

static unsigned int be16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

static void set16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* Of @len bytes: tags, IPv4 with options or IPv6 with an extension header, TCP with options or UDP. */
static void make(uint8_t *frame, unsigned int len, unsigned int kind, struct virtio_net_hdr_v1 *hdr)
{
	bool ipv6 = kind & 1, udp = kind & 2, more = kind & 4;
	uint8_t *l3 = frame + 14 + (kind >> 3 & 3) % 3 * 4, *l4 = l3 + (ipv6 ? 40 : 20) + 8 * more,
		*p;

	for (p = frame + 12; p < l3 - 2; p += 4)
		set16(p, 0x8100);
	set16(l3 - 2, ipv6 ? 0x86dd : 0x0800);
	l3[0] = ipv6 ? 0x60 : 0x45 + 2 * more;
	set16(l3 + (ipv6 ? 4 : 2), len - (unsigned int)(l3 - frame) - 40 * ipv6);
	l3[ipv6 ? 6 : 9] = udp ? 17 : 6;
	if (ipv6 && more) {
		l3[6] = 60;
		l3[40] = udp ? 17 : 6;
	}
	l4[12] = 0x50 + 0x10 * more;
	if (udp)
		set16(l4 + 4, len - (unsigned int)(l4 - frame));
	hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr->gso_type = udp    ? VIRTIO_NET_HDR_GSO_UDP_L4
			: ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6
			       : VIRTIO_NET_HDR_GSO_TCPV4;
	hdr->csum_start = (uint16_t)(l4 - frame);
	hdr->csum_offset = udp ? 6 : 16;
}

static void check_segment(const struct iol_segmenter *s, const struct iol_segment *seg)
{
	const uint8_t *l3 = seg->headers + s->l3;
	unsigned int len = seg->headers_len - s->l3 + seg->payload_len, i;
	uint32_t sum = 0;

	if (l3[0] >> 4 == 6) {
		demand(be16(l3 + 4) == len - 40);
		return;
	}
	demand(be16(l3 + 2) == len);
	for (i = 0; i < (l3[0] & 15u) * 4; i += 2)
		sum += be16(l3 + i);
	demand(sum % 0xffff == 0);
}

static void cut(const uint8_t *frame, uint32_t len, const struct virtio_net_hdr_v1 *hdr)
{
	struct iol_segmenter s;
	struct iol_segment seg;
	const uint8_t *at;

	if (iol_segmenter_start(&s, frame, len, hdr))
		return;
	for (at = frame + s.headers_len; iol_segmenter_next(&s, &seg); at += seg.payload_len) {
		demand(seg.headers_len == s.headers_len && s.headers_len <= sizeof(seg.headers));
		demand(seg.payload == at && seg.payload_len <= (uint32_t)(frame + len - at));
		demand(seg.payload_len == hdr->gso_size || at + seg.payload_len == frame + len);
		check_segment(&s, &seg);
	}
	demand(at == frame + len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct virtio_net_hdr_v1 hdr = { 0 }, nothing = { 0 };
	static uint8_t made[ROOM];
	unsigned int kind = next(&in), len = next(&in) << 3, i, at;
	uint64_t features = next(&in) % 4 ? ~0ull : (uint64_t)next(&in) << 8 | next(&in);
	uint8_t *frame;

	memset(made, 0, sizeof(made));
	hdr.gso_size = (uint16_t)next(&in);
	if (kind < 0xc0) {
		if (len < 128)
			len += 128;
		make(made, len, kind, &hdr);
	} else {
		for (i = 0; i < sizeof(hdr); i++)
			((uint8_t *)&hdr)[i] = (uint8_t)next(&in);
	}
	/* The driver's header first, then the frame; and its end is wherever. */
	while (in.left >= 2) {
		at = next(&in);
		if (at < sizeof(hdr))
			((uint8_t *)&hdr)[at] = (uint8_t)next(&in);
		else
			made[at - sizeof(hdr)] = (uint8_t)next(&in);
	}
	if (in.left)
		len = len * next(&in) / 255;
	frame = malloc(len ? len : 1);
	demand(frame);
	memcpy(frame, made, len);

	/* The segmenter does not rely on the check. */
	cut(frame, len, &hdr);
	if (iol_offload_check(&hdr, len, features)) {
		demand(!(hdr.flags & ~VIRTIO_NET_HDR_F_NEEDS_CSUM) && !hdr.hdr_len);
		demand(iol_offload_needs(&hdr, ~0ull) == IOL_OFFLOAD_NONE);
		if (iol_offload_needs(&hdr, 0) == IOL_OFFLOAD_SEGMENT) {
			demand(hdr.gso_size);
			cut(frame, len, &hdr);
		}
		demand(!memcmp(frame, made, len));
		iol_offload_checksum(frame, len, &hdr);
		demand(!memcmp(frame, made, len < 36 ? len : 36));
		demand(!memcmp(&hdr, &nothing, offsetof(struct virtio_net_hdr_v1, gso_type)));
	}
	free(frame);
	return 0;
}
