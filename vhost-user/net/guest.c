/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest's port as a vhost-user device: features, config space, queues that come and go. */
#include "vhost-user/net/guest.h"

#include "base/error.h"
#include "base/own.h"
#include "vhost-user/net/offload.h"
#include "vhost-user/net/port.h"
#include "vhost-user/wire.h"

#include <endian.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/virtio_config.h>
#include <string.h>

#define BIT(n) (1ull << (n))

#define OFFLOADS                                                                                   \
	(BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) |      \
	 BIT(VIRTIO_NET_F_HOST_ECN) | BIT(VIRTIO_NET_F_HOST_USO) | BIT(VIRTIO_NET_F_GUEST_CSUM) |  \
	 BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) |                             \
	 BIT(VIRTIO_NET_F_GUEST_ECN) | BIT(VIRTIO_NET_F_GUEST_USO4) |                              \
	 BIT(VIRTIO_NET_F_GUEST_USO6))

/* Up to the MTU: what follows belongs to features that we don't have. */
#define CONFIG_SIZE (offsetof(struct virtio_net_config, mtu) + 2)

static struct net_guest *guest_of(struct iol_net_port *port)
{
	return (struct net_guest *)(void *)port;
}

/* ---- features and config space (virtio 1.3, 5.1.3 and 5.1.4) ---- */

/*
 * The control queue is the VMM's: QEMU answers it, and tells what it means by vhost-user messages. So what needs it
 * to reach us is not offered (RSS, HASH_REPORT).
 */
static uint64_t offer(const struct iol_net_port_spec *spec)
{
	uint64_t f = BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_STATUS) |
		     BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) | BIT(VIRTIO_NET_F_MTU) |
		     BIT(VIRTIO_F_IN_ORDER) | BIT(VIRTIO_F_ANY_LAYOUT);

	if (!spec->no_offloads)
		f |= OFFLOADS;
	if (spec->pairs > 1)
		f |= BIT(VIRTIO_NET_F_MQ);
	if (iol_fdb_mac(spec->mac))
		f |= BIT(VIRTIO_NET_F_MAC);
	return f;
}

static int get_config(void *ctx, void *config)
{
	const struct net_guest *g = ctx;
	struct virtio_net_config c = {
		.status = htole16(VIRTIO_NET_S_LINK_UP),
		.max_virtqueue_pairs = htole16((uint16_t)g->pairs),
		.mtu = htole16((uint16_t)(g->mtu ? g->mtu : ETH_DATA_LEN)),
	};

	memcpy(c.mac, g->port.mac, sizeof(c.mac));
	memcpy(config, &c, CONFIG_SIZE);
	return (int)CONFIG_SIZE;
}

/* What SET_MTU said holds no longer. */
static void restore_mtu(struct net_guest *g)
{
	__atomic_store_n(&g->port.mtu, g->mtu ? g->mtu : IOL_NET_MTU_MAX, __ATOMIC_RELAXED);
}

static void features(void *ctx, uint64_t features)
{
	struct net_guest *g = ctx;

	g->features = features;
	if (!(features & BIT(VIRTIO_NET_F_MTU)))
		restore_mtu(g);
}

/* ---- queues ---- */

/* The pair's receive queue is the one with the even number (virtio 1.3, 5.1.2). */
static bool is_rx(const struct iol_queue *queue)
{
	return iol_queue_index(queue) % 2 == 0;
}

static struct net_pair *pair_of(struct net_guest *g, const struct iol_queue *queue)
{
	return &g->pair[iol_queue_index(queue) / 2];
}

/* What a queue is started with. Without VERSION_1 and MRG_RXBUF the header lacks num_buffers. */
static uint8_t hdr_len(const struct net_guest *g)
{
	if (g->features & (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MRG_RXBUF)))
		return sizeof(struct virtio_net_hdr_v1);
	return sizeof(struct virtio_net_hdr);
}

/* Which receive queues frames are spread over. */
static void map_rx(struct net_guest *g)
{
	unsigned int i, n = 0;

	for (i = 0; i < g->pairs; i++)
		if (g->pair[i].rx.ring)
			__atomic_store_n(&g->rx_map[n++], (uint8_t)i, __ATOMIC_RELAXED);
	__atomic_store_n(&g->rx_running, n, __ATOMIC_RELAXED);
}

