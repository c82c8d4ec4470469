/* SPDX-License-Identifier: BSD-3-Clause */
#include "blk.h"

static const struct verb_row rows[] = {
	{ "add", &blk_add },       { "del", &blk_del },     { "list", &blk_list },
	{ "resize", &blk_resize }, { "stats", &blk_stats },
};

const struct verb_group blk_group = {
	.name = "blk",
	.program = "iolane-blk",
	.opts_help = VERB_OPTS_HELP("iolane-blk"),
	.rows = rows,
	.num = sizeof(rows) / sizeof(rows[0]),
};
