/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The null image, for measuring all that is not storage: writes go nowhere, reads leave the guest's
 * buffer as it is.
 */
#include "base/error.h"
#include "base/units.h"
#include "vhost-user/blk/image.h"

#include <errno.h>

static int null_run(struct iol_image *image, const struct iol_io *io, int rwf)
{
	return io->op <= IOL_IO_WRITE ? (int)(io->len < IOL_IO_MAX ? io->len : IOL_IO_MAX) : 0;
}

static int null_size(struct iol_image *image, uint64_t *size)
{
	*size = image->size;
	return 0;
}

static int null_grow(struct iol_image *image, uint64_t size)
{
	return iol_fail(EINVAL, "%s can't grow: a null disk keeps the size it was made with",
			image->path);
}

static const struct iol_image_ops null_ops = {
	.run = null_run,
	.size = null_size,
	.grow = null_grow,
};

int iol_image_null_open(struct iol_image *image, const struct iol_disk_spec *spec)
{
	if (spec->direct || spec->fixed_buffers || spec->iopoll)
		return iol_fail(EINVAL,
				"%s does no I/O, so it takes neither direct, iopoll nor "
				"fixed-buffers",
				image->path);
	image->ops = &null_ops;
	image->null = true;
	image->discard = true;
	image->unmap = true;
	return iol_parse_size("the size of a null disk (null:SIZE)", image->path + 5, &image->size);
}
