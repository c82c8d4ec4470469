/* SPDX-License-Identifier: BSD-3-Clause */
/* Small features: sleep, and the secret between a PF and its VFs. */
#include "vfio/feature.h"

#include "base/error.h"
#include "vfio/device.h"

#include <linux/vfio.h>
#include <string.h>
#include <sys/ioctl.h>

/* The largest structure of a feature here. */
#define DATA_MAX 64u

int feature_call(const struct iol_vfio_device *dev, uint32_t op, uint16_t feature, void *data,
		 size_t len)
{
	union {
		struct vfio_device_feature head;
		char bytes[sizeof(struct vfio_device_feature) + DATA_MAX];
	} call = { .head = { .argsz = (uint32_t)(sizeof(call.head) + len),
			     .flags = op | feature } };

	if (len > DATA_MAX)
		return -E2BIG;
	if (len)
		memcpy(call.bytes + sizeof(call.head), data, len);
	if (ioctl(dev->fd, VFIO_DEVICE_FEATURE, &call) < 0)
		return -errno;
	if (len)
		memcpy(data, call.bytes + sizeof(call.head), len);
	return 0;
}

bool iol_vfio_has(const struct iol_vfio_device *dev, uint16_t feature)
{
	return !feature_call(dev, VFIO_DEVICE_FEATURE_PROBE, feature, NULL, 0);
}

int iol_vfio_low_power(const struct iol_vfio_device *dev, int wakeup)
{
	struct vfio_device_low_power_entry_with_wakeup entry = { .wakeup_eventfd = wakeup };
	int rc;

	if (wakeup < 0)
		rc = feature_call(dev, VFIO_DEVICE_FEATURE_SET, VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
				  NULL, 0);
	else
		rc = feature_call(dev, VFIO_DEVICE_FEATURE_SET,
				  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, &entry,
				  sizeof(entry));
	if (rc)
		return iol_fail(-rc, "cannot let %s sleep: %s", dev->name, strerror(-rc));
	return 0;
}

int iol_vfio_wake(const struct iol_vfio_device *dev)
{
	int rc = feature_call(dev, VFIO_DEVICE_FEATURE_SET, VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
			      NULL, 0);

	if (rc)
		return iol_fail(-rc, "cannot wake %s: %s", dev->name, strerror(-rc));
	return 0;
}

int iol_vfio_vf_token(const struct iol_vfio_device *dev, const uint8_t token[16])
{
	uint8_t copy[16];
	int rc;

	memcpy(copy, token, sizeof(copy));
	rc = feature_call(dev, VFIO_DEVICE_FEATURE_SET, VFIO_DEVICE_FEATURE_PCI_VF_TOKEN, copy,
			  sizeof(copy));
	if (rc)
		return iol_fail(-rc, "cannot set the VF token of %s: %s%s", dev->name,
				strerror(-rc),
				rc == -ENOTTY ? " (it is no PF of VFIO's with VFs)" : "");
	return 0;
}
