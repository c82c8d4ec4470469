/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The limit: the same load on the same file with nothing between. One ring a thread, a
 * registered file, everything that is ready taken and sent again by one system call.
 */
#include "blk.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"
#include "tools/common/prog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <liburing.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#define PAGE         4096
#define SECTOR_SHIFT 9
#define BATCH        64

struct request {
	uint8_t *data;
	uint64_t since, off;
	bool write;
};

struct raw {
	const struct blk_options *o;
	int fd, cpu;
	uint64_t first, blocks, total, next, rng; /* in blocks */
	unsigned int depth;
	struct request *requests;
	struct io_uring ring;
	uint64_t ops, elapsed_ns, cpu_ns;
	struct iol_hist lat;
	pthread_t thread;
	int rc;
	char error[256];
};

static uint64_t random_below(struct raw *r, uint64_t n)
{
	r->rng ^= r->rng >> 12;
	r->rng ^= r->rng << 25;
	r->rng ^= r->rng >> 27;
	return (uint64_t)(((unsigned __int128)(r->rng * 0x2545f4914f6cdd1dull) * n) >> 64);
}

static void submit(struct raw *r, struct request *q, uint64_t now)
{
	const struct blk_options *o = r->o;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);
	uint64_t block;

	if (o->rw == BLK_READ || o->rw == BLK_WRITE) {
		block = r->first + r->next++ % r->blocks;
	} else {
		block = random_below(r, r->total);
	}
	q->write = blk_writes(o) && (!blk_reads(o) || random_below(r, 100) >= o->read_percent);
	q->off = block * o->bs;
	q->since = now;
	if (q->write)
		io_uring_prep_write(sqe, 0, q->data, (unsigned int)o->bs, q->off);
	else
		io_uring_prep_read(sqe, 0, q->data, (unsigned int)o->bs, q->off);
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data(sqe, q);
}

static int take(struct raw *r, const struct io_uring_cqe *cqe, uint64_t now)
{
	struct request *q = io_uring_cqe_get_data(cqe);

	if (cqe->res != (int)r->o->bs)
		return iol_fail(cqe->res < 0 ? -cqe->res : EIO,
				"a raw %s of %" PRIu64 " bytes at byte %" PRIu64 " of %s gave %s",
				q->write ? "write" : "read", r->o->bs, q->off, r->o->file,
				cqe->res < 0 ? strerror(-cqe->res) : "fewer bytes");
	iol_hist_add(&r->lat, now - q->since);
	return 0;
}

static uint64_t thread_cpu(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * IOL_NS_PER_S + (uint64_t)ts.tv_nsec;
}

static int load(struct raw *r)
{
	uint64_t now = iol_now(), from = now + (uint64_t)(r->o->ramp * 1e9);
	uint64_t run_ns = (uint64_t)(r->o->runtime * 1e9), until = from + run_ns;
	uint64_t cpu = thread_cpu();
	bool counting = r->o->ramp == 0;
	struct io_uring_cqe *cqes[BATCH];
	unsigned int i, n;
	int rc;

	for (i = 0; i < r->depth; i++)
		submit(r, &r->requests[i], now);
	while (now < until && !bench_interrupted) {
		rc = io_uring_submit_and_wait(&r->ring, 1);
		if (rc < 0 && rc != -EINTR)
			return iol_fail(-rc, "io_uring failed: %s", strerror(-rc));
		now = iol_now();
		while ((n = io_uring_peek_batch_cqe(&r->ring, cqes, BATCH))) {
			for (i = 0; i < n; i++) {
				rc = take(r, cqes[i], now);
				if (rc < 0)
					return rc;
				submit(r, io_uring_cqe_get_data(cqes[i]), now);
			}
			io_uring_cq_advance(&r->ring, n);
		}
		if (!counting && now >= from) {
			counting = true;
			from = now;
			until = now + run_ns;
			cpu = thread_cpu();
			memset(&r->lat, 0, sizeof(r->lat));
		}
	}
	if (counting && now > from) {
		r->ops = r->lat.count;
		r->elapsed_ns = now - from;
		r->cpu_ns = thread_cpu() - cpu;
	}
	return 0;
}

