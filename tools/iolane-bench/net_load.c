/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The load: one thread that fills one port's transmit queue and empties the other's receive queue. It must
 * cost less than any back end, so frames are written once and sent again and again, the clock is read once a
 * burst, and of what arrives only each burst's first frame is looked at.
 */
#include "net.h"

#include "base/clock.h"
#include "base/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <string.h>

/* A type for experiments (IEEE 802, 9.2), which no other traffic on the back end has. */
#define TYPE  0x88b5
#define MAGIC 0x696f6c6e
/*
 * At full rate one frame in so many carries the time: for each that does, a line must be fetched from the
 * back end. At a given rate there is time to stamp them all.
 */
#define STAMPED 32
/* After the last frame that arrived, another does within this, or none. */
#define DRAIN_NS (100 * IOL_NS_PER_MS)

struct frame {
	struct virtio_net_hdr_v1 hdr;
	struct ethhdr eth;
	uint32_t magic;
	uint64_t sent_at; /* 0: not stamped */
} __attribute__((packed));

struct load {
	const struct net_options *o;
	struct net_port *tx, *rx;
	unsigned int mix; /* place in the mix of sizes */
	bool long_frames; /* they don't fit a receive buffer */
	/* The frame being received: buffers still to come, bytes so far, when it was sent. */
	unsigned int merged;
	uint32_t merged_len;
	uint64_t merged_at;
	/* Frames of ours. */
	uint64_t sent, received, bytes;
	struct iol_hist *lat;
};

/* The simple mix: 7 small frames, 4 of middle size, 1 large. */
static uint32_t frame_size(struct load *l)
{
	static const uint16_t sizes[] = { 64, 64, 590, 64, 64, 590, 64, 590, 64, 64, 590, 1514 };

	if (l->o->size)
		return l->o->size;
	l->mix = (l->mix + 1) % (sizeof(sizes) / sizeof(sizes[0]));
	return sizes[l->mix];
}

static void make_frame(struct net_port *from, const uint8_t *to, struct net_buf *buf)
{
	struct frame f = { .magic = htonl(MAGIC) };

	memcpy(f.eth.h_dest, to, ETH_ALEN);
	memcpy(f.eth.h_source, from->mac, ETH_ALEN);
	f.eth.h_proto = htons(TYPE);
	memcpy(buf->host, &f, sizeof(f));
}

static int send_one(struct net_port *p, unsigned int index, uint32_t size)
{
	struct iol_driver_seg seg = { .addr = p->tx[index].gpa,
				      .len = size + (uint32_t)sizeof(struct virtio_net_hdr_v1) };

	return iol_driver_add(p->txq->driver, &seg, 1, index);
}

static int reclaim(struct net_port *p)
{
	uintptr_t cookie;
	uint32_t len;
	int rc = 0;

	while (p->n_free < p->ring && (rc = iol_driver_used(p->txq->driver, &cookie, &len)) > 0)
		p->free[p->n_free++] = (unsigned int)cookie;
	return rc < 0 ? rc : 0;
}

static int send_burst(struct load *l, unsigned int n, uint64_t now)
{
	struct net_port *p = l->tx;
	unsigned int i;
	int rc;

	if (n > p->n_free)
		n = p->n_free;
	for (i = 0; i < n; i++) {
		unsigned int index = p->free[--p->n_free];
		bool stamp = l->o->rate > 0 || (l->sent + i) % STAMPED == 0;

		if (stamp || p->stamped[index])
			((struct frame *)(void *)p->tx[index].host)->sent_at = stamp ? now : 0;
		p->stamped[index] = stamp;
		rc = send_one(p, index, frame_size(l));
		if (rc < 0)
			return rc;
	}
	if (n && iol_driver_publish(p->txq->driver))
		iol_guest_queue_kick(p->txq);
	l->sent += n;
	return (int)n;
}

/* A whole frame of @len bytes has arrived that was sent at @at, if that is not 0. */
static void count(struct load *l, uint32_t len, uint64_t at, uint64_t now)
{
	l->received++;
	l->bytes += len - sizeof(struct virtio_net_hdr_v1);
	if (at && at < now)
		iol_hist_add(l->lat, now - at);
}

static int give_back(struct net_port *p, unsigned int index)
{
	struct iol_driver_seg seg = { .addr = p->rx[index].gpa, .len = p->room, .write = true };

	return iol_driver_add(p->rxq->driver, &seg, 1, index);
}

/*
 * A frame longer than a buffer lies in several (VIRTIO_NET_F_MRG_RXBUF), and its header says in how many.
 * @look: at what it is, which costs a cache miss.
 */
static int take(struct load *l, unsigned int index, uint32_t len, bool look, uint64_t now)
{
	const struct virtio_net_hdr_v1 *hdr = (const void *)l->rx->rx[index].host;
	const struct frame *f = (const void *)hdr;
	uint16_t buffers;

	if (len > l->rx->room || (!l->merged && len < sizeof(*f)))
		return iol_fail(
			EPROTO,
			"the back end says that it wrote %u bytes of a frame into a buffer of %u",
			len, l->rx->room);
	if (l->merged) {
		l->merged_len += len;
		if (!--l->merged)
			count(l, l->merged_len, l->merged_at, now);
		return 0;
	}
	if (look && (f->eth.h_proto != htons(TYPE) || f->magic != htonl(MAGIC)))
		return 0;
	/* Read once: it may change while it is looked at. */
	buffers = l->long_frames ? __atomic_load_n(&hdr->num_buffers, __ATOMIC_RELAXED) : 1;
	if (buffers > 1) {
		l->merged = buffers - 1u;
		l->merged_len = len;
		l->merged_at = look ? f->sent_at : 0;
		return 0;
	}
	count(l, len, look ? f->sent_at : 0, now);
	return 0;
}

