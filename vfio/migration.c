/* SPDX-License-Identifier: BSD-3-Clause */
/* Migration, version 2 of the interface (linux/vfio.h, VFIO_DEVICE_FEATURE_MIGRATION and _MIG_DEVICE_STATE). */
#include "vfio/feature.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/device.h"

#include <linux/vfio.h>
#include <string.h>
#include <sys/ioctl.h>

/* Debian 12's header is older than these. */
#define MIGRATION_PRE_COPY        (1u << 2)
#define FEATURE_MIG_DATA_SIZE     9u
#define VFIO_MIG_GET_PRECOPY_INFO _IO(VFIO_TYPE, VFIO_BASE + 21)

struct precopy_info {
	uint32_t argsz, flags;
	uint64_t initial, dirty;
};

static const char *const names[IOL_MIGRATION_STATES] = {
	"error",    "stop",        "running",  "stop-copy",
	"resuming", "running-p2p", "pre-copy", "pre-copy-p2p",
};

int iol_migration_info(const struct iol_vfio_device *dev, unsigned int *states)
{
	struct vfio_device_feature_migration info = { 0 };
	int rc = feature_call(dev, VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_MIGRATION, &info,
			      sizeof(info));
	bool p2p = info.flags & VFIO_MIGRATION_P2P, pre_copy = info.flags & MIGRATION_PRE_COPY;

	if (rc)
		return iol_fail(-rc, "%s can't migrate: %s", dev->name,
				rc == -ENOTTY ? "its driver does not know how" : strerror(-rc));
	if (!(info.flags & VFIO_MIGRATION_STOP_COPY))
		return iol_fail(EBADMSG, "%s can migrate without being stopped, which nobody can",
				dev->name);
	*states = 1u << IOL_MIGRATION_ERROR | 1u << IOL_MIGRATION_RUNNING |
		  1u << IOL_MIGRATION_STOP | 1u << IOL_MIGRATION_STOP_COPY |
		  1u << IOL_MIGRATION_RESUMING;
	if (p2p)
		*states |= 1u << IOL_MIGRATION_RUNNING_P2P;
	if (pre_copy)
		*states |= 1u << IOL_MIGRATION_PRE_COPY;
	if (p2p && pre_copy)
		*states |= 1u << IOL_MIGRATION_PRE_COPY_P2P;
	return 0;
}

int iol_migration_state(const struct iol_vfio_device *dev, enum iol_migration *state)
{
	struct vfio_device_feature_mig_state mig = { 0 };
	int rc = feature_call(dev, VFIO_DEVICE_FEATURE_GET, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
			      &mig, sizeof(mig));

	if (!rc && mig.device_state >= IOL_MIGRATION_STATES)
		rc = -EBADMSG;
	if (rc)
		return iol_fail(-rc, "cannot ask for the migration state of %s: %s", dev->name,
				strerror(-rc));
	*state = (enum iol_migration)mig.device_state;
	return 0;
}

int iol_migration_set(const struct iol_vfio_device *dev, enum iol_migration state, int *data)
{
	struct vfio_device_feature_mig_state mig = { .device_state = state, .data_fd = -1 };
	int rc;

	if ((unsigned int)state >= IOL_MIGRATION_STATES)
		return iol_fail(EINVAL, "there is no migration state %d", (int)state);
	rc = feature_call(dev, VFIO_DEVICE_FEATURE_SET, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &mig,
			  sizeof(mig));
	if (rc)
		return iol_fail(-rc, "cannot bring %s to the state %s: %s", dev->name, names[state],
				strerror(-rc));
	*data = mig.data_fd;
	return 0;
}

int iol_migration_left(const struct iol_vfio_device *dev, int data, struct iol_migration_left *left)
{
	struct precopy_info info = { .argsz = sizeof(info) };
	uint64_t stopped = UINT64_MAX;
	int rc = feature_call(dev, VFIO_DEVICE_FEATURE_GET, FEATURE_MIG_DATA_SIZE, &stopped,
			      sizeof(stopped));

	/* Kernels before 6.2 do not tell. */
	if (rc == -ENOTTY)
		rc = 0;
	if (!rc && data >= 0 && ioctl(data, VFIO_MIG_GET_PRECOPY_INFO, &info))
		rc = -errno;
	if (rc)
		return iol_fail(-rc, "cannot ask %s how much of its state is still to come: %s",
				dev->name, strerror(-rc));
	*left = (struct iol_migration_left){ info.initial, info.dirty, stopped };
	return 0;
}