static int make_ring(struct raw *r)
{
	int rc;

	/* The newest flags first: what an older kernel does not know it refuses. */
	rc = io_uring_queue_init(r->depth, &r->ring,
				 IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
	if (rc == -EINVAL)
		rc = io_uring_queue_init(r->depth, &r->ring, 0);
	if (rc < 0)
		return iol_fail(-rc, "cannot make an io_uring: %s", strerror(-rc));
	rc = io_uring_register_files(&r->ring, &r->fd, 1);
	if (rc < 0) {
		io_uring_queue_exit(&r->ring);
		return iol_fail(-rc, "cannot register the file: %s", strerror(-rc));
	}
	return 0;
}

static void *run(void *arg)
{
	struct raw *r = arg;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(r->cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	r->rc = make_ring(r);
	if (!r->rc) {
		r->rc = load(r);
		/* Waits for what is in flight, so that the buffers can go. */
		io_uring_queue_exit(&r->ring);
	}
	if (r->rc < 0)
		snprintf(r->error, sizeof(r->error), "%s", iol_error());
	return NULL;
}

static int open_file(const struct blk_options *o, uint64_t *size)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	fd = open(o->file,
		  (blk_writes(o) ? O_RDWR : O_RDONLY) | O_CLOEXEC | (o->direct ? O_DIRECT : 0));
	if (fd < 0 || fstat(fd, &st) < 0)
		return iol_fail(errno, "cannot open %s: %s", o->file, strerror(errno));
	*size = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, size) < 0)
		return iol_fail(errno, "cannot find the size of %s: %s", o->file, strerror(errno));
	return iol_take_fd(&fd);
}

static int make_requests(struct raw *r)
{
	unsigned int i;

	r->requests = calloc(r->depth, sizeof(*r->requests));
	if (!r->requests)
		return iol_fail(ENOMEM, "out of memory for requests");
	for (i = 0; i < r->depth; i++) {
		r->requests[i].data = aligned_alloc(PAGE, (r->o->bs + PAGE - 1) & ~(PAGE - 1ull));
		if (!r->requests[i].data)
			return iol_fail(ENOMEM, "out of memory for buffers");
		memset(r->requests[i].data, 0x5a, r->o->bs);
	}
	return 0;
}

static void free_requests(struct raw *r)
{
	unsigned int i;

	for (i = 0; r->requests && i < r->depth; i++)
		free(r->requests[i].data);
	free(r->requests);
}

static void add_up(const struct raw *r, struct bench_result *sum)
{
	double seconds = (double)r->elapsed_ns / 1e9;

	sum->ops += r->ops;
	sum->bytes += r->ops * r->o->bs;
	if (seconds > sum->seconds)
		sum->seconds = seconds;
	if (sum->backend_cpu < 0)
		sum->backend_cpu = 0;
	if (r->elapsed_ns)
		sum->backend_cpu += (double)r->cpu_ns / (double)r->elapsed_ns;
	iol_hist_merge(&sum->lat, &r->lat);
}

static int start(struct raw *r, const struct blk_options *o, int fd, uint64_t blocks,
		 unsigned int i, unsigned int n)
{
	int rc;

	r->o = o;
	r->fd = fd;
	r->cpu = bench_cpu_nth(&o->backend_cpus, i);
	r->total = blocks;
	r->first = blocks * i / n;
	r->blocks = blocks * (i + 1) / n - r->first;
	r->rng = (i + 2) * 0x9e3779b97f4a7c15ull;
	/* As many requests in all as the queues would hold. */
	r->depth = o->depth * (o->queues / n + (i < o->queues % n));
	rc = make_requests(r);
	if (rc < 0)
		return rc;
	rc = pthread_create(&r->thread, NULL, run, r);
	return rc ? iol_fail(rc, "cannot start a thread: %s", strerror(rc)) : 0;
}

static int run_threads(const struct blk_options *o, struct raw *threads, unsigned int n,
		       struct bench_result *result)
{
	_cleanup_close_ int fd = -1;
	uint64_t size = 0, blocks;
	unsigned int i, started;
	int rc = 0;

	fd = open_file(o, &size);
	if (fd < 0)
		return fd;
	if (o->size && o->size < size)
		size = o->size;
	blocks = size / o->bs;
	if (blocks < n)
		return iol_fail(EINVAL, "%s is too small for --bs=%" PRIu64, o->file, o->bs);
	for (started = 0; started < n && !rc; started += !rc)
		rc = start(&threads[started], o, fd, blocks, started, n);
	for (i = 0; i < started; i++) {
		pthread_join(threads[i].thread, NULL);
		add_up(&threads[i], result);
		if (threads[i].rc < 0 && !rc)
			rc = iol_fail(-threads[i].rc, "%s", threads[i].error);
	}
	return rc;
}

int blk_raw_run(const struct blk_options *o, struct bench_result *result)
{
	unsigned int cpus = (unsigned int)CPU_COUNT(&o->backend_cpus);
	unsigned int n = cpus < o->queues ? cpus : o->queues, i;
	struct raw *threads = calloc(n, sizeof(*threads));
	int rc;

	if (!threads)
		return iol_fail(ENOMEM, "out of memory for threads");
	prog_progress("raw io_uring on %s", o->file);
	rc = run_threads(o, threads, n, result);
	prog_progress(NULL);
	for (i = 0; i < n; i++)
		free_requests(&threads[i]);
	free(threads);
	return rc;
}
