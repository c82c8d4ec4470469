/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages about what is shared: guest memory, the dirty log, the inflight buffer, the IOTLB. */
#include "base/error.h"
#include "base/own.h"
#include "vhost-user/session.h"
#include "vhost-user/sharing.h"

#include <errno.h>
#include <string.h>

/* Every queue lets go of the old table before it goes. */
static int swap_mem(struct iol_device *dev, struct iol_mem *mem)
{
	iol_device_park(dev);
	iol_mem_unref(&dev->mem);
	dev->mem = mem;
	return iol_device_unpark(dev);
}

int iol_on_set_mem_table(struct iol_device *dev, struct iol_msg *msg)
{
	const struct vhost_user_memory *m = &msg->payload.memory;
	struct iol_mem *mem;
	unsigned int i;
	int rc = 0;

	for (i = 0; i < m->nregions && !rc; i++)
		rc = iol_check_shared(dev->peer, &m->region[i], msg->fds[i]);
	if (!rc)
		rc = iol_mem_new(m->region, msg->fds, m->nregions, dev->wake, &dev->broken, &mem);
	return rc ? rc : swap_mem(dev, mem);
}

int iol_on_get_max_mem_slots(struct iol_device *dev, struct iol_msg *msg)
{
	msg->payload.u64 = IOL_MEM_SLOTS;
	msg->hdr.size = sizeof(msg->payload.u64);
	return 0;
}

struct mem_change {
	struct iol_queue *q;
	int rc;
	char why[IOL_ERROR_MAX];
};

static void change_mem(void *arg)
{
	struct mem_change *c = arg;

	c->rc = iol_ring_set_mem(c->q->ring, c->q->dev->mem);
	if (c->rc)
		strcpy(c->why, iol_error());
}

/* Nothing that running queues know goes away, so that they need not stop. */
int iol_on_add_mem_reg(struct iol_device *dev, struct iol_msg *msg)
{
	struct iol_mem *mem;
	unsigned int i;
	int rc = iol_check_shared(dev->peer, &msg->payload.region.region, msg->fds[0]);

	if (!rc)
		rc = iol_mem_add(dev->mem, &msg->payload.region.region, msg->fds[0], dev->wake,
				 &dev->broken, &mem);
	if (rc)
		return rc;
	iol_mem_unref(&dev->mem);
	dev->mem = mem;
	for (i = 0; i < dev->num_queues; i++) {
		struct mem_change c = { .q = &dev->queue[i] };

		if (!c.q->running)
			continue;
		iol_queue_on_owner(c.q, change_mem, &c);
		if (c.rc && !rc)
			rc = iol_fail(-c.rc, "queue %u: %s", i, c.why);
	}
	return rc;
}

int iol_on_rem_mem_reg(struct iol_device *dev, struct iol_msg *msg)
{
	struct iol_mem *mem;
	int rc = iol_mem_remove(dev->mem, &msg->payload.region.region, &mem);

	return rc ? rc : swap_mem(dev, mem);
}

static void change_dirty(void *arg)
{
	struct iol_queue *q = arg;

	iol_ring_set_dirty(q->ring, q->dev->dirty);
}

int iol_on_set_log_base(struct iol_device *dev, struct iol_msg *msg)
{
	const struct vhost_user_log *l = &msg->payload.log;
	struct iol_dirty *old = dev->dirty, *dirty;
	unsigned int i;
	int rc = iol_dirty_new(msg->fds[0], l->mmap_size, l->mmap_offset, dev->wake, &dev->broken,
			       &dirty);

	if (rc)
		return rc;
	dev->dirty = dirty;
	for (i = 0; i < dev->num_queues; i++) {
		if (dev->queue[i].running && iol_device_has(dev, VHOST_F_LOG_ALL))
			iol_queue_on_owner(&dev->queue[i], change_dirty, &dev->queue[i]);
	}
	iol_dirty_destroy(&old);
	return 0;
}

/* An eventfd to tell that the log has changed. It is optional, and nobody is known to wait for it. */
int iol_on_set_log_fd(struct iol_device *dev, struct iol_msg *msg)
{
	iol_msg_close(msg);
	return 0;
}

