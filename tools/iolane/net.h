/* SPDX-License-Identifier: BSD-3-Clause */
/* The verbs of "iolane net", which speak to the control socket of a running iolane-net. */
#ifndef TOOLS_IOLANE_NET_H
#define TOOLS_IOLANE_NET_H

#include "verb.h"

extern const struct verb net_add_port, net_addresses, net_del_port, net_list, net_stats;

#endif
