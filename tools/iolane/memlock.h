/* SPDX-License-Identifier: BSD-3-Clause */
/* How much memory a process may lock: a guest with a device has all of its memory locked. */
#ifndef TOOLS_IOLANE_MEMLOCK_H
#define TOOLS_IOLANE_MEMLOCK_H

#include <iolane/vfio.h>

/**
 * struct memlock - Of a process.
 * @bytes: the limit; UINT64_MAX for none. @exempt: it does not hold for this one (CAP_IPC_LOCK).
 */
struct memlock {
	uint64_t bytes;
	bool exempt;
};

/** memlock_of() - By what its files say; @process is "self" or its number. Whether they say anything. */
bool memlock_of(const struct iol_host *host, const char *process, struct memlock *limit);

/* What mends it. */
#define MEMLOCK_MEND                                                                               \
	"echo '@kvm - memlock unlimited' > /etc/security/limits.d/90-iolane.conf, and log in "     \
	"again as a member of kvm (a systemd service: LimitMEMLOCK=infinity)"

#endif
