/* SPDX-License-Identifier: BSD-3-Clause */
#include "net_rig.h"

#include "base/clock.h"
#include "base/own.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define MIB   (1ull << 20)
#define GAP   32 /* between the pieces of a buffer */
#define EMPTY 0xa5

#define NRIG_PORTS 32

/* Failures say what the library said. */
static void good(int rc, const char *what)
{
	if (rc < 0)
		fail_msg("%s: %s", what, iol_error());
}

/* ---- the switch ---- */

static unsigned int threads;

/* What is up, so that a test that failed leaves nothing to the next. */
static struct iol_net *up;
static struct nrig_port *ports[NRIG_PORTS];

/* How many of them are behind an IOMMU. Where there are none, several threads may send and ports come and go. */
static unsigned int behind_iommu; /* atomic */

unsigned int nrig_threads(void)
{
	return threads;
}

static void start_eal(void)
{
	static char *args[] = { (char *)"--no-huge", (char *)"-m", (char *)"256",
				(char *)"--no-shconf" };
	struct iol_net_eal_spec spec = { .args = args, .num_args = 4 };
	int cpu, cpus[2] = { 0 }, n = 0;
	char list[32];
	cpu_set_t set;

	assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
	for (cpu = 0; cpu < CPU_SETSIZE && n < 2; cpu++)
		if (CPU_ISSET(cpu, &set))
			cpus[n++] = cpu;
	assert_true(n > 0);
	snprintf(list, sizeof(list), "%d,%d", cpus[0], cpus[n - 1]);
	if (n == 2)
		spec.cpus = list;
	threads = (unsigned int)n;
	good(iol_net_eal_start(&spec), "EAL");
}

struct iol_net *nrig_net_up(const struct iol_net_spec *spec)
{
	static const struct iol_net_spec usual = { .poll_us = IOL_NET_POLL_DEFAULT };
	struct iol_net *net = NULL;
	unsigned int i;

	if (!threads)
		start_eal();
	for (i = 0; i < NRIG_PORTS; i++)
		nrig_port_down(&ports[i]);
	iol_net_destroy(&up);
	good(iol_net_new(spec ? spec : &usual, &net), "a switch");
	up = net;
	return net;
}

void nrig_net_down(struct iol_net **net)
{
	up = NULL;
	iol_net_destroy(net);
}

/* ---- the IOMMU ---- */

#define PAGE NRIG_PAGE

static bool has_iommu(const struct nrig_port *p)
{
	return p->spec.features & NRIG_BIT(VIRTIO_F_ACCESS_PLATFORM);
}

/* What is added to guest physical addresses. */
static uint64_t iova(const struct nrig_port *p)
{
	return has_iommu(p) ? NRIG_IOVA : 0;
}

void nrig_map(struct nrig_port *p, uint64_t addr)
{
	good(iol_frontend_iommu_map(p->fe, addr, PAGE, addr - NRIG_IOVA,
				    IOL_IOMMU_READ | IOL_IOMMU_WRITE),
	     "mapping a page");
}

/* Each page is a mapping of its own, which is asked for. */
static void map_all(struct nrig_port *p)
{
	uint64_t at;

	for (at = 0; has_iommu(p) && at < p->spec.memory; at += PAGE)
		nrig_map(p, NRIG_IOVA + at);
}

bool nrig_serve(void)
{
	unsigned int i;

	if (!__atomic_load_n(&behind_iommu, __ATOMIC_RELAXED))
		return false;
	for (i = 0; i < NRIG_PORTS; i++)
		if (ports[i] && has_iommu(ports[i]))
			assert_true(iol_frontend_poll(ports[i]->fe, 0) >= 0);
	return true;
}

/* ---- buffers ---- */

/* Cut @len bytes of a slot up, as @pieces say. */
static void cut(struct nrig_slot *s, uint32_t len, const uint32_t *pieces, bool write)
{
	uint32_t at = 0;

	for (s->n = 0; len || !s->n; s->n++) {
		uint32_t n = pieces && *pieces ? *pieces++ : len;

		if (n > len)
			n = len;
		assert_true(s->n < NRIG_PIECES && at + n <= s->room);
		s->seg[s->n] = (struct iol_driver_seg){ s->addr + at, n, write };
		at += n + GAP;
		len -= n;
	}
}

