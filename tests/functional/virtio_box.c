/* SPDX-License-Identifier: BSD-3-Clause */
#include "virtio_box.h"

#include "base/clock.h"
#include "vmm-glue/virtio.h"

#include <linux/virtio_ids.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void turn(void *ctx)
{
	vguest_turn(&((struct box *)ctx)->g);
}

int box_function(struct box *b)
{
	struct iol_virtio_spec spec = { .type = VIRTIO_ID_BLOCK,
					.path = b->path ? b->path : b->r->socket,
					.queues = b->r->spec.queues,
					.cpus = 2,
					.memory = b->r->mem,
					.ops = &machine_ops,
					.vm = &b->g.machine };

	return iol_virtio_new(&spec, &b->g.fn);
}

struct box *box_new(const struct rig_spec *spec)
{
	struct box *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	vguest_init(&b->g);
	b->r = rig_new(spec);
	b->r->turn = turn;
	b->r->turn_ctx = b;
	rig_start_backend(b->r);
	rig_make_memory(b->r);
	return b;
}

struct box *box_up(const struct rig_spec *spec)
{
	struct box *b = box_new(spec);

	if (box_function(b) < 0)
		fail_msg("%s", iol_error());
	vguest_probe(&b->g);
	return b;
}

void box_drop(struct box *b)
{
	iol_pci_function_destroy(&b->g.fn);
	machine_end(&b->g.machine);
}

void box_down(struct box **bp)
{
	struct box *b = *bp;

	box_drop(b);
	rig_down(&b->r);
	free(b);
	*bp = NULL;
}

void box_go(struct box *b, uint64_t features)
{
	unsigned int q, n = b->r->spec.queues ? b->r->spec.queues : 1;

	assert_true(vguest_negotiate(&b->g, features));
	for (q = 0; q < n; q++) {
		iol_guest_queue_destroy(&b->r->queue[q]);
		rig_make_queue(b->r, q, b->g.features);
	}
	vguest_program(&b->g, n, BOX_CONFIG, false);
	vguest_write(&b->g, b->g.common + VIRTIO_PCI_COMMON_MSIX, 2, n);
	for (q = 0; q < n; q++)
		vguest_queue(&b->g, q, b->r->queue[q], (uint16_t)q);
	vguest_go(&b->g);
}

void box_until(struct box *b, bool (*done)(struct box *b))
{
	uint64_t end = iol_now() + RIG_WAIT * IOL_NS_PER_MS;
	struct pollfd pfd = { .fd = iol_pci_function_fd(b->g.fn), .events = POLLIN };

	while (!done(b)) {
		assert_true(iol_now() < end);
		if (poll(&pfd, 1, 100) > 0)
			assert_int_equal(iol_pci_function_poll(b->g.fn), 0);
	}
}

bool box_connected(struct box *b)
{
	return iol_frontend_connected(virtio_of(b->g.fn)->fe);
}

bool box_alone(struct box *b)
{
	return !box_connected(b);
}

char box_said[1024];

static void keep(void *ctx, enum iol_log_level level, const char *line)
{
	if (strstr(line, "not back yet"))
		snprintf(box_said, sizeof(box_said), "%s", line);
}

void box_hear(void)
{
	iol_log_set(keep, NULL, IOL_LOG_WARNING);
}

bool box_complained(struct box *b)
{
	return box_said[0];
}
