/* SPDX-License-Identifier: BSD-3-Clause */
/* What all ports have in common, and the public functions about them. */
#include "vhost-user/net/port.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"
#include "vhost-user/net/guest.h"
#include "vhost-user/net/offload.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <rte_lcore.h>

static int check(const struct iol_net_port_spec *spec)
{
	uint64_t mac = iol_fdb_mac(spec->mac);

	if (!spec->name || !spec->name[0] || strlen(spec->name) > 63)
		return iol_fail(EINVAL, "a port needs a name of 1 to 63 bytes");
	if (!spec->uplink && (!spec->pairs || spec->pairs > IOL_NET_PAIRS_MAX))
		return iol_fail(EINVAL, "port %s can have 1 to %u queue pairs, not %u", spec->name,
				IOL_NET_PAIRS_MAX, spec->pairs);
	if (spec->vlan > IOL_NET_VLAN_MAX)
		return iol_fail(EINVAL, "port %s: VLANs go from 0 to %u, and %u is none",
				spec->name, IOL_NET_VLAN_MAX, spec->vlan);
	if (spec->mtu && (spec->mtu < IOL_NET_MTU_MIN || spec->mtu > IOL_NET_MTU_MAX))
		return iol_fail(EINVAL, "port %s: an MTU is %u to %u bytes, not %u", spec->name,
				IOL_NET_MTU_MIN, IOL_NET_MTU_MAX, spec->mtu);
	if (spec->mac[0] & 1)
		return iol_fail(
			EINVAL,
			"port %s: %02x:… is a group's address, and can't be a NIC's: its first "
			"byte must be even",
			spec->name, spec->mac[0]);
	if (spec->spoof != IOL_NET_SPOOF_ALLOW && !mac)
		return iol_fail(EINVAL,
				"port %s: to see who sends from another's address, its own must be "
				"known: give it a MAC address",
				spec->name);
	if (spec->spoof == IOL_NET_SPOOF_IP && !spec->ip)
		return iol_fail(EINVAL, "port %s: give the IPv4 address that it may send from",
				spec->name);
	return 0;
}

static int fill_in(struct iol_net_port *port, struct iol_net *net,
		   const struct iol_net_port_spec *spec)
{
	port->net = net;
	port->uplink = spec->uplink;
	memcpy(port->mac, spec->mac, sizeof(port->mac));
	port->mac_key = iol_fdb_mac(spec->mac);
	port->vlan = spec->vlan;
	port->trunk_all = spec->trunk_all;
	memcpy(port->trunk, spec->trunk, sizeof(port->trunk));
	port->spoof = spec->spoof;
	port->ip = htonl(spec->ip);
	port->storm_pps = spec->storm_pps;
	pthread_spin_init(&port->storm_lock, PTHREAD_PROCESS_PRIVATE);
	if (!port->mtu)
		port->mtu = spec->mtu ? spec->mtu : IOL_NET_MTU_MAX;
	port->name = strdup(spec->name);
	return port->name ? 0 : iol_fail(ENOMEM, "no memory for a port");
}

static void free_port(struct iol_net_port **port)
{
	free(iol_take_ptr((*port)->name));
	if ((*port)->uplink)
		iol_uplink_free(port);
	else
		iol_guest_free(port);
}

int iol_net_port_new(struct iol_net *net, const struct iol_net_port_spec *spec,
		     struct iol_net_port **out)
{
	struct iol_net_port *port;
	int rc = check(spec);

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&net->making);
	rc = spec->uplink ? iol_uplink_new(net, spec, &port) : iol_guest_new(spec, &port);
	if (rc < 0)
		goto unlock;
	rc = fill_in(port, net, spec);
	if (!rc)
		rc = iol_net_add_port(net, port);
	if (rc < 0) {
		free_port(&port);
		goto unlock;
	}
	if (port->uplink)
		rc = iol_uplink_start(port);
	if (rc < 0) {
		iol_net_remove_port(net, port);
		free_port(&port);
	} else {
		*out = port;
	}
