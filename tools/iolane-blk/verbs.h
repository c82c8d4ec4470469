/* SPDX-License-Identifier: BSD-3-Clause */
/* What a control client can ask for: add, del, list, resize, stats. */
#ifndef TOOLS_IOLANE_BLK_VERBS_H
#define TOOLS_IOLANE_BLK_VERBS_H

#include "disks.h"

#include <json-c/json_object.h>

/**
 * verbs_answer() - Do what one request says.
 * @line: @len bytes without newline, from the client as they came.
 *
 * Return: the reply with its newline, for the caller to free; NULL without memory.
 */
char *verbs_answer(struct disks *disks, const char *line, size_t len);

/** verbs_refuse() - The reply to what cannot be answered: an error of this sentence. */
char *verbs_refuse(const char *sentence);

/** stats_report() - The result of "stats": of one disk, or of all when @only is NULL. */
struct json_object *stats_report(const struct disks *disks, const struct disk *only);

#endif
