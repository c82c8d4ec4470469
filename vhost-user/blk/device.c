/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk as a vhost-user device. */
#include "base/error.h"
#include "base/own.h"
#include "vhost-user/blk/disk.h"

#include <errno.h>

static void warn_untold(const struct iol_disk *disk)
{
	iol_log(IOL_LOG_WARNING,
		"%s: the guest can't be told of its new size, as its VMM does not take "
		"messages from back ends; it will see it after a restart of the device",
		disk->name);
}

static int get_config(void *ctx, void *config)
{
	return iol_disk_get_config(ctx, config);
}

static int set_config(void *ctx, uint32_t off, const void *data, uint32_t len)
{
	return iol_disk_set_config(ctx, off, data, len);
}

static void features(void *ctx, uint64_t features)
{
	iol_disk_set_features(ctx, features);
}

/*
 * Front ends read the size once and remember it, also while we are away or stopped. One that may have
 * another in mind is asked to look again. Where it can't be, it is told so only when the size is
 * known to be another: a new process can't know.
 */
static int start(void *ctx)
{
	struct iol_disk *disk = ctx;
	int rc;

	iol_disk_recall(disk);
	rc = iol_disk_start(disk);
	if (rc < 0 || disk->told == iol_disk_capacity(disk))
		return rc;
	if (iol_device_config_changed(disk->device) < 0 && disk->told)
		warn_untold(disk);
	return 0;
}

static void stop(void *ctx)
{
	iol_disk_stop(ctx);
}

static void call(void *ctx)
{
	iol_queue_call(ctx);
}

static void fail(void *ctx)
{
	iol_queue_fail(ctx);
}

static int queue_start(void *ctx, struct iol_queue *queue)
{
	struct iol_blk_port port = {
		.ring = iol_queue_ring(queue),
		.kick_fd = iol_queue_kick_fd(queue),
		.call = call,
		.fail = fail,
		.ctx = queue,
	};

	return iol_disk_queue_start(ctx, iol_queue_index(queue), &port);
}

static void queue_stop(void *ctx, struct iol_queue *queue)
{
	iol_disk_queue_stop(ctx, iol_queue_index(queue));
}

static void queue_call(void *ctx, struct iol_queue *queue, void (*fn)(void *arg), void *arg)
{
	iol_disk_queue_call(ctx, iol_queue_index(queue), fn, arg);
}

static void queue_wake(void *ctx, struct iol_queue *queue)
{
	iol_disk_queue_wake(ctx, iol_queue_index(queue));
}

static void queue_replay(void *ctx, struct iol_queue *queue, uint64_t oldest)
{
	iol_disk_replay_at(ctx, iol_queue_index(queue), oldest);
}

static void reset(void *ctx)
{
	iol_disk_reset(ctx);
}

static const struct iol_device_ops device_ops = {
	.get_config = get_config,
	.set_config = set_config,
	.features = features,
	.start = start,
	.stop = stop,
	.queue_start = queue_start,
	.queue_stop = queue_stop,
	.queue_call = queue_call,
	.queue_wake = queue_wake,
	.queue_replay = queue_replay,
	.reset = reset,
};

int iol_disk_new(struct iol_blk_threads *threads, const struct iol_disk_spec *spec,
		 struct iol_disk **out)
{
	struct iol_device_spec dev = { .ops = &device_ops };
	struct iol_disk *disk;
	int rc;

	rc = iol_disk_open(threads, spec, &disk);
	if (rc < 0)
		return rc;
	dev.name = disk->name;
	dev.num_queues = disk->num_queues;
	dev.features = iol_disk_features(disk);
	dev.ctx = disk;
	rc = iol_device_new(&dev, &disk->device);
	if (rc < 0) {
		iol_disk_unref(disk);
		return rc;
	}
	*out = disk;
	return 0;
}

void iol_disk_destroy(struct iol_disk **p)
{
	struct iol_disk *disk = iol_take_ptr(*p);

	if (!disk)
		return;
	iol_device_destroy(&disk->device);
	iol_disk_unref(disk);
}

int iol_disk_refresh(struct iol_disk *disk, const uint64_t *size)
{
	int rc;

	rc = iol_disk_resize(disk, size);
	if (rc <= 0)
		return rc;
	rc = iol_device_config_changed(disk->device);
	/* Whoever connects later reads the new size. */
	if (rc == 0 || rc == -ENOTCONN)
		return 1;
	warn_untold(disk);
	return iol_fail(
		EOPNOTSUPP,
		"disk %s has a new size, but its guest can't be told, as its VMM does not take "
		"messages from back ends",
		disk->name);
}
