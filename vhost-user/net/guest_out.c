/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From the switch into a guest's receive queue: one copy, from where the sender put the frame to where the receiver
 * wants it. Buffers are popped a window at a time; those that no frame needed are given back as if
 * they had never been taken.
 */
#include "vhost-user/net/guest.h"

#include "vhost-user/net/copy.h"
#include "vhost-user/net/flow.h"
#include "vhost-user/net/offload.h"

#include <errno.h>

/* What is being put into one queue. The window is th->window[used] to th->window[num - 1]. */
struct out {
	struct net_thread *th;
	const struct iol_net_port *port;
	struct net_rxq *q;
	unsigned int used, num, pushed;
	unsigned int left; /* frames still to come, with this one */
	uint64_t packets, bytes;
	bool dry, logs;
	uint32_t wrote[NET_WINDOW]; /* to the window's buffers */
	bool more[NET_WINDOW];      /* the frame goes on in the next buffer */
};

static inline void drop(struct out *o, enum iol_net_drop why)
{
	IOL_STAT_ADD(o->q->count.drops[why], 1);
}

static void fail(struct net_rxq *q)
{
	q->failed = true;
	iol_queue_fail(q->queue);
}

/* Why there are no buffers. */
static void none(struct net_rxq *q, int rc)
{
	if (rc == -EAGAIN) {
		q->waiting = true;
		q->ahead = 0;
	} else if (rc < 0) {
		fail(q);
	}
}

/* Push the buffers that were used, and give back the others. */
static void end_window(struct out *o)
{
	struct iol_chain *window = o->th->window;
	unsigned int i;

	for (i = 0; i < o->used; i++) {
		if (__builtin_expect(o->more[i], 0))
			iol_ring_push_more(o->q->ring, window[i].id, window[i].ndesc, o->wrote[i]);
		else
			iol_ring_push(o->q->ring, window[i].id, window[i].ndesc, o->wrote[i]);
	}
	if (o->used < o->num)
		iol_ring_unpop(o->q->ring, window + o->used, o->num - o->used);
	o->pushed += o->used;
	o->used = o->num = 0;
}

/* A new window of up to @max buffers. */
static void refill(struct out *o, unsigned int max)
{
	struct iol_chain *window = o->th->window;
	int n;

	end_window(o);
	n = iol_ring_pop(o->q->ring, window, max);
	if (n > 0)
		o->num = (unsigned int)n;
	else
		none(o->q, n);
}

/* Buffers at the window's begin that together hold @len bytes; 0 when those in the window don't. */
static inline unsigned int enough(const struct out *o, uint64_t len)
{
	const struct iol_chain *c = &o->th->window[o->used], *end = &o->th->window[o->num];
	unsigned int n, slots = 0;

	for (n = 1; c < end; n++, c++) {
		slots += c->ndesc;
		if (c->in_len >= len)
			return n == 1 || slots <= iol_ring_group_max(o->q->ring) ? n : 0;
		if (!o->q->mrg)
			return 0;
		len -= c->in_len;
	}
	return 0;
}

/* Return: how many buffers at the window's begin to use; 0 after the frame was dropped. */
static inline unsigned int reserve(struct out *o, uint32_t len)
{
	unsigned int n = o->used < o->num ? enough(o, len) : 0;

	if (__builtin_expect(n, 1))
		return n;
	if (!o->dry) {
		if (o->used == o->num)
			refill(o, o->left < NET_BURST ? o->left : NET_BURST);
		n = enough(o, len);
		if (!n && o->q->mrg && !o->q->failed) {
			refill(o, NET_WINDOW);
			n = enough(o, len);
		}
	}
	if (n)
		return n;
	/* None, all too small together, or the first too small alone. */
	o->dry = o->used == o->num || o->q->mrg;
	drop(o,
	     o->num < NET_WINDOW && o->dry ? IOL_NET_DROP_NO_BUFFERS : IOL_NET_DROP_SMALL_BUFFER);
	return 0;
}

/* Where the next byte goes: through the writable pieces of several buffers. */
struct cursor {
	const struct iol_chain *chain;
	const struct iovec *iov, *end;
	uint32_t off;  /* within the piece */
	uint32_t room; /* of the buffer */
};

static void next_buffer(struct cursor *c)
{
	c->iov = c->chain->iov + c->chain->nout;
	c->end = c->iov + c->chain->nin;
	c->off = 0;
	c->room = c->chain->in_len;
}

