/* SPDX-License-Identifier: BSD-3-Clause */
#include "net.h"

#include "base/error.h"
#include "base/own.h"
#include "vhost-user/wire.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#define FEATURE(bit) (1ull << (bit))
#define ROOM         2048
#define REGION       (2ull << 20)
#define LINE         64u
/* A pair's rings fit well. */
#define RINGS (256ull << 10)
/* Queues of a NIC's first pair (virtio 1.3, 5.1.2). */
#define RECEIVEQ  0
#define TRANSMITQ 1

static int negotiate(const struct net_options *o, struct net_port *p)
{
	uint64_t need = FEATURE(VIRTIO_F_VERSION_1), want = 0;
	int rc;

	if (o->packed)
		need |= FEATURE(VIRTIO_F_RING_PACKED);
	if (o->mrg)
		need |= FEATURE(VIRTIO_NET_F_MRG_RXBUF);
	if (o->queues > 1)
		need |= FEATURE(VIRTIO_NET_F_MQ);
	if (!o->no_event_idx)
		want |= FEATURE(VIRTIO_RING_F_EVENT_IDX);
	if (!p->fe) {
		p->features = need | want;
		return 0;
	}
	rc = iol_frontend_negotiate(p->fe, want, need);
	if (rc < 0)
		return rc;
	p->features = iol_frontend_features(p->fe);
	if (iol_frontend_queues_max(p->fe) / 2 < o->queues)
		return iol_fail(
			ENOTSUP,
			"the back end has no more than %u queue pairs; --queues=%u is too many",
			iol_frontend_queues_max(p->fe) / 2, o->queues);
	return 0;
}

/*
 * Buffers whose first lines are an odd number of lines apart spread over all sets of a cache, as those of
 * drivers do; powers of two apart they would fight for a few.
 */
static int make_buffers(struct net_port *p, unsigned int n, uint32_t room, struct net_buf **bufs)
{
	struct net_buf *b = calloc(n, sizeof(*b));
	uint32_t stride = (room / LINE | 1) * LINE;
	unsigned int i;
	int rc;

	if (!b)
		return iol_fail(ENOMEM, "out of memory for buffers");
	*bufs = b;
	for (i = 0; i < n; i++) {
		rc = iol_guest_memory_alloc(p->mem, stride, LINE, &b[i].gpa);
		if (rc < 0)
			return rc;
		b[i].host = iol_guest_memory_host(p->mem, b[i].gpa, room);
	}
	return 0;
}

static int start_queue(struct net_port *p, unsigned int index, struct iol_guest_queue **queue)
{
	struct iol_guest_queue_spec spec = { .size = (uint16_t)p->ring,
					     .features = p->features,
					     .segs_max = 1 };
	int rc;

	rc = iol_guest_queue_new(p->mem, &spec, queue);
	if (!rc && p->fe)
		rc = iol_frontend_queue_start(p->fe, index, &(*queue)->setup);
	return rc;
}

/* Back ends that are told the status begin when the driver says that it is ready (DPDK's does). */
static int tell_ready(struct net_port *p)
{
	const uint8_t ready = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			      VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK;

	if (!(iol_frontend_protocol_features(p->fe) & FEATURE(VHOST_USER_PROTOCOL_F_STATUS)))
		return 0;
	return iol_frontend_set_status(p->fe, ready);
}

static int fill(const struct net_port *p, struct net_pair *pair)
{
	unsigned int i;
	int rc;

	for (i = 0; i < p->ring; i++) {
		struct iol_driver_seg seg = { .addr = pair->rx[i].gpa,
					      .len = p->room,
					      .write = true };

		rc = iol_driver_add(pair->rxq->driver, &seg, 1, i);
		if (rc < 0)
			return rc;
	}
	iol_driver_disarm(pair->rxq->driver);
	iol_driver_disarm(pair->txq->driver);
	if (iol_driver_publish(pair->rxq->driver))
		iol_guest_queue_kick(pair->rxq);
	return 0;
}

