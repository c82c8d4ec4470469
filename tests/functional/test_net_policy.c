/* SPDX-License-Identifier: BSD-3-Clause */
/* What a port lets in and out: VLANs, addresses, sizes, broadcasts. And why a frame was dropped. */
#include "net_frames.h"
#include "net_packet.h"
#include "net_rig.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>

static void send(struct nrig_port *p, const struct small_frame *f)
{
	nrig_send(p, f->b, f->len);
}

static void gets(struct nrig_port *p, const struct small_frame *f)
{
	nrig_gets(p, f->b, f->len);
}

/* ---- VLANs ---- */

/* @trunk: ended by a 0. */
static const struct vlans {
	uint16_t native;
	uint16_t trunk[4];
	bool all;
} vlan_ports[] = {
	{ 0 },
	{ 5 },
	{ 7 },
	{ 0, { 5, 7 } },
	{ 5, { 7 } },
	{ 7, { 4094 } },
	{ 0, .all = true },
	{ 7, .all = true },
	{ 5, { 5, 9 } },
};

#define VLAN_PORTS (sizeof(vlan_ports) / sizeof(vlan_ports[0]))

static const int vlan_tags[] = { UNTAGGED, 0x0000, 0xe000, 0x0005, 0x7005,
				 0x6007,   0x9009, 0x0ffe, 0x0fff, 0x3001 };

static bool in_trunk(const struct vlans *v, unsigned int vid)
{
	unsigned int i;

	if (vid == 0 || vid == 4095)
		return false;
	for (i = 0; v->trunk[i]; i++)
		if (v->trunk[i] == vid)
			return true;
	return v->all;
}

/* What IEEE 802.1Q wants of a frame with a tag that came in by one port: the tag at another, -2 for not at all. */
static int expected(const struct vlans *from, const struct vlans *to, int tci)
{
	unsigned int vlan = tci == UNTAGGED || !(tci & 0xfff) ? from->native : tci & 0xfff;

	if (tci != UNTAGGED && tci & 0xfff && !in_trunk(from, vlan))
		return -2;
	if (vlan == to->native)
		return UNTAGGED;
	if (!in_trunk(to, vlan))
		return -2;
	return (int)vlan | (tci == UNTAGGED ? 0 : tci & 0xf000);
}

static void vlans(void **state)
{
	static const uint32_t sizes[] = { 18, 60, 1514 };
	static const uint32_t pieces[3][8] = { { 0 }, { 12 }, { 3, 12, 11, 1, 1, 5 } };
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_port *p[VLAN_PORTS];
	unsigned int from, to, t, s, k;

	for (from = 0; from < VLAN_PORTS; from++) {
		struct nrig_spec spec = { .port = { .vlan = vlan_ports[from].native,
						    .trunk_all = vlan_ports[from].all },
					  .memory = 16 << 20 };

		for (k = 0; vlan_ports[from].trunk[k]; k++)
			iol_net_vlan_set(spec.port.trunk, vlan_ports[from].trunk[k]);
		p[from] = nrig_port_up(net, &spec);
	}
	for (from = 0; from < VLAN_PORTS; from++)
		for (t = 0; t < sizeof(vlan_tags) / sizeof(vlan_tags[0]); t++)
			for (s = 0; s < 3; s++) {
				struct small_frame f =
					small_frame(BROADCAST, from, vlan_tags[t], sizes[s]);
				uint64_t before = nrig_drops(p[from], IOL_NET_DROP_IN_VLAN);

				assert_true(nrig_queue_frame(p[from], 0, NULL, f.b, f.len,
							     pieces[(from + t) % 3]));
				nrig_publish(p[from], 0);
				nrig_flush(p[from]);
				for (to = 0; to < VLAN_PORTS; to++) {
					int tci = expected(&vlan_ports[from], &vlan_ports[to],
							   vlan_tags[t]);
					struct small_frame want = small_retag(&f, tci);

					if (from == to || tci == -2)
						nrig_silent(p[to]);
					else
						gets(p[to], &want);
				}
				k = vlan_tags[t] & 0xfff;
				assert_int_equal(nrig_drops(p[from], IOL_NET_DROP_IN_VLAN) - before,
						 vlan_tags[t] != UNTAGGED && k &&
							 !in_trunk(&vlan_ports[from], k));
			}
	for (from = 0; from < VLAN_PORTS; from++)
		nrig_port_down(&p[from]);
	nrig_net_down(&net);
}

