/* SPDX-License-Identifier: BSD-3-Clause */
/* Features and config space. Specification: virtio 1.3, 5.2.3 to 5.2.5. */
#include "base/error.h"
#include "vhost-user/blk/disk.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stddef.h>
#include <string.h>

/* Up to the fields of SECURE_ERASE; zones are another kind of disk. */
#define CONFIG_SIZE (offsetof(struct virtio_blk_config, secure_erase_sector_alignment) + 4)

/* With SEG_MAX pieces of this size, a request stays below what Linux moves in one call. */
#define SIZE_MAX_BYTES (16u << 20)
/* As QEMU's own: a header, a status and these fill a queue of 128. */
#define SEG_MAX 126

#define BIT(n) (1ull << (n))

uint64_t iol_disk_features(const struct iol_disk *disk)
{
	uint64_t f = BIT(VIRTIO_BLK_F_SIZE_MAX) | BIT(VIRTIO_BLK_F_SEG_MAX) |
		     BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_TOPOLOGY) |
		     BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_CONFIG_WCE) | BIT(VIRTIO_BLK_F_MQ);

	if (disk->image->read_only)
		f |= BIT(VIRTIO_BLK_F_RO);
	if (disk->discard)
		f |= BIT(VIRTIO_BLK_F_DISCARD);
	if (disk->write_zeroes)
		f |= BIT(VIRTIO_BLK_F_WRITE_ZEROES);
	if (disk->secure_erase)
		f |= BIT(VIRTIO_BLK_F_SECURE_ERASE);
	return f;
}

/* What iol_device_note() says of the cache. */
#define NOTE_SET   1u
#define NOTE_CACHE 2u

/*
 * A driver that can't flush must find every write stable (5.2.6.2); one that can flush but doesn't know
 * CONFIG_WCE takes the cache for what FLUSH says.
 */
static void update_cache(struct iol_disk *disk)
{
	bool on = disk->writeback_config && disk->features & BIT(VIRTIO_BLK_F_FLUSH);

	IOL_STAT_SET(disk->writeback, on);
}

static void set_cache(struct iol_disk *disk, bool on)
{
	uint64_t *note = iol_device_note(disk->device);

	disk->writeback_config = on;
	if (note)
		__atomic_store_n(note, NOTE_SET | (on ? NOTE_CACHE : 0), __ATOMIC_RELAXED);
	update_cache(disk);
}

/* To the safe side only: a cache that came on by itself would be one that the guest does not flush. */
void iol_disk_recall(struct iol_disk *disk)
{
	uint64_t *note = iol_device_note(disk->device);
	uint64_t noted = note ? __atomic_load_n(note, __ATOMIC_RELAXED) : 0;

	set_cache(disk, disk->writeback_config && (!(noted & NOTE_SET) || noted & NOTE_CACHE));
}

void iol_disk_set_features(struct iol_disk *disk, uint64_t features)
{
	disk->features = features;
	update_cache(disk);
}

/*
 * A reset takes the cache to the safe side only. QEMU resets us whenever its VM pauses or reboots, and goes
 * on showing the guest the byte that was written last: a cache that came on by itself would be
 * one that the guest does not flush.
 */
void iol_disk_reset(struct iol_disk *disk)
{
	set_cache(disk, disk->writeback_config && disk->writeback_default);
}

int iol_disk_get_config(struct iol_disk *disk, void *config)
{
	const struct iol_image *image = disk->image;
	uint32_t sectors = image->block_size >> 9;
	struct virtio_blk_config c = {
		.capacity = htole64(IOL_STAT_GET(disk->capacity) >> 9),
		.size_max = htole32(SIZE_MAX_BYTES),
		.seg_max = htole32(SEG_MAX),
		.blk_size = htole32(image->block_size),
		.physical_block_exp =
			(uint8_t)__builtin_ctz(image->physical_size / image->block_size),
		.min_io_size = htole16((uint16_t)(image->physical_size / image->block_size)),
		.wce = disk->writeback_config,
		.num_queues = htole16((uint16_t)disk->num_queues),
	};

	if (disk->discard) {
		c.max_discard_sectors = htole32(IOL_BLK_SECTORS_MAX);
		c.max_discard_seg = htole32(IOL_BLK_SEGS_MAX);
		c.discard_sector_alignment = htole32(image->physical_size >> 9);
	}
	if (disk->write_zeroes) {
		c.max_write_zeroes_sectors = htole32(IOL_BLK_SECTORS_MAX);
		c.max_write_zeroes_seg = htole32(IOL_BLK_SEGS_MAX);
		c.write_zeroes_may_unmap = image->unmap;
	}
	if (disk->secure_erase) {
		c.max_secure_erase_sectors = htole32(IOL_BLK_SECTORS_MAX);
		c.max_secure_erase_seg = htole32(IOL_BLK_SEGS_MAX);
		c.secure_erase_sector_alignment = htole32(sectors);
	}
	disk->told = le64toh(c.capacity) << 9;
	memcpy(config, &c, CONFIG_SIZE);
	return (int)CONFIG_SIZE;
}

int iol_disk_set_config(struct iol_disk *disk, uint32_t off, const void *data, uint32_t len)
{
	uint8_t on;

	if (off != offsetof(struct virtio_blk_config, wce) || len != 1)
		return iol_fail(EINVAL,
				"the driver of disk %s wrote %u bytes of config space at %u, where "
				"only the cache's byte may be written",
				disk->name, len, off);
	if (!(disk->features & BIT(VIRTIO_BLK_F_CONFIG_WCE)))
		return iol_fail(
			EINVAL,
			"the driver of disk %s set the cache without VIRTIO_BLK_F_CONFIG_WCE",
			disk->name);
	memcpy(&on, data, 1);
	if (on > 1)
		return iol_fail(EINVAL, "the driver of disk %s set the cache to %u, not 0 or 1",
				disk->name, on);
	set_cache(disk, on);
	return 0;
}
