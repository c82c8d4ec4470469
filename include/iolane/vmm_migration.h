/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a live migration needs of devices, besides memory and its dirty log (vmm_memory.h): a device's own state as a stream of
 * bytes, whatever kind of device it is; and, for a VF that has no such stream, the failover pair.
 *
 * Bytes are carried by the VMM, in its own format. What is loaded is not trusted: a stream of another kind of device is refused
 * before the device is touched, and one that was cut short is never taken for whole.
 *
 * A stream or a pair is used by one thread at a time. Functions return 0 or a count, or a negative errno with the sentence set.
 */
#ifndef IOLANE_VMM_MIGRATION_H
#define IOLANE_VMM_MIGRATION_H

#include <iolane/vfio.h>
#include <iolane/vmm_frontend.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- a device's state ---- */

struct iol_device_state;

/**
 * struct iol_device_state_spec - The device, which must outlive the stream.
 * @vfio: one of VFIO's, such as iol_passthrough_device().
 * @frontend: or a vhost-user back end. Neither, or a back end without DEVICE_STATE, is a device without state of its own: its stream
 *            is a few bytes that say so.
 * @id: which device it is, in the VMM's own numbers: a stream of another is refused. Of a PCI device its vendor and device ID are
 *      compared besides.
 */
struct iol_device_state_spec {
	struct iol_vfio_device *vfio;
	struct iol_frontend *frontend;
	uint32_t id;
};

/** The least room that iol_device_state_read() must be given. */
#define IOL_DEVICE_STATE_ROOM 64u

/**
 * iol_device_save() - Begin to save.
 *
 * A device with PRE_COPY runs on and can be read at once, so that less is left once it is stopped. A device whose peers
 * reach it by DMA is first brought to PRE_COPY_P2P, or RUNNING_P2P, by iol_migration_set(), together with them.
 */
int iol_device_save(const struct iol_device_state_spec *spec, struct iol_device_state **st);

/**
 * iol_device_state_stop() - The guest stands still: stop the device, and save the rest. Queues of a back end must have been stopped
 * (iol_frontend_suspend()).
 */
int iol_device_state_stop(struct iol_device_state *st);

/**
 * iol_device_state_read() - The next piece.
 * @len: of @buf, in bytes: at least IOL_DEVICE_STATE_ROOM.
 *
 * Return: how many bytes came; 0: no more as yet, or, once the device was stopped, ever; -ETIMEDOUT: a back end has none to give
 * for too long; others from the device. After an error there is only iol_device_state_end().
 */
ssize_t iol_device_state_read(struct iol_device_state *st, void *buf, size_t len);

/**
 * iol_device_state_left() - How much is still to come, as far as the device tells (iol_migration_left()). Zeroes and a @stopped of
 * UINT64_MAX from a back end, which doesn't.
 */
int iol_device_state_left(struct iol_device_state *st, struct iol_migration_left *left);

/** iol_device_load() - Begin to load into a device that is as good as new. It isn't touched before the stream is seen to be its. */
int iol_device_load(const struct iol_device_state_spec *spec, struct iol_device_state **st);

/**
 * iol_device_state_write() - The next piece, of any size, as it was read. A program that loads into back ends ignores SIGPIPE, as they
 * may end.
 *
 * Return: 0; -EBADMSG: it is no such stream, or of another device; others from the device. After an error there is only
 * iol_device_state_end().
 */
int iol_device_state_write(struct iol_device_state *st, const void *buf, size_t len);

/**
 * iol_device_state_end() - The end of a stream. Nulls *@st; NULL is fine.
 * @done: it came to its end, and, for one that was saved, has arrived: a device of VFIO's is then stopped (IOL_MIGRATION_STOP), one
 *        that was loaded runs. Otherwise, or if it fails, all is as before: the device that was saved runs again, the
 *        one that was loaded is reset. A back end goes on by iol_frontend_resume(); one that was
 *        given half a state is to be reset or restarted.
 *
 * Return: 0; -EBADMSG: it is @done, but not complete; others from the device, or when it can't go back, and the sentence then
 * says what it is in.
 */
int iol_device_state_end(struct iol_device_state **st, bool done);

/* ---- the failover pair ---- */

/**
 * struct iol_failover_ops - What the VMM does for a pair. All get the same @ctx.
 * @stands_by: the guest's driver has the standby with VIRTIO_NET_F_STANDBY (iol_virtio_stands_by()).
 * @plug: give the guest the VF.
 * @ask: ask the guest to let go of it.
 * @wait: wait until it has: 0; -ETIMEDOUT after @ms. With 0 it only looks.
 * @cancel: take the request back. 0; -EALREADY: the guest has let go meanwhile; others: it can't be taken back. May be NULL: it never can.
 * @unplug: take the VF, of which the guest let go, away.
 */
struct iol_failover_ops {
	bool (*stands_by)(void *ctx);
	int (*plug)(void *ctx);
	int (*ask)(void *ctx);
	int (*wait)(void *ctx, unsigned int ms);
	int (*cancel)(void *ctx);
	void (*unplug)(void *ctx);
};

/** enum iol_failover_state - ALONE: the guest has the standby only. LEAVING: it was asked for the VF, and has not let go yet. */
enum iol_failover_state {
	IOL_FAILOVER_ALONE,
	IOL_FAILOVER_PAIRED,
	IOL_FAILOVER_LEAVING,
};

/**
 * struct iol_failover - A virtio-net standby and the VF before it, with one MAC address (virtio 1.3, 5.1.3.1): the guest sends through the
 * VF while it has it. Set up by the VMM, ALONE at first: where the guest starts, and where it arrives.
 * @timeout_ms: for which a guest is waited for.
 */
struct iol_failover {
	const struct iol_failover_ops *ops;
	void *ctx;
	unsigned int timeout_ms;
	enum iol_failover_state state;
};

/**
 * iol_failover_plug() - Give the guest the VF: at the start, after it arrived, and after it failed to leave.
 *
 * Return: 0, also if it has it; -EAGAIN: its driver does not have the standby as yet, or not as one: without it the guest would see two
 * NICs; -EBUSY: it was asked for the VF, and may let go of it any time; others from the VMM. The guest then goes on with the standby.
 */
int iol_failover_plug(struct iol_failover *fo);

/**
 * iol_failover_unplug() - Take the VF away, before the guest is migrated. While it is LEAVING this waits once more.
 *
 * Return: 0, also if it is ALONE; -EAGAIN: there is no standby to go on with; -ETIMEDOUT: it does not let go: it is PAIRED, as the request
 * was taken back, or LEAVING; others from the VMM.
 */
int iol_failover_unplug(struct iol_failover *fo);

/**
 * iol_failover_migrate() - iol_failover_unplug(), then @migrate, and if that fails the VF is given back.
 * Return: 0, or what failed; the sentence says so if the VF could not be given back.
 */
int iol_failover_migrate(struct iol_failover *fo, int (*migrate)(void *ctx));

#ifdef __cplusplus
}
#endif
#endif
