/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cutting frames. DPDK 22.11 has a library for it, rte_gso.h, which takes TCP over IPv4 but neither
 * TCP over IPv6 nor USO (its UDP is fragmentation), works in mbufs, and leaves all checksums to be
 * computed.
 */
#include "vhost-user/net/offload.h"

#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#define TAGS_MAX 2

/* As rte_ether.h's and rte_ip.h's structures are packed, they may lie at any address. */
static const struct rte_ipv4_hdr *ipv4(const uint8_t *l3)
{
	return (const struct rte_ipv4_hdr *)l3;
}

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* Finds the IP header behind Ethernet's and the tags. Return: its EtherType, or 0. */
static uint16_t parse_ethernet(struct iol_segmenter *s)
{
	unsigned int tags;
	uint16_t type;

	s->l3 = RTE_ETHER_HDR_LEN;
	for (tags = 0; s->len >= s->l3; tags++) {
		type = be16(s->frame + s->l3 - 2);
		if (type != RTE_ETHER_TYPE_VLAN && type != RTE_ETHER_TYPE_QINQ)
			return type;
		if (tags == TAGS_MAX)
			return 0;
		s->l3 += RTE_VLAN_HLEN;
	}
	return 0;
}

static bool parse_ipv4(struct iol_segmenter *s, uint8_t proto)
{
	const struct rte_ipv4_hdr *ip = ipv4(s->frame + s->l3);
	uint32_t len = s->len - s->l3, header;

	if (len < sizeof(*ip) || ip->version_ihl >> 4 != 4)
		return false;
	header = rte_ipv4_hdr_len(ip);
	if (header < sizeof(*ip) || header > len || rte_be_to_cpu_16(ip->total_length) != len)
		return false;
	if (rte_be_to_cpu_16(ip->fragment_offset) &
	    (RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK))
		return false;
	s->l4 = (uint16_t)(s->l3 + header);
	return ip->next_proto_id == proto;
}

/* Headers between IPv6's and TCP's or UDP's that are the same in each segment. */
static bool ipv6_extension(uint8_t proto)
{
	return proto == IPPROTO_HOPOPTS || proto == IPPROTO_ROUTING || proto == IPPROTO_DSTOPTS;
}

static bool parse_ipv6(struct iol_segmenter *s, uint8_t proto)
{
	const struct rte_ipv6_hdr *ip = (const struct rte_ipv6_hdr *)(s->frame + s->l3);
	uint32_t len = s->len - s->l3, at = sizeof(*ip);
	uint8_t next;

	if (len < sizeof(*ip) || s->frame[s->l3] >> 4 != 6 ||
	    rte_be_to_cpu_16(ip->payload_len) != len - sizeof(*ip))
		return false;
	next = ip->proto;
	while (ipv6_extension(next)) {
		if (len - at < 8)
			return false;
		next = s->frame[s->l3 + at];
		/* In units of 8 bytes, the first not counted: RFC 8200, 4.3 to 4.6. */
		at += (s->frame[s->l3 + at + 1] + 1u) * 8;
		if (at > len || at > IOL_SEGMENT_HEADERS_MAX)
			return false;
	}
	s->l4 = (uint16_t)(s->l3 + at);
	return next == proto;
}

static bool parse_tcp(struct iol_segmenter *s)
{
	const struct rte_tcp_hdr *tcp = (const struct rte_tcp_hdr *)(s->frame + s->l4);
	uint32_t len = s->len - s->l4, header;

	if (len < sizeof(*tcp))
		return false;
	header = (tcp->data_off >> 4) * 4u;
	/* SYN has a sequence number of its own, which the segments' would not count. */
	if (header < sizeof(*tcp) || header > len || tcp->tcp_flags & RTE_TCP_SYN_FLAG)
		return false;
	s->headers_len = (uint16_t)(s->l4 + header);
	return true;
}

static bool parse_udp(struct iol_segmenter *s)
{
	const struct rte_udp_hdr *udp = (const struct rte_udp_hdr *)(s->frame + s->l4);
	uint32_t len = s->len - s->l4;

	if (len < sizeof(*udp) || rte_be_to_cpu_16(udp->dgram_len) != len)
		return false;
	s->headers_len = (uint16_t)(s->l4 + sizeof(*udp));
	return true;
}

