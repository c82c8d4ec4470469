/* SPDX-License-Identifier: BSD-3-Clause */
#include "cpu.h"

#include "base/error.h"
#include "layout.h"
#include "machine.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define CR0_PE   0x1u
#define CR0_ET   0x10u
#define CR0_PG   0x80000000u
#define CR4_PAE  0x20u
#define EFER_LME 0x100u
#define EFER_LMA 0x400u
#define RFLAGS_1 0x2u

#define MSR_MTRR_DEF_TYPE 0x2ffu
#define MTRR_WRITE_BACK   0x806u /* no ranges, all write-back */

/* KVM's own: clocks, asynchronous page faults, stolen time, end of interrupt, poll control. */
static const uint32_t msrs_off[] = { 0x11,       0x12,       0x4b564d00, 0x4b564d01, 0x4b564d02,
				     0x4b564d03, 0x4b564d04, 0x4b564d06, 0x4b564d07, 0x6e0 };

static int failed(const struct cpu *cpu, const char *what)
{
	return iol_fail(errno, "cannot set up processor %u: %s: %s", cpu->id, what,
			strerror(errno));
}

#define STATE(what, field)                                                                         \
	{                                                                                          \
#what, KVM_GET_##what, KVM_SET_##what, offsetof(struct cpu_state, field)           \
	}

static const struct {
	const char *name;
	unsigned long get, set;
	size_t field;
} states[] = {
	/* The local APIC's registers depend on its mode, which is of SREGS. */
	STATE(SREGS, sregs),     STATE(LAPIC, lapic), STATE(VCPU_EVENTS, events),
	STATE(DEBUGREGS, debug), STATE(XCRS, xcrs),
};

#define STATES (sizeof(states) / sizeof(states[0]))

static int keep_power_on(struct cpu *cpu)
{
	unsigned int i;

	for (i = 0; i < STATES; i++) {
		if (ioctl(cpu->fd, states[i].get, (char *)&cpu->power_on + states[i].field) < 0)
			return failed(cpu, states[i].name);
	}
	return 0;
}

int cpu_open(struct machine *m, unsigned int id, struct kvm_cpuid2 *cpuid, struct cpu *cpu)
{
	int size = ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	void *run;

	cpu->machine = m;
	cpu->id = id;
	cpu->fd = ioctl(m->vm, KVM_CREATE_VCPU, id);
	if (cpu->fd < 0 || size < (int)sizeof(struct kvm_run))
		return failed(cpu, "KVM_CREATE_VCPU");
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, cpu->fd, 0);
	if (run == MAP_FAILED)
		return failed(cpu, "mmap");
	cpu->run = run;
	cpu->run_size = (size_t)size;
	cpuid_place(cpuid, id, m->opts->cpus, m->deadline);
	if (ioctl(cpu->fd, KVM_SET_CPUID2, cpuid) < 0)
		return failed(cpu, "KVM_SET_CPUID2");
	return keep_power_on(cpu);
}

void cpu_close(struct cpu *cpu)
{
	if (cpu->run)
		munmap(cpu->run, cpu->run_size);
	if (cpu->fd >= 0)
		close(cpu->fd);
	cpu->run = NULL;
	cpu->fd = -1;
}

static int set_msr(struct cpu *cpu, uint32_t index, uint64_t value)
{
	uint64_t room[(sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)) / 8] = { 0 };
	struct kvm_msrs *msrs = (void *)room;

	msrs->nmsrs = 1;
	msrs->entries[0] = (struct kvm_msr_entry){ .index = index, .data = value };
	return ioctl(cpu->fd, KVM_SET_MSRS, msrs);
}

/* A flat segment as the processor holds it. */
static struct kvm_segment flat(uint16_t selector, uint8_t type, bool long_mode)
{
	return (struct kvm_segment){
		.limit = UINT32_MAX,
		.selector = selector,
		.type = type,
		.present = 1,
		.db = !long_mode,
		.s = 1,
		.l = long_mode,
		.g = 1,
	};
}

/* The boot protocol wants these segments, and the table that has them. */
static void write_gdt(uint8_t *ram)
{
	static const uint64_t gdt[] = { 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff };

	memcpy(ram + GDT_ADDR, gdt, sizeof(gdt));
}

