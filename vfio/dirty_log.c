/* SPDX-License-Identifier: BSD-3-Clause */
/* What devices log of their own writes (linux/vfio.h, VFIO_DEVICE_FEATURE_DMA_LOGGING_START, _STOP and _REPORT). */
#include "vfio/dirty.h"

#include "base/own.h"
#include "vfio/context.h"
#include "vfio/device.h"
#include "vfio/feature.h"

#include <errno.h>
#include <linux/vfio.h>

/* As many as a page of 4 KiB holds, which every kernel takes; devices may take fewer. */
#define RANGES_MAX (4096u / sizeof(struct vfio_device_feature_dma_logging_range))

/* Join ranges that are no more than @gap bytes apart. Return: how many are left. */
static size_t join(struct iol_iova_range *ranges, size_t num, uint64_t gap)
{
	size_t last = 0;

	for (size_t i = 1; i < num; i++) {
		uint64_t end = ranges[last].last;

		if (ranges[i].first <= end || ranges[i].first - end - 1 <= gap)
			ranges[last].last = ranges[i].last > end ? ranges[i].last : end;
		else
			ranges[++last] = ranges[i];
	}
	return num ? last + 1 : 0;
}

/* What devices may write, in whole pages of @page bytes. */
static int written_ranges(const struct iol_context *ctx, uint64_t page, struct dirty_log *log)
{
	const struct dma_table *maps = &ctx->maps;
	struct iol_iova_range *ranges = calloc(maps->num ? maps->num : 1, sizeof(*ranges));
	size_t num = 0;

	if (!ranges)
		return -ENOMEM;
	for (size_t i = 0; i < maps->num; i++)
		if (maps->maps[i].access & IOL_DMA_WRITE)
			ranges[num++] = (struct iol_iova_range){
				.first = maps->maps[i].first & ~(page - 1),
				.last = maps->maps[i].last | (page - 1),
			};
	*log = (struct dirty_log){ .page = page, .ranges = ranges, .num = join(ranges, num, 0) };
	return num ? 0 : -EOPNOTSUPP;
}

/* One attempt. @page: what was asked for; comes back as what the device chose. */
static int ask(struct iol_vfio_device *dev, const struct dirty_log *log, uint64_t *page)
{
	struct vfio_device_feature_dma_logging_range ranges[RANGES_MAX];
	struct vfio_device_feature_dma_logging_control control = {
		.page_size = *page,
		.num_ranges = (uint32_t)log->num,
		.ranges = (uintptr_t)ranges,
	};
	int rc;

	for (size_t i = 0; i < log->num; i++) {
		ranges[i].iova = log->ranges[i].first;
		ranges[i].length = log->ranges[i].last - log->ranges[i].first + 1;
	}
	rc = feature_call(dev, VFIO_DEVICE_FEATURE_SET, VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
			  &control, sizeof(control));
	*page = control.page_size;
	return rc;
}

/* Ranges are joined until the device takes so few. */
static int start(struct iol_vfio_device *dev, struct dirty_log *log, uint64_t *page)
{
	size_t max = RANGES_MAX;
	int rc;

	do {
		for (uint64_t gap = *page; log->num > max;
		     gap = gap > UINT64_MAX / 2 ? UINT64_MAX : gap * 2)
			log->num = join(log->ranges, log->num, gap);
		rc = ask(dev, log, page);
		max = log->num / 2;
	} while (max && (rc == -E2BIG || rc == -EINVAL || rc == -ENOSPC));
	return rc;
}

static void stop(const struct iol_vfio_device *dev)
{
	feature_call(dev, VFIO_DEVICE_FEATURE_SET, VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, NULL, 0);
}

int dirty_log_start(struct iol_vfio_device *dev)
{
	uint64_t page = PAGE_SET_PAGE, chosen;
	struct dirty_log log = { 0 };
	int rc;

	if (!iol_vfio_has(dev, VFIO_DEVICE_FEATURE_DMA_LOGGING_START))
		return -ENOTTY;
	/* A device with larger pages is asked again for those, so that ranges are whole ones. */
	for (int turn = 0; turn < 2; turn++, page = chosen) {
		chosen = page;
		rc = written_ranges(dev->ctx, page, &log);
		if (!rc)
			rc = start(dev, &log, &chosen);
		if (!rc && chosen <= page && chosen) {
			log.on = true;
			dev->log = log;
			return 0;
		}
		free(log.ranges);
		if (rc)
			return rc;
		stop(dev);
		if (!chosen || chosen & (chosen - 1) || chosen > DIRTY_UNIT)
			break;
	}
	return -EBADMSG;
}

void dirty_log_stop(struct iol_vfio_device *dev)
{
	if (dev->log.on)
		stop(dev);
	free(dev->log.ranges);
	dev->log = (struct dirty_log){ 0 };
}

static bool logs(const struct dirty_log *log, uint64_t first, uint64_t last)
{
	return iova_allowed(log->ranges, log->num, first, last);
}

int dirty_log_read(struct iol_vfio_device *dev, uint64_t first, uint64_t last)
{
	struct iol_context *ctx = dev->ctx;
	int rc;

	if (!logs(&dev->log, first, last)) {
		rc = page_set_reserve(&ctx->dirty.pages, first, last);
		if (!rc)
			page_set_mark(&ctx->dirty.pages, first, last);
		return rc;
	}
	last |= dev->log.page - 1;
	for (uint64_t at = first & ~(dev->log.page - 1), end;; at = end + 1) {
		struct vfio_device_feature_dma_logging_report report = {
			.iova = at,
			.page_size = PAGE_SET_PAGE,
		};

		end = dirty_window(at, last);
		rc = dirty_scratch(ctx, at, end, PAGE_SET_PAGE);
		if (rc)
			return rc;
		report.length = end - at + 1;
		report.bitmap = (uintptr_t)ctx->dirty.scratch;
		rc = feature_call(dev, VFIO_DEVICE_FEATURE_GET,
				  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, &report, sizeof(report));
		if (rc)
			return rc;
		dirty_add(ctx, at, end, PAGE_SET_PAGE);
		if (end == last)
			return 0;
	}
}
