/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk back end and a guest in front of it: the back end on threads of this process or as the
 * program, the guest made of vmm-glue's front end and the drivers of its queues. What goes wrong
 * while one is set up fails the test.
 */
#ifndef IOL_TESTS_RIG_H
#define IOL_TESTS_RIG_H

#include "vhost-user/wire.h"
#include "vmm-glue/guest_queue.h"

#include <iolane/base.h>
#include <iolane/blk.h>
#include <iolane/vmm_frontend.h>

#include <errno.h>
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/types.h>

#include <cmocka.h>

#define RIG_QUEUES 4
#define RIG_RING   64
#define RIG_DISK   (8ull << 20)
#define RIG_HALF   (4ull << 20) /* of guest memory: from 0, and from 4 GiB */
#define RIG_HIGH   (4ull << 30)
#define RIG_BUF    (1ull << 20) /* room for data in guest memory, at rig.buf */
#define RIG_SEGS   8
#define RIG_WAIT   20000 /* ms: what should come at once comes long before */

/* What was added to guest physical addresses to make the IOVAs that the device is told. */
#define RIG_IOVA (1ull << 40)

/**
 * struct rig_spec - What differs from a writable temporary image of RIG_DISK bytes, one queue and
 * a split ring without extras.
 * @program: run iolane-blk, with @args as well, in place of threads here.
 * @beside: another, whose threads here serve this disk, too.
 * @track: inflight tracking. @iommu: ACCESS_PLATFORM.
 */
struct rig_spec {
	const char *file;
	bool read_only, program, client, given_fd, unsealed, hugepages, track, iommu;
	bool packed, event_idx, indirect;
	unsigned int queues, threads;
	uint64_t protocol_off;
	const char *args;
	struct rig *beside;
};

struct rig_request {
	struct virtio_blk_outhdr header;
	uint8_t status;
	uint8_t pad[64 - sizeof(struct virtio_blk_outhdr) - 1];
};

struct rig {
	struct rig_spec spec;
	char dir[64], image[96], socket[96];
	int image_fd; /* to look at what the disk did */
	int log;      /* what the program says on stderr */
	struct iol_blk_threads *threads;
	struct iol_disk *disk;
	struct iol_server *server;
	pid_t pid;
	int fd; /* given_fd: the guest's end, until it is used */
	struct iol_guest_memory *mem;
	struct iol_frontend *fe;
	struct iol_guest_queue *queue[RIG_QUEUES];
	/* RIG_RING requests a queue, and where they are for the device. */
	struct rig_request *request[RIG_QUEUES];
	uint64_t request_addr[RIG_QUEUES];
	uint8_t *buf;
	uint64_t buf_gpa;  /* for the dirty log */
	uint64_t buf_addr; /* for the device */
	/* Called while something is waited for, where there is no front end here. */
	void (*turn)(void *ctx);
	void *turn_ctx;
	/* What the back end told. */
	unsigned int config_changes, failures;
};

/* ---- up and down; parts, for tests that need them apart ---- */
struct rig *rig_up(const struct rig_spec *spec);
void rig_down(struct rig **rig);
struct rig *rig_new(const struct rig_spec *spec);
void rig_start_backend(struct rig *r);
/** rig_stop_backend() - The program: @signal, and wait. Threads: destroy all. */
void rig_stop_backend(struct rig *r, int signal);
void rig_connect(struct rig *r);
void rig_make_guest(struct rig *r);
/** rig_make_memory(), rig_make_queue() - Parts of that, for those whose front end is another. */
void rig_make_memory(struct rig *r);
void rig_make_queue(struct rig *r, unsigned int q, uint64_t features);
void rig_disconnect(struct rig *r);
struct iol_frontend *rig_frontend(struct rig *r, unsigned int timeout_ms);

/* ---- requests ---- */

/** rig_send() - Make request @slot of queue @q, with @n pieces of data, available and kick. */
void rig_send(struct rig *r, unsigned int q, unsigned int slot, uint32_t type, uint64_t sector,
	      const struct iol_driver_seg *data, unsigned int n);

/** rig_take() - Wait for the next used request: its slot, its status in @status, its length. */
unsigned int rig_take(struct rig *r, unsigned int q, uint8_t *status, uint32_t *len);

/** rig_request() - Both, for one request in slot 0: its status. */
uint8_t rig_request(struct rig *r, unsigned int q, uint32_t type, uint64_t sector,
		    const struct iol_driver_seg *data, unsigned int n);

/** rig_write(), rig_read() - @len bytes at @off of the disk, at @at of the buffer: the status. */
uint8_t rig_write(struct rig *r, unsigned int q, uint64_t off, uint64_t at, uint32_t len);
uint8_t rig_read(struct rig *r, unsigned int q, uint64_t off, uint64_t at, uint32_t len);

/** rig_fill(), rig_is() - Bytes that @seed makes. */
void rig_fill(void *data, size_t len, uint32_t seed);
bool rig_is(const void *data, size_t len, uint32_t seed);

/** rig_disk_is() - The same for the image. */
bool rig_disk_is(struct rig *r, uint64_t off, size_t len, uint32_t seed);

/** rig_works() - One write and read on each queue, as proof of life. */
void rig_works(struct rig *r);

/* ---- a load whose outcome is known ---- */

#define RIG_BLOCK 16384u

/** struct rig_story - What each block of each queue must hold: the round that wrote it last. */
struct rig_story {
	uint32_t last[RIG_QUEUES][RIG_RING];
	bool flying[RIG_QUEUES][RIG_RING];
};

/** rig_write_all() - Have a quarter of each ring write blocks of round @round. */
void rig_write_all(struct rig *r, struct rig_story *s, uint32_t round);

/** rig_take_all() - Each comes back once, and is on the disk. */
void rig_take_all(struct rig *r, struct rig_story *s);

/** rig_until() - Serve the back end until *@count is @n, bounded. */
void rig_until(struct rig *r, const unsigned int *count, unsigned int n);

#endif
