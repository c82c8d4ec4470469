/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PCI devices in safe hands: what a host has and what stands in the way, taking devices from their drivers and
 * giving them back, and the device itself: DMA through the IOMMU, interrupts, reset.
 *
 * What is here reads a host's files, and changes who has a device; iolane/vfio_device.h, which comes along, speaks to VFIO
 * (linux/vfio.h) and to iommufd (linux/iommufd.h).
 *
 * Threads: a host may be read by several threads. A context and its devices are used by one thread at a
 * time, but for what says otherwise; interrupts come as eventfds, which any thread may wait for.
 *
 * Each function returns 0 or a count, or a negative errno with the sentence set (iol_error()).
 */
#ifndef IOLANE_VFIO_H
#define IOLANE_VFIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IOL_NAME_MAX 64

/* ---- the host ---- */

struct iol_host;

/**
 * iol_host_new() - The machine to look at.
 * @root: a folder that holds its sys, proc and dev; NULL or "/" for this machine. Another is a copy of a machine's
 *        files, which can be looked at only.
 */
int iol_host_new(const char *root, struct iol_host **host);
void iol_host_destroy(struct iol_host **host);

/* ---- addresses and names ---- */

/** struct iol_pci_addr - Domain, bus, device and function. */
struct iol_pci_addr {
	uint32_t domain;
	uint8_t bus, dev, fn;
};

#define IOL_PCI_ADDR_MAX 17 /* bytes of "0000:01:10.0", and of domains with eight digits */

/** iol_pci_addr_parse() - Read "0000:01:10.0" or "01:10.0". -EINVAL: it is neither. */
int iol_pci_addr_parse(const char *text, struct iol_pci_addr *addr);

/** iol_pci_addr_format() - Write it as sysfs does, with its domain. Return: @buf. */
const char *iol_pci_addr_format(const struct iol_pci_addr *addr, char buf[IOL_PCI_ADDR_MAX]);

/** iol_pci_addr_equal() - Whether they are the same. */
bool iol_pci_addr_equal(const struct iol_pci_addr *a, const struct iol_pci_addr *b);

/**
 * iol_pci_find() - The function that a name means: an address, a network interface ("eth3"), an NVMe device
 * ("nvme0", "nvme0n1" or "/dev/nvme0n1"), or a VF by the function that made it and its index ("eth3/vf2",
 * "0000:01:00.0/vf2").
 *
 * Names that reach a function through another device (a USB adapter's interface) do not mean it.
 *
 * Return: 0; -ENODEV when there is none; -EINVAL when it is no name of these kinds, of no PCI function, or (an NVMe
 * namespace with several controllers) of more than one.
 */
int iol_pci_find(const struct iol_host *host, const char *name, struct iol_pci_addr *addr);

/* ---- functions ---- */

/**
 * struct iol_pci_info - What sysfs says of a function. Its configuration space is not touched: that would wake up a
 * function that sleeps.
 * @class: base class, subclass and programming interface, as in 0x020000.
 * @driver, @driver_override: empty for none.
 * @numa_node, @iommu_group: -1 for none.
 * @vfs, @vfs_max: VFs that there are, and may be. @is_vf: it is one, number @vf_index of @pf's.
 * @is_bridge: of base class 0x06.
 * @boot_vga: the console's.
 * @netdev: its first network interface by name, or empty. @nvme: its controller ("nvme0"), or empty.
 */
struct iol_pci_info {
	struct iol_pci_addr addr;
	uint16_t vendor, device, subsystem_vendor, subsystem_device;
	uint32_t class;
	uint8_t revision;
	char driver[IOL_NAME_MAX], driver_override[IOL_NAME_MAX];
	int numa_node, iommu_group;
	unsigned int vfs, vfs_max;
	bool is_vf, is_bridge, boot_vga;
	struct iol_pci_addr pf;
	unsigned int vf_index;
	char netdev[IOL_NAME_MAX], nvme[IOL_NAME_MAX];
};

/** iol_pci_info() - Of one function. -ENODEV: there is none at this address. */
int iol_pci_info(const struct iol_host *host, const struct iol_pci_addr *addr,
		 struct iol_pci_info *info);

/**
 * iol_pci_list() - Of all functions, by address; @revision and @driver_override are left to iol_pci_details().
 * @list: the caller frees it; NULL when there is none.
 *
 * Return: how many.
 */
int iol_pci_list(const struct iol_host *host, struct iol_pci_info **list);

