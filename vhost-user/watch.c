/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/watch.h"

#include "base/error.h"
#include "base/event.h"
#include "base/own.h"
#include "base/thread.h"
#include "vhost-user/device.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

static struct {
	pthread_mutex_t changes; /* held while the thread is started or ended; taken first */
	pthread_mutex_t lock;
	pthread_cond_t ended;
	struct iol_device *devices;
	pthread_t thread;
	bool end;
} watch = {
	.changes = PTHREAD_MUTEX_INITIALIZER,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.ended = PTHREAD_COND_INITIALIZER,
};

static bool is_full(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return fd >= 0 && poll(&p, 1, 0) == 0;
}

static void look(struct iol_device *dev)
{
	unsigned int i, j;

	for (i = 0; i < dev->num_queues; i++) {
		const int fds[] = { dev->queue[i].call, dev->queue[i].err };

		for (j = 0; j < 2; j++) {
			if (!is_full(fds[j]))
				continue;
			/* First, so that whoever is let go does not come back. */
			iol_device_mistrust(dev);
			iol_event_take(fds[j]);
		}
	}
}

static void *run(void *arg)
{
	struct iol_device *dev;
	struct timespec at;

	pthread_mutex_lock(&watch.lock);
	while (!watch.end) {
		for (dev = watch.devices; dev; dev = dev->next_watched)
			look(dev);
		clock_gettime(CLOCK_MONOTONIC, &at);
		at.tv_sec++;
		pthread_cond_clockwait(&watch.ended, &watch.lock, CLOCK_MONOTONIC, &at);
	}
	pthread_mutex_unlock(&watch.lock);
	return arg;
}

/* Where a device is in the list, or the list's end. */
static struct iol_device **find(const struct iol_device *dev)
{
	struct iol_device **at = &watch.devices;

	while (*at && *at != dev)
		at = &(*at)->next_watched;
	return at;
}

int iol_watch_add(struct iol_device *dev)
{
	int rc = 0;

	pthread_mutex_lock(&watch.changes);
	if (!watch.devices) {
		watch.end = false;
		rc = iol_thread_start(&watch.thread, 0, run, NULL);
	}
	pthread_mutex_lock(&watch.lock);
	if (!rc && !*find(dev)) {
		dev->next_watched = watch.devices;
		watch.devices = dev;
	}
	pthread_mutex_unlock(&watch.lock);
	pthread_mutex_unlock(&watch.changes);
	return rc ? iol_fail(-rc, "%s: cannot start a thread: %s", dev->name, strerror(-rc)) : 0;
}

void iol_watch_remove(struct iol_device *dev)
{
	struct iol_device **at;
	bool found;

	pthread_mutex_lock(&watch.changes);
	pthread_mutex_lock(&watch.lock);
	at = find(dev);
	found = *at;
	if (found)
		*at = dev->next_watched;
	watch.end = !watch.devices;
	pthread_cond_signal(&watch.ended);
	pthread_mutex_unlock(&watch.lock);
	if (found && watch.end)
		pthread_join(watch.thread, NULL);
	pthread_mutex_unlock(&watch.changes);
}

void iol_watch_replace(int *place, int fd)
{
	pthread_mutex_lock(&watch.lock);
	iol_close(place);
	*place = fd;
	pthread_mutex_unlock(&watch.lock);
}
