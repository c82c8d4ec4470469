/* SPDX-License-Identifier: BSD-3-Clause */
/* Starting, stopping and remembering queues. */
#include "vmm-glue/frontend.h"

#include "base/error.h"
#include "base/own.h"
#include "vhost-user/driver.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FEATURE_PROTOCOL (1ull << VHOST_USER_F_PROTOCOL_FEATURES)
#define FEATURE_PACKED   (1ull << VIRTIO_F_RING_PACKED)
#define FEATURE_IOMMU    (1ull << VIRTIO_F_ACCESS_PLATFORM)

static int set_state(struct iol_frontend *fe, uint32_t request, unsigned int index, uint32_t num)
{
	struct vhost_vring_state state = { .index = index, .num = num };

	return iol_fe_set(fe, request, &state, sizeof(state), NULL, 0);
}

static int set_fd(struct iol_frontend *fe, uint32_t request, unsigned int index, int fd)
{
	uint64_t value = index | (fd < 0 ? VHOST_USER_VRING_NOFD_MASK : 0);

	return iol_fe_set(fe, request, &value, sizeof(value), &fd, fd >= 0);
}

/* Rings are named by front-end addresses, unless an IOMMU stands between: then by IOVAs. */
static int ring_address(const struct iol_frontend *fe, uint64_t addr, __u64 *out)
{
	void *host;

	if (fe->features & FEATURE_IOMMU) {
		*out = addr;
		return 0;
	}
	host = fe->memory ? iol_guest_memory_host(fe->memory, addr, 1) : NULL;
	if (!host)
		return iol_fail(EFAULT, "a ring's address 0x%llx is outside guest memory",
				(unsigned long long)addr);
	*out = (uintptr_t)host;
	return 0;
}