/* An address is somewhere else in each VLAN. */
static void vlans_learn_apart(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_spec five = { .port = { .vlan = 5 } }, all = { .port = { .trunk_all = true } };
	struct nrig_port *trunk = nrig_port_up(net, &all), *a = nrig_port_up(net, &five);
	struct nrig_port *b = nrig_port_up(net, &(struct nrig_spec){ { 0 } });
	struct small_frame f, want;

	f = small_frame(BROADCAST, 1, UNTAGGED, 60);
	send(a, &f);
	want = small_retag(&f, 5);
	gets(trunk, &want);
	nrig_silent(b);
	f = small_frame(BROADCAST, 1, UNTAGGED, 60);
	send(b, &f);
	gets(trunk, &f);
	nrig_silent(a);
	f = small_frame(1, 3, 0x2005, 60);
	send(trunk, &f);
	want = small_retag(&f, UNTAGGED);
	gets(a, &want);
	nrig_silent(b);
	f = small_frame(1, 3, UNTAGGED, 60);
	send(trunk, &f);
	gets(b, &f);
	nrig_silent(a);
	/* Known, in a VLAN that its port is not in. */
	f = small_frame(3, 1, UNTAGGED, 60);
	send(a, &f);
	want = small_retag(&f, 5);
	gets(trunk, &want);
	nrig_port_down(&a);
	nrig_port_down(&b);
	nrig_port_down(&trunk);
	nrig_net_down(&net);
}

/* A patch joins two ports, and does not make a VLAN reach a port that is not in it. */
static void vlans_of_patched_ports(void **state)
{
	struct iol_net_spec spec = { .mode = IOL_NET_PATCH, .poll_us = IOL_NET_POLL_DEFAULT };
	struct iol_net *net = nrig_net_up(&spec);
	struct nrig_port *trunk =
		nrig_port_up(net, &(struct nrig_spec){ .port = { .trunk_all = true } });
	struct nrig_port *a = nrig_port_up(net, &(struct nrig_spec){ .port = { .vlan = 5 } });
	struct small_frame f = small_frame(1, 3, 0x2005, 60), want = small_retag(&f, UNTAGGED);

	send(trunk, &f);
	gets(a, &want);
	f = small_frame(1, 3, 6, 60);
	send(trunk, &f);
	nrig_silent(a);
	assert_int_equal(nrig_drops(trunk, IOL_NET_DROP_NOWHERE), 1);
	nrig_port_down(&a);
	nrig_port_down(&trunk);
	nrig_net_down(&net);
}

/* ---- who may send what ---- */

#define OWN_IP 0x0a000001u
#define NONE   IOL_NET_DROP_REASONS

static void put32(uint8_t *to, uint32_t v)
{
	to[0] = (uint8_t)(v >> 24);
	to[1] = (uint8_t)(v >> 16);
	to[2] = (uint8_t)(v >> 8);
	to[3] = (uint8_t)v;
}