static uint8_t *host(const struct nrig_slot *s, unsigned int piece)
{
	return s->host + (s->seg[piece].addr - s->addr);
}

static void make_slots(struct nrig_port *p, struct nrig_queue *q, unsigned int num, uint32_t len)
{
	unsigned int i;

	q->num = num;
	q->slot = calloc(num, sizeof(*q->slot));
	q->free = calloc(num, sizeof(*q->free));
	assert_true(q->slot && q->free);
	for (i = 0; i < num; i++) {
		struct nrig_slot *s = &q->slot[i];
		uint64_t gpa;

		s->room = len + NRIG_PIECES * GAP;
		good(iol_guest_memory_alloc(p->mem, s->room, has_iommu(p) ? PAGE : 64, &gpa),
		     "a buffer");
		s->host = iol_guest_memory_host(p->mem, gpa, s->room);
		s->addr = gpa + iova(p);
		q->free[q->nfree++] = i;
	}
}

static void give(struct nrig_queue *q, unsigned int i)
{
	memset(q->slot[i].host, EMPTY, q->slot[i].room);
	good(iol_driver_add(q->q->driver, q->slot[i].seg, q->slot[i].n, i), "a receive buffer");
}

/* ---- guests ---- */

static void failed(void *ctx, unsigned int queue)
{
	((struct nrig_port *)ctx)->failures++;
}

void nrig_start(struct nrig_port *p, unsigned int index)
{
	struct nrig_queue *q = index % 2 ? &p->tx[index / 2] : &p->rx[index / 2];

	good(iol_frontend_queue_start(p->fe, index, &q->q->setup), "starting a queue");
}

void nrig_stop(struct nrig_port *p, unsigned int index)
{
	struct nrig_queue *q = index % 2 ? &p->tx[index / 2] : &p->rx[index / 2];
	uint32_t base;

	good(iol_frontend_queue_stop(p->fe, index, &base), "stopping a queue");
	q->q->setup.base = base;
}

static void make_pair(struct nrig_port *p, unsigned int i)
{
	struct iol_guest_queue_spec spec = { .size = p->spec.ring,
					     .features = p->spec.features,
					     .segs_max = NRIG_PIECES,
					     .iova_offset = iova(p) };
	struct nrig_queue *rx = &p->rx[i], *tx = &p->tx[i];
	unsigned int k;

	good(iol_guest_queue_new(p->mem, &spec, &rx->q), "a queue");
	good(iol_guest_queue_new(p->mem, &spec, &tx->q), "a queue");
	make_slots(p, rx, p->spec.rx_buffers, p->spec.rx_len);
	make_slots(p, tx, NRIG_SENDS, NRIG_FRAME_MAX);
	for (k = 0; k < rx->num; k++)
		cut(&rx->slot[k], p->spec.rx_len, p->spec.rx_pieces, true);
	if (!p->spec.no_rx)
		for (k = 0; k < rx->num; k++)
			give(rx, k);
	iol_driver_publish(rx->q->driver);
}

void nrig_serve_at(struct nrig_port *p, const char *path)
{
	const struct iol_server_spec spec = { .path = path, .fd = -1 };

	good(iol_server_new(iol_net_port_device(p->port), &spec, &p->server), "a server");
}

static void make_front_end(struct nrig_port *p)
{
	static const struct iol_frontend_ops ops = { .failed = failed };
	struct iol_server_spec server = { .fd = -1 };
	struct iol_frontend_spec fe = { .fd = -1, .timeout_ms = NRIG_WAIT, .ops = &ops, .ctx = p };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	server.fd = pair[0];
	fe.fd = pair[1];
	good(iol_server_new(iol_net_port_device(p->port), &server, &p->server), "a server");
	good(iol_frontend_new(&fe, &p->fe), "a front end");
	good(iol_frontend_negotiate(p->fe, p->spec.features, p->spec.features), "negotiating");
	assert_int_equal(iol_frontend_features(p->fe) & p->spec.features, p->spec.features);
}

