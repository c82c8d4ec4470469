/* SPDX-License-Identifier: BSD-3-Clause */
/* What a port is told: by options of its own, by --port KEY=VALUE,… and by the control socket. */
#ifndef TOOLS_IOLANE_NET_PORT_OPTS_H
#define TOOLS_IOLANE_NET_PORT_OPTS_H

#include "tools/common/endpoint.h"
#include "tools/common/settings.h"

#include <iolane/net.h>

/* As many as a guest will use: a front end that wants more than it is offered gives up. */
#define PORT_QUEUES_DEFAULT IOL_NET_PAIRS_MAX
/* Where names are told with addresses there is room for so many letters. */
#define PORT_NAME_MAX 63

/**
 * struct port_opts - A port's settings; strings are owned.
 * @name: NULL for one that is made up.
 * @uplink: devargs; NULL for a guest's port.
 * @spec: all the others, but its strings.
 * @seen: bits of the settings that were given, by their place in port_settings.
 */
struct port_opts {
	char *name;
	char *uplink;
	struct endpoint ep;
	struct iol_net_port_spec spec;
	uint64_t seen;
};

/* How many options they make. */
#define PORT_OPTIONS 14

/* What can be said by "--port", by options, and by "add-port" on the control socket. */
extern const struct settings port_settings;

/** port_opts_init() - The defaults. */
void port_opts_init(struct port_opts *o);

/** port_opts_free() - Free the strings and close the descriptor; what was taken is not there. */
void port_opts_free(struct port_opts *o);

/**
 * port_opts_check() - Whether the settings go together, and what follows from those left out.
 * @dashes: settings are named as options ("--mac") and not as keys ("mac").
 */
int port_opts_check(struct port_opts *o, bool dashes);

/* Values as they are written; the text is static, valid until the next call. */
const char *port_format_mac(const uint8_t *mac);
const char *port_format_ip(uint32_t ip);
const char *port_format_spoof(enum iol_net_spoof spoof);

/** port_format_trunk() - "all", "10-20+30" or ""; for the caller to free. NULL without memory. */
char *port_format_trunk(const struct iol_net_port_spec *spec);

#endif