/* clang-format off */
static const struct sender {
	const char *what;
	int tci;
	unsigned int from;      /* Ethernet's */
	uint16_t type;
	unsigned int arp_from;  /* ARP's */
	uint32_t ip;
	uint32_t len;
	uint16_t csum_start;    /* something to complete, here */
	enum iol_net_drop mac, both; /* what becomes of it where MACs are looked at, and IPs too */
} senders[] = {
	{ "its own", UNTAGGED, 1, 0x0800, 0, OWN_IP, 60, 0, NONE, NONE },
	{ "another's MAC", UNTAGGED, 2, 0x0800, 0, OWN_IP, 60, 0,
	  IOL_NET_DROP_SPOOF_MAC, IOL_NET_DROP_SPOOF_MAC },
	{ "a group's MAC", UNTAGGED, MULTICAST, 0x0800, 0, OWN_IP, 60, 0,
	  IOL_NET_DROP_SPOOF_MAC, IOL_NET_DROP_SPOOF_MAC },
	{ "another's IP", UNTAGGED, 1, 0x0800, 0, OWN_IP + 1, 60, 0, NONE, IOL_NET_DROP_SPOOF_IP },
	{ "no IP yet", UNTAGGED, 1, 0x0800, 0, 0, 60, 0, NONE, NONE },
	{ "a broadcast's IP", UNTAGGED, 1, 0x0800, 0, 0xffffffff, 60, 0, NONE, IOL_NET_DROP_SPOOF_IP },
	{ "an IP that ends too early", UNTAGGED, 1, 0x0800, 0, OWN_IP, 29, 0, NONE,
	  IOL_NET_DROP_SPOOF_IP },
	{ "an IP in a tag", 5, 1, 0x0800, 0, OWN_IP, 64, 0, NONE, NONE },
	{ "another's IP in a tag", 5, 1, 0x0800, 0, OWN_IP + 1, 64, 0, NONE, IOL_NET_DROP_SPOOF_IP },
	{ "another's IP in a tag of priority", 0x6000, 1, 0x0800, 0, OWN_IP + 1, 64, 0, NONE,
	  IOL_NET_DROP_SPOOF_IP },
	{ "an IP in a tag that ends too early", 5, 1, 0x0800, 0, OWN_IP, 33, 0, NONE,
	  IOL_NET_DROP_SPOOF_IP },
	{ "a tag in a tag", 5, 1, 0x8100, 0, OWN_IP, 64, 0, NONE, IOL_NET_DROP_SPOOF_IP },
	{ "a tag of 802.1ad", UNTAGGED, 1, 0x88a8, 0, OWN_IP, 64, 0, NONE, IOL_NET_DROP_SPOOF_IP },
	{ "ARP", UNTAGGED, 1, 0x0806, 1, OWN_IP, 60, 0, NONE, NONE },
	{ "an ARP probe", UNTAGGED, 1, 0x0806, 1, 0, 60, 0, NONE, NONE },
	{ "another's MAC in ARP", UNTAGGED, 1, 0x0806, 2, OWN_IP, 60, 0, NONE, IOL_NET_DROP_SPOOF_IP },
	{ "another's IP in ARP", UNTAGGED, 1, 0x0806, 1, OWN_IP + 256, 60, 0, NONE,
	  IOL_NET_DROP_SPOOF_IP },
	{ "ARP that ends too early", UNTAGGED, 1, 0x0806, 1, OWN_IP, 31, 0, NONE,
	  IOL_NET_DROP_SPOOF_IP },
	{ "ARP in a tag", 5, 1, 0x0806, 1, OWN_IP, 64, 0, NONE, NONE },
	{ "another's IP in ARP in a tag", 5, 1, 0x0806, 1, OWN_IP + 1, 64, 0, NONE,
	  IOL_NET_DROP_SPOOF_IP },
	/* The sum would be written into the sender's address: behind a tag that lies from 32 to 35. */
	{ "ARP in a tag, to be changed behind us", 5, 1, 0x0806, 1, OWN_IP, 64, 34,
	  IOL_NET_DROP_BAD_HEADER, IOL_NET_DROP_BAD_HEADER },
	{ "RARP", UNTAGGED, 1, 0x8035, 1, OWN_IP, 60, 0, NONE, NONE },
	{ "another's MAC in RARP", UNTAGGED, 1, 0x8035, 2, 0, 60, 0, NONE, IOL_NET_DROP_SPOOF_IP },
	{ "what is neither", UNTAGGED, 1, 0x88b5, 2, OWN_IP + 1, 60, 0, NONE, NONE },
};
/* clang-format on */

