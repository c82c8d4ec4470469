/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Handing devices over to the VMMs that people run: what QEMU, libvirt and Cloud Hypervisor have to be told of functions
 * bound to VFIO and of vhost-user back ends; and the same for a QEMU that runs, over its monitor (QMP).
 *
 * Nothing here looks at the host or starts anything. JSON is json-c's.
 *
 * Threads: one at a time for each QMP connection; the rest any.
 *
 * Each function returns 0 or a count, or a negative errno with the sentence set (iol_error()).
 */
#ifndef IOLANE_VMM_HANDOVER_H
#define IOLANE_VMM_HANDOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct json_object;

/* ---- what a guest shall have ---- */

enum iol_vmm_kind {
	IOL_VMM_VF,  /* a function that is bound to VFIO */
	IOL_VMM_BLK, /* a disk of a vhost-user back end */
	IOL_VMM_NET, /* a NIC of one */
};

/**
 * struct iol_vmm_device - A device. Texts stay the caller's.
 * @id: its name at the VMM: a letter, then letters, digits, "-", "_" and ".".
 * @where: the function's address with its domain, or the back end's socket.
 * @mac: of a NIC; NULL for the VMM's choice, which is often the same for all guests.
 * @bus: a PCIe port of a running QEMU; NULL for a port of its own.
 * @queues: of a disk, or pairs of a NIC; 0 for one.
 * @listen: the VMM listens on the socket, and the back end connects.
 * @packed: offer the guest packed rings.
 * @iommufd: the function is taken by iommufd and its own node, not by its group.
 * @standby: of a function: the id of the NIC, with the same MAC address, that the guest uses while the function is away, as when
 *           it is migrated; NULL for none. The NIC has @stands_by.
 * @stands_by: of a NIC: it is such a one (virtio 1.3, 5.1.3.1). It must know from its start on, and iol_vm_attach() is told of
 *             one device at a time, the NIC first; so who names it can't tell.
 */
struct iol_vmm_device {
	enum iol_vmm_kind kind;
	const char *id, *where, *mac, *bus, *standby;
	unsigned int queues;
	bool listen, packed, iommufd, stands_by;
};

/**
 * struct iol_vmm_guest - A guest.
 * @name: for libvirt.
 * @memory: bytes, whole MiB. @hugepage: size of the pages that it is in, in bytes; 0 for ordinary ones.
 * @kvm: else it is emulated.
 * @iommu: it has an IOMMU of its own.
 * @ports: free PCIe ports for what is plugged in later.
 */
struct iol_vmm_guest {
	const char *name;
	uint64_t memory, hugepage;
	unsigned int cpus;
	bool kvm, iommu;
	unsigned int ports;
	const struct iol_vmm_device *devices;
	unsigned int num_devices;
};

/**
 * struct iol_qemu - What a QEMU can be told.
 * @version: 100 * major + minor: 1000 is 10.0.
 * @knows: whether it has a type of an option ("device", "vfio-pci"), and this type a property, unless that is NULL.
 * @note: told in a sentence what is left away or replaced since this QEMU has it not; NULL if not wanted.
 */
struct iol_qemu {
	unsigned int version;
	bool (*knows)(void *ctx, const char *option, const char *type, const char *property);
	void (*note)(void *ctx, const char *sentence);
	void *ctx;
};

/**
 * iol_vmm_qemu_args() - The arguments of qemu-system-x86_64 for a guest, but what it boots from.
 * @args: an array of strings, option and value by turns, for the caller to put.
 *
 * Each is known to this QEMU. -ENOTSUP: something is not, without which it would not work; -EINVAL: a device can't be so.
 */
int iol_vmm_qemu_args(const struct iol_vmm_guest *guest, const struct iol_qemu *qemu,
		      struct json_object **args);

/** iol_vmm_libvirt_xml() - The guest as a domain of libvirt. @xml: for the caller to free. */
int iol_vmm_libvirt_xml(const struct iol_vmm_guest *guest, char **xml);

