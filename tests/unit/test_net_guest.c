/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames between guests, in all the ways that they and receive buffers may lie in memory: what arrives is the same.
 * One thread is drivers and switch in turns, without an EAL.
 */
#include "ring_env.h"

#include "vhost-user/device.h"
#include "vhost-user/net/guest.h"
#include "vhost-user/net/offload.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#define SIZE   64
#define GUESTS 3
#define HDR    sizeof(struct virtio_net_hdr_v1)
#define FILL   0xee

struct guest {
	struct env tx, rx;
	struct iol_queue queue[2];
	struct net_guest *g;
};

struct rig {
	struct iol_device *device;
	struct iol_net *net;
	struct net_thread *th;
	struct guest guest[GUESTS];
	unsigned int sent;
};

/* What arrived: a header, and a frame behind it. */
struct got {
	uint32_t len;
	unsigned int buffers;
	struct virtio_net_hdr_v1 hdr;
	uint8_t frame[SIZE * ENV_DATA];
};

static void *zeroed(size_t size)
{
	void *p = aligned_alloc(64, (size + 63) / 64 * 64);

	assert_non_null(p);
	return memset(p, 0, size);
}

static void guest_init(struct rig *r, unsigned int n, bool packed, uint64_t features)
{
	struct env_conf conf = { .size = SIZE, .packed = packed, .event_idx = true };
	struct guest *t = &r->guest[n];
	struct net_pair *pair;
	unsigned int i;

	conf.indirect = true;
	env_init(&t->tx, &conf);
	env_init(&t->rx, &conf);
	env_start(&t->tx);
	env_start(&t->rx);
	t->g = zeroed(sizeof(*t->g) + sizeof(*pair));
	for (i = 0; i < 2; i++)
		t->queue[i] =
			(struct iol_queue){ .dev = r->device, .kick = -1, .call = -1, .err = -1 };
	pair = &t->g->pair[0];
	t->g->pairs = t->g->rx_running = 1;
	t->g->port.net = r->net;
	t->g->port.index = n;
	t->g->port.out = iol_guest_out;
	t->g->port.mtu = IOL_NET_MTU_MAX;
	t->g->port.trunk_all = true;
	pthread_spin_init(&pair->rx.lock, PTHREAD_PROCESS_PRIVATE);
	pair->rx.queue = &t->queue[0];
	pair->rx.ring = t->rx.ring;
	pair->tx.queue = &t->queue[1];
	pair->tx.ring = t->tx.ring;
	pair->rx.features = pair->tx.features = features;
	pair->rx.mrg = features & 1ull << VIRTIO_NET_F_MRG_RXBUF;
	pair->rx.hdr_len = pair->tx.hdr_len = HDR;
	pair->tx.source.port = &t->g->port;
	pair->tx.source.in = iol_guest_in;
	r->net->ports->by_index[n] = r->net->ports->list[n] = &t->g->port;
	r->net->ports->num = GUESTS;
}

static struct rig *rig_new(bool packed, uint64_t features)
{
	struct rig *r = zeroed(sizeof(*r));
	unsigned int i;

	r->device = zeroed(sizeof(*r->device));
	r->device->name = (char *)"test";
	r->net = zeroed(sizeof(*r->net));
	r->net->mode = IOL_NET_SWITCH;
	assert_int_equal(iol_fdb_new(1024, &r->net->fdb), 0);
	r->net->ports = zeroed(sizeof(*r->net->ports) + GUESTS * sizeof(r->net->ports->list[0]));
	r->th = zeroed(sizeof(*r->th));
	r->th->net = r->net;
	r->th->ports = r->net->ports;
	r->th->scratch = zeroed(IOL_FRAME_MAX);
	for (i = 0; i < GUESTS; i++) {
		guest_init(r, i, packed, features);
		/* Where 02:00:00:00:00:0i is. */
		iol_fdb_learn(r->net->fdb,
			      iol_fdb_key(iol_fdb_mac((uint8_t[6]){ 2, 0, 0, 0, 0, (uint8_t)i }),
					  0),
			      i, 0);
	}
	return r;
}