static struct small_frame sender_frame(const struct sender *s)
{
	struct small_frame f = small_frame(9, s->from, s->tci, s->len);
	uint32_t l3 = s->tci == UNTAGGED ? 14 : 18;

	f.b[l3 - 2] = (uint8_t)(s->type >> 8);
	f.b[l3 - 1] = (uint8_t)s->type;
	if (s->type == 0x0806 || s->type == 0x8035) {
		small_mac(f.b + l3 + 8, s->arp_from);
		put32(f.b + l3 + 14, s->ip);
	} else {
		f.b[l3] = 0x45;
		put32(f.b + l3 + 12, s->ip);
	}
	return f;
}

static void spoofing(void **state)
{
	static const uint32_t pieces[3][32] = { { 0 }, { 12, 14, 6, 6 }, { 1, 1, 1, 1, 1, 1, 1,
									   1, 1, 1, 1, 1, 1, 5,
									   5, 3, 3, 3, 3, 2, 2 } };
	struct iol_net *net = nrig_net_up(NULL);
	unsigned int how, i, k;

	for (how = 0; how < 3; how++) {
		struct nrig_spec spec = { .port = { .spoof = how, .ip = OWN_IP, .trunk_all = true },
					  .features = NRIG_BASIC | NRIG_BIT(VIRTIO_NET_F_CSUM) };
		struct nrig_port *a, *b;

		small_mac(spec.port.mac, 1);
		a = nrig_port_up(net, &spec);
		b = nrig_port_up(net, &(struct nrig_spec){ .port = { .trunk_all = true } });
		for (i = 0; i < sizeof(senders) / sizeof(senders[0]); i++) {
			const struct sender *s = &senders[i];
			enum iol_net_drop want = how == IOL_NET_SPOOF_IP    ? s->both
						 : how == IOL_NET_SPOOF_MAC ? s->mac
									    : NONE;
			struct virtio_net_hdr_v1 hdr = { 0 };
			uint64_t before = nrig_all_drops(a), of = 0;
			struct small_frame f = sender_frame(s);

			if (s->csum_start) {
				want = IOL_NET_DROP_BAD_HEADER;
				hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
				hdr.csum_start = s->csum_start;
			}
			if (want != NONE)
				of = nrig_drops(a, want);
			for (k = 0; k < 3; k++) {
				static struct nrig_frame got;

				assert_true(nrig_queue_frame(a, 0, &hdr, f.b, f.len, pieces[k]));
				nrig_publish(a, 0);
				nrig_flush(a);
				if (nrig_take(b, 0, &got) != (want == NONE))
					fail_msg("%s: %s", s->what,
						 want == NONE ? "dropped" : "let in");
			}
			if (want != NONE)
				assert_int_equal(nrig_drops(a, want) - of, 3);
			assert_int_equal(nrig_all_drops(a) - before, want == NONE ? 0 : 3);
		}
		nrig_port_down(&a);
		nrig_port_down(&b);
	}
	nrig_net_down(&net);
}

/* ---- broadcasts ---- */

