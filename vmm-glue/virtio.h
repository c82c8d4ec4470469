/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtio device on PCI (virtio 1.3, 4.1) whose queues a vhost-user back end serves. The guest writes to a queue's doorbell, and
 * the back end to the eventfd of a vector, without a turn through here; what is here are registers, and the back end's
 * coming and going.
 */
#ifndef IOL_VMM_GLUE_VIRTIO_H
#define IOL_VMM_GLUE_VIRTIO_H

#include "base/error.h"
#include "vmm-glue/frontend.h"
#include "vmm-glue/pci_function.h"

#define VIRTIO_BIT(name) (1ull << (name))

/* BAR 0: a page each for the structures. */
#define VIRTIO_BAR        0u
#define VIRTIO_BAR_SIZE   0x4000u
#define VIRTIO_COMMON     0x0000u
#define VIRTIO_ISR        0x1000u
#define VIRTIO_DEVICE     0x2000u
#define VIRTIO_NOTIFY     0x3000u
#define VIRTIO_STRUCTURE  0x1000u
#define VIRTIO_NOTIFY_MUL 4u
#define VIRTIO_QUEUES_MAX (VIRTIO_STRUCTURE / VIRTIO_NOTIFY_MUL)

#define VIRTIO_ISR_QUEUE  1u
#define VIRTIO_ISR_CONFIG 2u

#define VIRTIO_CONFIG_MAX 128u

struct virtio;
struct iol_ring;

/**
 * struct virtio_type - What is particular to a kind of device.
 * @want: features that are taken from the back end; those of all devices are added.
 * @config_size: of the back end's config space that is asked for. @config_need: those bytes it must not be without.
 * @track: chains are not used in order, so that an inflight log has to say which a dead back end had.
 * @offer: look at what the back end has, and was asked for, once: mend v->offered, make the queues.
 * @config: make v->config from what the back end says. Unless it is the @first time, only what may change may be otherwise; else
 *          -ENOTSUP.
 *
 * Both are given its config space, of @config_size bytes; NULL when it does not tell it.
 * @config_write: the driver wrote [@off, @off + @len), which is in the config space. May be NULL.
 */
struct virtio_type {
	const char *name;
	uint16_t id;
	uint32_t class;
	bool pairs, track;
	uint64_t want;
	uint32_t config_size;
	int (*offer)(struct virtio *v, const struct iol_virtio_spec *spec, const uint8_t *told);
	int (*config)(struct virtio *v, const uint8_t *told, bool first);
	void (*config_write)(struct virtio *v, uint32_t off, const uint8_t *data, uint32_t len);
};

extern const struct virtio_type virtio_blk, virtio_net;

struct virtio_queue {
	uint16_t size, vector;
	bool enabled;
	uint64_t desc, driver, device;
	int kick;
	bool has_bell;
	struct iol_doorbell bell;
};

struct virtio {
	struct iol_pci_function fn;
	const struct virtio_type *type;
	struct iol_guest_memory *mem;
	/* The back end, and coming back to it. */
	struct iol_frontend *fe;
	char *path;
	int err;   /* what all its queues tell errors by */
	int timer; /* when to try again */
	uint64_t pause_ms;
	unsigned int hung; /* how often it did when it was tried */
	bool waiting;
	bool config_stale, queue_failed; /* as it told, in the middle of something */
	char complaint[IOL_ERROR_MAX];
	unsigned int complaints; /* of what the guest did */
	/* What the driver sees. */
	uint64_t offered, features;
	uint32_t offer_select, feature_select;
	uint8_t status, generation;
	uint16_t select, config_vector, size_max;
	bool config_pending; /* a change that the driver is to hear of once it runs */
	uint8_t config[VIRTIO_CONFIG_MAX];
	uint32_t config_size;
	struct virtio_queue *queues;
	unsigned int nqueues, ndata; /* the control queue is none of the back end's */
	unsigned int window;         /* VIRTIO_PCI_CAP_PCI_CFG */
	/* Interrupts where MSI-X is off. */
	uint8_t isr;
	bool has_msix, has_intx;
	int isr_call, intx, resample;
	/* Of a NIC: pairs that the driver uses, and the control queue while it runs. */
	unsigned int pairs, ctrl_index;
	struct iol_ring *ctrl;
	bool mem_broken, mem_changed; /* of the memory that it has */
};

static inline struct virtio *virtio_of(struct iol_pci_function *fn)
{
	return (struct virtio *)(void *)fn;
}