static void rig_free(struct rig *r)
{
	unsigned int i;

	for (i = 0; i < GUESTS; i++) {
		env_fini(&r->guest[i].tx);
		env_fini(&r->guest[i].rx);
		pthread_spin_destroy(&r->guest[i].g->pair[0].rx.lock);
		free(r->guest[i].g);
	}
	iol_fdb_destroy(&r->net->fdb);
	free(r->net->ports);
	free(r->th->scratch);
	free(r->net);
	free(r->th);
	free(r->device);
	free(r);
}

/* A chain over one slot, in pieces of these lengths and what is left of @len. */
static void add(struct env *e, unsigned int slot, bool write, const uint32_t *pieces, uint32_t len)
{
	uint64_t at = ENV_GPA + e->data + (size_t)slot * ENV_DATA;
	struct iol_driver_seg segs[8];
	unsigned int n = 0;

	for (; pieces && pieces[n]; n++) {
		uint32_t piece = pieces[n] < len ? pieces[n] : len;

		segs[n] = (struct iol_driver_seg){ .addr = at, .len = piece, .write = write };
		at += piece;
		len -= piece;
	}
	if (len || !n)
		segs[n++] = (struct iol_driver_seg){ .addr = at, .len = len, .write = write };
	assert_int_equal(iol_driver_add(e->driver, segs, n, slot), 0);
	iol_driver_publish(e->driver);
}

/* Ways to put a header and a frame, or a buffer for them, in pieces. */
static const uint32_t layouts[][6] = {
	{ 0 },        { HDR },     { HDR + 14 },       { HDR + 15 },
	{ HDR + 16 }, { 5, 7, 3 }, { 1, 1, 20, 2, 1 }, { 40 },
};

#define LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

/* An Ethernet frame to guest @to, of type @type and any bytes else. */
static void make_frame(uint8_t *b, uint32_t len, unsigned int to, uint16_t type, uint32_t seed)
{
	static const uint8_t from[6] = { 2, 0, 0, 0, 0, 0 };
	uint32_t i;

	for (i = 0; i < len; i++)
		b[i] = (uint8_t)(seed + i * 7);
	if (len < 14)
		return;
	memset(b, to < GUESTS ? 0 : 0xff, 6);
	if (to < GUESTS) {
		b[0] = 2;
		b[5] = (uint8_t)to;
	}
	memcpy(b + 6, from, 6);
	b[12] = (uint8_t)(type >> 8);
	b[13] = (uint8_t)type;
}

static void send(struct rig *r, const struct virtio_net_hdr_v1 *hdr, const uint8_t *frame,
		 uint32_t len, unsigned int layout)
{
	unsigned int slot = r->sent++ % SIZE;
	struct env *e = &r->guest[0].tx;
	uint8_t *b = e->host + e->data + (size_t)slot * ENV_DATA;

	memcpy(b, hdr, HDR);
	memcpy(b + HDR, frame, len);
	add(e, slot, false, layouts[layout], (uint32_t)HDR + len);
}

static bool turn(struct rig *r)
{
	struct env *e = &r->guest[0].tx;
	struct net_source *s = &r->guest[0].g->pair[0].tx.source;
	bool any = s->in(r->th, s);
	uintptr_t slot;
	uint32_t len;

	assert_int_equal(iol_ring_inflight(e->ring), 0);
	while (iol_driver_used(e->driver, &slot, &len) > 0)
		assert_int_equal(len, 0);
	return any;
}

static void offer(struct guest *t, unsigned int slot, const uint32_t *pieces, uint32_t len)
{
	memset(t->rx.host + t->rx.data + (size_t)slot * ENV_DATA, FILL, ENV_DATA);
	add(&t->rx, slot, true, pieces, len);
}

/* The next frame that came. Of each buffer, what is behind the bytes that were written is as it was. */
static bool receive(struct guest *t, struct got *got)
{
	uint8_t *to = (uint8_t *)&got->hdr;
	unsigned int left = 1, k;
	uintptr_t slot;
	uint32_t len;

	got->len = got->buffers = 0;
	while (left--) {
		uint8_t *b;

		if (!iol_driver_used(t->rx.driver, &slot, &len)) {
			assert_int_equal(got->buffers, 0);
			return false;
		}
		b = t->rx.host + t->rx.data + slot * ENV_DATA;
		if (!got->buffers++) {
			assert_in_range(len, HDR, ENV_DATA);
			memcpy(&got->hdr, b, HDR);
			left = got->hdr.num_buffers - 1u;
			to = got->frame;
			b += HDR;
			len -= (uint32_t)HDR;
		}
		memcpy(to + got->len, b, len);
		got->len += len;
		for (k = 0; b + len + k < t->rx.host + t->rx.data + (slot + 1) * ENV_DATA; k++)
			assert_int_equal(b[len + k], FILL);
	}
	return true;
}