static void start_rx(struct net_guest *g, struct net_rxq *q, struct iol_queue *queue)
{
	pthread_spin_lock(&q->lock);
	q->queue = queue;
	q->ring = iol_queue_ring(queue);
	q->failed = q->waiting = false;
	q->features = g->features;
	q->hdr_len = hdr_len(g);
	q->mrg = g->features & BIT(VIRTIO_NET_F_MRG_RXBUF);
	q->iommu = g->features & BIT(VIRTIO_F_ACCESS_PLATFORM);
	q->ahead = 0;
	/* That buffers came is seen when a frame wants one. */
	iol_ring_disarm(q->ring);
	if (q->iommu)
		iol_guest_look_ahead(q);
	pthread_spin_unlock(&q->lock);
	map_rx(g);
}

static int start_tx(struct net_guest *g, struct net_txq *q, struct iol_queue *queue)
{
	char cpu[16] = "";
	int rc;

	q->queue = queue;
	q->ring = iol_queue_ring(queue);
	q->features = g->features;
	q->hdr_len = hdr_len(g);
	q->woken = false;
	iol_ring_only_read(q->ring);
	q->source.last_source = 0;
	rc = iol_net_poll(g->port.net, &q->source, iol_queue_kick_fd(queue));
	if (rc < 0)
		return rc;
	if (q->source.thread->cpu >= 0)
		snprintf(cpu, sizeof(cpu), " (CPU %d)", q->source.thread->cpu);
	iol_log(IOL_LOG_DEBUG, "%s: queue pair %u is with poll thread %u%s", g->port.name,
		iol_queue_index(queue) / 2, q->source.thread->index, cpu);
	return 0;
}

static int queue_start(void *ctx, struct iol_queue *queue)
{
	struct net_guest *g = ctx;
	struct net_pair *pair = pair_of(g, queue);

	if (!is_rx(queue))
		return start_tx(g, &pair->tx, queue);
	start_rx(g, &pair->rx, queue);
	return 0;
}

static void queue_stop(void *ctx, struct iol_queue *queue)
{
	struct net_guest *g = ctx;
	struct net_pair *pair = pair_of(g, queue);

	if (!is_rx(queue)) {
		iol_net_unpoll(&pair->tx.source, iol_queue_kick_fd(queue));
		return;
	}
	pthread_spin_lock(&pair->rx.lock);
	pair->rx.ring = NULL;
	pthread_spin_unlock(&pair->rx.lock);
	map_rx(g);
}

static void queue_call(void *ctx, struct iol_queue *queue, void (*fn)(void *arg), void *arg)
{
	struct net_guest *g = ctx;
	struct net_pair *pair = pair_of(g, queue);

	if (is_rx(queue)) {
		pthread_spin_lock(&pair->rx.lock);
		fn(arg);
		pthread_spin_unlock(&pair->rx.lock);
		return;
	}
	__atomic_store_n(&pair->tx.source.paused, true, __ATOMIC_RELEASE);
	iol_net_synchronize(g->port.net);
	fn(arg);
	__atomic_store_n(&pair->tx.source.paused, false, __ATOMIC_RELEASE);
	iol_net_thread_wake(pair->tx.source.thread);
}

static void queue_wake(void *ctx, struct iol_queue *queue)
{
	struct net_guest *g = ctx;
	struct net_pair *pair = pair_of(g, queue);

	if (!is_rx(queue)) {
		__atomic_store_n(&pair->tx.woken, true, __ATOMIC_RELEASE);
		iol_net_thread_wake(pair->tx.source.thread);
		return;
	}
	pthread_spin_lock(&pair->rx.lock);
	pair->rx.waiting = false;
	/* Nothing waits to be published: a ring is mapped from a pop to the publish after it. */
	if (pair->rx.iommu)
		iol_guest_look_ahead(&pair->rx);
	pthread_spin_unlock(&pair->rx.lock);
}

/* ---- the poll thread's side of a transmit queue ---- */

/* Calls that a driver without full barriers missed, for either queue of the pair. See iol_ring_recall(). */
static void recall(struct net_txq *q)
{
	struct net_pair *pair =
		(struct net_pair *)(void *)((uint8_t *)q - offsetof(struct net_pair, tx));
	struct net_rxq *rx = &pair->rx;

	if (!q->source.waiting && iol_ring_recall(q->ring))
		iol_queue_call(q->queue);
	pthread_spin_lock(&rx->lock);
	if (rx->ring && !rx->failed && !rx->waiting && iol_ring_recall(rx->ring))
		iol_queue_call(rx->queue);
	pthread_spin_unlock(&rx->lock);
}

static bool arm(struct net_source *s)
{
	struct net_txq *q = (struct net_txq *)(void *)s;

	if (s->thread->looked_again)
		recall(q);
	if (s->waiting)
		return __atomic_load_n(&q->woken, __ATOMIC_ACQUIRE);
	return iol_ring_arm(q->ring);
}

