/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A front end for a disk backend that runs inside the guest, on the guest's own block device, with
 * the requests that iolane-bench does not make.
 *
 *   blkfront SOCKET             writes, discards, writes zeroes and reads back on every queue
 *   blkfront SOCKET COMMAND...  starts the backend with COMMAND, then kills it with SIGKILL and
 *                               starts it again, time after time, while it has writes to do; each
 *                               must be done when all is over
 *
 * It ends with 0 and a line of what it did, or with 1 and a line of what was wrong.
 */
#include "vmm-glue/guest_queue.h"

#include <iolane/base.h>
#include <iolane/vmm_frontend.h>

#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FEATURE(bit) (1ull << (bit))
#define QUEUES       4u
#define BLOCKS       64u /* of each queue, all in flight at once */
#define BLOCK        16384u
#define RING         64
#define START        (32ull << 20) /* what lies before it on the disk is iolane-bench's */
#define ROUNDS       8u
#define WAIT_SECONDS 60

/* A request and its data, in guest memory. */
struct request {
	uint8_t data[BLOCK];
	struct virtio_blk_outhdr header;
	struct virtio_blk_discard_write_zeroes range;
	uint8_t status;
	uint8_t pad[4096 - sizeof(struct virtio_blk_outhdr) -
		    sizeof(struct virtio_blk_discard_write_zeroes) - 1];
};

static struct iol_guest_memory *memory;
static struct iol_frontend *frontend;
static struct iol_guest_queue *queues[QUEUES];
static struct request *requests[QUEUES];
static uint64_t addresses[QUEUES];

__attribute__((format(printf, 1, 2), noreturn)) static void wrong(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	exit(1);
}

static void good(int rc, const char *what)
{
	if (rc < 0)
		wrong("%s: %s", what, iol_error());
}

static uint64_t place(unsigned int q, unsigned int block)
{
	return START + ((uint64_t)q * BLOCKS + block) * BLOCK;
}

static void stamp(uint8_t *data, uint32_t seed)
{
	unsigned int i;

	for (i = 0; i < BLOCK; i++) {
		seed = seed * 1664525u + 1013904223u;
		data[i] = (uint8_t)(seed >> 24);
	}
}

static uint32_t seed_of(unsigned int q, unsigned int block, unsigned int round)
{
	return (round * QUEUES + q) * BLOCKS + block + 1;
}

static void connect_to(const char *socket, bool track)
{
	const uint64_t need = FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_BLK_F_FLUSH) |
			      FEATURE(VIRTIO_BLK_F_MQ) | FEATURE(VIRTIO_BLK_F_DISCARD) |
			      FEATURE(VIRTIO_BLK_F_WRITE_ZEROES) |
			      FEATURE(VIRTIO_RING_F_INDIRECT_DESC);
	const uint64_t want = need | FEATURE(VIRTIO_RING_F_EVENT_IDX) |
			      FEATURE(VIRTIO_BLK_F_SECURE_ERASE);
	const size_t bytes = BLOCKS * sizeof(struct request);
	struct iol_frontend_spec spec = { .path = socket, .fd = -1 };
	struct iol_guest_memory_spec memory_spec = { .size = 32 << 20 };
	struct iol_guest_queue_spec queue_spec = { .size = RING, .segs_max = 3 };
	unsigned int q;

	good(iol_frontend_new(&spec, &frontend), "connecting");
	good(iol_frontend_negotiate(frontend, want, need), "negotiating");
	good(iol_guest_memory_new(&memory_spec, &memory), "memory");
	good(iol_frontend_set_memory(frontend, memory), "sharing memory");
	if (track)
		good(iol_frontend_track_inflight(frontend, QUEUES, RING), "tracking");
	queue_spec.features = iol_frontend_features(frontend);
	for (q = 0; q < QUEUES; q++) {
		good(iol_guest_memory_alloc(memory, bytes, 4096, &addresses[q]), "requests");
		requests[q] = iol_guest_memory_host(memory, addresses[q], bytes);
		good(iol_guest_queue_new(memory, &queue_spec, &queues[q]), "a queue");
		good(iol_frontend_queue_start(frontend, q, &queues[q]->setup), "starting a queue");
	}
}

static void disconnect(void)
{
	unsigned int q;

	good(iol_frontend_suspend(frontend), "stopping the queues");
	iol_frontend_destroy(&frontend);
	for (q = 0; q < QUEUES; q++)
		iol_guest_queue_destroy(&queues[q]);
	iol_guest_memory_destroy(&memory);
}

/* Makes the request available; kick() shows it to the backend. */
static void add(unsigned int q, unsigned int block, uint32_t type, uint32_t flags)
{
	struct request *r = &requests[q][block];
	uint64_t address = addresses[q] + block * sizeof(*r), sector = place(q, block) / 512;
	struct iol_driver_seg segs[3] = {
		{ .addr = address + offsetof(struct request, header), .len = sizeof(r->header) },
	};
	unsigned int n = 1;

	r->header = (struct virtio_blk_outhdr){ .type = htole32(type) };
	r->status = 0xff;
	if (type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_OUT) {
		r->header.sector = htole64(sector);
		segs[n++] = (struct iol_driver_seg){ .addr = address,
						     .len = BLOCK,
						     .write = type == VIRTIO_BLK_T_IN };
	} else if (type != VIRTIO_BLK_T_FLUSH) {
		r->range.sector = htole64(sector);
		r->range.num_sectors = htole32(BLOCK / 512);
		r->range.flags = htole32(flags);
		segs[n++] =
			(struct iol_driver_seg){ .addr = address + offsetof(struct request, range),
						 .len = sizeof(r->range) };
	}
	segs[n++] = (struct iol_driver_seg){ .addr = address + offsetof(struct request, status),
					     .len = 1,
					     .write = true };
	good(iol_driver_add(queues[q]->driver, segs, n, block), "adding a request");
}