void nrig_connect(struct nrig_port *p)
{
	struct iol_guest_memory_spec memory = { .size = p->spec.memory,
						.below_4g = p->spec.memory,
						.unsealed = p->spec.unsealed };
	unsigned int i;

	if (p->spec.path)
		nrig_serve_at(p, p->spec.path);
	else
		make_front_end(p);
	good(iol_guest_memory_new(&memory, &p->mem), "memory");
	for (i = 0; i < p->spec.port.pairs; i++)
		make_pair(p, i);
	if (!p->fe)
		return;
	good(iol_frontend_set_memory(p->fe, p->mem), "sharing memory");
	map_all(p);
	for (i = 0; i < 2 * p->spec.port.pairs && !p->spec.no_start; i++)
		nrig_start(p, i);
}

static void free_queue(struct nrig_queue *q)
{
	iol_guest_queue_destroy(&q->q);
	free(q->slot);
	free(q->free);
	memset(q, 0, sizeof(*q));
}

void nrig_disconnect(struct nrig_port *p)
{
	unsigned int i;

	iol_frontend_destroy(&p->fe);
	iol_server_destroy(&p->server);
	for (i = 0; i < NRIG_PAIRS; i++) {
		free_queue(&p->rx[i]);
		free_queue(&p->tx[i]);
	}
	iol_guest_memory_destroy(&p->mem);
}

struct nrig_port *nrig_port_up(struct iol_net *net, const struct nrig_spec *spec)
{
	static unsigned int number;
	struct nrig_port *p = calloc(1, sizeof(*p));
	unsigned int i;

	assert_non_null(p);
	for (i = 0; ports[i]; i++)
		assert_true(i + 1 < NRIG_PORTS);
	ports[i] = p;
	p->spec = *spec;
	snprintf(p->name, sizeof(p->name), "port%u", number++);
	if (spec->port.name)
		snprintf(p->name, sizeof(p->name), "%s", spec->port.name);
	p->spec.port.name = p->name;
	if (!p->spec.port.pairs)
		p->spec.port.pairs = 1;
	assert_true(p->spec.port.pairs <= NRIG_PAIRS);
	if (!p->spec.features)
		p->spec.features = NRIG_BASIC;
	if (!p->spec.ring)
		p->spec.ring = NRIG_RING;
	if (!p->spec.rx_buffers)
		p->spec.rx_buffers = 64;
	if (!p->spec.rx_len)
		p->spec.rx_len = 2048;
	if (!p->spec.memory)
		p->spec.memory = (has_iommu(p) ? 8 : 64) * MIB;
	if (has_iommu(p))
		__atomic_add_fetch(&behind_iommu, 1, __ATOMIC_RELAXED);
	p->hdr_len = p->spec.features & NRIG_BASIC ? sizeof(struct virtio_net_hdr_v1)
						   : sizeof(struct virtio_net_hdr);
	good(iol_net_port_new(net, &p->spec.port, &p->port), "a port");
	nrig_connect(p);
	return p;
}

void nrig_port_down(struct nrig_port **pp)
{
	struct nrig_port *p = *pp;
	unsigned int i;

	if (!p)
		return;
	for (i = 0; i < NRIG_PORTS; i++)
		if (ports[i] == p)
			ports[i] = NULL;
	if (has_iommu(p))
		__atomic_sub_fetch(&behind_iommu, 1, __ATOMIC_RELAXED);
	nrig_disconnect(p);
	iol_net_port_destroy(&p->port);
	free(p);
	*pp = NULL;
}

/* ---- sending ---- */

/* What came back; no more than that. */
static void reap(struct nrig_queue *q)
{
	uintptr_t slot;
	uint32_t len;
	int rc;

	while ((rc = iol_driver_used(q->q->driver, &slot, &len)) > 0) {
		assert_int_equal(len, 0);
		q->free[q->nfree++] = (unsigned int)slot;
	}
	good(rc, "transmit buffers that came back");
}

