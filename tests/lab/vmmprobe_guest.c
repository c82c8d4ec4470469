/* SPDX-License-Identifier: BSD-3-Clause */
#include "vmmprobe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CODE      0x1000u
#define COUNTERS  0x8000u
#define IDT       0x9000u
#define GDT       0xa000u
#define STACK     0xf000u
#define STUB_SIZE 32u
#define DONE_PORT 0x10u

#define APIC_SPURIOUS 0xfee000f0u

/*
 * 32 bits, flat, without paging. Each part does one thing and says so by a port. Vectors' stubs count in place, and end the
 * interrupt.
 */
extern const uint8_t tiny_code[], tiny_code_end[];
extern const uint8_t tiny_do_write[], tiny_do_read[], tiny_do_wait[], tiny_do_look[], tiny_do_out[];
extern const uint8_t tiny_stubs[];
__asm__(".pushsection .rodata\n"
	".code32\n"
	".globl tiny_code, tiny_code_end, tiny_do_write, tiny_do_read, tiny_do_wait, tiny_do_look\n"
	".globl tiny_do_out, tiny_stubs\n"
	"tiny_code:\n"
	"tiny_do_write: movl %eax, (%ebx)\n outb %al, $0x10\n hlt\n"
	"tiny_do_read: movl (%ebx), %eax\n outb %al, $0x10\n hlt\n"
	"tiny_do_wait: sti\n 1: pause\n cmpl %ecx, (%ebx)\n jne 1b\n cli\n outb %al, $0x10\n hlt\n"
	"tiny_do_look: sti\n 1: pause\n loop 1b\n cli\n outb %al, $0x10\n hlt\n"
	"tiny_do_out: movl %ebx, %edx\n outb %al, %dx\n outb %al, $0x10\n hlt\n"
	".balign 32\n"
	"tiny_stubs:\n"
	".set stub, 0\n"
	".rept 16\n"
	"incl 0x8000 + 4 * stub\n movl $0, 0xfee000b0\n iret\n"
	".balign 32\n"
	".set stub, stub + 1\n"
	".endr\n"
	"tiny_code_end:\n"
	".code64\n"
	".popsection\n");

static uint32_t address_of(const uint8_t *label)
{
	return CODE + (uint32_t)(label - tiny_code);
}

static void too_long(int number)
{
	static const char said[] = "the guest does not come to an end\n";

	if (write(1, said, sizeof(said) - 1) < 0)
		_exit(2);
	_exit(1);
}

static void load(struct tiny *t)
{
	uint8_t *mem = iol_guest_memory_host(t->mem, 0, TINY_FREE);
	uint32_t *idt = (uint32_t *)(void *)(mem + IDT);

	uint64_t *gdt = (uint64_t *)(void *)(mem + GDT);

	need(mem, "no memory for the guest");
	gdt[1] = 0x00cf9b000000ffffull;
	gdt[2] = 0x00cf93000000ffffull;
	memcpy(mem + CODE, tiny_code, (uintptr_t)tiny_code_end - (uintptr_t)tiny_code);
	for (uint32_t i = 0; i < TINY_VECTORS; i++) {
		uint32_t at = address_of(tiny_stubs) + i * STUB_SIZE;

		idt[2 * (TINY_VECTOR + i)] = 8u << 16 | (at & 0xffff);
		idt[2 * (TINY_VECTOR + i) + 1] = (at & 0xffff0000u) | 0x8e00u;
	}
}

static void set_up(struct tiny *t)
{
	struct kvm_segment flat = { .limit = UINT32_MAX,
				    .selector = 16,
				    .type = 3,
				    .present = 1,
				    .db = 1,
				    .s = 1,
				    .g = 1 };
	struct kvm_sregs s;

	need(!ioctl(t->cpu, KVM_GET_SREGS, &s), "no registers");
	s.ds = s.es = s.fs = s.gs = s.ss = flat;
	flat.selector = 8;
	flat.type = 11;
	s.cs = flat;
	s.gdt.base = GDT;
	s.gdt.limit = 8 * 3 - 1;
	s.idt.base = IDT;
	s.idt.limit = 8 * 256 - 1;
	s.cr0 |= 1;
	need(!ioctl(t->cpu, KVM_SET_SREGS, &s), "no protected mode");
}

