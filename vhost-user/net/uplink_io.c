/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames from an ethdev and to one. */
#include "vhost-user/net/uplink.h"

#include "vhost-user/net/copy.h"
#include "vhost-user/net/offload.h"

#include <linux/if_ether.h>
#include <netinet/in.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

/* ---- in ---- */

/* Return: the reason to drop it, or IOL_NET_DROP_REASONS. */
static inline enum iol_net_drop parse(struct rte_mbuf *m, struct iol_frame *f, struct iovec *iov)
{
	struct rte_mbuf *seg;
	uint8_t *data;
	uint16_t n;

	if (__builtin_expect(m->pkt_len < FRAME_ETHER, 0))
		return IOL_NET_DROP_RUNT;
	if (__builtin_expect(m->pkt_len > IOL_FRAME_MAX, 0))
		return IOL_NET_DROP_IN_TOO_BIG;
	if (__builtin_expect(m->nb_segs > NET_SEGS ||
				     (m->nb_segs > 1 && m->data_len < FRAME_HEAD + FRAME_TAG),
			     0) &&
	    rte_pktmbuf_linearize(m) < 0)
		return IOL_NET_DROP_IN_TOO_BIG;
	data = rte_pktmbuf_mtod(m, uint8_t *);
	f->head = data;
	f->head_len = FRAME_HEAD;
	if (__builtin_expect(iol_frame_u16(data + FRAME_TAG_AT) == FRAME_VLAN, 0))
		f->head_len = FRAME_HEAD + FRAME_TAG;
	if (__builtin_expect(f->head_len > m->data_len, 0))
		f->head_len = m->data_len;
	f->len = m->pkt_len;
	f->iov = iov;
	for (seg = m, n = 0; seg; seg = seg->next, n++)
		iov[n] = (struct iovec){ .iov_base = rte_pktmbuf_mtod(seg, void *),
					 .iov_len = seg->data_len };
	iov[0].iov_base = data + f->head_len;
	iov[0].iov_len -= f->head_len;
	f->niov = n;
	memset(&f->hdr, 0, sizeof(f->hdr));
	if ((m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		f->hdr.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	return IOL_NET_DROP_REASONS;
}

bool iol_uplink_in(struct net_thread *th, struct net_source *s)
{
	const struct net_uplink_in *in = (const struct net_uplink_in *)(const void *)s;
	const struct net_uplink *u = iol_uplink_of(s->port);
	struct rte_mbuf *mbufs[NET_BURST];
	unsigned int good = 0, i, n;
	uint64_t bytes = 0;

	n = rte_eth_rx_burst(u->id, in->queue, mbufs, NET_BURST);
	if (!n)
		return false;
	for (i = 0; i < n; i++)
		rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void *));
	for (i = 0; i < n; i++) {
		enum iol_net_drop why = parse(mbufs[i], &th->frame[good], th->iov[good]);

		if (__builtin_expect(why != IOL_NET_DROP_REASONS, 0)) {
			iol_switch_drop(s, why);
			continue;
		}
		bytes += th->frame[good++].len;
	}
	IOL_STAT_ADD(s->packets, good);
	IOL_STAT_ADD(s->bytes, bytes);
	iol_switch(th, s, th->frame, good);
	rte_pktmbuf_free_bulk(mbufs, n);
	return true;
}

/* ---- out ---- */

/* What is being put together for one transmit queue. */
struct out {
	struct net_thread *th;
	struct net_uplink *u;
	struct net_uplink_out *q;
	uint16_t queue;
	unsigned int num, num_spare;
	struct rte_mbuf *mbuf[NET_BURST], *spare[NET_BURST];
};

static inline void drop(struct out *o, enum iol_net_drop why, unsigned int n)
{
	IOL_STAT_ADD(o->q->count.drops[why], n);
}

/* The driver looks at what the device is to complete; those that it can't are dropped, and no others. */
static void prepare(struct out *o)
{
	unsigned int good = 0;

	while ((good += rte_eth_tx_prepare(o->u->id, o->queue, o->mbuf + good,
					   (uint16_t)(o->num - good))) < o->num) {
		drop(o, IOL_NET_DROP_NOT_SEGMENTABLE, 1);
		rte_pktmbuf_free(o->mbuf[good]);
		o->num--;
		memmove(o->mbuf + good, o->mbuf + good + 1, (o->num - good) * sizeof(o->mbuf[0]));
	}
}

