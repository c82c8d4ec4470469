/* SPDX-License-Identifier: BSD-3-Clause */
/* Pinned memory counts as locked: type1 counts the process's, iommufd all that the user has. */
#include "vfio/context.h"

#include "base/error.h"
#include "base/units.h"

#include <linux/capability.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What else a process may have locked (rings of io_uring, stacks), so that the limit does not bite at the last page. */
#define SLACK (64u << 20)

/* Raise the limit: as far as is comfortable, or as far as anybody may. */
static bool raise_limit(struct rlimit limit, uint64_t need, uint64_t comfortable)
{
	struct rlimit hard = { limit.rlim_max, limit.rlim_max };
	struct rlimit more = { comfortable, comfortable };

	if (limit.rlim_max < comfortable && !setrlimit(RLIMIT_MEMLOCK, &more))
		return true;
	return limit.rlim_max >= need && !setrlimit(RLIMIT_MEMLOCK, &hard);
}

int iol_memlock(uint64_t need)
{
	uint64_t comfortable = need > UINT64_MAX - SLACK ? UINT64_MAX : need + SLACK;
	struct rlimit limit;
	char needs[16], has[16];

	if (getrlimit(RLIMIT_MEMLOCK, &limit))
		return iol_fail(errno, "cannot read RLIMIT_MEMLOCK: %s", strerror(errno));
	/* RLIM_INFINITY is the largest number. */
	if (limit.rlim_cur >= comfortable || raise_limit(limit, need, comfortable))
		return 0;
	return iol_fail(
		ENOMEM,
		"DMA needs %s of locked memory, and this process may lock %s: write 'USER - "
		"memlock %llu' into /etc/security/limits.d/iolane.conf and log in again, or "
		"LimitMEMLOCK=%llu into the service's unit",
		iol_format_size(need, needs, sizeof(needs)),
		iol_format_size(limit.rlim_max, has, sizeof(has)),
		(unsigned long long)(comfortable / 1024), (unsigned long long)comfortable);
}

/* CAP_IPC_LOCK exempts a process from the limit. */
static bool exempt(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return !syscall(SYS_capget, &header, data) &&
	       data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective & CAP_TO_MASK(CAP_IPC_LOCK);
}

int memlock_ensure(struct iol_context *ctx, uint64_t more)
{
	uint64_t need = ctx->mapped + more;
	int rc;

	if (need < more)
		return iol_fail(ENOMEM, "nobody has that much memory");
	if (need <= ctx->lockable)
		return 0;
	/* Asked again only for more: a mapping then costs no system call but its own. */
	if (exempt()) {
		ctx->lockable = UINT64_MAX;
		return 0;
	}
	rc = iol_memlock(need);
	if (!rc)
		ctx->lockable = need;
	return rc;
}
