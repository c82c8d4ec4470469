/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/device.h"

#include "base/error.h"
#include "base/own.h"
#include "vhost-user/sigbus.h"
#include "vhost-user/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CORE_FEATURES                                                                              \
	(IOL_BIT(VIRTIO_F_VERSION_1) | IOL_BIT(VIRTIO_F_RING_PACKED) |                             \
	 IOL_BIT(VIRTIO_RING_F_EVENT_IDX) | IOL_BIT(VIRTIO_RING_F_INDIRECT_DESC) |                 \
	 IOL_BIT(VIRTIO_F_RING_RESET) | IOL_BIT(VIRTIO_F_ACCESS_PLATFORM) |                        \
	 IOL_BIT(VHOST_F_LOG_ALL) | IOL_BIT(VHOST_USER_F_PROTOCOL_FEATURES))

#define PROTOCOL_FEATURES                                                                          \
	(IOL_BIT(VHOST_USER_PROTOCOL_F_MQ) | IOL_BIT(VHOST_USER_PROTOCOL_F_LOG_SHMFD) |            \
	 IOL_BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) | IOL_BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) |   \
	 IOL_BIT(VHOST_USER_PROTOCOL_F_CONFIG) | IOL_BIT(VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD) |  \
	 IOL_BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) |                                           \
	 IOL_BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE) |                                             \
	 IOL_BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) |                                      \
	 IOL_BIT(VHOST_USER_PROTOCOL_F_STATUS))

/* What a device type may choose. */
#define PROTOCOL_MAY_ADD  (IOL_BIT(VHOST_USER_PROTOCOL_F_RARP) | IOL_BIT(VHOST_USER_PROTOCOL_F_MTU))
#define PROTOCOL_MAY_DROP IOL_BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD)

_Static_assert(IOL_PROTOCOL_RARP == IOL_BIT(VHOST_USER_PROTOCOL_F_RARP) &&
		       IOL_PROTOCOL_MTU == IOL_BIT(VHOST_USER_PROTOCOL_F_MTU) &&
		       IOL_PROTOCOL_INFLIGHT_SHMFD == IOL_BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD),
	       "the public bits are the protocol's");

static int check_protocol(const struct iol_device_spec *spec)
{
	uint64_t strange = (spec->protocol_add & ~PROTOCOL_MAY_ADD) |
			   (spec->protocol_drop & ~PROTOCOL_MAY_DROP);

	if (strange)
		return iol_fail(EINVAL,
				"%s: the protocol features 0x%llx are not a device type's choice",
				spec->name, (unsigned long long)strange);
	return 0;
}

int iol_device_new(const struct iol_device_spec *spec, struct iol_device **out)
{
	struct iol_device *dev;
	unsigned int i;
	int rc;

	if (!spec->num_queues || spec->num_queues > IOL_QUEUES_MAX)
		return iol_fail(EINVAL, "%s: a device has 1 to %u queues, not %u", spec->name,
				IOL_QUEUES_MAX, spec->num_queues);
	rc = check_protocol(spec);
	if (rc)
		return rc;
	dev = calloc(1, sizeof(*dev) + spec->num_queues * sizeof(dev->queue[0]));
	if (!dev)
		return iol_fail(ENOMEM, "no memory for a device");
	pthread_mutex_init(&dev->lock, NULL);
	dev->ops = spec->ops;
	dev->ctx = spec->ctx;
	dev->type_features = spec->features | CORE_FEATURES;
	dev->protocol_features = (PROTOCOL_FEATURES | spec->protocol_add) & ~spec->protocol_drop;
	dev->resume_at_used = spec->resume_at_used;
	dev->backend_fd = -1;
	dev->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (dev->wake < 0) {
		rc = iol_fail(errno, "%s: cannot make an eventfd: %s", spec->name, strerror(errno));
		goto fail;
	}
	dev->name = strdup(spec->name);
	if (!dev->name) {
		rc = iol_fail(ENOMEM, "no memory for a device");
		goto fail;
	}
	rc = iol_mem_new(NULL, NULL, 0, dev->wake, &dev->broken, &dev->no_mem);
	if (rc)
		goto fail;
	dev->mem = iol_mem_ref(dev->no_mem);
	rc = iol_iotlb_new(dev->wake, &dev->iotlb);
	if (rc)
		goto fail;
	for (i = 0; i < spec->num_queues; i++) {
		rc = iol_queue_init(&dev->queue[i], dev, i);
		if (rc)
			goto fail;
		dev->num_queues++;
	}
	*out = dev;
	return 0;
fail:
	iol_device_destroy(&dev);
	return rc;
}

void iol_device_destroy(struct iol_device **pdev)
{
	struct iol_device *dev = *pdev;
	unsigned int i;

	*pdev = NULL;
	if (!dev)
		return;
	for (i = 0; i < dev->num_queues; i++)
		iol_queue_fini(&dev->queue[i]);
	iol_iotlb_destroy(&dev->iotlb);
	iol_mem_unref(&dev->mem);
	iol_mem_unref(&dev->no_mem);
	iol_sigbus_disown(&dev->broken);
	iol_close(&dev->wake);
	pthread_mutex_destroy(&dev->lock);
	free(dev->name);
	free(dev);
}

