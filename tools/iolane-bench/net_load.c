/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The load: one thread that fills one port's transmit queues and empties the other's receive queues. It must
 * cost less than any back end, so frames are written once and sent again and again, buffers go back
 * to the ring in place, the clock is read once a turn, and of what arrives only one frame in 32 is looked at.
 */
#include "net.h"

#include "base/clock.h"
#include "base/error.h"
#include "tools/common/prog.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Of a burst that arrives, the first frame and one in so many after it are looked at. */
#define LOOKED 32
/* After the last frame that arrived, another does within this, or none. */
#define DRAIN_NS (100 * IOL_NS_PER_MS)

struct load {
	const struct net_options *o;
	struct net_port *tx, *rx; /* either may be NULL */
	bool long_frames;         /* they don't fit a receive buffer */
	uint64_t wait;            /* ns for a first packet */
	unsigned int turn;
	/* Frames of ours; @taken: that the device has given back. */
	uint64_t sent, taken, received, bytes;
	uint64_t busy; /* ns of turns that found something to do */
	struct iol_hist *lat;
};

static uint64_t ticks(void)
{
#ifdef __x86_64__
	return __builtin_ia32_rdtsc();
#else
	return 0;
#endif
}

/* Before it is shown to the device. */
static void stamp(const struct load *l, const struct net_pair *p, unsigned int index, uint64_t now)
{
	/* At a given rate there is time to stamp them all. */
	if (l->o->rate > 0 || index % NET_STAMPED == 0)
		net_frame_stamp(&p->tx[index], now);
}

static void count_taken(struct load *l, const uintptr_t *cookies, unsigned int n)
{
	unsigned int i;

	l->taken += n;
	/* What arrives is counted elsewhere. */
	for (i = 0; !l->rx && i < n; i++)
		l->bytes += net_frame_size(l->o, (unsigned int)cookies[i]);
}

static int send_fresh(struct load *l, struct net_pair *p, unsigned int n, uint64_t now)
{
	unsigned int i;
	int rc;

	for (i = 0; i < n; i++) {
		unsigned int index = p->free[--p->n_free];
		uint32_t len =
			net_frame_size(l->o, index) + (uint32_t)sizeof(struct virtio_net_hdr_v1);
		struct iol_driver_seg seg = { .addr = p->tx[index].gpa, .len = len };

		stamp(l, p, index, now);
		rc = iol_driver_add(p->txq->driver, &seg, 1, index);
		if (rc < 0)
			return rc;
	}
	return (int)n;
}

/* Buffers that were never sent, or were taken back by a drain, then those that the device gives back. */
static int send_burst(struct load *l, struct net_pair *p, unsigned int n, uint64_t now)
{
	uintptr_t cookies[NET_BURST_MAX];
	uint32_t lens[NET_BURST_MAX];
	unsigned int fresh = n < p->n_free ? n : p->n_free, i;
	int rc = send_fresh(l, p, fresh, now);

	if (rc >= 0 && fresh < n) {
		rc = iol_driver_recycle(p->txq->driver, cookies, lens, n - fresh);
		for (i = 0; (int)i < rc; i++)
			stamp(l, p, (unsigned int)cookies[i], now);
		if (rc > 0)
			count_taken(l, cookies, (unsigned int)rc);
		if (rc >= 0)
			rc += (int)fresh;
	}
	if (rc < 0)
		return rc;
	if (rc && iol_driver_publish(p->txq->driver))
		iol_guest_queue_kick(p->txq);
	l->sent += (unsigned int)rc;
	return rc;
}

static int reclaim(struct load *l, struct net_pair *p)
{
	uintptr_t cookie;
	uint32_t len;
	int rc = 0;

	while (p->n_free < l->tx->n_tx &&
	       (rc = iol_driver_used(p->txq->driver, &cookie, &len)) > 0) {
		p->free[p->n_free++] = (unsigned int)cookie;
		count_taken(l, &cookie, 1);
	}
	return rc < 0 ? rc : 0;
}

/* A whole frame of @len bytes has arrived that was sent at @at, if that is not 0. */
static void count(struct load *l, uint32_t len, uint64_t at, uint64_t now)
{
	l->received++;
	l->bytes += len - sizeof(struct virtio_net_hdr_v1);
	if (at && at < now)
		iol_hist_add(l->lat, now - at);
}

/*
 * A frame longer than a buffer lies in several (VIRTIO_NET_F_MRG_RXBUF), and its header says in how many.
 * @look: at what it is, which costs a cache miss. Not at what somebody else has sent.
 */
