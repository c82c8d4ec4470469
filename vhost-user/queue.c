/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/device.h"

#include "base/error.h"
#include "base/own.h"
#include "vhost-user/track.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int iol_queue_init(struct iol_queue *q, struct iol_device *dev, unsigned int index)
{
	q->dev = dev;
	q->index = index;
	q->kick = q->call = q->err = -1;
	return iol_ring_new(&q->ring);
}

void iol_queue_fini(struct iol_queue *q)
{
	iol_ring_destroy(&q->ring);
}

unsigned int iol_queue_index(const struct iol_queue *q)
{
	return q->index;
}

struct iol_ring *iol_queue_ring(struct iol_queue *q)
{
	return q->ring;
}

int iol_queue_kick_fd(const struct iol_queue *q)
{
	return q->kick;
}

static void signal_fd(int fd)
{
	const uint64_t one = 1;

	/* A full one has been signalled already; if it makes us wait all the same, see watch.h. */
	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		iol_log(IOL_LOG_DEBUG, "cannot signal an eventfd: %s", strerror(errno));
}

/* @owed: what is to be signalled at @fd. */
static void notify(struct iol_queue *q, int fd, unsigned int owed)
{
	if (!__atomic_load_n(&q->dev->mistrusted, __ATOMIC_RELAXED)) {
		signal_fd(fd);
		return;
	}
	__atomic_fetch_or(&q->owed, owed, __ATOMIC_RELEASE);
	iol_device_wake(q->dev);
}

void iol_device_mistrust(struct iol_device *dev)
{
	__atomic_store_n(&dev->mistrusted, true, __ATOMIC_RELAXED);
	iol_device_wake(dev);
}

void iol_device_signal_owed(struct iol_device *dev)
{
	unsigned int i;

	if (!__atomic_load_n(&dev->mistrusted, __ATOMIC_RELAXED))
		return;
	if (!dev->told_mistrust)
		iol_log(IOL_LOG_WARNING,
			"%s: the front end let an eventfd fill up: only its own device waits for "
			"that from now on",
			dev->name);
	dev->told_mistrust = true;
	for (i = 0; i < dev->num_queues; i++) {
		struct iol_queue *q = &dev->queue[i];
		unsigned int owed = __atomic_exchange_n(&q->owed, 0, __ATOMIC_ACQUIRE);

		if (owed & IOL_OWED_CALL)
			signal_fd(q->call);
		if (owed & IOL_OWED_ERR)
			signal_fd(q->err);
	}
}

void iol_queue_call(struct iol_queue *q)
{
	notify(q, q->call, IOL_OWED_CALL);
}

void iol_queue_fail(struct iol_queue *q)
{
	iol_log(IOL_LOG_ERROR, "%s: queue %u has stopped: %s", q->dev->name, q->index, iol_error());
	notify(q, q->err, IOL_OWED_ERR);
}

/* By SET_VRING_ENABLE, or from the start without protocol features. */
static bool enabled(const struct iol_queue *q)
{
	if (q->enable == IOL_ENABLE_UNSET)
		return !iol_device_has(q->dev, VHOST_USER_F_PROTOCOL_FEATURES);
	return q->enable == IOL_ENABLE_ON;
}

void iol_queue_on_owner(struct iol_queue *q, void (*fn)(void *arg), void *arg)
{
	if (q->running)
		q->dev->ops->queue_call(q->dev->ctx, q, fn, arg);
	else
		fn(arg);
}

static void tell_replay(struct iol_queue *q, uint64_t oldest)
{
	if (q->dev->ops->queue_replay)
		q->dev->ops->queue_replay(q->dev->ctx, q, oldest);
}

/* The queue does not run: what its log holds is older than what others may take. */
static void tell_log(struct iol_queue *q)
{
	tell_replay(q, iol_track_oldest(q->dev->inflight, q->index, q->spec.size,
					iol_device_has(q->dev, VIRTIO_F_RING_PACKED)));
}

static void park(struct iol_queue *q, bool leave)
{
	if (!q->running)
		return;
	q->dev->ops->queue_stop(q->dev->ctx, q);
	q->running = false;
	if (leave)
		iol_ring_leave(q->ring);
	q->spec.base = iol_ring_base(q->ring);
	q->spec.base_sure |= iol_ring_placed(q->ring);
	q->clean = iol_ring_settled(q->ring);
	iol_ring_stop(q->ring);
	tell_log(q);
}

void iol_queue_park(struct iol_queue *q)
{
	park(q, false);
}

/* What the front end must have told before a ring can start. */
static int check_complete(const struct iol_queue *q)
{
	const struct iol_device *dev = q->dev;
	const char *missing = NULL;

	if (!q->spec.size)
		missing = "its size (SET_VRING_NUM)";
	else if (!q->has_addr)
		missing = "its addresses (SET_VRING_ADDR)";
	else if (!dev->mem->n)
		missing = "any shared memory; the VM's memory must be shared: with QEMU, -object "
			  "memory-backend-memfd,share=on,… and -machine memory-backend=…";
	if (missing)
		return iol_fail(EINVAL, "queue %u cannot start without %s", q->index, missing);
	if (iol_device_has(dev, VIRTIO_F_ACCESS_PLATFORM) && dev->backend_fd < 0)
		return iol_fail(EINVAL,
				"queue %u cannot start: the guest's IOMMU is in use "
				"(ACCESS_PLATFORM), and the front end set up no channel for misses "
				"(SET_BACKEND_REQ_FD)",
				q->index);
	if (dev->inflight &&
	    (dev->inflight->packed != iol_device_has(dev, VIRTIO_F_RING_PACKED) ||
	     (q->index < dev->inflight->num_queues && q->spec.size > dev->inflight->queue_size)))
		return iol_fail(EINVAL,
				"queue %u of %u descriptors does not fit the inflight buffer, made "
				"for %s queues of %u",
				q->index, q->spec.size, dev->inflight->packed ? "packed" : "split",
				dev->inflight->queue_size);
	return 0;
}

