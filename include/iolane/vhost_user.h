/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vhost-user back end: a device with queues (struct iol_device), served on a
 * Unix socket by a thread of its own (struct iol_server), and the virtqueues that its data
 * path works on (struct iol_ring).
 *
 * Threads. A device has one control thread: the server's, which reads messages from the front
 * end. Each running queue belongs to one data thread, chosen by the device. Control never
 * touches a running queue: it asks the owner through iol_device_ops.queue_call and waits. One
 * thread more, for all devices, looks after the eventfds of the front ends that are there.
 *
 * Specifications: "Vhost-user Protocol" (QEMU, docs/interop/vhost-user.rst) and virtio 1.3.
 */
#ifndef IOLANE_VHOST_USER_H
#define IOLANE_VHOST_USER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IOL_QUEUES_MAX      256
#define IOL_QUEUE_SIZE_MAX  32768
#define IOL_CONFIG_SIZE_MAX 256

struct iol_device;
struct iol_queue;
struct iol_ring;
struct iol_server;

/* ---- virtqueues ---- */

/**
 * struct iol_chain - One descriptor chain, checked and translated.
 * @id: what iol_ring_push() wants back: the head's index (split) or the buffer ID (packed).
 * @ndesc: ring slots that the chain takes (packed; 1 for split).
 * @nout: device-readable pieces, first in @iov.
 * @nin: device-writable pieces, after the readable ones.
 * @out_len: bytes in the readable pieces.
 * @in_len: bytes in the writable pieces.
 * @iov: the pieces, in host memory. They belong to the ring and are valid until the next
 *       iol_ring_pop(); the memory they point at stays valid until the chain is pushed.
 */
struct iol_chain {
	uint16_t id;
	uint16_t ndesc;
	uint16_t nout;
	uint16_t nin;
	uint32_t out_len;
	uint32_t in_len;
	struct iovec *iov;
};

/**
 * iol_ring_pop() - Take up to @max available chains.
 * @chains: filled from the start.
 *
 * Every descriptor is read once, and checked before it is believed: a chain is no longer than the
 * queue, holds less than 4 GiB, readable pieces come before writable ones, all of it lies
 * inside guest memory. After an error the ring stays broken until it is started again.
 * Only the thread that owns the queue calls it (so for all iol_ring_* functions).
 *
 * Return: the number of chains, 0 when there is none; -EAGAIN when the next chain waits for an
 * IOTLB entry (asked for already); -EPROTO when the driver broke the rules (sentence set).
 * An error is returned only when no good chain came before it.
 *
 * Spec: virtio 1.3, 2.7.13 and 2.8.21 (device side).
 */
int iol_ring_pop(struct iol_ring *r, struct iol_chain *chains, unsigned int max);

/**
 * iol_ring_unpop() - Give the last @n chains that were popped back to the ring, as if they had never been
 * taken: the next iol_ring_pop() returns them again.
 * @chains: their records as popped, in that order, by one pop or several. Only ->id and ->ndesc are read.
 *
 * None of them may be pushed, and none that was popped after them may be; any before them may. What
 * they held may have changed when they are popped again: the driver's memory is read anew.
 *
 * Return: 0, or -EINVAL when one is not in flight; nothing was given back then. The order is not checked.
 */
int iol_ring_unpop(struct iol_ring *r, const struct iol_chain *chains, unsigned int n);

/**
 * iol_ring_push() - Give a chain back to the driver, with @len bytes written to it.
 *
 * The driver sees it after the next iol_ring_publish(). Chains may be pushed in any order.
 */
void iol_ring_push(struct iol_ring *r, uint16_t id, uint16_t ndesc, uint32_t len);

/**
 * iol_ring_push_more() - The same for a chain that holds a part of something only: the driver sees it together with the
 * chain that is pushed next, and not before. It was filled: @len is all of its device-writable bytes. The last chain is
 * pushed by iol_ring_push(), before the next iol_ring_publish(); and all together take no more than
 * iol_ring_group_max() slots of the ring.
 *
 * Spec: virtio 1.3, 5.1.6.4.1 (the buffers of one packet are used together).
 */
void iol_ring_push_more(struct iol_ring *r, uint16_t id, uint16_t ndesc, uint32_t len);

/** iol_ring_group_max() - How many slots of the ring (the sum of ->ndesc) may be shown together. */
unsigned int iol_ring_group_max(const struct iol_ring *r);

