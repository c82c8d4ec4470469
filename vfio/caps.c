/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio/caps.h"

#include "base/error.h"
#include "vfio/device.h"

#define STATUS          0x06u
#define STATUS_CAP_LIST 0x10u
#define CAP_POINTER     0x34u
#define EXTENDED_START  0x100u

static int find_plain(const uint8_t *config, size_t len, uint16_t id)
{
	/* Capabilities begin at multiples of 4 after the header: more steps than that go round. */
	unsigned int steps = (256 - 64) / 4;
	size_t at;

	if (len < 64 || !(config_u16(config, STATUS) & STATUS_CAP_LIST))
		return -ENOENT;
	for (at = config[CAP_POINTER] & ~3u; at; at = config[at + 1] & ~3u) {
		if (at < 64 || at + 4 > len || !steps--)
			return -EBADMSG;
		if (config[at] == id)
			return (int)at;
	}
	return -ENOENT;
}

static int find_extended(const uint8_t *config, size_t len, uint16_t id)
{
	unsigned int steps = (CONFIG_MAX - EXTENDED_START) / 4;
	size_t at = EXTENDED_START;

	if (len <= EXTENDED_START)
		return -ENOENT;
	while (at) {
		uint32_t head;

		if (at < EXTENDED_START || at + 4 > len || !steps--)
			return -EBADMSG;
		head = config_u32(config, at);
		/* No list at all; or what a device answers that has gone. */
		if (!head || head == UINT32_MAX)
			return -ENOENT;
		if ((head & 0xffff) == id)
			return (int)at;
		at = head >> 20 & ~3u;
	}
	return -ENOENT;
}

int caps_find(const uint8_t *config, size_t len, uint16_t id, bool extended)
{
	return extended ? find_extended(config, len, id) : find_plain(config, len, id);
}

int iol_device_cap(const struct iol_device *dev, uint16_t id, bool extended)
{
	uint8_t config[CONFIG_MAX];
	struct iol_region region;
	size_t len;
	int rc = iol_region_info(dev, IOL_REGION_CONFIG, &region);

	if (rc)
		return rc;
	len = region.size < sizeof(config) ? region.size : sizeof(config);
	rc = iol_region_read(dev, IOL_REGION_CONFIG, 0, config, len);
	if (rc)
		return rc;
	rc = caps_find(config, len, id, extended);
	if (rc == -ENOENT)
		return iol_fail(ENOENT, "%s has no capability 0x%02x%s", dev->name, id,
				extended ? " (extended)" : "");
	if (rc < 0)
		return iol_fail(-rc, "the list of capabilities of %s is broken", dev->name);
	return rc;
}
