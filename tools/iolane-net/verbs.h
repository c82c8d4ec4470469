/* SPDX-License-Identifier: BSD-3-Clause */
/* What a control client can ask for: add-port, del-port, list, stats, addresses. */
#ifndef TOOLS_IOLANE_NET_VERBS_H
#define TOOLS_IOLANE_NET_VERBS_H

#include "ports.h"
#include "tools/common/ctl_server.h"

#define PORT_VERBS 5

/* Their context is a struct ports. */
extern const struct ctl_verb port_verbs[PORT_VERBS];

/** stats_report() - The result of "stats": of one port, or of all when @only is NULL. */
struct json_object *stats_report(const struct ports *ports, const struct port *only);

#endif
