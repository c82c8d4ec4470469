/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a virtual machine monitor links to give guests PCI functions: passed through from the host, or virtio
 * devices that a vhost-user back end serves.
 *
 * A function (struct iol_pci_function) is what the guest sees: a configuration space, BARs, MSI and MSI-X. The VMM
 * hands it the guest's accesses, and gives it, by struct iol_vm_ops, the few things it needs of the machine. For KVM those
 * are here, too (struct iol_kvm); a VMM that has its own passes its own.
 *
 * Threads: a function is used by one thread at a time, and calls iol_vm_ops on that thread; the VMM's lock around a
 * function's calls is enough. An iol_kvm has a lock of its own. The data path (doorbells, interrupts, DMA) passes
 * through none of these functions.
 *
 * The guest is not trusted: any access, of any size, at any time, is answered as hardware would, and hurts only
 * that guest.
 *
 * Each function returns 0 or a count, or a negative errno with the sentence set (iol_error()).
 */
#ifndef IOLANE_VMM_H
#define IOLANE_VMM_H

#include <iolane/vfio.h>
#include <iolane/vmm_frontend.h>
#include <iolane/vmm_memory.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- what a function needs of its machine ---- */

/** struct iol_msi_message - What a device writes, and where, to interrupt (PCI 3.0, 6.8.1). */
struct iol_msi_message {
	uint64_t addr;
	uint32_t data;
};

/** struct iol_doorbell - A register whose write is told by an eventfd, without leaving the kernel. @len: 1, 2, 4, 8; 0: any. */
struct iol_doorbell {
	uint64_t gpa;
	uint32_t len;
	bool match; /* only when @value is written */
	uint64_t value;
	int fd;
};

/** Any number that no machine hands out as an id. */
#define IOL_NO_ROUTE UINT32_MAX

/**
 * struct iol_vm_ops - A machine, as its functions need it. All get the same @vm.
 * @msi_add: whenever @fd is signalled, deliver @msg; *@id tells it from others. @fd stays the function's.
 * @msi_set: deliver another message from now on; no signal may be lost over it.
 * @msi_remove: stop. What is signalled later stays in the eventfd.
 * @intx_add: while @fd is signalled, hold pin @pin (0 to 3: INTA# to INTD#) of the function up, until the guest ends the interrupt;
 *            then take it down, and signal @resample.
 * @intx_remove: stop, and take it down.
 * @map: the guest's accesses in [@gpa, @gpa + @size) go to @host, without exits. @readonly: writes come to the VMM.
 * @unmap: of just such a range.
 * @doorbell_add, @doorbell_remove.
 * @vfio_add, @vfio_remove: tell the hypervisor of a group's or device's descriptor (KVM_DEV_TYPE_VFIO); failing is no harm.
 */
struct iol_vm_ops {
	int (*msi_add)(void *vm, int fd, const struct iol_msi_message *msg, uint32_t *id);
	int (*msi_set)(void *vm, uint32_t id, const struct iol_msi_message *msg);
	void (*msi_remove)(void *vm, uint32_t id);
	int (*intx_add)(void *vm, unsigned int slot, unsigned int pin, int fd, int resample);
	void (*intx_remove)(void *vm, unsigned int slot, unsigned int pin, int fd);
	int (*map)(void *vm, uint64_t gpa, uint64_t size, void *host, bool readonly);
	void (*unmap)(void *vm, uint64_t gpa, uint64_t size);
	int (*doorbell_add)(void *vm, const struct iol_doorbell *bell);
	void (*doorbell_remove)(void *vm, const struct iol_doorbell *bell);
	int (*vfio_add)(void *vm, int fd);
	void (*vfio_remove)(void *vm, int fd);
};

/* ---- KVM ---- */

struct iol_kvm;

/**
 * iol_kvm_new() - A virtual machine of KVM's, for guest memory and functions.
 * @vm_fd: of KVM_CREATE_VM, with its interrupt controllers made (KVM_CREATE_IRQCHIP); it stays the caller's, a duplicate is used.
 *
 * It owns the routes of the machine's interrupts (KVM_SET_GSI_ROUTING): pins 0 to 23 of the I/O APIC, and 0 to 15
 * of the PICs, are GSIs of the same number, and messages follow. It owns memory slots, from 0 on.
 * Return: 0; -ENOTSUP: KVM lacks something, which the sentence names.
 */
int iol_kvm_new(int vm_fd, struct iol_kvm **kvm);

/** iol_kvm_destroy() - Forget it; its memory must be detached, its functions gone. */
void iol_kvm_destroy(struct iol_kvm **kvm);

/** What a machine of KVM's offers its functions; the @vm of all of them is a struct iol_kvm. */
extern const struct iol_vm_ops iol_kvm_vm_ops;

/** Reaches guest memory for the guest's processors: iol_guest_memory_attach(mem, &iol_kvm_memory, kvm). */
extern const struct iol_memory_user_ops iol_kvm_memory;

/** iol_kvm_irqfd() - Pulse, or with @resample (not -1) hold, GSI @gsi when @fd is signalled. */
int iol_kvm_irqfd(struct iol_kvm *kvm, uint32_t gsi, int fd, int resample);
void iol_kvm_irqfd_remove(struct iol_kvm *kvm, uint32_t gsi, int fd);

/** iol_kvm_pin() - The GSI of pin @pin of PCI slot @slot, for the VMM's ACPI tables (_PRT): 16 to 23. */
uint32_t iol_kvm_pin(unsigned int slot, unsigned int pin);

/* ---- a function, as the guest sees it ---- */

struct iol_pci_function;

