/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A NIC's control queue (virtio 1.3, 5.1.6.5). vhost-user has no message for what comes by it: it is the VMM that answers,
 * and enables the pairs that the driver asks for.
 */
#include "vmm-glue/virtio.h"

#include "base/event.h"
#include "base/own.h"
#include "vhost-user/driver.h"
#include "vhost-user/ring.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <string.h>

#define PACKED_BASE 0x80008000u

/* The longest command that there is here: class, command, pairs. */
#define COMMAND_MAX 4u

/* More than a driver ever has under way; what is left is for the next turn. */
#define BURST 16

/* The device's side of a ring wants memory of its own kind; front-end addresses are guest physical ones in it. */
static int take_memory(struct virtio *v, struct iol_mem **mem)
{
	unsigned int i, n = iol_guest_memory_regions(v->mem);
	_cleanup_free_ struct iol_mem_desc *desc = calloc(n, sizeof(*desc));
	_cleanup_free_ int *fds = calloc(n, sizeof(*fds));

	if (!desc || !fds)
		return iol_fail(ENOMEM, "out of memory for the memory's table");
	for (i = 0; i < n; i++) {
		const struct iol_guest_region *r = iol_guest_memory_region(v->mem, i);

		desc[i] = (struct iol_mem_desc){ r->gpa, r->size, r->gpa, r->offset };
		fds[i] = r->fd;
	}
	return iol_mem_new(desc, fds, n, v->err, &v->mem_broken, mem);
}

static int plugged(void *ctx, const struct iol_guest_memory *mem,
		   const struct iol_guest_region *region)
{
	((struct virtio *)ctx)->mem_changed = true;
	return 0;
}

/* Its file is held till the next turn, so nothing is lost by going on without it only then. */
static void unplugged(void *ctx, const struct iol_guest_region *region)
{
	((struct virtio *)ctx)->mem_changed = true;
}

static const struct iol_memory_user_ops memory_user = {
	.name = "a NIC's control queue",
	.add = plugged,
	.remove = unplugged,
};

static int renew_memory(struct virtio *v)
{
	struct iol_mem *mem;
	int rc;

	if (!v->mem_changed)
		return 0;
	v->mem_changed = false;
	rc = take_memory(v, &mem);
	if (rc < 0)
		return rc;
	rc = iol_ring_set_mem(v->ctrl, mem);
	iol_mem_unref(&mem);
	return rc;
}

static int start(struct virtio *v, const struct virtio_queue *q)
{
	struct iol_ring_spec spec = {
		.size = q->size,
		.packed = virtio_has(v, VIRTIO_F_RING_PACKED),
		.event_idx = virtio_has(v, VIRTIO_RING_F_EVENT_IDX),
		.indirect = virtio_has(v, VIRTIO_RING_F_INDIRECT_DESC),
		.in_order = virtio_has(v, VIRTIO_F_IN_ORDER),
		.desc = q->desc,
		.avail = q->driver,
		.used = q->device,
	};
	int rc;

	spec.base = spec.packed ? PACKED_BASE : 0;
	rc = take_memory(v, &spec.mem);
	if (rc < 0)
		return rc;
	rc = iol_ring_new(&v->ctrl);
	if (!rc)
		rc = iol_ring_start(v->ctrl, &spec);
	iol_mem_unref(&spec.mem);
	if (!rc)
		rc = iol_guest_memory_attach(v->mem, &memory_user, v);
	v->mem_changed = false;
	return rc < 0 ? rc : virtio_watch(v, q->kick);
}

static void fail(struct virtio *v)
{
	virtio_complain(v, "the control queue stopped");
	virtio_ctrl_stop(v);
	virtio_needs_reset(v);
}

void virtio_ctrl_start(struct virtio *v, unsigned int index)
{
	if (v->ctrl)
		return;
	v->ctrl_index = index;
	if (start(v, &v->queues[index]) < 0) {
		fail(v);
		return;
	}
	/* What is there already. */
	iol_event_signal(v->queues[index].kick);
}

