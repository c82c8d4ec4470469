/* SPDX-License-Identifier: BSD-3-Clause */
#include "blk_rig.h"

#include "base/clock.h"
#include "vhost-user/inflight.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOT_BYTES 64u
#define SLOTS      (1u << 20) /* where headers and statuses begin */

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_text[1 << 16], log_copy[1 << 16];
static size_t log_len;

static void log_line(void *ctx, enum iol_log_level level, const char *line)
{
	pthread_mutex_lock(&log_lock);
	if (log_len + strlen(line) + 2 < sizeof(log_text))
		log_len += (size_t)sprintf(log_text + log_len, "%s\n", line);
	pthread_mutex_unlock(&log_lock);
	if (getenv("RIG_LOG"))
		fprintf(stderr, "log: %s\n", line);
}

const char *rig_log(void)
{
	pthread_mutex_lock(&log_lock);
	memcpy(log_copy, log_text, sizeof(log_copy));
	pthread_mutex_unlock(&log_lock);
	return log_copy;
}

void rig_log_clear(void)
{
	pthread_mutex_lock(&log_lock);
	log_len = 0;
	log_text[0] = '\0';
	pthread_mutex_unlock(&log_lock);
}

char *rig_image(const char *name, uint64_t size)
{
	char *path;
	int fd;

	if (asprintf(&path, "%s.%d.img", name, (int)getpid()) < 0)
		abort();
	fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		abort();
	close(fd);
	return path;
}

static int make_memory(struct rig *rig)
{
	struct iol_mem_desc desc[2] = {
		{ .gpa = RIG_GPA, .size = RIG_MEMORY / 2 },
		{ .gpa = RIG_GPA + RIG_MEMORY / 2,
		  .size = RIG_MEMORY / 2,
		  .offset = RIG_MEMORY / 2 },
	};
	int fds[2];

	rig->memfd = memfd_create("rig", MFD_CLOEXEC);
	rig->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (rig->memfd < 0 || ftruncate(rig->memfd, RIG_MEMORY) < 0)
		return -errno;
	rig->memory = mmap(NULL, RIG_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, rig->memfd, 0);
	if (rig->memory == MAP_FAILED)
		return -errno;
	desc[0].uaddr = (uintptr_t)rig->memory;
	desc[1].uaddr = desc[0].uaddr + desc[0].size;
	fds[0] = fds[1] = rig->memfd;
	return iol_mem_new(desc, fds, 2, rig->wake_fd, &rig->broken, &rig->mem);
}

