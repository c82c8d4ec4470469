/* SPDX-License-Identifier: BSD-3-Clause */
/* Capabilities of an open device. */
#include "base/error.h"
#include "vfio/config.h"
#include "vfio/device.h"

int iol_vfio_cap(const struct iol_vfio_device *dev, uint16_t id, bool extended)
{
	uint8_t config[CONFIG_EXT_SIZE];
	struct iol_vfio_region region;
	size_t len, at = 0;
	int rc = iol_vfio_region_info(dev, IOL_REGION_CONFIG, &region);

	if (rc)
		return rc;
	/* Each register is read from the device: no more of them than needed. */
	len = extended ? sizeof(config) : CONFIG_SIZE;
	len = region.size < len ? region.size : len;
	rc = iol_vfio_region_read(dev, IOL_REGION_CONFIG, 0, config, len);
	if (rc)
		return rc;
	if (extended)
		at = iol_config_ext_cap(config, len, id);
	else if (id <= UINT8_MAX)
		at = iol_config_cap(config, len, (uint8_t)id);
	if (!at)
		return iol_fail(ENOENT, "%s has no capability 0x%02x%s", dev->name, id,
				extended ? " (extended)" : "");
	return (int)at;
}