/** iol_pci_details() - What few ask of all functions and reading takes long: @revision and @driver_override. */
void iol_pci_details(const struct iol_host *host, struct iol_pci_info *info);

/* ---- IOMMU groups (Documentation/driver-api/vfio.rst, "Groups, Devices, and IOMMUs") ---- */

/** enum iol_member_state - How a function stands to its group being ours. */
enum iol_member_state {
	IOL_MEMBER_FREE,   /* no driver */
	IOL_MEMBER_VFIO,   /* a driver of VFIO's, or a stub that touches nothing */
	IOL_MEMBER_BRIDGE, /* stays as it is: the kernel does not count it */
	IOL_MEMBER_BLOCKS, /* another driver: nobody gets the group before it lets go */
};

struct iol_group_member {
	struct iol_pci_info pci;
	enum iol_member_state state;
};

/**
 * iol_group_members() - The functions of an IOMMU group, by address.
 * @members: the caller frees it.
 *
 * Return: how many; -ENOENT: there is no such group.
 */
int iol_group_members(const struct iol_host *host, int group, struct iol_group_member **members);

/* ---- ACS: what keeps functions of different groups apart (PCIe 6.0, 6.12 and 7.7.11) ---- */

/** The bits of the ACS capability and control registers. */
#define IOL_ACS_SOURCE_VALIDATION    0x01u
#define IOL_ACS_TRANSLATION_BLOCKING 0x02u
#define IOL_ACS_REQUEST_REDIRECT     0x04u
#define IOL_ACS_COMPLETION_REDIRECT  0x08u
#define IOL_ACS_UPSTREAM_FORWARDING  0x10u
#define IOL_ACS_EGRESS_CONTROL       0x20u
#define IOL_ACS_DIRECT_TRANSLATED    0x40u
/* Without these the kernel puts functions into one group (drivers/iommu/iommu.c, REQ_ACS_FLAGS). */
#define IOL_ACS_REQUIRED                                                                           \
	(IOL_ACS_SOURCE_VALIDATION | IOL_ACS_REQUEST_REDIRECT | IOL_ACS_COMPLETION_REDIRECT |      \
	 IOL_ACS_UPSTREAM_FORWARDING)

/**
 * struct iol_acs_hop - A function on the way to the root complex.
 * @type: PCIe device/port type (7.5.3.2: 0 endpoint, 4 root port, 5 upstream, 6 downstream port …); -1: no PCIe.
 * @readable: its configuration space could be read that far (it takes CAP_SYS_ADMIN).
 * @has_acs, @cap, @ctrl: the capability, what it can do, what is switched on.
 * @missing: bits of IOL_ACS_REQUIRED that should be on here and are not; 0 where none need be, or where it is not
 *           @readable. The kernel knows hardware that isolates without saying so: groups tell what it decided.
 */
struct iol_acs_hop {
	struct iol_pci_addr addr;
	int type;
	bool readable, multifunction, has_acs;
	uint16_t cap, ctrl, missing;
};

/**
 * iol_acs_path() - From a function up to its root port.
 * @hops: the caller frees it; the function itself comes first.
 *
 * Return: how many; -ENODEV: there is no such function.
 */
int iol_acs_path(const struct iol_host *host, const struct iol_pci_addr *addr,
		 struct iol_acs_hop **hops);

/** iol_acs_bit() - A bit's name and what it means for isolation; NULL for what is no bit of these. */
const char *iol_acs_bit(uint16_t bit, const char **meaning);

/* ---- IOMMUs ---- */

enum iol_known { IOL_UNKNOWN = -1, IOL_NO, IOL_YES };

/**
 * struct iol_iommu_info - An IOMMU, or what stands for all of them.
 * @name: as in sysfs ("dmar0", "ivhd0", "virtio0"); @kind: "intel", "amd", "virtio", "arm-smmu-v3", or "other".
 * @cap, @ecap: Intel's registers; AMD: the capability header and the Extended Feature Register; else 0.
 * @remapping: interrupts are remapped; @posted: they can be posted.
 * @address_bits: of IOVAs at most; 0 unknown.
 * @page_sizes: a bit for each; 0 unknown.
 */
struct iol_iommu_info {
	char name[IOL_NAME_MAX], kind[16];
	uint64_t cap, ecap;
	enum iol_known remapping, posted;
	unsigned int address_bits;
	uint64_t page_sizes;
};

