/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/net/flow.h"

#include <linux/if_ether.h>
#include <netinet/in.h>

/* Ethernet, a tag, IPv6, ports. */
#define LOOK_MAX (FRAME_ETHER + FRAME_TAG + 40u + 4u)

#define IP_OFFSET 0x1fffu
#define IP_MORE   0x2000u

/* The frame's first bytes in one piece. The sender may change them still; a wrong guess costs order alone. */
static uint32_t look(const struct iol_frame *f, uint8_t *to)
{
	uint32_t want = f->len < LOOK_MAX ? f->len : LOOK_MAX;
	uint32_t have = f->head_len < want ? f->head_len : want;
	unsigned int i;

	memcpy(to, f->head, have);
	for (i = 0; i < f->niov && have < want; i++) {
		uint32_t n = want - have;

		if (f->iov[i].iov_len < n)
			n = (uint32_t)f->iov[i].iov_len;
		memcpy(to + have, f->iov[i].iov_base, n);
		have += n;
	}
	return have;
}

static uint64_t mix(uint64_t hash, const uint8_t *p, unsigned int words)
{
	uint32_t word;

	for (; words; words--, p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
		hash ^= hash >> 29;
	}
	return hash;
}

static bool has_ports(uint8_t protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

uint32_t iol_flow_hash(const struct iol_frame *f)
{
	uint8_t b[LOOK_MAX];
	uint32_t len = look(f, b), at = f->tagged ? FRAME_ETHER + FRAME_TAG : FRAME_ETHER;
	uint64_t hash = f->vlan;
	uint16_t type = len >= at ? iol_frame_u16(b + at - 2) : 0;

	if (type == ETH_P_IP && len >= at + 20) {
		uint32_t ports = at + (b[at] & 0xfu) * 4;

		hash = mix(hash, b + at + 12, 2);
		/* All fragments of a packet go one way, and only the first has ports. */
		if (has_ports(b[at + 9]) && len >= ports + 4 &&
		    !(iol_frame_u16(b + at + 6) & (IP_OFFSET | IP_MORE)))
			hash = mix(hash, b + ports, 1);
	} else if (type == ETH_P_IPV6 && len >= at + 40) {
		hash = mix(hash, b + at + 8, 8);
		if (has_ports(b[at + 6]) && len >= at + 44)
			hash = mix(hash, b + at + 40, 1);
	} else {
		hash = mix(hash, b, 3);
	}
	return (uint32_t)(hash >> 32);
}
