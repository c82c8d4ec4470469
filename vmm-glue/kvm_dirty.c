/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which pages the guest's processors wrote. The kernel tells of whole slots only. Where it can, it forgets just what it is told
 * to; else it forgets all that it tells, and what was not asked for is kept here.
 */
#include "vmm-glue/kvm.h"

#include "base/error.h"
#include "base/own.h"

#include <inttypes.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#define PAGE PAGE_SET_PAGE
#define WORD (64ull * PAGE)

/* Once it forgets only what it is told to, it does for good. */
static bool forgets_by_hand(struct iol_kvm *kvm)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		.args = { KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE },
	};
	int has = ioctl(kvm->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);

	return has > 0 && has & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE &&
	       !ioctl(kvm->vm_fd, KVM_ENABLE_CAP, &cap);
}

int kvm_dirty_start(void *ctx)
{
	struct iol_kvm *kvm = ctx;
	int rc;

	pthread_mutex_lock(&kvm->lock);
	kvm->by_hand = forgets_by_hand(kvm);
	rc = kvm_slots_log(kvm, true);
	pthread_mutex_unlock(&kvm->lock);
	return rc;
}

void kvm_dirty_stop(void *ctx)
{
	struct iol_kvm *kvm = ctx;

	pthread_mutex_lock(&kvm->lock);
	kvm_slots_log(kvm, false);
	page_set_clear(&kvm->written);
	pthread_mutex_unlock(&kvm->lock);
}

/* Have it forget, and keep, @bits of a slot from offset @from to @to, whole words but at the slot's end. */
static int forget(struct iol_kvm *kvm, const struct kvm_slot *slot, uint64_t *bits, uint64_t from,
		  uint64_t to)
{
	struct kvm_clear_dirty_log cmd = {
		.slot = kvm_slot_number(kvm, slot),
		.first_page = from / PAGE,
		.num_pages = (uint32_t)((to - from) / PAGE),
		.dirty_bitmap = bits + from / WORD,
	};

	return ioctl(kvm->vm_fd, KVM_CLEAR_DIRTY_LOG, &cmd) < 0 ? -errno : 0;
}

/* Put what was written of a slot, at least from offset @from to @to, into the set. A negative errno without a sentence. */
static int fetch(struct iol_kvm *kvm, const struct kvm_slot *slot, uint64_t from, uint64_t to)
{
	uint64_t words = slot->size / WORD + 1;
	_cleanup_free_ uint64_t *bits = calloc(words, sizeof(*bits));
	struct kvm_dirty_log cmd = { .slot = kvm_slot_number(kvm, slot), .dirty_bitmap = bits };
	int rc = 0;

	if (kvm->by_hand) {
		from -= from % WORD;
		to = (to + WORD - 1) / WORD * WORD;
		to = to < slot->size ? to : slot->size;
	} else {
		from = 0;
		to = slot->size;
	}
	/* From here on nothing lacks memory, as what the kernel told would be lost. */
	if (!bits || page_set_reserve(&kvm->written, slot->gpa + from, slot->gpa + to - 1))
		return -ENOMEM;
	if (ioctl(kvm->vm_fd, KVM_GET_DIRTY_LOG, &cmd) < 0)
		return -errno;
	if (kvm->by_hand)
		rc = forget(kvm, slot, bits, from, to);
	if (!rc)
		page_set_add(&kvm->written, slot->gpa + from, PAGE, bits + from / WORD,
			     (to - from) / PAGE);
	return rc;
}

int kvm_dirty_read(void *ctx, const struct iol_guest_region *region, uint64_t gpa, uint64_t size,
		   uint64_t *bitmap)
{
	struct iol_kvm *kvm = ctx;
	const struct kvm_slot *slot;
	int rc;

	pthread_mutex_lock(&kvm->lock);
	slot = kvm_slot_at(kvm, region->gpa);
	rc = slot ? fetch(kvm, slot, gpa - slot->gpa, gpa - slot->gpa + size) : -ENOENT;
	if (!rc)
		page_set_take(&kvm->written, gpa, gpa + size - 1, PAGE, bitmap);
	pthread_mutex_unlock(&kvm->lock);
	if (rc < 0)
		return iol_fail(-rc,
				"cannot ask KVM what was written of guest memory at 0x%" PRIx64
				": %s",
				region->gpa, strerror(-rc));
	return 0;
}
