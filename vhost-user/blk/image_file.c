/* SPDX-License-Identifier: BSD-3-Clause */
/* Image files and block devices. */
#include "base/error.h"
#include "base/own.h"
#include "vhost-user/blk/image.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

/* preadv2() and friends take this many pieces; a longer request goes on where the call ended. */
#define PIECES_MAX 1024

static int result(ssize_t n)
{
	return n < 0 ? -errno : (int)n;
}

/* Past the C library, whose preadv2() is a cancellation point, at 3 % of a cached read of 4 KiB. */
static ssize_t move(long call, int fd, const struct iovec *iov, int pieces, off_t off, int rwf)
{
	/* The offset is two registers; where one holds it all, the second is not looked at. */
	return syscall(call, fd, iov, pieces, off, (long)((uint64_t)off >> 32), rwf);
}

static int erase(int fd, unsigned long command, const struct iol_io *io)
{
	uint64_t range[2] = { io->off, io->len };

	return result(ioctl(fd, command, range));
}

static int file_run(struct iol_image *image, const struct iol_io *io, int rwf)
{
	int pieces = io->niov < PIECES_MAX ? (int)io->niov : PIECES_MAX;
	off_t off = (off_t)io->off;

	switch (io->op) {
	case IOL_IO_READ:
		return result(move(SYS_preadv2, image->fd, io->iov, pieces, off, rwf));
	case IOL_IO_WRITE:
		if (io->dsync)
			rwf |= RWF_DSYNC;
		return result(move(SYS_pwritev2, image->fd, io->iov, pieces, off, rwf));
	case IOL_IO_FLUSH:
		return result(fdatasync(image->fd));
	case IOL_IO_ZERO:
		return result(fallocate(image->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, off,
					(off_t)io->len));
	case IOL_IO_DISCARD:
		if (image->device)
			return erase(image->fd, BLKDISCARD, io);
		__attribute__((fallthrough));
	case IOL_IO_UNMAP:
		return result(fallocate(image->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off,
					(off_t)io->len));
	case IOL_IO_SECURE_ERASE:
		return erase(image->fd, BLKSECDISCARD, io);
	default:
		return -EOPNOTSUPP;
	}
}

static int file_size(struct iol_image *image, uint64_t *size)
{
	struct stat st;

	if (image->device) {
		if (ioctl(image->fd, BLKGETSIZE64, size) < 0)
			return iol_fail(errno, "can't read the size of block device %s: %s",
					image->path, strerror(errno));
		return 0;
	}
	if (fstat(image->fd, &st) < 0)
		return iol_fail(errno, "can't read the size of %s: %s", image->path,
				strerror(errno));
	*size = (uint64_t)st.st_size;
	return 0;
}

static int file_grow(struct iol_image *image, uint64_t size)
{
	uint64_t old;
	int rc;

	if (image->device)
		return iol_fail(EINVAL,
				"block device %s can't be resized here; resize the volume, then "
				"ask for a resize without a size",
				image->path);
	if (image->read_only)
		return iol_fail(EROFS, "%s is open read-only and can't grow", image->path);
	rc = file_size(image, &old);
	if (rc < 0)
		return rc;
	if (size < old)
		return iol_fail(EINVAL,
				"%s has %" PRIu64 " bytes and can't shrink to %" PRIu64
				": a guest would lose what lies past the end",
				image->path, old, size);
	if (size % image->block_size)
		return iol_fail(EINVAL,
				"%s can't grow to %" PRIu64 " bytes, which is no multiple of its "
				"block size, %u",
				image->path, size, image->block_size);
	if (ftruncate(image->fd, (off_t)size) < 0)
		return iol_fail(errno, "can't grow %s to %" PRIu64 " bytes: %s", image->path, size,
				strerror(errno));
	return 0;
}

static const struct iol_image_ops file_ops = {
	.run = file_run,
	.size = file_size,
	.grow = file_grow,
};

/*
 * A number in the queue folder of a block device in sysfs; partitions have their disk's. @other where
 * there is no such thing.
 */
static uint64_t queue_number(dev_t dev, const char *name, uint64_t other)
{
	char path[128];
	uint64_t value = 0;
	int i;

	for (i = 0; i < 2; i++) {
		FILE *f;
		int n;

		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%squeue/%s", major(dev),
			 minor(dev), i ? "../" : "", name);
		f = fopen(path, "re");
		if (!f)
			continue;
		n = fscanf(f, "%" SCNu64, &value);
		fclose(f);
		return n == 1 ? value : other;
	}
	return other;
}

static uint64_t queue_limit(dev_t dev, const char *name)
{
	return queue_number(dev, name, 0);
}

/*
 * Newer kernels refuse to poll a device that has no queues for it, which ends the attempt. Others (6.1)
 * let it complete by interrupt, and whoever asks for completions all that time has nothing of it.
 */
static void look_at_polling(struct iol_image *image, dev_t dev)
{
	if (!image->iopoll || queue_number(dev, "io_poll", 1))
		return;
	image->iopoll = false;
	iol_log(IOL_LOG_WARNING,
		"%s is not polled for completions: its device has no queues for that (NVMe drives "
		"get them by nvme.poll_queues=N on the kernel's command line)",
		image->path);
}

/*
 * sysfs does not tell, so the device is asked for a range that no device takes: where the kernel looks
 * at the range, there is a secure erase. Before Linux 5.19 this asks for discard only; then a
 * request finds out, and is answered UNSUPP.
 */
static bool erases_securely(int fd)
{
	uint64_t odd[2] = { 1, 0 };

	return ioctl(fd, BLKSECDISCARD, odd) < 0 && errno == EINVAL;
}