int iol_fe_send_addr(struct iol_frontend *fe, unsigned int index)
{
	const struct iol_frontend_queue *q = &fe->queues[index].setup;
	struct vhost_vring_addr addr = { .index = index };
	int rc;

	rc = ring_address(fe, q->desc, &addr.desc_user_addr);
	if (!rc)
		rc = ring_address(fe, q->avail, &addr.avail_user_addr);
	if (!rc)
		rc = ring_address(fe, q->used, &addr.used_user_addr);
	if (rc < 0)
		return rc;
	if (fe->logging) {
		addr.flags = 1u << VHOST_VRING_F_LOG;
		addr.log_guest_addr = q->used;
	}
	return iol_fe_set(fe, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
}

static int start(struct iol_frontend *fe, unsigned int index)
{
	struct frontend_queue *q = &fe->queues[index];
	int rc;

	rc = set_state(fe, VHOST_USER_SET_VRING_NUM, index, q->setup.size);
	if (!rc)
		rc = set_state(fe, VHOST_USER_SET_VRING_BASE, index, q->setup.base);
	if (!rc)
		rc = iol_fe_send_addr(fe, index);
	if (!rc)
		rc = set_fd(fe, VHOST_USER_SET_VRING_ERR, index, q->setup.err);
	if (!rc)
		rc = set_fd(fe, VHOST_USER_SET_VRING_CALL, index, q->setup.call);
	if (!rc)
		rc = set_fd(fe, VHOST_USER_SET_VRING_KICK, index, q->setup.kick);
	if (rc < 0)
		return rc;
	q->started = true;
	return 0;
}

/* A ring of a back end with protocol features starts disabled, any other enabled. */
static int enable(struct iol_frontend *fe, unsigned int index)
{
	if (!(fe->features & FEATURE_PROTOCOL))
		return 0;
	return set_state(fe, VHOST_USER_SET_VRING_ENABLE, index, fe->queues[index].enabled);
}

static int grow(struct iol_frontend *fe, unsigned int index)
{
	struct frontend_queue *queues;

	if (index >= fe->queues_max)
		return iol_fail(EINVAL, "the back end has no queue %u, only %u", index,
				fe->queues_max);
	if (index < fe->nqueues)
		return 0;
	queues = reallocarray(fe->queues, index + 1, sizeof(*queues));
	if (!queues)
		return iol_fail(ENOMEM, "out of memory for queues");
	memset(queues + fe->nqueues, 0, (index + 1 - fe->nqueues) * sizeof(*queues));
	fe->queues = queues;
	fe->nqueues = index + 1;
	return 0;
}

int iol_fe_start_queue(struct iol_frontend *fe, unsigned int index,
		       const struct iol_frontend_queue *queue, bool enabled)
{
	int rc;

	rc = grow(fe, index);
	if (rc < 0)
		return rc;
	if (fe->queues[index].started)
		return iol_fail(EBUSY, "queue %u runs already", index);
	fe->queues[index].setup = *queue;
	fe->queues[index].enabled = enabled;
	rc = start(fe, index);
	if (!rc)
		rc = enable(fe, index);
	return rc < 0 ? iol_fail_more(rc, "starting queue %u", index) : 0;
}

int iol_frontend_queue_start(struct iol_frontend *fe, unsigned int index,
			     const struct iol_frontend_queue *queue)
{
	return iol_fe_start_queue(fe, index, queue, true);
}

bool iol_fe_started(const struct iol_frontend *fe, unsigned int index)
{
	return index < fe->nqueues && fe->queues[index].started;
}

static int check_index(const struct iol_frontend *fe, unsigned int index)
{
	if (!iol_fe_started(fe, index))
		return iol_fail(EINVAL, "queue %u does not run", index);
	return 0;
}

int iol_frontend_queue_enable(struct iol_frontend *fe, unsigned int index, bool enable)
{
	int rc;

	rc = check_index(fe, index);
	if (rc < 0)
		return rc;
	if (!(fe->features & FEATURE_PROTOCOL))
		return iol_fail(ENOTSUP,
				"a back end without protocol features cannot enable queues");
	rc = set_state(fe, VHOST_USER_SET_VRING_ENABLE, index, enable);
	/* What a back end did not live to hear, the next one is told. */
	if (!rc || fe->fd < 0)
		fe->queues[index].enabled = enable;
	return rc;
}

int iol_fe_set_call(struct iol_frontend *fe, unsigned int index, int call)
{
	int rc;

	rc = check_index(fe, index);
	if (rc < 0)
		return rc;
	fe->queues[index].setup.call = call;
	rc = set_fd(fe, VHOST_USER_SET_VRING_CALL, index, call);
	return rc < 0 ? rc : iol_fe_seen(fe);
}

void iol_fe_forget_queue(struct iol_frontend *fe, unsigned int index)
{
	if (index < fe->nqueues)
		fe->queues[index].started = fe->queues[index].resume = false;
}

void iol_fe_forget(struct iol_frontend *fe)
{
	unsigned int i;

	for (i = 0; i < fe->nqueues; i++)
		iol_fe_forget_queue(fe, i);
	iol_close(&fe->inflight_fd);
}

int iol_frontend_queue_stop(struct iol_frontend *fe, unsigned int index, uint32_t *base)
{
	struct vhost_vring_state state = { .index = index };
	struct iol_msg reply;
	int rc;

	rc = check_index(fe, index);
	if (rc < 0)
		return rc;
	rc = iol_fe_get(fe, VHOST_USER_GET_VRING_BASE, &state, sizeof(state), -1, &reply);
	if (rc < 0)
		return iol_fail_more(rc, "stopping queue %u", index);
	if (reply.payload.state.index != index)
		return iol_fe_lose(fe,
				   iol_fail(EPROTO, "the back end stopped queue %u in place of %u",
					    reply.payload.state.index, index));
	fe->queues[index].started = false;
	fe->queues[index].setup.base = reply.payload.state.num;
	if (base)
		*base = reply.payload.state.num;
	return 0;
}

int iol_frontend_suspend(struct iol_frontend *fe)
{
	unsigned int i;
	int rc;

	for (i = 0; i < fe->nqueues; i++) {
		if (!fe->queues[i].started)
			continue;
		rc = iol_frontend_queue_stop(fe, i, NULL);
		if (rc < 0)
			return rc;
		fe->queues[i].resume = true;
	}
	return 0;
}

/*
 * All are started before the first is enabled: so the back end knows of all that it has to do again before
 * it does anything new.
 */
int iol_frontend_resume(struct iol_frontend *fe)
{
	unsigned int i;
	int rc;

	for (i = 0; i < fe->nqueues; i++) {
		rc = fe->queues[i].resume ? start(fe, i) : 0;
		if (rc < 0)
			return iol_fail_more(rc, "resuming queue %u", i);
	}
	for (i = 0; i < fe->nqueues; i++) {
		rc = fe->queues[i].resume ? enable(fe, i) : 0;
		if (rc < 0)
			return iol_fail_more(rc, "resuming queue %u", i);
		fe->queues[i].resume = false;
	}
	return 0;
}

/* The used index is all that a dead back end leaves behind in a split ring. */
static void base_from_ring(const struct iol_frontend *fe, struct iol_frontend_queue *q)
{
	const uint8_t *used;
	uint16_t index;

	if (fe->features & FEATURE_PACKED)
		return;
	used = iol_fe_host(fe, q->used, 4);
	if (!used)
		return;
	memcpy(&index, used + 2, sizeof(index));
	q->base = le16toh(index);
}

/* It may have died just between writing to the ring and noting that. */
static void count_as_written(struct iol_frontend *fe, const struct iol_frontend_queue *q)
{
	bool packed = fe->features & FEATURE_PACKED;
	size_t bytes[3], align[3];

	if (!fe->logging || fe->features & FEATURE_IOMMU)
		return;
	iol_driver_areas(q->size, packed, bytes, align);
	iol_fe_mark_log(fe, packed ? q->desc : q->used, bytes[packed ? 0 : 2]);
}

int iol_fe_restart_queues(struct iol_frontend *fe)
{
	unsigned int i;
	int rc;

	for (i = 0; i < fe->nqueues; i++) {
		if (!fe->queues[i].started)
			continue;
		base_from_ring(fe, &fe->queues[i].setup);
		count_as_written(fe, &fe->queues[i].setup);
		rc = start(fe, i);
		if (rc < 0)
			return iol_fail_more(rc, "starting queue %u again", i);
	}
	for (i = 0; i < fe->nqueues; i++) {
		rc = fe->queues[i].started ? enable(fe, i) : 0;
		if (rc < 0)
			return iol_fail_more(rc, "enabling queue %u again", i);
	}
	return 0;
}
