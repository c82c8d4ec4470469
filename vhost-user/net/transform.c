/* SPDX-License-Identifier: BSD-3-Clause */
/* The slow way: a frame is put in one piece of our own memory and worked on there. */
#include "vhost-user/net/switch.h"

#include "vhost-user/net/offload.h"

static void gather(const struct iol_frame *f, uint8_t *to)
{
	unsigned int i;

	memcpy(to, f->head, f->head_len);
	to += f->head_len;
	for (i = 0; i < f->niov; to += f->iov[i++].iov_len)
		memcpy(to, f->iov[i].iov_base, f->iov[i].iov_len);
}

static void complete(struct net_thread *th, const struct iol_frame *f,
		     void (*send)(void *ctx, const struct iol_frame *f), void *ctx)
{
	struct iol_frame whole = *f;
	struct iovec rest = { .iov_base = th->scratch + f->head_len,
			      .iov_len = f->len - f->head_len };

	iol_offload_checksum(th->scratch, f->len, &whole.hdr);
	whole.head = th->scratch;
	whole.iov = &rest;
	whole.niov = rest.iov_len ? 1 : 0;
	send(ctx, &whole);
}

static bool cut(struct net_thread *th, const struct iol_frame *f,
		void (*send)(void *ctx, const struct iol_frame *f), void *ctx)
{
	struct iol_segmenter cutter;
	struct iol_segment seg;
	struct iovec payload;
	struct iol_frame part = {
		.head = seg.headers,
		.iov = &payload,
		.niov = 1,
		.vlan = f->vlan,
		.tagged = f->tagged,
	};

	if (iol_segmenter_start(&cutter, th->scratch, f->len, &f->hdr) < 0)
		return false;
	while (iol_segmenter_next(&cutter, &seg)) {
		part.head_len = (uint16_t)seg.headers_len;
		part.len = seg.headers_len + seg.payload_len;
		payload.iov_base = (void *)(uintptr_t)seg.payload;
		payload.iov_len = seg.payload_len;
		part.niov = seg.payload_len ? 1 : 0;
		send(ctx, &part);
	}
	return true;
}

bool iol_transform(struct net_thread *th, const struct iol_frame *f, uint64_t features,
		   struct net_sink *count, void (*send)(void *ctx, const struct iol_frame *f),
		   void *ctx)
{
	gather(f, th->scratch);
	switch (iol_offload_needs(&f->hdr, features)) {
	case IOL_OFFLOAD_SEGMENT:
		IOL_STAT_ADD(count->segmented, 1);
		return cut(th, f, send, ctx);
	case IOL_OFFLOAD_CHECKSUM:
		IOL_STAT_ADD(count->checksums, 1);
		complete(th, f, send, ctx);
		return true;
	default:
		send(ctx, f);
		return true;
	}
}