static int take(struct load *l, struct net_pair *p, unsigned int index, uint32_t len, bool look,
		uint64_t now)
{
	const struct virtio_net_hdr_v1 *hdr = (const void *)p->rx[index].host;
	uint64_t sent_at = 0;
	uint16_t buffers = 1;

	if (len > l->rx->room || (!p->merged && len < net_frame_len_min()))
		return iol_fail(
			EPROTO,
			"the back end says that it wrote %u bytes of a frame into a buffer of %u",
			len, l->rx->room);
	if (p->merged) {
		p->merged_len += len;
		if (!--p->merged)
			count(l, p->merged_len, p->merged_at, now);
		return 0;
	}
	if (look && l->tx && !net_frame_look(&p->rx[index], &sent_at))
		return 0;
	/* Read once: it may change while it is looked at. */
	if (l->long_frames)
		buffers = __atomic_load_n(&hdr->num_buffers, __ATOMIC_RELAXED);
	if (buffers > 1) {
		p->merged = buffers - 1u;
		p->merged_len = len;
		p->merged_at = sent_at;
		return 0;
	}
	count(l, len, sent_at, now);
	return 0;
}

static int receive_burst(struct load *l, struct net_pair *p, uint64_t now)
{
	uintptr_t cookies[NET_BURST_MAX];
	uint32_t lens[NET_BURST_MAX];
	int n = iol_driver_recycle(p->rxq->driver, cookies, lens, l->o->burst), i, rc;

	for (i = 0; i < n; i++) {
		rc = take(l, p, (unsigned int)cookies[i], lens[i], i % LOOKED == 0, now);
		if (rc < 0)
			return rc;
	}
	/* Till now the buffers were not the device's again. */
	if (n > 0 && iol_driver_publish(p->rxq->driver))
		iol_guest_queue_kick(p->rxq);
	return n;
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
	struct net_pair *p = &l->rx->pair[0];
	struct iol_driver_seg seg = { .addr = p->tx[0].gpa,
				      .len = NET_SIZE_MIN + sizeof(struct virtio_net_hdr_v1) };
	int rc;

	net_frame_make(l->rx->mac, everybody, &p->tx[0]);
	rc = iol_driver_add(p->txq->driver, &seg, 1, 0);
	if (!rc && iol_driver_publish(p->txq->driver))
		iol_guest_queue_kick(p->txq);
	return rc == -ENOSPC ? iol_fail(EIO, "the back end takes nothing from the receiving port")
			     : rc;
}

/* Once a second: whether the back end is there, and what a person wants to see. */
static int look(struct load *l, uint64_t left)
{
	int rc = l->tx && l->tx->fe ? iol_frontend_poll(l->tx->fe, 0) : 0;

	if (rc >= 0 && l->rx && l->rx->fe)
		rc = iol_frontend_poll(l->rx->fe, 0);
	prog_progress("%" PRIu64 " packets %s, %.0f s left", l->rx ? l->received : l->taken,
		      l->rx ? "received" : "taken", (double)left / 1e9);
	return rc < 0 ? rc : 0;
}

/* One pair of each port. Return: how much was done. */
static int one_turn(struct load *l, unsigned int n, uint64_t now)
{
	unsigned int pair = l->turn;
	int sent = 0, received = 0;

	l->turn = pair + 1 == l->o->queues ? 0 : pair + 1;
	if (l->tx && n)
		sent = send_burst(l, &l->tx->pair[pair], n, now);
	if (sent >= 0 && l->rx)
		received = receive_burst(l, &l->rx->pair[pair], now);
	return sent < 0 ? sent : received < 0 ? received : sent + received;
}

/* Send and receive for so long; @until moves to when it really ended. */
static int phase(struct load *l, uint64_t from, uint64_t *until)
{
	uint64_t now = from, looked = from, last = from;
	int done = 0, rc;

	while (now < *until && !bench_interrupted) {
		now = iol_now();
		if (done)
			l->busy += now - last;
		last = now;
		done = one_turn(l, allowed(l, from, now), now);
		if (done < 0)
			return done;
		if (now - looked > IOL_NS_PER_S) {
			looked = now;
			rc = look(l, *until > now ? *until - now : 0);
			if (rc < 0)
				return rc;
		}
	}
	*until = now;
	return 0;
}

/* What is counted in the end. */
static uint64_t moved(const struct load *l)
{
	return l->rx ? l->received : l->taken;
}

/* A back end may listen before it forwards (testpmd does). It is judged if nothing comes. */
static int wait_first(struct load *l)
{
	uint64_t from = iol_now(), now = from, until;
	int rc = 0;

	do {
		until = now + 10 * IOL_NS_PER_MS;
		rc = phase(l, from, &until);
		now = until;
		if (rc >= 0)
			rc = look(l, 0);
	} while (rc >= 0 && !moved(l) && now - from < l->wait && !bench_interrupted);
	return rc;
}

/*
 * The time that is counted. A back end that had no CPU in all of it, as happens on a busy machine, has not failed: it
 * gets as long again, and its rate is that of all the time. An end with the first packet would be no measure.
 */
