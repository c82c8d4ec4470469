/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest's disk whose back end goes: the guest waits, and goes on where it was when one is there again. */
#include "virtio_box.h"

#include "vhost-user/wire.h"
#include "vmm-glue/virtio.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUNDS 10

/* ---- killed ---- */

static void killed_in_mid_load(void **state)
{
	unsigned int packed, round;

	for (packed = 0; packed < 2; packed++) {
		struct rig_spec spec = { .program = true, .queues = 4, .threads = 2 };
		struct box *b = box_up(&spec);
		struct rig_story story = { 0 };

		box_go(b, packed ? BOX_ALL : BOX_ALL & ~BOX_PACKED);
		rig_works(b->r);
		for (round = 1; round <= ROUNDS; round++) {
			rig_write_all(b->r, &story, round);
			/* At once, or after some were done: each round catches it elsewhere. */
			if (round % 3)
				usleep(round * 50);
			rig_stop_backend(b->r, SIGKILL);
			if (round % 2)
				box_until(b, box_alone);
			rig_start_backend(b->r);
			rig_take_all(b->r, &story);
		}
		assert_int_equal(vguest_status(&b->g), 15);
		assert_int_equal(vguest_irqs(&b->g, BOX_CONFIG), 0);
		rig_works(b->r);
		box_down(&b);
	}
}

/* While there is none the driver resets the device, sets it up anew, moves a vector, resets a queue, turns the cache off. */
static void the_driver_goes_on_without(void **state)
{
	struct rig_spec spec = { .program = true, .queues = 2 };
	struct box *b = box_up(&spec);
	uint64_t wce = b->g.device + offsetof(struct virtio_blk_config, wce);
	struct rig_story story = { 0 };

	box_go(b, BOX_ALL);
	rig_write_all(b->r, &story, 1);
	rig_stop_backend(b->r, SIGKILL);
	vguest_irqs(&b->g, 0);
	vguest_select(&b->g, 1);
	vguest_write(&b->g, b->g.common + VIRTIO_PCI_COMMON_Q_MSIX, 2, 0);
	/* For what was told the old way and not heard. */
	assert_int_equal(vguest_irqs(&b->g, 0), 1);
	rig_start_backend(b->r);
	box_until(b, box_connected);
	rig_stop_backend(b->r, SIGKILL);
	/* It is the reset that finds nobody there. */
	box_go(b, BOX_ALL & ~BOX_PACKED);
	assert_true(box_alone(b));
	vguest_select(&b->g, 1);
	vguest_write(&b->g, b->g.common + VIRTIO_PCI_COMMON_Q_MSIX, 2, 0);
	vguest_attach(&b->g, 1, b->r->queue[1], 0);
	vguest_select(&b->g, 0);
	vguest_write(&b->g, b->g.common + VIRTIO_PCI_COMMON_Q_RESET, 2, 1);
	iol_guest_queue_destroy(&b->r->queue[0]);
	rig_make_queue(b->r, 0, b->g.features);
	vguest_queue(&b->g, 0, b->r->queue[0], 1);
	vguest_write(&b->g, wce, 1, 0);
	rig_start_backend(b->r);
	box_until(b, box_connected);
	assert_int_equal(vguest_status(&b->g), 15);
	assert_int_equal(vguest_read(&b->g, wce, 1), 0);
	rig_works(b->r);
	/* The next one does not know of the cache but by us. */
	rig_stop_backend(b->r, SIGKILL);
	box_until(b, box_alone);
	rig_start_backend(b->r);
	box_until(b, box_connected);
	assert_int_equal(vguest_read(&b->g, wce, 1), 0);
	rig_works(b->r);
	box_down(&b);
}

/* ---- another one comes ---- */

static void restart(struct box *b)
{
	rig_stop_backend(b->r, SIGTERM);
	box_until(b, box_alone);
	box_said[0] = '\0';
	rig_start_backend(b->r);
}

static void another_is_refused(void **state)
{
	static const char *const wrong[] = { "virtio feature", "queues", "blocks or limits" };
	struct rig_spec spec = { .queues = 2 };
	struct box *b;
	unsigned int i;

	box_hear();
	b = box_up(&spec);
	/* Not all that is offered: who is refused, and who is not, must not make it more. */
	box_go(b, BOX_ALL & ~BOX_PACKED);
	rig_works(b->r);
	for (i = 0; i < 3; i++) {
		b->r->spec = spec;
		if (i == 0)
			b->r->spec.read_only = true;
		else if (i == 1)
			b->r->spec.queues = 1;
		else
			b->r->spec.file = "null:8M";
		restart(b);
		box_until(b, box_complained);
		if (!strstr(box_said, wrong[i]))
			fail_msg("%u: %s", i, box_said);
		assert_true(box_alone(b));
		/* Time to try again, and again. */
		assert_int_equal(vguest_status(&b->g), 15);
	}
	/* Only the size is another: the driver hears of that. */
	b->r->spec = spec;
	rig_stop_backend(b->r, SIGTERM);
	assert_int_equal(ftruncate(b->r->image_fd, (off_t)RIG_DISK * 2), 0);
	vguest_irqs(&b->g, BOX_CONFIG);
	rig_start_backend(b->r);
	box_until(b, box_connected);
	assert_int_equal(vguest_read(&b->g, b->g.device, 4), RIG_DISK * 2 >> 9);
	assert_int_equal(vguest_irqs(&b->g, BOX_CONFIG), 1);
	rig_works(b->r);
	box_down(&b);
	iol_log_set(NULL, NULL, IOL_LOG_WARNING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_in_mid_load),
		cmocka_unit_test(the_driver_goes_on_without),
		cmocka_unit_test(another_is_refused),
	};

	if (!getenv("IOLANE_BLK")) {
		print_message("skipped: iolane-blk was not built\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