static int start_ring(struct iol_queue *q)
{
	struct iol_device *dev = q->dev;
	struct iol_ring_spec *spec = &q->spec;
	int rc = check_complete(q);

	if (rc)
		return rc;
	spec->packed = iol_device_has(dev, VIRTIO_F_RING_PACKED);
	spec->event_idx = iol_device_has(dev, VIRTIO_RING_F_EVENT_IDX);
	spec->indirect = iol_device_has(dev, VIRTIO_RING_F_INDIRECT_DESC);
	spec->in_order = iol_device_has(dev, VIRTIO_F_IN_ORDER);
	spec->access_platform = iol_device_has(dev, VIRTIO_F_ACCESS_PLATFORM);
	spec->mem = dev->mem;
	spec->iotlb = spec->access_platform ? dev->iotlb : NULL;
	spec->dirty = iol_device_has(dev, VHOST_F_LOG_ALL) ? dev->dirty : NULL;
	spec->inflight = dev->inflight;
	spec->resume_at_used = dev->resume_at_used;
	spec->index = q->index;
	rc = iol_ring_start(q->ring, spec);
	if (rc) {
		/* Nobody can replay what is in its log, so nobody need wait for that. */
		tell_replay(q, UINT64_MAX);
		return iol_fail_more(rc, "queue %u cannot start", q->index);
	}
	return 0;
}

static int run(struct iol_queue *q)
{
	struct iol_device *dev = q->dev;
	int rc = start_ring(q);

	if (rc)
		return rc;
	/* A process before us may have died between a used index and the call that it was worth. */
	iol_queue_call(q);
	/* Before queue_start(): from there on the owner may look at anything of the queue's. */
	q->running = true;
	rc = dev->ops->queue_start(dev->ctx, q);
	if (rc) {
		q->running = false;
		iol_ring_stop(q->ring);
		return iol_fail_more(rc, "queue %u cannot start", q->index);
	}
	return 0;
}

int iol_queue_update(struct iol_queue *q)
{
	bool wanted = q->started && enabled(q);

	if (q->running && !wanted)
		iol_queue_park(q);
	return wanted && !q->running ? run(q) : 0;
}

void iol_device_park(struct iol_device *dev)
{
	unsigned int i;

	for (i = 0; i < dev->num_queues; i++)
		iol_queue_park(&dev->queue[i]);
}

int iol_device_unpark(struct iol_device *dev)
{
	char why[IOL_ERROR_MAX];
	unsigned int i;
	int rc = 0;

	/* One that cannot go on must not keep the others. */
	for (i = 0; i < dev->num_queues; i++) {
		int err = iol_queue_update(&dev->queue[i]);

		if (!err || rc)
			continue;
		rc = err;
		strcpy(why, iol_error());
	}
	return rc ? iol_fail(-rc, "%s", why) : 0;
}

int iol_queue_start(struct iol_queue *q)
{
	struct iol_device *dev = q->dev;
	int rc = check_complete(q);

	if (!rc && !dev->live && dev->ops->start) {
		rc = dev->ops->start(dev->ctx);
		if (rc)
			return iol_fail_more(rc, "queue %u cannot start", q->index);
	}
	if (!rc) {
		dev->live = true;
		q->started = true;
		tell_log(q);
		rc = iol_queue_update(q);
	}
	if (rc) {
		q->started = false;
		iol_device_settle(dev);
	}
	return rc;
}

void iol_queue_stop(struct iol_queue *q, bool told)
{
	struct iol_device *dev = q->dev;

	/* One that is disabled has to tell its place all the same. */
	if (told && q->started && !q->running && dev->resume_at_used && !q->spec.base_sure &&
	    !start_ring(q)) {
		q->spec.base = iol_ring_base(q->ring);
		iol_ring_leave(q->ring);
		iol_ring_stop(q->ring);
	}
	park(q, told);
	/* The front end is told where the ring goes on; the log has nothing to add to that. */
	if (told && q->started && q->clean && dev->inflight && q->index < dev->inflight->num_queues)
		iol_inflight_forget(dev->inflight, q->index);
	/* Otherwise what is left counts till the queue starts again, or all are stopped: others still run. */
	if (told)
		tell_replay(q, UINT64_MAX);
	q->started = false;
	q->clean = false;
}

void iol_device_settle(struct iol_device *dev)
{
	unsigned int i;

	for (i = 0; i < dev->num_queues; i++) {
		if (dev->queue[i].started)
			return;
	}
	for (i = 0; i < dev->num_queues; i++)
		tell_replay(&dev->queue[i], UINT64_MAX);
	if (dev->live && dev->ops->stop)
		dev->ops->stop(dev->ctx);
	dev->live = false;
}
