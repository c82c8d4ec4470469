/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk from its device's side: open, start, stop, queues. All of it on the control thread, but where
 * iolane/blk.h says otherwise.
 */
#include "vhost-user/blk/disk.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"
#include "vhost-user/blk/lock.h"
#include "vhost-user/blk/thread.h"
#include "vhost-user/ring.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>

#define LOCK_TIMEOUT_MS 30000
#define STOP_TIMEOUT_MS 10000
/* After a cancel, what the kernel can end has ended. */
#define CANCEL_TIMEOUT_MS 1000
/* How often a starting disk looks whether storage has given back what it still had. */
#define ZOMBIE_POLL_MS 20

static void make_serial(struct iol_disk *disk, const struct iol_disk_spec *spec)
{
	const char *from = spec->serial;

	if (!from) {
		from = strrchr(spec->file, '/');
		from = from ? from + 1 : spec->file;
	}
	/* Not a string: it need not end with a zero. */
	memcpy(disk->serial, from, strnlen(from, sizeof(disk->serial)));
}

static int check_spec(const struct iol_disk_spec *spec)
{
	if (!spec->file || !*spec->file)
		return iol_fail(EINVAL, "a disk needs an image file, a block device or null:SIZE");
	if (!spec->num_queues || spec->num_queues > IOL_BLK_QUEUES_MAX)
		return iol_fail(EINVAL, "a disk has 1 to %u queues, not %u", IOL_BLK_QUEUES_MAX,
				spec->num_queues);
	if (spec->serial && strlen(spec->serial) > IOL_BLK_SERIAL_MAX)
		return iol_fail(EINVAL, "serial \"%s\" is longer than %u bytes", spec->serial,
				IOL_BLK_SERIAL_MAX);
	return 0;
}

int iol_disk_open(struct iol_blk_threads *threads, const struct iol_disk_spec *spec,
		  struct iol_disk **out)
{
	struct iol_disk *disk;
	unsigned int i;
	size_t len;
	int rc;

	rc = check_spec(spec);
	if (rc < 0)
		return rc;
	disk = calloc(1, sizeof(*disk));
	if (!disk)
		return iol_fail(ENOMEM, "no memory for disk %s", spec->file);
	disk->refs = 1;
	pthread_mutex_init(&disk->lock, NULL);
	iol_overlap_init(&disk->writes);
	disk->threads = threads;
	disk->num_queues = spec->num_queues;
	disk->lock_timeout_ms = spec->lock_timeout_ms ? spec->lock_timeout_ms : LOCK_TIMEOUT_MS;
	disk->stop_timeout_ms = spec->stop_timeout_ms ? spec->stop_timeout_ms : STOP_TIMEOUT_MS;
	disk->writeback_default = !spec->writethrough;
	disk->writeback_config = disk->writeback_default;
	disk->fixed_buffers = spec->fixed_buffers;
	make_serial(disk, spec);
	disk->name = strdup(spec->name ? spec->name : spec->file);
	/* Mapped: histograms are large, and those that count nothing are never touched. */
	len = spec->num_queues * sizeof(*disk->stats);
	disk->stats = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (disk->stats == MAP_FAILED)
		disk->stats = NULL;
	if (!disk->name || !disk->stats) {
		rc = iol_fail(ENOMEM, "no memory for disk %s", spec->file);
		goto fail;
	}
	for (i = 0; i < spec->num_queues; i++)
		disk->stats[i].thread = -1;
	memset(disk->replay_at, 0xff, sizeof(disk->replay_at));
	rc = iol_image_open(spec, &disk->image);
	if (rc < 0)
		goto fail;
	if (spec->fixed_buffers && !threads->engine->fixed) {
		rc = iol_fail(EINVAL, "fixed buffers need io_uring, which is not in use");
		goto fail;
	}
	if (spec->fixed_buffers)
		iol_log(IOL_LOG_WARNING,
			"%s: fixed buffers pin all of guest memory; the guest must not have a "
			"balloon, virtio-mem or anything else that gives memory back, or its data "
			"is lost",
			disk->name);
	disk->capacity = disk->image->size;
	disk->discard = disk->image->discard && !spec->read_only;
	disk->secure_erase = disk->image->secure_erase && !spec->read_only;
	disk->write_zeroes = !spec->read_only;
	iol_disk_reset(disk);
	*out = disk;
	return 0;
fail:
	iol_disk_unref(disk);
	return rc;
}

void iol_disk_unref(struct iol_disk *disk)
{
	if (__atomic_sub_fetch(&disk->refs, 1, __ATOMIC_ACQ_REL))
		return;
	if (disk->stats)
		munmap(disk->stats, disk->num_queues * sizeof(*disk->stats));
	iol_image_close(&disk->image);
	iol_overlap_fini(&disk->writes);
	pthread_mutex_destroy(&disk->lock);
	free(disk->name);
	free(disk);
}