static void storms(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_spec spec = { .port = { .storm_pps = 50 } };
	struct nrig_port *a = nrig_port_up(net, &spec);
	struct nrig_port *b = nrig_port_up(net, &(struct nrig_spec){ { 0 } });
	uint64_t begin = iol_now(), earned;
	static struct nrig_frame any;
	unsigned int i, got = 0;
	struct small_frame f;

	for (i = 0; i < 200; i++) {
		f = small_frame(i % 2 ? BROADCAST : MULTICAST, 1, UNTAGGED, 60);
		send(a, &f);
		got += nrig_take(b, 0, &any);
		/* Others are not concerned. */
		f = small_frame(9, 1, UNTAGGED, 60);
		send(a, &f);
		gets(b, &f);
	}
	earned = (iol_now() - begin) * 50 / IOL_NS_PER_S;
	assert_in_range(got, 5, 5 + earned + 1);
	assert_int_equal(got + nrig_drops(a, IOL_NET_DROP_STORM), 200);
	assert_int_equal(nrig_stats(a).in_multicast, 200);
	nrig_port_down(&a);
	/* The limit is the port's, however many queues it has. */
	spec.port.pairs = 4;
	spec.features = NRIG_BASIC | NRIG_BIT(VIRTIO_NET_F_MQ);
	a = nrig_port_up(net, &spec);
	begin = iol_now();
	for (i = got = 0; i < 200; i++) {
		f = small_frame(BROADCAST, 1, UNTAGGED, 60);
		nrig_queue_frame(a, i % 4, &(struct virtio_net_hdr_v1){ 0 }, f.b, f.len, NULL);
		nrig_publish(a, i % 4);
		nrig_flush(a);
		got += nrig_take(b, 0, &any);
	}
	earned = (iol_now() - begin) * 50 / IOL_NS_PER_S;
	assert_in_range(got, 5, 5 + earned + 1);
	nrig_port_down(&a);
	spec = (struct nrig_spec){ { 0 } };
	/* However few may pass, some do. */
	spec.port.storm_pps = 2;
	a = nrig_port_up(net, &spec);
	begin = iol_now();
	for (got = 0; got < 3;) {
		assert_true(iol_now() < begin + NRIG_WAIT * IOL_NS_PER_MS);
		f = small_frame(BROADCAST, 1, UNTAGGED, 60);
		send(a, &f);
		got += nrig_take(b, 0, &any);
	}
	assert_true(iol_now() - begin >= IOL_NS_PER_S);
	nrig_port_down(&a);
	nrig_port_down(&b);
	nrig_net_down(&net);
}

/* ---- sizes ---- */

static void mtu_in(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_spec spec = { .port = { .mtu = 1000, .trunk_all = true },
				  .features = NRIG_BASIC | NRIG_BIT(VIRTIO_NET_F_CSUM) |
					      NRIG_BIT(VIRTIO_NET_F_HOST_TSO4) |
					      NRIG_BIT(VIRTIO_NET_F_MTU) };
	struct nrig_port *a = nrig_port_up(net, &spec), *b;
	static uint8_t large[NRIG_FRAME_MAX];
	struct packet pkt = { .tci = -1, .partial = true, .payload = 3000, .gso = 900 };
	struct virtio_net_hdr_v1 hdr;
	static struct nrig_frame any;
	struct small_frame f;
	uint32_t len;

	b = nrig_port_up(net, &(struct nrig_spec){ .port = { .trunk_all = true } });
	f = small_frame(2, 1, UNTAGGED, 1014);
	send(a, &f);
	gets(b, &f);
	f = small_frame(2, 1, 5, 1018);
	send(a, &f);
	gets(b, &f);
	f = small_frame(2, 1, UNTAGGED, 1015);
	send(a, &f);
	f = small_frame(2, 1, 5, 1019);
	send(a, &f);
	nrig_silent(b);
	assert_int_equal(nrig_drops(a, IOL_NET_DROP_IN_TOO_BIG), 2);
	/* Large ones are as large as their segments. */
	len = packet_make(&pkt, &hdr, large);
	nrig_send_with(a, &hdr, large, len);
	assert_int_equal(nrig_drops(a, IOL_NET_DROP_IN_TOO_BIG), 2);
	assert_true(nrig_take(b, 0, &any));
	while (nrig_take(b, 0, &any))
		;
	pkt.gso = 1001;
	len = packet_make(&pkt, &hdr, large);
	nrig_send_with(a, &hdr, large, len);
	nrig_silent(b);
	assert_int_equal(nrig_drops(a, IOL_NET_DROP_IN_TOO_BIG), 3);
	assert_int_equal(nrig_all_drops(a), 3);
	nrig_port_down(&a);
	nrig_port_down(&b);
	nrig_net_down(&net);
}

