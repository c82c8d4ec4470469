/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames made byte by byte, from the RFCs and without the library or DPDK, to compare with: as they
 * are on the wire, or as a driver hands them over with work left to do.
 */
#ifndef IOL_TESTS_NET_FRAME_H
#define IOL_TESTS_NET_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/virtio_net.h>

#define FRAME_ROOM 70000

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_PSH 0x08
#define TCP_ACK 0x10
#define TCP_ECE 0x40
#define TCP_CWR 0x80

/**
 * struct frame_spec - What to make.
 * @tags: VLAN tags, 0 to 3. @options: bytes of IPv4 options. @tcp_options: bytes of TCP's.
 * @extensions: IPv6 extension headers: 1 hop-by-hop, 2 and a routing header (to be routed yet, so
 *              that the pseudo header's address is in it), 3 and destination options.
 * @partial: the checksum's field holds the sum of the pseudo header, and a header for it is made.
 */
struct frame_spec {
	bool ipv6, udp, partial;
	unsigned int tags, options, extensions, tcp_options;
	uint16_t id;
	uint32_t seq;
	uint8_t flags;
	const uint8_t *payload;
	uint32_t payload_len;
	uint16_t gso_size;
};

/* Where things are in the frame that was made. */
struct frame {
	uint8_t bytes[FRAME_ROOM];
	uint32_t len, l3, l4, headers_len;
	struct virtio_net_hdr_v1 hdr; /* with @partial */
};

/* The sum of RFC 1071, not complemented. */
uint16_t frame_sum(uint32_t sum, const uint8_t *p, uint32_t len);

void frame_make(struct frame *f, const struct frame_spec *spec);

#endif
