/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The flush of a disk that stops: by a thread of its own, as storage that hangs must not hold up the
 * control thread for longer than it can wait.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"
#include "base/thread.h"
#include "vhost-user/blk/disk.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define STACK_SIZE (64u << 10)

/* Shared by the two threads; whoever comes second frees it. */
struct sync {
	struct iol_disk *disk;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done, left;
};

static void free_sync(struct sync *s)
{
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->cond);
	free(s);
}

static void flush(struct iol_disk *disk)
{
	struct iol_io io = { .image = disk->image, .op = IOL_IO_FLUSH };
	int rc;

	IOL_STAT_SET(disk->written, false);
	do {
		rc = disk->image->ops->run(disk->image, &io, 0);
	} while (rc == -EINTR);
	if (rc >= 0)
		return;
	iol_log(IOL_LOG_ERROR, "%s: the flush at its stop failed: %s", disk->name, strerror(-rc));
	IOL_STAT_SET(disk->written, true);
	iol_disk_flush_failed(disk);
}

static void *sync_thread(void *arg)
{
	struct sync *s = arg;
	struct iol_disk *disk = s->disk;
	bool left;

	flush(disk);
	pthread_mutex_lock(&s->lock);
	s->done = true;
	left = s->left;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
	if (left) {
		iol_disk_zombies_add(disk, -1);
		free_sync(s);
	}
	return NULL;
}

void iol_disk_sync(struct iol_disk *disk)
{
	struct sync *s;
	pthread_condattr_t attr;
	struct timespec until;
	int rc = 0;

	if (disk->image->null || disk->image->read_only)
		return;
	s = calloc(1, sizeof(*s));
	if (!s) {
		flush(disk);
		return;
	}
	s->disk = disk;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->cond, &attr);
	pthread_condattr_destroy(&attr);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += disk->stop_timeout_ms / 1000 + 1;
	if (iol_thread_start(NULL, STACK_SIZE, sync_thread, s)) {
		free_sync(s);
		flush(disk);
		return;
	}
	pthread_mutex_lock(&s->lock);
	while (!s->done && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&s->cond, &s->lock, &until);
	if (s->done) {
		pthread_mutex_unlock(&s->lock);
		free_sync(s);
		return;
	}
	s->left = true;
	iol_disk_zombies_add(disk, 1);
	pthread_mutex_unlock(&s->lock);
	iol_log(IOL_LOG_ERROR, "%s: storage has not answered the flush at its stop for %u ms",
		disk->name, disk->stop_timeout_ms);
}
