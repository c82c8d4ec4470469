/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest of a few instructions on KVM: it writes, reads and counts interrupts when it is told to, on the caller's thread. */
#ifndef IOL_TESTS_LAB_VMMPROBE_H
#define IOL_TESTS_LAB_VMMPROBE_H

#include <iolane/vmm.h>

#include "vfioprobe.h"

/* Guest memory: code, interrupt table and counters lie below this. */
#define TINY_FREE 0x10000u
#define TINY_SIZE (64u << 20)
/* Vectors that the guest counts. */
#define TINY_VECTOR  0x40u
#define TINY_VECTORS 16u
#define TINY_MSI     0xfee00000u

struct kvm_run;

struct tiny {
	int sys, vm, cpu;
	struct kvm_run *run;
	size_t run_size;
	struct iol_guest_memory *mem;
	struct iol_kvm *kvm;
	/* Where the probe is of a device. @vfio_fd: its group's or its own. */
	struct iol_context *ctx;
	struct iol_vfio_device *dev;
	int vfio_fd;
};

/** tiny_start() - A machine of one processor with its guest in @mem, which KVM is attached to. false: there is no KVM. */
bool tiny_start(struct tiny *t, struct iol_guest_memory *mem);
void tiny_end(struct tiny *t);

/** tiny_write(), tiny_read() - The guest accesses 4 bytes. Return: whether it left the kernel for that (and then is not done). */
bool tiny_write(struct tiny *t, uint32_t at, uint32_t value);
bool tiny_read(struct tiny *t, uint32_t at, uint32_t *value);

void tiny_out(struct tiny *t, uint16_t port, uint8_t value);

/** tiny_takes() - The guest takes interrupts until it has had @count of @vector, all in all. */
void tiny_takes(struct tiny *t, uint32_t vector, uint32_t count);

/** tiny_looks() - It takes interrupts for a while. */
void tiny_looks(struct tiny *t);

/** tiny_count() - How many it has taken so far. */
uint32_t tiny_count(struct tiny *t, uint32_t vector);

void glue_dirty(struct tiny *t);
void glue_joined(struct tiny *t);
void glue_device(struct tiny *t);

#endif
