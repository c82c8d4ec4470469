/* SPDX-License-Identifier: BSD-3-Clause */
/* What an IOMMU group says of the addresses that it may use. */
#include <iolane/vfio.h>

#include "base/error.h"
#include "base/own.h"
#include "vfio/grow.h"
#include "vfio/host.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GROUPS "sys/kernel/iommu_groups"

static bool read_kind(const char *text, enum iol_resv *kind)
{
	static const char *const names[] = {
		[IOL_RESV_DIRECT] = "direct",
		[IOL_RESV_DIRECT_RELAXABLE] = "direct-relaxable",
		[IOL_RESV_RESERVED] = "reserved",
		[IOL_RESV_MSI] = "msi",
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(text, names[i])) {
			*kind = (enum iol_resv)i;
			return true;
		}
	return false;
}

int iol_group_reserved(const struct iol_host *host, int group, struct iol_resv_region **regions)
{
	_cleanup_free_ struct iol_resv_region *all = NULL;
	_cleanup_free_ char *text = NULL;
	size_t count = 0, room = 0;
	char *rest, *line, kind[32];

	*regions = NULL;
	text = iol_host_text(host, GROUPS "/%d/reserved_regions", group);
	if (!text)
		return iol_fail(errno, "cannot read what IOMMU group %d reserves: %s", group,
				strerror(errno));
	for (rest = text; rest && (line = strsep(&rest, "\n"));) {
		struct iol_resv_region region;

		if (!*line)
			continue;
		/* What is not understood must not be taken for free. */
		if (sscanf(line, "0x%16" SCNx64 " 0x%16" SCNx64 " %31s", &region.first,
			   &region.last, kind) != 3 ||
		    region.first > region.last || !read_kind(kind, &region.kind))
			return iol_fail(EPROTO,
					"line %zu of /" GROUPS
					"/%d/reserved_regions is none that we "
					"know (first, last, kind)",
					count + 1, group);
		if (!iol_grow(&all, count, &room, sizeof(*all)))
			return iol_fail(ENOMEM, "no memory for %zu reserved regions", count);
		all[count++] = region;
	}
	*regions = iol_take_ptr(all);
	return (int)count;
}

int iol_group_type(const struct iol_host *host, int group, char type[IOL_NAME_MAX])
{
	int n = iol_host_read(host, type, IOL_NAME_MAX, GROUPS "/%d/type", group);

	if (n >= 0)
		return 0;
	type[0] = '\0';
	/* Kernels before 5.11 do not say. */
	if (n == -ENOENT && iol_host_exists(host, GROUPS "/%d", group))
		return 0;
	return iol_fail(-n, "cannot read the type of IOMMU group %d: %s", group, strerror(-n));
}