/**
 * iol_iommu_list() - The IOMMUs of a host.
 * @list: the caller frees it.
 *
 * @remapping is what the unit can do; whether the kernel does it is iol_iommu_remaps()'s to say.
 *
 * Return: how many.
 */
int iol_iommu_list(const struct iol_host *host, struct iol_iommu_info **list);

/**
 * iol_iommu_remaps() - Whether the kernel remaps interrupts: from /proc/interrupts (chips named "IR-…" on x86, "ITS-…"
 * on ARM). Unknown where no interrupt tells.
 * @where: what it was read off, for people; NULL if not wanted.
 */
enum iol_known iol_iommu_remaps(const struct iol_host *host, const char **where);

/** enum iol_resv - Kinds of reserved regions (/sys/kernel/iommu_groups/N/reserved_regions). */
enum iol_resv { IOL_RESV_DIRECT, IOL_RESV_DIRECT_RELAXABLE, IOL_RESV_RESERVED, IOL_RESV_MSI };

struct iol_resv_region {
	uint64_t first, last;
	enum iol_resv kind;
};

/**
 * iol_group_reserved() - What IOVAs of a group are not for DMA. A region of IOL_RESV_DIRECT (RMRR, unity
 * mapping) keeps the group from being taken at all.
 * @regions: the caller frees it; NULL when there is none.
 *
 * Return: how many; -ENOENT: there is no such group; -EPROTO: the kernel said what is not understood.
 */
int iol_group_reserved(const struct iol_host *host, int group, struct iol_resv_region **regions);

/** iol_group_type() - Its default domain ("DMA", "DMA-FQ", "identity", "blocked"); empty when unknown. */
int iol_group_type(const struct iol_host *host, int group, char type[IOL_NAME_MAX]);

/* ---- what a function is in use for ---- */

enum iol_use_kind {
	IOL_USE_ROUTE,   /* the default route */
	IOL_USE_SSH,     /* an address that a session of this login comes by */
	IOL_USE_MASTER,  /* beneath a bridge, bond, team or VLAN */
	IOL_USE_NETNS,   /* an interface in another network namespace, as containers have */
	IOL_USE_ADDRESS, /* an interface that is up and has an address */
	IOL_USE_MOUNT,   /* a mounted file system */
	IOL_USE_SWAP,
	IOL_USE_STACK, /* beneath LVM, MD, dm-crypt, … */
	IOL_USE_CONSOLE,
	IOL_USE_PROCESS, /* a process has the VFIO group or device open */
	IOL_USE_VFS,     /* VFs of it are in use */
};

/**
 * struct iol_use - A use.
 * @addr: of what function.
 * @harmful: taking it away would cut somebody off, so it is refused.
 * @what: a sentence: "eth0 carries the default route (via 10.0.0.1)".
 * @pid: of IOL_USE_PROCESS, if it is known for sure; else 0.
 */
struct iol_use {
	struct iol_pci_addr addr;
	enum iol_use_kind kind;
	bool harmful;
	pid_t pid;
	char what[192];
};

/**
 * iol_pci_uses() - What a function is in use for, the worst first.
 * @uses: the caller frees it; NULL when there is none.
 *
 * Processes are seen as far as the caller may look at their descriptors; where only that a device is in use is sure
 * (its interrupts are set up, or its group is not to be had, which is tried), those that have any are named as such.
 * Interfaces in the caller's network namespace
 * and default routes in the main table. Sessions are told by sshd's port (22) and by what the caller and those who
 * started it were told by sshd.
 *
 * Return: how many.
 */
int iol_pci_uses(const struct iol_host *host, const struct iol_pci_addr *addr,
		 struct iol_use **uses);

/** iol_pci_uses_all() - iol_pci_uses() of all functions in one go, by address. */
int iol_pci_uses_all(const struct iol_host *host, struct iol_use **uses);

/** iol_pci_uses_listed() - iol_pci_uses_all() when iol_pci_list() has been asked already: half of the work. */
int iol_pci_uses_listed(const struct iol_host *host, const struct iol_pci_info *list, int count,
			struct iol_use **uses);

/* ---- taking devices and giving them back ---- */

/**
 * struct iol_step - One change of a host: a property of a thing, from what it was to what it shall be.
 * @kind: the property: "driver", "driver_override", "module", "device node", "node", "udev rule".
 * @what: the thing: a function's address, a driver, a path.
 * @value, @was: empty for none. Of a driver, "*" is the one that the kernel chooses. Of a node, "UID:GID:MODE".
 */