/* Whatever has to be done with a frame: none comes out that is longer than its receiver takes. */
static void mtu_out(void **state)
{
	static const uint64_t takes[] = { 0, NRIG_BIT(VIRTIO_NET_F_GUEST_CSUM),
					  NRIG_BIT(VIRTIO_NET_F_GUEST_CSUM) |
						  NRIG_BIT(VIRTIO_NET_F_GUEST_TSO4) };
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_spec spec = { .features = NRIG_BASIC | NRIG_BIT(VIRTIO_NET_F_CSUM) |
					      NRIG_BIT(VIRTIO_NET_F_HOST_TSO4) };
	struct nrig_port *a = nrig_port_up(net, &spec), *b;
	static uint8_t frame[NRIG_FRAME_MAX];
	static struct nrig_frame any;
	struct virtio_net_hdr_v1 hdr;
	unsigned int i;
	uint32_t len;

	for (i = 0; i < 3; i++) {
		struct nrig_spec to = { .port = { .mtu = 1000 },
					.features = NRIG_BASIC | takes[i] };
		struct packet pkt = { .tci = -1, .payload = 1000 - 40 };
		uint64_t drops = 0;

		b = nrig_port_up(net, &to);
		for (unsigned int partial = 0; partial < 2; partial++) {
			pkt.partial = partial;
			pkt.payload = 1000 - 40;
			len = packet_make(&pkt, &hdr, frame);
			nrig_send_with(a, &hdr, frame, len);
			assert_true(nrig_take(b, 0, &any));
			assert_int_equal(any.len, len);
			pkt.payload++;
			len = packet_make(&pkt, &hdr, frame);
			nrig_send_with(a, &hdr, frame, len);
			nrig_silent(b);
			assert_int_equal(nrig_drops(b, IOL_NET_DROP_OUT_TOO_BIG), ++drops);
		}
		pkt = (struct packet){ .tci = -1, .payload = 3 * 960, .gso = 960, .partial = true };
		len = packet_make(&pkt, &hdr, frame);
		nrig_send_with(a, &hdr, frame, len);
		for (unsigned int k = 0; k < (i == 2 ? 1u : 3u); k++)
			assert_true(nrig_take(b, 0, &any));
		nrig_silent(b);
		pkt.gso = 1001;
		len = packet_make(&pkt, &hdr, frame);
		nrig_send_with(a, &hdr, frame, len);
		/* What is cut is counted by what it was cut into, and of that all but the last is too long. */
		while (nrig_take(b, 0, &any))
			assert_true(any.len <= 1014);
		assert_true(nrig_drops(b, IOL_NET_DROP_OUT_TOO_BIG) > drops);
		nrig_port_down(&b);
	}
	nrig_port_down(&a);
	nrig_net_down(&net);
}

static void the_front_end_sets_the_mtu(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_spec spec = { .port = { .mtu = 2000 },
				  .features = NRIG_BASIC | NRIG_BIT(VIRTIO_NET_F_MTU) };
	struct nrig_port *a = nrig_port_up(net, &spec);
	struct nrig_port *b = nrig_port_up(net, &(struct nrig_spec){ { 0 } });
	struct virtio_net_config config;
	struct small_frame f;

	assert_int_equal(iol_frontend_get_config(a->fe, 0, &config,
						 offsetof(struct virtio_net_config, mtu) + 2),
			 0);
	assert_int_equal(config.mtu, 2000);
	assert_int_equal(config.status, VIRTIO_NET_S_LINK_UP);
	assert_int_equal(config.max_virtqueue_pairs, 1);
	assert_int_equal(iol_net_port_mtu(a->port), 2000);
	assert_int_equal(iol_net_port_mtu(b->port), IOL_NET_MTU_MAX);
	assert_int_equal(iol_frontend_set_mtu(a->fe, 1000), 0);
	assert_int_equal(iol_net_port_mtu(a->port), 1000);
	assert_int_equal(iol_frontend_set_mtu(a->fe, 2001), -EREMOTEIO);
	assert_int_equal(iol_frontend_set_mtu(a->fe, 67), -EREMOTEIO);
	assert_int_equal(iol_net_port_mtu(a->port), 1000);
	f = small_frame(BROADCAST, 1, UNTAGGED, 1014);
	send(a, &f);
	gets(b, &f);
	send(b, &f);
	gets(a, &f);
	f = small_frame(BROADCAST, 1, UNTAGGED, 1015);
	send(a, &f);
	send(b, &f);
	nrig_silent(a);
	nrig_silent(b);
	assert_int_equal(nrig_drops(a, IOL_NET_DROP_IN_TOO_BIG), 1);
	assert_int_equal(nrig_drops(a, IOL_NET_DROP_OUT_TOO_BIG), 1);
	/* The next front end has not said so. */
	nrig_disconnect(a);
	nrig_connect(a);
	assert_int_equal(iol_net_port_mtu(a->port), 2000);
	nrig_port_down(&a);
	nrig_port_down(&b);
	nrig_net_down(&net);
}

