/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a frame goes: what may come in, learning, looking up, and sending a burst on by port. */
#include "vhost-user/net/switch.h"

#include "base/clock.h"

#include <linux/if_ether.h>

/* What a limit of broadcasts allows at once: a tenth of a second's. */
#define STORM_BURSTS 10

/* ---- what may come in ---- */

/* The VLAN that a frame belongs to; of a tag that says none, the port's. */
static inline bool classify(const struct iol_net_port *port, struct iol_frame *f)
{
	uint16_t vid;
	uint8_t *tci;

	f->vlan = port->vlan;
	f->tagged = false;
	if (__builtin_expect(iol_frame_u16(f->head + FRAME_TAG_AT) != FRAME_VLAN, 1))
		return true;
	if (f->head_len < FRAME_ETHER + FRAME_TAG)
		return false;
	f->tagged = true;
	/* In our copy, so the tag says what the switch takes it for. */
	tci = (uint8_t *)(uintptr_t)f->head + FRAME_TAG_AT + 2;
	vid = iol_frame_u16(tci) & FRAME_VID;
	if (vid) {
		f->vlan = vid;
		return vid <= IOL_NET_VLAN_MAX &&
		       (port->trunk_all || iol_net_vlan_isset(port->trunk, vid));
	}
	tci[0] |= (uint8_t)(port->vlan >> 8);
	tci[1] = (uint8_t)port->vlan;
	return true;
}

/* ARP (RFC 826) and IPv4 senders; other protocols have no IPv4 address to lie about. */
static bool is_ip_spoofed(const struct iol_net_port *port, const struct iol_frame *f)
{
	unsigned int at = f->tagged ? FRAME_TAG_AT + FRAME_TAG : FRAME_TAG_AT;
	uint16_t type = iol_frame_u16(f->head + at);
	uint32_t ip;

	if (type == ETH_P_ARP || type == ETH_P_RARP) {
		uint64_t sender;

		if (f->head_len < at + 2 + 18)
			return true;
		sender = iol_fdb_mac(f->head + at + 2 + 8);
		memcpy(&ip, f->head + at + 2 + 14, sizeof(ip));
		/* A probe for an address asks with 0 (RFC 5227), and so does who looks for its own. */
		return sender != port->mac_key || (ip && ip != port->ip);
	}
	if (type != ETH_P_IP)
		return type == ETH_P_8021Q || type == ETH_P_8021AD;
	if (f->head_len < at + 2 + 16)
		return true;
	memcpy(&ip, f->head + at + 2 + 12, sizeof(ip));
	/* Who asks a DHCP server for an address has none. */
	return ip && ip != port->ip;
}

/* A bucket that fills at the limit's rate; all queues of the port take from it, under its lock. */
static bool take_from_bucket(struct iol_net_port *port, uint64_t now)
{
	/* A limit below STORM_BURSTS allows one at once. */
	uint64_t pps = port->storm_pps, most = pps / STORM_BURSTS ? pps / STORM_BURSTS : 1;
	uint64_t passed, earned;

	if (!port->storm_left) {
		passed = now > port->storm_at ? now - port->storm_at : 0;
		if (passed > IOL_NS_PER_S)
			passed = IOL_NS_PER_S;
		earned = passed * pps / IOL_NS_PER_S;
		if (!earned)
			return false;
		/* Time that earned less than a whole frame goes on counting, unless the bucket is full. */
		if (earned >= most)
			port->storm_at = now;
		else
			port->storm_at = now - passed + earned * IOL_NS_PER_S / pps;
		port->storm_left = earned < most ? earned : most;
	}
	port->storm_left--;
	return true;
}

static bool is_storm(struct iol_net_port *port)
{
	bool allowed;

	if (!port->storm_pps)
		return false;
	pthread_spin_lock(&port->storm_lock);
	allowed = take_from_bucket(port, iol_now());
	pthread_spin_unlock(&port->storm_lock);
	return !allowed;
}

/* Return: the reason to drop the frame, or IOL_NET_DROP_REASONS. */
static inline enum iol_net_drop check_in(struct net_source *s, struct iol_frame *f)
{
	const struct iol_net_port *port = s->port;

	if (__builtin_expect(!classify(port, f), 0))
		return IOL_NET_DROP_IN_VLAN;
	if (__builtin_expect(iol_frame_exceeds(f, __atomic_load_n(&port->mtu, __ATOMIC_RELAXED)),
			     0))
		return IOL_NET_DROP_IN_TOO_BIG;
	if (__builtin_expect(port->spoof != IOL_NET_SPOOF_ALLOW, 0)) {
		if (iol_fdb_mac(f->head + 6) != port->mac_key)
			return IOL_NET_DROP_SPOOF_MAC;
		if (port->spoof == IOL_NET_SPOOF_IP && is_ip_spoofed(port, f))
			return IOL_NET_DROP_SPOOF_IP;
	}
	if (__builtin_expect(iol_frame_is_multicast(f), 0)) {
		IOL_STAT_ADD(s->multicast, 1);
		if (is_storm(s->port))
			return IOL_NET_DROP_STORM;
	}
	return IOL_NET_DROP_REASONS;
}