static uint64_t in_drops(struct rig *r, enum iol_net_drop why)
{
	return r->guest[0].g->pair[0].tx.source.drops[why];
}

static uint64_t out_drops(struct rig *r, unsigned int n, enum iol_net_drop why)
{
	return r->guest[n].g->pair[0].rx.count.drops[why];
}

static const struct virtio_net_hdr_v1 none;

/* Each length that is special, in each layout, into buffers just big enough, of each layout. */
static void lengths_and_layouts(void **state)
{
	static const struct virtio_net_hdr_v1 one = { .num_buffers = 1 };
	struct got *got = zeroed(sizeof(*got));
	unsigned int kind, from, to;
	uint8_t frame[1600];
	uint32_t len;

	for (kind = 0; kind < 4; kind++) {
		struct rig *r = rig_new(kind & 1, 0);

		/* More of the frame is looked at then. */
		r->guest[0].g->port.spoof = kind & 2 ? IOL_NET_SPOOF_IP : IOL_NET_SPOOF_ALLOW;
		r->guest[0].g->port.mac_key = iol_fdb_mac((uint8_t[6]){ 2 });

		for (len = 14; len < 1600; len += len == 90 ? 1424 : 1) {
			for (from = 0; from < LAYOUTS; from++) {
				to = (from + len) % LAYOUTS;
				make_frame(frame, len, 1, 0x88b5, len + from);
				offer(&r->guest[1], from, layouts[to], (uint32_t)HDR + len);
				send(r, &none, frame, len, from);
				assert_true(turn(r));
				assert_true(receive(&r->guest[1], got));
				assert_int_equal(got->len, len);
				assert_memory_equal(got->frame, frame, len);
				assert_memory_equal(&got->hdr, &one, HDR);
			}
		}
		/* Less than Ethernet's header. */
		for (len = 0; len < 14; len++) {
			for (from = 0; from < LAYOUTS; from++) {
				send(r, &none, frame, len, from);
				assert_true(turn(r));
			}
		}
		assert_int_equal(in_drops(r, IOL_NET_DROP_RUNT), 14 * LAYOUTS);
		assert_false(turn(r));
		rig_free(r);
	}
	free(got);
}

/* A byte is missing: the frame is dropped and the buffer waits, or the next one helps. */
static void small_buffers(void **state)
{
	struct got *got = zeroed(sizeof(*got));
	unsigned int kind, len, i;
	uint8_t frame[100];

	for (kind = 0; kind < 4; kind++) {
		bool mrg = kind & 2;
		struct rig *r = rig_new(kind & 1, mrg ? 1ull << VIRTIO_NET_F_MRG_RXBUF : 0);

		for (len = 15, i = 0; len < 100; len++, i = (i + 2) % SIZE) {
			make_frame(frame, len, 1, 0x88b5, len);
			offer(&r->guest[1], i, layouts[0], (uint32_t)HDR + len - 1);
			offer(&r->guest[1], i + 1, layouts[0], (uint32_t)HDR + len);
			send(r, &none, frame, len, 0);
			assert_true(turn(r));
			if (!mrg) {
				assert_int_equal(out_drops(r, 1, IOL_NET_DROP_SMALL_BUFFER),
						 len - 14);
				assert_false(receive(&r->guest[1], got));
				/* One byte less, and the same buffer does. */
				send(r, &none, frame, len - 1, 0);
				send(r, &none, frame, len, 0);
				turn(r);
				assert_true(receive(&r->guest[1], got));
				assert_int_equal(got->len, len - 1);
				assert_memory_equal(got->frame, frame, len - 1);
			}
			assert_true(receive(&r->guest[1], got));
			assert_int_equal(got->len, len);
			assert_int_equal(got->buffers, mrg ? 2 : 1);
			assert_memory_equal(got->frame, frame, len);
		}
		rig_free(r);
	}
	free(got);
}