/** iol_vmm_cloud_hypervisor_args() - The arguments of cloud-hypervisor, as of iol_vmm_qemu_args(). */
int iol_vmm_cloud_hypervisor_args(const struct iol_vmm_guest *guest, struct json_object **args);

/* ---- a QEMU that runs (QEMU, docs/interop/qmp-spec.rst) ---- */

struct iol_qmp;

/**
 * iol_qmp_open() - Connect to a monitor's socket and agree on commands. A monitor talks to one at a time.
 * @timeout_ms: for this, and for the answer of each command.
 *
 * Return: -ETIMEDOUT: nothing came in time, as when somebody else talks to it; -EPROTO: that is no QMP.
 */
int iol_qmp_open(const char *path, unsigned int timeout_ms, struct iol_qmp **qmp);

/** iol_qmp_open_fd() - The same on a connected socket, which is owned by this from the call on. */
int iol_qmp_open_fd(int fd, unsigned int timeout_ms, struct iol_qmp **qmp);
void iol_qmp_close(struct iol_qmp **qmp);

/** iol_qmp_version() - As in struct iol_qemu. */
unsigned int iol_qmp_version(const struct iol_qmp *qmp);

/** iol_qmp_pid() - The process that listens, as the kernel says; 0 when it does not. */
int iol_qmp_pid(const struct iol_qmp *qmp);

/**
 * iol_qmp_call() - One command.
 * @args: belongs to this from the call on, whatever it returns; NULL for none.
 * @result: what it returns, for the caller to put; NULL if not wanted.
 *
 * Return: 0; -EREMOTEIO: QEMU refused, and the sentence ends with what it said; -ETIMEDOUT, -EPROTO, -ENOTCONN: the
 * connection has come to its end, and all that follows fails.
 */
int iol_qmp_call(struct iol_qmp *qmp, const char *command, struct json_object *args,
		 struct json_object **result);

/**
 * iol_qmp_event() - The next event, in their order.
 * @timeout_ms: wait so long for one; 0 to look only.
 * @event: for the caller to put.
 *
 * Return: 1, 0 when none came, or as of iol_qmp_call().
 */
int iol_qmp_event(struct iol_qmp *qmp, unsigned int timeout_ms, struct json_object **event);

/**
 * iol_vm_attach() - Plug a device into a running guest.
 * @bus: the port that it went to; may be NULL.
 *
 * What it takes is made on the way (iommufd, chardev, netdev), and on failure taken away again. Without @device->bus it
 * goes to the first free PCIe port that takes plugging.
 *
 * Return: 0; -ENOSPC: there is no free port; -EEXIST: the id is taken; others as of iol_qmp_call().
 */
int iol_vm_attach(struct iol_qmp *qmp, const struct iol_vmm_device *device,
		  void (*note)(void *ctx, const char *sentence), void *ctx, char bus[64]);

/**
 * struct iol_vm_detach_opts - How to take a device out.
 * @timeout_ms: how long the guest may take to let go.
 * @waiting: told now and then how long it has been; NULL if not wanted.
 */
struct iol_vm_detach_opts {
	unsigned int timeout_ms;
	void (*waiting)(void *ctx, unsigned int ms);
	void *ctx;
};

/**
 * struct iol_vm_detached - What was taken out.
 * @driver: QEMU's name of its kind. @host: the address of a function, else empty.
 */
struct iol_vm_detached {
	char driver[64], host[32];
};

/**
 * iol_vm_detach() - Ask the guest to let a device go, wait for that, and take away what belongs to it: chardev, netdev, and
 * an iommufd that iol_vm_attach() made, if nobody uses it any more.
 *
 * Return: 0; -ENODEV: no device has this id; -EBUSY: the guest refused; -ETIMEDOUT: it has not let go in time, and the
 * device is where it was; others as of iol_qmp_call().
 */
int iol_vm_detach(struct iol_qmp *qmp, const char *id, const struct iol_vm_detach_opts *opts,
		  struct iol_vm_detached *detached);

#ifdef __cplusplus
}
#endif
#endif
