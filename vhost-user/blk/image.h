/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a disk is made of: an image file, a block device or nothing (null). An image is counted by
 * reference, as an operation that storage never answers may outlive its disk.
 */
#ifndef IOL_VHOST_USER_BLK_IMAGE_H
#define IOL_VHOST_USER_BLK_IMAGE_H

#include <iolane/blk.h>

#include "vhost-user/blk/io.h"

/**
 * struct iol_image_ops - What a kind of image does.
 * @run: do @io at once, on any thread; @rwf: RWF_NOWAIT or 0. Return: bytes done (0 for what has
 *       no length), or a negative errno; no sentence.
 * @size: look at the size again.
 * @grow: make it larger; -EINVAL where it can't be, or only by its owner.
 */
struct iol_image_ops {
	int (*run)(struct iol_image *image, const struct iol_io *io, int rwf);
	int (*size)(struct iol_image *image, uint64_t *size);
	int (*grow)(struct iol_image *image, uint64_t size);
};

/**
 * struct iol_image - An open image; nothing but @refs and @iopoll changes after it is open.
 * @path: as it was given.
 * @fd: -1 for null. The lock is on it, and all I/O goes through it.
 * @null: requests complete where they stand. @device: a block device. @direct: O_DIRECT.
 * @iopoll: poll the device for completions; off again when the device turns out to have no such thing.
 * @resident: on a file system that lives in memory: nothing in it waits for storage.
 * @size: bytes, when it was opened.
 * @block_size: logical block size that the guest is told.
 * @physical_size: physical block size, a multiple of @block_size.
 * @mem_align, @off_align: what O_DIRECT asks of memory, and of offsets and lengths; else 1.
 * @discard, @unmap, @secure_erase: what storage can do.
 */
struct iol_image {
	const struct iol_image_ops *ops;
	char *path;
	int fd;
	bool null, device, direct, iopoll, resident, read_only;
	bool discard, unmap, secure_erase;
	uint64_t size;
	uint32_t block_size, physical_size;
	uint32_t mem_align, off_align;
};

/** iol_image_open() - Open what a spec's file names and check it. */
int iol_image_open(const struct iol_disk_spec *spec, struct iol_image **image);

/** iol_image_close() - Nulls *@image; NULL is fine. */
void iol_image_close(struct iol_image **image);

/* The kinds; each fills in an image whose path is set. */
int iol_image_file_open(struct iol_image *image, const struct iol_disk_spec *spec);
int iol_image_null_open(struct iol_image *image, const struct iol_disk_spec *spec);

#endif
