/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Puts a kernel, its initrd and its command line into guest memory, as the kernel's own documents say:
 * vmlinux by PVH (Xen, docs/misc/pvh.pandoc), bzImage by the 64-bit boot protocol (Linux, Documentation/arch/x86/boot.rst).
 */
#ifndef IOLANE_VMM_BOOT_H
#define IOLANE_VMM_BOOT_H

#include "image.h"

#include <stdbool.h>

/* Types of ranges, as in the BIOS's e820. */
#define BOOT_RAM      1u
#define BOOT_RESERVED 2u

/** struct boot_range - A piece of the guest's address space, as its kernel is told of it. */
struct boot_range {
	uint64_t addr, size;
	uint32_t type;
};

#define BOOT_RANGES 6u

/**
 * struct boot - What to boot, and where it goes.
 * @ram: guest memory from address 0 on; @ram_size: up to 4 GiB of it, at least BOOT_RAM_MIN.
 * @ram_above: what lies from 4 GiB on.
 * @initrd: without a descriptor: there is none.
 * @rsdp: where the ACPI tables are.
 */
struct boot {
	uint8_t *ram;
	uint64_t ram_size, ram_above;
	struct image kernel, initrd;
	const char *cmdline;
	uint64_t rsdp;
};

#define BOOT_RAM_MIN (16ull << 20)

/** struct boot_entry - How the first processor starts: in 64-bit mode with @arg in RSI, or in 32-bit mode with it in EBX. */
struct boot_entry {
	bool long_mode;
	uint64_t addr, arg;
};

/** boot_load() - Whatever kind of kernel it is. */
int boot_load(const struct boot *boot, struct boot_entry *entry);

/** boot_ranges() - The guest's address space. Return: how many. */
unsigned int boot_ranges(const struct boot *boot, struct boot_range ranges[BOOT_RANGES]);

/* Of boot_load()'s two ways. @head: the first BOOT_HEAD bytes of the kernel, zeroes past its end. */
#define BOOT_HEAD 1024u

int boot_elf(const struct boot *boot, const uint8_t *head, struct boot_entry *entry);
int boot_bzimage(const struct boot *boot, const uint8_t *head, struct boot_entry *entry);

/**
 * boot_initrd() - As high as it may be, and above the kernel, which ends at @above.
 * @limit: its last byte is at most there.
 */
int boot_initrd(const struct boot *boot, uint64_t above, uint64_t limit, uint64_t *addr);

/** boot_cmdline() - At CMDLINE_ADDR; of at most @max bytes. */
int boot_cmdline(const struct boot *boot, uint64_t max);

/** boot_fits() - Whether a piece of the kernel fits into RAM above 1 MiB. */
bool boot_fits(const struct boot *boot, uint64_t addr, uint64_t size);

#endif
