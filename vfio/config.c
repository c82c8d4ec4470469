/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio/config.h"

#include <stdbool.h>

#define REG_STATUS   0x06
#define REG_CAP_LIST 0x34

#define STATUS_CAP_LIST 0x10u

/* As many capabilities as fit; lists that are longer go in circles. */
#define CAPS_MAX     ((CONFIG_SIZE - CONFIG_HEADER) / 4)
#define EXT_CAPS_MAX ((CONFIG_EXT_SIZE - CONFIG_SIZE) / 8)

uint8_t iol_config_u8(const uint8_t *config, size_t len, size_t at)
{
	return at < len ? config[at] : UINT8_MAX;
}

uint16_t iol_config_u16(const uint8_t *config, size_t len, size_t at)
{
	return (uint16_t)(iol_config_u8(config, len, at) | iol_config_u8(config, len, at + 1) << 8);
}

uint32_t iol_config_u32(const uint8_t *config, size_t len, size_t at)
{
	return iol_config_u16(config, len, at) | (uint32_t)iol_config_u16(config, len, at + 2)
							 << 16;
}

size_t iol_config_cap(const uint8_t *config, size_t len, uint8_t id)
{
	unsigned int left;
	size_t at;

	if (len < CONFIG_HEADER || !(iol_config_u16(config, len, REG_STATUS) & STATUS_CAP_LIST))
		return 0;
	if (len > CONFIG_SIZE)
		len = CONFIG_SIZE;
	at = iol_config_u8(config, len, REG_CAP_LIST);
	for (left = CAPS_MAX; left; left--) {
		/* The two lowest bits are reserved. */
		at &= ~(size_t)3;
		if (at < CONFIG_HEADER || at + 4 > len)
			return 0;
		if (config[at] == UINT8_MAX)
			return 0;
		if (config[at] == id)
			return at;
		at = config[at + 1];
	}
	return 0;
}

size_t iol_config_ext_cap(const uint8_t *config, size_t len, uint16_t id)
{
	size_t at = CONFIG_SIZE;
	unsigned int left;
	uint32_t header;

	for (left = EXT_CAPS_MAX; left; left--) {
		if (at < CONFIG_SIZE || at + 8 > len || at + 8 > CONFIG_EXT_SIZE)
			return 0;
		header = iol_config_u32(config, len, at);
		if (!header || header == UINT32_MAX)
			return 0;
		if ((header & 0xffff) == id)
			return at;
		at = header >> 20 & ~3u;
	}
	return 0;
}

int iol_config_pcie_type(const uint8_t *config, size_t len)
{
	size_t at = iol_config_cap(config, len, CAP_PCIE);

	return at ? iol_config_u16(config, len, at + 2) >> 4 & 0xf : -1;
}