/* There is room for @len bytes: reserve() has counted. */
static void write_out(struct cursor *c, const uint8_t *from, size_t len)
{
	while (len) {
		size_t n;

		while (!c->room) {
			c->chain++;
			next_buffer(c);
		}
		while (c->off == c->iov->iov_len) {
			c->iov++;
			c->off = 0;
		}
		n = c->iov->iov_len - c->off;
		if (n > len)
			n = len;
		memcpy((uint8_t *)c->iov->iov_base + c->off, from, n);
		c->off += (uint32_t)n;
		c->room -= (uint32_t)n;
		from += n;
		len -= n;
	}
}

/* A frame over several buffers or pieces. */
static void put_scattered(struct out *o, const struct iol_pieces *p,
			  const struct virtio_net_hdr_v1 *hdr, unsigned int n)
{
	struct iol_chain *window = &o->th->window[o->used];
	struct cursor c = { .chain = window };
	uint32_t left = o->q->hdr_len + p->len;
	unsigned int i;

	next_buffer(&c);
	write_out(&c, (const uint8_t *)hdr, o->q->hdr_len);
	for (i = 0; i < p->nparts; i++)
		write_out(&c, p->part[i], p->part_len[i]);
	for (i = 0; i < p->niov; i++)
		write_out(&c, p->iov[i].iov_base, p->iov[i].iov_len);
	for (i = 0; i < n; i++) {
		uint32_t wrote = left < window[i].in_len ? left : window[i].in_len, at = wrote;
		const struct iovec *iov = window[i].iov + window[i].nout;

		for (; o->logs && at; iov++) {
			uint32_t len = at < iov->iov_len ? at : (uint32_t)iov->iov_len;

			iol_ring_dirty(o->q->ring, iov->iov_base, len);
			at -= len;
		}
		o->wrote[o->used + i] = wrote;
		o->more[o->used + i] = i + 1 < n;
		left -= wrote;
	}
}

/* The usual case: one buffer, in one piece. */
static inline void put_whole(struct out *o, const struct iol_pieces *p,
			     const struct virtio_net_hdr_v1 *hdr)
{
	const struct iol_chain *c = &o->th->window[o->used];
	uint8_t *base = c->iov[c->nout].iov_base, *to = base + o->q->hdr_len;
	unsigned int i;

	if (__builtin_expect(o->q->hdr_len == sizeof(*hdr), 1))
		memcpy(base, hdr, sizeof(*hdr));
	else
		memcpy(base, hdr, sizeof(struct virtio_net_hdr));
	if (__builtin_expect(p->nparts == 1 && p->part_len[0] == FRAME_HEAD, 1)) {
		memcpy(to, p->part[0], FRAME_HEAD);
		to += FRAME_HEAD;
	} else {
		for (i = 0; i < p->nparts; to += p->part_len[i++])
			memcpy(to, p->part[i], p->part_len[i]);
	}
	for (i = 0; i < p->niov; to += p->iov[i++].iov_len)
		iol_copy(to, p->iov[i].iov_base, p->iov[i].iov_len);
	if (__builtin_expect(o->logs, 0))
		iol_ring_dirty(o->q->ring, base, o->q->hdr_len + p->len);
	o->wrote[o->used] = o->q->hdr_len + p->len;
	o->more[o->used] = false;
}

