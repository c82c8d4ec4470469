/* SPDX-License-Identifier: BSD-3-Clause */
/* The back end: what it offers and tells, its end, and coming back to it. */
#include "vmm-glue/virtio.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* Whoever restarts a back end is soon done; one that hangs takes our time at each attempt, which has to come from somewhere. */
#define PAUSE_MIN_MS 10
#define PAUSE_MAX_MS 1000
/* Powers of two of what an answer may take. Each time there is more for it, as it may be the host that is slow. */
#define PAUSE_HUNG_MIN 1u
#define PAUSE_HUNG_MAX 3u

/* Features of all devices, where the back end has them. */
#define COMMON_FEATURES                                                                            \
	(VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) |                \
	 VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) | VIRTIO_BIT(VIRTIO_F_RING_PACKED) |                  \
	 VIRTIO_BIT(VIRTIO_F_IN_ORDER) | VIRTIO_BIT(VIRTIO_F_RING_RESET))

int virtio_watch(struct virtio *v, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (fd >= 0 && epoll_ctl(v->fn.fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return iol_fail(errno, "cannot watch a descriptor: %s", strerror(errno));
	return 0;
}

void virtio_unwatch(struct virtio *v, int fd)
{
	epoll_ctl(v->fn.fd, EPOLL_CTL_DEL, fd, NULL);
}

/* They leave by themselves when they are closed. */
static int watch_connection(struct virtio *v)
{
	int rc = virtio_watch(v, v->fe->fd);

	return rc < 0 ? rc : virtio_watch(v, v->fe->channel);
}

/* ---- the config space ---- */

/* @told has room for VIRTIO_CONFIG_MAX bytes. Return: 1; 0 when the back end tells none. */
static int read_config(struct virtio *v, uint8_t *told)
{
	int rc = iol_frontend_get_config(v->fe, 0, told, v->type->config_size);

	if (rc == -ENOTSUP || rc == -EREMOTEIO)
		return 0;
	return rc < 0 ? rc : 1;
}

static int renew_config(struct virtio *v)
{
	uint8_t told[VIRTIO_CONFIG_MAX];
	int rc = read_config(v, told);

	return rc < 0 ? rc : v->type->config(v, rc ? told : NULL, false);
}

static void tell_if_other(struct virtio *v, const uint8_t *before)
{
	if (!memcmp(before, v->config, sizeof(v->config)))
		return;
	v->generation++;
	virtio_config_changed(v);
}

static void refresh_config(struct virtio *v)
{
	uint8_t before[VIRTIO_CONFIG_MAX];

	v->config_stale = false;
	memcpy(before, v->config, sizeof(before));
	if (renew_config(v) < 0) {
		iol_log(IOL_LOG_WARNING, "%s: the configuration stays as it was: %s", v->path,
			iol_error());
		return;
	}
	tell_if_other(v, before);
}

static void told_config(void *ctx)
{
	((struct virtio *)ctx)->config_stale = true;
}

static void told_failed(void *ctx, unsigned int queue)
{
	((struct virtio *)ctx)->queue_failed = true;
}

/* ---- the first time ---- */

int virtio_connect(struct virtio *v, const struct iol_virtio_spec *spec)
{
	static const struct iol_frontend_ops ops = { .config_changed = told_config,
						     .failed = told_failed };
	struct iol_frontend_spec fe = {
		.path = spec->path, .fd = -1, .pairs = v->type->pairs, .ops = &ops, .ctx = v
	};
	uint8_t bytes[VIRTIO_CONFIG_MAX], *told;
	int rc;

	rc = iol_frontend_new(&fe, &v->fe);
	if (rc < 0)
		return rc;
	/* From now on it is tried again and again instead, with the guest going on meanwhile. */
	v->fe->connect_ms = 0;
	v->fe->rationed = true;
	rc = iol_frontend_negotiate(v->fe, COMMON_FEATURES | v->type->want,
				    VIRTIO_BIT(VIRTIO_F_VERSION_1));
	if (rc < 0)
		return rc;
	v->offered = v->fe->offered & ~VIRTIO_BIT(VHOST_USER_F_PROTOCOL_FEATURES);
	rc = read_config(v, bytes);
	if (rc < 0)
		return rc;
	told = rc ? bytes : NULL;
	rc = v->type->offer(v, spec, told);
	if (!rc)
		rc = v->type->config(v, told, true);
	if (!rc)
		rc = iol_guest_memory_attach(v->mem, &iol_frontend_memory, v->fe);
	if (!rc)
		rc = watch_connection(v);
	v->config_stale = false;
	return rc;
}

/* ---- coming back ---- */

static void try_later(struct virtio *v, uint64_t ms)
{
	struct itimerspec when = { .it_value = { .tv_sec = (time_t)(ms / 1000),
						 .tv_nsec = (long)(ms % 1000) * 1000000 } };

	v->waiting = !timerfd_settime(v->timer, 0, &when, NULL);
}

/* One sentence for each reason, however often it is tried. */
static void complain(struct virtio *v)
{
	if (!strcmp(v->complaint, iol_error()))
		return;
	strcpy(v->complaint, iol_error());
	iol_log(IOL_LOG_WARNING, "%s: the back end is not back yet: %s", v->path, v->complaint);
}

static int come_back(struct virtio *v)
{
	int rc;

	rc = iol_frontend_reconnect(v->fe);
	if (rc < 0)
		return rc;
	if (iol_frontend_queues_max(v->fe) < v->ndata)
		return iol_fail(ENOTSUP, "it has %u queues, and the guest was told of %u",
				iol_frontend_queues_max(v->fe), v->ndata);
	rc = renew_config(v);
	return rc < 0 ? rc : watch_connection(v);
}

static uint64_t hung_pause(struct virtio *v)
{
	unsigned int power = PAUSE_HUNG_MIN + v->hung;

	v->hung += power < PAUSE_HUNG_MAX;
	return (uint64_t)v->fe->timeout_ms << power;
}

static void try_again(struct virtio *v)
{
	uint8_t before[VIRTIO_CONFIG_MAX];
	int rc;

	memcpy(before, v->config, sizeof(before));
	v->config_stale = false;
	rc = come_back(v);
	if (rc < 0) {
		iol_fe_lose(v->fe, rc);
		complain(v);
		v->pause_ms = v->pause_ms * 2 < PAUSE_MAX_MS ? v->pause_ms * 2 : PAUSE_MAX_MS;
		try_later(v, rc == -ETIMEDOUT ? hung_pause(v) : v->pause_ms);
		return;
	}
	iol_log(IOL_LOG_INFO, "%s: the back end is back", v->path);
	v->complaint[0] = '\0';
	v->pause_ms = PAUSE_MIN_MS;
	v->hung = 0;
	virtio_start(v);
	virtio_poke(v);
	tell_if_other(v, before);
}

void virtio_poll_backend(struct virtio *v)
{
	uint64_t n;

	if (iol_frontend_connected(v->fe)) {
		iol_frontend_poll(v->fe, 0);
		return;
	}
	if (read(v->timer, &n, sizeof(n)) < 0)
		return;
	v->waiting = false;
	try_again(v);
}

void virtio_settle(struct virtio *v)
{
	if (v->queue_failed) {
		v->queue_failed = false;
		virtio_needs_reset(v);
	}
	if (v->config_stale && iol_frontend_connected(v->fe))
		refresh_config(v);
	if (iol_frontend_connected(v->fe) || v->waiting)
		return;
	iol_log(IOL_LOG_WARNING,
		"%s: the back end is gone; the device stands still till it is back", v->path);
	v->pause_ms = PAUSE_MIN_MS;
	try_later(v, v->pause_ms);
}
