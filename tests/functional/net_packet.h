/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TCP and UDP packets as a guest sends them, and the whole of what must arrive of one, however it was cut,
 * completed and tagged on its way. All is computed here, by nothing of the switch's.
 */
#ifndef IOL_TESTS_NET_PACKET_H
#define IOL_TESTS_NET_PACKET_H

#include "net_rig.h"

/**
 * struct packet - A packet. @tci: of a tag, -1 for none. @options: bytes of IPv4 options or IPv6 extension headers,
 * and @tcp_options of TCP's, in units that these have. @gso: the payload of one segment; 0 for a packet that
 * is one. @partial: the checksum is left to who passes it on. @seed: of the payload's bytes.
 */
struct packet {
	uint8_t dst[6], src[6];
	int tci;
	bool ipv6, udp, partial, ecn;
	uint32_t options, tcp_options;
	uint8_t tcp_flags;
	uint32_t payload;
	uint16_t gso;
	uint32_t seed;
};

/** packet_make() - Build it, and its header. Return: its length. */
uint32_t packet_make(const struct packet *p, struct virtio_net_hdr_v1 *hdr, uint8_t *frame);

/** packet_headers() - Bytes before the payload. */
uint32_t packet_headers(const struct packet *p);

/**
 * struct packet_seen - How far a packet has arrived. @features: the receiver's; only what they allow may be left to do.
 * @tci: of the tag that must be there, -1 for none.
 */
struct packet_seen {
	const struct packet *p;
	uint64_t features;
	int tci;
	uint32_t payload, parts;
};

/** packet_arrived() - Check a part of it, one packet at a time. Return: whether that was the last. */
bool packet_arrived(struct packet_seen *seen, const struct nrig_frame *f);

#endif
