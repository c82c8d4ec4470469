/* SPDX-License-Identifier: BSD-3-Clause */
/* bzImage: Linux, Documentation/arch/x86/boot.rst, "64-bit Boot Protocol". */
#include "boot.h"

#include "base/error.h"
#include "layout.h"

#include <asm/bootparam.h>
#include <inttypes.h>
#include <string.h>

#define PROTOCOL_2_12    0x020c /* the first that says whether there is a 64-bit entry */
#define SECTOR           512u
#define ENTRY_64         0x200u
#define UNDEFINED_LOADER 0xffu
#define PRESENT_WRITABLE 0x3ull
#define LARGE_PAGE       0x80ull

static int refuse(const struct boot *boot, const char *why)
{
	return iol_fail(EINVAL, "cannot boot the kernel %s: %s", boot->kernel.path, why);
}

/* 4 GiB as they are, by pages of 2 MiB. */
static void write_page_tables(uint8_t *ram)
{
	uint64_t *tables = (uint64_t *)(void *)(ram + PAGE_TABLES_ADDR), i;

	memset(tables, 0, 2ul * 4096);
	tables[0] = (PAGE_TABLES_ADDR + 0x1000) | PRESENT_WRITABLE;
	for (i = 0; i < 4; i++)
		tables[512 + i] = (PAGE_TABLES_ADDR + 0x2000 + i * 4096) | PRESENT_WRITABLE;
	for (i = 0; i < 4ul * 512; i++)
		tables[1024 + i] = (i << 21) | LARGE_PAGE | PRESENT_WRITABLE;
}

static void write_zero_page(const struct boot *boot, const struct setup_header *hdr,
			    uint64_t initrd)
{
	struct boot_params *params = (void *)(boot->ram + ZERO_PAGE_ADDR);
	struct boot_range ranges[BOOT_RANGES];
	unsigned int i, n = boot_ranges(boot, ranges);

	memset(params, 0, sizeof(*params));
	params->hdr = *hdr;
	params->hdr.type_of_loader = UNDEFINED_LOADER;
	params->hdr.loadflags |= LOADED_HIGH;
	params->hdr.cmd_line_ptr = CMDLINE_ADDR;
	params->hdr.ramdisk_image = (uint32_t)initrd;
	params->hdr.ramdisk_size = initrd ? (uint32_t)boot->initrd.size : 0;
	params->acpi_rsdp_addr = boot->rsdp;
	params->e820_entries = (uint8_t)n;
	for (i = 0; i < n; i++)
		params->e820_table[i] =
			(struct boot_e820_entry){ ranges[i].addr, ranges[i].size, ranges[i].type };
}

/* What is behind the header's own length is not of the header. */
static void read_header(const uint8_t *head, struct setup_header *hdr)
{
	size_t start = offsetof(struct boot_params, hdr), len = 0x202 + head[0x201] - start;

	memset(hdr, 0, sizeof(*hdr));
	memcpy(hdr, head + start, len < sizeof(*hdr) ? len : sizeof(*hdr));
}

int boot_bzimage(const struct boot *boot, const uint8_t *head, struct boot_entry *entry)
{
	uint64_t payload, size, load, initrd = 0;
	struct setup_header hdr;
	int rc;

	read_header(head, &hdr);
	if (hdr.version < PROTOCOL_2_12)
		return refuse(boot, "it is older than Linux 3.8 (its boot protocol is below 2.12)");
	if (!(hdr.xloadflags & XLF_KERNEL_64))
		return refuse(boot, "it has no 64-bit entry");
	if (!(hdr.loadflags & LOADED_HIGH))
		return refuse(boot, "it is a zImage, not a bzImage");

	payload = (hdr.setup_sects ? hdr.setup_sects + 1u : 5u) * (uint64_t)SECTOR;
	size = (uint64_t)hdr.syssize * 16;
	load = hdr.relocatable_kernel ? hdr.pref_address : hdr.code32_start;
	if (size <= ENTRY_64)
		return refuse(boot, "it says that there is nothing in it");
	if (hdr.init_size < size)
		return refuse(boot, "it says to need less memory than it has bytes");
	if (!boot_fits(boot, load, hdr.init_size))
		return iol_fail(ENOSPC,
				"the kernel %s needs %u KiB of memory at 0x%" PRIx64
				", which the guest has not: give it more --memory",
				boot->kernel.path, hdr.init_size >> 10, load);
	rc = image_read(&boot->kernel, payload, boot->ram + load, size);
	if (!rc)
		rc = boot_initrd(boot, load + hdr.init_size, hdr.initrd_addr_max, &initrd);
	if (!rc)
		rc = boot_cmdline(boot, hdr.cmdline_size);
	if (rc < 0)
		return rc;

	write_page_tables(boot->ram);
	write_zero_page(boot, &hdr, initrd);
	*entry = (struct boot_entry){ true, load + ENTRY_64, ZERO_PAGE_ADDR };
	return 0;
}