static int set_up_pair(struct net_port *p, unsigned int n, uint32_t whole)
{
	struct net_pair *pair = &p->pair[n];
	int rc;

	pair->free = calloc(p->n_tx, sizeof(*pair->free));
	if (!pair->free)
		return iol_fail(ENOMEM, "out of memory for a port");
	/* The first off the stack is 0. */
	for (; pair->n_free < p->n_tx; pair->n_free++)
		pair->free[pair->n_free] = p->n_tx - 1 - pair->n_free;
	rc = make_buffers(p, p->ring, p->room, &pair->rx);
	if (!rc)
		rc = make_buffers(p, p->n_tx, whole, &pair->tx);
	if (!rc)
		rc = start_queue(p, 2 * n + RECEIVEQ, &pair->rxq);
	if (!rc)
		rc = start_queue(p, 2 * n + TRANSMITQ, &pair->txq);
	return rc;
}

static int set_up(const struct net_options *o, struct net_port *p)
{
	uint32_t frame = (o->size ? o->size : ETH_FRAME_LEN) + sizeof(struct virtio_net_hdr_v1);
	uint32_t whole = (frame + LINE - 1) / LINE * LINE;
	struct iol_guest_memory_spec spec = { 0 };
	unsigned int i;
	int rc;

	p->ring = o->ring;
	/* With a mix, each buffer keeps its size, and all sizes are there as often as they should be. */
	p->n_tx = o->size ? p->ring : p->ring / NET_MIX * NET_MIX;
	p->room = o->mrg || whole < ROOM ? ROOM : whole;
	spec.size = (uint64_t)o->queues * (p->ring * (p->room + whole + 4ull * LINE) + RINGS);
	spec.size = (spec.size + REGION - 1) & ~(REGION - 1);
	spec.below_4g = spec.size;
	p->pair = calloc(o->queues, sizeof(*p->pair));
	if (!p->pair)
		return iol_fail(ENOMEM, "out of memory for a port");
	p->n_pairs = o->queues;
	rc = negotiate(o, p);
	if (!rc)
		rc = iol_guest_memory_new(&spec, &p->mem);
	if (!rc && p->fe)
		rc = iol_frontend_set_memory(p->fe, p->mem);
	for (i = 0; i < p->n_pairs && !rc; i++)
		rc = set_up_pair(p, i, whole);
	if (!rc && p->fe)
		rc = tell_ready(p);
	for (i = 0; i < p->n_pairs && !rc; i++)
		rc = fill(p, &p->pair[i]);
	return rc;
}

int net_port_open(const struct net_options *o, const char *path, int fd, unsigned int number,
		  struct net_port **port)
{
	struct iol_frontend_spec spec = { .path = path, .fd = fd, .pairs = true };
	/* Locally administered, as no manufacturer's is. */
	const uint8_t mac[ETH_ALEN] = { 0x02, 0x69, 0x6f, 0x6c, 0x00, (uint8_t)number };
	struct net_port *p = calloc(1, sizeof(*p));
	int rc;

	if (!p) {
		iol_close(&fd);
		return iol_fail(ENOMEM, "out of memory for a port");
	}
	memcpy(p->mac, mac, ETH_ALEN);
	rc = path || fd >= 0 ? iol_frontend_new(&spec, &p->fe) : 0;
	if (!rc)
		rc = set_up(o, p);
	if (rc < 0)
		net_port_close(&p);
	else
		*port = p;
	return rc;
}

void net_port_close(struct net_port **port)
{
	struct net_port *p = *port;
	unsigned int i;

	if (!p)
		return;
	if (p->fe && iol_frontend_connected(p->fe))
		iol_frontend_suspend(p->fe);
	iol_frontend_destroy(&p->fe);
	for (i = 0; i < p->n_pairs; i++) {
		iol_guest_queue_destroy(&p->pair[i].rxq);
		iol_guest_queue_destroy(&p->pair[i].txq);
		free(p->pair[i].rx);
		free(p->pair[i].tx);
		free(p->pair[i].free);
	}
	iol_guest_memory_destroy(&p->mem);
	free(p->pair);
	free(p);
	*port = NULL;
}
