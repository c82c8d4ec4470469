/* SPDX-License-Identifier: BSD-3-Clause */
/* The inside of a virtual machine of KVM's. What is not a public function is called with its lock held. */
#ifndef IOL_VMM_GLUE_KVM_H
#define IOL_VMM_GLUE_KVM_H

#include <iolane/vmm.h>

#include "vfio/page_set.h"

#include <pthread.h>

/* A memory slot; its number is its place in the table. @size: 0 while it is free. @ram: of guest memory, not of a BAR. */
struct kvm_slot {
	uint64_t gpa, size;
	void *host;
	bool ram, readonly;
};

/*
 * A message's route; its GSI follows from its place in the table. @fd: -1 while it is free. @known: the kernel has it, with
 * @msg.
 */
struct kvm_route {
	int fd;
	bool known;
	struct iol_msi_message msg;
};

struct iol_kvm {
	pthread_mutex_t lock;
	int vm_fd;
	int vfio_fd; /* the KVM-VFIO device, made when it is first needed; else -1 */
	struct kvm_slot *slots;
	unsigned int num_slots, slots_max;
	struct kvm_route *routes;
	unsigned int num_routes, routes_max;
	struct kvm_irq_routing *table; /* room for all routes */
	/* What processors write: @logged: it is kept track of. @by_hand: the kernel forgets what it is told to, not what it told. */
	bool logged, by_hand;
	struct page_set written; /* told by the kernel, and not yet read */
};

/* ---- kvm_irq.c ---- */

/** kvm_irq_start() - Give the machine the routes of its pins. */
int kvm_irq_start(struct iol_kvm *kvm);

int kvm_msi_add(void *vm, int fd, const struct iol_msi_message *msg, uint32_t *id);
int kvm_msi_set(void *vm, uint32_t id, const struct iol_msi_message *msg);
void kvm_msi_remove(void *vm, uint32_t id);
int kvm_intx_add(void *vm, unsigned int slot, unsigned int pin, int fd, int resample);
void kvm_intx_remove(void *vm, unsigned int slot, unsigned int pin, int fd);

/* ---- kvm_slots.c ---- */

int kvm_map(void *vm, uint64_t gpa, uint64_t size, void *host, bool readonly);
void kvm_unmap(void *vm, uint64_t gpa, uint64_t size);

/** kvm_slots_log() - Have the kernel keep track of what is written to guest memory, or not: to all of it. */
int kvm_slots_log(struct iol_kvm *kvm, bool on);

/** kvm_slot_at() - The slot of guest memory that starts at @gpa; NULL if there is none. */
const struct kvm_slot *kvm_slot_at(const struct iol_kvm *kvm, uint64_t gpa);

/** kvm_slot_number() - The kernel's number of it. */
uint32_t kvm_slot_number(const struct iol_kvm *kvm, const struct kvm_slot *slot);

/* ---- kvm_dirty.c: of struct iol_memory_user_ops ---- */

int kvm_dirty_start(void *ctx);
void kvm_dirty_stop(void *ctx);
int kvm_dirty_read(void *ctx, const struct iol_guest_region *region, uint64_t gpa, uint64_t size,
		   uint64_t *bitmap);

#endif
