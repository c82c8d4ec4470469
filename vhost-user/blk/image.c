/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/blk/image.h"

#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static int check_block_size(struct iol_image *image, const struct iol_disk_spec *spec)
{
	if (!spec->block_size)
		return 0;
	if (spec->block_size != 512 && spec->block_size != 4096)
		return iol_fail(EINVAL, "block size %u of %s is neither 512 nor 4096",
				spec->block_size, image->path);
	if (spec->block_size < image->off_align)
		return iol_fail(EINVAL,
				"%s can't have blocks of %u bytes: direct I/O on it needs "
				"multiples of %u; use that as block size, or leave out direct I/O",
				image->path, spec->block_size, image->off_align);
	image->block_size = spec->block_size;
	return 0;
}

int iol_image_open(const struct iol_disk_spec *spec, struct iol_image **out)
{
	struct iol_image *image = calloc(1, sizeof(*image));
	int rc;

	if (!image)
		return iol_fail(ENOMEM, "no memory for image %s", spec->file);
	image->fd = -1;
	image->block_size = 512;
	image->physical_size = 512;
	image->mem_align = 1;
	image->off_align = 1;
	image->read_only = spec->read_only;
	image->path = strdup(spec->file);
	if (!image->path) {
		rc = iol_fail(ENOMEM, "no memory for image %s", spec->file);
		goto fail;
	}
	if (!strncmp(spec->file, "null:", 5))
		rc = iol_image_null_open(image, spec);
	else
		rc = iol_image_file_open(image, spec);
	if (rc < 0)
		goto fail;
	rc = check_block_size(image, spec);
	if (rc < 0)
		goto fail;
	if (image->physical_size < image->block_size)
		image->physical_size = image->block_size;
	if (!image->size || image->size % image->block_size) {
		rc = iol_fail(EINVAL,
			      "the size of %s, %" PRIu64 " bytes, is %s its block size, %u; "
			      "bring it to a multiple of that (truncate -s) or choose another",
			      image->path, image->size,
			      image->size ? "no multiple of" : "too small for", image->block_size);
		goto fail;
	}
	*out = image;
	return 0;
fail:
	iol_image_close(&image);
	return rc;
}

void iol_image_close(struct iol_image **p)
{
	struct iol_image *image = iol_take_ptr(*p);

	if (!image)
		return;
	iol_close(&image->fd);
	free(image->path);
	free(image);
}