unlock:
	pthread_mutex_unlock(&net->making);
	return rc;
}

void iol_net_port_destroy(struct iol_net_port **p)
{
	struct iol_net_port *port = iol_take_ptr(*p);
	struct iol_net *net;

	if (!port)
		return;
	net = port->net;
	pthread_mutex_lock(&net->making);
	if (port->uplink)
		iol_uplink_stop(port);
	iol_net_remove_port(net, port);
	free_port(&port);
	pthread_mutex_unlock(&net->making);
}

struct iol_device *iol_net_port_device(struct iol_net_port *port)
{
	return port->uplink ? NULL : ((struct net_guest *)(void *)port)->device;
}

int iol_net_port_thread(const struct iol_net_port *port, unsigned int pair)
{
	const struct net_guest *g = (const struct net_guest *)(const void *)port;
	const struct net_thread *th;

	if (port->uplink)
		return pair ? -1 : iol_uplink_thread(port);
	if (pair >= g->pairs)
		return -1;
	th = __atomic_load_n(&g->pair[pair].tx.source.thread, __ATOMIC_RELAXED);
	return th ? (int)th->index : -1;
}

unsigned int iol_net_port_mtu(const struct iol_net_port *port)
{
	return __atomic_load_n(&port->mtu, __ATOMIC_RELAXED);
}

bool iol_net_port_link(const struct iol_net_port *port)
{
	return port->uplink ? iol_uplink_link(port) : iol_guest_link(port);
}

/* ---- statistics ---- */

void iol_net_add_source(const struct net_source *s, struct iol_net_port_stats *stats)
{
	unsigned int i;

	stats->in_packets += IOL_STAT_GET(s->packets);
	stats->in_bytes += IOL_STAT_GET(s->bytes);
	stats->in_multicast += IOL_STAT_GET(s->multicast);
	for (i = 0; i < IOL_NET_DROP_REASONS; i++)
		stats->drops[i] += IOL_STAT_GET(s->drops[i]);
}

void iol_net_add_sink(const struct net_sink *s, struct iol_net_port_stats *stats)
{
	unsigned int i;

	stats->out_packets += IOL_STAT_GET(s->packets);
	stats->out_bytes += IOL_STAT_GET(s->bytes);
	stats->checksums += IOL_STAT_GET(s->checksums);
	stats->segmented += IOL_STAT_GET(s->segmented);
	for (i = 0; i < IOL_NET_DROP_REASONS; i++)
		stats->drops[i] += IOL_STAT_GET(s->drops[i]);
}

void iol_net_port_stats(const struct iol_net_port *port, struct iol_net_port_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	if (port->uplink)
		iol_uplink_add_stats(port, stats);
	else
		iol_guest_add_stats(port, stats);
}

/* ---- frames of our own ---- */

void iol_net_port_inject(struct iol_net_port *port, struct net_source *s, uint8_t *data,
			 uint32_t len)
{
	struct iol_net *net = port->net;
	struct net_thread *th = net->control;
	/* As much of it in the head as any check wants to see. */
	uint32_t head = len < FRAME_HEAD_MAX ? len : FRAME_HEAD_MAX;
	struct iovec rest = { .iov_base = data + head, .iov_len = len - head };
	struct iol_frame f = {
		.iov = &rest, .niov = len > head ? 1 : 0, .len = len, .head_len = (uint16_t)head
	};
	/* The source is a poll thread's, and this one's counters and last address are nobody's. */
	struct net_source own = { .port = s->port };

	pthread_mutex_lock(&net->lock);
	memcpy(th->head[0], data, head);
	f.head = th->head[0];
	th->ports = net->ports;
	th->now_s = (uint32_t)(iol_now() / IOL_NS_PER_S);
	iol_switch(th, &own, &f, 1);
	pthread_mutex_unlock(&net->lock);
}