uint64_t iol_device_offer(const struct iol_device *dev)
{
	uint64_t features = dev->type_features;

	/*
	 * An IOMMU's misses need a channel to the front end. It asks for features before and after
	 * it has said whether there will be one; only the second answer can know.
	 */
	if (dev->has_protocol && !iol_device_has_protocol(dev, VHOST_USER_PROTOCOL_F_BACKEND_REQ))
		features &= ~IOL_BIT(VIRTIO_F_ACCESS_PLATFORM);
	return features;
}

void iol_device_update_notify(struct iol_device *dev)
{
	pthread_mutex_lock(&dev->lock);
	dev->can_notify = dev->backend_fd >= 0 &&
			  iol_device_has_protocol(dev, VHOST_USER_PROTOCOL_F_BACKEND_REQ) &&
			  iol_device_has_protocol(dev, VHOST_USER_PROTOCOL_F_CONFIG);
	pthread_mutex_unlock(&dev->lock);
}

void iol_device_set_backend_fd(struct iol_device *dev, int fd)
{
	iol_close(&dev->backend_fd);
	dev->backend_fd = fd;
	iol_device_update_notify(dev);
}

void iol_device_connect(struct iol_device *dev, pid_t peer)
{
	dev->peer = peer;
	pthread_mutex_lock(&dev->lock);
	dev->connected = true;
	pthread_mutex_unlock(&dev->lock);
}

static void forget_rings(struct iol_device *dev, bool told)
{
	unsigned int i;

	for (i = 0; i < dev->num_queues; i++)
		iol_queue_stop(&dev->queue[i], told);
	iol_device_settle(dev);
	for (i = 0; i < dev->num_queues; i++) {
		struct iol_queue *q = &dev->queue[i];

		memset(&q->spec, 0, sizeof(q->spec));
		q->has_addr = false;
		q->enable = IOL_ENABLE_UNSET;
	}
	iol_inflight_destroy(&dev->inflight);
	iol_iotlb_clear(dev->iotlb);
	dev->has_features = false;
	dev->features = 0;
	dev->status = 0;
}

/*
 * A front end that resets the device goes on with the memory it has told (QEMU sends later only what
 * changed) and the eventfds; rings, features and what they stand on come anew.
 */
void iol_device_reset(struct iol_device *dev)
{
	forget_rings(dev, true);
	if (dev->ops->reset)
		dev->ops->reset(dev->ctx);
}

void iol_device_disconnect(struct iol_device *dev)
{
	unsigned int i;

	pthread_mutex_lock(&dev->lock);
	dev->connected = false;
	pthread_mutex_unlock(&dev->lock);
	forget_rings(dev, false);
	/* Not before: whoever holds a ring may wait at an eventfd. */
	iol_watch_remove(dev);
	for (i = 0; i < dev->num_queues; i++) {
		iol_close(&dev->queue[i].kick);
		iol_close(&dev->queue[i].call);
		iol_close(&dev->queue[i].err);
	}
	iol_dirty_destroy(&dev->dirty);
	iol_mem_unref(&dev->mem);
	dev->mem = iol_mem_ref(dev->no_mem);
	dev->has_protocol = false;
	dev->protocol = 0;
	iol_device_set_backend_fd(dev, -1);
	__atomic_store_n(&dev->broken, false, __ATOMIC_RELEASE);
	__atomic_store_n(&dev->config_changed, false, __ATOMIC_RELEASE);
	if (dev->ops->gone)
		dev->ops->gone(dev->ctx);
}

uint64_t *iol_device_note(struct iol_device *dev)
{
	return dev && dev->inflight ? dev->inflight->note : NULL;
}

bool iol_device_ending(const struct iol_device *dev)
{
	return dev && __atomic_load_n(&dev->ending, __ATOMIC_RELAXED);
}

void iol_device_wake(const struct iol_device *dev)
{
	const uint64_t one = 1;

	/* The only failure, a full eventfd, means that it is readable already. */
	if (write(dev->wake, &one, sizeof(one)) < 0)
		return;
}

int iol_device_config_changed(struct iol_device *dev)
{
	int rc = 0;

	pthread_mutex_lock(&dev->lock);
	if (!dev->connected)
		rc = iol_fail(ENOTCONN, "%s: no front end is connected", dev->name);
	else if (!dev->can_notify)
		rc = iol_fail(EOPNOTSUPP,
			      "%s: the front end cannot be told about the change, as it did not "
			      "negotiate BACKEND_REQ and CONFIG; restart the guest",
			      dev->name);
	else
		__atomic_store_n(&dev->config_changed, true, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&dev->lock);
	if (!rc)
		iol_device_wake(dev);
	return rc;
}
