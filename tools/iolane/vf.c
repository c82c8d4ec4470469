/* SPDX-License-Identifier: BSD-3-Clause */
#include "vf.h"

static const struct verb_row rows[] = {
	{ "list", &vf_list },   { "create", &vf_create },   { "set", &vf_set },
	{ "stats", &vf_stats }, { "destroy", &vf_destroy },
};

const struct verb_group vf_group = {
	.name = "vf",
	.opts_help = HOST_OPTS_HELP,
	.rows = rows,
	.num = sizeof(rows) / sizeof(rows[0]),
};
