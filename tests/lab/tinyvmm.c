/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The smallest VMM that iolane-bench vmm can measure: tinyvmm io|mmio|quiet runs a guest that says "tiny guest is up" by a
 * port, and from then on writes to another port, or to memory that is not there, or only counts.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define MEMORY  0x1000
#define TEXT_AT 0x100
/* Nothing comes after what is waited for: its exits would be counted. */
#define TEXT    "tiny guest is up"
#define CONSOLE 0x3f8

/* Takes a byte after the other from SI to port DX until one is 0. */
static const unsigned char say[] = {
	0xbe, TEXT_AT & 0xff, TEXT_AT >> 8, /* mov si, TEXT_AT */
	0xba, CONSOLE & 0xff, CONSOLE >> 8, /* mov dx, CONSOLE */
	0xac,                               /* next: lodsb */
	0x84, 0xc0,                         /* test al, al */
	0x74, 0x03,                         /* jz end */
	0xee,                               /* out dx, al */
	0xeb, 0xf8,                         /* jmp next */
};

static const struct {
	const char *name;
	unsigned char code[5];
} then[] = {
	{ "io", { 0xe6, 0x80, 0xeb, 0xfc } },         /* out 0x80, al; jmp */
	{ "mmio", { 0x26, 0x88, 0x05, 0xeb, 0xfb } }, /* mov es:[di], al; jmp */
	{ "quiet", { 0x40, 0xeb, 0xfd } },            /* inc ax; jmp */
};

static _Noreturn void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int make_vcpu(int vm)
{
	struct kvm_regs regs = { .rflags = 2 };
	struct kvm_sregs sregs;
	int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);

	if (vcpu < 0 || ioctl(vcpu, KVM_GET_SREGS, &sregs))
		fail("KVM_CREATE_VCPU");
	sregs.cs.base = sregs.cs.selector = 0;
	sregs.es.base = 0x100000;
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) || ioctl(vcpu, KVM_SET_REGS, &regs))
		fail("KVM_SET_REGS");
	return vcpu;
}

static void run(int vcpu, const struct kvm_run *shared)
{
	while (!ioctl(vcpu, KVM_RUN, 0)) {
		if (shared->exit_reason != KVM_EXIT_IO && shared->exit_reason != KVM_EXIT_MMIO) {
			fprintf(stderr, "exit %u\n", shared->exit_reason);
			exit(1);
		}
		if (shared->exit_reason == KVM_EXIT_IO && shared->io.port == CONSOLE &&
		    write(1, (const char *)shared + shared->io.data_offset, 1) != 1)
			fail("write");
	}
	fail("KVM_RUN");
}

int main(int argc, char **argv)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	char *memory =
		mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = {
		.memory_size = MEMORY,
		.userspace_addr = (uintptr_t)memory,
	};
	const struct kvm_run *shared;
	size_t which = 0;
	int vcpu, len;

	if (vm < 0 || memory == MAP_FAILED)
		fail("/dev/kvm");
	while (which < 3 && (argc != 2 || strcmp(argv[1], then[which].name) != 0))
		which++;
	if (which == 3)
		return 2;
	memcpy(memory, say, sizeof(say));
	memcpy(memory + sizeof(say), then[which].code, sizeof(then[which].code));
	memcpy(memory + TEXT_AT, TEXT, sizeof(TEXT));
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region))
		fail("KVM_SET_USER_MEMORY_REGION");
	vcpu = make_vcpu(vm);
	len = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	shared = mmap(NULL, (size_t)len, PROT_READ, MAP_SHARED, vcpu, 0);
	if (shared == MAP_FAILED)
		fail("KVM_GET_VCPU_MMAP_SIZE");
	run(vcpu, shared);
}