bool tiny_start(struct tiny *t, struct iol_guest_memory *mem)
{
	uint64_t code;

	t->mem = mem;
	t->sys = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (t->sys < 0)
		return false;
	t->vm = ioctl(t->sys, KVM_CREATE_VM, 0);
	need(t->vm >= 0 && !ioctl(t->vm, KVM_CREATE_IRQCHIP), "no virtual machine");
	need(!iol_kvm_new(t->vm, &t->kvm), "no machine");
	need(!iol_guest_memory_attach(mem, &iol_kvm_memory, t->kvm), "no memory");
	t->cpu = ioctl(t->vm, KVM_CREATE_VCPU, 0);
	need(t->cpu >= 0, "no processor");
	t->run_size = (size_t)ioctl(t->sys, KVM_GET_VCPU_MMAP_SIZE, 0);
	t->run = mmap(NULL, t->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, t->cpu, 0);
	need(t->run != MAP_FAILED, "no processor");
	need(!iol_guest_memory_alloc(mem, TINY_FREE, PAGE, &code) && !code, "no room for code");
	signal(SIGALRM, too_long);
	load(t);
	set_up(t);
	need(!tiny_write(t, APIC_SPURIOUS, 0x1ff), "no interrupt controller");
	return true;
}

void tiny_end(struct tiny *t)
{
	iol_guest_memory_detach(t->mem, t->kvm);
	iol_kvm_destroy(&t->kvm);
	munmap(t->run, t->run_size);
	close(t->cpu);
	close(t->vm);
	close(t->sys);
}

/* Return: whether it left the kernel for an access to memory. */
static bool run(struct tiny *t, const uint8_t *label, uint32_t eax, uint32_t ebx, uint32_t ecx,
		uint32_t *result)
{
	struct kvm_regs r = { .rip = address_of(label),
			      .rax = eax,
			      .rbx = ebx,
			      .rcx = ecx,
			      .rsp = STACK,
			      .rflags = 2 };
	bool left = false;

	need(!ioctl(t->cpu, KVM_SET_REGS, &r), "no registers");
	alarm(COMES_MS / 1000);
	for (;;) {
		need(!ioctl(t->cpu, KVM_RUN, 0), "the guest does not run");
		if (t->run->exit_reason != KVM_EXIT_MMIO)
			break;
		left = true;
		memset(t->run->mmio.data, 0xff, sizeof(t->run->mmio.data));
	}
	alarm(0);
	need(t->run->exit_reason == KVM_EXIT_IO && t->run->io.port == DONE_PORT,
	     "the guest ended by %u", t->run->exit_reason);
	need(!ioctl(t->cpu, KVM_GET_REGS, &r), "no registers");
	if (result)
		*result = (uint32_t)r.rax;
	return left;
}

bool tiny_write(struct tiny *t, uint32_t at, uint32_t value)
{
	return run(t, tiny_do_write, value, at, 0, NULL);
}

bool tiny_read(struct tiny *t, uint32_t at, uint32_t *value)
{
	return run(t, tiny_do_read, 0, at, 0, value);
}

void tiny_out(struct tiny *t, uint16_t port, uint8_t value)
{
	run(t, tiny_do_out, value, port, 0, NULL);
}

static uint32_t counter(uint32_t vector)
{
	return COUNTERS + 4 * (vector - TINY_VECTOR);
}

void tiny_takes(struct tiny *t, uint32_t vector, uint32_t count)
{
	run(t, tiny_do_wait, 0, counter(vector), count, NULL);
}

uint32_t tiny_count(struct tiny *t, uint32_t vector)
{
	const volatile uint32_t *host = iol_guest_memory_host(t->mem, counter(vector), 4);

	return *host;
}

void tiny_looks(struct tiny *t)
{
	run(t, tiny_do_look, 0, 0, 1000, NULL);
}
