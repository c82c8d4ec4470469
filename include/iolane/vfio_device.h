/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The second half of iolane/vfio.h, which includes it: contexts, DMA, devices, interrupts, reset, features, migration.
 */
#ifndef IOLANE_VFIO_DEVICE_H
#define IOLANE_VFIO_DEVICE_H

#include <iolane/vfio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- contexts ---- */

struct iol_context;
struct iol_vfio_device;

/** enum iol_context_kind - What stands between devices and memory. */
enum iol_context_kind {
	IOL_CONTEXT_AUTO,           /* iommufd where kernel and devices have it, else type1 */
	IOL_CONTEXT_IOMMUFD,        /* /dev/iommu and devices' own nodes in /dev/vfio/devices */
	IOL_CONTEXT_TYPE1,          /* a container, /dev/vfio/vfio: type1v2, else type1 */
	IOL_CONTEXT_UNSAFE_NOIOMMU, /* nothing at all: the device reaches all of the machine's memory */
};

/**
 * struct iol_context_spec - What a context shall be. All zero is what most want.
 * @fd: above 0: /dev/iommu or /dev/vfio/vfio, opened by somebody else; @kind must say which. It stays the
 *      caller's, the context works on a duplicate.
 * @unsafe_interrupts: take devices, too, whose interrupts are not remapped: they can then write any interrupt
 *      of the machine. The kernel has to be told as well (allow_unsafe_interrupts).
 */
struct iol_context_spec {
	enum iol_context_kind kind;
	int fd;
	bool unsafe_interrupts;
};

/**
 * iol_context_new() - An address space for devices, without any device as yet.
 * @host: this machine; it must outlive the context.
 * @spec: NULL for all zero.
 *
 * Return: 0; -ENODEV: the kernel has no VFIO; -EACCES: its nodes are not ours to open; -EINVAL: @host is a copy.
 */
int iol_context_new(const struct iol_host *host, const struct iol_context_spec *spec,
		    struct iol_context **ctx);

/** iol_context_destroy() - Let go of it. It and its DMA mappings end with the last of its devices. */
void iol_context_destroy(struct iol_context **ctx);

/** struct iol_iova_range - IOVAs from @first to @last. */
struct iol_iova_range {
	uint64_t first, last;
};

/**
 * struct iol_context_info - What a context can do. With type1 it is known once there is a device, and with
 * both it may shrink with each device.
 * @name: "iommufd", "type1v2", "type1" or "noiommu".
 * @page_sizes: a bit for each; IOVAs, addresses and lengths are multiples of the smallest.
 * @ranges: IOVAs that may be mapped, without what is reserved; the context's, until the next device.
 * @entries: mappings that there are. @entries_left: that the kernel still takes; UINT32_MAX without a limit.
 */
struct iol_context_info {
	const char *name;
	enum iol_context_kind kind;
	uint64_t page_sizes;
	const struct iol_iova_range *ranges;
	size_t num_ranges, entries;
	uint32_t entries_left;
};

/** iol_context_info() - Ask for it. */
int iol_context_info(struct iol_context *ctx, struct iol_context_info *info);

/* ---- DMA ---- */

#define IOL_DMA_READ  1u /* the device may read */
#define IOL_DMA_WRITE 2u /* the device may write */

/** Any IOVA will do. */
#define IOL_IOVA_ANY UINT64_MAX

/**
 * struct iol_dma_region - Memory for devices.
 * @addr: where it is in this process; NULL: map @len bytes of @fd from @offset on, and tell where.
 * @len: in bytes; like @addr, @offset and @iova a multiple of the smallest page size.
 * @iova: where devices shall see it, or IOL_IOVA_ANY, and then it is told.
 * @limit: the last IOVA that @iova may reach if any will do, for devices with few address bits; 0: no limit.
 * @access: IOL_DMA_READ, IOL_DMA_WRITE.
 */
struct iol_dma_region {
	void *addr;
	int fd;
	uint64_t offset, len, iova, limit;
	unsigned int access;
};

