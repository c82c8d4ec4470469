/* SPDX-License-Identifier: BSD-3-Clause */
/* From a guest's transmit queue into the switch. */
#include "vhost-user/net/guest.h"

#include "vhost-user/net/offload.h"

#include <errno.h>

static inline void prefetch(const struct iol_chain *chains, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		const struct iol_chain *c = &chains[i];

		if (!c->nout)
			continue;
		__builtin_prefetch(c->iov->iov_base);
		__builtin_prefetch((uint8_t *)c->iov->iov_base + 64);
	}
}

/* Take @len bytes off the front of @iov, which has as many. */
static void take(struct iovec **iov, uint16_t *niov, void *to, uint32_t len)
{
	uint8_t *at = to;

	while (len) {
		uint32_t n = (*iov)->iov_len < len ? (uint32_t)(*iov)->iov_len : len;

		memcpy(at, (*iov)->iov_base, n);
		at += n;
		len -= n;
		(*iov)->iov_base = (uint8_t *)(*iov)->iov_base + n;
		(*iov)->iov_len -= n;
		if (!(*iov)->iov_len) {
			(*iov)++;
			(*niov)--;
		}
	}
}

/* How much of a frame must be looked at. */
static inline uint32_t head_len(const struct iol_net_port *port, const uint8_t *head, uint32_t len)
{
	uint32_t want = FRAME_HEAD;

	if (__builtin_expect(port->spoof == IOL_NET_SPOOF_IP, 0))
		want = FRAME_HEAD_MAX;
	else if (__builtin_expect(iol_frame_u16(head + FRAME_TAG_AT) == FRAME_VLAN, 0))
		want = FRAME_HEAD + FRAME_TAG;
	return want < len ? want : len;
}

static inline enum iol_net_drop check_header(const struct net_txq *q, struct iol_frame *f)
{
	/* All that a header can ask for begins with one of these. */
	if (__builtin_expect(f->hdr.flags | f->hdr.gso_type, 0)) {
		if (!iol_offload_check(&f->hdr, f->len, q->features))
			return IOL_NET_DROP_BAD_HEADER;
	} else {
		memset(&f->hdr, 0, sizeof(f->hdr));
	}
	return IOL_NET_DROP_REASONS;
}

/*
 * Read a chain's header and the frame's head, once. The pieces in the ring's scratch are moved on past
 * them. Return: the reason to drop it, or IOL_NET_DROP_REASONS.
 */
static inline enum iol_net_drop parse(const struct net_txq *q, struct iol_chain *c,
				      struct iol_frame *f, uint8_t *head)
{
	struct iovec *iov = c->iov;
	uint32_t len, want;
	uint16_t niov = c->nout;

	if (__builtin_expect(c->out_len < q->hdr_len + FRAME_ETHER, 0))
		return IOL_NET_DROP_RUNT;
	len = c->out_len - q->hdr_len;
	if (__builtin_expect(len > IOL_FRAME_MAX, 0))
		return IOL_NET_DROP_IN_TOO_BIG;
	if (__builtin_expect(iov->iov_len >= sizeof(f->hdr) + FRAME_HEAD &&
				     q->hdr_len == sizeof(f->hdr),
			     1)) {
		/* Nearly always the header and the frame lie in one piece. */
		memcpy(&f->hdr, iov->iov_base, sizeof(f->hdr));
		memcpy(head, (uint8_t *)iov->iov_base + sizeof(f->hdr), FRAME_HEAD);
		iov->iov_base = (uint8_t *)iov->iov_base + sizeof(f->hdr) + FRAME_HEAD;
		iov->iov_len -= sizeof(f->hdr) + FRAME_HEAD;
		f->head_len = FRAME_HEAD;
		if (!iov->iov_len) {
			iov++;
			niov--;
		}
	} else {
		memset(&f->hdr, 0, sizeof(f->hdr));
		take(&iov, &niov, &f->hdr, q->hdr_len);
		f->head_len = (uint16_t)(len < FRAME_HEAD ? len : FRAME_HEAD);
		take(&iov, &niov, head, f->head_len);
	}
	want = head_len(q->source.port, head, len);
	if (__builtin_expect(want > f->head_len, 0)) {
		take(&iov, &niov, head + f->head_len, want - f->head_len);
		f->head_len = (uint16_t)want;
	}
	f->head = head;
	f->iov = iov;
	f->niov = niov;
	f->len = len;
	return check_header(q, f);
}