static void flush(struct out *o)
{
	uint64_t bytes = 0;
	unsigned int i, sent;

	if (o->u->takes)
		prepare(o);
	if (!o->num)
		return;
	for (i = 0; i < o->num; i++)
		bytes += o->mbuf[i]->pkt_len;
	/* Those that were sent are not ours any more, so the lengths of the others are taken off. */
	sent = rte_eth_tx_burst(o->u->id, o->queue, o->mbuf, (uint16_t)o->num);
	for (i = sent; i < o->num; i++)
		bytes -= o->mbuf[i]->pkt_len;
	if (sent < o->num) {
		drop(o, IOL_NET_DROP_UPLINK_FULL, o->num - sent);
		rte_pktmbuf_free_bulk(o->mbuf + sent, o->num - sent);
	}
	IOL_STAT_ADD(o->q->count.packets, sent);
	IOL_STAT_ADD(o->q->count.bytes, bytes);
	o->num = 0;
}

/* Add bytes to a packet, in more buffers where one is full. */
static bool append(struct rte_mbuf *m, struct rte_mbuf **last, struct rte_mempool *pool,
		   const uint8_t *from, size_t len)
{
	while (len) {
		uint16_t room = rte_pktmbuf_tailroom(*last);
		uint16_t n = len < room ? (uint16_t)len : room;
		struct rte_mbuf *more;

		iol_copy(rte_pktmbuf_mtod_offset(*last, uint8_t *, (*last)->data_len), from, n);
		(*last)->data_len += n;
		m->pkt_len += n;
		from += n;
		len -= n;
		if (!len)
			break;
		more = rte_pktmbuf_alloc(pool);
		if (!more)
			return false;
		(*last)->next = more;
		*last = more;
		m->nb_segs++;
	}
	return true;
}

static inline struct rte_mbuf *new_packet(struct out *o)
{
	if (__builtin_expect(o->num_spare, 1))
		return o->spare[--o->num_spare];
	return rte_pktmbuf_alloc(o->th->net->pool);
}

static struct rte_mbuf *copy_long(struct out *o, const struct iol_pieces *p)
{
	struct rte_mempool *pool = o->th->net->pool;
	struct rte_mbuf *m = new_packet(o), *last = m;
	bool good = m;
	unsigned int i;

	for (i = 0; good && i < p->nparts; i++)
		good = append(m, &last, pool, p->part[i], p->part_len[i]);
	for (i = 0; good && i < p->niov; i++)
		good = append(m, &last, pool, p->iov[i].iov_base, p->iov[i].iov_len);
	if (good)
		return m;
	rte_pktmbuf_free(m);
	return NULL;
}

static inline struct rte_mbuf *copy(struct out *o, const struct iol_pieces *p)
{
	struct rte_mbuf *m;
	unsigned int i;
	uint8_t *to;

	/* All buffers of the pool have this much. */
	if (__builtin_expect(p->len > RTE_MBUF_DEFAULT_DATAROOM, 0))
		return copy_long(o, p);
	m = new_packet(o);
	if (__builtin_expect(!m, 0))
		return NULL;
	to = rte_pktmbuf_mtod(m, uint8_t *);
	for (i = 0; i < p->nparts; to += p->part_len[i++])
		iol_copy(to, p->part[i], p->part_len[i]);
	for (i = 0; i < p->niov; to += p->iov[i++].iov_len)
		iol_copy(to, p->iov[i].iov_base, p->iov[i].iov_len);
	m->data_len = (uint16_t)p->len;
	m->pkt_len = p->len;
	return m;
}

/* What an mbuf can say of the length of IP's headers. */
#define L3_MAX ((1u << RTE_MBUF_L3_LEN_BITS) - 1)

/*
 * Ask the device for what the header wants. Everything is read in our copy. Return: false when the frame is
 * not what devices know.
 */