/* ---- where it goes ---- */

static void send_groups(struct net_thread *th)
{
	unsigned int i;

	for (i = 0; i < th->ngroups; i++) {
		struct net_group *g = &th->group[i];

		g->to->out(th, g->to, g->frame, g->num);
	}
	th->ngroups = 0;
}

static inline void send_to(struct net_thread *th, struct iol_net_port *to, struct iol_frame *f)
{
	struct net_group *g = th->group;
	unsigned int i;

	for (i = 0; i < th->ngroups; i++, g++)
		if (g->to == to) {
			g->frame[g->num++] = f;
			return;
		}
	if (i == NET_GROUPS) {
		send_groups(th);
		g = th->group;
	}
	g->to = to;
	g->num = 1;
	g->frame[0] = f;
	th->ngroups++;
}

/* Whether a frame of @from's may go to @to at all. */
static inline bool may_reach(const struct iol_net *net, const struct iol_net_port *from,
			     const struct iol_net_port *to)
{
	return from != to && (net->mode != IOL_NET_BRIDGE || from->uplink || to->uplink);
}

/* To everybody who may have it, after what came before it. */
static void flood(struct net_thread *th, struct net_source *s, struct iol_frame *f)
{
	const struct net_ports *ports = th->ports;
	unsigned int i, n = 0;

	send_groups(th);
	for (i = 0; i < ports->num; i++) {
		struct iol_net_port *to = ports->list[i];

		if (!may_reach(th->net, s->port, to) || !iol_net_port_has_vlan(to, f->vlan))
			continue;
		to->out(th, to, &f, 1);
		n++;
	}
	if (!n)
		iol_switch_drop(s, IOL_NET_DROP_NOWHERE);
}

static inline void learn(struct net_thread *th, struct net_source *s, const struct iol_frame *f)
{
	uint64_t key = iol_fdb_key(iol_fdb_mac(f->head + 6), f->vlan);

	/* Its sender's other frames, as long as nobody's place changed. */
	if (key == s->last_source && th->now_s == s->last_learned &&
	    iol_fdb_changes(th->net->fdb) == s->last_changes)
		return;
	iol_fdb_learn(th->net->fdb, key, s->port->index, th->now_s);
	s->last_source = key;
	s->last_learned = th->now_s;
	s->last_changes = iol_fdb_changes(th->net->fdb);
}

/* The one port that a frame is for; NULL after it was dropped, or sent to all. */
static struct iol_net_port *route(struct net_thread *th, struct net_source *s, struct iol_frame *f,
				  uint64_t key)
{
	struct iol_net_port *to;
	int index;

	if (iol_frame_is_multicast(f)) {
		flood(th, s, f);
		return NULL;
	}
	index = iol_fdb_lookup(th->net->fdb, key);
	to = index < 0 ? NULL : th->ports->by_index[index];
	if (!to) {
		flood(th, s, f);
		return NULL;
	}
	if (__builtin_expect(to != s->port && may_reach(th->net, s->port, to) &&
				     iol_net_port_has_vlan(to, f->vlan),
			     1))
		return to;
	iol_switch_drop(s, to == s->port ? IOL_NET_DROP_SAME_PORT : IOL_NET_DROP_NOWHERE);
	return NULL;
}

/* The first port and the second, and so on: by what index they have. */
static void patch(struct net_thread *th, struct net_source *s, struct iol_frame *f)
{
	struct iol_net_port *to = th->ports->by_index[s->port->index ^ 1u];

	if (to && iol_net_port_has_vlan(to, f->vlan))
		send_to(th, to, f);
	else
		iol_switch_drop(s, IOL_NET_DROP_NOWHERE);
}

void iol_switch(struct net_thread *th, struct net_source *s, struct iol_frame *frames,
		unsigned int n)
{
	bool patched = th->net->mode == IOL_NET_PATCH;
	/* Frames come in trains, and a look-up does for all of one. */
	struct iol_net_port *last = NULL;
	uint64_t last_key = 0, key;
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct iol_frame *f = &frames[i];
		enum iol_net_drop why = check_in(s, f);

		if (__builtin_expect(why != IOL_NET_DROP_REASONS, 0)) {
			iol_switch_drop(s, why);
			continue;
		}
		if (patched) {
			patch(th, s, f);
			continue;
		}
		learn(th, s, f);
		key = iol_fdb_key(iol_fdb_mac(f->head), f->vlan);
		if (!last || key != last_key) {
			last = route(th, s, f, key);
			last_key = key;
		}
		if (last)
			send_to(th, last, f);
	}
	send_groups(th);
}