/* ---- migration ---- */

/* Wherever addresses are looked at, the announcement of the guest's own comes through. */
static void rarp(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	unsigned int how;

	for (how = 0; how < 3; how++) {
		struct nrig_spec spec = { .port = { .spoof = how, .ip = OWN_IP, .vlan = 5 } };
		struct nrig_port *a, *b, *c;
		static struct nrig_frame f;
		uint8_t own[6], other[6];
		struct iol_net_address known[4];

		small_mac(spec.port.mac, 1);
		a = nrig_port_up(net, &spec);
		b = nrig_port_up(net, &(struct nrig_spec){ .port = { .trunk_all = true } });
		c = nrig_port_up(net, &(struct nrig_spec){ { 0 } });
		small_mac(own, 1);
		small_mac(other, 2);
		assert_int_equal(iol_frontend_send_rarp(a->fe, own), 0);
		nrig_wait(b, 0, &f);
		assert_int_equal(f.len, 64);
		assert_memory_equal(f.data, "\xff\xff\xff\xff\xff\xff", 6);
		assert_memory_equal(f.data + 6, own, 6);
		assert_memory_equal(f.data + 12,
				    "\x81\x00\x00\x05\x80\x35\x00\x01\x08\x00\x06\x04\x00\x03", 14);
		assert_memory_equal(f.data + 26, own, 6);
		assert_memory_equal(f.data + 36, own, 6);
		nrig_silent(c);
		assert_int_equal(iol_net_addresses(net, known, 4), 1);
		assert_memory_equal(known[0].mac, own, 6);
		assert_string_equal(known[0].port, a->name);
		assert_int_equal(known[0].vlan, 5);
		if (how != IOL_NET_SPOOF_ALLOW) {
			assert_int_equal(iol_frontend_send_rarp(a->fe, other), 0);
			assert_int_equal(iol_net_addresses(net, known, 4), 1);
			nrig_silent(b);
		}
		nrig_port_down(&a);
		nrig_port_down(&b);
		nrig_port_down(&c);
	}
	nrig_net_down(&net);
}

/* ---- reasons that are nobody's policy ---- */

