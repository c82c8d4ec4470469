/* SPDX-License-Identifier: BSD-3-Clause */
#include "net.h"

static const struct verb_row rows[] = {
	{ "add-port", &net_add_port }, { "del-port", &net_del_port },   { "list", &net_list },
	{ "stats", &net_stats },       { "addresses", &net_addresses },
};

const struct verb_group net_group = {
	.name = "net",
	.program = "iolane-net",
	.opts_help = VERB_OPTS_HELP("iolane-net"),
	.rows = rows,
	.num = sizeof(rows) / sizeof(rows[0]),
};
