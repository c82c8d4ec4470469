/* SPDX-License-Identifier: BSD-3-Clause */
/* The size of a running disk: look at the image's again, or make it larger. */
#include "base/error.h"
#include "vhost-user/blk/disk.h"
#include "vhost-user/blk/lock.h"

#include <errno.h>
#include <inttypes.h>

int iol_disk_look(struct iol_disk *disk)
{
	uint64_t old = IOL_STAT_GET(disk->capacity), size;
	int rc;

	rc = disk->image->ops->size(disk->image, &size);
	if (rc < 0)
		return rc;
	if (size % disk->image->block_size)
		iol_log(IOL_LOG_WARNING,
			"%s: the size of %s, %" PRIu64
			" bytes, is no multiple of its block size; the rest is left out",
			disk->name, disk->image->path, size);
	size -= size % disk->image->block_size;
	if (size == old)
		return 0;
	if (size < old)
		iol_log(IOL_LOG_WARNING,
			"%s: %s shrank from %" PRIu64 " to %" PRIu64
			" bytes; requests past the end fail now",
			disk->name, disk->image->path, old, size);
	else
		iol_log(IOL_LOG_INFO, "%s: has grown from %" PRIu64 " to %" PRIu64 " bytes",
			disk->name, old, size);
	/* One word: a request is checked against the old size or the new one. */
	IOL_STAT_SET(disk->capacity, size);
	return 1;
}

/* Not while another process has the image, as after a migration. */
static int grow(struct iol_disk *disk, uint64_t size)
{
	const struct iol_image *image = disk->image;
	bool borrow = !disk->locked && image->fd >= 0;
	int rc;

	if (disk->starting)
		return iol_fail(EBUSY, "disk %s is just being started; try again", disk->name);
	if (borrow) {
		rc = iol_lock_image(image->fd, image->path, !image->read_only, 0, NULL);
		if (rc < 0)
			return rc;
	}
	rc = disk->image->ops->grow(disk->image, size);
	if (borrow)
		iol_unlock_image(image->fd);
	return rc;
}

int iol_disk_resize(struct iol_disk *disk, const uint64_t *size)
{
	int rc = 0;

	pthread_mutex_lock(&disk->lock);
	if (size)
		rc = grow(disk, *size);
	if (rc == 0)
		rc = iol_disk_look(disk);
	pthread_mutex_unlock(&disk->lock);
	return rc;
}