void iol_disk_flush_failed(struct iol_disk *disk)
{
	/* Direct I/O leaves nothing in memory that could be dropped: the next flush may do. */
	if (disk->image->direct || IOL_STAT_GET(disk->flush_lost))
		return;
	IOL_STAT_SET(disk->flush_lost, true);
	iol_log(IOL_LOG_ERROR,
		"%s: a flush failed, and what it should have made stable may be gone; every "
		"flush fails until the disk is opened again",
		disk->name);
}

void iol_disk_zombies_add(struct iol_disk *disk, int n)
{
	if (n > 0)
		__atomic_fetch_add(&disk->refs, (unsigned int)n, __ATOMIC_RELAXED);
	pthread_mutex_lock(&disk->lock);
	disk->zombies += (unsigned int)n;
	if (!disk->zombies) {
		iol_log(IOL_LOG_INFO, "%s: storage has given back all that it still had",
			disk->name);
		if (!disk->running && disk->locked) {
			iol_unlock_image(disk->image->fd);
			disk->locked = false;
		}
	}
	pthread_mutex_unlock(&disk->lock);
	for (; n < 0; n++)
		iol_disk_unref(disk);
}

unsigned int iol_disk_zombies(struct iol_disk *disk)
{
	unsigned int n;

	pthread_mutex_lock(&disk->lock);
	n = disk->zombies;
	pthread_mutex_unlock(&disk->lock);
	return n;
}

/* Nobody may write while an older write of ours may still reach the image: neither may we. */
static int wait_for_zombies(struct iol_disk *disk)
{
	uint64_t end = iol_now() + disk->lock_timeout_ms * IOL_NS_PER_MS;
	bool told = false;
	unsigned int n;

	for (;;) {
		n = iol_disk_zombies(disk);
		if (!n || iol_now() >= end || iol_device_ending(disk->device))
			break;
		if (!told)
			iol_log(IOL_LOG_WARNING,
				"%s: waiting up to %u ms for %u operations that storage has "
				"not answered since the last stop",
				disk->name, disk->lock_timeout_ms, n);
		told = true;
		poll(NULL, 0, ZOMBIE_POLL_MS);
	}
	if (n)
		return iol_fail(EBUSY,
				"disk %s can't start: storage still has %u operations from before; "
				"see to the storage of %s",
				disk->name, n, disk->image->path);
	return 0;
}

int iol_disk_start(struct iol_disk *disk)
{
	int rc;

	rc = wait_for_zombies(disk);
	if (rc < 0)
		return rc;
	/* From here on a resize leaves the image's lock alone; one that has borrowed it is waited for. */
	pthread_mutex_lock(&disk->lock);
	disk->starting = true;
	pthread_mutex_unlock(&disk->lock);
	if (disk->image->fd >= 0 && !disk->locked)
		rc = iol_lock_image(disk->image->fd, disk->image->path, !disk->image->read_only,
				    disk->lock_timeout_ms, disk->device);
	pthread_mutex_lock(&disk->lock);
	disk->starting = false;
	if (rc == 0) {
		disk->locked = disk->image->fd >= 0;
		disk->running = true;
		/* With the image's lock, as whoever had it before may have grown the image. */
		rc = iol_disk_look(disk);
	}
	pthread_mutex_unlock(&disk->lock);
	if (rc < 0)
		iol_disk_stop(disk);
	return rc < 0 ? rc : 0;
}

void iol_disk_stop(struct iol_disk *disk)
{
	bool busy;

	if (IOL_STAT_GET(disk->written) && !iol_disk_zombies(disk))
		iol_disk_sync(disk);
	pthread_mutex_lock(&disk->lock);
	disk->running = false;
	busy = disk->locked && disk->zombies;
	if (disk->locked && !busy) {
		iol_unlock_image(disk->image->fd);
		disk->locked = false;
	}
	pthread_mutex_unlock(&disk->lock);
	if (busy)
		iol_log(IOL_LOG_WARNING,
			"%s: keeping the lock of %s until storage answers, so that nobody "
			"else writes to it before",
			disk->name, disk->image->path);
}

static void share_writes(void *arg)
{
	iol_overlap_share(arg);
}

/*
 * Before a queue is given to @th: once queues are on several threads, what they know of each other's writes
 * needs its lock. The thread that had them all is told so between two turns, or in a write that blocks.
 */
static void spread(struct iol_disk *disk, struct iol_blk_thread *th)
{
	struct iol_blk_thread *other = NULL;
	unsigned int i;

	for (i = 0; i < disk->num_queues && !other; i++)
		if (disk->queue[i])
			other = disk->queue[i]->thread;
	if (!other) {
		iol_overlap_unshare(&disk->writes);
		disk->spread = false;
	} else if (other != th && !disk->spread) {
		iol_blk_thread_call(other, share_writes, &disk->writes);
		disk->spread = true;
	}
}

int iol_disk_queue_start(struct iol_disk *disk, unsigned int index, const struct iol_blk_port *port)
{
	struct iol_blk_queue *q;
	int rc;

	rc = wait_for_zombies(disk);
	if (rc < 0)
		return rc;
	rc = iol_blk_queue_new(disk, index, port, &q);
	if (rc < 0)
		return rc;
	q->thread = iol_blk_thread_choose(disk->threads);
	spread(disk, q->thread);
	iol_blk_queue_begin_replay(q);
	rc = iol_blk_thread_add(q);
	if (rc < 0) {
		iol_blk_thread_unchoose(q->thread);
		iol_blk_queue_free(&q);
		return rc;
	}
	disk->queue[index] = q;
	IOL_STAT_SET(disk->stats[index].thread, (int)q->thread->index);
	return 0;
}