/**
 * iol_ring_publish() - Let the driver see all that was pushed.
 *
 * Behind an IOMMU the used ring's translation may be gone for a while: what was pushed is kept, and
 * shown by the first publish that finds it again. So publish after queue_wake, too.
 *
 * Return: true when the driver wants to be notified (iol_queue_call()).
 */
bool iol_ring_publish(struct iol_ring *r);

/**
 * struct iol_buf - A buffer that a driver made available: a chain of one descriptor.
 */
struct iol_buf {
	uint8_t *base;
	uint32_t len;
	uint16_t id;
};

/**
 * iol_ring_peek() - Look at up to @max available chains that are one buffer each, without taking them.
 * @writable: those that the device writes; else those that it reads.
 *
 * With iol_ring_consume() this is a quick way for devices that work in order and are done with a chain
 * before they look at another, as network devices are: nothing has to be remembered of it. All is checked
 * as by iol_ring_pop(), but for the same chain made available twice: it is seen twice. It looks no further than
 * the first chain that is of another kind or wrong, and sees none where chains are in flight or pushed and not
 * published, or there is a log of any kind, or an IOMMU; iol_ring_pop() gives those, and says what is wrong.
 *
 * Return: the number of buffers, which may be 0 though chains are available.
 */
unsigned int iol_ring_peek(struct iol_ring *r, struct iol_buf *bufs, unsigned int max,
			   bool writable);

/**
 * iol_ring_consume() - Take the first @n of the buffers that the last iol_ring_peek() saw, and give them back
 * at once, for the driver to see. No other call for this ring came between, nor what iol_device_ops.queue_call runs:
 * the memory may be another after that.
 * @len: bytes written to each; NULL for none to any.
 *
 * Return: true when the driver wants to be notified (iol_queue_call()).
 */
bool iol_ring_consume(struct iol_ring *r, const struct iol_buf *bufs, const uint32_t *len,
		      unsigned int n);

/**
 * iol_ring_only_read() - Take all that the indirect tables of a packed ring hold for device-readable, whatever they say.
 *
 * For queues that a device never writes to, from iol_device_ops.queue_start: DPDK's virtio driver calls the header of
 * what it sends writable there, which the specification forbids, and other devices do not look. Till the ring is
 * started again.
 */
void iol_ring_only_read(struct iol_ring *r);

/**
 * iol_ring_arm() - Ask the driver for kicks, before the thread sleeps.
 *
 * Return: true when chains became available meanwhile: don't sleep.
 */
bool iol_ring_arm(struct iol_ring *r);

/**
 * iol_ring_recall() - Look again whether the driver waits for a call that was not made.
 *
 * Both sides must have a full barrier between what they store and what they then read of the other;
 * emulated processors may not (QEMU's TCG on one thread makes plain instructions of x86's locked ones), and then
 * a kick or a call is missed now and then. So a thread that has slept for a while should look at its rings
 * once more, with this and iol_ring_arm(), before it sleeps for good.
 *
 * Return: true when the driver is to be notified (iol_queue_call()).
 */
bool iol_ring_recall(struct iol_ring *r);

/** iol_ring_disarm() - Tell the driver that kicks aren't needed, while the thread polls. */
void iol_ring_disarm(struct iol_ring *r);

/**
 * iol_ring_dirty() - Log that [@base, @base + @len) in guest memory was written, if the front end
 * keeps a dirty log. Call it before the chain is pushed.
 */
void iol_ring_dirty(struct iol_ring *r, const void *base, uint32_t len);

/** iol_ring_logs() - Whether the front end keeps a dirty log, so that iol_ring_dirty() does anything. */
bool iol_ring_logs(const struct iol_ring *r);

/** iol_ring_size() - The number of descriptors. */
uint16_t iol_ring_size(const struct iol_ring *r);

/* ---- queues ---- */

/** iol_queue_index() - The number of the queue in its device, from 0. */
unsigned int iol_queue_index(const struct iol_queue *q);

/** iol_queue_ring() - The ring of a running queue. */
struct iol_ring *iol_queue_ring(struct iol_queue *q);

/** iol_queue_kick_fd() - The eventfd that the driver kicks; -1 when the queue must be polled. */
int iol_queue_kick_fd(const struct iol_queue *q);

