/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames: written once, sent again and again. */
#include "net.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <string.h>

/* A type for experiments (IEEE 802, 9.2), which no other traffic on the back end has. */
#define TYPE  0x88b5
#define MAGIC 0x696f6c6e

struct frame {
	struct virtio_net_hdr_v1 hdr;
	struct ethhdr eth;
	uint32_t magic;
	uint64_t sent_at; /* 0: not stamped */
} __attribute__((packed));

/* The simple mix: 7 small frames, 4 of middle size, 1 large. */
uint32_t net_frame_size(const struct net_options *o, unsigned int index)
{
	static const uint16_t sizes[NET_MIX] = { 64, 64,  590, 64, 64,  590,
						 64, 590, 64,  64, 590, 1514 };

	return o->size ? o->size : sizes[index % NET_MIX];
}

uint32_t net_frame_len_min(void)
{
	return sizeof(struct frame);
}

void net_frame_make(const uint8_t *from, const uint8_t *to, const struct net_buf *buf)
{
	struct frame f = { .magic = htonl(MAGIC) };

	f.hdr.num_buffers = 1;
	memcpy(f.eth.h_dest, to, ETH_ALEN);
	memcpy(f.eth.h_source, from, ETH_ALEN);
	f.eth.h_proto = htons(TYPE);
	memcpy(buf->host, &f, sizeof(f));
}

void net_frame_stamp(const struct net_buf *buf, uint64_t now)
{
	((struct frame *)(void *)buf->host)->sent_at = now;
}

bool net_frame_look(const struct net_buf *buf, uint64_t *sent_at)
{
	const struct frame *f = (const void *)buf->host;

	*sent_at = f->sent_at;
	return f->eth.h_proto == htons(TYPE) && f->magic == htonl(MAGIC);
}