void iol_disk_queue_stop(struct iol_disk *disk, unsigned int index)
{
	struct iol_blk_queue *q = iol_take_ptr(disk->queue[index]);
	unsigned int left, patience = disk->hung ? CANCEL_TIMEOUT_MS : disk->stop_timeout_ms;

	if (!q)
		return;
	/* A VMM stops queue after queue, and is frozen meanwhile: what hangs is waited for once. */
	disk->hung = !iol_blk_thread_drain(q, patience);
	if (disk->hung) {
		iol_log(IOL_LOG_WARNING,
			"%s: queue %u stops, but storage has not answered for %u ms; "
			"canceling what it has",
			disk->name, index, patience);
		iol_blk_thread_cancel(q);
		iol_blk_thread_drain(q, CANCEL_TIMEOUT_MS);
	}
	left = iol_blk_thread_remove(q);
	IOL_STAT_SET(disk->stats[index].thread, -1);
	if (left)
		iol_log(IOL_LOG_ERROR,
			"%s: queue %u stopped with %u operations that storage would not give "
			"back; they stay in the inflight log",
			disk->name, index, left);
}

struct queue_call {
	struct iol_blk_queue *q;
	void (*fn)(void *arg);
	void *arg;
};

static void call_on_queue(void *arg)
{
	struct queue_call *c = arg;

	c->fn(c->arg);
	if (c->q->disk->fixed_buffers)
		iol_blk_queue_new_mem(c->q);
}

void iol_disk_queue_call(struct iol_disk *disk, unsigned int index, void (*fn)(void *), void *arg)
{
	struct queue_call c = { .q = disk->queue[index], .fn = fn, .arg = arg };

	if (c.q)
		iol_blk_thread_call(c.q->thread, call_on_queue, &c);
	else
		fn(arg);
}

void iol_disk_replay_at(struct iol_disk *disk, unsigned int index, uint64_t oldest)
{
	uint64_t before = IOL_STAT_GET(disk->replay_at[index]);

	if (oldest == before)
		return;
	IOL_STAT_SET(disk->replay_at[index], oldest);
	if (before == UINT64_MAX) {
		__atomic_add_fetch(&disk->replaying, 1, __ATOMIC_SEQ_CST);
	} else if (oldest == UINT64_MAX &&
		   !__atomic_sub_fetch(&disk->replaying, 1, __ATOMIC_SEQ_CST)) {
		iol_overlap_news(&disk->writes);
		if (__atomic_exchange_n(&disk->gate_told, false, __ATOMIC_RELAXED))
			iol_log(IOL_LOG_INFO, "%s: its queues go on", disk->name);
	}
	/* It may be the turn of the next oldest now, whosever that is, or of new ones. */
	if (oldest > before)
		iol_blk_threads_wake(disk->threads);
}

void iol_disk_queue_wake(struct iol_disk *disk, unsigned int index)
{
	struct iol_blk_queue *q = disk->queue[index];

	if (!q)
		return;
	__atomic_store_n(&q->woken, true, __ATOMIC_RELEASE);
	iol_blk_thread_wake(q->thread);
}

int iol_disk_queue_thread(const struct iol_disk *disk, unsigned int index)
{
	return index < disk->num_queues ? IOL_STAT_GET(disk->stats[index].thread) : -1;
}

uint64_t iol_disk_capacity(const struct iol_disk *disk)
{
	return IOL_STAT_GET(disk->capacity);
}

struct iol_device *iol_disk_device(struct iol_disk *disk)
{
	return disk->device;
}

static void op_stats(const struct iol_blk_op_counts *c, struct iol_blk_op_stats *s)
{
	uint64_t sum = IOL_STAT_GET(c->lat.sum);

	s->requests = IOL_STAT_GET(c->lat.count);
	s->bytes = IOL_STAT_GET(c->bytes);
	s->errors = IOL_STAT_GET(c->errors);
	s->lat_mean_ns = s->requests ? sum / s->requests : 0;
	s->lat_p50_ns = iol_hist_quantile(&c->lat, 0.5);
	s->lat_p99_ns = iol_hist_quantile(&c->lat, 0.99);
	s->lat_p999_ns = iol_hist_quantile(&c->lat, 0.999);
	s->lat_max_ns = IOL_STAT_GET(c->lat.max);
}

int iol_disk_queue_stats(const struct iol_disk *disk, unsigned int index,
			 struct iol_blk_op_stats stats[IOL_BLK_OPS])
{
	unsigned int op;

	if (index >= disk->num_queues)
		return iol_fail(ENOENT, "disk %s has no queue %u, only %u of them", disk->name,
				index, disk->num_queues);
	for (op = 0; op < IOL_BLK_OPS; op++)
		op_stats(&disk->stats[index].op[op], &stats[op]);
	return 0;
}