/**
 * iol_queue_call() - Notify the driver that used chains wait.
 *
 * A front end that lets its eventfd fill up may hold up the caller for two seconds, once in a
 * device's life: from then on the device's control thread does this in the caller's place.
 */
void iol_queue_call(struct iol_queue *q);

/**
 * iol_queue_fail() - End a queue after -EPROTO or the like: one log line with iol_error(),
 * VRING_ERR to the front end. The owner stops popping, and keeps the queue until queue_stop.
 */
void iol_queue_fail(struct iol_queue *q);

/* ---- devices ---- */

/**
 * struct iol_device_ops - What a kind of device does. All run on the device's control thread.
 * @get_config: fill the whole config space, at most IOL_CONFIG_SIZE_MAX bytes; return its size.
 * @set_config: the driver (or the front end) wrote @len bytes at @off; negative errno if refused.
 * @features: the features that were negotiated (SET_FEATURES).
 * @start: the first ring is about to start. May wait (an image's lock), bounded. An error refuses
 *         the ring.
 * @stop: the last ring has stopped: the device is suspended.
 * @queue_start: the ring is mapped, and from here belongs to a data thread of the device's choice
 *               until @queue_stop returns.
 * @queue_stop: take the queue from its thread. Returns when every chain popped is pushed and
 *              published, or left in the inflight log, within a bounded time whatever storage does.
 * @queue_call: run @fn on the thread that owns the queue, between two of its turns; return after it.
 * @queue_wake: look at the ring again, pop and publish (an IOTLB entry came, the queue was enabled).
 * @queue_replay: a queue that is started and does not run has chains in its inflight log, which it will
 *                replay when it runs; or has none, or is not started any more. @oldest: when the oldest
 *                was taken, on the clock of iol_ring_replay_oldest(); UINT64_MAX for none. A device that
 *                replays its queues in one order keeps all others from chains that are newer. It is
 *                told so after @start and before @queue_start, after @queue_stop, and before @stop; while the
 *                queue runs, its ring knows better. One whose ring can't start is told to have none. May be NULL.
 * @reset: the driver or front end reset the device; every queue is stopped already.
 * @gone: the front end has gone; every queue is stopped already. May be NULL.
 * @set_mtu: the front end set the MTU, 68 to 65535 (NET_SET_MTU); negative errno if refused. With the protocol
 *           feature MTU only.
 * @send_rarp: the guest with the address @mac came here by migration and cannot say so itself: announce
 *             it, by RARP frames for instance. May come more than once. With the protocol feature RARP only.
 */
struct iol_device_ops {
	int (*get_config)(void *ctx, void *config);
	int (*set_config)(void *ctx, uint32_t off, const void *data, uint32_t len);
	void (*features)(void *ctx, uint64_t features);
	int (*start)(void *ctx);
	void (*stop)(void *ctx);
	int (*queue_start)(void *ctx, struct iol_queue *q);
	void (*queue_stop)(void *ctx, struct iol_queue *q);
	void (*queue_call)(void *ctx, struct iol_queue *q, void (*fn)(void *arg), void *arg);
	void (*queue_wake)(void *ctx, struct iol_queue *q);
	void (*queue_replay)(void *ctx, struct iol_queue *q, uint64_t oldest);
	void (*reset)(void *ctx);
	void (*gone)(void *ctx);
	int (*set_mtu)(void *ctx, uint64_t mtu);
	void (*send_rarp)(void *ctx, const uint8_t mac[6]);
};

/* Bits of the protocol's features that a device type chooses (struct iol_device_spec). */
#define IOL_PROTOCOL_RARP           (1ull << 2)
#define IOL_PROTOCOL_MTU            (1ull << 4)
#define IOL_PROTOCOL_INFLIGHT_SHMFD (1ull << 12)

/**
 * struct iol_device_spec - What a new device is.
 * @name: for the log; copied.
 * @num_queues: 1 to IOL_QUEUES_MAX.
 * @features: virtio feature bits of the device type. The core adds what it does itself: VERSION_1,
 *            RING_PACKED, EVENT_IDX, INDIRECT_DESC, RING_RESET, ACCESS_PLATFORM, VHOST_F_LOG_ALL
 *            and the protocol features bit. VIRTIO_F_IN_ORDER is for types that push in the order of their pops.
 * @protocol_add: protocol features that only some types have: IOL_PROTOCOL_RARP, IOL_PROTOCOL_MTU.
 * @protocol_drop: those of the core that this type is better off without: IOL_PROTOCOL_INFLIGHT_SHMFD.
 * @resume_at_used: queues push every chain in the order of the pops. So where no inflight log is kept, a ring
 *                  goes on after its last used chain, whatever base the front end tells: after a
 *                  crash of the back end it cannot know, and chains that were taken are taken again.
 * @ops, @ctx: the device's own part.
 */
