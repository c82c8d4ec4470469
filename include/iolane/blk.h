/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Disks: a virtio-blk device (struct iol_disk) over an image, and the data threads that serve
 * any number of disks (struct iol_blk_threads). A program makes threads, then disks on them, and
 * serves each disk's device with iol_server_new().
 *
 * Specification: virtio 1.3, 5.2 (Block Device).
 */
#ifndef IOLANE_BLK_H
#define IOLANE_BLK_H

#include <iolane/vhost_user.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IOL_BLK_QUEUES_MAX 64
#define IOL_BLK_SERIAL_MAX 20

struct iol_blk_threads;
struct iol_disk;

enum iol_blk_engine {
	IOL_BLK_ENGINE_AUTO, /* io_uring where it may be used, else the thread pool */
	IOL_BLK_ENGINE_URING,
	IOL_BLK_ENGINE_POOL, /* preadv and pwritev on threads of its own */
};

/**
 * struct iol_blk_threads_spec - The data threads of a process.
 * @num: 1 to 64.
 * @engine: how they do I/O.
 * @poll_us: the longest time to poll with nothing to do before sleeping, microseconds; 0 never
 *           polls. IOL_BLK_POLL_DEFAULT for the measured default.
 * @sqpoll: let a kernel thread take submissions (IORING_SETUP_SQPOLL).
 */
struct iol_blk_threads_spec {
	unsigned int num;
	enum iol_blk_engine engine;
	unsigned int poll_us;
	bool sqpoll;
};

#define IOL_BLK_POLL_DEFAULT (~0u)

/**
 * iol_blk_threads_new() - Probe the engine and start the threads.
 * Return: 0, or a negative errno; with IOL_BLK_ENGINE_AUTO a forbidden or missing io_uring is only
 * a warning in the log, that says why and what it costs.
 */
int iol_blk_threads_new(const struct iol_blk_threads_spec *spec, struct iol_blk_threads **threads);

/** iol_blk_threads_destroy() - End the threads; every disk on them must be gone. Nulls *@threads. */
void iol_blk_threads_destroy(struct iol_blk_threads **threads);

/** iol_blk_threads_engine() - The name of the engine in use: "io_uring" or "pool". */
const char *iol_blk_threads_engine(const struct iol_blk_threads *threads);

/**
 * struct iol_disk_spec - A disk.
 * @name: for the log and statistics; copied, as every string here.
 * @file: an image file, a block device, or "null:SIZE" (reads and writes go nowhere).
 * @read_only: the guest may not write (VIRTIO_BLK_F_RO).
 * @direct: open with O_DIRECT. @iopoll: poll the device for completions; needs @direct.
 * @writethrough: the write cache is off at start: a write is stable when it completes.
 *                The driver can change it (CONFIG_WCE).
 * @fixed_buffers: register guest memory with io_uring; needs @direct; pins it.
 * @num_queues: 1 to IOL_BLK_QUEUES_MAX.
 * @block_size: logical block size, 512 or 4096; 0 for what the image needs.
 * @serial: at most IOL_BLK_SERIAL_MAX bytes; NULL for one made from the file's name.
 * @lock_timeout_ms: how long a starting disk waits for the image's lock; 0 for 30 s.
 * @stop_timeout_ms: how long a stopping queue waits for storage before it cancels; 0 for 10 s.
 */
struct iol_disk_spec {
	const char *name;
	const char *file;
	bool read_only;
	bool direct;
	bool iopoll;
	bool writethrough;
	bool fixed_buffers;
	unsigned int num_queues;
	unsigned int block_size;
	const char *serial;
	unsigned int lock_timeout_ms;
	unsigned int stop_timeout_ms;
};

/**
 * iol_disk_new() - Open and check an image and make its device.
 *
 * The image's lock is not taken here but when the first ring starts, and it is let go when the last
 * one stops, so that a live migration's destination can open the image.
 *
 * Return: 0 and *@disk, or a negative errno with the sentence set.
 */
int iol_disk_new(struct iol_blk_threads *threads, const struct iol_disk_spec *spec,
		 struct iol_disk **disk);

/** iol_disk_destroy() - Free a disk; its server must be gone. Nulls *@disk. */
void iol_disk_destroy(struct iol_disk **disk);

/** iol_disk_device() - The device to serve; the disk keeps it. */
struct iol_device *iol_disk_device(struct iol_disk *disk);

/** iol_disk_capacity() - Bytes, as the guest is told. */
uint64_t iol_disk_capacity(const struct iol_disk *disk);

/**
 * iol_disk_refresh() - The image may have another size now: look, and tell the guest (any thread but
 * the disk's own).
 * @size: NULL, or the size in bytes to bring an image file to first (it may only grow).
 *
 * Return: 1 when the capacity changed and the guest is told, 0 when it did not change, or a
 * negative errno with the sentence set; -EOPNOTSUPP when it changed but the guest can't be told.
 */
int iol_disk_refresh(struct iol_disk *disk, const uint64_t *size);

/* ---- statistics ---- */

enum iol_blk_op {
	IOL_BLK_OP_READ,
	IOL_BLK_OP_WRITE,
	IOL_BLK_OP_FLUSH,
	IOL_BLK_OP_DISCARD,
	IOL_BLK_OP_WRITE_ZEROES,
	IOL_BLK_OP_SECURE_ERASE,
	IOL_BLK_OP_OTHER, /* GET_ID and requests of unknown type */
	IOL_BLK_OPS,
};

/** struct iol_blk_op_stats - One kind of request on one queue; latency from pop to push. */
struct iol_blk_op_stats {
	uint64_t requests, bytes, errors;
	uint64_t lat_mean_ns, lat_p50_ns, lat_p99_ns, lat_p999_ns, lat_max_ns;
};

/** iol_disk_queue_stats() - Statistics of queue @index since the disk was made (any thread). */
int iol_disk_queue_stats(const struct iol_disk *disk, unsigned int index,
			 struct iol_blk_op_stats stats[IOL_BLK_OPS]);

/**
 * struct iol_blk_thread_stats - One data thread.
 * @turns: turns of its loop. @useful: turns that found something to do.
 * @sleeps: times it slept. @syscalls: I/O system calls (io_uring_enter, preadv2, …).
 */
struct iol_blk_thread_stats {
	uint64_t turns, useful, sleeps, syscalls;
};

/** iol_blk_threads_stats() - Statistics of thread @index; -ENOENT past the last (any thread). */
int iol_blk_threads_stats(const struct iol_blk_threads *threads, unsigned int index,
			  struct iol_blk_thread_stats *stats);

/** iol_disk_queue_thread() - The thread that serves queue @index, or -1 while it is not running. */
int iol_disk_queue_thread(const struct iol_disk *disk, unsigned int index);

#ifdef __cplusplus
}
#endif
#endif