/**
 * iol_dma_map() - Let the context's devices reach memory: all of the regions, or none.
 *
 * Regions that are neighbours by IOVA, have the same access, and are neighbours in memory or come by @fd, become
 * one entry of the kernel's table; they are then unmapped together. Memory by @fd is laid out so that huge pages of
 * memory are huge pages of the IOMMU. Everything is pinned, which RLIMIT_MEMLOCK bounds: it is raised if
 * that is allowed; what is locked already counts, too. A BAR that was mapped with iol_vfio_region_map() may be @addr where the
 * kernel can (type1), and does not count.
 *
 * Return: how many entries were used; -ENOMEM: memory, or RLIMIT_MEMLOCK, with the line that mends it;
 * -ENOSPC: more entries than the kernel has left, or no IOVA; -ERANGE: IOVAs that are reserved or out of range; -EEXIST: some are mapped;
 * -EINVAL: a region is none; -ENODEV: there is no device yet (type1).
 */
int iol_dma_map(struct iol_context *ctx, struct iol_dma_region *regions, size_t num);

/**
 * iol_dma_unmap() - Take memory away from devices again; what iol_dma_map() mapped by @fd is unmapped from the
 * process, too.
 *
 * Return: how many entries; -ENOENT: nothing is mapped there; -EINVAL: an entry lies only partly in it; others from the
 * kernel, and then those before the one that is named are unmapped.
 */
int iol_dma_unmap(struct iol_context *ctx, uint64_t iova, uint64_t len);

/**
 * iol_memlock() - Let this process lock @need bytes of memory: RLIMIT_MEMLOCK is raised if it is lower.
 *
 * Return: 0; -ENOMEM: it can't be, and the sentence has the line that mends it.
 */
int iol_memlock(uint64_t need);

/* ---- dirty tracking: which pages devices wrote, for live migration ---- */

/**
 * enum iol_dirty_source - Who tells what a device wrote, from the least exact on.
 *
 * IOL_DIRTY_MAPPED: nobody; all that it may write counts as written, at each read (iommufd with an IOMMU that does not
 * keep track; type1 before Linux 5.8, or its version 1).
 * IOL_DIRTY_PINNED: type1 (VFIO_IOMMU_DIRTY_PAGES). It knows what mediated devices pinned; with any other device in the
 * context it says of all mapped pages that they were written, at each read.
 * IOL_DIRTY_IOMMU: the IOMMU's dirty bits, by iommufd (IOMMU_HWPT_GET_DIRTY_BITMAP, Linux 6.7). Exact to the IOMMU's own pages:
 * where it maps 2 MiB as one, a byte written makes 512 pages dirty, unless the kernel maps small ones.
 * IOL_DIRTY_DEVICE: the device's own log (VFIO_DEVICE_FEATURE_DMA_LOGGING_START), exact to the pages it chose. One that fails
 * once is not used any more: the device is IOL_DIRTY_MAPPED from then on.
 *
 * The last two were seen against a model of the kernel only; no emulated hardware has them.
 */
enum iol_dirty_source {
	IOL_DIRTY_MAPPED,
	IOL_DIRTY_PINNED,
	IOL_DIRTY_IOMMU,
	IOL_DIRTY_DEVICE,
};

/**
 * iol_dirty_start() - Keep track from now on of what the context's devices write, each by the most exact source that
 * it has.
 *
 * Devices log what is mapped now. Memory that is mapped later and lies outside of that counts as written, whole, at
 * each read; a device that comes when nothing is mapped uses another source. Devices may come and go, and memory,
 * too: what was written is kept until it is read. What a device writes while it is being closed, or while its memory is being
 * unmapped, may be missed by IOL_DIRTY_DEVICE and IOL_DIRTY_IOMMU respectively.
 *
 * Return: 0; -EBUSY: it is kept already; -EOPNOTSUPP: without an IOMMU; -E2BIG: an entry is larger than the kernel's
 * bitmap; others from the kernel, and then nothing is kept.
 */
int iol_dirty_start(struct iol_context *ctx);

/** iol_dirty_stop() - No more, and forget what was not read. -EINVAL: it is not kept. */
int iol_dirty_stop(struct iol_context *ctx);

/**
 * iol_dirty_source() - The least exact source of the context's devices; without devices the most exact.
 *
 * Return: enum iol_dirty_source; -EINVAL: it is not kept.
 */
int iol_dirty_source(const struct iol_context *ctx);

