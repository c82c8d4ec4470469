/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages about one queue. The index was checked by the row's needs. */
#include "base/error.h"
#include "base/own.h"
#include "vhost-user/session.h"
#include "vhost-user/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Packed: available index 0, wrap counter 1, and nothing about the used index. */
#define BASE_WITHOUT_USED 0x8000u

int iol_on_set_vring_num(struct iol_device *dev, struct iol_msg *msg)
{
	struct iol_queue *q = &dev->queue[msg->payload.state.index];
	uint32_t num = msg->payload.state.num;

	if (!num || num > IOL_QUEUE_SIZE_MAX)
		return iol_fail(EINVAL, "queue %u cannot have %u descriptors, but 1 to %u",
				q->index, num, IOL_QUEUE_SIZE_MAX);
	if (!iol_device_has(dev, VIRTIO_F_RING_PACKED) && (num & (num - 1)))
		return iol_fail(EINVAL, "a split queue's size is a power of two, not %u", num);
	q->spec.size = (uint16_t)num;
	return 0;
}

/* The owner's sentence is its thread's own, so that it is brought back with the result. */
struct addr_change {
	struct iol_queue *q;
	struct iol_ring_spec spec;
	int rc;
	char why[IOL_ERROR_MAX];
};

static void change_addr(void *arg)
{
	struct addr_change *c = arg;

	c->rc = iol_ring_set_addr(c->q->ring, &c->spec);
	if (c->rc)
		strcpy(c->why, iol_error());
}

int iol_on_set_vring_addr(struct iol_device *dev, struct iol_msg *msg)
{
	const struct vhost_vring_addr *a = &msg->payload.addr;
	struct iol_queue *q = &dev->queue[a->index];
	struct addr_change c = { .q = q, .spec = q->spec };

	if (a->flags & ~(1u << VHOST_VRING_F_LOG))
		return iol_fail(EINVAL, "the flags 0x%x are unknown", a->flags);
	c.spec.desc = a->desc_user_addr;
	c.spec.avail = a->avail_user_addr;
	c.spec.used = a->used_user_addr;
	c.spec.log_used = a->flags & (1u << VHOST_VRING_F_LOG);
	c.spec.log_addr = a->log_guest_addr;
	if (q->running) {
		iol_queue_on_owner(q, change_addr, &c);
		if (c.rc)
			return iol_fail(-c.rc, "queue %u: %s", q->index, c.why);
	}
	q->spec = c.spec;
	q->has_addr = true;
	/* Memory may have moved from under it, and this is where it goes on. */
	return iol_queue_update(q);
}

int iol_on_set_vring_base(struct iol_device *dev, struct iol_msg *msg)
{
	struct iol_queue *q = &dev->queue[msg->payload.state.index];
	uint32_t base = msg->payload.state.num;

	if (!iol_device_has(dev, VIRTIO_F_RING_PACKED) && base > UINT16_MAX)
		return iol_fail(EINVAL, "a split queue's base has 16 bits, not 0x%x", base);
	/*
	 * DPDK's front end tells where the driver is, and not where we are, in a ring that begins.
	 * As an answer of ours it means a whole ring in flight, of which the inflight log knows better.
	 */
	if (iol_device_has(dev, VIRTIO_F_RING_PACKED) && base == BASE_WITHOUT_USED)
		base |= base << 16;
	q->spec.base = base;
	q->spec.base_sure = false;
	return 0;
}

int iol_on_get_vring_base(struct iol_device *dev, struct iol_msg *msg)
{
	struct iol_queue *q = &dev->queue[msg->payload.state.index];

	iol_queue_stop(q, true);
	iol_close(&q->kick);
	iol_device_settle(dev);
	msg->payload.state.num = q->spec.base;
	return 0;
}

/*
 * Data threads read and write these, and must not be held up by what else a descriptor can be. The
 * specification allows pipes where there are no eventfds; on Linux there are.
 */
static int take_eventfd(struct iol_msg *msg, int *fd)
{
	char path[48], target[64];
	ssize_t n;

	if (!msg->nfds) {
		*fd = -1;
		return 0;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", msg->fds[0]);
	n = readlink(path, target, sizeof(target) - 1);
	target[n < 0 ? 0 : n] = '\0';
	/* Where /proc is not mounted the front end is trusted to have sent what it should. */
	if (n >= 0 && !strstr(target, "[eventfd]"))
		return iol_fail(EINVAL, "the descriptor is no eventfd");
	*fd = iol_msg_take_fd(msg);
	return 0;
}

int iol_on_set_vring_kick(struct iol_device *dev, struct iol_msg *msg)
{
	struct iol_queue *q = &dev->queue[msg->payload.u64 & VHOST_USER_VRING_IDX_MASK];
	int fd, rc = take_eventfd(msg, &fd);

	if (rc)
		return rc;
	/* Whoever else reads it may be first, and must not make us wait for the next kick. */
	if (fd >= 0)
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	iol_queue_stop(q, false);
	iol_close(&q->kick);
	q->kick = fd;
	return iol_queue_start(q);
}

struct fd_change {
	struct iol_queue *q;
	int *place;
	int fd;
};

static void change_fd(void *arg)
{
	struct fd_change *c = arg;

	iol_watch_replace(c->place, c->fd);
	/* Calls made on the descriptor before may not be heard any more. */
	if (c->place == &c->q->call && c->q->running)
		iol_queue_call(c->q);
}

static int set_fd(struct iol_queue *q, struct iol_msg *msg, int *place)
{
	struct fd_change c = { .q = q, .place = place, .fd = -1 };
	int rc = take_eventfd(msg, &c.fd);

	if (!rc && c.fd >= 0)
		rc = iol_watch_add(q->dev);
	if (rc) {
		iol_close(&c.fd);
		return rc;
	}
	iol_queue_on_owner(q, change_fd, &c);
	return 0;
}

int iol_on_set_vring_call(struct iol_device *dev, struct iol_msg *msg)
{
	struct iol_queue *q = &dev->queue[msg->payload.u64 & VHOST_USER_VRING_IDX_MASK];

	return set_fd(q, msg, &q->call);
}

int iol_on_set_vring_err(struct iol_device *dev, struct iol_msg *msg)
{
	struct iol_queue *q = &dev->queue[msg->payload.u64 & VHOST_USER_VRING_IDX_MASK];

	return set_fd(q, msg, &q->err);
}

int iol_on_set_vring_enable(struct iol_device *dev, struct iol_msg *msg)
{
	struct iol_queue *q = &dev->queue[msg->payload.state.index];

	if (msg->payload.state.num > 1)
		return iol_fail(EINVAL, "%u is neither 0 nor 1", msg->payload.state.num);
	q->enable = msg->payload.state.num ? IOL_ENABLE_ON : IOL_ENABLE_OFF;
	return iol_queue_update(q);
}