/* To a port in a VLAN and out of it, from any layout and into any. */
static void tags(void **state)
{
	struct got *got = zeroed(sizeof(*got));
	unsigned int kind, from, vid;
	uint8_t frame[200], want[200];
	uint32_t len;

	for (kind = 0; kind < 8; kind++) {
		/* Sent with a tag or without; received so; by two access ports, or a trunk and one. */
		bool tagged = kind & 1, wanted = kind & 2;
		struct rig *r = rig_new(kind & 4, 0);

		vid = 5;
		r->guest[0].g->port.vlan = tagged ? 1 : 5;
		r->guest[1].g->port.vlan = wanted ? 1 : 5;
		for (len = 14; len < 120; len++) {
			for (from = 0; from < LAYOUTS; from++) {
				uint32_t plain = len, n = 0;

				/* The same frame both ways. */
				make_frame(frame, len + 4, 1, 0x88b5, len);
				memcpy(want, frame, 12);
				if (wanted) {
					memcpy(want + 12, (uint8_t[]){ 0x81, 0, 0, (uint8_t)vid },
					       4);
					n = 4;
				}
				memcpy(want + 12 + n, frame + 12, plain - 12);
				if (tagged) {
					memmove(frame + 16, frame + 12, plain - 12);
					memcpy(frame + 12, (uint8_t[]){ 0x81, 0, 0, (uint8_t)vid },
					       4);
				}
				offer(&r->guest[1], from, layouts[(from + len) % LAYOUTS],
				      (uint32_t)HDR + plain + n);
				/* Where the frame is to is not known in this VLAN: it is flooded. */
				send(r, &none, frame, plain + (tagged ? 4 : 0), from);
				assert_true(turn(r));
				assert_true(receive(&r->guest[1], got));
				assert_int_equal(got->len, plain + n);
				assert_memory_equal(got->frame, want, plain + n);
			}
		}
		rig_free(r);
	}
	free(got);
}

/* Half a tag is none that a switch could believe. */
static void half_a_tag(void **state)
{
	struct rig *r = rig_new(false, 0);
	struct got *got = zeroed(sizeof(*got));
	uint8_t frame[18];
	uint32_t len;

	make_frame(frame, sizeof(frame), 1, 0x8100, 3);
	offer(&r->guest[1], 0, layouts[0], ENV_DATA);
	for (len = 14; len < 18; len++) {
		send(r, &none, frame, len, 0);
		send(r, &none, frame, len, 1);
		turn(r);
		turn(r);
		assert_int_equal(in_drops(r, IOL_NET_DROP_IN_VLAN), 2 * (len - 13));
	}
	assert_false(receive(&r->guest[1], got));
	rig_free(r);
	free(got);
}

/* What a header may say reaches who knows of it, by either way; the rest is cleared. */
static void headers(void **state)
{
	static const struct virtio_net_hdr_v1 rubbish = {
		.hdr_len = 1, .gso_size = 2, .csum_start = 3, .csum_offset = 4, .num_buffers = 5
	};
	struct virtio_net_hdr_v1 hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM |
						  VIRTIO_NET_HDR_F_DATA_VALID,
					 .csum_start = 34,
					 .csum_offset = 16 };
	struct got *got = zeroed(sizeof(*got));
	uint8_t frame[100], sum[2];
	unsigned int kind, from;

	make_frame(frame, sizeof(frame), 1, 0x88b5, 1);
	for (kind = 0; kind < 4; kind++) {
		bool knows = kind & 1;
		struct rig *r =
			rig_new(kind & 2, 1ull << VIRTIO_NET_F_CSUM |
						  (knows ? 1ull << VIRTIO_NET_F_GUEST_CSUM : 0));

		for (from = 0; from < LAYOUTS; from++) {
			offer(&r->guest[1], 0, layouts[from], ENV_DATA);
			offer(&r->guest[1], 1, layouts[from], ENV_DATA);
			offer(&r->guest[1], 2, layouts[from], ENV_DATA);
			send(r, &rubbish, frame, sizeof(frame), from);
			hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID;
			send(r, &hdr, frame, sizeof(frame), from);
			/* Nobody but an uplink has checked a sum. */
			hdr.flags = VIRTIO_NET_HDR_F_DATA_VALID;
			send(r, &hdr, frame, sizeof(frame), from);
			while (turn(r))
				;
			assert_true(receive(&r->guest[1], got));
			assert_memory_equal(&got->hdr, ((uint8_t[HDR]){ [10] = 1 }), HDR);
			assert_memory_equal(got->frame, frame, sizeof(frame));
			assert_true(receive(&r->guest[1], got));
			assert_int_equal(got->hdr.flags, knows ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0);
			assert_int_equal(got->hdr.csum_start, knows ? 34 : 0);
			memcpy(sum, got->frame + 50, 2);
			memcpy(got->frame + 50, frame + 50, 2);
			assert_memory_equal(got->frame, frame, sizeof(frame));
			assert_int_equal(!memcmp(sum, frame + 50, 2), knows);
			assert_true(receive(&r->guest[1], got));
			assert_memory_equal(&got->hdr, ((uint8_t[HDR]){ [10] = 1 }), HDR);
		}
		rig_free(r);
	}
	free(got);
}

