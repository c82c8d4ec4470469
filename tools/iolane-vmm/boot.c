/* SPDX-License-Identifier: BSD-3-Clause */
#include "boot.h"

#include "base/error.h"
#include "layout.h"

#include <inttypes.h>
#include <string.h>

#define PAGE 4096u

bool boot_fits(const struct boot *boot, uint64_t addr, uint64_t size)
{
	return addr >= HIGH_RAM_ADDR && addr <= boot->ram_size && size <= boot->ram_size - addr;
}

int boot_initrd(const struct boot *boot, uint64_t above, uint64_t limit, uint64_t *addr)
{
	uint64_t end = boot->ram_size, size = boot->initrd.size;

	*addr = 0;
	if (boot->initrd.fd < 0)
		return 0;
	if (limit < end)
		end = limit + 1;
	above = (above + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	if (above > end || size > end - above)
		return iol_fail(ENOSPC,
				"the initrd %s of %" PRIu64 " KiB has no room above the kernel: "
				"give the guest more --memory",
				boot->initrd.path, size >> 10);
	*addr = (end - size) & ~(uint64_t)(PAGE - 1);
	if (*addr < above)
		*addr = above;
	return image_read(&boot->initrd, 0, boot->ram + *addr, size);
}

int boot_cmdline(const struct boot *boot, uint64_t max)
{
	size_t len = strlen(boot->cmdline);

	if (max > CMDLINE_ROOM - 1)
		max = CMDLINE_ROOM - 1;
	if (len > max)
		return iol_fail(E2BIG,
				"the command line is %zu bytes long: the kernel %s takes %" PRIu64,
				len, boot->kernel.path, max);
	memcpy(boot->ram + CMDLINE_ADDR, boot->cmdline, len + 1);
	return 0;
}

unsigned int boot_ranges(const struct boot *boot, struct boot_range ranges[BOOT_RANGES])
{
	unsigned int n = 0;

	ranges[n++] = (struct boot_range){ 0, LOW_RAM_END, BOOT_RAM };
	ranges[n++] =
		(struct boot_range){ LOW_RAM_END, HIGH_RAM_ADDR - LOW_RAM_END, BOOT_RESERVED };
	ranges[n++] =
		(struct boot_range){ HIGH_RAM_ADDR, boot->ram_size - HIGH_RAM_ADDR, BOOT_RAM };
	ranges[n++] = (struct boot_range){ ECAM_ADDR, ECAM_SIZE, BOOT_RESERVED };
	if (boot->ram_above)
		ranges[n++] = (struct boot_range){ ABOVE_4G, boot->ram_above, BOOT_RAM };
	return n;
}

int boot_load(const struct boot *boot, struct boot_entry *entry)
{
	const struct image *kernel = &boot->kernel;
	uint8_t head[BOOT_HEAD] = { 0 };
	int rc;

	if (boot->ram_size < BOOT_RAM_MIN)
		return iol_fail(EINVAL, "a guest needs at least %llu MiB of memory",
				BOOT_RAM_MIN >> 20);
	rc = image_read(kernel, 0, head, kernel->size < BOOT_HEAD ? kernel->size : BOOT_HEAD);
	if (rc < 0)
		return rc;
	if (!memcmp(head, "\177ELF", 4))
		return boot_elf(boot, head, entry);
	if (!memcmp(head + 0x202, "HdrS", 4) && head[0x1fe] == 0x55 && head[0x1ff] == 0xaa)
		return boot_bzimage(boot, head, entry);
	return iol_fail(EINVAL, "%s is no kernel: neither a bzImage nor an ELF file (vmlinux)",
			kernel->path);
}
