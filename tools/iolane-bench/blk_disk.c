/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk behind a vhost-user socket, with its queues started, and the phases of a run. */
#include "blk.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"
#include "tools/common/prog.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FEATURE(bit)  (1ull << (bit))
#define RING_SIZE_MIN 256
#define SEGMENTS      3
#define REGION        (2ull << 20)
#define VERIFY_SIZE   (256ull << 20)
#define LOOK_MS       100
#define STALLED_MS    30000
#define CONFIG_WANTED (offsetof(struct virtio_blk_config, blk_size) + sizeof(uint32_t))
#define SECTOR_SHIFT  9
#define GRACE_NS      (5 * IOL_NS_PER_S)

struct blk_disk {
	const struct blk_options *o;
	struct iol_frontend *fe;
	struct iol_guest_memory *mem;
	struct iol_guest_queue **queues;
	struct blk_stream *streams; /* grouped by worker */
	struct blk_worker *workers;
	unsigned int n_workers;
	uint64_t blocks;
	struct blk_verify verify;
};

static uint16_t ring_size(const struct blk_options *o)
{
	unsigned int slots = o->depth * (o->no_indirect ? SEGMENTS : 1), size = RING_SIZE_MIN;

	while (size < slots)
		size *= 2;
	return (uint16_t)size;
}

static int negotiate(struct blk_disk *d)
{
	const struct blk_options *o = d->o;
	uint64_t want = FEATURE(VIRTIO_BLK_F_SIZE_MAX) | FEATURE(VIRTIO_BLK_F_SEG_MAX) |
			FEATURE(VIRTIO_BLK_F_BLK_SIZE) | FEATURE(VIRTIO_BLK_F_RO) |
			FEATURE(VIRTIO_BLK_F_FLUSH) | FEATURE(VIRTIO_BLK_F_MQ);
	uint64_t need = FEATURE(VIRTIO_F_VERSION_1);

	if (o->packed)
		need |= FEATURE(VIRTIO_F_RING_PACKED);
	if (!o->no_event_idx)
		want |= FEATURE(VIRTIO_RING_F_EVENT_IDX);
	if (!o->no_indirect)
		want |= FEATURE(VIRTIO_RING_F_INDIRECT_DESC);
	return iol_frontend_negotiate(d->fe, want, need);
}

/* What the disk says of itself decides where and how the load may go. */
static int look_at_disk(struct blk_disk *d)
{
	const struct blk_options *o = d->o;
	uint64_t features = iol_frontend_features(d->fe), size;
	struct virtio_blk_config config = { 0 };
	int rc;

	rc = iol_frontend_get_config(d->fe, 0, &config, (uint32_t)CONFIG_WANTED);
	if (rc < 0)
		return iol_fail_more(rc, "reading the disk's size");
	size = le64toh(config.capacity);
	if (size > UINT64_MAX >> SECTOR_SHIFT)
		return iol_fail(EPROTO, "the disk says that it has %" PRIu64 " sectors", size);
	size <<= SECTOR_SHIFT;
	if (blk_writes(o) && features & FEATURE(VIRTIO_BLK_F_RO))
		return iol_fail(EROFS, "the disk is read-only; use --rw=randread or read");
	/* qemu-storage-daemon offers the feature and leaves the field 0. */
	if (features & FEATURE(VIRTIO_BLK_F_SIZE_MAX) && config.size_max &&
	    o->bs > le32toh(config.size_max))
		return iol_fail(EINVAL,
				"the disk takes buffers of at most %u bytes; use a smaller --bs",
				le32toh(config.size_max));
	if (features & FEATURE(VIRTIO_BLK_F_BLK_SIZE) && config.blk_size &&
	    o->bs % le32toh(config.blk_size))
		return iol_fail(EINVAL,
				"the disk's blocks have %u bytes; --bs must be a multiple of it",
				le32toh(config.blk_size));
	if (o->size && o->size > size)
		return iol_fail(EINVAL, "the disk has only %" PRIu64 " bytes; use a smaller --size",
				size);
	if (o->size)
		size = o->size;
	else if (o->verify && size > VERIFY_SIZE)
		size = VERIFY_SIZE;
	d->blocks = size / o->bs;
	if (d->blocks < (o->verify ? 4ull * o->depth * o->queues : o->queues))
		return iol_fail(EINVAL,
				"%" PRIu64
				" bytes of the disk are too few for %u queues of depth %u",
				size, o->queues, o->depth);
	if (o->queues > iol_frontend_queues_max(d->fe))
		return iol_fail(EINVAL, "the back end has %u queues; use a smaller --queues",
				iol_frontend_queues_max(d->fe));
	return 0;
}

