/* SPDX-License-Identifier: BSD-3-Clause */
/* What a control client can ask for: add, del, list, resize, stats. */
#ifndef TOOLS_IOLANE_BLK_VERBS_H
#define TOOLS_IOLANE_BLK_VERBS_H

#include "disks.h"

#include "tools/common/ctl_server.h"

#define DISK_VERBS 5

/* Their context is a struct disks. */
extern const struct ctl_verb disk_verbs[DISK_VERBS];

/** stats_report() - The result of "stats": of one disk, or of all when @only is NULL. */
struct json_object *stats_report(const struct disks *disks, const struct disk *only);

#endif