bool nrig_queue_frame(struct nrig_port *p, unsigned int pair, const struct virtio_net_hdr_v1 *hdr,
		      const void *frame, uint32_t len, const uint32_t *pieces)
{
	static const struct virtio_net_hdr_v1 none;
	struct nrig_queue *q = &p->tx[pair];
	uint8_t all[NRIG_HEADER + NRIG_FRAME_MAX];
	struct nrig_slot *s;
	uint32_t at = 0;
	unsigned int i;

	reap(q);
	if (!q->nfree)
		return false;
	assert_true(len <= NRIG_FRAME_MAX);
	memcpy(all, hdr ? hdr : &none, p->hdr_len);
	memcpy(all + p->hdr_len, frame, len);
	s = &q->slot[q->free[q->nfree - 1]];
	cut(s, p->hdr_len + len, pieces, false);
	for (i = 0; i < s->n; at += s->seg[i++].len)
		memcpy(host(s, i), all + at, s->seg[i].len);
	if (iol_driver_add(q->q->driver, s->seg, s->n, q->free[q->nfree - 1]) < 0)
		return false;
	q->nfree--;
	return true;
}

void nrig_publish(struct nrig_port *p, unsigned int pair)
{
	struct nrig_queue *q = &p->tx[pair];

	if (iol_driver_publish(q->q->driver))
		iol_guest_queue_kick(q->q);
}

void nrig_flush(struct nrig_port *p)
{
	uint64_t end = iol_now() + NRIG_WAIT * IOL_NS_PER_MS;
	unsigned int i;

	for (i = 0; i < p->spec.port.pairs; i++) {
		struct nrig_queue *q = &p->tx[i];

		for (reap(q); iol_driver_inflight(q->q->driver); reap(q)) {
			assert_true(iol_now() < end);
			if (!iol_driver_arm(q->q->driver))
				iol_guest_queue_wait(q->q, nrig_serve() ? 1 : 100);
		}
	}
}

void nrig_send_with(struct nrig_port *p, const struct virtio_net_hdr_v1 *hdr, const void *frame,
		    uint32_t len)
{
	assert_true(nrig_queue_frame(p, 0, hdr, frame, len, NULL));
	nrig_publish(p, 0);
	nrig_flush(p);
}

void nrig_send(struct nrig_port *p, const void *frame, uint32_t len)
{
	nrig_send_with(p, NULL, frame, len);
}

/* ---- receiving ---- */

static void untouched(const uint8_t *from, const uint8_t *end)
{
	/* Each byte is as the one before it. */
	if (from < end && (*from != EMPTY || memcmp(from, from + 1, (size_t)(end - from) - 1) != 0))
		fail_msg("a receive buffer was written to behind what it was used for");
}

/* Copy out of a buffer what was written to it; all behind that must be as it was. */
static void take_bytes(const struct nrig_slot *s, uint32_t len, uint8_t *to)
{
	unsigned int i;
	uint32_t at;

	for (i = 0; i < s->n; i++) {
		uint32_t n = s->seg[i].len < len ? s->seg[i].len : len;

		at = (uint32_t)(s->seg[i].addr - s->addr);
		memcpy(to, s->host + at, n);
		to += n;
		len -= n;
		untouched(s->host + at + n, i + 1 < s->n ? host(s, i + 1) : s->host + s->room);
	}
	assert_int_equal(len, 0);
}

/* The next used receive buffer of a queue. */
static bool take_buffer(struct nrig_port *p, struct nrig_queue *q, uint8_t *to, uint32_t *len)
{
	uintptr_t i;
	int rc = iol_driver_used(q->q->driver, &i, len);

	good(rc, "receive buffers that came back");
	if (!rc)
		return false;
	assert_in_range(*len, 1, p->spec.rx_len);
	take_bytes(&q->slot[i], *len, to);
	give(q, (unsigned int)i);
	return true;
}