static void kick(void)
{
	unsigned int q;

	for (q = 0; q < QUEUES; q++)
		if (iol_driver_publish(queues[q]->driver))
			iol_guest_queue_kick(queues[q]);
}

/* Takes what has come back, each with OK. */
static void take(unsigned int q, const char *what)
{
	uintptr_t block;
	uint32_t len;
	int rc;

	while ((rc = iol_driver_used(queues[q]->driver, &block, &len)) > 0)
		if (requests[q][block].status != VIRTIO_BLK_S_OK)
			wrong("%s: queue %u, block %u: status %u", what, q, (unsigned int)block,
			      requests[q][block].status);
	good(rc, what);
}

/* Waits until all has come back. */
static void take_all(const char *what)
{
	time_t end = time(NULL) + WAIT_SECONDS;
	unsigned int q;

	for (q = 0; q < QUEUES; q++) {
		struct iol_driver_ring *driver = queues[q]->driver;

		for (take(q, what); iol_driver_inflight(driver); take(q, what)) {
			if (iol_driver_arm(driver))
				continue;
			iol_guest_queue_wait(queues[q], 100);
			if (time(NULL) > end)
				wrong("%s: queue %u still has %u after %d s", what, q,
				      iol_driver_inflight(driver), WAIT_SECONDS);
		}
	}
}

static void add_all(uint32_t type, unsigned int round)
{
	unsigned int q, block;

	for (q = 0; q < QUEUES; q++) {
		for (block = 0; block < BLOCKS; block++) {
			if (type == VIRTIO_BLK_T_OUT)
				stamp(requests[q][block].data, seed_of(q, block, round));
			else
				memset(requests[q][block].data, 0xa5, BLOCK);
			add(q, block, type, 0);
		}
	}
	kick();
}

static void check(unsigned int q, unsigned int block, unsigned int round, bool zero)
{
	static uint8_t wanted[BLOCK];

	if (zero)
		memset(wanted, 0, BLOCK);
	else
		stamp(wanted, seed_of(q, block, round));
	if (memcmp(wanted, requests[q][block].data, BLOCK) != 0)
		wrong("queue %u, block %u does not hold %s", q, block,
		      zero ? "zeroes" : "what was written last");
}

/* Every fourth block keeps its data; the others are discarded, or made zero in both ways. */
static void ranges(const char *socket)
{
	unsigned int q, block;
	bool secure;

	connect_to(socket, false);
	secure = iol_frontend_features(frontend) & FEATURE(VIRTIO_BLK_F_SECURE_ERASE);
	add_all(VIRTIO_BLK_T_OUT, 1);
	take_all("write");
	for (q = 0; q < QUEUES; q++)
		for (block = 0; block < BLOCKS; block++)
			if (block % 4)
				add(q, block,
				    block % 4 == 1 ? VIRTIO_BLK_T_DISCARD
						   : VIRTIO_BLK_T_WRITE_ZEROES,
				    block % 4 == 3 ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0);
	kick();
	take_all("discard and write zeroes");
	add(0, 0, VIRTIO_BLK_T_FLUSH, 0);
	kick();
	take_all("flush");
	add_all(VIRTIO_BLK_T_IN, 0);
	take_all("read");
	/* What a discard leaves behind is the device's affair. */
	for (q = 0; q < QUEUES; q++)
		for (block = 0; block < BLOCKS; block++)
			if (block % 4 != 1)
				check(q, block, 1, block % 4);
	disconnect();
	printf("%u discards, %u zeroes, secure erase %soffered\n", QUEUES * BLOCKS / 4,
	       QUEUES * BLOCKS / 2, secure ? "" : "not ");
}

static pid_t start(char **command)
{
	pid_t parent = getpid(), child = fork();

	if (child < 0)
		wrong("can't fork");
	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == parent)
		execvp(command[0], command);
	_exit(127);
}

static void stop(pid_t child, int signal)
{
	int status = 0;

	kill(child, signal);
	waitpid(child, &status, 0);
	if (signal == SIGTERM && status)
		wrong("the backend ended with %#x on SIGTERM", status);
}

static void restarts(const char *socket, char **command)
{
	unsigned int q, block, round;
	unsigned int left = 0;
	pid_t child = start(command);

	connect_to(socket, true);
	for (round = 1; round <= ROUNDS; round++) {
		add_all(VIRTIO_BLK_T_OUT, round);
		/* Each round catches it elsewhere. */
		usleep(round * 2000);
		stop(child, SIGKILL);
		if (iol_frontend_poll(frontend, WAIT_SECONDS * 1000) != -ENOTCONN)
			wrong("the connection to a dead backend did not end");
		for (q = 0; q < QUEUES; q++) {
			take(q, "write");
			left += iol_driver_inflight(queues[q]->driver);
		}
		child = start(command);
		good(iol_frontend_reconnect(frontend), "connecting again");
		take_all("write");
		add_all(VIRTIO_BLK_T_IN, 0);
		take_all("read");
		for (q = 0; q < QUEUES; q++)
			for (block = 0; block < BLOCKS; block++)
				check(q, block, round, false);
	}
	disconnect();
	stop(child, SIGTERM);
	printf("killed %u times, %u of %u writes were left to be done\n", ROUNDS, left,
	       ROUNDS * QUEUES * BLOCKS);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fputs("usage: blkfront SOCKET [COMMAND...]\n", stderr);
		return 2;
	}
	if (argc == 2)
		ranges(argv[1]);
	else
		restarts(argv[1], &argv[2]);
	return 0;
}
