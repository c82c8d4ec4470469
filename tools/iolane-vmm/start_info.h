/* SPDX-License-Identifier: BSD-3-Clause */
/* What a kernel entered by PVH is handed (Xen, public/arch-x86/hvm/start_info.h), which Debian packages only with all of Xen. */
#ifndef IOLANE_VMM_START_INFO_H
#define IOLANE_VMM_START_INFO_H

#include "boot.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18u
#define HVM_START_MAGIC          0x336ec578u

struct hvm_start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
	uint32_t memmap_entries, reserved;
};

struct hvm_modlist_entry {
	uint64_t paddr, size, cmdline_paddr, reserved;
};

struct hvm_memmap_table_entry {
	uint64_t addr, size;
	uint32_t type, reserved;
};

/* All of it, at START_INFO_ADDR. */
struct start_info_page {
	struct hvm_start_info info;
	struct hvm_modlist_entry initrd;
	struct hvm_memmap_table_entry ranges[BOOT_RANGES];
};

#endif