static void receivers_that_cannot(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_spec spec = { .features = NRIG_BASIC | NRIG_BIT(VIRTIO_NET_F_CSUM) |
					      NRIG_BIT(VIRTIO_NET_F_HOST_TSO4) };
	struct nrig_spec idle = { .no_start = true }, dry = { .no_rx = true };
	struct nrig_spec small = { .features = NRIG_BIT(VIRTIO_F_VERSION_1), .rx_len = 100 };
	struct nrig_spec few = { .rx_buffers = 2, .rx_len = 64 };
	struct nrig_port *a = nrig_port_up(net, &spec), *b;
	struct packet pkt = { .tci = -1, .partial = true, .payload = 3000, .gso = 900 };
	static uint8_t frame[NRIG_FRAME_MAX];
	struct virtio_net_hdr_v1 hdr;
	struct small_frame f = small_frame(2, 1, UNTAGGED, 89);
	uint32_t len;

	b = nrig_port_up(net, &idle);
	send(a, &f);
	assert_int_equal(nrig_drops(b, IOL_NET_DROP_NOT_RUNNING), 1);
	assert_int_equal(nrig_all_drops(b), 1);
	nrig_port_down(&b);

	b = nrig_port_up(net, &dry);
	send(a, &f);
	assert_int_equal(nrig_drops(b, IOL_NET_DROP_NO_BUFFERS), 1);
	assert_int_equal(nrig_all_drops(b), 1);
	nrig_port_down(&b);

	b = nrig_port_up(net, &small);
	send(a, &f);
	assert_int_equal(nrig_drops(b, IOL_NET_DROP_SMALL_BUFFER), 1);
	/* It is not lost for what fits. */
	f = small_frame(2, 1, UNTAGGED, 88);
	send(a, &f);
	gets(b, &f);
	assert_int_equal(nrig_all_drops(b), 1);
	nrig_port_down(&b);

	/* The same among several. */
	b = nrig_port_up(net, &few);
	f = small_frame(2, 1, UNTAGGED, 117);
	assert_true(nrig_queue_frame(a, 0, NULL, f.b, f.len, NULL));
	f = small_frame(2, 1, UNTAGGED, 116);
	send(a, &f);
	gets(b, &f);
	assert_int_equal(nrig_drops(b, IOL_NET_DROP_NO_BUFFERS), 1);
	assert_int_equal(nrig_all_drops(b), 1);
	nrig_port_down(&b);

	/* Who says that it is TCP, and is not, must not be cut. */
	b = nrig_port_up(net, &(struct nrig_spec){ { 0 } });
	len = packet_make(&pkt, &hdr, frame);
	frame[23] = 17;
	nrig_send_with(a, &hdr, frame, len);
	nrig_silent(b);
	assert_int_equal(nrig_drops(b, IOL_NET_DROP_NOT_SEGMENTABLE), 1);
	assert_int_equal(nrig_all_drops(b), 1);
	nrig_port_down(&b);
	assert_int_equal(nrig_all_drops(a), 0);
	nrig_port_down(&a);
	nrig_net_down(&net);
}

static void senders_that_cannot(void **state)
{
	struct iol_net *net = nrig_net_up(NULL);
	struct nrig_port *a = nrig_port_up(net, &(struct nrig_spec){ { 0 } });
	struct nrig_port *b = nrig_port_up(net, &(struct nrig_spec){ { 0 } });
	struct small_frame f = small_frame(2, 1, UNTAGGED, 60);
	struct virtio_net_hdr_v1 hdr = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34 };
	static uint8_t large[NRIG_FRAME_MAX];
	uint32_t len;

	for (len = 0; len < 14; len++)
		nrig_send(a, f.b, len);
	assert_int_equal(nrig_drops(a, IOL_NET_DROP_RUNT), 14);
	nrig_send_with(a, &hdr, f.b, f.len);
	assert_int_equal(nrig_drops(a, IOL_NET_DROP_BAD_HEADER), 1);
	nrig_send(a, large, IOL_FRAME_MAX + 1);
	assert_int_equal(nrig_drops(a, IOL_NET_DROP_IN_TOO_BIG), 1);
	assert_int_equal(nrig_all_drops(a), 16);
	nrig_silent(b);
	assert_int_equal(nrig_all_drops(b), 0);
	nrig_send(a, f.b, 14);
	nrig_gets(b, f.b, 14);
	nrig_port_down(&a);
	nrig_port_down(&b);
	nrig_net_down(&net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vlans),
		cmocka_unit_test(vlans_learn_apart),
		cmocka_unit_test(vlans_of_patched_ports),
		cmocka_unit_test(spoofing),
		cmocka_unit_test(storms),
		cmocka_unit_test(mtu_in),
		cmocka_unit_test(mtu_out),
		cmocka_unit_test(the_front_end_sets_the_mtu),
		cmocka_unit_test(rarp),
		cmocka_unit_test(receivers_that_cannot),
		cmocka_unit_test(senders_that_cannot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