/* What an uplink found is told to those who know what it means. */
static void data_valid(void **state)
{
	struct got *got = zeroed(sizeof(*got));
	uint8_t bytes[60];
	unsigned int kind;

	make_frame(bytes, sizeof(bytes), 1, 0x88b5, 9);
	for (kind = 0; kind < 4; kind++) {
		bool knows = kind & 1;
		struct rig *r = rig_new(false, knows ? 1ull << VIRTIO_NET_F_GUEST_CSUM : 0);
		struct iovec rest = { bytes + FRAME_HEAD, sizeof(bytes) - FRAME_HEAD };
		struct iol_frame f = { .head = bytes,
				       .head_len = FRAME_HEAD,
				       .iov = &rest,
				       .niov = 1,
				       .len = sizeof(bytes),
				       .hdr.flags = VIRTIO_NET_HDR_F_DATA_VALID },
				 *frames = &f;

		offer(&r->guest[1], 0, layouts[kind & 2], ENV_DATA);
		iol_guest_out(r->th, &r->guest[1].g->port, &frames, 1);
		assert_true(receive(&r->guest[1], got));
		assert_int_equal(got->hdr.flags, knows ? VIRTIO_NET_HDR_F_DATA_VALID : 0);
		assert_memory_equal(got->frame, bytes, sizeof(bytes));
		rig_free(r);
	}
	free(got);
}

/* What a port may have counts without the header and a tag. */
static void too_big(void **state)
{
	struct got *got = zeroed(sizeof(*got));
	struct rig *r = rig_new(false, 0);
	uint8_t frame[200];
	unsigned int from;

	make_frame(frame, sizeof(frame), 1, 0x88b5, 9);
	r->guest[1].g->port.mtu = 100;
	for (from = 0; from < LAYOUTS; from++) {
		offer(&r->guest[1], from, layouts[from], ENV_DATA);
		send(r, &none, frame, 115, from);
		send(r, &none, frame, 114, from);
		while (turn(r))
			;
		assert_int_equal(out_drops(r, 1, IOL_NET_DROP_OUT_TOO_BIG), from + 1);
		assert_true(receive(&r->guest[1], got));
		assert_int_equal(got->len, 114);
	}
	rig_free(r);
	free(got);
}

