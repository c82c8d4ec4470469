/* SPDX-License-Identifier: BSD-3-Clause */
#include "memlock.h"

#include "vfio/host.h"

#include <linux/capability.h>
#include <string.h>

/* What follows @label and blanks in a file of "LABEL VALUE" lines; NULL when there is none. */
static const char *value_after(const char *text, const char *label)
{
	const char *s = text ? strstr(text, label) : NULL;

	if (!s)
		return NULL;
	s += strlen(label);
	return s + strspn(s, " \t");
}

bool memlock_of(const struct iol_host *host, const char *process, struct memlock *limit)
{
	_cleanup_free_ char *limits = iol_host_text(host, "proc/%s/limits", process);
	_cleanup_free_ char *status = iol_host_text(host, "proc/%s/status", process);
	const char *bytes = value_after(limits, "Max locked memory");
	const char *caps = value_after(status, "CapEff:");

	if (!bytes)
		return false;
	limit->bytes = strncmp(bytes, "unlimited", 9) != 0 ? strtoull(bytes, NULL, 10) : UINT64_MAX;
	limit->exempt = caps && strtoull(caps, NULL, 16) & 1ull << CAP_IPC_LOCK;
	return true;
}