int rig_start(struct rig *rig, const struct rig_spec *spec)
{
	struct iol_blk_threads_spec threads = {
		.num = spec->threads ? spec->threads : 1,
		.poll_us = spec->poll_us,
		.sqpoll = spec->sqpoll,
	};
	unsigned int i;
	int rc;

	memset(rig, 0, sizeof(*rig));
	iol_log_set(log_line, NULL, IOL_LOG_DEBUG);
	rig_log_clear();
	rig->up = true;
	rig->spec = *spec;
	rig->spec.disk.file = spec->file;
	if (!rig->spec.disk.name)
		rig->spec.disk.name = "rig";
	if (!rig->spec.ring_size)
		rig->spec.ring_size = 128;
	if (!rig->spec.disk.num_queues)
		rig->spec.disk.num_queues = RIG_QUEUES;
	rc = make_memory(rig);
	if (rc < 0)
		return rc;
	for (i = 0; i < RIG_QUEUES; i++) {
		rig->q[i].rig = rig;
		rig->q[i].base = rig->memory + (size_t)i * RIG_SHARE;
		rig->q[i].kick = spec->no_kick ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		rig->q[i].call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	if (spec->tracked) {
		rc = iol_inflight_new(RIG_QUEUES, rig->spec.ring_size, spec->packed,
				      &rig->inflight);
		if (rc < 0)
			return rc;
	}
	rc = iol_blk_threads_make(&threads, spec->engine ? spec->engine : &iol_engine_uring,
				  &rig->threads);
	if (rc < 0)
		return rc;
	rc = iol_disk_open(rig->threads, &rig->spec.disk, &rig->disk);
	if (rc == 0)
		iol_disk_set_features(rig->disk, iol_disk_features(rig->disk));
	return rc;
}

static void port_call(void *ctx)
{
	struct rig_queue *q = ctx;

	eventfd_write(q->call, 1);
}

static void port_fail(void *ctx)
{
	struct rig_queue *q = ctx;

	iol_log(IOL_LOG_ERROR, "queue failed: %s", iol_error());
	__atomic_store_n(&q->failed, true, __ATOMIC_SEQ_CST);
}

static unsigned int running(const struct rig *rig)
{
	unsigned int i, n = 0;

	for (i = 0; i < RIG_QUEUES; i++)
		n += rig->q[i].running;
	return n;
}

static int make_rings(struct rig *rig, struct rig_queue *q, unsigned int index)
{
	struct iol_driver_spec d = {
		.size = rig->spec.ring_size,
		.packed = rig->spec.packed,
		.event_idx = rig->spec.event_idx,
		.indirect = rig->spec.indirect,
		.indirect_max = 64,
	};
	struct iol_ring_spec r = {
		.size = rig->spec.ring_size,
		.packed = rig->spec.packed,
		.event_idx = rig->spec.event_idx,
		.indirect = rig->spec.indirect,
		.mem = rig->mem,
		.inflight = rig->inflight,
		.index = index,
		.base = rig->spec.packed ? 0x80008000 : 0,
	};
	size_t bytes[3], align[3], at = 0, i;
	void *area[3];
	int rc;

	iol_driver_areas(d.size, d.packed, bytes, align);
	for (i = 0; i < 3; i++) {
		at = (at + align[i] - 1) & ~(align[i] - 1);
		area[i] = q->base + at;
		at += bytes[i];
	}
	d.desc = area[0];
	d.avail = area[1];
	d.used = area[2];
	d.tables = q->base + (2u << 20);
	d.tables_addr = rig_gpa(rig, d.tables);
	r.desc = (uintptr_t)area[0];
	r.avail = (uintptr_t)area[1];
	r.used = (uintptr_t)area[2];
	rc = q->driver ? 0 : iol_driver_new(&d, &q->driver);
	if (rc == 0)
		rc = iol_ring_new(&q->ring);
	if (rc == 0)
		rc = iol_ring_start(q->ring, &r);
	return rc;
}

int rig_queue_start(struct rig *rig, unsigned int index)
{
	struct rig_queue *q = &rig->q[index];
	struct iol_blk_port port = {
		.kick_fd = q->kick,
		.call = port_call,
		.fail = port_fail,
		.ctx = q,
	};
	int rc = 0;

	q->failed = false;
	if (!running(rig))
		rc = iol_disk_start(rig->disk);
	if (rc < 0)
		return rc;
	rc = make_rings(rig, q, index);
	if (rc == 0) {
		port.ring = q->ring;
		rc = iol_disk_queue_start(rig->disk, index, &port);
	}
	if (rc < 0) {
		iol_ring_destroy(&q->ring);
		if (!running(rig))
			iol_disk_stop(rig->disk);
		return rc;
	}
	q->running = true;
	return 0;
}

void rig_queue_stop(struct rig *rig, unsigned int index)
{
	struct rig_queue *q = &rig->q[index];

	if (!q->running)
		return;
	iol_disk_queue_stop(rig->disk, index);
	iol_disk_replay_at(rig->disk, index, UINT64_MAX);
	iol_ring_destroy(&q->ring);
	q->running = false;
	if (!running(rig))
		iol_disk_stop(rig->disk);
}

void rig_end(struct rig *rig)
{
	unsigned int i;

	if (!rig->up)
		return;
	rig->up = false;
	for (i = 0; i < RIG_QUEUES; i++)
		rig_queue_stop(rig, i);
	if (rig->disk)
		iol_disk_unref(rig->disk);
	iol_blk_threads_destroy(&rig->threads);
	for (i = 0; i < RIG_QUEUES; i++) {
		iol_driver_destroy(&rig->q[i].driver);
		if (rig->q[i].kick >= 0)
			close(rig->q[i].kick);
		close(rig->q[i].call);
	}
	iol_mem_unref(&rig->mem);
	iol_inflight_destroy(&rig->inflight);
	if (rig->memory)
		munmap(rig->memory, RIG_MEMORY);
	close(rig->memfd);
	close(rig->wake_fd);
}

uint8_t *rig_data(struct rig *rig, unsigned int index, uint32_t off)
{
	return rig->q[index].base + RIG_DATA + off;
}

uint64_t rig_gpa(const struct rig *rig, const void *host)
{
	return RIG_GPA + (uint64_t)((const uint8_t *)host - rig->memory);
}

static uint8_t *slot(struct rig *rig, unsigned int index, uint32_t n)
{
	return rig->q[index].base + SLOTS + (size_t)n * SLOT_BYTES;
}

void rig_send_raw(struct rig *rig, unsigned int index, const struct iol_driver_seg *segs,
		  unsigned int n, uintptr_t cookie)
{
	struct rig_queue *q = &rig->q[index];

	if (iol_driver_add(q->driver, segs, n, cookie))
		abort();
	if (iol_driver_publish(q->driver) && q->kick >= 0)
		eventfd_write(q->kick, 1);
}

void rig_send(struct rig *rig, unsigned int index, const struct rig_req *req)
{
	uint8_t *hdr = slot(rig, index, req->slot);
	bool in = req->type == VIRTIO_BLK_T_IN || req->type == VIRTIO_BLK_T_GET_ID;
	struct virtio_blk_outhdr h = { .type = req->type, .sector = req->sector };
	struct iol_driver_seg segs[3] = {
		{ .addr = rig_gpa(rig, hdr), .len = sizeof(h) },
	};
	unsigned int n = 1;

	memcpy(hdr, &h, sizeof(h));
	hdr[32] = 0xee;
	if (req->len) {
		segs[n].addr = rig_gpa(rig, rig_data(rig, index, req->data));
		segs[n].len = req->len;
		segs[n++].write = in;
	}
	segs[n].addr = rig_gpa(rig, hdr + 32);
	segs[n].len = 1;
	segs[n++].write = true;
	rig_send_raw(rig, index, segs, n, req->slot);
}

long rig_wait(struct rig *rig, unsigned int index, uint32_t *len)
{
	struct rig_queue *q = &rig->q[index];
	uint64_t end = iol_now() + RIG_WAIT_MS * IOL_NS_PER_MS;
	uintptr_t cookie;
	uint32_t dummy;
	int rc;

	while ((rc = iol_driver_used(q->driver, &cookie, len ? len : &dummy)) == 0) {
		struct pollfd pfd = { .fd = q->call, .events = POLLIN };
		eventfd_t n;

		if (iol_now() > end)
			return -1;
		if (iol_driver_arm(q->driver))
			continue;
		poll(&pfd, 1, 100);
		eventfd_read(q->call, &n);
	}
	return rc < 0 ? rc : (long)cookie;
}

uint8_t rig_status(struct rig *rig, unsigned int index, uint32_t n)
{
	return slot(rig, index, n)[32];
}

int rig_do(struct rig *rig, unsigned int index, uint32_t type, uint64_t sector, uint32_t data,
	   uint32_t len)
{
	struct rig_req req = { .type = type, .sector = sector, .data = data, .len = len };

	rig_send(rig, index, &req);
	if (rig_wait(rig, index, NULL) != 0)
		return -1;
	return rig_status(rig, index, 0);
}
