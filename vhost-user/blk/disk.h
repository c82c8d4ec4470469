/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk as its queues see it. What several threads change is read and written with IOL_STAT_*. */
#ifndef IOL_VHOST_USER_BLK_DISK_H
#define IOL_VHOST_USER_BLK_DISK_H

#include <pthread.h>

#include "base/hist.h"
#include "vhost-user/blk/image.h"
#include "vhost-user/blk/overlap.h"
#include "vhost-user/blk/queue.h"

/**
 * struct iol_disk - A disk.
 * @refs: its owner, and each queue that storage never answered.
 * @capacity: bytes. @writeback: the cache is on. @discard…: what is offered to the driver.
 * @flush_lost: a flush of buffered data failed: what the kernel dropped then can't be made stable any
 *              more, so no later flush may say that it is.
 * @told: the capacity that a front end read last; 0 for none. The control thread's.
 * @written: something was written since the image's lock was taken.
 * @replaying: started queues that still have chains of a dead backend's, or of a stop that storage did not
 *             answer, to do: no queue takes new ones. @replay_at: when the oldest of them was taken, by
 *             queue; UINT64_MAX for none. The control thread's while the queue does not run, else
 *             its data thread's. @gate_told: the log says that this takes long.
 * @zombies: operations that storage never answered, of stopped queues.
 * @writes: those at storage, of all queues. @spread: the running queues are on several threads; control thread.
 * @complain_at, @complaints: the log line about errors is written at most every few seconds.
 */
struct iol_disk {
	unsigned int refs;
	char *name;
	struct iol_blk_threads *threads;
	struct iol_image *image;
	struct iol_device *device;
	char serial[IOL_BLK_SERIAL_MAX];
	unsigned int num_queues;
	unsigned int lock_timeout_ms, stop_timeout_ms;
	bool spread;
	bool hung; /* the last queue that stopped waited in vain; control thread */
	bool discard, write_zeroes, secure_erase;
	bool fixed_buffers;
	bool writeback_default;
	bool writeback_config; /* as the config space says; the driver's to change */
	uint64_t features;     /* negotiated */

	uint64_t told;

	uint64_t capacity;
	bool writeback;
	bool flush_lost;
	bool written;
	unsigned int replaying;
	bool gate_told;
	uint64_t replay_at[IOL_BLK_QUEUES_MAX];
	uint64_t complain_at;
	uint64_t complaints;

	pthread_mutex_t lock; /* of the rest */
	bool starting, running, locked;
	unsigned int zombies;
	struct iol_blk_queue *queue[IOL_BLK_QUEUES_MAX]; /* running ones */
	struct iol_blk_queue_stats *stats;               /* one a queue */
	/* Written for every write: away from what every request reads. Its lock is its own. */
	struct iol_overlap writes;
};

/** iol_disk_open() - All of iol_disk_new() but the device. */
int iol_disk_open(struct iol_blk_threads *threads, const struct iol_disk_spec *spec,
		  struct iol_disk **disk);

void iol_disk_unref(struct iol_disk *disk);

/* What the device does, for the control thread. */
int iol_disk_start(struct iol_disk *disk);
void iol_disk_stop(struct iol_disk *disk);
void iol_disk_reset(struct iol_disk *disk);

/**
 * iol_disk_recall() - Take the cache's byte as the guest set it in a process before this one. VMMs read it
 * once, and don't write it again when we come back.
 */
void iol_disk_recall(struct iol_disk *disk);
int iol_disk_queue_start(struct iol_disk *disk, unsigned int index,
			 const struct iol_blk_port *port);
void iol_disk_queue_stop(struct iol_disk *disk, unsigned int index);
void iol_disk_queue_call(struct iol_disk *disk, unsigned int index, void (*fn)(void *), void *arg);
void iol_disk_queue_wake(struct iol_disk *disk, unsigned int index);

/**
 * iol_disk_replay_at() - The oldest chain that queue @index has to do again was taken at @oldest, UINT64_MAX
 * when there is none. By who has the queue: its thread while it runs, else the control thread.
 */
void iol_disk_replay_at(struct iol_disk *disk, unsigned int index, uint64_t oldest);

/** iol_disk_flush_failed() - On a flush error: no later flush may succeed (buffered images). */
void iol_disk_flush_failed(struct iol_disk *disk);

/** iol_disk_zombies_add() - @n operations of a stopped queue more (or less) are with storage. Each keeps the disk. */
void iol_disk_zombies_add(struct iol_disk *disk, int n);

/** iol_disk_zombies() - Operations of stopped queues that storage never answered. */
unsigned int iol_disk_zombies(struct iol_disk *disk);

/* resize.c */

/** iol_disk_look() - Take up the image's size. Return: 1 when it changed, 0, or an error. */
int iol_disk_look(struct iol_disk *disk);

/** iol_disk_resize() - All of iol_disk_refresh() but telling the guest. */
int iol_disk_resize(struct iol_disk *disk, const uint64_t *size);

/* sync.c */

/** iol_disk_sync() - Make all that was written stable, or give up after the time for a stop. */
void iol_disk_sync(struct iol_disk *disk);

/* config.c */
uint64_t iol_disk_features(const struct iol_disk *disk);
void iol_disk_set_features(struct iol_disk *disk, uint64_t features);
int iol_disk_get_config(struct iol_disk *disk, void *config);
int iol_disk_set_config(struct iol_disk *disk, uint32_t off, const void *data, uint32_t len);

#endif
