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
#define RING         1024
#define ROOM         2048
#define REGION       (2ull << 20)
/* Queues of a NIC's first pair (virtio 1.3, 5.1.2). */
#define RECEIVEQ  0
#define TRANSMITQ 1

static int negotiate(const struct net_options *o, struct net_port *p)
{
	uint64_t need = FEATURE(VIRTIO_F_VERSION_1), want = 0;

	if (o->packed)
		need |= FEATURE(VIRTIO_F_RING_PACKED);
	if (o->mrg)
		need |= FEATURE(VIRTIO_NET_F_MRG_RXBUF);
	if (!o->no_event_idx)
		want |= FEATURE(VIRTIO_RING_F_EVENT_IDX);
	return iol_frontend_negotiate(p->fe, want, need);
}

static int make_buffers(struct net_port *p, uint32_t room, struct net_buf **bufs)
{
	struct net_buf *b = calloc(p->ring, sizeof(*b));
	unsigned int i;
	int rc;

	if (!b)
		return iol_fail(ENOMEM, "out of memory for buffers");
	*bufs = b;
	for (i = 0; i < p->ring; i++) {
		rc = iol_guest_memory_alloc(p->mem, room, 64, &b[i].gpa);
		if (rc < 0)
			return rc;
		b[i].host = iol_guest_memory_host(p->mem, b[i].gpa, room);
	}
	return 0;
}

static int start_queue(struct net_port *p, unsigned int index, struct iol_guest_queue **queue)
{
	struct iol_guest_queue_spec spec = { .size = (uint16_t)p->ring,
					     .features = iol_frontend_features(p->fe),
					     .segs_max = 1 };
	int rc;

	rc = iol_guest_queue_new(p->mem, &spec, queue);
	if (!rc)
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

static int fill(struct net_port *p)
{
	unsigned int i;
	int rc;

	for (i = 0; i < p->ring; i++) {
		struct iol_driver_seg seg = { .addr = p->rx[i].gpa, .len = p->room, .write = true };

		rc = iol_driver_add(p->rxq->driver, &seg, 1, i);
		if (rc < 0)
			return rc;
	}
	iol_driver_disarm(p->rxq->driver);
	iol_driver_disarm(p->txq->driver);
	if (iol_driver_publish(p->rxq->driver))
		iol_guest_queue_kick(p->rxq);
	return 0;
}

static int set_up(const struct net_options *o, struct net_port *p)
{
	uint32_t frame = (o->size ? o->size : ETH_FRAME_LEN) + sizeof(struct virtio_net_hdr_v1);
	uint32_t whole = (frame + 63) & ~63u;
	struct iol_guest_memory_spec spec = { 0 };
	int rc;

	p->ring = RING;
	p->room = o->mrg || whole < ROOM ? ROOM : whole;
	spec.size = (uint64_t)p->ring * (p->room + whole + 2 * 64) + 4 * REGION;
	spec.size = (spec.size + REGION - 1) & ~(REGION - 1);
	spec.below_4g = spec.size;
	p->free = calloc(p->ring, sizeof(*p->free));
	p->stamped = calloc(p->ring, sizeof(*p->stamped));
	if (!p->free || !p->stamped)
		return iol_fail(ENOMEM, "out of memory for a port");
	for (p->n_free = 0; p->n_free < p->ring; p->n_free++)
		p->free[p->n_free] = p->n_free;
	rc = negotiate(o, p);
	if (!rc)
		rc = iol_guest_memory_new(&spec, &p->mem);
	if (!rc)
		rc = make_buffers(p, p->room, &p->rx);
	if (!rc)
		rc = make_buffers(p, whole, &p->tx);
	if (!rc)
		rc = iol_frontend_set_memory(p->fe, p->mem);
	if (!rc)
		rc = start_queue(p, RECEIVEQ, &p->rxq);
	if (!rc)
		rc = start_queue(p, TRANSMITQ, &p->txq);
	if (!rc)
		rc = tell_ready(p);
	return rc < 0 ? rc : fill(p);
}

int net_port_open(const struct net_options *o, const char *path, int fd, unsigned int number,
		  struct net_port **port)
{
	struct iol_frontend_spec spec = { .path = path, .fd = fd };
	/* Locally administered, as no manufacturer's is. */
	const uint8_t mac[ETH_ALEN] = { 0x02, 0x69, 0x6f, 0x6c, 0x00, (uint8_t)number };
	struct net_port *p = calloc(1, sizeof(*p));
	int rc;

	if (!p) {
		iol_close(&fd);
		return iol_fail(ENOMEM, "out of memory for a port");
	}
	memcpy(p->mac, mac, ETH_ALEN);
	rc = iol_frontend_new(&spec, &p->fe);
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

	if (!p)
		return;
	if (p->fe && iol_frontend_connected(p->fe))
		iol_frontend_suspend(p->fe);
	iol_frontend_destroy(&p->fe);
	iol_guest_queue_destroy(&p->rxq);
	iol_guest_queue_destroy(&p->txq);
	iol_guest_memory_destroy(&p->mem);
	free(p->rx);
	free(p->tx);
	free(p->free);
	free(p->stamped);
	free(p);
	*port = NULL;
}
