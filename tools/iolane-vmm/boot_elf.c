/* SPDX-License-Identifier: BSD-3-Clause */
/* vmlinux: an ELF file whose note says where PVH enters it. */
#include "boot.h"

#include "base/error.h"
#include "base/own.h"
#include "layout.h"
#include "start_info.h"

#include <elf.h>
#include <inttypes.h>
#include <string.h>

#define SEGMENTS_MAX 64u
#define NOTES_MAX    (64u << 10)
/* COMMAND_LINE_SIZE of x86, without the 0 at its end; an ELF file does not say. */
#define CMDLINE_MAX 2047u

static int refuse(const struct boot *boot, const char *why)
{
	return iol_fail(EINVAL, "cannot boot the kernel %s: %s", boot->kernel.path, why);
}

static uint64_t padded(uint32_t len)
{
	return ((uint64_t)len + 3) & ~3ull;
}

/* Return: 1 and the entry, or 0. */
static int find_entry(const uint8_t *notes, uint64_t size, uint64_t *entry)
{
	while (size >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		uint64_t name = sizeof(note), desc, next;

		memcpy(&note, notes, sizeof(note));
		desc = name + padded(note.n_namesz);
		next = desc + padded(note.n_descsz);
		if (desc > size || note.n_descsz > size - desc)
			return 0;
		if (note.n_namesz == 4 && !memcmp(notes + name, "Xen", 4) &&
		    note.n_type == XEN_ELFNOTE_PHYS32_ENTRY &&
		    (note.n_descsz == 4 || note.n_descsz == 8)) {
			*entry = 0;
			memcpy(entry, notes + desc, note.n_descsz);
			return 1;
		}
		if (next > size)
			return 0;
		notes += next;
		size -= next;
	}
	return 0;
}

static int read_notes(const struct boot *boot, const Elf64_Phdr *ph, uint64_t *entry)
{
	_cleanup_free_ uint8_t *notes = NULL;
	int rc;

	if (ph->p_filesz > NOTES_MAX)
		return refuse(boot, "its notes are longer than 64 KiB");
	notes = malloc(ph->p_filesz + 1);
	if (!notes)
		return iol_fail(ENOMEM, "no memory for the notes of %s", boot->kernel.path);
	rc = image_read(&boot->kernel, ph->p_offset, notes, ph->p_filesz);
	return rc < 0 ? rc : find_entry(notes, ph->p_filesz, entry);
}

static int load_segment(const struct boot *boot, const Elf64_Phdr *ph, uint64_t *end)
{
	if (!ph->p_memsz)
		return 0;
	if (ph->p_filesz > ph->p_memsz)
		return refuse(boot, "a segment has more bytes in the file than in memory");
	if (!boot_fits(boot, ph->p_paddr, ph->p_memsz))
		return iol_fail(ENOSPC,
				"the kernel %s needs %" PRIu64 " KiB of memory at 0x%" PRIx64
				", which the guest has not: give it more --memory",
				boot->kernel.path, ph->p_memsz >> 10, (uint64_t)ph->p_paddr);
	if (ph->p_paddr + ph->p_memsz > *end)
		*end = ph->p_paddr + ph->p_memsz;
	/* A reset loads it over what the guest has left. */
	memset(boot->ram + ph->p_paddr + ph->p_filesz, 0, ph->p_memsz - ph->p_filesz);
	return image_read(&boot->kernel, ph->p_offset, boot->ram + ph->p_paddr, ph->p_filesz);
}

static void write_start_info(const struct boot *boot, uint64_t initrd)
{
	struct start_info_page *page = (void *)(boot->ram + START_INFO_ADDR);
	struct boot_range ranges[BOOT_RANGES];
	unsigned int i, n = boot_ranges(boot, ranges);

	memset(page, 0, sizeof(*page));
	page->info = (struct hvm_start_info){
		.magic = HVM_START_MAGIC,
		.version = 1,
		.nr_modules = initrd ? 1 : 0,
		.modlist_paddr = START_INFO_ADDR + offsetof(struct start_info_page, initrd),
		.cmdline_paddr = CMDLINE_ADDR,
		.rsdp_paddr = boot->rsdp,
		.memmap_paddr = START_INFO_ADDR + offsetof(struct start_info_page, ranges),
		.memmap_entries = n,
	};
	page->initrd.paddr = initrd;
	page->initrd.size = initrd ? boot->initrd.size : 0;
	for (i = 0; i < n; i++) {
		page->ranges[i].addr = ranges[i].addr;
		page->ranges[i].size = ranges[i].size;
		page->ranges[i].type = ranges[i].type;
	}
}

static int load_segments(const struct boot *boot, const Elf64_Ehdr *eh, uint64_t *entry,
			 uint64_t *end)
{
	Elf64_Phdr ph[SEGMENTS_MAX];
	unsigned int i;
	int rc, found = 0;

	rc = image_read(&boot->kernel, eh->e_phoff, ph, eh->e_phnum * sizeof(ph[0]));
	/* The entry first: who has none need not be read. */
	for (i = 0; !rc && !found && i < eh->e_phnum; i++) {
		if (ph[i].p_type != PT_NOTE)
			continue;
		found = read_notes(boot, &ph[i], entry);
		if (found < 0)
			return found;
	}
	if (!rc && !found)
		return refuse(boot, "it has no PVH entry: build it with CONFIG_PVH, or give its "
				    "bzImage");
	for (i = 0; !rc && i < eh->e_phnum; i++) {
		if (ph[i].p_type == PT_LOAD)
			rc = load_segment(boot, &ph[i], end);
	}
	return rc;
}

int boot_elf(const struct boot *boot, const uint8_t *head, struct boot_entry *entry)
{
	uint64_t addr = 0, end = 0, initrd;
	Elf64_Ehdr eh;
	int rc;

	memcpy(&eh, head, sizeof(eh));
	if (eh.e_ident[EI_CLASS] != ELFCLASS64 || eh.e_ident[EI_DATA] != ELFDATA2LSB ||
	    eh.e_machine != EM_X86_64)
		return refuse(boot, "it is an ELF file, but not one for x86-64");
	if (!eh.e_phnum || eh.e_phnum > SEGMENTS_MAX || eh.e_phentsize != sizeof(Elf64_Phdr))
		return refuse(boot, "its ELF header has no sound table of segments");
	rc = load_segments(boot, &eh, &addr, &end);
	if (rc < 0)
		return rc;
	if (addr < HIGH_RAM_ADDR || addr >= end)
		return refuse(boot, "its PVH entry lies outside of it");
	rc = boot_initrd(boot, end, UINT32_MAX, &initrd);
	if (!rc)
		rc = boot_cmdline(boot, CMDLINE_MAX);
	if (rc < 0)
		return rc;
	write_start_info(boot, initrd);
	*entry = (struct boot_entry){ false, addr, START_INFO_ADDR };
	return 0;
}