static void take_rest(struct nrig_port *p, struct nrig_queue *q, struct nrig_frame *f,
		      uint8_t *bytes, uint32_t *total)
{
	f->buffers = le16toh(f->hdr.num_buffers);
	if (!(p->spec.features & NRIG_BIT(VIRTIO_NET_F_MRG_RXBUF))) {
		/* Told to be 1 where it is in the header at all (virtio 1.3, 5.1.6.4.1). */
		if (p->hdr_len == NRIG_HEADER)
			assert_int_equal(f->buffers, 1);
		f->buffers = 1;
	}
	assert_in_range(f->buffers, 1, p->spec.rx_buffers);
	for (unsigned int i = 1; i < f->buffers; i++) {
		uint32_t len;

		/* All of a frame's buffers are shown together. */
		assert_true(*total < NRIG_HEADER + IOL_FRAME_MAX);
		assert_true(take_buffer(p, q, bytes + *total, &len));
		*total += len;
	}
}

bool nrig_take(struct nrig_port *p, unsigned int pair, struct nrig_frame *f)
{
	static uint8_t bytes[2 * (NRIG_HEADER + NRIG_FRAME_MAX)];
	struct nrig_queue *q;
	uint32_t len;

	if (pair == NRIG_ANY) {
		for (pair = 0; pair < p->spec.port.pairs; pair++)
			if (nrig_take(p, pair, f))
				return true;
		return false;
	}
	q = &p->rx[pair];
	if (!take_buffer(p, q, bytes, &len))
		return false;
	assert_true(len >= p->hdr_len);
	memset(&f->hdr, 0, sizeof(f->hdr));
	memcpy(&f->hdr, bytes, p->hdr_len);
	take_rest(p, q, f, bytes, &len);
	f->pair = pair;
	f->len = len - p->hdr_len;
	assert_true(f->len <= NRIG_FRAME_MAX);
	memcpy(f->data, bytes + p->hdr_len, f->len);
	if (iol_driver_publish(q->q->driver))
		iol_guest_queue_kick(q->q);
	return true;
}

void nrig_wait(struct nrig_port *p, unsigned int pair, struct nrig_frame *f)
{
	uint64_t end = iol_now() + NRIG_WAIT * IOL_NS_PER_MS;
	struct pollfd fds[NRIG_PAIRS];
	unsigned int i;

	while (!nrig_take(p, pair, f)) {
		bool more = false;

		assert_true(iol_now() < end);
		for (i = 0; i < p->spec.port.pairs; i++) {
			eventfd_t n;

			fds[i] = (struct pollfd){ p->rx[i].q->setup.call, POLLIN, 0 };
			/* Of calls for what is taken already. */
			if (eventfd_read(fds[i].fd, &n) < 0)
				assert_int_equal(errno, EAGAIN);
			more |= iol_driver_arm(p->rx[i].q->driver);
		}
		if (!more)
			poll(fds, i, nrig_serve() ? 1 : 100);
	}
}

void nrig_gets(struct nrig_port *p, const void *frame, uint32_t len)
{
	static struct nrig_frame f;

	if (!nrig_take(p, NRIG_ANY, &f))
		fail_msg("%s got nothing", p->name);
	assert_int_equal(f.len, len);
	assert_memory_equal(f.data, frame, len);
}

void nrig_silent(struct nrig_port *p)
{
	static struct nrig_frame f;

	if (nrig_take(p, NRIG_ANY, &f))
		fail_msg("%s got a frame of %u bytes, from …:%02x to …:%02x", p->name, f.len,
			 f.data[11], f.data[5]);
}

void nrig_until_failed(struct nrig_port *p, unsigned int n)
{
	uint64_t end = iol_now() + NRIG_WAIT * IOL_NS_PER_MS;

	while (p->failures < n) {
		assert_true(iol_now() < end);
		assert_true(iol_frontend_poll(p->fe, 10) >= 0);
	}
	assert_int_equal(p->failures, n);
}

/* ---- statistics ---- */

struct iol_net_port_stats nrig_stats(const struct nrig_port *p)
{
	struct iol_net_port_stats stats;

	iol_net_port_stats(p->port, &stats);
	return stats;
}

uint64_t nrig_drops(const struct nrig_port *p, enum iol_net_drop why)
{
	return nrig_stats(p).drops[why];
}

uint64_t nrig_all_drops(const struct nrig_port *p)
{
	struct iol_net_port_stats stats = nrig_stats(p);
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < IOL_NET_DROP_REASONS; i++)
		sum += stats.drops[i];
	return sum;
}
