/* SPDX-License-Identifier: BSD-3-Clause */
/* Kernels put into memory: crafted images of both kinds, good ones, and ones that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <iolane/base.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/iolane-vmm/boot.h"
#include "tools/iolane-vmm/layout.h"
#include "tools/iolane-vmm/start_info.h"

#define MIB   (1ull << 20)
#define RAM   (64 * MIB)
#define LOAD  (16 * MIB)
#define BYTES 4096u

/* A bzImage with one sector of setup and BYTES of kernel, or a vmlinux with one segment of as many. */
union file {
	uint8_t bytes[4 * BYTES];
	struct {
		uint8_t unused[offsetof(struct boot_params, hdr)];
		struct setup_header hdr;
	} bz;
	struct {
		Elf64_Ehdr eh;
		Elf64_Phdr load, note;
		Elf64_Nhdr nhdr;
		char name[4];
		uint64_t entry;
	} elf;
};

struct rig {
	struct boot boot;
	struct boot_entry entry;
	union file file;
	size_t len;
};

static void put(struct image *image, const char *what, const void *bytes, size_t len)
{
	image_close(image);
	*image = (struct image){ what, what, memfd_create(what, 0), len };
	assert_true(image->fd >= 0);
	assert_int_equal(write(image->fd, bytes, len), len);
}

static int load(struct rig *r)
{
	memset(r->boot.ram, 0, RAM);
	put(&r->boot.kernel, "kernel", &r->file, r->len);
	return boot_load(&r->boot, &r->entry);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	if (!r)
		return -1;
	r->boot.ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	r->boot.ram_size = RAM;
	r->boot.ram_above = MIB;
	r->boot.kernel = r->boot.initrd = IMAGE_NONE;
	r->boot.cmdline = "quiet";
	r->boot.rsdp = ACPI_ADDR;
	*state = r;
	return r->boot.ram == MAP_FAILED ? -1 : 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	image_close(&r->boot.kernel);
	image_close(&r->boot.initrd);
	munmap(r->boot.ram, RAM);
	free(r);
	return 0;
}

static void make_bzimage(struct rig *r)
{
	struct setup_header *hdr = &r->file.bz.hdr;

	memset(&r->file, 0, sizeof(r->file));
	hdr->setup_sects = 1;
	hdr->boot_flag = 0xaa55;
	hdr->jump = (uint16_t)((sizeof(*hdr) - 0x11) << 8 | 0xeb);
	hdr->header = 0x53726448;
	hdr->version = 0x020f;
	hdr->loadflags = LOADED_HIGH;
	hdr->xloadflags = XLF_KERNEL_64;
	hdr->syssize = BYTES / 16;
	hdr->relocatable_kernel = 1;
	hdr->pref_address = LOAD;
	hdr->init_size = 2 * BYTES;
	hdr->initrd_addr_max = 0x7fffffff;
	hdr->cmdline_size = 15;
	memset(r->file.bytes + 1024, 0x5a, BYTES);
	r->len = 1024 + BYTES;
}

static void make_elf(struct rig *r)
{
	memset(&r->file, 0, sizeof(r->file));
	memcpy(r->file.elf.eh.e_ident, "\177ELF\2\1\1", 7);
	r->file.elf.eh.e_machine = EM_X86_64;
	r->file.elf.eh.e_phoff = sizeof(Elf64_Ehdr);
	r->file.elf.eh.e_phentsize = sizeof(Elf64_Phdr);
	r->file.elf.eh.e_phnum = 2;
	r->file.elf.load = (Elf64_Phdr){ .p_type = PT_LOAD,
					 .p_offset = BYTES,
					 .p_paddr = LOAD,
					 .p_filesz = BYTES,
					 .p_memsz = 2 * BYTES };
	r->file.elf.note = (Elf64_Phdr){ .p_type = PT_NOTE,
					 .p_offset = offsetof(union file, elf.nhdr),
					 .p_filesz = 24 };
	r->file.elf.nhdr = (Elf64_Nhdr){ 4, 8, XEN_ELFNOTE_PHYS32_ENTRY };
	memcpy(r->file.elf.name, "Xen", 4);
	r->file.elf.entry = LOAD + 16;
	memset(r->file.bytes + BYTES, 0x5a, BYTES);
	r->len = 2 * BYTES;
}