static int set_entry(struct cpu *cpu, const struct boot_entry *entry)
{
	struct kvm_sregs s = cpu->power_on.sregs;
	struct kvm_regs regs = { .rip = entry->addr, .rflags = RFLAGS_1 };

	write_gdt(cpu->machine->boot.ram);
	s.gdt.base = GDT_ADDR;
	s.gdt.limit = 4 * 8 - 1;
	s.cs = flat(0x10, 0xb, entry->long_mode);
	s.ds = s.es = s.ss = s.fs = s.gs = flat(0x18, 0x3, false);
	s.cr0 = CR0_PE | CR0_ET;
	if (entry->long_mode) {
		s.cr0 |= CR0_PG;
		s.cr3 = PAGE_TABLES_ADDR;
		s.cr4 |= CR4_PAE;
		s.efer |= EFER_LME | EFER_LMA;
		regs.rsi = entry->arg;
	} else {
		regs.rbx = entry->arg;
	}
	if (ioctl(cpu->fd, KVM_SET_SREGS, &s) < 0)
		return failed(cpu, "KVM_SET_SREGS");
	if (ioctl(cpu->fd, KVM_SET_REGS, &regs) < 0)
		return failed(cpu, "KVM_SET_REGS");
	return 0;
}

int cpu_reset(struct cpu *cpu, const struct boot_entry *entry)
{
	struct kvm_mp_state mp = { cpu->id ? KVM_MP_STATE_UNINITIALIZED : KVM_MP_STATE_RUNNABLE };
	unsigned int i;

	for (i = 0; i < STATES; i++) {
		if (ioctl(cpu->fd, states[i].set, (char *)&cpu->power_on + states[i].field) < 0)
			return failed(cpu, states[i].name);
	}
	/* Those that this KVM lacks need no reset. */
	for (i = 0; i < sizeof(msrs_off) / sizeof(msrs_off[0]); i++)
		set_msr(cpu, msrs_off[i], 0);
	if (ioctl(cpu->fd, KVM_SET_MP_STATE, &mp) < 0)
		return failed(cpu, "KVM_SET_MP_STATE");
	set_msr(cpu, MSR_MTRR_DEF_TYPE, MTRR_WRITE_BACK);
	return cpu->id ? 0 : set_entry(cpu, entry);
}

static void do_ports(struct cpu *cpu)
{
	struct kvm_run *run = cpu->run;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;
	uint32_t i;

	for (i = 0; i < run->io.count; i++)
		machine_ports(cpu->machine, run->io.port, data + i * run->io.size, run->io.size,
			      run->io.direction == KVM_EXIT_IO_OUT);
}

static void fail(struct cpu *cpu, const char *what, uint64_t number)
{
	char why[160];

	snprintf(why, sizeof(why), "processor %u %s %" PRIu64, cpu->id, what, number);
	machine_want(cpu->machine, MACHINE_FAIL, why);
}

static void do_exit(struct cpu *cpu)
{
	struct kvm_run *run = cpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		do_ports(cpu);
		break;
	case KVM_EXIT_MMIO:
		machine_memory(cpu->machine, run->mmio.phys_addr, run->mmio.data, run->mmio.len,
			       run->mmio.is_write);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		break;
	/* A triple fault is how many systems reset. */
	case KVM_EXIT_SHUTDOWN:
		iol_log(IOL_LOG_INFO, "processor %u had a triple fault, which resets the guest",
			cpu->id);
		machine_want(cpu->machine, MACHINE_RESET, NULL);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		fail(cpu, "cannot enter the guest: hardware error",
		     run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		fail(cpu, "was given up by KVM: internal error", run->internal.suberror);
		break;
	default:
		fail(cpu, "left the guest for a reason that is not known:", run->exit_reason);
		break;
	}
}

/* Return: whether it ran. */
static bool enter(struct cpu *cpu)
{
	if (!ioctl(cpu->fd, KVM_RUN, 0)) {
		do_exit(cpu);
		return true;
	}
	if (errno != EINTR && errno != EAGAIN)
		fail(cpu, "cannot run: error", (uint64_t)errno);
	return false;
}

/* What the guest has left for, such as a read, ends only when the processor is run again. */
static void settle(struct cpu *cpu)
{
	do {
		__atomic_store_n(&cpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	} while (enter(cpu));
}

static void *run_thread(void *arg)
{
	struct cpu *cpu = arg;

	if (sandbox_enter(&cpu->machine->cpu_sandbox) < 0)
		machine_want(cpu->machine, MACHINE_FAIL, iol_error());
	do {
		/* Who kicks has said before that all shall stand still, so no kick is lost here. */
		__atomic_store_n(&cpu->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		while (!machine_pausing(cpu->machine))
			enter(cpu);
		settle(cpu);
	} while (machine_hold(cpu->machine));
	return NULL;
}

int cpu_start(struct cpu *cpu)
{
	int rc = pthread_create(&cpu->thread, NULL, run_thread, cpu);

	if (rc)
		return iol_fail(rc, "cannot start processor %u: %s", cpu->id, strerror(rc));
	cpu->started = true;
	return 0;
}

void cpu_kick(struct cpu *cpu)
{
	if (!cpu->started)
		return;
	__atomic_store_n(&cpu->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	pthread_kill(cpu->thread, SIGUSR1);
}