void virtio_ctrl_stop(struct virtio *v)
{
	if (!v->ctrl)
		return;
	virtio_unwatch(v, v->queues[v->ctrl_index].kick);
	iol_guest_memory_detach(v->mem, v);
	iol_ring_stop(v->ctrl);
	iol_ring_destroy(&v->ctrl);
}

/* ---- commands ---- */

static uint8_t set_pairs(struct virtio *v, unsigned int n)
{
	unsigned int i;

	if (!virtio_has(v, VIRTIO_NET_F_MQ) || n < VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN ||
	    n > v->ndata / 2)
		return VIRTIO_NET_ERR;
	v->pairs = n;
	for (i = 0; i < v->ndata; i++)
		if (iol_fe_started(v->fe, i) &&
		    iol_frontend_queue_enable(v->fe, i, i / 2 < n) == -EREMOTEIO)
			return VIRTIO_NET_ERR;
	return VIRTIO_NET_OK;
}

static uint8_t command(struct virtio *v, const struct iol_chain *c)
{
	uint8_t bytes[COMMAND_MAX] = { 0 };
	uint32_t have = 0, n;
	unsigned int i;

	for (i = 0; i < c->nout && have < sizeof(bytes); i++) {
		n = sizeof(bytes) - have;
		if (n > c->iov[i].iov_len)
			n = (uint32_t)c->iov[i].iov_len;
		memcpy(bytes + have, c->iov[i].iov_base, n);
		have += n;
	}
	if (c->out_len != sizeof(bytes) || bytes[0] != VIRTIO_NET_CTRL_MQ ||
	    bytes[1] != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET)
		return VIRTIO_NET_ERR;
	return set_pairs(v, bytes[2] | (unsigned int)bytes[3] << 8);
}

static void answer(struct virtio *v, const struct iol_chain *c)
{
	uint8_t ack = command(v, c);
	const struct iol_region *r;
	unsigned int i;

	for (i = c->nout; i < (unsigned int)c->nout + c->nin && !c->iov[i].iov_len; i++)
		;
	if (i < (unsigned int)c->nout + c->nin) {
		memcpy(c->iov[i].iov_base, &ack, 1);
		r = iol_mem_find_host(iol_ring_mem(v->ctrl), c->iov[i].iov_base);
		if (r)
			iol_guest_memory_wrote(
				v->mem,
				r->gpa + (uint64_t)((uint8_t *)c->iov[i].iov_base - r->host), 1);
	}
	iol_ring_push(v->ctrl, c->id, c->ndesc, c->in_len ? 1 : 0);
}

/* No back end's log has what is written here. */
static void tell_ring(struct virtio *v)
{
	const struct virtio_queue *q = &v->queues[v->ctrl_index];
	bool packed = virtio_has(v, VIRTIO_F_RING_PACKED);
	size_t bytes[3], align[3];

	iol_driver_areas(q->size, packed, bytes, align);
	if (packed)
		iol_guest_memory_wrote(v->mem, q->desc, bytes[0]);
	iol_guest_memory_wrote(v->mem, q->device, bytes[2]);
}

void virtio_ctrl_poll(struct virtio *v)
{
	struct iol_chain chains[BURST] = { 0 };
	int i, n;

	if (!v->ctrl || !iol_event_take(v->queues[v->ctrl_index].kick))
		return;
	n = renew_memory(v);
	if (!n)
		n = iol_ring_pop(v->ctrl, chains, BURST);
	if (n < 0) {
		fail(v);
		return;
	}
	for (i = 0; i < n; i++)
		answer(v, &chains[i]);
	if (iol_ring_publish(v->ctrl))
		virtio_call(v, v->ctrl_index);
	/* Others came, or did not fit. */
	if (iol_ring_arm(v->ctrl))
		iol_event_signal(v->queues[v->ctrl_index].kick);
	tell_ring(v);
}
