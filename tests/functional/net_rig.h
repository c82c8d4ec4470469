/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A switch on poll threads of this process and guests at its ports, each made of vmm-glue's front end and
 * the drivers of its queues. What goes wrong while one is set up fails the test.
 *
 * Nothing is timed: a frame's transmit buffer comes back when the switch has done with it, so that after
 * nrig_flush() what arrived has arrived, and what was dropped was counted.
 */
#ifndef IOL_TESTS_NET_RIG_H
#define IOL_TESTS_NET_RIG_H

#include "vhost-user/net/offload.h"
#include "vmm-glue/guest_queue.h"

#include <iolane/base.h>
#include <iolane/net.h>
#include <iolane/vmm_frontend.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NRIG_BIT(n)    (1ull << (n))
#define NRIG_BASIC     (NRIG_BIT(VIRTIO_F_VERSION_1) | NRIG_BIT(VIRTIO_NET_F_MRG_RXBUF))
#define NRIG_PAIRS     4
#define NRIG_RING      256
#define NRIG_SENDS     64    /* transmit buffers of a queue */
#define NRIG_PIECES    24    /* of one buffer */
#define NRIG_WAIT      20000 /* ms: what should come at once comes long before */
#define NRIG_FRAME_MAX (IOL_FRAME_MAX + 64)
#define NRIG_ANY       ~0u
#define NRIG_HEADER    ((uint32_t)sizeof(struct virtio_net_hdr_v1))

/* ---- the switch ---- */

/** nrig_net_up() - A switch on two poll threads, or one where this process has one CPU. Starts EAL once. */
struct iol_net *nrig_net_up(const struct iol_net_spec *spec);
void nrig_net_down(struct iol_net **net);

/** nrig_threads() - How many it has. */
unsigned int nrig_threads(void);

/* ---- guests ---- */

/**
 * struct nrig_spec - What differs from one pair, NRIG_BASIC, and 64 receive buffers of 2 KiB in one piece.
 * @port: as it is made; without a name it gets one, and 1 pair.
 * @features: all that are negotiated.
 * @rx_buffers, @rx_len: of each receive queue. @rx_pieces: lengths of a buffer's pieces, ended by a 0; what they
 *                       leave is one more.
 * @no_rx: leave the receive queues empty; @no_start: start no queue.
 * @path: serve there a front end that is the test's own; it finds memory and queues made.
 * @memory: bytes of guest memory, 64 MiB if 0. @unsealed: they can be truncated.
 *
 * With VIRTIO_F_ACCESS_PLATFORM the device is told addresses that are NRIG_IOVA beyond the guest's, each page of 8 MiB
 * is a mapping of its own, and each buffer begins with a page.
 */
struct nrig_spec {
	struct iol_net_port_spec port;
	uint64_t features;
	uint16_t ring;
	unsigned int rx_buffers;
	uint32_t rx_len;
	const uint32_t *rx_pieces;
	bool no_rx, no_start, unsealed;
	const char *path;
	uint64_t memory;
};

/* @addr: what the device is told. */
struct nrig_slot {
	uint64_t addr;
	uint8_t *host;
	uint32_t room;
	unsigned int n;
	struct iol_driver_seg seg[NRIG_PIECES];
};

struct nrig_queue {
	struct iol_guest_queue *q;
	struct nrig_slot *slot;
	unsigned int num;
	unsigned int *free, nfree; /* of transmit buffers */
};

struct nrig_port {
	struct nrig_spec spec;
	char name[64];
	struct iol_net_port *port;
	struct iol_server *server;
	struct iol_frontend *fe;
	struct iol_guest_memory *mem;
	uint32_t hdr_len;
	struct nrig_queue rx[NRIG_PAIRS], tx[NRIG_PAIRS];
	unsigned int failures;
};

struct nrig_port *nrig_port_up(struct iol_net *net, const struct nrig_spec *spec);
void nrig_port_down(struct nrig_port **p);

/** nrig_connect(), nrig_disconnect() - The front end's part of that, for those that come and go. */
void nrig_connect(struct nrig_port *p);
void nrig_disconnect(struct nrig_port *p);

/** nrig_serve_at() - Serve the port again, as after a restart; iol_server_destroy(&p->server) ends it. */
void nrig_serve_at(struct nrig_port *p, const char *path);

/** nrig_start(), nrig_stop() - A queue by its number in the device. */
void nrig_start(struct nrig_port *p, unsigned int index);
void nrig_stop(struct nrig_port *p, unsigned int index);

/* ---- the IOMMU ---- */

#define NRIG_IOVA (1ull << 40)
#define NRIG_PAGE 4096ull

/** nrig_map() - Map a page at @addr, beyond NRIG_IOVA, to where it was at first. */
void nrig_map(struct nrig_port *p, uint64_t addr);

/**
 * nrig_serve() - Answer misses of all ports behind an IOMMU; nrig_flush() and nrig_wait() do that.
 * Return: whether there are such ports.
 */
bool nrig_serve(void);

/* ---- frames ---- */

/** nrig_queue_frame() - Lay a frame out in @pieces (NULL: in one) and make it available: false when no room is. */
bool nrig_queue_frame(struct nrig_port *p, unsigned int pair, const struct virtio_net_hdr_v1 *hdr,
		      const void *frame, uint32_t len, const uint32_t *pieces);

/** nrig_publish() - Show what was queued, and kick where the device wants it. */
void nrig_publish(struct nrig_port *p, unsigned int pair);

/** nrig_flush() - Wait until all that was sent came back. */
void nrig_flush(struct nrig_port *p);

/** nrig_send() - All of that for one frame without any offload, by pair 0. */
void nrig_send(struct nrig_port *p, const void *frame, uint32_t len);

/** nrig_send_with() - The same with a header. */
void nrig_send_with(struct nrig_port *p, const struct virtio_net_hdr_v1 *hdr, const void *frame,
		    uint32_t len);

/**
 * struct nrig_frame - A frame that arrived. Its buffers were found untouched behind it, and are available
 * again.
 */
struct nrig_frame {
	struct virtio_net_hdr_v1 hdr;
	unsigned int pair, buffers;
	uint32_t len;
	uint8_t data[NRIG_FRAME_MAX];
};

/** nrig_take() - A frame that is there, by @pair or NRIG_ANY; false when there is none. */
bool nrig_take(struct nrig_port *p, unsigned int pair, struct nrig_frame *f);

/** nrig_wait() - The same; it must come. */
void nrig_wait(struct nrig_port *p, unsigned int pair, struct nrig_frame *f);

/** nrig_gets() - The next frame is there and is this; nrig_silent() - there is none. */
void nrig_gets(struct nrig_port *p, const void *frame, uint32_t len);
void nrig_silent(struct nrig_port *p);

/** nrig_until_failed() - Serve the back end until @n queues have ended in errors. */
void nrig_until_failed(struct nrig_port *p, unsigned int n);

/* ---- statistics ---- */

struct iol_net_port_stats nrig_stats(const struct nrig_port *p);
uint64_t nrig_drops(const struct nrig_port *p, enum iol_net_drop why);
/** nrig_all_drops() - Of all reasons. */
uint64_t nrig_all_drops(const struct nrig_port *p);

#endif
