/* SPDX-License-Identifier: BSD-3-Clause */
/* The two kinds of ports, to who makes them and asks about them. */
#ifndef IOL_VHOST_USER_NET_PORT_H
#define IOL_VHOST_USER_NET_PORT_H

#include "vhost-user/net/switch.h"

/** iol_guest_new(), iol_uplink_new() - Allocate a port of that kind; all but its own part is the caller's. */
int iol_guest_new(const struct iol_net_port_spec *spec, struct iol_net_port **port);
void iol_guest_free(struct iol_net_port **port);
void iol_guest_add_stats(const struct iol_net_port *port, struct iol_net_port_stats *stats);
bool iol_guest_link(const struct iol_net_port *port);

/** iol_uplink_new() - The same; its device is probed and set up, and started by iol_uplink_start(). */
int iol_uplink_new(struct iol_net *net, const struct iol_net_port_spec *spec,
		   struct iol_net_port **port);
int iol_uplink_start(struct iol_net_port *port);
void iol_uplink_stop(struct iol_net_port *port);
void iol_uplink_free(struct iol_net_port **port);
void iol_uplink_add_stats(const struct iol_net_port *port, struct iol_net_port_stats *stats);
bool iol_uplink_link(const struct iol_net_port *port);
int iol_uplink_thread(const struct iol_net_port *port);

/** iol_net_port_inject() - Have the switch take a frame for one that came in by a source of @port. */
void iol_net_port_inject(struct iol_net_port *port, struct net_source *s, uint8_t *data,
			 uint32_t len);

/** iol_net_add_source(), iol_net_add_sink() - Add what one of a port's queues has counted. */
void iol_net_add_source(const struct net_source *s, struct iol_net_port_stats *stats);
void iol_net_add_sink(const struct net_sink *s, struct iol_net_port_stats *stats);

#endif
