/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Inflight I/O tracking: which chains were taken and not given back, in memory that the front end
 * keeps, so that a backend killed at any instruction finds out after its restart.
 * Spec: vhost-user, "Inflight I/O tracking"; layouts for split and packed queues there.
 */
#ifndef IOL_VHOST_USER_INFLIGHT_H
#define IOL_VHOST_USER_INFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The whole buffer, of all queues (GET/SET_INFLIGHT_FD). */
struct iol_inflight {
	uint8_t *map;
	size_t map_len;
	uint8_t *queues; /* where the first queue's part is in @map */
	int fd;
	uint16_t num_queues;
	uint16_t queue_size;
	bool packed;
	size_t stride; /* bytes a queue */
	/* After the last queue, for the device type; NULL where the buffer ends before. */
	uint64_t *note;
	struct iol_sigbus_range *sigbus;
};

/** iol_inflight_new() - Make and zero the buffer for GET_INFLIGHT_FD (a sealed memfd, .fd). */
int iol_inflight_new(uint16_t num_queues, uint16_t queue_size, bool packed,
		     struct iol_inflight **inflight);

/** iol_inflight_map() - Map the buffer of a SET_INFLIGHT_FD, sizes checked; @fd is taken over, also on failure. */
int iol_inflight_map(int fd, uint64_t size, uint64_t offset, uint16_t num_queues,
		     uint16_t queue_size, bool packed, int wake_fd, bool *broken,
		     struct iol_inflight **inflight);
void iol_inflight_destroy(struct iol_inflight **inflight);

/**
 * iol_inflight_forget() - The front end has queue @index's base (GET_VRING_BASE was answered) and
 * nothing of the queue is in flight: its next start takes up the base that it is given, not what the
 * log says. Without it a ring that the guest has reset would be taken for one that a dead process left.
 * The queue must be stopped.
 */
void iol_inflight_forget(const struct iol_inflight *inflight, unsigned int index);

#endif
