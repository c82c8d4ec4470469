/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two hostile guests at a switch, whose memory and rings the input writes. Its first bytes say what they
 * negotiated and how their ports are; the rest are steps: frames with any header in any pieces, receive buffers, turns
 * of the poll thread, and bytes to anywhere. Whatever happens, a turn leaves no chain taken, and counts every frame.
 * There is no EAL: the thread is a place that no lcore runs in, as control's is.
 */
#include <iolane/base.h>

#include "vhost-user/device.h"
#include "vhost-user/driver.h"
#include "vhost-user/net/guest.h"
#include "vhost-user/net/offload.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#define BIT(n) (1ull << (n))

/* Two parts that are neighbours for the guest and not here. */
#define PART  0x10000u
#define UADDR 0x10000u
#define SIZE  16
#define AREA  0x1000u /* of one ring: descriptors, driver's and device's parts, tables */
#define BUFS  (4 * AREA)

struct input {
	const uint8_t *at;
	size_t left;
};

/* @mem: each port maps what may be the same memory anew. */
struct guest {
	struct net_guest *g;
	struct iol_mem *mem;
	struct iol_queue queue[2];
	struct iol_driver_ring *driver[2];
	uint64_t features;
};

static uint8_t *part[2];
static struct iol_device device = { .name = (char *)"fuzzed" };
static struct iol_net net;
static struct net_thread *th;
static struct guest guests[2];

static unsigned int next(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->at++;
}

static void demand(bool good)
{
	if (!good)
		abort();
}

static void quiet(void *ctx, enum iol_log_level level, const char *line)
{
}

static void once(void)
{
	static const struct iol_mem_desc descs[2] = {
		{ .gpa = 0, .size = PART, .uaddr = UADDR, .offset = 2 * PART },
		{ .gpa = PART, .size = PART, .uaddr = UADDR + PART, .offset = 0 },
	};
	int fd = memfd_create("fuzz-net", MFD_CLOEXEC), fds[2] = { fd, fd };
	static bool broken;
	unsigned int i;

	iol_log_set(quiet, NULL, IOL_LOG_ERROR);
	demand(fd >= 0 && !ftruncate(fd, 3 * PART));
	for (i = 0; i < 2; i++) {
		part[i] = mmap(NULL, PART, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			       (off_t)descs[i].offset);
		demand(part[i] != MAP_FAILED);
		guests[i].g = aligned_alloc(64, sizeof(struct net_guest) + sizeof(struct net_pair));
		demand(guests[i].g && !iol_mem_new(descs, fds, 2, -1, &broken, &guests[i].mem));
	}
	close(fd);
	th = aligned_alloc(64, (sizeof(*th) + 63) / 64 * 64);
	net.ports = calloc(1, sizeof(*net.ports) + 2 * sizeof(net.ports->list[0]));
	demand(th && net.ports);
	memset(th, 0, sizeof(*th));
	th->net = &net;
	th->scratch = malloc(IOL_FRAME_MAX);
	demand(th->scratch != NULL);
}

/* ---- up ---- */

static void start(struct guest *t, unsigned int n, unsigned int q)
{
	uint32_t at = (2 * n + q) * AREA;
	struct iol_driver_spec ds = {
		.size = SIZE,
		.packed = t->features & BIT(VIRTIO_F_RING_PACKED),
		.event_idx = t->features & BIT(VIRTIO_RING_F_EVENT_IDX),
		.indirect = t->features & BIT(VIRTIO_RING_F_INDIRECT_DESC),
		.in_order = t->features & BIT(VIRTIO_F_IN_ORDER),
		.desc = part[0] + at,
		.avail = part[0] + at + 0x200,
		.used = part[0] + at + 0x300,
		.tables = part[0] + at + 0x400,
		.tables_addr = at + 0x400,
		.indirect_max = 8,
	};
	struct iol_ring_spec spec = {
		.size = SIZE,
		.packed = ds.packed,
		.event_idx = ds.event_idx,
		.indirect = ds.indirect,
		.in_order = ds.in_order,
		.desc = UADDR + at,
		.avail = UADDR + at + 0x200,
		.used = UADDR + at + 0x300,
		.base = ds.packed ? 0x80008000 : 0,
		.mem = t->mem,
	};

	t->queue[q] = (struct iol_queue){ .dev = &device, .kick = -1, .call = -1, .err = -1 };
	demand(!iol_driver_new(&ds, &t->driver[q]) && !iol_ring_new(&t->queue[q].ring) &&
	       !iol_ring_start(t->queue[q].ring, &spec));
}

