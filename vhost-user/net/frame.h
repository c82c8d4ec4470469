/* SPDX-License-Identifier: BSD-3-Clause */
/* A frame on its way through the switch: it still lies where its sender put it. */
#ifndef IOL_VHOST_USER_NET_FRAME_H
#define IOL_VHOST_USER_NET_FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#include <linux/virtio_net.h>

/* An Ethernet header, and what of a frame is read at least, so that one 16-byte move does it. */
#define FRAME_ETHER 14u
#define FRAME_HEAD  16u
/* Room for what may have to be looked at: a tag, and ARP or IPv4 up to the addresses. */
#define FRAME_HEAD_MAX 64u

#define FRAME_TAG     4u
#define FRAME_TAG_AT  12u
#define FRAME_VID     0x0fffu
#define FRAME_VLAN    0x8100u
#define FRAME_PRI_CFI 0xf000u

/**
 * struct iol_frame - A frame.
 * @head: its first @head_len bytes, copied before they were looked at: a guest may change what lies in its memory, and
 *        what goes on must be what was checked.
 * @iov, @niov: the bytes behind those; @one: room for a single piece, which most have.
 * @len: of all.
 * @vlan: which it belongs to. @tagged: it has a tag, which may say 0. @tci: what an inserted tag has
 *        besides the VLAN.
 * @hdr: checked; num_buffers means nothing.
 */
struct iol_frame {
	const uint8_t *head;
	const struct iovec *iov;
	uint32_t len;
	uint16_t niov;
	uint16_t head_len;
	uint16_t vlan;
	bool tagged;
	struct virtio_net_hdr_v1 hdr;
	struct iovec one;
};

/* Bits at the places of an address's bytes, in memory order. */
static inline bool iol_frame_is_multicast(const struct iol_frame *f)
{
	return f->head[0] & 1;
}

/**
 * iol_frame_exceeds() - Whether the frame's payload is longer than an MTU; of one that is to be cut, what its segments
 * have, with the least headers that they can have.
 */
static inline bool iol_frame_exceeds(const struct iol_frame *f, uint32_t mtu)
{
	uint32_t ether = FRAME_ETHER + (f->tagged ? FRAME_TAG : 0);

	if (__builtin_expect(f->len - ether <= mtu, 1))
		return false;
	if (!f->hdr.gso_type)
		return true;
	/* The checksum's place tells which transport it is, and where that begins. */
	return f->hdr.csum_start + (f->hdr.csum_offset == 6 ? 8u : 20u) + f->hdr.gso_size >
	       mtu + ether;
}

static inline uint16_t iol_frame_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/** struct iol_pieces - A frame as it goes out: at most three pieces before what lies in its sender's memory. */
struct iol_pieces {
	const uint8_t *part[3];
	uint32_t part_len[3];
	unsigned int nparts;
	const struct iovec *iov;
	unsigned int niov;
	uint32_t len;
	int shift; /* of what the header counts from the frame's start */
	uint8_t tag[FRAME_TAG];
};

/**
 * iol_pieces_set() - How a frame leaves, with a tag or without.
 */
static inline void iol_pieces_set(struct iol_pieces *p, const struct iol_frame *f, bool tag)
{
	p->iov = f->iov;
	p->niov = f->niov;
	p->len = f->len;
	p->shift = 0;
	p->part[0] = f->head;
	p->part_len[0] = f->head_len;
	p->nparts = 1;
	if (__builtin_expect(tag == f->tagged, 1))
		return;
	p->part_len[0] = FRAME_TAG_AT;
	if (tag) {
		p->tag[0] = FRAME_VLAN >> 8;
		p->tag[1] = FRAME_VLAN & 0xff;
		p->tag[2] = (uint8_t)(f->vlan >> 8);
		p->tag[3] = (uint8_t)f->vlan;
		p->part[1] = p->tag;
		p->part_len[1] = FRAME_TAG;
		p->part[2] = f->head + FRAME_TAG_AT;
		p->part_len[2] = f->head_len - FRAME_TAG_AT;
		p->nparts = 3;
		p->shift = FRAME_TAG;
	} else {
		p->part[1] = f->head + FRAME_TAG_AT + FRAME_TAG;
		p->part_len[1] = f->head_len - FRAME_TAG_AT - FRAME_TAG;
		p->nparts = 2;
		p->shift = -(int)FRAME_TAG;
	}
	p->len = (uint32_t)((int)f->len + p->shift);
}

#endif