static void loaded(const struct rig *r, uint64_t initrd, size_t initrd_size)
{
	static const uint8_t kernel[BYTES] = { [0 ... BYTES - 1] = 0x5a };
	size_t i;

	assert_memory_equal(r->boot.ram + LOAD, kernel, BYTES);
	assert_int_equal(r->boot.ram[LOAD + BYTES], 0);
	assert_string_equal((char *)r->boot.ram + CMDLINE_ADDR, "quiet");
	assert_int_equal(initrd % 4096, 0);
	for (i = 0; i < initrd_size; i++)
		assert_int_equal(r->boot.ram[initrd + i], 0x77);
}

static void give_initrd(struct rig *r, size_t len)
{
	uint8_t *bytes = malloc(len);

	assert_non_null(bytes);
	memset(bytes, 0x77, len);
	put(&r->boot.initrd, "initrd", bytes, len);
	free(bytes);
}

static void test_bzimage(void **state)
{
	struct rig *r = *state;
	const struct boot_params *p = (void *)(r->boot.ram + ZERO_PAGE_ADDR);
	const uint64_t *tables = (void *)(r->boot.ram + PAGE_TABLES_ADDR);

	make_bzimage(r);
	give_initrd(r, 5000);
	assert_int_equal(load(r), 0);
	loaded(r, p->hdr.ramdisk_image, 5000);
	assert_true(p->hdr.ramdisk_image + 8192ull == RAM);
	assert_int_equal(p->hdr.ramdisk_size, 5000);
	assert_true(r->entry.long_mode);
	assert_int_equal(r->entry.addr, LOAD + 0x200);
	assert_int_equal(r->entry.arg, ZERO_PAGE_ADDR);
	assert_int_equal(p->hdr.cmd_line_ptr, CMDLINE_ADDR);
	assert_int_equal(p->hdr.type_of_loader, 0xff);
	assert_int_equal(p->acpi_rsdp_addr, ACPI_ADDR);
	/* Memory up to the ACPI tables, above 1 MiB, above 4 GiB; the last page is where it belongs. */
	assert_int_equal(p->e820_entries, 5);
	assert_int_equal(p->e820_table[2].addr + p->e820_table[2].size, RAM);
	assert_int_equal(p->e820_table[4].addr, 4ull << 30);
	assert_int_equal(tables[1024 + 2047] & ~0xfffull, (4ull << 30) - (2 * MIB));
}

static void test_elf(void **state)
{
	struct rig *r = *state;
	const struct start_info_page *page = (void *)(r->boot.ram + START_INFO_ADDR);

	make_elf(r);
	assert_int_equal(load(r), 0);
	loaded(r, 0, 0);
	assert_false(r->entry.long_mode);
	assert_int_equal(r->entry.addr, LOAD + 16);
	assert_int_equal(r->entry.arg, START_INFO_ADDR);
	assert_int_equal(page->info.magic, HVM_START_MAGIC);
	assert_int_equal(page->info.nr_modules, 0);
	assert_int_equal(page->info.memmap_entries, 5);
	assert_int_equal(page->info.rsdp_paddr, ACPI_ADDR);
	assert_int_equal(page->ranges[2].size, RAM - MIB);

	give_initrd(r, 5000);
	assert_int_equal(load(r), 0);
	loaded(r, page->initrd.paddr, 5000);
	assert_int_equal(page->info.nr_modules, 1);
	assert_int_equal(page->initrd.size, 5000);

	/* What a reset finds in memory is not what the kernel wants zeroed. */
	memset(r->boot.ram + LOAD, 0x11, BYTES * 2);
	assert_int_equal(boot_load(&r->boot, &r->entry), 0);
	loaded(r, 0, 0);

	/* The note may come after others, and hold 4 bytes. */
	make_elf(r);
	r->file.elf.note.p_filesz = 24 + 20;
	memmove(r->file.bytes + offsetof(union file, elf.nhdr) + 24, &r->file.elf.nhdr, 20);
	r->file.elf.nhdr.n_type = 7;
	((Elf64_Nhdr *)(void *)(r->file.bytes + offsetof(union file, elf.nhdr) + 24))->n_descsz = 4;
	assert_int_equal(load(r), 0);
	assert_int_equal(r->entry.addr, LOAD + 16);
}

static void refused(struct rig *r, int err, const char *words)
{
	assert_int_equal(load(r), -err);
	if (!strstr(iol_error(), words))
		fail_msg("\"%s\" lacks \"%s\"", iol_error(), words);
}

