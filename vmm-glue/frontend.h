/* SPDX-License-Identifier: BSD-3-Clause */
/* The inside of a front end, and the two ways its parts talk to the back end. */
#ifndef IOL_VMM_GLUE_FRONTEND_H
#define IOL_VMM_GLUE_FRONTEND_H

#include <iolane/vmm_frontend.h>

#include "vhost-user/listen.h"
#include "vhost-user/wire.h"

/* The specification's limit on SET_MEM_TABLE; more regions go one by one. */
#define FRONTEND_TABLE_MAX 8

struct frontend_queue {
	struct iol_frontend_queue setup;
	bool started, enabled;
	bool resume; /* stopped by suspend */
};

struct frontend_mapping {
	uint64_t iova, size, gpa;
	unsigned int perm;
};

struct iol_frontend {
	/* Where. */
	char *path;
	bool listen, can_reconnect;
	struct iol_listener listener;
	int timeout_ms,
		connect_ms; /* connect_ms: how long it may take to be there; 0: it is, or not */
	/* Somebody else stands still while we wait: what it takes of our time in all is bounded, too (request.c). */
	bool rationed;
	uint64_t paid_at; /* when waits of before are paid for */
	struct iol_frontend_ops ops;
	void *ctx;
	/* The connection. */
	int fd, channel;
	struct iol_wire_rx rx, channel_rx;
	unsigned int iotlb_pending; /* answers to misses that the back end has yet to acknowledge */
	bool iotlb_refused;         /* the last acknowledgement was a no */
	/* What was agreed on. */
	uint64_t protocol_off;
	bool pairs;
	uint64_t features, protocol;
	uint64_t
		offered; /* what may be agreed on anew: all that was asked for and offered at first */
	bool can_log;
	bool negotiated;
	unsigned int queues_max, slots_max;
	/* What is to be as it was after a reconnection. */
	const struct iol_guest_memory *memory;
	struct iol_mem_desc *regions; /* what the back end has */
	unsigned int nregions;
	unsigned int reached; /* regions that guest memory has us reach */
	bool table_sent;
	struct frontend_queue *queues;
	unsigned int nqueues;
	int inflight_fd;
	struct vhost_user_inflight inflight;
	int log_fd;
	uint8_t *log;
	uint64_t log_size;
	bool logging;
	uint16_t mtu; /* 0 when none was set */
	struct frontend_mapping *mappings;
	unsigned int nmappings;
	uint64_t misses, unknown_misses;
};

/* ---- connection.c ---- */

/** iol_fe_lose() - Close what is no good any more. Return: @rc, the sentence is left alone. */
int iol_fe_lose(struct iol_frontend *fe, int rc);

/* ---- request.c ---- */

/** iol_fe_has() - 0 when what @request needs was negotiated, else -ENOTSUP. */
int iol_fe_has(const struct iol_frontend *fe, uint32_t request);

/**
 * iol_fe_set() - Send a message that has no answer but yes or no, and wait for it where there is one.
 * Return: 0; -EREMOTEIO for no; -ENOTSUP, -EPROTO, -ETIMEDOUT, -ENOTCONN.
 */
int iol_fe_set(struct iol_frontend *fe, uint32_t request, const void *payload, uint32_t size,
	       const int *fds, unsigned int nfds);

/** iol_fe_seen() - Wait until the back end has taken all that it was sent: where iol_fe_set() has no answer, only that tells. */
int iol_fe_seen(struct iol_frontend *fe);

/** iol_fe_set_u64() - The same for one number. */
int iol_fe_set_u64(struct iol_frontend *fe, uint32_t request, uint64_t value);

/**
 * iol_fe_get() - Send a message and wait for its answer, which has the kind and the number of
 * descriptors that the table of messages says. Free @reply with iol_msg_close().
 * @fd: goes with it; -1: none.
 */
int iol_fe_get(struct iol_frontend *fe, uint32_t request, const void *payload, uint32_t size,
	       int fd, struct iol_msg *reply);
int iol_fe_get_u64(struct iol_frontend *fe, uint32_t request, uint64_t *value);

/** iol_fe_send_iotlb() - Send an IOTLB message; its acknowledgement is counted, not waited for. */
int iol_fe_send_iotlb(struct iol_frontend *fe, const struct vhost_iotlb_msg *iotlb);

/** iol_fe_wait_iotlb() - Wait until all of them came. -EREMOTEIO when the last was a no. */
int iol_fe_wait_iotlb(struct iol_frontend *fe);

/* ---- queues.c ---- */

/** iol_fe_send_addr() - SET_VRING_ADDR as the queue and the dirty log are now. */
int iol_fe_send_addr(struct iol_frontend *fe, unsigned int index);

/** iol_fe_restart_queues() - After a reconnection. */
int iol_fe_restart_queues(struct iol_frontend *fe);

/** iol_fe_started() - Whether a queue was started, and is to be again after a reconnection. */
bool iol_fe_started(const struct iol_frontend *fe, unsigned int index);

/** iol_fe_start_queue() - iol_frontend_queue_start(), which may leave the queue disabled. */
int iol_fe_start_queue(struct iol_frontend *fe, unsigned int index,
		       const struct iol_frontend_queue *queue, bool enabled);

/**
 * iol_fe_set_call() - Have a queue, which may run, call by another eventfd. When it returns, the earlier one is called no more;
 * what it was told last may not have been heard. Without a connection it holds from the next on.
 */
int iol_fe_set_call(struct iol_frontend *fe, unsigned int index, int call);

/** iol_fe_forget_queue(), iol_fe_forget() - Start it, or any queue and the inflight buffer, no more after a reconnection. */
void iol_fe_forget_queue(struct iol_frontend *fe, unsigned int index);
void iol_fe_forget(struct iol_frontend *fe);

/* ---- device.c, log.c: give the back end what an earlier one had ---- */
int iol_fe_send_inflight(struct iol_frontend *fe);
int iol_fe_send_log(struct iol_frontend *fe);

/* ---- log.c ---- */

/** iol_fe_cover_log() - Have the dirty log, if one is kept, reach over a region that is about to come. */
int iol_fe_cover_log(struct iol_frontend *fe, const struct iol_guest_region *region);

/** iol_fe_mark_log() - Set the bits of [@gpa, @gpa + @size), as far as the log reaches. */
void iol_fe_mark_log(struct iol_frontend *fe, uint64_t gpa, uint64_t size);

/** iol_fe_take_log() - Set the bits of pages from @gpa on that were written since last asked. -ENOENT: not all are covered. */
int iol_fe_take_log(struct iol_frontend *fe, uint64_t gpa, uint64_t size, uint64_t *bitmap);

/* ---- iommu.c ---- */

/** iol_fe_iotlb_miss() - Answer a miss, if some mapping does. */
int iol_fe_iotlb_miss(struct iol_frontend *fe, const struct vhost_iotlb_msg *miss);

/** iol_fe_host() - Where a ring's area is here: through the IOMMU when there is one. */
void *iol_fe_host(const struct iol_frontend *fe, uint64_t addr, uint64_t len);

#endif
