/* SPDX-License-Identifier: BSD-3-Clause */
#include "vmm-glue/guest_queue.h"

#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#define PACKED_BASE 0x80008000u
#define DESC_BYTES  16

/* The areas share no cache line, so that device and driver do not fight for one they don't share. */
#define AREA_ALIGN 128

static int place(struct iol_guest_memory *mem, const struct iol_guest_queue_spec *spec,
		 struct iol_guest_queue *q, struct iol_driver_spec *driver)
{
	uint64_t *const address[] = { &q->setup.desc, &q->setup.avail, &q->setup.used };
	size_t bytes[3], align[3];
	uint64_t gpa;
	int i, rc;

	iol_driver_areas(spec->size, driver->packed, bytes, align);
	for (i = 0; i < 3; i++) {
		rc = iol_guest_memory_alloc(mem, bytes[i],
					    align[i] > AREA_ALIGN ? align[i] : AREA_ALIGN, &gpa);
		if (rc < 0)
			return rc;
		q->area[i] = iol_guest_memory_host(mem, gpa, bytes[i]);
		*address[i] = gpa + spec->iova_offset;
	}
	driver->desc = q->area[0];
	driver->avail = q->area[1];
	driver->used = q->area[2];
	if (!driver->indirect)
		return 0;
	bytes[0] = (size_t)spec->size * spec->segs_max * DESC_BYTES;
	rc = iol_guest_memory_alloc(mem, bytes[0], AREA_ALIGN, &gpa);
	if (rc < 0)
		return rc;
	driver->tables = iol_guest_memory_host(mem, gpa, bytes[0]);
	driver->tables_addr = gpa + spec->iova_offset;
	driver->indirect_max = spec->segs_max;
	return 0;
}

static int set_up(struct iol_guest_memory *mem, const struct iol_guest_queue_spec *spec,
		  struct iol_guest_queue *q)
{
	struct iol_driver_spec driver = {
		.size = spec->size,
		.packed = spec->features & 1ull << VIRTIO_F_RING_PACKED,
		.event_idx = spec->features & 1ull << VIRTIO_RING_F_EVENT_IDX,
		.indirect = spec->features & 1ull << VIRTIO_RING_F_INDIRECT_DESC,
		.in_order = spec->features & 1ull << VIRTIO_F_IN_ORDER,
	};
	int *const fds[] = { &q->setup.kick, &q->setup.call, &q->setup.err };
	int i, rc;

	q->setup.size = spec->size;
	q->setup.base = driver.packed ? PACKED_BASE : 0;
	q->setup.kick = q->setup.call = q->setup.err = -1;
	for (i = 0; i < 3; i++) {
		*fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (*fds[i] < 0)
			return iol_fail(errno, "cannot make an eventfd: %s", strerror(errno));
	}
	rc = place(mem, spec, q, &driver);
	return rc < 0 ? rc : iol_driver_new(&driver, &q->driver);
}

int iol_guest_queue_new(struct iol_guest_memory *mem, const struct iol_guest_queue_spec *spec,
			struct iol_guest_queue **queue)
{
	struct iol_guest_queue *q = calloc(1, sizeof(*q));
	int rc;

	if (!q)
		return iol_fail(ENOMEM, "out of memory for a queue");
	rc = set_up(mem, spec, q);
	if (rc < 0)
		iol_guest_queue_destroy(&q);
	else
		*queue = q;
	return rc;
}

void iol_guest_queue_destroy(struct iol_guest_queue **queue)
{
	struct iol_guest_queue *q = *queue;

	if (!q)
		return;
	iol_driver_destroy(&q->driver);
	iol_close(&q->setup.kick);
	iol_close(&q->setup.call);
	iol_close(&q->setup.err);
	free(q);
	*queue = NULL;
}

void iol_guest_queue_kick(struct iol_guest_queue *q)
{
	/* It fails only when the counter is full, and then the device has been told. */
	if (eventfd_write(q->setup.kick, 1) < 0)
		return;
}

int iol_guest_queue_wait(struct iol_guest_queue *q, int timeout_ms)
{
	struct pollfd pfd = { .fd = q->setup.call, .events = POLLIN };
	eventfd_t n;

	if (poll(&pfd, 1, timeout_ms) <= 0)
		return 0;
	return eventfd_read(q->setup.call, &n) == 0;
}