static int make_memory(struct blk_disk *d)
{
	const struct blk_options *o = d->o;
	uint64_t rings = (uint64_t)ring_size(o) * 128, need;
	struct iol_guest_memory_spec spec;

	need = o->queues * (rings + blk_stream_bytes(o->depth, (uint32_t)o->bs)) + REGION;
	need = (need + REGION - 1) & ~(REGION - 1);
	/* A hole, as every guest of more than 3 GiB has one. */
	spec = (struct iol_guest_memory_spec){ .size = 2 * need, .below_4g = need };
	return iol_guest_memory_new(&spec, &d->mem);
}

/* Queues go round the workers; each worker's streams lie together. */
static int make_queues(struct blk_disk *d)
{
	const struct blk_options *o = d->o;
	struct iol_guest_queue_spec spec = { .size = ring_size(o),
					     .features = iol_frontend_features(d->fe),
					     .segs_max = SEGMENTS };
	unsigned int q = 0, i, j;
	int rc;

	for (i = 0; i < d->n_workers; i++) {
		struct blk_worker *w = &d->workers[i];

		w->streams = &d->streams[q];
		w->n = o->queues / d->n_workers + (i < o->queues % d->n_workers);
		for (j = 0; j < w->n; j++, q++) {
			rc = iol_guest_queue_new(d->mem, &spec, &d->queues[q]);
			if (!rc)
				rc = blk_stream_init(&d->streams[q], d->mem, d->queues[q], o->depth,
						     (uint32_t)o->bs, 0);
			if (!rc)
				rc = iol_frontend_queue_start(d->fe, q, &d->queues[q]->setup);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static int set_up(struct blk_disk *d)
{
	const struct blk_options *o = d->o;
	unsigned int cpus = o->have_cpus ? (unsigned int)CPU_COUNT(&o->cpus) : 1;
	unsigned int i;
	int rc;

	rc = negotiate(d);
	if (!rc)
		rc = look_at_disk(d);
	if (rc < 0)
		return rc;
	d->n_workers = cpus < o->queues ? cpus : o->queues;
	d->queues = calloc(o->queues, sizeof(struct iol_guest_queue *));
	d->streams = calloc(o->queues, sizeof(*d->streams));
	d->workers = calloc(d->n_workers, sizeof(*d->workers));
	if (!d->queues || !d->streams || !d->workers)
		return iol_fail(ENOMEM, "out of memory for queues");
	for (i = 0; i < d->n_workers; i++)
		d->workers[i].cpu = o->have_cpus ? bench_cpu_nth(&o->cpus, i) : -1;
	rc = make_memory(d);
	if (!rc)
		rc = iol_frontend_set_memory(d->fe, d->mem);
	if (!rc)
		rc = make_queues(d);
	if (!rc && o->verify)
		rc = blk_verify_init(&d->verify, d->blocks, (uint32_t)o->bs, iol_now());
	return rc;
}

int blk_disk_open(const struct blk_options *o, const char *path, int fd, struct blk_disk **disk)
{
	struct iol_frontend_spec spec = { .path = path, .fd = fd };
	struct blk_disk *d = calloc(1, sizeof(*d));
	int rc;

	if (!d) {
		iol_close(&fd);
		return iol_fail(ENOMEM, "out of memory for a disk");
	}
	d->o = o;
	rc = iol_frontend_new(&spec, &d->fe);
	if (!rc)
		rc = set_up(d);
	if (rc < 0)
		blk_disk_close(&d);
	else
		*disk = d;
	return rc;
}

void blk_disk_close(struct blk_disk **disk)
{
	struct blk_disk *d = *disk;
	unsigned int i;

	if (!d)
		return;
	/* As a VMM does: a back end that is in order gives its rings back. */
	if (d->fe && iol_frontend_connected(d->fe))
		iol_frontend_suspend(d->fe);
	iol_frontend_destroy(&d->fe);
	for (i = 0; d->queues && i < d->o->queues; i++)
		iol_guest_queue_destroy(&d->queues[i]);
	for (i = 0; d->streams && i < d->o->queues; i++)
		blk_stream_free(&d->streams[i]);
	blk_verify_free(&d->verify);
	iol_guest_memory_destroy(&d->mem);
	free(d->queues);
	free(d->streams);
	free(d->workers);
	free(d);
	*disk = NULL;
}

pid_t blk_disk_peer(const struct blk_disk *d)
{
	return bench_proc_peer(iol_frontend_fd(d->fe));
}

/* ---- watching a run from the main thread ---- */

int blk_disk_idle(struct blk_disk *d, double seconds, pid_t pid, struct bench_result *r)
{
	uint64_t end = iol_now() + (uint64_t)(seconds * 1e9);
	struct bench_usage first, last;
	int rc;

	prog_progress("idle for %.1f s", seconds);
	bench_usage_look(&first, pid);
	while (iol_now() < end && !bench_interrupted) {
		uint64_t left = end - iol_now();

		rc = iol_frontend_poll(d->fe, left > end ? 0 : (int)(left / IOL_NS_PER_MS) + 1);
		if (rc < 0)
			return rc;
	}
	bench_usage_look(&last, pid);
	r->idle_cpu = bench_usage_cores(&first, &last);
	r->rss_kib = bench_proc_rss_kib(pid);
	prog_progress(NULL);
	return 0;
}

static void tell_all(struct blk_disk *d, bool give_up)
{
	unsigned int i;

	for (i = 0; i < d->n_workers; i++) {
		__atomic_store_n(&d->workers[i].stop, 1, __ATOMIC_RELAXED);
		if (give_up)
			__atomic_store_n(&d->workers[i].give_up, 1, __ATOMIC_RELAXED);
	}
}

struct watch {
	uint64_t start, last_change, last_done, last_shown;
	int rc;
	char error[256]; /* the first one: waiting for the end makes others */
	struct bench_usage first, last;
};

static void show(struct watch *w, uint64_t now, uint64_t done, uint64_t end)
{
	double rate;

	if (now - w->last_shown < IOL_NS_PER_S)
		return;
	rate = (double)(done - w->last_done) * 1e9 / (double)(now - w->last_shown);
	if (w->last_shown)
		prog_progress("%.0f IOPS, %.0f s left", rate,
			      end > now ? (double)(end - now) / 1e9 : 0.0);
	w->last_done = done;
	w->last_shown = now;
}

static void give_up(struct blk_disk *d, struct watch *w, int rc)
{
	if (!w->rc) {
		w->rc = rc;
		snprintf(w->error, sizeof(w->error), "%s", iol_error());
	}
	tell_all(d, true);
}

/* Return: false when all workers have ended. */
static bool look(struct blk_disk *d, struct watch *w, uint64_t *seen, uint64_t end)
{
	uint64_t done = 0, now = iol_now();
	unsigned int i, finished = 0;

	for (i = 0; i < d->n_workers; i++) {
		done += IOL_STAT_GET(d->workers[i].done);
		if (!__atomic_load_n(&d->workers[i].finished, __ATOMIC_ACQUIRE))
			continue;
		finished++;
		if (d->workers[i].rc < 0)
			tell_all(d, true);
	}
	if (finished == d->n_workers)
		return false;
	show(w, now, done, end);
	if (done != *seen) {
		*seen = done;
		w->last_change = now;
	}
	if (bench_interrupted)
		tell_all(d, false);
	if (now - w->last_change > STALLED_MS * IOL_NS_PER_MS && !w->rc)
		give_up(d, w,
			iol_fail(ETIMEDOUT, "the back end has answered nothing for %d s",
				 STALLED_MS / 1000));
	return true;
}

static int next_look_ms(uint64_t now, uint64_t from, uint64_t end)
{
	uint64_t next = now + LOOK_MS * IOL_NS_PER_MS;

	if (now < from && from < next)
		next = from;
	else if (now < end && end < next)
		next = end;
	return (int)((next - now + IOL_NS_PER_MS - 1) / IOL_NS_PER_MS);
}

static void watch_run(struct blk_disk *d, const struct blk_load_spec *spec, pid_t pid,
		      struct watch *w)
{
	uint64_t from = w->start + spec->ramp_ns;
	uint64_t end = spec->once ? UINT64_MAX : from + spec->run_ns;
	uint64_t seen = 0, now;
	int rc;

	while (look(d, w, &seen, end)) {
		now = iol_now();
		rc = iol_frontend_poll(d->fe, next_look_ms(now, from, end));
		if (rc < 0) {
			give_up(d, w, iol_fail_more(rc, "in the middle of the load"));
			sched_yield();
		}
		now = iol_now();
		if (!w->first.at && now >= from)
			bench_usage_look(&w->first, pid);
		if (!w->last.at && (now >= end || bench_interrupted))
			bench_usage_look(&w->last, pid);
		/* A worker ends by itself, late on a busy machine, but only when something comes back. */
		if (now >= end && now - end > GRACE_NS)
			tell_all(d, false);
	}
	if (!w->last.at)
		bench_usage_look(&w->last, pid);
}

static int run_workers(struct blk_disk *d, const struct blk_load_spec *spec, pid_t pid,
		       struct watch *watch)
{
	unsigned int i, started;
	int rc = 0;

	memset(watch, 0, sizeof(*watch));
	blk_workers_split(d->workers, d->n_workers, spec);
	watch->start = watch->last_change = iol_now();
	for (started = 0; started < d->n_workers && !rc; started++) {
		struct blk_worker *w = &d->workers[started];

		w->spec = spec;
		w->stop = w->give_up = w->finished = 0;
		w->done = 0;
		rc = pthread_create(&w->thread, NULL, blk_worker_run, w);
		if (rc) {
			rc = iol_fail(rc, "cannot start a thread: %s", strerror(rc));
			tell_all(d, true);
			break;
		}
	}
	if (!rc)
		watch_run(d, spec, pid, watch);
	for (i = 0; i < started; i++)
		pthread_join(d->workers[i].thread, NULL);
	if (rc < 0)
		return rc;
	if (watch->rc < 0)
		return iol_fail(-watch->rc, "%s", watch->error);
	for (i = 0; i < d->n_workers; i++)
		if (d->workers[i].rc < 0)
			return iol_fail(-d->workers[i].rc, "%s", d->workers[i].error);
	return 0;
}

static int pass(struct blk_disk *d, bool write)
{
	struct blk_load_spec spec = { .once = true,
				      .written_only = !write,
				      .read_percent = write ? 0 : 100,
				      .bs = (uint32_t)d->o->bs,
				      .blocks = d->blocks,
				      .depth = d->o->depth,
				      .verify = &d->verify };
	struct watch watch;

	prog_progress(write ? "writing every block" : "reading back what was written");
	return run_workers(d, &spec, -1, &watch);
}

static void collect(const struct blk_disk *d, const struct watch *watch, struct bench_result *r)
{
	unsigned int i;

	for (i = 0; i < d->n_workers; i++) {
		const struct blk_worker *w = &d->workers[i];
		double seconds = (double)w->elapsed_ns / 1e9;

		r->ops += w->ops;
		r->bytes += w->bytes;
		/* They start and end together, within a batch. */
		if (seconds > r->seconds)
			r->seconds = seconds;
		iol_hist_merge(&r->lat, &w->lat);
	}
	r->backend_cpu = bench_usage_cores(&watch->first, &watch->last);
}

int blk_disk_load(struct blk_disk *d, pid_t pid, struct bench_result *r)
{
	const struct blk_options *o = d->o;
	struct blk_load_spec spec = {
		.random = o->rw != BLK_READ && o->rw != BLK_WRITE,
		.read_percent = o->rw == BLK_RANDRW ? o->read_percent
				: blk_reads(o)      ? 100
						    : 0,
		.bs = (uint32_t)o->bs,
		.blocks = d->blocks,
		.depth = o->depth,
		.calls = o->calls,
		.ramp_ns = (uint64_t)(o->ramp * 1e9),
		.run_ns = (uint64_t)(o->runtime * 1e9),
		.seed = 1,
		.verify = o->verify ? &d->verify : NULL,
	};
	struct watch watch;
	int rc = 0;

	if (o->verify && !blk_writes(o))
		rc = pass(d, true);
	if (!rc && !bench_interrupted) {
		rc = run_workers(d, &spec, pid, &watch);
		collect(d, &watch, r);
		r->rss_kib = bench_proc_rss_kib(pid);
		if (!rc && !r->ops && !bench_interrupted)
			rc = iol_fail(ETIMEDOUT,
				      "not one request ended in the time that counts; use a "
				      "longer --runtime");
	}
	if (!rc && o->verify && blk_writes(o) && !bench_interrupted)
		rc = pass(d, false);
	prog_progress(NULL);
	return rc;
}
