/* SPDX-License-Identifier: BSD-3-Clause */
/* A virtual machine of KVM's (Linux, Documentation/virt/kvm/api.rst), as functions and guest memory need it. */
#include "vmm-glue/kvm.h"

#include "base/error.h"
#include "base/own.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

static int check_caps(int vm_fd)
{
	static const struct {
		unsigned int cap;
		const char *what;
	} needs[] = {
		{ KVM_CAP_USER_MEMORY, "memory slots" },
		{ KVM_CAP_IRQ_ROUTING, "interrupt routes" },
		{ KVM_CAP_SIGNAL_MSI, "message-signalled interrupts" },
		{ KVM_CAP_IRQFD, "irqfds" },
		{ KVM_CAP_IRQFD_RESAMPLE, "irqfds of level-triggered interrupts" },
		{ KVM_CAP_IOEVENTFD, "ioeventfds" },
		{ KVM_CAP_READONLY_MEM, "read-only memory" },
	};

	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if (ioctl(vm_fd, KVM_CHECK_EXTENSION, needs[i].cap) <= 0)
			return iol_fail(ENOTSUP,
					"this kernel's KVM has no %s: a newer one is needed",
					needs[i].what);
	return 0;
}

int iol_kvm_new(int vm_fd, struct iol_kvm **kvmp)
{
	struct iol_kvm *kvm;
	int rc, max;

	rc = check_caps(vm_fd);
	if (rc < 0)
		return rc;
	kvm = calloc(1, sizeof(*kvm));
	if (!kvm)
		return iol_fail(ENOMEM, "out of memory for a virtual machine");
	pthread_mutex_init(&kvm->lock, NULL);
	kvm->vfio_fd = -1;
	kvm->vm_fd = fcntl(vm_fd, F_DUPFD_CLOEXEC, 0);
	if (kvm->vm_fd < 0) {
		rc = iol_fail(errno, "cannot keep the virtual machine: %s", strerror(errno));
	} else {
		max = ioctl(vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);
		/* What kernels have that do not tell. */
		kvm->slots_max = max > 0 ? (unsigned int)max : 32;
		rc = kvm_irq_start(kvm);
	}
	if (rc < 0)
		iol_kvm_destroy(&kvm);
	else
		*kvmp = kvm;
	return rc;
}

void iol_kvm_destroy(struct iol_kvm **kvmp)
{
	struct iol_kvm *kvm = iol_take_ptr(*kvmp);

	if (!kvm)
		return;
	iol_close(&kvm->vfio_fd);
	iol_close(&kvm->vm_fd);
	pthread_mutex_destroy(&kvm->lock);
	page_set_clear(&kvm->written);
	free(kvm->slots);
	free(kvm->routes);
	free(kvm->table);
	free(kvm);
}

static int set_doorbell(struct iol_kvm *kvm, const struct iol_doorbell *bell, uint32_t flags)
{
	struct kvm_ioeventfd cmd = {
		.addr = bell->gpa,
		.len = bell->len,
		.datamatch = bell->match ? bell->value : 0,
		.fd = bell->fd,
		.flags = flags | (bell->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0u),
	};

	return ioctl(kvm->vm_fd, KVM_IOEVENTFD, &cmd) < 0 ? -errno : 0;
}

static int doorbell_add(void *vm, const struct iol_doorbell *bell)
{
	int rc = set_doorbell(vm, bell, 0);

	if (rc < 0)
		return iol_fail(-rc,
				"cannot watch the register at 0x%" PRIx64 " (%" PRIu32
				" bytes): %s",
				bell->gpa, bell->len,
				rc == -EEXIST ? "it is watched already" : strerror(-rc));
	return 0;
}

static void doorbell_remove(void *vm, const struct iol_doorbell *bell)
{
	set_doorbell(vm, bell, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

/*
 * Descriptors of groups, and since Linux 6.6 those of devices, too, by the same numbers (KVM_DEV_VFIO_FILE in newer
 * headers).
 */
static int set_vfio(struct iol_kvm *kvm, uint64_t what, int fd)
{
	int32_t file = fd;
	struct kvm_device_attr attr = {
		.group = KVM_DEV_VFIO_GROUP,
		.attr = what,
		.addr = (uintptr_t)&file,
	};

	return ioctl(kvm->vfio_fd, KVM_SET_DEVICE_ATTR, &attr) < 0 ? -errno : 0;
}

static int vfio_add(void *vm, int fd)
{
	struct kvm_create_device device = { .type = KVM_DEV_TYPE_VFIO };
	struct iol_kvm *kvm = vm;
	int rc = 0;

	pthread_mutex_lock(&kvm->lock);
	if (kvm->vfio_fd < 0) {
		rc = ioctl(kvm->vm_fd, KVM_CREATE_DEVICE, &device) < 0 ? -errno : 0;
		kvm->vfio_fd = rc ? -1 : (int)device.fd;
	}
	if (!rc)
		rc = set_vfio(kvm, KVM_DEV_VFIO_GROUP_ADD, fd);
	pthread_mutex_unlock(&kvm->lock);
	if (rc < 0)
		return iol_fail(-rc,
				"KVM can't be told of the device behind descriptor %d: %s; its "
				"interrupts pass through the host's kernel",
				fd, strerror(-rc));
	return 0;
}

static void vfio_remove(void *vm, int fd)
{
	struct iol_kvm *kvm = vm;

	pthread_mutex_lock(&kvm->lock);
	if (kvm->vfio_fd >= 0)
		set_vfio(kvm, KVM_DEV_VFIO_GROUP_DEL, fd);
	pthread_mutex_unlock(&kvm->lock);
}

const struct iol_vm_ops iol_kvm_vm_ops = {
	.msi_add = kvm_msi_add,
	.msi_set = kvm_msi_set,
	.msi_remove = kvm_msi_remove,
	.intx_add = kvm_intx_add,
	.intx_remove = kvm_intx_remove,
	.map = kvm_map,
	.unmap = kvm_unmap,
	.doorbell_add = doorbell_add,
	.doorbell_remove = doorbell_remove,
	.vfio_add = vfio_add,
	.vfio_remove = vfio_remove,
};
