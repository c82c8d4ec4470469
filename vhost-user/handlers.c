/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages about the device as a whole: features, status, configuration, the back end's channel. */
#include "base/error.h"
#include "vhost-user/session.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>

static int answer_u64(struct iol_msg *msg, uint64_t value)
{
	msg->payload.u64 = value;
	msg->hdr.size = sizeof(value);
	return 0;
}

int iol_on_get_features(struct iol_device *dev, struct iol_msg *msg)
{
	return answer_u64(msg, iol_device_offer(dev));
}

static void set_dirty(void *arg)
{
	struct iol_queue *q = arg;
	struct iol_device *dev = q->dev;

	iol_ring_set_dirty(q->ring, iol_device_has(dev, VHOST_F_LOG_ALL) ? dev->dirty : NULL);
}

/* All may change while the device is suspended, and the dirty log's switch at any time. */
int iol_on_set_features(struct iol_device *dev, struct iol_msg *msg)
{
	uint64_t features = msg->payload.u64;
	uint64_t strange = features & ~iol_device_offer(dev);
	uint64_t changed = (features ^ dev->features) & ~IOL_BIT(VHOST_F_LOG_ALL);
	unsigned int i;

	if (strange)
		return iol_fail(EINVAL, "the features 0x%" PRIx64 " were not offered", strange);
	for (i = 0; i < dev->num_queues; i++) {
		if (dev->queue[i].started && changed)
			return iol_fail(EBUSY,
					"the features 0x%" PRIx64
					" cannot change while queue %u is running",
					changed, i);
	}
	dev->features = features;
	dev->has_features = true;
	for (i = 0; i < dev->num_queues; i++) {
		if (dev->queue[i].running)
			iol_queue_on_owner(&dev->queue[i], set_dirty, &dev->queue[i]);
	}
	if (dev->ops->features)
		dev->ops->features(dev->ctx, features);
	return 0;
}

/* It begins a session, as connecting did already. */
int iol_on_set_owner(struct iol_device *dev, struct iol_msg *msg)
{
	return 0;
}

/* Deprecated. Back ends are advised to disable the rings, and to leave all else alone. */
int iol_on_reset_owner(struct iol_device *dev, struct iol_msg *msg)
{
	unsigned int i;

	for (i = 0; i < dev->num_queues; i++) {
		dev->queue[i].enable = IOL_ENABLE_OFF;
		iol_queue_park(&dev->queue[i]);
	}
	return 0;
}

int iol_on_get_protocol_features(struct iol_device *dev, struct iol_msg *msg)
{
	return answer_u64(msg, dev->protocol_features);
}

int iol_on_set_protocol_features(struct iol_device *dev, struct iol_msg *msg)
{
	uint64_t strange = msg->payload.u64 & ~dev->protocol_features;
	unsigned int i;

	if (strange)
		return iol_fail(EINVAL, "the protocol features 0x%" PRIx64 " were not offered",
				strange);
	for (i = 0; i < dev->num_queues; i++) {
		if (dev->queue[i].started && msg->payload.u64 != dev->protocol)
			return iol_fail(EBUSY, "they cannot change while queue %u is running", i);
	}
	dev->protocol = msg->payload.u64;
	dev->has_protocol = true;
	iol_device_update_notify(dev);
	return 0;
}

/*
 * Queues of a NIC, too, and not pairs, as the specification says: Cloud Hypervisor counts so, and would refuse all NICs.
 * QEMU reads pairs (net/vhost-user.c), so that those beyond ours end its connection at SET_VRING_CALL.
 */
int iol_on_get_queue_num(struct iol_device *dev, struct iol_msg *msg)
{
	return answer_u64(msg, dev->num_queues);
}