/**
 * iol_dirty_read() - What devices wrote since it was last read, or since the start; it is then no longer told.
 * @iova, @len: multiples of @page_size, mapped or not. Large ones are best: type1 reads an entry (iol_dma_map()) whole.
 * @page_size: of a bit's page: a power of 2, at least 4096.
 * @bitmap: a bit for each page from @iova on, which is set if the page was written, and else left as it is. Page n is bit n % 64
 *          of word n / 64, as in KVM's (KVM_GET_DIRTY_LOG) and vhost-user's logs, for which words are little-endian.
 *
 * A page is told before it is copied: what is written meanwhile is told by the next read. A BAR that was mapped
 * for DMA counts like memory.
 *
 * Return: 0; -EINVAL: it is not kept, or not pages; -ENOMEM, or what the source failed with: @bitmap is as it was, and what
 * is not known will be told as written by the next read that works.
 */
int iol_dirty_read(struct iol_context *ctx, uint64_t iova, uint64_t len, uint64_t page_size,
		   uint64_t *bitmap);

/* ---- devices ---- */

/**
 * struct iol_vfio_device_spec - The device to open.
 * @mdev: a mediated device's UUID, instead of @addr; NULL for none. Such a device is software of the kernel's, which
 *        reaches the context's memory for it and signals its interrupts: so it needs neither an IOMMU nor remapping, and
 *        is kept apart from others as well as its driver does it.
 * @fd: above 0: its node in /dev/vfio/devices (iommufd) or its group's (type1), opened by somebody else, who may have
 *      more rights. It stays the caller's, but closing the device does not free it for others before the caller closes it.
 * @vf_token: 16 bytes that a VF's PF demands (VFIO_DEVICE_FEATURE_PCI_VF_TOKEN); NULL for none. type1 only.
 */
struct iol_vfio_device_spec {
	struct iol_pci_addr addr;
	const char *mdev;
	int fd;
	const uint8_t *vf_token;
};

/**
 * iol_vfio_open() - Take a device that is bound to a driver of VFIO's into a context.
 *
 * Its DMA is translated and its interrupts are remapped from here on, or it is not opened. It is reset, as far as it
 * can be, by the kernel.
 *
 * Return: 0; -ENODEV: there is no such device, or its driver is none of VFIO's; -EBUSY: somebody has it; -EPERM: the
 * interrupts are not remapped, the group is not ours as a whole, or the kernel has forbidden it; -EACCES: its node is
 * not ours to open; -EOPNOTSUPP: it is a mediated device that is none of PCI's; -EINVAL: @mdev is no UUID, or @fd is
 * another's.
 */
int iol_vfio_open(struct iol_context *ctx, const struct iol_vfio_device_spec *spec,
		  struct iol_vfio_device **dev);

/** iol_vfio_close() - Give it back: interrupts end, the kernel resets it. Mapped regions stay mapped, and fault. */
void iol_vfio_close(struct iol_vfio_device **dev);

/** iol_vfio_fd() - Its descriptor, for what this library lacks. It stays the device's. */
int iol_vfio_fd(const struct iol_vfio_device *dev);

/** Regions by number: BARs are 0 to 5 (linux/vfio.h, VFIO_PCI_*_REGION_INDEX). */
#define IOL_REGION_ROM    6u
#define IOL_REGION_CONFIG 7u
#define IOL_REGION_VGA    8u

/**
 * struct iol_vfio_region - A BAR, the configuration space, or what else the kernel shows.
 * @size: in bytes; 0: there is none.
 * @areas: parts that may be mapped, by offset; the device's.
 */
struct iol_vfio_region {
	uint64_t size;
	bool readable, writable;
	const struct iol_iova_range *areas;
	size_t num_areas;
};

/** iol_vfio_region_info() - Of one region. -ENOENT: there is no such number. */
int iol_vfio_region_info(const struct iol_vfio_device *dev, unsigned int index,
			 struct iol_vfio_region *region);

/** iol_vfio_region_read() - Through the kernel. -ERANGE: it lies not in the region; -EIO: less came. */
int iol_vfio_region_read(const struct iol_vfio_device *dev, unsigned int index, uint64_t offset,
			 void *buf, size_t len);
int iol_vfio_region_write(const struct iol_vfio_device *dev, unsigned int index, uint64_t offset,
			  const void *buf, size_t len);

/**
 * iol_vfio_region_map() - Map a part of a BAR.
 * @len: multiples of the page size, like @offset; all of it must lie in one of the region's areas.
 * @addr: the caller unmaps it (munmap). Registers are volatile.
 */
int iol_vfio_region_map(const struct iol_vfio_device *dev, unsigned int index, uint64_t offset,
			size_t len, void **addr);