static int check_inflight(const struct iol_device *dev, const struct vhost_user_inflight *in)
{
	if (!in->num_queues || in->num_queues > dev->num_queues)
		return iol_fail(EINVAL, "an inflight buffer for %u queues, of a device with %u",
				in->num_queues, dev->num_queues);
	if (!in->queue_size || in->queue_size > IOL_QUEUE_SIZE_MAX)
		return iol_fail(EINVAL, "an inflight buffer for queues of %u descriptors",
				in->queue_size);
	return 0;
}

/* The front end keeps the buffer, and gives it back with SET_INFLIGHT_FD before it is used. */
int iol_on_get_inflight_fd(struct iol_device *dev, struct iol_msg *msg)
{
	struct vhost_user_inflight *in = &msg->payload.inflight;
	struct iol_inflight *inflight;
	int rc = check_inflight(dev, in);

	if (!rc)
		rc = iol_inflight_new(in->num_queues, in->queue_size,
				      iol_device_has(dev, VIRTIO_F_RING_PACKED), &inflight);
	if (rc)
		return rc;
	in->mmap_size = inflight->map_len;
	in->mmap_offset = 0;
	msg->fds[msg->nfds++] = iol_take_fd(&inflight->fd);
	iol_inflight_destroy(&inflight);
	return 0;
}

int iol_on_set_inflight_fd(struct iol_device *dev, struct iol_msg *msg)
{
	const struct vhost_user_inflight *in = &msg->payload.inflight;
	struct iol_inflight *inflight;
	int rc = check_inflight(dev, in);

	if (!rc)
		rc = iol_inflight_map(iol_msg_take_fd(msg), in->mmap_size, in->mmap_offset,
				      in->num_queues, in->queue_size,
				      iol_device_has(dev, VIRTIO_F_RING_PACKED), dev->wake,
				      &dev->broken, &inflight);
	if (rc)
		return rc;
	iol_inflight_destroy(&dev->inflight);
	dev->inflight = inflight;
	return 0;
}

struct unmap {
	struct iol_queue *q;
	bool busy;
};

static void unmap(void *arg)
{
	struct unmap *u = arg;

	u->busy = iol_ring_inflight(u->q->ring);
	if (!u->busy)
		iol_ring_unmap(u->q->ring);
}

/* Those that wait for an entry try again. */
static void wake_queues(struct iol_device *dev)
{
	unsigned int i;

	for (i = 0; i < dev->num_queues; i++)
		if (dev->queue[i].running)
			dev->ops->queue_wake(dev->ctx, &dev->queue[i]);
}

/*
 * After the answer nothing of ours may touch what was mapped there. Requests in flight may, so their
 * queues finish them first; that takes as long as storage does, and no message.
 */
static int invalidate(struct iol_device *dev, uint64_t iova, uint64_t size)
{
	unsigned int i;
	int rc;

	iol_iotlb_invalidate(dev->iotlb, iova, size);
	for (i = 0; i < dev->num_queues; i++) {
		struct unmap u = { .q = &dev->queue[i] };

		if (!u.q->running)
			continue;
		iol_queue_on_owner(u.q, unmap, &u);
		if (u.busy)
			iol_queue_park(u.q);
	}
	rc = iol_device_unpark(dev);
	/* The front end may know now what it could not answer before, and says nothing by itself. */
	wake_queues(dev);
	return rc;
}

int iol_on_iotlb_msg(struct iol_device *dev, struct iol_msg *msg)
{
	const struct vhost_iotlb_msg *m = &msg->payload.iotlb;
	int rc;

	switch (m->type) {
	case VHOST_IOTLB_UPDATE:
		rc = iol_iotlb_update(dev->iotlb, m->iova, m->size, m->uaddr, m->perm);
		wake_queues(dev);
		return rc;
	case VHOST_IOTLB_INVALIDATE:
		return invalidate(dev, m->iova, m->size);
	default:
		return iol_fail(EINVAL, "its type %u is neither update nor invalidate", m->type);
	}
}
