/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kernel image, which the reference VMM puts into guest memory. The first byte says what it is dressed up as, the second how much memory
 * there is. Whatever it says, nothing outside of memory is touched, and its entry lies in memory.
 */
#include "tools/iolane-vmm/boot.h"

#include <asm/bootparam.h>
#include <elf.h>
#include <stddef.h>
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

static union {
	uint8_t bytes[4096];
	struct boot_params params; /* but for the kernel, whose header lies there, too */
	struct {
		Elf64_Ehdr eh;
		Elf64_Phdr ph[2];
		uint8_t notes[64];
	} elf;
} file;

static size_t begin(size_t at, const uint8_t *data, size_t size)
{
	size_t room = sizeof(file) - at;

	memset(&file, 0, sizeof(file));
	memcpy(file.bytes + at, data, size < room ? size : room);
	return at + (size < room ? size : room);
}

/* A file header, its segments' headers and notes, of which what has to be so is so. */
static size_t dress_elf(const uint8_t *data, size_t size)
{
	size_t len = begin(offsetof(Elf64_Ehdr, e_phnum), data, size);

	memcpy(&file.elf.eh, "\177ELF\2\1", 6);
	file.elf.eh.e_machine = EM_X86_64;
	file.elf.eh.e_phoff = sizeof(Elf64_Ehdr);
	file.elf.eh.e_phentsize = sizeof(Elf64_Phdr);
	file.elf.eh.e_phnum %= 4;
	file.elf.ph[0].p_type = PT_NOTE;
	file.elf.ph[0].p_offset = sizeof(file.elf) - sizeof(file.elf.notes);
	file.elf.ph[0].p_filesz %= 128;
	file.elf.ph[1].p_type = PT_LOAD;
	return len;
}

static size_t dress_bzimage(const uint8_t *data, size_t size)
{
	size_t len = begin(offsetof(struct boot_params, hdr), data, size);

	file.params.hdr.boot_flag = 0xaa55;
	file.params.hdr.header = 0x53726448;
	file.params.hdr.version |= 0x020c;
	file.params.hdr.loadflags |= LOADED_HIGH;
	file.params.hdr.xloadflags |= XLF_KERNEL_64;
	/* As far as the file goes. */
	file.params.hdr.syssize %= 512;
	file.params.hdr.setup_sects %= 8;
	return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t *ram;
	static int fd = -1;
	struct boot boot = { .cmdline = "quiet", .initrd = IMAGE_NONE };
	struct boot_entry entry = { 0 };
	size_t len;

	if (size < 2)
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
	len = data[0] & 1 ? dress_elf(data + 2, size - 2) : dress_bzimage(data + 2, size - 2);
	demand(!ftruncate(fd, 0) && pwrite(fd, file.bytes, len, 0) == (ssize_t)len);
	boot.kernel = (struct image){ "kernel", "k", fd, len };
	if (!boot_load(&boot, &entry))
		demand(entry.addr < boot.ram_size);
	return 0;
}