/**
 * iol_vfio_cap() - Where a capability is in the configuration space (PCI 3.0, 6.7; PCIe 6.0, 7.9).
 * @extended: one of the list that begins at 0x100.
 *
 * Return: its offset; -ENOENT: the device has none, or its list is broken before it.
 */
int iol_vfio_cap(const struct iol_vfio_device *dev, uint16_t id, bool extended);

/* ---- interrupts ---- */

/** enum iol_irq - Kinds of interrupts, as numbered in linux/vfio.h (VFIO_PCI_*_IRQ_INDEX). */
enum iol_irq {
	IOL_IRQ_INTX,
	IOL_IRQ_MSI,
	IOL_IRQ_MSIX,
	IOL_IRQ_ERROR,   /* the device or its link failed (AER) */
	IOL_IRQ_REQUEST, /* the kernel wants the device back: close it soon */
	IOL_IRQ_KINDS,
};

/**
 * struct iol_irq_info - What there is of a kind.
 * @count: vectors; 0: none.
 * @maskable: the kernel masks them. @automasked: it masks each that comes (INTx).
 * @dynamic: vectors can be added while others are in use; otherwise those are interrupted.
 */
struct iol_irq_info {
	unsigned int count;
	bool maskable, automasked, dynamic;
};

/** iol_irq_info() - Of one kind. */
int iol_irq_info(const struct iol_vfio_device *dev, enum iol_irq kind, struct iol_irq_info *info);

/**
 * iol_irq_set() - Where interrupts go: an eventfd for each vector from @start on.
 * @fds: -1: to nobody. They stay the caller's; the kernel has its own hold on them.
 *
 * Where the kernel can't add vectors to those in use (not @dynamic), all are taken down and set up again; whoever had one
 * is then signalled once more than the device did, as nobody knows what was lost meanwhile. A device has
 * INTx, MSI or MSI-X at a time: -EBUSY while another is in use.
 */
int iol_irq_set(struct iol_vfio_device *dev, enum iol_irq kind, unsigned int start, const int *fds,
		unsigned int num);

/** iol_irq_clear() - No more interrupts of a kind. */
int iol_irq_clear(struct iol_vfio_device *dev, enum iol_irq kind);

/**
 * iol_irq_mask() - Hold a vector back until iol_irq_unmask().
 *
 * INTx is masked by the kernel, and comes afterwards if its line is still up. MSI-X keeps a vector pending in the device. MSI
 * mostly can't: what comes is kept here, and handed on once by iol_irq_unmask().
 */
int iol_irq_mask(struct iol_vfio_device *dev, enum iol_irq kind, unsigned int vector);
int iol_irq_unmask(struct iol_vfio_device *dev, enum iol_irq kind, unsigned int vector);

/** iol_irq_resample() - Unmask INTx whenever @fd is written, without a system call of ours (KVM's resamplefd); -1: no more. */
int iol_irq_resample(struct iol_vfio_device *dev, int fd);

/* ---- reset ---- */

#define IOL_RESET_METHODS 8

/**
 * struct iol_reset_methods - How the kernel can reset a function, in the order it tries (sysfs, reset_method).
 * @name: "flr", "af_flr", "pm", "bus", "device_specific", "acpi", "cxl_bus".
 */
struct iol_reset_methods {
	unsigned int num;
	char name[IOL_RESET_METHODS][24];
};

/** iol_reset_methods() - Of a function; none is no failure. -ENODEV: there is no such function. */
int iol_reset_methods(const struct iol_host *host, const struct iol_pci_addr *addr,
		      struct iol_reset_methods *methods);

/**
 * struct iol_reset_report - What came of a reset.
 * @method: what the kernel tries first; empty if it does not tell.
 * @happened: IOL_YES: a register that only a reset changes was found changed (the mask bit of an MSI-X vector that is not
 *      in use: PCIe 6.0, 7.7.2.9). IOL_NO: it was not, whatever the kernel said. IOL_UNKNOWN: there was no such register.
 */
struct iol_reset_report {
	char method[24];
	enum iol_known happened;
};

/**
 * iol_vfio_reset() - Reset this function alone. Its interrupts should be off; its configuration space is put back by the kernel.
 * @report: NULL if not wanted.
 *
 * Return: 0; -ENOTTY: the kernel knows no way that leaves others alone (iol_vfio_hot_reset() may be one).
 */
int iol_vfio_reset(struct iol_vfio_device *dev, struct iol_reset_report *report);