int iol_on_set_backend_req_fd(struct iol_device *dev, struct iol_msg *msg)
{
	int type = 0;
	socklen_t len = sizeof(type);

	if (getsockopt(msg->fds[0], SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
		return iol_fail(EINVAL, "the descriptor is no stream socket");
	iol_device_set_backend_fd(dev, iol_msg_take_fd(msg));
	return 0;
}

/* The whole space, zeroed behind the device's own; its size or a negative errno. */
static int read_config(struct iol_device *dev, uint8_t config[IOL_CONFIG_SIZE_MAX])
{
	int rc;

	memset(config, 0, IOL_CONFIG_SIZE_MAX);
	if (!dev->ops->get_config)
		return iol_fail(EOPNOTSUPP, "the device has no configuration");
	rc = dev->ops->get_config(dev->ctx, config);
	return rc < 0 ? iol_fail_more(rc, "the device's configuration") : rc;
}

int iol_on_get_config(struct iol_device *dev, struct iol_msg *msg)
{
	struct vhost_user_config *c = &msg->payload.config;
	uint8_t config[IOL_CONFIG_SIZE_MAX];
	int rc;

	if ((uint64_t)c->offset + c->size > sizeof(config))
		return iol_fail(EINVAL, "%u bytes at %u are not in a configuration of %zu", c->size,
				c->offset, sizeof(config));
	rc = read_config(dev, config);
	if (rc < 0)
		return rc;
	memset(c->data, 0, sizeof(c->data));
	memcpy(c->data, config + c->offset, c->size);
	return 0;
}

/*
 * A migration's destination writes the whole space as the source had it: the device takes the
 * fields that may be written, and those that may not are its own image's affair.
 */
static int restore_config(struct iol_device *dev, const struct vhost_user_config *c,
			  const uint8_t *config)
{
	uint32_t i;

	for (i = 0; i < c->size; i++) {
		if (c->data[i] != config[c->offset + i] &&
		    dev->ops->set_config(dev->ctx, c->offset + i, &c->data[i], 1))
			iol_log(IOL_LOG_INFO, "%s: byte %u of the configuration stays %u, not %u",
				dev->name, c->offset + i, config[c->offset + i], c->data[i]);
	}
	return 0;
}

int iol_on_set_config(struct iol_device *dev, struct iol_msg *msg)
{
	const struct vhost_user_config *c = &msg->payload.config;
	uint8_t config[IOL_CONFIG_SIZE_MAX];
	int rc = read_config(dev, config);

	if (rc < 0)
		return rc;
	if (!c->size || (uint64_t)c->offset + c->size > (uint64_t)rc)
		return iol_fail(EINVAL, "%u bytes at %u are not in a configuration of %d", c->size,
				c->offset, rc);
	if (!dev->ops->set_config)
		return iol_fail(EOPNOTSUPP, "the device's configuration is read-only");
	switch (c->flags) {
	case VHOST_USER_CONFIG_WRITABLE:
		return dev->ops->set_config(dev->ctx, c->offset, c->data, c->size);
	case VHOST_USER_CONFIG_MIGRATION:
		return restore_config(dev, c, config);
	default:
		return iol_fail(EINVAL, "the flags 0x%x are unknown", c->flags);
	}
}

int iol_on_reset_device(struct iol_device *dev, struct iol_msg *msg)
{
	iol_device_reset(dev);
	return 0;
}

int iol_on_set_status(struct iol_device *dev, struct iol_msg *msg)
{
	if (msg->payload.u64 > UINT8_MAX)
		return iol_fail(EINVAL, "0x%" PRIx64 " is no device status", msg->payload.u64);
	if (!msg->payload.u64)
		iol_device_reset(dev);
	dev->status = (uint8_t)msg->payload.u64;
	return 0;
}

int iol_on_get_status(struct iol_device *dev, struct iol_msg *msg)
{
	return answer_u64(msg, dev->status);
}

/* No device here has state of its own, so that DEVICE_STATE is not offered, and neither of them gets as far as this. */
int iol_on_set_device_state_fd(struct iol_device *dev, struct iol_msg *msg)
{
	return iol_fail(EOPNOTSUPP, "the device has no state of its own");
}

int iol_on_check_device_state(struct iol_device *dev, struct iol_msg *msg)
{
	return iol_fail(EOPNOTSUPP, "the device has no state of its own");
}
