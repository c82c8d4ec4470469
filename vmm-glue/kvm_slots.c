/* SPDX-License-Identifier: BSD-3-Clause */
/* A machine's memory slots: guest memory, and BARs that are mapped through. */
#include "vmm-glue/kvm.h"

#include "base/error.h"

#include <inttypes.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

uint32_t kvm_slot_number(const struct iol_kvm *kvm, const struct kvm_slot *slot)
{
	return (uint32_t)(slot - kvm->slots);
}

/* Tell the kernel of a slot as it is; of one of no size, that it is gone. A negative errno without a sentence. */
static int set_slot(const struct iol_kvm *kvm, const struct kvm_slot *slot)
{
	struct kvm_userspace_memory_region cmd = {
		.slot = kvm_slot_number(kvm, slot),
		.flags = (slot->readonly ? KVM_MEM_READONLY : 0u) |
			 (slot->ram && kvm->logged ? KVM_MEM_LOG_DIRTY_PAGES : 0u),
		.guest_phys_addr = slot->gpa,
		.memory_size = slot->size,
		.userspace_addr = (uintptr_t)slot->host,
	};

	return ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &cmd) < 0 ? -errno : 0;
}

int kvm_slots_log(struct iol_kvm *kvm, bool on)
{
	unsigned int at;
	int rc = 0;

	kvm->logged = on;
	for (at = 0; at < kvm->num_slots && !rc; at++)
		if (kvm->slots[at].size && kvm->slots[at].ram)
			rc = set_slot(kvm, &kvm->slots[at]);
	if (!rc || !on)
		return 0;
	kvm_slots_log(kvm, false);
	return iol_fail(-rc, "cannot have KVM keep track of what the guest writes: %s",
			strerror(-rc));
}

const struct kvm_slot *kvm_slot_at(const struct iol_kvm *kvm, uint64_t gpa)
{
	for (unsigned int at = 0; at < kvm->num_slots; at++)
		if (kvm->slots[at].size && kvm->slots[at].ram && kvm->slots[at].gpa == gpa)
			return &kvm->slots[at];
	return NULL;
}

static int free_slot(struct iol_kvm *kvm, struct kvm_slot **slot)
{
	struct kvm_slot *slots;
	unsigned int at = 0;

	while (at < kvm->num_slots && kvm->slots[at].size)
		at++;
	if (at == kvm->slots_max)
		return iol_fail(ENOSPC, "the guest has %u pieces of memory, and KVM takes no more",
				at);
	if (at == kvm->num_slots) {
		slots = reallocarray(kvm->slots, at + 1, sizeof(*slots));
		if (!slots)
			return iol_fail(ENOMEM, "out of memory for KVM's memory slots");
		slots[at] = (struct kvm_slot){ 0 };
		kvm->slots = slots;
		kvm->num_slots++;
	}
	*slot = &kvm->slots[at];
	return 0;
}

static int add_slot(struct iol_kvm *kvm, const struct kvm_slot *want)
{
	struct kvm_slot *slot;
	int rc;

	rc = free_slot(kvm, &slot);
	if (rc < 0)
		return rc;
	*slot = *want;
	rc = want->size ? set_slot(kvm, slot) : -EINVAL;
	if (rc < 0) {
		*slot = (struct kvm_slot){ 0 };
		return iol_fail(-rc,
				"KVM does not take %" PRIu64 " bytes of memory at 0x%" PRIx64
				": %s",
				want->size, want->gpa,
				rc == -EEXIST ? "there is some already" : strerror(-rc));
	}
	return 0;
}

static void remove_slot(struct iol_kvm *kvm, uint64_t gpa, uint64_t size)
{
	unsigned int at = 0;

	while (at < kvm->num_slots && (kvm->slots[at].gpa != gpa || kvm->slots[at].size != size))
		at++;
	if (at == kvm->num_slots)
		return;
	kvm->slots[at].size = 0;
	/* It can't fail for a slot that is there. */
	set_slot(kvm, &kvm->slots[at]);
}

int kvm_map(void *vm, uint64_t gpa, uint64_t size, void *host, bool readonly)
{
	struct kvm_slot slot = { .gpa = gpa, .size = size, .host = host, .readonly = readonly };
	struct iol_kvm *kvm = vm;
	int rc;

	pthread_mutex_lock(&kvm->lock);
	rc = add_slot(kvm, &slot);
	pthread_mutex_unlock(&kvm->lock);
	return rc;
}

void kvm_unmap(void *vm, uint64_t gpa, uint64_t size)
{
	struct iol_kvm *kvm = vm;

	pthread_mutex_lock(&kvm->lock);
	remove_slot(kvm, gpa, size);
	pthread_mutex_unlock(&kvm->lock);
}

static int memory_add(void *ctx, const struct iol_guest_memory *mem,
		      const struct iol_guest_region *region)
{
	struct kvm_slot slot = {
		.gpa = region->gpa, .size = region->size, .host = region->host, .ram = true
	};
	struct iol_kvm *kvm = ctx;
	int rc;

	pthread_mutex_lock(&kvm->lock);
	rc = add_slot(kvm, &slot);
	pthread_mutex_unlock(&kvm->lock);
	return rc;
}

static void memory_remove(void *ctx, const struct iol_guest_region *region)
{
	kvm_unmap(ctx, region->gpa, region->size);
}

const struct iol_memory_user_ops iol_kvm_memory = {
	.name = "KVM",
	.add = memory_add,
	.remove = memory_remove,
	.dirty_start = kvm_dirty_start,
	.dirty_stop = kvm_dirty_stop,
	.dirty_read = kvm_dirty_read,
};