static int receive_burst(struct load *l, uint64_t now)
{
	struct net_port *p = l->rx;
	unsigned int n = 0;
	uintptr_t cookie;
	uint32_t len;
	int rc;

	while (n < l->o->burst && (rc = iol_driver_used(p->rxq->driver, &cookie, &len)) != 0) {
		if (rc > 0)
			rc = take(l, (unsigned int)cookie, len, !n, now);
		if (rc >= 0)
			rc = give_back(p, (unsigned int)cookie);
		if (rc < 0)
			return rc;
		n++;
	}
	if (n && iol_driver_publish(p->rxq->driver))
		iol_guest_queue_kick(p->rxq);
	return (int)n;
}

/* How many may go now: a burst at a time, and no more than the rate allows. */
static unsigned int allowed(const struct load *l, uint64_t since, uint64_t now)
{
	double due;

	if (l->o->rate <= 0)
		return l->o->burst;
	due = (double)(now - since) * l->o->rate / 1e9 - (double)l->sent;
	return due < 1 ? 0 : due < l->o->burst ? (unsigned int)due : l->o->burst;
}

/* A switch learns where the receiver is from a frame of its own. */
static int announce(struct load *l)
{
	static const uint8_t everybody[ETH_ALEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	unsigned int index;
	int rc = reclaim(l->rx);

	if (rc < 0)
		return rc;
	if (!l->rx->n_free)
		return iol_fail(EIO, "the back end takes nothing from the receiving port");
	index = l->rx->free[--l->rx->n_free];
	make_frame(l->rx, everybody, &l->rx->tx[index]);
	rc = send_one(l->rx, index, NET_SIZE_MIN);
	if (!rc && iol_driver_publish(l->rx->txq->driver))
		iol_guest_queue_kick(l->rx->txq);
	return rc;
}

/* Once a second: whether the back end is there, and what a person wants to see. */
static int look(struct load *l, uint64_t left)
{
	int rc = iol_frontend_poll(l->tx->fe, 0);

	if (!rc)
		rc = iol_frontend_poll(l->rx->fe, 0);
	bench_progress("%" PRIu64 " packets received, %.0f s left", l->received,
		       (double)left / 1e9);
	return rc;
}

/* Send and receive for so long; @until moves to when it really ended. */
static int phase(struct load *l, uint64_t from, uint64_t *until)
{
	uint64_t now = from, looked = from;
	int rc;

	while (now < *until && !bench_interrupted) {
		now = iol_now();
		rc = reclaim(l->tx);
		if (!rc)
			rc = send_burst(l, allowed(l, from, now), now);
		if (rc >= 0)
			rc = receive_burst(l, now);
		if (rc >= 0 && now - looked > IOL_NS_PER_S) {
			looked = now;
			rc = look(l, *until > now ? *until - now : 0);
		}
		if (rc < 0)
			return rc;
	}
	*until = now;
	return 0;
}

/* Take what is under way, so that what was sent and did not arrive is known to be lost. */
static int drain(struct load *l)
{
	uint64_t now = iol_now(), end = now + DRAIN_NS;
	int rc;

	for (; now < end; now = iol_now()) {
		rc = receive_burst(l, now);
		if (rc > 0)
			end = now + DRAIN_NS;
		if (rc >= 0)
			rc = reclaim(l->tx);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int run(struct load *l, struct bench_result *r, pid_t pid)
{
	uint64_t from = iol_now(), until = from + (uint64_t)(l->o->ramp * 1e9), stuck;
	struct bench_usage first, last;
	int rc;

	rc = phase(l, from, &until);
	if (!rc)
		rc = drain(l);
	if (rc < 0)
		return rc;
	/* What the device keeps to itself was not sent. */
	stuck = l->tx->ring - l->tx->n_free;
	l->sent = l->received = l->bytes = 0;
	memset(l->lat, 0, sizeof(*l->lat));
	from = iol_now();
	until = from + (uint64_t)(l->o->runtime * 1e9);
	bench_usage_look(&first, pid);
	rc = phase(l, from, &until);
	bench_usage_look(&last, pid);
	r->seconds = (double)(until - from) / 1e9;
	r->ops = l->received;
	r->bytes = l->bytes;
	r->backend_cpu = bench_usage_cores(&first, &last);
	r->rss_kib = bench_proc_rss_kib(pid);
	if (!rc)
		rc = drain(l);
	r->sent = l->sent + stuck - (l->tx->ring - l->tx->n_free);
	r->received = l->received;
	return rc;
}

int net_run(const struct net_options *o, struct net_port *tx, struct net_port *rx, pid_t pid,
	    struct bench_result *r)
{
	struct load l = { .o = o, .tx = tx, .rx = rx, .lat = &r->lat };
	unsigned int i;
	int rc;

	l.long_frames = o->mrg && o->size + sizeof(struct virtio_net_hdr_v1) > rx->room;
	for (i = 0; i < tx->ring; i++)
		make_frame(tx, rx->mac, &tx->tx[i]);
	rc = announce(&l);
	if (!rc)
		rc = run(&l, r, pid);
	bench_progress(NULL);
	if (rc < 0)
		return rc;
	if (!r->sent)
		return iol_fail(
			EIO,
			"the back end took not one packet: is it one for NICs, and does it run?");
	if (!r->received)
		return iol_fail(EIO,
				"not one of %" PRIu64
				" packets arrived: does the back end forward from the "
				"one port to the other?",
				r->sent);
	return 0;
}
