/* SPDX-License-Identifier: BSD-3-Clause */
#include "net_frame.h"

#include "vhost-user/net/offload.h"

#include <string.h>

static void put8(struct frame *f, unsigned int v)
{
	f->bytes[f->len++] = (uint8_t)v;
}

static void put16(struct frame *f, unsigned int v)
{
	put8(f, v >> 8);
	put8(f, v);
}

static void put32(struct frame *f, uint32_t v)
{
	put16(f, v >> 16);
	put16(f, v);
}

static void put_many(struct frame *f, unsigned int v, unsigned int n)
{
	while (n--)
		put8(f, v);
}

static void set16(struct frame *f, uint32_t at, unsigned int v)
{
	f->bytes[at] = (uint8_t)(v >> 8);
	f->bytes[at + 1] = (uint8_t)v;
}

uint16_t frame_sum(uint32_t sum, const uint8_t *p, uint32_t len)
{
	uint32_t i;

	for (i = 0; i < len; i++) {
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
		if (sum > 0xffff)
			sum -= 0xffff;
	}
	return (uint16_t)sum;
}

/* Return: the sum of the addresses in the pseudo header. */
static uint16_t put_ipv4(struct frame *f, const struct frame_spec *spec, uint32_t behind)
{
	uint32_t size = 20 + spec->options;

	put8(f, 0x40 + size / 4);
	put8(f, 0x02);
	put16(f, size + behind);
	put16(f, spec->id);
	put16(f, 0x4000);
	put8(f, 64);
	put8(f, spec->udp ? 17 : 6);
	put16(f, 0);
	put32(f, 0x0a000001);
	put32(f, 0xc0a8fe02);
	put_many(f, 1, spec->options);
	set16(f, f->l3 + 10, (uint16_t)~frame_sum(0, f->bytes + f->l3, size));
	return frame_sum(0, f->bytes + f->l3 + 12, 8);
}

static uint16_t put_ipv6(struct frame *f, const struct frame_spec *spec, uint32_t behind)
{
	static const uint8_t extension[3] = { 0, 43, 60 };
	static const uint32_t size[3] = { 8, 24, 16 };
	uint32_t sizes = 0, i, destination = f->l3 + 24;
	uint8_t proto = spec->udp ? 17 : 6;

	for (i = 0; i < spec->extensions; i++)
		sizes += size[i];
	put32(f, 0x60212345);
	put16(f, sizes + behind);
	put8(f, spec->extensions ? extension[0] : proto);
	put8(f, 64);
	put_many(f, 0xfd, 15);
	put8(f, 1);
	put_many(f, 0xfc, 15);
	put8(f, 2);
	for (i = 0; i < spec->extensions; i++) {
		put8(f, i + 1 < spec->extensions ? extension[i + 1] : proto);
		put8(f, size[i] / 8 - 1);
		if (extension[i] == 43) {
			put16(f, 0x0201);
			put32(f, 0);
			destination = f->len;
			put_many(f, 0xfe, 16);
		} else {
			put8(f, 1);
			put8(f, size[i] - 4);
			put_many(f, 0, size[i] - 4);
		}
	}
	return frame_sum(frame_sum(0, f->bytes + f->l3 + 8, 16), f->bytes + destination, 16);
}

static void put_tcp(struct frame *f, const struct frame_spec *spec)
{
	put16(f, 33333);
	put16(f, 80);
	put32(f, spec->seq);
	put32(f, 0x87654321);
	put8(f, (20 + spec->tcp_options) / 4 << 4);
	put8(f, spec->flags);
	put16(f, 512);
	put16(f, 0);
	put16(f, 0);
	put_many(f, 1, spec->tcp_options);
}

static void put_udp(struct frame *f, const struct frame_spec *spec)
{
	put16(f, 33333);
	put16(f, 443);
	put16(f, 8 + spec->payload_len);
	put16(f, 0);
}

void frame_make(struct frame *f, const struct frame_spec *spec)
{
	uint32_t offset = spec->udp ? 6 : 16, behind, addresses, i;
	uint16_t pseudo, sum;

	behind = (spec->udp ? 8 : 20 + spec->tcp_options) + spec->payload_len;
	f->len = 0;
	put_many(f, 0x52, 6);
	put_many(f, 0x56, 6);
	for (i = 0; i < spec->tags; i++) {
		put16(f, i + 1 < spec->tags ? 0x88a8 : 0x8100);
		put16(f, 100 + i);
	}
	put16(f, spec->ipv6 ? 0x86dd : 0x0800);
	f->l3 = f->len;
	addresses = spec->ipv6 ? put_ipv6(f, spec, behind) : put_ipv4(f, spec, behind);
	pseudo = (uint16_t)((addresses + (spec->udp ? 17 : 6) + behind) % 0xffff);
	f->l4 = f->len;
	if (spec->udp)
		put_udp(f, spec);
	else
		put_tcp(f, spec);
	f->headers_len = f->len;
	if (spec->payload_len)
		memcpy(f->bytes + f->len, spec->payload, spec->payload_len);
	f->len += spec->payload_len;
	sum = (uint16_t)~frame_sum(pseudo, f->bytes + f->l4, f->len - f->l4);
	if (!sum && spec->udp)
		sum = 0xffff;
	set16(f, f->l4 + offset, spec->partial ? pseudo : sum);

	memset(&f->hdr, 0, sizeof(f->hdr));
	if (!spec->partial)
		return;
	f->hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	f->hdr.csum_start = (uint16_t)f->l4;
	f->hdr.csum_offset = (uint16_t)offset;
	f->hdr.gso_size = spec->gso_size;
	if (!spec->gso_size)
		return;
	f->hdr.gso_type = spec->udp    ? VIRTIO_NET_HDR_GSO_UDP_L4
			  : spec->ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6
				       : VIRTIO_NET_HDR_GSO_TCPV4;
	if (spec->flags & TCP_CWR && !spec->udp)
		f->hdr.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
}