struct iol_step {
	char kind[24];
	char what[IOL_NAME_MAX], value[IOL_NAME_MAX], was[IOL_NAME_MAX];
};

/** enum iol_step_event - How far a step has come. */
enum iol_step_event {
	IOL_STEP_PLANNED, /* would be made, but for dry_run */
	IOL_STEP_BEGUN,   /* is in the journal, about to be made */
	IOL_STEP_MADE,    /* is made, and not yet marked as such in the journal */
	IOL_STEP_DONE,
	IOL_STEP_UNDOING, /* about to be put back as it was */
	IOL_STEP_UNDONE,
	IOL_STEP_LEFT, /* not put back: the thing has gone, or somebody else has changed it since */
};

/**
 * struct iol_change_opts - How to change a host. All zero is a good start.
 * @dry_run: change nothing, only say the steps.
 * @unfinished: iol_undo() takes back only what was left in the middle.
 * @step: told of each step as it goes, on the caller's thread; NULL if not wanted. A negative errno at
 *        IOL_STEP_BEGUN, _MADE or _DONE makes the change fail there, with the sentence that is set.
 * @ahead: told how many steps come, before the first of them is made or put back; NULL if not wanted.
 * @may_take: iol_bind() and iol_unbind() ask before they take a function from its driver, while nobody else changes
 *            the host: 0, or a negative errno with the sentence set, which refuses it; NULL for nothing against it.
 * @state_dir: where the journal is kept while this host runs; NULL for /run/iolane.
 * @rules_dir: of udev; NULL for /etc/udev/rules.d.
 */
struct iol_change_opts {
	bool dry_run, unfinished;
	int (*step)(void *opaque, enum iol_step_event event, const struct iol_step *step);
	void (*ahead)(void *opaque, unsigned int count);
	int (*may_take)(void *opaque, const struct iol_pci_addr *addr);
	void *opaque;
	const char *state_dir, *rules_dir;
};

/**
 * struct iol_bind_opts - How to take devices.
 * @driver: NULL for "vfio-pci".
 * @with_group: also take what else is in their IOMMU groups and has a driver of the host's.
 * @persist: also after the next start of the host, with the owners of nodes, by a udev rule for the devices' paths.
 *           Nothing is refused then, whatever the devices are in use for.
 * @owned: give the nodes in /dev/vfio to @uid and @gid; with @iommufd /dev/iommu too.
 */
struct iol_bind_opts {
	struct iol_change_opts change;
	const char *driver;
	bool with_group, persist, owned, iommufd;
	uid_t uid;
	gid_t gid;
};

/**
 * iol_pci_find_late() - As iol_pci_find(), but while udev is still busy a device or its name may be about to
 * come: that is waited for, 10 s at most.
 */
int iol_pci_find_late(const struct iol_host *host, const char *name, struct iol_pci_addr *addr);

/**
 * iol_bind() - Take functions from their drivers and give them to one of VFIO's: all, or on failure none.
 *
 * What was there before goes into a journal first, for iol_unbind() and iol_undo(), also should this process die.
 * It is refused while somebody would be cut off by it (iol_pci_uses()), while another function of an IOMMU group
 * stays with a driver of the host's, and while an earlier change is left in the middle.
 *
 * Return: how many steps were made, 0 when all was so already; -EBUSY: it is refused; -EPERM: not root;
 * -EROFS: the host is a copy; others from the kernel.
 */
int iol_bind(const struct iol_host *host, const struct iol_pci_addr *addrs, unsigned int count,
	     const struct iol_bind_opts *opts);

/**
 * iol_unbind() - Give functions back: to what the journal says was there before iol_bind(), or where it
 * says nothing, to the driver that the kernel chooses. Their udev rules go.
 *
 * Return: how many steps were made or undone, 0 when none was taken; -EBUSY: a process has one open, which the
 * sentence names; others as above. What could not be put back stays in the journal.
 */
int iol_unbind(const struct iol_host *host, const struct iol_pci_addr *addrs, unsigned int count,
	       const struct iol_change_opts *opts);

/**
 * iol_undo() - Take back the last change in the journal, whole or left in the middle.
 *
 * Return: how many steps were undone, 0 when who made or undid it had died before the first or after the last;
 * -ENOENT: there is no (unfinished) change to take back; others as of iol_unbind().
 */
int iol_undo(const struct iol_host *host, const struct iol_change_opts *opts);

#ifdef __cplusplus
}
#endif

#include <iolane/vfio_device.h>

#endif
