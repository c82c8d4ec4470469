/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vhost-user front end: the VMM's side. It connects to a back end (or lets one connect), shares
 * guest memory with it, negotiates, starts and stops queues, and remembers all of it, so that a back
 * end that went away can be connected to again and find everything as it was.
 *
 * One thread at a time uses a front end. A queue's data path (the rings, its eventfds) is
 * the guest's and needs no front end call.
 *
 * The back end is not trusted: every reply is checked, every wait is bounded. After -EPROTO,
 * -ETIMEDOUT or -ENOTCONN the connection is closed, and iol_frontend_reconnect() is what is left.
 * -EREMOTEIO means that the back end refused a request (REPLY_ACK); the connection goes on.
 *
 * Specification: "Vhost-user Protocol" (QEMU, docs/interop/vhost-user.rst).
 */
#ifndef IOLANE_VMM_FRONTEND_H
#define IOLANE_VMM_FRONTEND_H

#include <iolane/vmm_memory.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- connection ---- */

struct iol_frontend;

/**
 * struct iol_frontend_ops - What a back end tells of itself; each may be NULL. They run inside the
 * front end's functions, on the caller's thread, and may call none of them.
 * @config_changed: the config space changed: read it again, interrupt the guest.
 * @failed: queue @queue ended in an error (its err eventfd was written, or VRING_ERR came).
 */
struct iol_frontend_ops {
	void (*config_changed)(void *ctx);
	void (*failed)(void *ctx, unsigned int queue);
};

/**
 * struct iol_frontend_spec - Where the back end is.
 * @path: of its socket, or NULL when @fd is given. Copied.
 * @fd: a connected Unix socket, owned by the front end from the call on, whatever it returns; -1
 *      for none.
 * @listen: listen on @path for a back end that connects by itself (--client), in place of connecting.
 * @timeout_ms: the longest to wait for the back end to be there, and for any reply; 0 for 10 s.
 * @protocol_features_off: protocol features not to negotiate though both sides know them.
 * @pairs: it is a network device, whose queues come in pairs.
 */
struct iol_frontend_spec {
	const char *path;
	int fd;
	bool listen;
	unsigned int timeout_ms;
	uint64_t protocol_features_off;
	bool pairs;
	const struct iol_frontend_ops *ops;
	void *ctx;
};

/**
 * iol_frontend_new() - Connect, waiting for the socket to be there.
 * Return: 0 and *@fe, or a negative errno with the sentence set: -ETIMEDOUT when nobody listens
 * (or, with @listen, nobody comes) in time.
 */
int iol_frontend_new(const struct iol_frontend_spec *spec, struct iol_frontend **fe);

/** iol_frontend_destroy() - Close the connection and free. Nulls *@fe; NULL is fine. */
void iol_frontend_destroy(struct iol_frontend **fe);

/** iol_frontend_connected() - Whether the connection stands, as far as the last call saw. */
bool iol_frontend_connected(const struct iol_frontend *fe);

/**
 * iol_frontend_negotiate() - Become owner and agree on features: SET_OWNER, GET_FEATURES, the
 * protocol features, SET_BACKEND_REQ_FD, GET_QUEUE_NUM (and a NIC's GET_CONFIG), GET_MAX_MEM_SLOTS, SET_FEATURES.
 * @want: virtio features to take where they are offered.
 * @need: those without which nothing works; -ENOTSUP, and a sentence naming one, when not offered.
 */
int iol_frontend_negotiate(struct iol_frontend *fe, uint64_t want, uint64_t need);

/**
 * iol_frontend_set_features() - Agree on others, while no queue runs: those of @features that iol_frontend_negotiate() agreed on.
 * Without a connection they hold from the next on. A back end that is connected to later must offer all of the first ones.
 */
int iol_frontend_set_features(struct iol_frontend *fe, uint64_t features);

/** iol_frontend_features() - The virtio features agreed on. */
uint64_t iol_frontend_features(const struct iol_frontend *fe);

/** iol_frontend_protocol_features() - The vhost-user protocol features agreed on. */
uint64_t iol_frontend_protocol_features(const struct iol_frontend *fe);

/** iol_frontend_queues_max() - Queues that the back end has; 1, or a pair, when it can't say. */
unsigned int iol_frontend_queues_max(const struct iol_frontend *fe);

