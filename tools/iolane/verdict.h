/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether a function can be passed through, and what stands in the way. */
#ifndef TOOLS_IOLANE_VERDICT_H
#define TOOLS_IOLANE_VERDICT_H

#include "device.h"

/**
 * verdict_json() - {"passthrough": "yes", "with-group" or "no", "sentence": …, "obstacles": [{"what", "todo"}]}.
 * Return: for the caller to put; NULL with the sentence set.
 */
struct json_object *verdict_json(const struct iol_host *host, const struct devices *d,
				 const struct iol_pci_info *info);

/** resv_kind() - A kind of reserved region as sysfs has it; and what it means. */
const char *resv_kind(enum iol_resv kind, const char **meaning);

#endif
