/* SPDX-License-Identifier: BSD-3-Clause */
/* The ports that this process has. Only the main thread uses them. */
#ifndef TOOLS_IOLANE_NET_PORTS_H
#define TOOLS_IOLANE_NET_PORTS_H

#include "port_opts.h"

/**
 * struct port - A port, the socket it is served on where it is a guest's, and what it was told.
 * @reported: its statistics when they were last written to the log.
 */
struct port {
	struct port *next;
	struct port_opts opts;
	struct iol_net_port *port;
	struct iol_server *server;
	struct iol_net_port_stats reported;
};

/** struct ports - All of them, in the order they came; and the net they belong to. */
struct ports {
	struct iol_net *net;
	enum iol_net_mode mode;
	struct port *first;
	unsigned int num_guests;
	unsigned int num_fds;
};

/**
 * ports_add() - Make a port, and serve it where it is a guest's.
 * @opts: checked already; taken over, also when this fails.
 *
 * Return: 0, or a negative errno with the sentence set.
 */
int ports_add(struct ports *s, struct port_opts *opts, struct port **added);

/** ports_find() - By name; NULL with the sentence set when there is none. */
struct port *ports_find(const struct ports *s, const char *name);

/** ports_del() - End the connection and free the port. */
void ports_del(struct ports *s, struct port *p);

/** ports_del_all() - The last one that came goes first. */
void ports_del_all(struct ports *s);

/** ports_reap() - Free the ports whose --fd socket was closed by its front end. */
void ports_reap(struct ports *s);

#endif
