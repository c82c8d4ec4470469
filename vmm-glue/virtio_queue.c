/* SPDX-License-Identifier: BSD-3-Clause */
/* Queues: what the driver sets up is checked, given to the back end, and taken from it; doorbells and calls. */
#include "vmm-glue/virtio.h"

#include "base/event.h"
#include "base/own.h"
#include "vhost-user/driver.h"
#include "vmm-glue/msix.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <string.h>
#include <sys/eventfd.h>

#define PACKED_BASE 0x80008000u

/* ---- their life ---- */

int virtio_make_queues(struct virtio *v, unsigned int n, unsigned int ndata)
{
	unsigned int i;

	v->queues = calloc(n, sizeof(*v->queues));
	if (!v->queues)
		return iol_fail(ENOMEM, "out of memory for %u queues", n);
	for (i = 0; i < n; i++)
		v->queues[i].kick = -1;
	v->nqueues = n;
	v->ndata = ndata;
	for (i = 0; i < n; i++) {
		v->queues[i].kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (v->queues[i].kick < 0)
			return iol_fail(errno, "cannot make an eventfd: %s", strerror(errno));
	}
	virtio_queues_reset(v);
	return 0;
}

void virtio_free_queues(struct virtio *v)
{
	unsigned int i;

	for (i = 0; i < v->nqueues; i++)
		iol_close(&v->queues[i].kick);
	free(v->queues);
}

/* ---- doorbells ---- */

static void remove_bell(struct virtio *v, struct virtio_queue *q)
{
	if (q->has_bell)
		v->fn.vm_ops->doorbell_remove(v->fn.vm, &q->bell);
	q->has_bell = false;
}

/* Without one the driver's writes come to us. */
static void add_bell(struct virtio *v, unsigned int index)
{
	struct virtio_queue *q = &v->queues[index];
	const struct pci_function_bar *bar = &v->fn.bars[VIRTIO_BAR];

	if (q->has_bell || !q->enabled || !bar->decodes)
		return;
	q->bell = (struct iol_doorbell){
		.gpa = bar->gpa + VIRTIO_NOTIFY + (uint64_t)index * VIRTIO_NOTIFY_MUL,
		.fd = q->kick,
	};
	q->has_bell = !v->fn.vm_ops->doorbell_add(v->fn.vm, &q->bell);
	if (!q->has_bell)
		virtio_complain(v, "a queue is kicked the slow way");
}

void virtio_move_bells(struct virtio *v, bool decodes)
{
	unsigned int i;

	for (i = 0; i < v->nqueues; i++) {
		if (decodes)
			add_bell(v, i);
		else
			remove_bell(v, &v->queues[i]);
	}
}

/* ---- setting up ---- */

static void reset_queue(struct virtio *v, struct virtio_queue *q)
{
	remove_bell(v, q);
	*q = (struct virtio_queue){ .size = v->size_max,
				    .vector = VIRTIO_MSI_NO_VECTOR,
				    .kick = q->kick };
	/* A kick for what was there before. */
	iol_event_take(q->kick);
}

void virtio_queues_reset(struct virtio *v)
{
	unsigned int i;

	for (i = 0; i < v->nqueues; i++)
		reset_queue(v, &v->queues[i]);
}

/* Without MQ the control queue comes after the first pair, however many there are (virtio 1.3, 5.1.2). */
static unsigned int data_queues(const struct virtio *v)
{
	return v->ndata < v->nqueues && !virtio_has(v, VIRTIO_NET_F_MQ) ? 2 : v->ndata;
}

static int check_areas(const struct virtio *v, const struct virtio_queue *q)
{
	const uint64_t addr[] = { q->desc, q->driver, q->device };
	bool packed = virtio_has(v, VIRTIO_F_RING_PACKED);
	size_t bytes[3], align[3];
	unsigned int i;

	if (!packed && q->size & (q->size - 1))
		return iol_fail(EINVAL, "a split ring can't have %u descriptors", q->size);
	iol_driver_areas(q->size, packed, bytes, align);
	for (i = 0; i < 3; i++)
		if (addr[i] % align[i] || !iol_guest_memory_host(v->mem, addr[i], bytes[i]))
			return iol_fail(EFAULT,
					"a ring of %u descriptors can't have an area at 0x%" PRIx64,
					q->size, addr[i]);
	return 0;
}