static int look_at_device(struct iol_image *image, const struct stat *st)
{
	unsigned int physical;
	int logical;

	image->device = true;
	if (ioctl(image->fd, BLKSSZGET, &logical) < 0 || logical < 512)
		return iol_fail(EIO, "can't read the block size of %s: %s", image->path,
				strerror(errno));
	if (image->direct || logical > 512)
		image->block_size = (uint32_t)logical;
	if (image->direct) {
		image->mem_align = (uint32_t)logical;
		image->off_align = (uint32_t)logical;
	}
	if (!ioctl(image->fd, BLKPBSZGET, &physical) && physical > image->physical_size)
		image->physical_size = physical;
	image->discard = queue_limit(st->st_rdev, "discard_max_bytes") > 0;
	image->unmap = queue_limit(st->st_rdev, "write_zeroes_max_bytes") > 0;
	image->secure_erase = erases_securely(image->fd);
	return 0;
}

static void look_at_file(struct iol_image *image, const struct stat *st)
{
	/* Where this is a power of two it is the file system's block: smaller writes cost a read. */
	if (st->st_blksize > 512 && st->st_blksize <= 65536 &&
	    !(st->st_blksize & (st->st_blksize - 1)))
		image->physical_size = (uint32_t)st->st_blksize;
	if (image->direct) {
		/* Until the file system says better: its device's blocks. */
		image->off_align = (uint32_t)queue_limit(st->st_dev, "logical_block_size");
		if (image->off_align < 512 || image->off_align > 65536)
			image->off_align = 512;
		image->mem_align = 4096;
	}
	/* Past the end there is nothing to lose, so this only asks whether it could be done. */
	if (!image->read_only)
		image->unmap = !fallocate(image->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					  (st->st_size | 65535) + 1, 65536);
	image->discard = image->unmap;
}

/* What O_DIRECT needs, from the file system itself where it tells (Linux 6.1). */
static void look_at_alignment(struct iol_image *image)
{
	struct statx stx;

	if (!image->direct)
		return;
	memset(&stx, 0, sizeof(stx));
	if (statx(image->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
	    (stx.stx_mask & STATX_DIOALIGN) && stx.stx_dio_offset_align) {
		image->mem_align = stx.stx_dio_mem_align;
		image->off_align = stx.stx_dio_offset_align;
	}
	if (image->block_size < image->off_align)
		image->block_size = image->off_align;
}

static int open_error(const struct iol_image *image, const struct iol_disk_spec *spec)
{
	int err = errno;

	switch (err) {
	case ENOENT:
		return iol_fail(err, "image %s does not exist; make it first (truncate -s SIZE %s)",
				image->path, image->path);
	case EACCES:
	case EPERM:
		return iol_fail(err,
				"no permission to open image %s for reading%s; change its mode or "
				"owner%s",
				image->path, spec->read_only ? "" : " and writing",
				spec->read_only ? "" : ", or make the disk read-only");
	case EROFS:
		return iol_fail(err,
				"image %s lies on a read-only file system; make the disk read-only",
				image->path);
	case EINVAL:
		if (spec->direct)
			return iol_fail(err,
					"the file system of %s does not do direct I/O; leave out "
					"direct and cache=none",
					image->path);
		break;
	default:
		break;
	}
	return iol_fail(err, "can't open image %s: %s", image->path, strerror(err));
}

static int check_kind(const struct iol_image *image, const struct stat *st)
{
	if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))
		return 0;
	if (S_ISDIR(st->st_mode))
		return iol_fail(EISDIR, "%s is a directory; give an image file or a block device",
				image->path);
	return iol_fail(ENOTBLK, "%s is neither a file nor a block device", image->path);
}

int iol_image_file_open(struct iol_image *image, const struct iol_disk_spec *spec)
{
	int flags = O_CLOEXEC | O_NONBLOCK | (spec->read_only ? O_RDONLY : O_RDWR);
	struct statfs fs;
	struct stat st;
	int rc;

	image->ops = &file_ops;
	image->direct = spec->direct;
	image->iopoll = spec->iopoll;
	if (spec->iopoll && !spec->direct)
		return iol_fail(EINVAL, "polling for completions on %s needs direct I/O",
				image->path);
	if (spec->fixed_buffers && !spec->direct)
		return iol_fail(EINVAL, "fixed buffers on %s need direct I/O", image->path);
	/* Looked at before it is opened: opening a FIFO or a device may do things or wait. */
	if (stat(image->path, &st) < 0)
		return open_error(image, spec);
	rc = check_kind(image, &st);
	if (rc < 0)
		return rc;
	image->fd = open(image->path, flags | (spec->direct ? O_DIRECT : 0));
	if (image->fd < 0)
		return open_error(image, spec);
	if (fstat(image->fd, &st) < 0 || fstatfs(image->fd, &fs) < 0)
		return iol_fail(errno, "can't look at image %s: %s", image->path, strerror(errno));
	rc = check_kind(image, &st);
	if (rc < 0)
		return rc;
	/*
	 * O_NONBLOCK was for the open only: io_uring hands -EAGAIN to whoever asks for it. And when an
	 * image was last read is nobody's business, but each look at the clock is 4 % of a cached
	 * read; only the file's owner may say so.
	 */
	flags = spec->direct ? O_DIRECT : 0;
	if (fcntl(image->fd, F_SETFL, flags | O_NOATIME) < 0 &&
	    fcntl(image->fd, F_SETFL, flags) < 0)
		return iol_fail(errno, "can't set up image %s: %s", image->path, strerror(errno));
	if (S_ISBLK(st.st_mode)) {
		rc = look_at_device(image, &st);
		if (rc < 0)
			return rc;
	} else {
		image->resident = fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC;
		look_at_file(image, &st);
	}
	look_at_alignment(image);
	look_at_polling(image, S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev);
	return file_size(image, &image->size);
}