static void disarm(struct net_source *s)
{
	struct net_txq *q = (struct net_txq *)(void *)s;

	if (!s->waiting)
		iol_ring_disarm(q->ring);
}

/* ---- messages that only NICs have ---- */

static int set_mtu(void *ctx, uint64_t mtu)
{
	struct net_guest *g = ctx;

	if (g->mtu && mtu > g->mtu)
		return iol_fail(EINVAL, "port %s has an MTU of %u, and can't have %llu",
				g->port.name, g->mtu, (unsigned long long)mtu);
	__atomic_store_n(&g->port.mtu, (unsigned int)mtu, __ATOMIC_RELAXED);
	return 0;
}

/* A broadcast in the guest's name, so that switches learn where it is now (RFC 903's request, reverse). */
static void send_rarp(void *ctx, const uint8_t mac[ETH_ALEN])
{
	static const uint8_t request[] = { 0, 1, 8, 0, 6, 4, 0, 3 };
	uint8_t data[60] = { 0 };
	struct net_guest *g = ctx;

	memset(data, 0xff, ETH_ALEN);
	memcpy(data + 6, mac, ETH_ALEN);
	data[12] = ETH_P_RARP >> 8;
	data[13] = ETH_P_RARP & 0xff;
	memcpy(data + 14, request, sizeof(request));
	memcpy(data + 22, mac, ETH_ALEN);
	memcpy(data + 32, mac, ETH_ALEN);
	iol_net_port_inject(&g->port, &g->pair[0].tx.source, data, sizeof(data));
}

static void reset(void *ctx)
{
	struct net_guest *g = ctx;

	g->features = 0;
}

/* Front ends tell the MTU before the features, so it can't be forgotten when the next one does that. */
static void gone(void *ctx)
{
	restore_mtu(ctx);
}

static const struct iol_device_ops device_ops = {
	.get_config = get_config,
	.features = features,
	.queue_start = queue_start,
	.queue_stop = queue_stop,
	.queue_call = queue_call,
	.queue_wake = queue_wake,
	.reset = reset,
	.gone = gone,
	.set_mtu = set_mtu,
	.send_rarp = send_rarp,
};

/* ---- making one ---- */

int iol_guest_new(const struct iol_net_port_spec *spec, struct iol_net_port **out)
{
	struct iol_device_spec dev = {
		.name = spec->name,
		.num_queues = 2 * spec->pairs,
		.features = offer(spec),
		.protocol_add = IOL_PROTOCOL_RARP | IOL_PROTOCOL_MTU,
		/* Chains are used in order, so that rings alone say where to go on. */
		.protocol_drop = IOL_PROTOCOL_INFLIGHT_SHMFD,
		.resume_at_used = true,
		.ops = &device_ops,
	};
	size_t size = sizeof(struct net_guest) + spec->pairs * sizeof(struct net_pair);
	struct net_guest *g;
	unsigned int i;
	int rc;

	g = aligned_alloc(64, (size + 63) / 64 * 64);
	if (!g)
		return iol_fail(ENOMEM, "no memory for a port");
	memset(g, 0, size);
	g->pairs = spec->pairs;
	g->mtu = spec->mtu;
	g->port.out = iol_guest_out;
	for (i = 0; i < g->pairs; i++) {
		struct net_source *s = &g->pair[i].tx.source;

		pthread_spin_init(&g->pair[i].rx.lock, PTHREAD_PROCESS_PRIVATE);
		s->in = iol_guest_in;
		s->arm = arm;
		s->disarm = disarm;
		s->port = &g->port;
	}
	dev.ctx = g;
	rc = iol_device_new(&dev, &g->device);
	*out = &g->port;
	if (rc < 0)
		iol_guest_free(out);
	return rc;
}

void iol_guest_free(struct iol_net_port **port)
{
	struct net_guest *g = guest_of(iol_take_ptr(*port));
	unsigned int i;

	iol_device_destroy(&g->device);
	for (i = 0; i < g->pairs; i++)
		pthread_spin_destroy(&g->pair[i].rx.lock);
	free(g);
}

void iol_guest_add_stats(const struct iol_net_port *port, struct iol_net_port_stats *stats)
{
	const struct net_guest *g = (const struct net_guest *)(const void *)port;
	unsigned int i;

	for (i = 0; i < g->pairs; i++) {
		iol_net_add_source(&g->pair[i].tx.source, stats);
		iol_net_add_sink(&g->pair[i].rx.count, stats);
	}
}

bool iol_guest_link(const struct iol_net_port *port)
{
	const struct net_guest *g = (const struct net_guest *)(const void *)port;

	return __atomic_load_n(&g->rx_running, __ATOMIC_RELAXED);
}