void virtio_enable_queue(struct virtio *v, unsigned int index)
{
	struct virtio_queue *q = &v->queues[index];

	if (!(v->status & VIRTIO_CONFIG_S_FEATURES_OK) || index > data_queues(v))
		return;
	if (check_areas(v, q) < 0) {
		virtio_complain(v, "a queue can't start");
		virtio_needs_reset(v);
		return;
	}
	q->enabled = true;
	add_bell(v, index);
	virtio_start(v);
}

void virtio_reset_queue(struct virtio *v, unsigned int index)
{
	struct virtio_queue *q = &v->queues[index];

	if (!virtio_has(v, VIRTIO_F_RING_RESET) || !q->enabled)
		return;
	/* Where it fails the back end is gone, and has no queue any more. */
	if (index >= data_queues(v))
		virtio_ctrl_stop(v);
	else if (iol_fe_started(v->fe, index))
		iol_frontend_queue_stop(v->fe, index, NULL);
	iol_fe_forget_queue(v->fe, index);
	reset_queue(v, q);
}

/* ---- calls ---- */

static int call_fd(struct virtio *v, const struct virtio_queue *q)
{
	return msix_enabled(v->fn.msix) ? msix_fd(v->fn.msix, q->vector) : v->isr_call;
}

void virtio_call(struct virtio *v, unsigned int index)
{
	int fd = call_fd(v, &v->queues[index]);

	if (fd >= 0)
		iol_event_signal(fd);
}

/* What was told the old way while it changed may not have been heard: tell it once more. */
static void renew_call(struct virtio *v, unsigned int index)
{
	if (!iol_fe_started(v->fe, index))
		return;
	if (iol_fe_set_call(v->fe, index, call_fd(v, &v->queues[index])) < 0 &&
	    iol_frontend_connected(v->fe))
		v->queue_failed = true;
	virtio_call(v, index);
}

void virtio_renew_calls(struct virtio *v)
{
	unsigned int i;

	for (i = 0; i < v->ndata; i++)
		renew_call(v, i);
}

void virtio_set_vector(struct virtio *v, unsigned int index, uint16_t vector)
{
	vector = virtio_vector(v, vector);
	if (v->queues[index].vector == vector)
		return;
	v->queues[index].vector = vector;
	renew_call(v, index);
}

void virtio_poke(struct virtio *v)
{
	unsigned int i;

	for (i = 0; i < v->ndata; i++) {
		if (!iol_fe_started(v->fe, i))
			continue;
		iol_event_signal(v->queues[i].kick);
		virtio_call(v, i);
	}
}

/* ---- the back end ---- */

static bool any_started(const struct virtio *v)
{
	unsigned int i;

	for (i = 0; i < v->ndata; i++)
		if (iol_fe_started(v->fe, i))
			return true;
	return false;
}

static int begin(struct virtio *v)
{
	int rc = iol_frontend_set_features(v->fe, v->features);

	if (!rc && v->type->track && !iol_fe_has(v->fe, VHOST_USER_GET_INFLIGHT_FD))
		rc = iol_frontend_track_inflight(v->fe, v->ndata, v->size_max);
	return rc;
}

static int start_queue(struct virtio *v, unsigned int index)
{
	const struct virtio_queue *q = &v->queues[index];
	struct iol_frontend_queue setup = {
		.size = q->size,
		.base = virtio_has(v, VIRTIO_F_RING_PACKED) ? PACKED_BASE : 0,
		.desc = q->desc,
		.avail = q->driver,
		.used = q->device,
		.kick = q->kick,
		.call = call_fd(v, q),
		.err = v->err,
	};

	return iol_fe_start_queue(v->fe, index, &setup, !v->type->pairs || index / 2 < v->pairs);
}

void virtio_start(struct virtio *v)
{
	unsigned int i, ndata = data_queues(v);
	int rc = 0;

	if (!(v->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	if (ndata < v->nqueues && v->queues[ndata].enabled)
		virtio_ctrl_start(v, ndata);
	if (!any_started(v))
		rc = begin(v);
	for (i = 0; i < ndata && !rc; i++)
		if (v->queues[i].enabled && !iol_fe_started(v->fe, i))
			rc = start_queue(v, i);
	/* Without a connection it is done when there is one again. */
	if (rc < 0 && iol_frontend_connected(v->fe)) {
		virtio_complain(v, "the device can't start");
		virtio_needs_reset(v);
	}
}
