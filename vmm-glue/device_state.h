/* SPDX-License-Identifier: BSD-3-Clause */
/* A device's state on its way: the stream, and what kinds of devices do at its turns. */
#ifndef IOL_VMM_GLUE_DEVICE_STATE_H
#define IOL_VMM_GLUE_DEVICE_STATE_H

#include <iolane/vmm_migration.h>

/*
 * A stream is a header, blocks and an end: all numbers are little-endian. A header is 16 bytes: the magic, the version and the kind, two bytes
 * each, the VMM's id, and PCI's vendor and device ID (or 0). A block is its length, four bytes, and as many; the end is a block of none.
 */
#define STATE_MAGIC     0x534c4f49u /* "IOLS" */
#define STATE_VERSION   1u
#define STATE_HEADER    16u
#define STATE_BLOCK     4u
#define STATE_BLOCK_MAX (1u << 20)

/**
 * struct state_kind - What is particular to a kind of device. Each may be NULL, for nothing to do.
 * @begin: it is about to be saved or loaded: look whether it can be; sets st->device.
 * @save: it still runs. @stop: it stops. @saved: all was read.
 * @load: the header is good. @loaded: all was written.
 * @gone: what was saved has arrived. @give_up: go back to what was before.
 */
struct state_kind {
	const char *name;
	uint16_t number;
	int (*begin)(struct iol_device_state *st);
	int (*save)(struct iol_device_state *st);
	int (*stop)(struct iol_device_state *st);
	int (*saved)(struct iol_device_state *st);
	int (*load)(struct iol_device_state *st);
	int (*loaded)(struct iol_device_state *st);
	int (*gone)(struct iol_device_state *st);
	int (*give_up)(struct iol_device_state *st);
	int (*left)(struct iol_device_state *st, struct iol_migration_left *left);
};

extern const struct state_kind state_none, state_vfio, state_backend;

struct iol_device_state {
	const struct state_kind *kind;
	struct iol_vfio_device *vfio;
	struct iol_frontend *fe;
	uint32_t id, device;
	int fd; /* where the device's bytes are read or written; -1: nowhere */
	int timeout_ms;
	bool loads, stopped;
	bool begun;    /* the header is behind us */
	bool touched;  /* the device is not where it was */
	bool complete; /* the end is behind us */
	bool failed;
	/* Of a stream that is loaded: a header or a length that came in part, and what is left of a block. */
	uint8_t head[STATE_HEADER];
	size_t have;
	uint32_t block;
};

#endif
