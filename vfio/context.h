/* SPDX-License-Identifier: BSD-3-Clause */
/* An address space of devices: what its two kinds (iommufd, type1) have in common, and what each must do. */
#ifndef IOL_VFIO_CONTEXT_H
#define IOL_VFIO_CONTEXT_H

#include <iolane/vfio.h>

#include "vfio/dirty.h"
#include "vfio/iova.h"

/* Of capability chains that the kernel reports (regions, IOMMUs); real ones are a few hundred bytes. */
#define INFO_MAX (1u << 20)

/* A group that is in our container. */
struct vfio_group {
	int number, fd;
	unsigned int devices;
	struct vfio_group *next;
};

struct iol_context {
	const struct context_ops *ops;
	const struct iol_host *host;
	const char *name;
	enum iol_context_kind kind;
	bool unsafe_interrupts;
	unsigned int refs;    /* the caller's, and one for each device */
	unsigned int devices; /* that are open */
	int fd;               /* /dev/iommu or /dev/vfio/vfio */

	/* Known from the first device on. */
	bool ready;
	uint64_t page_sizes;
	struct iol_iova_range *ranges;
	size_t num_ranges;
	uint32_t entries_left;

	struct dma_table maps;
	uint64_t mapped;   /* bytes */
	uint64_t lockable; /* of them, that RLIMIT_MEMLOCK was seen to allow */

	struct dirty dirty;
	struct iol_vfio_device *first_device;

	uint32_t ioas; /* iommufd */
	struct iommufd_hwpt *hwpts;
	struct vfio_group *groups; /* type1 */
};

/**
 * struct context_ops - A kind of context.
 * @path: the node, relative to the host's root.
 * @open: what there is to do once ctx->fd is open. @close: undo it, while it still is.
 * @attach: open a device and put it behind the IOMMU: sets its fd. What fails leaves nothing behind.
 * @detach: undo that, the device's fd being closed already.
 * @facts: what the IOMMU can do now (ctx->page_sizes, ranges, entries_left).
 * @map, @unmap: one entry; a negative errno without a sentence, as of those that follow.
 * @dirty_start: from now on keep track of what the device writes; -EOPNOTSUPP: it can't. @dirty_stop: of no device any more.
 * @dirty_read: put what was written of an entry into ctx->dirty, at least from @first to @last.
 * @dirty_unmap: unmap, and put what was written into ctx->dirty, which has room for it.
 */
struct context_ops {
	const char *path;
	int (*open)(struct iol_context *ctx);
	void (*close)(struct iol_context *ctx);
	int (*attach)(struct iol_context *ctx, struct iol_vfio_device *dev,
		      const struct iol_vfio_device_spec *spec);
	void (*detach)(struct iol_context *ctx, struct iol_vfio_device *dev);
	int (*facts)(struct iol_context *ctx);
	int (*map)(struct iol_context *ctx, const struct dma_map *map);
	int (*unmap)(struct iol_context *ctx, const struct dma_map *map);
	int (*dirty_start)(struct iol_context *ctx, struct iol_vfio_device *dev);
	void (*dirty_stop)(struct iol_context *ctx);
	int (*dirty_read)(struct iol_context *ctx, const struct dma_map *map, uint64_t first,
			  uint64_t last);
	int (*dirty_unmap)(struct iol_context *ctx, const struct dma_map *map);
};

extern const struct context_ops context_iommufd, context_type1;

void context_ref(struct iol_context *ctx);

/**
 * context_check_remapping() - Refuse a device before it is touched, if the kernel does not remap interrupts; warn if it is
 * taken all the same. What is not known here the kernel decides.
 */
int context_check_remapping(const struct iol_context *ctx, const struct iol_vfio_device *dev);

/** context_no_group() - The sentence for a device that is in no IOMMU group. */
int context_no_group(const struct iol_context *ctx, const struct iol_vfio_device *dev);

/** context_not_whole() - The sentence for a device in whose group others have drivers. */
int context_not_whole(const struct iol_vfio_device *dev);

/** context_refused() - The sentence for a device whose interrupts are not remapped. @module: whose option allows it. */
int context_refused(const struct iol_context *ctx, const struct iol_vfio_device *dev,
		    const char *module);

/** context_node() - Open a node of the host's /dev. @given: a ready descriptor (above 0), which is duplicated instead. */
int context_node(const struct iol_context *ctx, int given, const char *path);

/** memlock_ensure() - See that these can be pinned besides what is. */
int memlock_ensure(struct iol_context *ctx, const struct iol_dma_region *regions, size_t num);

/* Takes all of the memory away from devices. */
void dma_unmap_all(struct iol_context *ctx);

#endif
