/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pinned memory counts as locked. type1 adds it to what the process has locked (VmLck); iommufd to all that the user has
 * pinned, of which this process's part is told (VmPin).
 *
 * Where all devices are mediated, mapping pins nothing: pages count when such a device's driver pins them
 * (drivers/vfio/vfio_iommu_type1.c, vfio_iommu_type1_pin_pages()). How many it will is not known ahead, and may be all. A
 * page too many fails amid the device's work, and nobody is told why; and the first device behind an IOMMU pins all when it
 * comes. So the limit is asked for all that is mapped, whatever devices there are.
 */
#include "vfio/context.h"

#include "base/error.h"
#include "base/own.h"
#include "base/units.h"
#include "vfio/host.h"

#include <inttypes.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What a process may come to lock besides (rings of io_uring, stacks), so that the limit does not bite at the last page. */
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

static int refuse(uint64_t need, uint64_t locked, uint64_t comfortable, uint64_t limit)
{
	char needs[16], has[16], size[16], already[48] = "", kib[24] = "unlimited";
	char bytes[24] = "infinity";

	if (locked)
		snprintf(already, sizeof(already), " (%s of it is locked already)",
			 iol_format_size(locked, size, sizeof(size)));
	if (comfortable != RLIM_INFINITY) {
		snprintf(kib, sizeof(kib), "%" PRIu64, comfortable / 1024 + !!(comfortable % 1024));
		snprintf(bytes, sizeof(bytes), "%" PRIu64, comfortable);
	}
	return iol_fail(
		ENOMEM,
		"DMA needs %s of locked memory%s, and this process may lock %s: write 'USER - "
		"memlock %s' into /etc/security/limits.d/iolane.conf and log in again, or "
		"LimitMEMLOCK=%s into the service's unit",
		iol_format_size(need, needs, sizeof(needs)), already,
		iol_format_size(limit, has, sizeof(has)), kib, bytes);
}

/* @need: with what is @locked already. */
static int ensure(uint64_t need, uint64_t locked)
{
	uint64_t comfortable = need > RLIM_INFINITY - SLACK ? RLIM_INFINITY : need + SLACK;
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit))
		return iol_fail(errno, "cannot read RLIMIT_MEMLOCK: %s", strerror(errno));
	/* RLIM_INFINITY is the largest number. */
	if (limit.rlim_cur >= comfortable || raise_limit(limit, need, comfortable))
		return 0;
	return refuse(need, locked, comfortable, limit.rlim_max);
}

int iol_memlock(uint64_t need)
{
	return ensure(need, 0);
}

/* CAP_IPC_LOCK exempts a process from the limit, but for one of a user namespace, which sees it in itself only. */
static bool exempt(const struct iol_context *ctx)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	uint32_t inside, outside, count;
	char map[64];

	if (iol_host_read(ctx->host, map, sizeof(map), "proc/self/uid_map") > 0 &&
	    sscanf(map, "%" SCNu32 " %" SCNu32 " %" SCNu32, &inside, &outside, &count) == 3 &&
	    (inside || outside || count != UINT32_MAX))
		return false;
	return !syscall(SYS_capget, &header, data) &&
	       data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective & CAP_TO_MASK(CAP_IPC_LOCK);
}

/* What counts already, with other contexts' and what else the process has locked. */
static uint64_t locked_now(const struct iol_context *ctx)
{
	_cleanup_free_ char *text = iol_host_text(ctx->host, "proc/self/status");
	bool iommufd = ctx->kind == IOL_CONTEXT_IOMMUFD;
	const char *line = text ? strstr(text, iommufd ? "\nVmPin:" : "\nVmLck:") : NULL;
	uint64_t kib;

	if (!line || sscanf(line + 7, "%" SCNu64 " kB", &kib) != 1 || kib > UINT64_MAX / 1024)
		return ctx->mapped;
	/* iommufd pins when the first device comes. */
	return kib * 1024 + (iommufd && !ctx->devices ? ctx->mapped : 0);
}

/* Whether a line of /proc/self/maps is of a device's registers, which are not memory, and do not count. */
static bool is_bar(const char *line)
{
	const char *sysfs = strstr(line, " /sys/");

	return strstr(line, " /dev/vfio/") || strstr(line, " anon_inode:[vfio") ||
	       (sysfs && strstr(sysfs, "/resource"));
}

static uint64_t overlap(const struct iol_dma_region *r, uint64_t start, uint64_t end)
{
	uint64_t first = (uintptr_t)r->addr, last = first + r->len;

	first = first > start ? first : start;
	last = last < end ? last : end;
	return r->addr && first < last ? last - first : 0;
}

static uint64_t bars_in(const struct iol_context *ctx, const struct iol_dma_region *regions,
			size_t num)
{
	_cleanup_free_ char *text = iol_host_text(ctx->host, "proc/self/maps");
	uint64_t start, end, sum = 0;
	char *rest = text, *line;

	while (rest && (line = strsep(&rest, "\n"))) {
		if (!is_bar(line) || sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) != 2)
			continue;
		for (size_t i = 0; i < num; i++)
			sum += overlap(&regions[i], start, end);
	}
	return sum;
}

int memlock_ensure(struct iol_context *ctx, const struct iol_dma_region *regions, size_t num)
{
	uint64_t total = ctx->mapped, more = 0, bars = 0, locked;
	struct rlimit limit = { 0 };
	int rc;

	for (size_t i = 0; i < num; i++) {
		if (__builtin_add_overflow(total, regions[i].len, &total))
			return iol_fail(ENOMEM, "nobody has that much memory");
		more += regions[i].len;
	}
	if (total <= ctx->lockable)
		return 0;
	/* Asked again only for more: a mapping then costs no system call but its own. */
	if (exempt(ctx)) {
		ctx->lockable = UINT64_MAX;
		return 0;
	}
	locked = locked_now(ctx);
	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (more > limit.rlim_cur || locked > limit.rlim_cur - more)
		bars = bars_in(ctx, regions, num);
	more -= bars < more ? bars : more;
	if (__builtin_add_overflow(locked, more, &more))
		return iol_fail(ENOMEM, "nobody has that much memory");
	rc = ensure(more, locked);
	/* Room that registers took is none for memory. */
	if (!rc && !bars)
		ctx->lockable = total;
	return rc;
}
