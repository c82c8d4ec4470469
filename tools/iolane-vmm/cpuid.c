/* SPDX-License-Identifier: BSD-3-Clause */
/* What processors say of themselves: KVM's answer for this host, but for where a processor is among the others. */
#include "cpu.h"

#include "base/error.h"
#include "base/own.h"

#include <string.h>
#include <sys/ioctl.h>

#define ENTRIES      256u
#define BITS_WITHOUT 36u /* of addresses, where no leaf tells */

#define ECX_X2APIC       (1u << 21)
#define ECX_TSC_DEADLINE (1u << 24)
#define ECX_HYPERVISOR   (1u << 31)
#define EDX_HTT          (1u << 28)

int cpuid_supported(int kvm_fd, struct kvm_cpuid2 **cpuidp)
{
	_cleanup_free_ struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + ENTRIES * sizeof(cpuid->entries[0]));

	if (!cpuid)
		return iol_fail(ENOMEM, "no memory for the processors' description");
	cpuid->nent = ENTRIES;
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0)
		return iol_fail(errno, "KVM does not say what processors it can give: %s",
				strerror(errno));
	*cpuidp = iol_take_ptr(cpuid);
	return 0;
}

unsigned int cpuid_address_bits(const struct kvm_cpuid2 *cpuid)
{
	unsigned int i;

	for (i = 0; i < cpuid->nent; i++) {
		if (cpuid->entries[i].function == 0x80000008)
			return cpuid->entries[i].eax & 0xff;
	}
	return BITS_WITHOUT;
}

/* Bits of an APIC id that tell the cores of a socket apart. */
static unsigned int id_bits(unsigned int cpus)
{
	return cpus > 1 ? 32u - (unsigned int)__builtin_clz(cpus - 1) : 0;
}

static void place_caches(struct kvm_cpuid_entry2 *e, unsigned int cpus)
{
	unsigned int level = e->eax >> 5 & 7, sharing = level >= 3 ? (1u << id_bits(cpus)) - 1 : 0;

	if (!(e->eax & 0x1f))
		return;
	e->eax = (e->eax & 0x3fff) | sharing << 14;
	if (e->function == 4)
		e->eax |= ((1u << id_bits(cpus)) - 1) << 26;
}

/* Threads of a core (one), and cores of a socket. */
static void place_topology(struct kvm_cpuid_entry2 *e, unsigned int id, unsigned int cpus)
{
	e->eax = e->ebx = 0;
	e->ecx = e->index & 0xff;
	e->edx = id;
	if (e->index == 0) {
		e->ebx = 1;
		e->ecx |= 1u << 8;
	} else if (e->index == 1) {
		e->eax = id_bits(cpus);
		e->ebx = cpus;
		e->ecx |= 2u << 8;
	}
}

/* KVM gives the first index of this leaf only. */
static void add_topology(struct kvm_cpuid2 *cpuid)
{
	struct kvm_cpuid_entry2 *e;
	unsigned int i, seen = 0, there = 0;

	for (i = 0; i < cpuid->nent; i++) {
		e = &cpuid->entries[i];
		there |= e->function == 0xb;
		if (e->function == 0xb && e->index < 2)
			seen |= 1u << e->index;
	}
	for (i = 0; there && i < 2 && cpuid->nent < ENTRIES; i++) {
		if (seen & 1u << i)
			continue;
		e = &cpuid->entries[cpuid->nent++];
		memset(e, 0, sizeof(*e));
		e->function = 0xb;
		e->index = i;
		e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
	}
}

void cpuid_place(struct kvm_cpuid2 *cpuid, unsigned int id, unsigned int cpus, bool deadline)
{
	unsigned int i;

	add_topology(cpuid);
	for (i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		switch (e->function) {
		case 1:
			e->ebx = (e->ebx & 0xffff) | id << 24 | (cpus & 0xff) << 16;
			e->ecx |= ECX_HYPERVISOR | ECX_X2APIC | (deadline ? ECX_TSC_DEADLINE : 0);
			e->edx = cpus > 1 ? e->edx | EDX_HTT : e->edx & ~EDX_HTT;
			break;
		case 4:
		case 0x8000001d:
			place_caches(e, cpus);
			break;
		case 0xb:
			place_topology(e, id, cpus);
			break;
		/* What 0xb says need not be said again, in more detail. */
		case 0x1f:
		case 0x80000026:
			e->eax = e->ebx = e->ecx = e->edx = 0;
			break;
		case 0x80000008:
			e->ecx = id_bits(cpus) << 12 | (cpus - 1);
			break;
		case 0x8000001e:
			e->eax = e->ebx = id;
			e->ecx = 0;
			break;
		default:
			break;
		}
	}
}