int iol_segmenter_start(struct iol_segmenter *s, const uint8_t *frame, uint32_t len,
			const struct virtio_net_hdr_v1 *hdr)
{
	uint8_t type = hdr->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN, proto;
	bool udp = type == VIRTIO_NET_HDR_GSO_UDP_L4;
	uint16_t l3_type;

	*s = (struct iol_segmenter){
		.frame = frame,
		.len = len,
		.gso_size = le16toh(hdr->gso_size),
		.type = type,
	};
	if (!s->gso_size)
		return -EINVAL;
	proto = udp ? IPPROTO_UDP : IPPROTO_TCP;
	l3_type = parse_ethernet(s);
	if (l3_type == RTE_ETHER_TYPE_IPV4 && (udp || type == VIRTIO_NET_HDR_GSO_TCPV4)) {
		if (!parse_ipv4(s, proto))
			return -EINVAL;
	} else if (l3_type == RTE_ETHER_TYPE_IPV6 && (udp || type == VIRTIO_NET_HDR_GSO_TCPV6)) {
		if (!parse_ipv6(s, proto))
			return -EINVAL;
	} else {
		return -EINVAL;
	}
	if (!(udp ? parse_udp(s) : parse_tcp(s)) || s->headers_len > IOL_SEGMENT_HEADERS_MAX)
		return -EINVAL;
	if (le16toh(hdr->csum_start) != s->l4 ||
	    le16toh(hdr->csum_offset) != (udp ? IOL_UDP_CSUM_OFFSET : IOL_TCP_CSUM_OFFSET))
		return -EINVAL;
	if ((len - s->headers_len - 1) / s->gso_size >= IOL_SEGMENTS_MAX && len > s->headers_len)
		return -EINVAL;
	return 0;
}

static uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

/*
 * The field of the whole frame holds the sum of its pseudo header. All that is another in a
 * segment's is the length, which is taken out and put in again: so the addresses of the pseudo
 * header, which are not those of the IPv6 header when that is to be routed, need not be known.
 */
static uint16_t checksum(const struct iol_segmenter *s, const struct iol_segment *seg,
			 uint16_t pseudo)
{
	uint16_t was = rte_cpu_to_be_16((uint16_t)(s->len - s->l4));
	uint16_t is = rte_cpu_to_be_16((uint16_t)(seg->headers_len - s->l4 + seg->payload_len));
	uint32_t sum = pseudo;

	sum += (uint16_t)~was;
	sum += is;
	sum += rte_raw_cksum(seg->headers + s->l4, seg->headers_len - s->l4);
	sum += rte_raw_cksum(seg->payload, seg->payload_len);
	return (uint16_t)~fold(sum);
}

static void fix_ip(const struct iol_segmenter *s, struct iol_segment *seg)
{
	uint32_t len = seg->headers_len - s->l3 + seg->payload_len;
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(seg->headers + s->l3);
	struct rte_ipv6_hdr *ip6 = (struct rte_ipv6_hdr *)(seg->headers + s->l3);

	if (seg->headers[s->l3] >> 4 == 6) {
		ip6->payload_len = rte_cpu_to_be_16((uint16_t)(len - sizeof(*ip6)));
		return;
	}
	ip->total_length = rte_cpu_to_be_16((uint16_t)len);
	ip->packet_id = rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(ip->packet_id) + s->index));
	ip->hdr_checksum = 0;
	ip->hdr_checksum = rte_ipv4_cksum(ip);
}

static void fix_tcp(const struct iol_segmenter *s, struct iol_segment *seg, bool last)
{
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(seg->headers + s->l4);
	uint16_t pseudo = tcp->cksum;

	tcp->sent_seq = rte_cpu_to_be_32(rte_be_to_cpu_32(tcp->sent_seq) + s->done);
	if (!last)
		tcp->tcp_flags &= (uint8_t) ~(RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG);
	if (s->index)
		tcp->tcp_flags &= (uint8_t)~RTE_TCP_CWR_FLAG;
	tcp->cksum = 0;
	tcp->cksum = checksum(s, seg, pseudo);
}

static void fix_udp(const struct iol_segmenter *s, struct iol_segment *seg)
{
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(seg->headers + s->l4);
	uint16_t pseudo = udp->dgram_cksum;

	udp->dgram_len = rte_cpu_to_be_16((uint16_t)(sizeof(*udp) + seg->payload_len));
	udp->dgram_cksum = 0;
	udp->dgram_cksum = checksum(s, seg, pseudo);
	if (!udp->dgram_cksum)
		udp->dgram_cksum = 0xffff;
}

bool iol_segmenter_next(struct iol_segmenter *s, struct iol_segment *seg)
{
	uint32_t left = s->len - s->headers_len - s->done;

	/* A frame of nothing but headers is one segment. */
	if (s->index && !left)
		return false;
	memcpy(seg->headers, s->frame, s->headers_len);
	seg->headers_len = s->headers_len;
	seg->payload = s->frame + s->headers_len + s->done;
	seg->payload_len = left < s->gso_size ? left : s->gso_size;
	fix_ip(s, seg);
	if (s->type == VIRTIO_NET_HDR_GSO_UDP_L4)
		fix_udp(s, seg);
	else
		fix_tcp(s, seg, seg->payload_len == left);
	s->done += seg->payload_len;
	s->index++;
	return true;
}
