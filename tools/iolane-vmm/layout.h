/* SPDX-License-Identifier: BSD-3-Clause */
/* Where things are in the guest's address space. */
#ifndef IOLANE_VMM_LAYOUT_H
#define IOLANE_VMM_LAYOUT_H

#include <stdint.h>

/* RAM that the kernel is handed what it needs in; it is free for use once the kernel is up. */
#define START_INFO_ADDR  0x6000u /* PVH */
#define ZERO_PAGE_ADDR   0x7000u /* bzImage */
#define GDT_ADDR         0x8000u
#define PAGE_TABLES_ADDR 0x9000u /* six pages: 4 GiB as they are */
#define CMDLINE_ADDR     0x20000u
#define CMDLINE_ROOM     0x10000u

/* Above this a PC has no ordinary RAM below 1 MiB; the ACPI tables are where kernels look for them. */
#define LOW_RAM_END       0x9fc00u
#define ACPI_ADDR         0xe0000u
#define ACPI_ROOM         0x10000u
#define RESET_VECTOR_ADDR 0xffff0u /* F000:FFF0 */
#define HIGH_RAM_ADDR     0x100000u

/* The hole below 4 GiB. */
#define RAM_BELOW_4G    (3ull << 30)
#define PCI_WINDOW_ADDR 0xc0000000u
#define PCI_WINDOW_SIZE 0x30000000u
#define ECAM_ADDR       0xf0000000u
#define ECAM_SIZE       0x100000u /* one bus */
#define IOAPIC_ADDR     0xfec00000u
#define LAPIC_ADDR      0xfee00000u
/* Pages that KVM wants on processors without unrestricted guests (KVM_SET_IDENTITY_MAP_ADDR, KVM_SET_TSS_ADDR). */
#define KVM_IDENTITY_ADDR 0xfeffc000u
#define KVM_TSS_ADDR      0xfeffd000u

#define ABOVE_4G (4ull << 30)
/* AMD's IOMMUs take addresses from here to 1 TiB as interrupts and the like (HyperTransport). */
#define HYPERTRANSPORT_ADDR 0xfd00000000ull

/* Ports. */
#define COM1_PORT          0x3f8u
#define COM1_GSI           4u
#define KEYBOARD_PORT      0x64u
#define SLEEP_CONTROL_PORT 0x600u
#define SLEEP_STATUS_PORT  0x601u
#define CONFIG_ADDR_PORT   0xcf8u
#define RESET_PORT         0xcf9u
#define CONFIG_DATA_PORT   0xcfcu
#define PCI_IO_PORTS       0x1000u
#define PCI_IO_COUNT       0xf000u

/* What the guest writes there. */
#define RESET_VALUE    0x06u
#define KEYBOARD_RESET 0xfeu
#define SLEEP_TYPE_OFF 5u
#define SLEEP_ENABLE   0x20u

#define PCI_SLOTS 32u
#define CPUS_MAX  254u

#endif