/* Frames of all kinds to either of two guests or both, many at once: each comes once, and in order. */
static void trains(void **state)
{
	struct got *got = zeroed(sizeof(*got));
	unsigned int kind, round, i, k;
	uint64_t random = 77;

	for (kind = 0; kind < 4; kind++) {
		struct rig *r = rig_new(kind & 1, kind & 2 ? 1ull << VIRTIO_NET_F_MRG_RXBUF : 0);
		uint32_t seq[GUESTS] = { 0 }, want[GUESTS] = { 0 }, offered[GUESTS] = { 0 };

		for (round = 0; round < 300; round++) {
			unsigned int burst = 1 + env_random(&random) % 40, to = 1;

			for (i = 1; i < GUESTS; i++)
				for (k = 0; k < SIZE / 8 && offered[i] - want[i] < SIZE / 8; k++)
					offer(&r->guest[i], offered[i]++ % SIZE,
					      layouts[env_random(&random) % 8 ? 0 : k % LAYOUTS],
					      ENV_DATA);
			for (i = 0; i < burst; i++) {
				uint8_t frame[400] = { 0 };
				uint32_t len = 26 + env_random(&random) % 374;

				if (env_random(&random) % 4 == 0)
					to = 1 + env_random(&random) % 3;
				/* No more than there are buffers for. */
				for (k = 1; k < GUESTS; k++)
					if ((to == k || to == 3) && seq[k] == offered[k])
						to = 0;
				if (!to)
					break;
				make_frame(frame, len, to, 0x88b5, 0);
				for (k = 1; k < GUESTS; k++) {
					memcpy(frame + 14 + 4 * k, &seq[k], 4);
					seq[k] += to == k || to == 3;
				}
				send(r, &none, frame, len,
				     env_random(&random) % 8 ? 0 : env_random(&random) % LAYOUTS);
			}
			while (turn(r))
				;
			for (k = 1; k < GUESTS; k++) {
				while (receive(&r->guest[k], got)) {
					uint32_t is;

					memcpy(&is, got->frame + 14 + 4 * k, 4);
					assert_int_equal(is, want[k]++);
				}
				assert_int_equal(want[k], seq[k]);
			}
		}
		assert_true(want[1] > 1000 && want[2] > 1000);
		rig_free(r);
	}
	free(got);
}

/* Receive buffers without a byte to write to, which fill the scratch to its last piece: dropped, and no more. */
static void unwritable_buffers(void **state)
{
	unsigned int kind, i, k;
	uint8_t frame[64];

	make_frame(frame, sizeof(frame), 1, 0x88b5, 1);
	for (kind = 0; kind < 4; kind++) {
		struct rig *r = rig_new(kind & 1, kind & 2 ? 1ull << VIRTIO_NET_F_MRG_RXBUF : 0);
		struct env *e = &r->guest[1].rx;
		struct vring_packed_desc *packed = (void *)(e->host + e->desc);
		struct vring_desc *desc = (void *)(e->host + e->desc), *table;
		struct vring_avail *avail = (void *)(e->host + e->avail);

		/* A table that all chains share. */
		table = (void *)(e->host + e->data);
		for (i = 0; i < 1024; i++)
			table[i] = (struct vring_desc){ .addr = ENV_GPA, .len = 1 };
		/* In packed rings tables are read to their end. */
		for (i = 0; !(kind & 1) && i + 1 < 1024; i++) {
			table[i].flags = VRING_DESC_F_NEXT;
			table[i].next = (uint16_t)(i + 1);
		}
		for (i = 0; i < 4; i++) {
			if (kind & 1)
				packed[i] = (struct vring_packed_desc){
					.addr = ENV_GPA + e->data,
					.len = 1024 * sizeof(*table),
					.id = (uint16_t)i,
					.flags = VRING_DESC_F_INDIRECT |
						 1 << VRING_PACKED_DESC_F_AVAIL,
				};
			else
				desc[i] = (struct vring_desc){ .addr = ENV_GPA + e->data,
							       .len = 1024 * sizeof(*table),
							       .flags = VRING_DESC_F_INDIRECT };
			if (!(kind & 1))
				avail->ring[i] = (uint16_t)i;
		}
		if (!(kind & 1))
			avail->idx = 4;
		for (k = 0; k < 4; k++)
			send(r, &none, frame, sizeof(frame), 0);
		while (turn(r))
			;
		assert_int_equal(out_drops(r, 1, IOL_NET_DROP_SMALL_BUFFER) +
					 out_drops(r, 1, IOL_NET_DROP_NO_BUFFERS),
				 4);
		assert_false(r->guest[1].g->pair[0].rx.failed);
		assert_int_equal(iol_ring_inflight(e->ring), 0);
		rig_free(r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lengths_and_layouts),
		cmocka_unit_test(small_buffers),
		cmocka_unit_test(tags),
		cmocka_unit_test(half_a_tag),
		cmocka_unit_test(headers),
		cmocka_unit_test(data_valid),
		cmocka_unit_test(too_big),
		cmocka_unit_test(trains),
		cmocka_unit_test(unwritable_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
