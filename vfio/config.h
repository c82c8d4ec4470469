/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space as bytes (PCIe 6.0, 7.5 and 7.6). It may be cut off (only 64 bytes are for everybody) and it may
 * be anything: devices are no more to be trusted than files.
 */
#ifndef IOL_VFIO_CONFIG_H
#define IOL_VFIO_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#define CONFIG_HEADER   64
#define CONFIG_SIZE     256
#define CONFIG_EXT_SIZE 4096

#define CAP_PM        0x01
#define CAP_PCIE      0x10
#define CAP_MSIX      0x11
#define EXT_CAP_DSN   0x0003
#define EXT_CAP_ACS   0x000d
#define EXT_CAP_SRIOV 0x0010

/** iol_config_u8(), _u16(), _u32() - A register; all ones where there is nothing, as on the bus. */
uint8_t iol_config_u8(const uint8_t *config, size_t len, size_t at);
uint16_t iol_config_u16(const uint8_t *config, size_t len, size_t at);
uint32_t iol_config_u32(const uint8_t *config, size_t len, size_t at);

/** iol_config_cap() - Where a capability is; 0 when it is not among the @len bytes. */
size_t iol_config_cap(const uint8_t *config, size_t len, uint8_t id);

/** iol_config_ext_cap() - Where an extended capability is; 0 when it is not among the @len bytes. */
size_t iol_config_ext_cap(const uint8_t *config, size_t len, uint16_t id);

/** iol_config_pcie_type() - Device/port type (7.5.3.2); -1 without a PCI Express capability. */
int iol_config_pcie_type(const uint8_t *config, size_t len);

#endif