/** iol_frontend_slots_max() - Memory regions that the back end takes. */
unsigned int iol_frontend_slots_max(const struct iol_frontend *fe);

/**
 * iol_frontend_reconnect() - Connect again and bring the back end to where the last one was:
 * features, memory, inflight buffer, dirty log, MTU, queues that were started. Chains that the dead one
 * took come back through inflight tracking, if it was asked for.
 *
 * A queue is started from where its used ring is (split), or from its last known base (packed), which back ends that
 * work in order need not believe.
 */
int iol_frontend_reconnect(struct iol_frontend *fe);

/**
 * iol_frontend_fd() - The socket, for the raw truth: readable means that the connection ended (or that
 * the back end speaks out of turn). -1 when there is none.
 */
int iol_frontend_fd(const struct iol_frontend *fe);

/* ---- what the back end serves ---- */

/**
 * iol_frontend_set_memory() - Bring the back end's view of memory up to @mem as it is now: the whole
 * table the first time (or without CONFIGURE_MEM_SLOTS), else ADD_MEM_REG and REM_MEM_REG for what
 * changed.
 * @mem: kept by reference for reconnection; must outlive the front end.
 */
int iol_frontend_set_memory(struct iol_frontend *fe, const struct iol_guest_memory *mem);

/**
 * Reaches guest memory for a back end, instead of iol_frontend_set_memory(): iol_guest_memory_attach(mem, &iol_frontend_memory, fe),
 * once features are agreed on. A back end that is gone is told of what it missed when it is connected to again; one that does not
 * let go of a region is disconnected. Detach it when no queue runs, and before the front end is destroyed.
 */
extern const struct iol_memory_user_ops iol_frontend_memory;

/**
 * struct iol_frontend_queue - A virtqueue to start.
 * @size: descriptors.
 * @base: as SET_VRING_BASE: 0 for a new split ring, 0x80008000 for a new packed one.
 * @desc, @avail, @used: guest physical addresses; IOVAs with VIRTIO_F_ACCESS_PLATFORM.
 * @kick, @call, @err: eventfds, or -1: no kicks (the back end polls), no calls, no errors told.
 *                     They stay the caller's and must outlive the queue.
 */
struct iol_frontend_queue {
	uint16_t size;
	uint32_t base;
	uint64_t desc, avail, used;
	int kick, call, err;
};

/** iol_frontend_queue_start() - Set up queue @index, start and enable it. */
int iol_frontend_queue_start(struct iol_frontend *fe, unsigned int index,
			     const struct iol_frontend_queue *queue);

/** iol_frontend_queue_enable() - SET_VRING_ENABLE. -ENOTSUP without protocol features. */
int iol_frontend_queue_enable(struct iol_frontend *fe, unsigned int index, bool enable);

/**
 * iol_frontend_queue_stop() - GET_VRING_BASE: when it returns, the back end neither reads nor writes
 * guest memory for this queue.
 * @base: NULL, or where to start it again.
 */
int iol_frontend_queue_stop(struct iol_frontend *fe, unsigned int index, uint32_t *base);

/** iol_frontend_suspend() - Stop every started queue. iol_frontend_resume() starts them again. */
int iol_frontend_suspend(struct iol_frontend *fe);
int iol_frontend_resume(struct iol_frontend *fe);

/**
 * iol_frontend_get_config() - Read [@off, @off + @len) of the device's config space.
 * Return: 0; -ENOTSUP without CONFIG; -EREMOTEIO when the back end refused.
 */
int iol_frontend_get_config(struct iol_frontend *fe, uint32_t off, void *data, uint32_t len);

/** iol_frontend_set_config() - Write to it, as the guest does. */
int iol_frontend_set_config(struct iol_frontend *fe, uint32_t off, const void *data, uint32_t len);

/** iol_frontend_set_status() - SET_STATUS (virtio 1.3, 2.1). -ENOTSUP without STATUS. */
int iol_frontend_set_status(struct iol_frontend *fe, uint8_t status);
int iol_frontend_get_status(struct iol_frontend *fe, uint8_t *status);

/**
 * iol_frontend_set_mtu() - Tell a network device the MTU of its link (NET_SET_MTU).
 * Return: 0; -ENOTSUP without the protocol feature MTU; -EREMOTEIO when the back end refused.
 */