/* A frame that its receiver takes as it is. */
static inline void put(struct out *o, const struct iol_frame *f)
{
	uint32_t mtu = __atomic_load_n(&o->port->mtu, __ATOMIC_RELAXED);
	struct virtio_net_hdr_v1 hdr = f->hdr;
	const struct iol_chain *c;
	struct iol_pieces p;
	unsigned int n;

	if (__builtin_expect(iol_frame_exceeds(f, mtu), 0)) {
		drop(o, IOL_NET_DROP_OUT_TOO_BIG);
		return;
	}
	iol_pieces_set(&p, f, f->vlan != o->port->vlan && f->vlan);
	n = reserve(o, o->q->hdr_len + p.len);
	if (__builtin_expect(!n, 0))
		return;
	hdr.num_buffers = (uint16_t)n;
	if (__builtin_expect(hdr.flags, 0)) {
		/* What an uplink's device found out is for drivers that know such words. */
		if (!(o->q->features & 1ull << VIRTIO_NET_F_GUEST_CSUM))
			hdr.flags = 0;
		if (hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
			hdr.csum_start = (uint16_t)(hdr.csum_start + p.shift);
	}
	c = &o->th->window[o->used];
	if (__builtin_expect(n == 1 && c->iov[c->nout].iov_len >= o->q->hdr_len + p.len, 1))
		put_whole(o, &p, &hdr);
	else
		put_scattered(o, &p, &hdr, n);
	o->used += n;
	o->packets++;
	o->bytes += p.len;
}

static void put_transformed(void *ctx, const struct iol_frame *f)
{
	put(ctx, f);
}

static inline void put_any(struct out *o, const struct iol_frame *f)
{
	if (__builtin_expect(f->hdr.flags | f->hdr.gso_type, 0) &&
	    iol_offload_needs(&f->hdr, o->q->features) != IOL_OFFLOAD_NONE) {
		if (!iol_transform(o->th, f, o->q->features, &o->q->count, put_transformed, o))
			drop(o, IOL_NET_DROP_NOT_SEGMENTABLE);
		return;
	}
	put(o, f);
}

/* Frames as they come, into chains as they come. */
static void fill_chains(struct net_thread *th, const struct iol_net_port *port, struct net_rxq *q,
			struct iol_frame **frames, unsigned int n)
{
	struct out o;
	unsigned int i;

	/* Not all of it: lengths are written before they are read. */
	o.th = th;
	o.port = port;
	o.q = q;
	o.left = n;
	o.used = o.num = o.pushed = 0;
	o.packets = o.bytes = 0;
	o.dry = false;
	o.logs = iol_ring_logs(q->ring);
	refill(&o, n);
	for (i = 0; i < o.num && i < n; i++)
		if (th->window[i].nin)
			__builtin_prefetch(th->window[i].iov[th->window[i].nout].iov_base, 1);
	for (i = 0; i < n; i++, o.left--)
		put_any(&o, frames[i]);
	end_window(&o);
	IOL_STAT_ADD(q->count.packets, o.packets);
	IOL_STAT_ADD(q->count.bytes, o.bytes);
	if (o.pushed && iol_ring_publish(q->ring))
		iol_queue_call(q->queue);
	if (__builtin_expect(q->iommu, 0)) {
		q->ahead -= o.pushed < q->ahead ? o.pushed : q->ahead;
		iol_guest_look_ahead(q);
	}
}

/*
 * A frame whose buffer's translation is missing is dropped, and drivers may give each buffer a new address. So those
 * that come next are looked at before they are needed. A miss ends a look, and its answer begins the next.
 */
void iol_guest_look_ahead(struct net_rxq *q)
{
	struct iol_chain next[NET_WINDOW];
	int n;

	if (!q->ring || q->failed || q->waiting || q->ahead >= NET_WINDOW / 2)
		return;
	n = iol_ring_pop(q->ring, next, NET_WINDOW);
	if (n > 0) {
		q->ahead = (unsigned int)n;
		iol_ring_unpop(q->ring, next, (unsigned int)n);
	} else {
		none(q, n);
	}
}

/* Whether a frame goes into a buffer of @room bytes as it is. */
static inline bool is_plain(const struct net_rxq *q, const struct iol_net_port *port,
			    const struct iol_frame *f, uint32_t room, uint32_t mtu)
{
	if (f->tagged != (f->vlan != port->vlan && f->vlan) || f->len + sizeof(f->hdr) > room ||
	    f->len - FRAME_ETHER > mtu)
		return false;
	return !(f->hdr.flags | f->hdr.gso_type) ||
	       (q->features & 1ull << VIRTIO_NET_F_GUEST_CSUM &&
		iol_offload_needs(&f->hdr, q->features) == IOL_OFFLOAD_NONE);
}

static inline void put_plain(uint8_t *to, const struct iol_frame *f)
{
	struct virtio_net_hdr_v1 hdr = f->hdr;
	unsigned int i;

	hdr.num_buffers = 1;
	memcpy(to, &hdr, sizeof(hdr));
	to += sizeof(hdr);
	if (__builtin_expect(f->head_len == FRAME_HEAD, 1))
		memcpy(to, f->head, FRAME_HEAD);
	else
		memcpy(to, f->head, f->head_len);
	to += f->head_len;
	if (__builtin_expect(f->niov == 1, 1)) {
		iol_copy(to, f->iov->iov_base, f->iov->iov_len);
		return;
	}
	for (i = 0; i < f->niov; to += f->iov[i++].iov_len)
		iol_copy(to, f->iov[i].iov_base, f->iov[i].iov_len);
}

/* The lines that a long frame goes to come while the one before it is copied; its first two were asked for before. */
static inline void fetch_rest(const struct iol_frame *f, const uint8_t *to)
{
	uint32_t at;

	for (at = 128; at < f->len; at += 64)
		iol_fetch_to_write(to + at);
}

/*
 * The quick way, for what most frames and buffers are: a frame goes as it is into one buffer. Return: how many went
 * before the first frame or buffer that is different.
 */
static unsigned int fill_bufs(const struct iol_net_port *port, struct net_rxq *q,
			      struct iol_frame **frames, unsigned int n)
{
	uint32_t mtu = __atomic_load_n(&port->mtu, __ATOMIC_RELAXED), wrote[NET_BURST];
	struct iol_buf bufs[NET_BURST];
	unsigned int i, num;
	uint64_t bytes = 0;

	if (__builtin_expect(q->hdr_len != sizeof(struct virtio_net_hdr_v1), 0))
		return 0;
	num = iol_ring_peek(q->ring, bufs, n, true);
	for (i = 0; i < num; i++) {
		__builtin_prefetch(bufs[i].base, 1);
		__builtin_prefetch(bufs[i].base + 64, 1);
	}
	for (i = 0; i < num && is_plain(q, port, frames[i], bufs[i].len, mtu); i++) {
		if (i + 1 < num)
			fetch_rest(frames[i + 1], bufs[i + 1].base);
		put_plain(bufs[i].base, frames[i]);
		wrote[i] = frames[i]->len + (uint32_t)sizeof(struct virtio_net_hdr_v1);
		bytes += frames[i]->len;
	}
	if (!i)
		return 0;
	IOL_STAT_ADD(q->count.packets, i);
	IOL_STAT_ADD(q->count.bytes, bytes);
	if (iol_ring_consume(q->ring, bufs, wrote, i))
		iol_queue_call(q->queue);
	return i;
}

/* Under the queue's lock. */
static void fill(struct net_thread *th, struct iol_net_port *port, struct net_rxq *q,
		 struct iol_frame **frames, unsigned int n)
{
	unsigned int done;

	if (__builtin_expect(!q->ring || q->failed, 0)) {
		IOL_STAT_ADD(q->count.drops[IOL_NET_DROP_NOT_RUNNING], n);
		return;
	}
	if (__builtin_expect(q->waiting, 0)) {
		IOL_STAT_ADD(q->count.drops[IOL_NET_DROP_NO_BUFFERS], n);
		return;
	}
	done = fill_bufs(port, q, frames, n);
	if (__builtin_expect(done < n, 0))
		fill_chains(th, port, q, frames + done, n - done);
}

static void fill_locked(struct net_thread *th, struct iol_net_port *port, unsigned int pair,
			struct iol_frame **frames, unsigned int n)
{
	struct net_rxq *q = &((struct net_guest *)(void *)port)->pair[pair].rx;

	pthread_spin_lock(&q->lock);
	fill(th, port, q, frames, n);
	pthread_spin_unlock(&q->lock);
}

void iol_guest_out(struct net_thread *th, struct iol_net_port *port, struct iol_frame **frames,
		   unsigned int n)
{
	const struct net_guest *g = (const struct net_guest *)(const void *)port;
	unsigned int running = __atomic_load_n(&g->rx_running, __ATOMIC_RELAXED);
	unsigned int i, j, pair[NET_BURST];

	if (running <= 1) {
		fill_locked(th, port, __atomic_load_n(&g->rx_map[0], __ATOMIC_RELAXED), frames, n);
		return;
	}
	/* A flow stays on a queue, so that its frames stay in order. */
	for (i = 0; i < n; i++)
		pair[i] = __atomic_load_n(&g->rx_map[iol_flow_hash(frames[i]) % running],
					  __ATOMIC_RELAXED);
	for (i = 0; i < n; i = j) {
		for (j = i + 1; j < n && pair[j] == pair[i]; j++)
			;
		fill_locked(th, port, pair[i], frames + i, j - i);
	}
}