static uint64_t choose_features(struct input *in)
{
	static const uint8_t bits[16] = {
		VIRTIO_NET_F_MRG_RXBUF,  VIRTIO_F_RING_PACKED,        VIRTIO_RING_F_EVENT_IDX,
		VIRTIO_F_IN_ORDER,       VIRTIO_RING_F_INDIRECT_DESC, VIRTIO_F_VERSION_1,
		VIRTIO_NET_F_CSUM,       VIRTIO_NET_F_HOST_TSO4,      VIRTIO_NET_F_HOST_TSO6,
		VIRTIO_NET_F_HOST_USO,   VIRTIO_NET_F_HOST_ECN,       VIRTIO_NET_F_GUEST_CSUM,
		VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6,     VIRTIO_NET_F_GUEST_USO4,
		VIRTIO_NET_F_GUEST_ECN,
	};
	unsigned int choice = next(in) | next(in) << 8, i;
	uint64_t features = 0;

	for (i = 0; i < 16; i++)
		if (choice >> i & 1)
			features |= BIT(bits[i]);
	if (features & BIT(VIRTIO_NET_F_GUEST_USO4))
		features |= BIT(VIRTIO_NET_F_GUEST_USO6);
	return features;
}

static void up(struct guest *t, unsigned int n, struct input *in)
{
	struct net_guest *g = t->g;
	struct net_rxq *rx = &g->pair[0].rx;
	struct net_txq *tx = &g->pair[0].tx;
	unsigned int how = next(in);

	memset(g, 0, sizeof(*g) + sizeof(g->pair[0]));
	t->features = choose_features(in);
	start(t, n, 0);
	start(t, n, 1);
	g->pairs = g->rx_running = 1;
	g->port.net = &net;
	g->port.index = n;
	g->port.out = iol_guest_out;
	g->port.vlan = how & 1 ? 5 : 0;
	g->port.trunk_all = how & 2;
	iol_net_vlan_set(g->port.trunk, 7);
	g->port.spoof = (how >> 2) % 3;
	g->port.mac[0] = 2;
	g->port.mac_key = iol_fdb_mac(g->port.mac);
	g->port.ip = 0x0100000a;
	g->port.storm_pps = how & 16 ? 1000 : 0;
	pthread_spin_init(&g->port.storm_lock, PTHREAD_PROCESS_PRIVATE);
	g->port.mtu = how & 32 ? 200 : IOL_NET_MTU_MAX;
	pthread_spin_init(&rx->lock, PTHREAD_PROCESS_PRIVATE);
	rx->queue = &t->queue[0];
	rx->ring = t->queue[0].ring;
	tx->queue = &t->queue[1];
	tx->ring = t->queue[1].ring;
	rx->features = tx->features = t->features;
	rx->mrg = t->features & BIT(VIRTIO_NET_F_MRG_RXBUF);
	rx->hdr_len = tx->hdr_len =
		t->features & (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MRG_RXBUF)) ? 12 : 10;
	tx->source.port = &g->port;
	tx->source.in = iol_guest_in;
	net.ports->by_index[n] = net.ports->list[n] = &g->port;
}

static void down(struct guest *t)
{
	unsigned int q;

	for (q = 0; q < 2; q++) {
		iol_driver_destroy(&t->driver[q]);
		iol_ring_destroy(&t->queue[q].ring);
	}
}

/* ---- steps ---- */

static uint8_t *at_gpa(uint32_t gpa)
{
	return &part[gpa / PART % 2][gpa % PART];
}

/* Write to guest memory where the guest would. */
static void put(uint32_t gpa, const uint8_t *from, uint32_t len)
{
	for (; len; len--)
		*at_gpa(gpa++) = *from++;
}

/* A header and a packet that could be one: of IPv4 or IPv6, TCP or UDP, or ARP, in a tag or not; cut anyhow. */
static void make_frame(struct input *in, uint8_t *b, uint32_t hdr_len, uint32_t len)
{
	unsigned int kind = next(in), l3 = hdr_len + 14 + (kind & 1 ? 4 : 0), l4, i;
	uint32_t payload = len - l3;

	memset(b, 0, len);
	b[0] = (uint8_t)next(in) & 1;
	b[1] = (uint8_t)next(in) & 0x87;
	b[4] = (uint8_t)next(in);
	b[5] = kind & 64 ? (uint8_t)next(in) : 0;
	for (i = hdr_len; i < hdr_len + 12; i += 6)
		b[i] = next(in) % 4 ? 2 : 0xff;
	if (kind & 1) {
		b[l3 - 6] = 0x81;
		b[l3 - 4] = (uint8_t)next(in);
		b[l3 - 3] = next(in) % 2 ? 5 : 7;
	}
	b[l3 - 2] = kind & 2 ? 0x86 : 0x08;
	b[l3 - 1] = kind & 2 ? 0xdd : kind & 32 ? 0x06 : 0;
	l4 = l3 + (kind & 2 ? 40 : 20);
	b[l3] = kind & 2 ? 0x60 : 0x45;
	if (kind & 2)
		payload -= 40;
	b[l3 + (kind & 2 ? 4 : 2)] = (uint8_t)(payload >> 8);
	b[l3 + (kind & 2 ? 5 : 3)] = (uint8_t)payload;
	b[l3 + (kind & 2 ? 6 : 9)] = kind & 4 ? 17 : 6;
	if (!(kind & 2))
		memcpy(b + l3 + 12, "\x0a\x00\x00\x01", 4);
	b[6] = (uint8_t)(l4 - hdr_len);
	b[8] = kind & 4 ? 6 : 16;
	if (kind & 4) {
		b[l4 + 4] = (uint8_t)((len - l4) >> 8);
		b[l4 + 5] = (uint8_t)(len - l4);
	} else {
		b[l4 + 12] = 0x50;
	}
	for (i = next(in) % 4; i; i--)
		b[next(in) % len] = (uint8_t)next(in);
}