/* The same for a chain that is one buffer, of which most are: the header is followed by the frame. */
static inline enum iol_net_drop parse_buf(const struct net_txq *q, const struct iol_buf *buf,
					  struct iol_frame *f, uint8_t *head)
{
	const uint8_t *at = buf->base + sizeof(f->hdr);
	uint32_t want = FRAME_HEAD;

	if (__builtin_expect(buf->len > IOL_FRAME_MAX + sizeof(f->hdr), 0))
		return IOL_NET_DROP_IN_TOO_BIG;
	f->len = buf->len - (uint32_t)sizeof(f->hdr);
	if (__builtin_expect(buf->len >= sizeof(f->hdr) + FRAME_HEAD, 1)) {
		memcpy(head, at, FRAME_HEAD);
	} else {
		if (buf->len < sizeof(f->hdr) + FRAME_ETHER)
			return IOL_NET_DROP_RUNT;
		want = FRAME_ETHER;
		memcpy(head, at, FRAME_ETHER);
	}
	memcpy(&f->hdr, buf->base, sizeof(f->hdr));
	if (__builtin_expect(head_len(q->source.port, head, f->len) > want, 0)) {
		uint32_t more = head_len(q->source.port, head, f->len);

		memcpy(head + want, at + want, more - want);
		want = more;
	}
	f->head = head;
	f->head_len = (uint16_t)want;
	f->one = (struct iovec){ .iov_base = (uint8_t *)(uintptr_t)at + want,
				 .iov_len = f->len - want };
	f->iov = &f->one;
	f->niov = 1;
	return check_header(q, f);
}

static void fail(struct net_txq *q)
{
	q->source.failed = true;
	iol_queue_fail(q->queue);
}

/* The frames that were good go on; those that weren't are counted. */
static void pass_on(struct net_thread *th, struct net_txq *q, unsigned int good, uint64_t bytes)
{
	IOL_STAT_ADD(q->source.packets, good);
	IOL_STAT_ADD(q->source.bytes, bytes);
	iol_switch(th, &q->source, th->frame, good);
}

/* Chains that are one buffer. Return: how many there were. */
static unsigned int take_bufs(struct net_thread *th, struct net_txq *q)
{
	struct iol_buf bufs[NET_BURST];
	unsigned int good = 0, i, n;
	uint64_t bytes = 0;

	if (__builtin_expect(q->hdr_len != sizeof(struct virtio_net_hdr_v1), 0))
		return 0;
	n = iol_ring_peek(q->ring, bufs, NET_BURST, false);
	for (i = 0; i < n; i++) {
		__builtin_prefetch(bufs[i].base);
		__builtin_prefetch(bufs[i].base + 64);
	}
	for (i = 0; i < n; i++) {
		enum iol_net_drop why = parse_buf(q, &bufs[i], &th->frame[good], th->head[good]);

		if (__builtin_expect(why != IOL_NET_DROP_REASONS, 0)) {
			iol_switch_drop(&q->source, why);
			continue;
		}
		bytes += th->frame[good++].len;
	}
	if (!n)
		return 0;
	pass_on(th, q, good, bytes);
	if (iol_ring_consume(q->ring, bufs, NULL, n))
		iol_queue_call(q->queue);
	return n;
}

/* Chains of any kind. */
static bool take_chains(struct net_thread *th, struct net_txq *q)
{
	unsigned int good = 0;
	uint64_t bytes = 0;
	int i, n;

	n = iol_ring_pop(q->ring, th->chains, NET_BURST);
	if (n <= 0) {
		if (n == -EAGAIN)
			q->source.waiting = true;
		else if (n < 0)
			fail(q);
		return false;
	}
	prefetch(th->chains, n);
	for (i = 0; i < n; i++) {
		enum iol_net_drop why = parse(q, &th->chains[i], &th->frame[good], th->head[good]);

		if (__builtin_expect(why != IOL_NET_DROP_REASONS, 0)) {
			iol_switch_drop(&q->source, why);
			continue;
		}
		bytes += th->frame[good++].len;
	}
	pass_on(th, q, good, bytes);
	for (i = 0; i < n; i++)
		iol_ring_push(q->ring, th->chains[i].id, th->chains[i].ndesc, 0);
	if (iol_ring_publish(q->ring))
		iol_queue_call(q->queue);
	return true;
}

bool iol_guest_in(struct net_thread *th, struct net_source *s)
{
	struct net_txq *q = (struct net_txq *)(void *)s;

	if (__builtin_expect(s->waiting, 0)) {
		if (!__atomic_exchange_n(&q->woken, false, __ATOMIC_ACQUIRE))
			return false;
		s->waiting = false;
	}
	return take_bufs(th, q) || take_chains(th, q);
}