struct iol_device_spec {
	const char *name;
	unsigned int num_queues;
	uint64_t features;
	uint64_t protocol_add, protocol_drop;
	bool resume_at_used;
	const struct iol_device_ops *ops;
	void *ctx;
};

/**
 * iol_device_new() - Make a device, not served yet.
 * Return: 0 and *@dev, or -EINVAL, -ENOMEM, -EMFILE.
 */
int iol_device_new(const struct iol_device_spec *spec, struct iol_device **dev);

/** iol_device_destroy() - Free a device; its server must be gone. Nulls *@dev; NULL is fine. */
void iol_device_destroy(struct iol_device **dev);

/**
 * iol_device_config_changed() - Tell the guest that the config space changed (any thread).
 *
 * Return: 0 when the front end will be told; -ENOTCONN when none is connected;
 * -EOPNOTSUPP when it cannot be told, as it did not negotiate BACKEND_REQ and CONFIG.
 */
int iol_device_config_changed(struct iol_device *dev);

/**
 * iol_device_note() - Eight bytes that outlive this process: they lie beside the inflight log, which the
 * front end keeps and hands to the back end's next process. For what a device type must know then
 * and its front end won't say again. In ops of a device only. The front end can write them too.
 *
 * Return: NULL without inflight log, or where the front end's buffer has no room; 0 lies there at first.
 */
uint64_t *iol_device_note(struct iol_device *dev);

/**
 * iol_device_ending() - Whether the device's server is being destroyed, so that an op which waits for
 * something had better give up (any thread). False for NULL.
 */
bool iol_device_ending(const struct iol_device *dev);

/* ---- servers ---- */

/**
 * struct iol_server_spec - Where a device is served.
 * @path: Unix socket path, or NULL when @fd is given. Copied.
 * @fd: a connected or listening Unix socket, owned by the server from the call on; -1 for none.
 * @client: connect to @path, again and again with a growing pause, in place of listening on it.
 * @mode: permission bits of a listening socket, such as 0660; 0 for what umask says.
 */
struct iol_server_spec {
	const char *path;
	int fd;
	bool client;
	unsigned int mode;
};

/**
 * iol_server_new() - Bind the socket (or check that it can be connected to later) and start the
 * device's control thread. One front end at a time; the next is accepted when it has gone.
 *
 * Return: 0 and *@server, or a negative errno with the sentence set: -EADDRINUSE when a live
 * process has the path (a stale socket is replaced), -ENAMETOOLONG, -EACCES, -ENOTSOCK, …
 */
int iol_server_new(struct iol_device *dev, const struct iol_server_spec *spec,
		   struct iol_server **server);

/**
 * iol_server_destroy() - End the connection, stop every queue, remove the socket, end the thread.
 * Nulls *@server; NULL is fine.
 */
void iol_server_destroy(struct iol_server **server);

/** iol_server_connected() - Whether a front end is connected (any thread). */
bool iol_server_connected(const struct iol_server *server);

/**
 * iol_server_finished() - Whether the control thread has ended for good: a connected @fd was
 * closed by its front end and nothing can come again (any thread).
 */
bool iol_server_finished(const struct iol_server *server);

/**
 * iol_sigbus_install() - Survive a front end that truncates the memory it shared: a SIGBUS inside
 * guest memory of this library's maps a zero page there and ends that connection; any other goes
 * to the handler that was installed before. For programs; a library that embeds iolane may
 * call iol_sigbus_handle() from a handler of its own.
 */
int iol_sigbus_install(void);

/**
 * iol_sigbus_handle() - Handle a fault at @addr (siginfo's si_addr). Async-signal-safe.
 * Return: true when it was ours and the access may be tried again.
 */
bool iol_sigbus_handle(void *addr);

#ifdef __cplusplus
}
#endif
#endif
