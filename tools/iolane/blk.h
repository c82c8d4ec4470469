/* SPDX-License-Identifier: BSD-3-Clause */
/* The verbs of "iolane blk", which speak to the control socket of a running iolane-blk. */
#ifndef TOOLS_IOLANE_BLK_H
#define TOOLS_IOLANE_BLK_H

#include "verb.h"

extern const struct verb blk_add, blk_del, blk_list, blk_resize, blk_stats;

#endif