static inline bool virtio_has(const struct virtio *v, unsigned int feature)
{
	return v->features >> feature & 1;
}

/* ---- virtio_regs.c ---- */

/** virtio_bar_access() - pci_function_ops.bar_access. */
void virtio_bar_access(struct iol_pci_function *fn, unsigned int bar, uint64_t off, void *data,
		       unsigned int len, bool write);

/** virtio_reset() - The driver, or the machine, resets the device. */
void virtio_reset(struct virtio *v);

/** virtio_needs_reset() - It can't go on; the driver is told. */
void virtio_needs_reset(struct virtio *v);

/** virtio_complain() - Log iol_error() and @what it is the end of, which a guest can bring about over and over: a few times. */
void virtio_complain(struct virtio *v, const char *what);

/* ---- virtio_queue.c ---- */

/** virtio_make_queues() - Room for @n, of which @ndata are the back end's. */
int virtio_make_queues(struct virtio *v, unsigned int n, unsigned int ndata);
void virtio_free_queues(struct virtio *v);

/** virtio_queues_reset() - As after power-on; the back end must have stopped them. */
void virtio_queues_reset(struct virtio *v);

/** virtio_enable_queue() - The driver enables queue @index, whose areas may lie anywhere. */
void virtio_enable_queue(struct virtio *v, unsigned int index);

/** virtio_reset_queue() - VIRTIO_F_RING_RESET. */
void virtio_reset_queue(struct virtio *v, unsigned int index);

/** virtio_start() - Have the back end start what the driver enabled and does not run yet. Its failures are seen to by virtio_settle(). */
void virtio_start(struct virtio *v);

/** virtio_set_vector() - The driver chooses the vector that queue @index interrupts by. */
void virtio_set_vector(struct virtio *v, unsigned int index, uint16_t vector);

/** virtio_renew_calls() - MSI-X was switched on or off. */
void virtio_renew_calls(struct virtio *v);

/** virtio_poke() - After the back end came back: kick and call all, as the last of either may have died with the earlier one. */
void virtio_poke(struct virtio *v);

/** virtio_call() - Interrupt for queue @index. */
void virtio_call(struct virtio *v, unsigned int index);

/** virtio_move_bells() - The BAR of the doorbells decodes, or ceased to. */
void virtio_move_bells(struct virtio *v, bool decodes);

/* ---- virtio_ctrl.c: a NIC's control queue, which is answered here ---- */

/** virtio_ctrl_start() - The driver enabled it, as queue @index. */
void virtio_ctrl_start(struct virtio *v, unsigned int index);
void virtio_ctrl_stop(struct virtio *v);

/** virtio_ctrl_poll() - Answer what came. */
void virtio_ctrl_poll(struct virtio *v);

/* ---- virtio_irq.c ---- */

/** virtio_vector() - @vector if interrupts can go by it, else VIRTIO_MSI_NO_VECTOR. */
uint16_t virtio_vector(struct virtio *v, uint16_t vector);

/** virtio_interrupt() - Set @bits of the ISR status, and hold INTx up. */
void virtio_interrupt(struct virtio *v, uint8_t bits);

/** virtio_isr_read() - What it is, and take it down. */
uint8_t virtio_isr_read(struct virtio *v);

/** virtio_config_changed() - Tell the driver. */
void virtio_config_changed(struct virtio *v);

/** virtio_poll_intx() - Calls that came without MSI-X, and an interrupt that the guest ended too early. */
void virtio_poll_intx(struct virtio *v);

/** virtio_update_intx() - The driver may have switched INTx or MSI-X on or off. */
void virtio_update_intx(struct virtio *v);
void virtio_remove_intx(struct virtio *v);

/* ---- virtio_backend.c ---- */

/** virtio_connect() - The first time: negotiate, and make v->offered, v->config, queues. */
int virtio_connect(struct virtio *v, const struct iol_virtio_spec *spec);

/** virtio_poll_backend() - What it tells, or connecting anew. */
void virtio_poll_backend(struct virtio *v);

/** virtio_settle() - What the back end told, and its end, noticed in the middle of something else. At the end of each turn. */
void virtio_settle(struct virtio *v);

/** virtio_watch() - Have @fd make the function's descriptor readable. */
int virtio_watch(struct virtio *v, int fd);
void virtio_unwatch(struct virtio *v, int fd);

#endif