static int counted(struct load *l, uint64_t from, uint64_t *until)
{
	uint64_t runtime = (uint64_t)(l->o->runtime * 1e9);
	int rc;

	*until = from;
	do {
		*until += runtime;
		rc = phase(l, from, until);
	} while (!rc && !moved(l) && *until - from < l->wait && !bench_interrupted);
	return rc;
}

/* Take what is under way, so that what was sent and did not arrive is known to be lost. */
static int drain(struct load *l)
{
	uint64_t now, end = iol_now() + DRAIN_NS;
	unsigned int i;
	int rc;

	/* This thread may have been kept from its CPU, so there is a look after the end, too. */
	do {
		now = iol_now();
		for (i = 0; i < l->o->queues; i++) {
			rc = l->rx ? receive_burst(l, &l->rx->pair[i], now) : 0;
			/* Of what somebody else sends there is no end. */
			if (rc > 0 && l->tx)
				end = now + DRAIN_NS;
			if (rc >= 0 && l->tx)
				rc = reclaim(l, &l->tx->pair[i]);
			if (rc < 0)
				return rc;
		}
	} while (now < end);
	return 0;
}

/* Transmit buffers that the device has. */
static uint64_t under_way(const struct load *l)
{
	uint64_t n = 0;
	unsigned int i;

	for (i = 0; l->tx && i < l->tx->n_pairs; i++)
		n += l->tx->n_tx - l->tx->pair[i].n_free;
	return n;
}

/* Wait for what is under way, and tell what came through of what was sent. @stuck: what the device had before. */
static int settle(struct load *l, struct bench_result *r, uint64_t stuck)
{
	int rc = drain(l);

	if (l->tx && l->rx) {
		/* What the device keeps to itself was not sent. */
		r->sent = l->sent + stuck - under_way(l);
		r->received = l->received;
	}
	return rc;
}

static int run(struct load *l, struct bench_result *r, pid_t pid)
{
	uint64_t stuck = under_way(l), from, until;
	struct bench_usage first, last;
	int rc = wait_first(l);

	if (rc < 0)
		return rc;
	if (!moved(l)) {
		rc = settle(l, r, stuck);
		if (rc < 0 || !moved(l))
			return rc;
	}
	l->sent = 0;
	from = iol_now();
	until = from + (uint64_t)(l->o->ramp * 1e9);
	rc = phase(l, from, &until);
	if (!rc)
		rc = drain(l);
	if (rc < 0)
		return rc;
	stuck = under_way(l);
	l->sent = l->taken = l->received = l->bytes = l->busy = 0;
	memset(l->lat, 0, sizeof(*l->lat));
	from = iol_now();
	bench_usage_look(&first, pid);
	r->ticks = ticks();
	rc = counted(l, from, &until);
	r->ticks = ticks() - r->ticks;
	bench_usage_look(&last, pid);
	r->seconds = (double)(until - from) / 1e9;
	r->ops = moved(l);
	r->bytes = l->bytes;
	r->load_busy = r->seconds > 0 ? (double)l->busy / 1e9 / r->seconds : -1;
	r->backend_cpu = bench_usage_cores(&first, &last);
	r->rss_kib = bench_proc_rss_kib(pid);
	return rc < 0 ? rc : settle(l, r, stuck);
}

/* What was found wrong, in words. */
static int judge(const struct load *l, const struct bench_result *r)
{
	if (l->tx && !(l->rx ? r->sent : r->ops))
		return iol_fail(
			EIO,
			"the back end took not one packet: is it one for NICs, and does it run?");
	if (!l->tx && !r->ops)
		return iol_fail(EIO, "not one packet came from the back end: does it have a source "
				     "of them, and does it run?");
	if (l->rx && l->tx && !r->received)
		return iol_fail(EIO,
				"not one of %" PRIu64
				" packets arrived: does the back end forward from the "
				"one port to the other?",
				r->sent);
	return 0;
}

int net_run(const struct net_options *o, struct net_port *tx, struct net_port *rx, pid_t pid,
	    struct bench_result *r)
{
	static const uint8_t nobody[ETH_ALEN] = { 0x02, 0x69, 0x6f, 0x6c, 0x00, 0xff };
	struct load l = { .o = o, .tx = tx, .rx = rx, .lat = &r->lat };
	unsigned int i, k;
	int rc = 0;

	l.wait = (uint64_t)(o->wait * 1e9);
	l.long_frames = rx && o->mrg && o->size + sizeof(struct virtio_net_hdr_v1) > rx->room;
	for (k = 0; tx && k < tx->n_pairs; k++)
		for (i = 0; i < tx->n_tx; i++)
			net_frame_make(tx->mac, rx ? rx->mac : nobody, &tx->pair[k].tx[i]);
	if (rx && tx && rx->fe)
		rc = announce(&l);
	if (!rc)
		rc = run(&l, r, pid);
	prog_progress(NULL);
	return rc < 0 ? rc : judge(&l, r);
}
