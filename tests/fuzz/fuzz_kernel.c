/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kernel image, which the reference VMM puts into guest memory. The first byte says what it is dressed up as, the second how much memory there
 * is. Whatever it says, nothing outside of memory is touched, and its entry lies in memory.
 */
#include "tools/iolane-vmm/boot.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MOST (64ull << 20)

static void demand(bool good)
{
	if (!good)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t *ram;
	static int fd = -1;
	struct boot boot = { .cmdline = "quiet", .initrd = IMAGE_NONE };
	struct boot_entry entry = { 0 };
	uint8_t bytes[2048] = { 0 };

	if (size < 2 || size - 2 > sizeof(bytes))
		return 0;
	if (fd < 0) {
		fd = memfd_create("kernel", 0);
		/* What is beyond the guest's memory faults. */
		ram = mmap(NULL, 2 * MOST, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		demand(fd >= 0 && ram != MAP_FAILED);
	}
	boot.ram_size = BOOT_RAM_MIN + data[1] % 16 * (3ull << 20);
	boot.ram = ram;
	demand(!mprotect(ram, MOST, PROT_NONE) &&
	       !mprotect(ram, boot.ram_size, PROT_READ | PROT_WRITE));
	memcpy(bytes, data + 2, size - 2);
	if (data[0] & 1) {
		memcpy(bytes, "\177ELF\2\1", 6);
		bytes[18] = 62;
	} else {
		memcpy(bytes + 0x1fe, "\x55\xaa", 2);
		memcpy(bytes + 0x202, "HdrS\x0f\x02", 6);
	}
	demand(!ftruncate(fd, 0) && pwrite(fd, bytes, size, 0) == (ssize_t)size);
	boot.kernel = (struct image){ "kernel", "k", fd, size };
	if (!boot_load(&boot, &entry))
		demand(entry.addr < boot.ram_size);
	return 0;
}
