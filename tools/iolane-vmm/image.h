/* SPDX-License-Identifier: BSD-3-Clause */
/* Files that go into guest memory. Nothing in them is trusted. */
#ifndef IOLANE_VMM_IMAGE_H
#define IOLANE_VMM_IMAGE_H

#include <stddef.h>
#include <stdint.h>

/** struct image - An open file. @what: for sentences: "kernel", "initrd". */
struct image {
	const char *what, *path;
	int fd;
	uint64_t size;
};

#define IMAGE_NONE ((struct image){ .fd = -1 })

/** image_open() - A regular file of at least one byte. */
int image_open(const char *what, const char *path, struct image *image);
void image_close(struct image *image);

/** image_read() - @len bytes from @off on. -EINVAL: they are not all in it; or read errors. */
int image_read(const struct image *image, uint64_t off, void *buf, uint64_t len);

#endif
