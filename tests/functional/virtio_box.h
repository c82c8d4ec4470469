/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk's rig whose guest has a virtio function in place of a front end. */
#ifndef IOL_TESTS_VIRTIO_BOX_H
#define IOL_TESTS_VIRTIO_BOX_H

#include "rig.h"
#include "virtio_guest.h"

#include <linux/virtio_pci.h>

#define BOX_ALL ~0ull

/* Features that choose the ring, which a test takes or leaves. */
#define BOX_PACKED (1ull << VIRTIO_F_RING_PACKED)

/* The config space's vector, after those of the queues. */
#define BOX_CONFIG 15u

struct box {
	struct rig *r;
	struct vguest g;
	const char *path; /* of another socket than the back end's, or NULL */
};

/** box_up() - A back end as @spec says, and the function, probed: nothing is negotiated yet. */
struct box *box_up(const struct rig_spec *spec);
void box_down(struct box **b);

/** box_new() - The same without a function. */
struct box *box_new(const struct rig_spec *spec);

/** box_function() - Make the function: iol_virtio_new()'s answer. */
int box_function(struct box *b);

/** box_drop() - Destroy it; it must leave nothing with the machine. */
void box_drop(struct box *b);

/** box_go() - Reset, negotiate those of @features that are there, and start all queues. */
void box_go(struct box *b, uint64_t features);

/** box_until() - Give the function turns until @done, bounded. */
void box_until(struct box *b, bool (*done)(struct box *b));

/** box_connected() - Whether it has its back end; for box_until(). */
bool box_connected(struct box *b);
bool box_alone(struct box *b);

/** box_said - What was logged last of a back end that is not back, while box_hear() has the log; the test empties it. */
extern char box_said[1024];

/** box_hear() - Keep that from now on; iol_log_set() ends it. */
void box_hear(void);

/** box_complained() - Whether there is something in box_said; for box_until(). */
bool box_complained(struct box *b);

#endif