int iol_frontend_set_mtu(struct iol_frontend *fe, uint16_t mtu);

/**
 * iol_frontend_send_rarp() - Have a network device announce a guest that came by migration (SEND_RARP).
 * Return: as for iol_frontend_set_mtu(), with the protocol feature RARP.
 */
int iol_frontend_send_rarp(struct iol_frontend *fe, const uint8_t mac[6]);

/**
 * iol_frontend_reset() - Stop every queue and reset the device (RESET_DEVICE, or status 0 where that
 * is all there is).
 */
int iol_frontend_reset(struct iol_frontend *fe);

/* ---- what survives a back end, and a host ---- */

/**
 * iol_frontend_track_inflight() - Have the back end write down which chains it took, in memory that
 * the front end keeps (GET_INFLIGHT_FD, SET_INFLIGHT_FD). Before the first queue starts.
 * Return: 0; -ENOTSUP without INFLIGHT_SHMFD.
 */
int iol_frontend_track_inflight(struct iol_frontend *fe, unsigned int num_queues,
				uint16_t queue_size);

/**
 * iol_frontend_log_start() - Keep a dirty log: SET_LOG_BASE, VHOST_F_LOG_ALL, and the used rings of
 * started queues. Needs memory to be set. -ENOTSUP when the back end can't.
 */
int iol_frontend_log_start(struct iol_frontend *fe);
int iol_frontend_log_stop(struct iol_frontend *fe);

/**
 * iol_frontend_log_take() - Whether the 4 KiB page at @gpa was written since this was last asked.
 * Return: 1, 0, or -ENOENT when there is no log or the page is past it.
 */
int iol_frontend_log_take(struct iol_frontend *fe, uint64_t gpa);

/**
 * iol_frontend_transfer() - Have the back end save state of its own, or load what another saved (SET_DEVICE_STATE_FD), while
 * no queue runs. include/iolane/vmm_migration.h does it for a whole device.
 * @fd: where it is read until its end, or written and then closed; the caller's.
 *
 * Return: 0; -ENOTSUP without DEVICE_STATE: it has none; -EBUSY: a queue runs; -EREMOTEIO: the back end refused.
 */
int iol_frontend_transfer(struct iol_frontend *fe, bool load, int *fd);

/** iol_frontend_transferred() - At the end: whether the back end has got it across (CHECK_DEVICE_STATE). -EREMOTEIO: no. */
int iol_frontend_transferred(struct iol_frontend *fe);

/* ---- the virtual IOMMU ---- */

#define IOL_IOMMU_READ  1u
#define IOL_IOMMU_WRITE 2u

/**
 * iol_frontend_iommu_map() - From now on a miss of the back end in [@iova, @iova + @size) is answered
 * with @gpa and what follows it. Nothing is sent before a miss. -EEXIST when it overlaps another.
 */
int iol_frontend_iommu_map(struct iol_frontend *fe, uint64_t iova, uint64_t size, uint64_t gpa,
			   unsigned int perm);

/** iol_frontend_iommu_push() - Tell the back end of a mapping before it asks. -ENOENT */
int iol_frontend_iommu_push(struct iol_frontend *fe, uint64_t iova);

/**
 * iol_frontend_iommu_unmap() - Forget the mapping that starts at @iova, and have the back end forget
 * it: when it returns (with REPLY_ACK), no new access uses it. -ENOENT
 */
int iol_frontend_iommu_unmap(struct iol_frontend *fe, uint64_t iova);

/** iol_frontend_iommu_misses() - Misses that were answered, and those that no mapping covered. */
void iol_frontend_iommu_misses(const struct iol_frontend *fe, uint64_t *answered,
			       uint64_t *unknown);

/* ---- the back end's own requests ---- */

/**
 * iol_frontend_poll() - Answer what the back end asks (IOTLB misses, CONFIG_CHANGE, VRING_ERR) and
 * notice errors of queues and the end of the connection.
 * @timeout_ms: wait so long for the first; 0 to look only; -1 for ever. Waiting for a
 *              reply in any other function does the same meanwhile.
 *
 * Return: the number of requests and errors handled, or -ENOTCONN when the connection ended.
 */
int iol_frontend_poll(struct iol_frontend *fe, int timeout_ms);

#ifdef __cplusplus
}
#endif
#endif