/** Bytes of a PCI Express function's configuration space. */
#define IOL_PCI_CONFIG 4096u

/** iol_pci_function_destroy() - Take it from the guest and give back all it holds. Nulls *@fn; NULL is fine. */
void iol_pci_function_destroy(struct iol_pci_function **fn);

/**
 * iol_pci_config_read() - The guest reads its configuration space.
 * @off, @len: 1, 2 or 4 bytes, anywhere; beyond the space, or across its dwords, it reads as ones.
 */
uint32_t iol_pci_config_read(struct iol_pci_function *fn, unsigned int off, unsigned int len);

/** iol_pci_config_write() - The guest writes it. What it can't do is as if it had not been written. */
void iol_pci_config_write(struct iol_pci_function *fn, unsigned int off, unsigned int len,
			  uint32_t value);

/** struct iol_pci_bar - A BAR: its size in bytes (0: none), and what memory it asks for. */
struct iol_pci_bar {
	uint64_t size;
	bool is_64, prefetchable, io;
};

/** iol_pci_bar() - BAR @index, 0 to 5, or 6: the expansion ROM. */
void iol_pci_bar(const struct iol_pci_function *fn, unsigned int index, struct iol_pci_bar *bar);

/**
 * iol_pci_mmio() - The guest accesses memory that the machine has nothing at: is it this function's?
 * @data: @len bytes (1, 2, 4, 8), read or written.
 * Return: 1 if it was; 0 if it is none of this function's.
 */
int iol_pci_mmio(struct iol_pci_function *fn, uint64_t gpa, void *data, unsigned int len,
		 bool write);

/** iol_pci_io() - Likewise for ports. */
int iol_pci_io(struct iol_pci_function *fn, uint16_t port, void *data, unsigned int len,
	       bool write);

/** iol_pci_function_reset() - The machine is reset: the function is as after power-on, its BARs forgotten. */
int iol_pci_function_reset(struct iol_pci_function *fn);

/** iol_pci_function_fd() - Readable when iol_pci_function_poll() has something to do. It stays the function's. */
int iol_pci_function_fd(const struct iol_pci_function *fn);

/**
 * iol_pci_function_poll() - Do what came: errors of a device, messages of a back end, connecting anew.
 * Return: 0; -EIO: the device failed and the guest should be stopped; -ENODEV: the host wants it back: destroy it soon.
 */
int iol_pci_function_poll(struct iol_pci_function *fn);

/* ---- a function passed through ---- */

/**
 * struct iol_passthrough_spec - What to pass through.
 * @ctx: the guest's address space for devices, into which the function is taken (iol_vfio_open()).
 * @device: the device there, as iol_vfio_open() wants it.
 * @slot: where it will be on the guest's bus (INTx).
 * @no_rom: don't show its expansion ROM. @no_map: let each access to a BAR come through the VMM, for a debugger's eyes.
 */
struct iol_passthrough_spec {
	struct iol_context *ctx;
	struct iol_vfio_device_spec device;
	const struct iol_vm_ops *ops;
	void *vm;
	unsigned int slot;
	bool no_rom, no_map;
};

/**
 * iol_passthrough_new() - Take a function for a guest. Guest memory should be attached to @ctx afterwards, or have been
 * before (iol_context_memory).
 * Return: 0; iol_vfio_open()'s errors: -EBUSY: somebody has it already, such as another guest.
 */
int iol_passthrough_new(const struct iol_passthrough_spec *spec, struct iol_pci_function **fn);

/** iol_passthrough_device() - The device beneath, for migration and statistics. It stays the function's. */
struct iol_vfio_device *iol_passthrough_device(struct iol_pci_function *fn);

/** Reaches guest memory for the devices of a context: iol_guest_memory_attach(mem, &iol_context_memory, ctx). With type1, after
 * the first device was opened. */
extern const struct iol_memory_user_ops iol_context_memory;

/* ---- a virtio device that a vhost-user back end serves ---- */

/**
 * struct iol_virtio_spec - The device (virtio 1.3, 4.1: PCI, modern only).
 * @type: VIRTIO_ID_NET or VIRTIO_ID_BLOCK.
 * @path: of the back end's socket. It has to be there at the start; when it goes away later, the device stands still until it
 *        is back, and then goes on, without the guest noticing more than a delay. One that hangs is disconnected, too: calls of the
 *        function wait for it, in all, no longer than 11 s and a twentieth of the time that has passed.
 * @queues: of a disk, or pairs of a NIC; 0: as many as the back end has, up to @cpus.
 * @queue_size: 0 for 256.
 * @mac: of a NIC; all zero: the back end's, or a random one.
 * @standby: it stands by for a VF with the same @mac, which must be given (VIRTIO_NET_F_STANDBY; vmm_migration.h).
 * @memory: must be attached to nothing of this function; the function attaches itself.
 */
struct iol_virtio_spec {
	uint16_t type;
	const char *path;
	unsigned int queues, cpus;
	uint16_t queue_size;
	uint8_t mac[6];
	bool standby;
	struct iol_guest_memory *memory;
	const struct iol_vm_ops *ops;
	void *vm;
	unsigned int slot;
};

/** iol_virtio_new() - Connect, and make the device. Errors of iol_frontend_new() and iol_frontend_negotiate(). */
int iol_virtio_new(const struct iol_virtio_spec *spec, struct iol_pci_function **fn);

/** iol_virtio_stands_by() - Whether the guest's driver runs it, and as a standby: it may be given the VF. */
bool iol_virtio_stands_by(struct iol_pci_function *fn);

#ifdef __cplusplus
}
#endif
#endif
