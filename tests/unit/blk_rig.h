/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk with queues and no server: guest memory in a memfd, the driver's side of the rings, and the
 * disk's own functions called as a control thread would.
 */
#ifndef IOL_TESTS_BLK_RIG_H
#define IOL_TESTS_BLK_RIG_H

#include "vhost-user/blk/disk.h"
#include "vhost-user/blk/thread.h"
#include "vhost-user/driver.h"
#include "vhost-user/ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RIG_QUEUES  4
#define RIG_MEMORY  (64u << 20)
#define RIG_DATA    (4u << 20) /* where a queue's buffers begin, in its share of memory */
#define RIG_SHARE   (RIG_MEMORY / RIG_QUEUES)
#define RIG_GPA     0x100000000ull
#define RIG_WAIT_MS 20000

struct rig_queue {
	struct rig *rig;
	struct iol_ring *ring;
	struct iol_driver_ring *driver;
	uint8_t *base; /* of its share of memory */
	int kick, call;
	bool failed;
	bool running;
};

struct rig_spec {
	const char *file;
	const struct iol_engine_ops *engine; /* NULL: io_uring */
	unsigned int threads;                /* 0: 1 */
	unsigned int poll_us;
	uint16_t ring_size; /* 0: 128 */
	bool packed, event_idx, indirect, no_kick, tracked, sqpoll;
	struct iol_disk_spec disk;
};

struct rig {
	struct rig_spec spec;
	struct iol_blk_threads *threads;
	struct iol_disk *disk;
	struct iol_mem *mem;
	struct iol_inflight *inflight;
	uint8_t *memory;
	int memfd;
	int wake_fd;
	bool broken;
	bool up;
	struct rig_queue q[RIG_QUEUES];
};

/* A request, its pieces cut as wanted. All within a queue's share of memory. */
struct rig_req {
	uint32_t type;
	uint64_t sector;
	uint32_t data; /* offset from RIG_DATA */
	uint32_t len;
	uint32_t slot; /* header and status: 64 bytes each, below RIG_DATA */
};

/** rig_start() - Threads, disk, memory; no queues yet. The error of whichever fails. */
int rig_start(struct rig *rig, const struct rig_spec *spec);
/** rig_end() - Stop and free all of it; fine twice. */
void rig_end(struct rig *rig);

/** rig_queue_start() - The disk's start with the first queue; a new driver ring. */
int rig_queue_start(struct rig *rig, unsigned int index);
void rig_queue_stop(struct rig *rig, unsigned int index);

uint8_t *rig_data(struct rig *rig, unsigned int index, uint32_t off);
uint64_t rig_gpa(const struct rig *rig, const void *host);

/** rig_send() - Make a request available and kick. */
void rig_send(struct rig *rig, unsigned int index, const struct rig_req *req);
/** rig_send_raw() - The same for a chain of the test's own making. */
void rig_send_raw(struct rig *rig, unsigned int index, const struct iol_driver_seg *segs,
		  unsigned int n, uintptr_t cookie);
/** rig_wait() - The next used chain: its cookie, or -1 after RIG_WAIT_MS. */
long rig_wait(struct rig *rig, unsigned int index, uint32_t *len);
/** rig_status() - The status byte of the request in @slot. */
uint8_t rig_status(struct rig *rig, unsigned int index, uint32_t slot);
/** rig_do() - Send, wait, return the status; -1 when nothing came. */
int rig_do(struct rig *rig, unsigned int index, uint32_t type, uint64_t sector, uint32_t data,
	   uint32_t len);

/** rig_image() - An image of @size bytes in the current folder; its path, to be unlinked and freed. */
char *rig_image(const char *name, uint64_t size);

/** rig_log() - All log lines so far, for strstr(). rig_log_clear() forgets them. */
const char *rig_log(void);
void rig_log_clear(void);

#endif
