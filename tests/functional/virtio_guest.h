/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A machine with one PCI function in it, and a driver of its virtio device that goes about it as Linux's does. What the kernel
 * would do for a machine is done on the spot: a write to a doorbell writes its eventfd, and who waits for
 * an interrupt waits for its eventfd. What goes wrong while the device is set up fails the test.
 */
#ifndef IOL_TESTS_VIRTIO_GUEST_H
#define IOL_TESTS_VIRTIO_GUEST_H

#include "tests/unit/machine.h"
#include "vmm-glue/guest_queue.h"

/* Where the driver puts BARs. */
#define VGUEST_BAR 0xe0000000ull

struct vguest {
	struct iol_pci_function *fn;
	struct machine machine;
	/* What the driver found. */
	uint64_t common, notify, isr, device, table;
	uint32_t notify_mul;
	unsigned int msix, window; /* capabilities */
	uint64_t features;
};

void vguest_init(struct vguest *g);

/* ---- the machine ---- */

/** vguest_write(), vguest_read() - The driver accesses memory of the device. */
void vguest_write(struct vguest *g, uint64_t gpa, unsigned int len, uint64_t value);
uint64_t vguest_read(struct vguest *g, uint64_t gpa, unsigned int len);

/** vguest_irq() - The eventfd that now brings the message with @data to a processor; -1: none does. */
int vguest_irq(const struct vguest *g, uint32_t data);

/** vguest_irqs() - How often it was signalled since asked last. */
uint64_t vguest_irqs(const struct vguest *g, uint32_t data);

/** vguest_kick() - The eventfd of queue @index's doorbell; -1: it has none. */
int vguest_kick(const struct vguest *g, unsigned int index);

/** vguest_turn() - Have the function do what came, if anything did. */
void vguest_turn(struct vguest *g);

/* ---- the driver ---- */

/** vguest_probe() - Find the capabilities, place the BARs, switch memory and MSI-X on. */
void vguest_probe(struct vguest *g);

/** vguest_program() - Entry @vector of the table: a message of @data. */
void vguest_program(struct vguest *g, unsigned int vector, uint32_t data, bool masked);

/** vguest_use_msix() */
void vguest_use_msix(struct vguest *g, bool on);

uint8_t vguest_status(struct vguest *g);

/** vguest_offered() - Features of the device. */
uint64_t vguest_offered(struct vguest *g);

/** vguest_negotiate() - Reset, and agree on those of @want that are offered: whether the device accepts them. */
bool vguest_negotiate(struct vguest *g, uint64_t want);

/**
 * vguest_queue() - Set queue @index up and enable it.
 * @vector: of the table; its message's data is @vector, too.
 * The queue's eventfds then are those of the machine.
 */
void vguest_queue(struct vguest *g, unsigned int index, struct iol_guest_queue *q, uint16_t vector);

/**
 * vguest_attach() - Have the queue kick by its doorbell, and wait for the interrupt of @vector, as they are now. With
 * no doorbells a kick goes nowhere, and vguest_write() is what kicks.
 */
void vguest_attach(struct vguest *g, unsigned int index, struct iol_guest_queue *q,
		   uint16_t vector);

/** vguest_select() - Of the common structure's registers of a queue. */
void vguest_select(struct vguest *g, unsigned int index);

/** vguest_go() - DRIVER_OK. */
void vguest_go(struct vguest *g);

/** vguest_reset() - Reset the device, and wait. */
void vguest_reset(struct vguest *g);

#endif