static bool mark(struct rte_mbuf *m, const struct virtio_net_hdr_v1 *hdr, int shift)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t l2 = FRAME_ETHER, l4 = hdr->csum_start + (uint32_t)shift;
	uint16_t type = iol_frame_u16(data + FRAME_TAG_AT);
	bool tcp = hdr->csum_offset == 16, udp = hdr->csum_offset == 6;

	if (type == ETH_P_8021Q) {
		l2 += FRAME_TAG;
		type = iol_frame_u16(data + FRAME_TAG_AT + FRAME_TAG);
	}
	if ((!tcp && !udp) || l4 < l2 + 20 || l4 - l2 > L3_MAX || l4 + 20 > m->data_len)
		return false;
	if (type == ETH_P_IP && data[l2 + 9] == (tcp ? IPPROTO_TCP : IPPROTO_UDP))
		m->ol_flags |= RTE_MBUF_F_TX_IPV4;
	else if (type == ETH_P_IPV6 && l4 >= l2 + 40)
		m->ol_flags |= RTE_MBUF_F_TX_IPV6;
	else
		return false;
	m->l2_len = l2;
	m->l3_len = l4 - l2;
	/* Drivers before DPDK 22.11.4 want the last for checksums, too. */
	m->l4_len = tcp ? (data[l4 + 12] >> 4) * 4u : 8;
	if (!hdr->gso_type) {
		m->ol_flags |= tcp ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
		return true;
	}
	m->tso_segsz = hdr->gso_size;
	m->ol_flags |= tcp ? RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM
			   : RTE_MBUF_F_TX_UDP_SEG | RTE_MBUF_F_TX_UDP_CKSUM;
	if (m->ol_flags & RTE_MBUF_F_TX_IPV4)
		m->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM;
	return m->l4_len >= 8;
}

static void put_transformed(void *ctx, const struct iol_frame *f);

/* A frame that the device takes with the features in @takes. */
static void put(struct out *o, const struct iol_frame *f, uint64_t takes)
{
	uint32_t mtu = __atomic_load_n(&o->u->port.mtu, __ATOMIC_RELAXED);
	struct iol_pieces p;
	struct rte_mbuf *m;

	if (__builtin_expect(f->hdr.flags | f->hdr.gso_type, 0) &&
	    iol_offload_needs(&f->hdr, takes) != IOL_OFFLOAD_NONE) {
		if (!iol_transform(o->th, f, takes, &o->q->count, put_transformed, o))
			drop(o, IOL_NET_DROP_NOT_SEGMENTABLE, 1);
		return;
	}
	iol_pieces_set(&p, f, f->vlan != o->u->port.vlan && f->vlan);
	if (iol_frame_exceeds(f, mtu)) {
		drop(o, IOL_NET_DROP_OUT_TOO_BIG, 1);
		return;
	}
	m = copy(o, &p);
	if (!m) {
		drop(o, IOL_NET_DROP_NO_MEMORY, 1);
		return;
	}
	if (f->hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM && !mark(m, &f->hdr, p.shift)) {
		rte_pktmbuf_free(m);
		put(o, f, 0);
		return;
	}
	if ((m->tso_segsz && (uint32_t)m->tso_segsz + m->l3_len + m->l4_len > mtu) ||
	    (m->nb_segs > 1 && !o->u->pieces)) {
		rte_pktmbuf_free(m);
		drop(o, IOL_NET_DROP_OUT_TOO_BIG, 1);
		return;
	}
	o->mbuf[o->num++] = m;
	if (o->num == NET_BURST)
		flush(o);
}

static void put_transformed(void *ctx, const struct iol_frame *f)
{
	put(ctx, f, 0);
}

void iol_uplink_out(struct net_thread *th, struct iol_net_port *port, struct iol_frame **frames,
		    unsigned int n)
{
	struct net_uplink *u = iol_uplink_of(port);
	struct out o = { .th = th, .u = u, .queue = (uint16_t)(th->index % u->queues) };
	unsigned int i;

	o.q = &u->out[o.queue];
	pthread_spin_lock(&o.q->lock);
	if (__builtin_expect(!__atomic_load_n(&u->started, __ATOMIC_ACQUIRE), 0)) {
		drop(&o, IOL_NET_DROP_NOT_RUNNING, n);
	} else {
		/* All at once costs hardly more than one; where there are too few, they are asked for one by one. */
		if (!rte_pktmbuf_alloc_bulk(th->net->pool, o.spare, n))
			o.num_spare = n;
		for (i = 0; i < n; i++)
			put(&o, frames[i], u->takes);
		flush(&o);
		if (o.num_spare)
			rte_pktmbuf_free_bulk(o.spare, o.num_spare);
	}
	pthread_spin_unlock(&o.q->lock);
}