/** struct iol_reset_peer - Who is reset, too. @ours: it is in the same context. */
struct iol_reset_peer {
	struct iol_pci_addr addr;
	bool ours;
};

/**
 * iol_hot_reset_peers() - All that a reset of the bus or slot touches, with the device itself.
 * @peers: the caller frees it.
 *
 * Return: how many; -ENODEV: there is no such reset.
 */
int iol_hot_reset_peers(const struct iol_vfio_device *dev, struct iol_reset_peer **peers);

/**
 * iol_vfio_hot_reset() - Reset the bus or slot.
 *
 * Return: 0; -EPERM: it touches others, who are named; -EINVAL: there are VFs on it, which the kernel never resets so.
 */
int iol_vfio_hot_reset(struct iol_vfio_device *dev);

/* ---- features (linux/vfio.h, VFIO_DEVICE_FEATURE) ---- */

/** iol_vfio_has() - Whether a device has a feature, by its number: VFIO_DEVICE_FEATURE_*. */
bool iol_vfio_has(const struct iol_vfio_device *dev, uint16_t feature);

/**
 * iol_vfio_low_power() - Let a device that is not in use sleep, or wake it.
 * @wakeup: an eventfd that is signalled when the device wants to be woken; -1: any access to it wakes it for as long.
 *
 * Mapped BARs fault while it sleeps. Return: 0; -ENOTTY: it can't.
 */
int iol_vfio_low_power(const struct iol_vfio_device *dev, int wakeup);
int iol_vfio_wake(const struct iol_vfio_device *dev);

/**
 * iol_vfio_vf_token() - The secret that whoever opens a VF of this PF has to show.
 * @token: 16 bytes of a UUID.
 *
 * VFs that are open stay open; before the first token nobody can open one.
 *
 * Return: 0; -ENOTTY: it is no PF.
 */
int iol_vfio_vf_token(const struct iol_vfio_device *dev, const uint8_t token[16]);

/** enum iol_migration - States of a device that migrates, numbered as enum vfio_device_mig_state. */
enum iol_migration {
	IOL_MIGRATION_ERROR,
	IOL_MIGRATION_STOP,
	IOL_MIGRATION_RUNNING,
	IOL_MIGRATION_STOP_COPY,
	IOL_MIGRATION_RESUMING,
	IOL_MIGRATION_RUNNING_P2P,
	IOL_MIGRATION_PRE_COPY,
	IOL_MIGRATION_PRE_COPY_P2P,
	IOL_MIGRATION_STATES,
};

/**
 * iol_migration_info() - What a device can.
 * @states: a bit for each state that it has.
 *
 * Return: 0; -ENOTTY: it can't migrate.
 */
int iol_migration_info(const struct iol_vfio_device *dev, unsigned int *states);

/** iol_migration_state() - The state that it is in. */
int iol_migration_state(const struct iol_vfio_device *dev, enum iol_migration *state);

/**
 * iol_migration_set() - Have it go to a state, through those between.
 * @data: where its data is read (STOP_COPY, PRE_COPY) or written (RESUMING), the caller's to close; -1 in other states, and
 *        from PRE_COPY to STOP_COPY, which goes on where PRE_COPY's data is read.
 *
 * Return: 0; -EINVAL: there is no way there; other errors leave it where it was, or, if it says so then, in
 * IOL_MIGRATION_ERROR, which only a reset ends.
 */
int iol_migration_set(const struct iol_vfio_device *dev, enum iol_migration state, int *data);

/**
 * struct iol_migration_left - How much of a device's data is still to come, in bytes.
 * @initial, @dirty: in PRE_COPY: what is best read before the device is stopped, and what has changed since it was read.
 * @stopped: all that STOP_COPY will bring at most, as the device guesses; UINT64_MAX: it does not tell.
 */
struct iol_migration_left {
	uint64_t initial, dirty, stopped;
};

/**
 * iol_migration_left() - Ask for it (VFIO_MIG_GET_PRECOPY_INFO, VFIO_DEVICE_FEATURE_MIG_DATA_SIZE).
 * @data: of PRE_COPY; -1 in other states.
 *
 * Return: 0; -EINVAL: @data is another state's.
 */
int iol_migration_left(const struct iol_vfio_device *dev, int data,
		       struct iol_migration_left *left);

#ifdef __cplusplus
}
#endif
#endif