/* A chain of up to 8 pieces from @gpa on, of the lengths that the input says. */
static void add(struct guest *t, unsigned int q, struct input *in, uint32_t gpa, uint32_t len)
{
	struct iol_driver_seg seg[8];
	unsigned int n = 1 + next(in) % 8, i;

	for (i = 0; i < n; i++) {
		uint32_t piece = i + 1 == n ? len : next(in) % 64;

		if (piece > len)
			piece = len;
		seg[i] = (struct iol_driver_seg){ gpa, piece, !q };
		gpa += piece;
		len -= piece;
	}
	/* It may be full. */
	if (iol_driver_add(t->driver[q], seg, n, 0) < 0)
		return;
	iol_driver_publish(t->driver[q]);
}

static void send(struct guest *t, struct input *in)
{
	static uint8_t b[0x8000];
	unsigned int how = next(in);
	uint32_t len = how & 1 ? 100 + next(in) * 120 : 100 + next(in);
	uint32_t gpa = BUFS + next(in) * 256;

	make_frame(in, b, t->g->pair[0].tx.hdr_len, len);
	if (how & 2)
		len -= 70 + how % 8;
	put(gpa, b, len);
	add(t, 1, in, gpa, len);
}

static uint64_t drops(const struct guest *t)
{
	uint64_t n = 0;
	unsigned int i;

	for (i = 0; i < IOL_NET_DROP_REASONS; i++)
		n += t->g->pair[0].tx.source.drops[i];
	return n;
}

/* What a poll thread does with one source. */
static void turn(struct guest *t)
{
	struct net_source *s = &t->g->pair[0].tx.source;
	uint64_t before = s->packets + drops(t);
	unsigned int i;

	if (s->failed)
		return;
	th->ports = net.ports;
	s->in(th, s);
	for (i = 0; i < 2; i++) {
		struct net_pair *p = &guests[i].g->pair[0];

		if (!p->tx.source.failed)
			demand(!iol_ring_inflight(p->tx.ring));
		if (!p->rx.failed)
			demand(!iol_ring_inflight(p->rx.ring));
	}
	demand(s->packets + drops(t) <= before + 2 * NET_BURST);
	iol_ring_arm(t->queue[1].ring);
	iol_ring_disarm(t->queue[1].ring);
}

static void reap(struct guest *t)
{
	uintptr_t cookie;
	uint32_t len;
	unsigned int q;

	for (q = 0; q < 2; q++)
		while (iol_driver_used(t->driver[q], &cookie, &len) > 0)
			;
}

static void scribble(struct input *in)
{
	uint32_t gpa = next(in) | next(in) << 8, n = 1 + next(in) % 16;

	if (next(in) % 4)
		gpa %= BUFS;
	for (; n; n--)
		*at_gpa(gpa++) = (uint8_t)next(in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned int i;

	if (!th)
		once();
	memset(part[0], 0, BUFS);
	net.mode = next(&in) % 3;
	net.ports->num = 2;
	demand(!iol_fdb_new(64, &net.fdb));
	for (i = 0; i < 2; i++)
		up(&guests[i], i, &in);
	while (in.left) {
		unsigned int step = next(&in);
		struct guest *t = &guests[step >> 3 & 1];

		switch (step % 8) {
		case 0:
		case 1:
			send(t, &in);
			break;
		case 2:
		case 3:
			add(t, 0, &in, BUFS + next(&in) * 256, step & 16 ? 20 + next(&in) : 0x8000);
			break;
		case 4:
			scribble(&in);
			break;
		case 5:
			reap(t);
			break;
		default:
			turn(t);
			break;
		}
	}
	for (i = 0; i < 2; i++)
		down(&guests[i]);
	iol_fdb_destroy(&net.fdb);
	return 0;
}
