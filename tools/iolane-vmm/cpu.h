/* SPDX-License-Identifier: BSD-3-Clause */
/* A processor of the guest: a thread that enters it, and does what the guest leaves it for. */
#ifndef IOLANE_VMM_CPU_H
#define IOLANE_VMM_CPU_H

#include "boot.h"

#include <linux/kvm.h>
#include <pthread.h>

struct machine;

/* State that a reset puts back, as KVM gave it at the start. */
struct cpu_state {
	struct kvm_sregs sregs;
	struct kvm_lapic_state lapic;
	struct kvm_vcpu_events events;
	struct kvm_debugregs debug;
	struct kvm_xcrs xcrs;
};

struct cpu {
	struct machine *machine;
	unsigned int id;
	int fd;
	struct kvm_run *run;
	size_t run_size;
	pthread_t thread;
	bool started;
	struct cpu_state power_on;
};

/**
 * cpu_open() - Make processor @id.
 * @cpuid: what KVM can do; changed to what this processor is.
 */
int cpu_open(struct machine *m, unsigned int id, struct kvm_cpuid2 *cpuid, struct cpu *cpu);
void cpu_close(struct cpu *cpu);

/** cpu_reset() - As after power-on; the first processor will begin at @entry, the others wait for it. Its thread must stand still. */
int cpu_reset(struct cpu *cpu, const struct boot_entry *entry);

/** cpu_start() - Start its thread. It ends with the machine. */
int cpu_start(struct cpu *cpu);

/** cpu_kick() - Have it leave the guest soon. */
void cpu_kick(struct cpu *cpu);

/** cpuid_supported() - What KVM can do on this host; the caller frees it. */
int cpuid_supported(int kvm_fd, struct kvm_cpuid2 **cpuid);

/** cpuid_address_bits() - Of guest physical addresses. */
unsigned int cpuid_address_bits(const struct kvm_cpuid2 *cpuid);

/** cpuid_place() - Make it that of processor @id of @cpus, all cores of one socket. @deadline: KVM has the TSC deadline timer. */
void cpuid_place(struct kvm_cpuid2 *cpuid, unsigned int id, unsigned int cpus, bool deadline);

#endif