#define BAD_BZ(field, value, err, words)                                                           \
	do {                                                                                       \
		make_bzimage(r);                                                                   \
		r->file.bz.hdr.field = (value);                                                    \
		refused(r, err, words);                                                            \
	} while (0)

static void test_bad_bzimage(void **state)
{
	struct rig *r = *state;

	BAD_BZ(version, 0x020b, EINVAL, "older");
	BAD_BZ(xloadflags, 0, EINVAL, "64-bit");
	BAD_BZ(loadflags, 0, EINVAL, "zImage");
	BAD_BZ(syssize, BYTES / 16 + 1, EINVAL, "cut short");
	BAD_BZ(syssize, 0, EINVAL, "nothing in it");
	BAD_BZ(syssize, UINT32_MAX, EINVAL, "less memory");
	BAD_BZ(init_size, BYTES - 1, EINVAL, "less memory");
	BAD_BZ(init_size, UINT32_MAX, ENOSPC, "--memory");
	BAD_BZ(pref_address, RAM, ENOSPC, "--memory");
	BAD_BZ(pref_address, UINT64_MAX - BYTES, ENOSPC, "--memory");
	BAD_BZ(pref_address, 0, ENOSPC, "--memory");
	BAD_BZ(setup_sects, 0xff, EINVAL, "cut short");
	BAD_BZ(cmdline_size, 4, E2BIG, "5 bytes");
	BAD_BZ(header, 0, EINVAL, "no kernel");
	make_bzimage(r);
	r->len = 0x202;
	refused(r, EINVAL, "no kernel");
	make_bzimage(r);
	give_initrd(r, RAM - LOAD);
	refused(r, ENOSPC, "no room");
	/* Below where the kernel is. */
	give_initrd(r, 4096);
	BAD_BZ(initrd_addr_max, LOAD, ENOSPC, "no room");
}

#define BAD_ELF(field, value, err, words)                                                          \
	do {                                                                                       \
		make_elf(r);                                                                       \
		r->file.elf.field = (value);                                                       \
		refused(r, err, words);                                                            \
	} while (0)

static void test_bad_elf(void **state)
{
	struct rig *r = *state;

	BAD_ELF(eh.e_machine, EM_AARCH64, EINVAL, "x86-64");
	BAD_ELF(eh.e_ident[EI_CLASS], ELFCLASS32, EINVAL, "x86-64");
	BAD_ELF(eh.e_phnum, 0, EINVAL, "segments");
	BAD_ELF(eh.e_phnum, 0xffff, EINVAL, "segments");
	BAD_ELF(eh.e_phentsize, 32, EINVAL, "segments");
	BAD_ELF(eh.e_phoff, UINT64_MAX - 8, EINVAL, "cut short");
	BAD_ELF(note.p_type, PT_NULL, EINVAL, "no PVH entry");
	BAD_ELF(note.p_filesz, UINT64_MAX, EINVAL, "64 KiB");
	BAD_ELF(note.p_offset, 3 * BYTES, EINVAL, "cut short");
	BAD_ELF(nhdr.n_namesz, UINT32_MAX, EINVAL, "no PVH entry");
	BAD_ELF(nhdr.n_descsz, UINT32_MAX, EINVAL, "no PVH entry");
	BAD_ELF(nhdr.n_descsz, 9, EINVAL, "no PVH entry");
	BAD_ELF(nhdr.n_type, 1, EINVAL, "no PVH entry");
	BAD_ELF(name[0], 'Y', EINVAL, "no PVH entry");
	BAD_ELF(entry, 0, EINVAL, "outside");
	BAD_ELF(entry, LOAD + 2 * BYTES, EINVAL, "outside");
	BAD_ELF(load.p_filesz, 3 * BYTES, EINVAL, "more bytes");
	BAD_ELF(load.p_offset, BYTES + 1, EINVAL, "cut short");
	BAD_ELF(load.p_offset, UINT64_MAX, EINVAL, "cut short");
	BAD_ELF(load.p_memsz, UINT64_MAX, ENOSPC, "--memory");
	BAD_ELF(load.p_paddr, RAM - BYTES, ENOSPC, "--memory");
	BAD_ELF(load.p_paddr, UINT64_MAX - BYTES, ENOSPC, "--memory");
	BAD_ELF(load.p_paddr, CMDLINE_ADDR, ENOSPC, "--memory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bzimage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_elf, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_bzimage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_elf, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
