/* SPDX-License-Identifier: BSD-3-Clause */
/* The lists of capabilities in a configuration space, which devices write and nobody vouches for. */
#ifndef IOL_VFIO_CAPS_H
#define IOL_VFIO_CAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAP_PM   0x01u
#define CAP_MSIX 0x11u

/* A configuration space of PCIe; PCI's ends at 256. */
#define CONFIG_MAX 4096u

/**
 * caps_find() - A capability in @len bytes of configuration space.
 * @extended: of PCIe's list, which begins at 0x100; otherwise of the one that 0x34 points to.
 *
 * Return: its offset; -ENOENT: it is not in the list; -EBADMSG: the list goes round or leaves the space.
 */
int caps_find(const uint8_t *config, size_t len, uint16_t id, bool extended);

static inline uint16_t config_u16(const uint8_t *config, size_t at)
{
	return (uint16_t)(config[at] | config[at + 1] << 8);
}

static inline uint32_t config_u32(const uint8_t *config, size_t at)
{
	return config_u16(config, at) | (uint32_t)config_u16(config, at + 2) << 16;
}

#endif
