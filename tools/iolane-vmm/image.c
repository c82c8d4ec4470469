/* SPDX-License-Identifier: BSD-3-Clause */
#include "image.h"

#include "base/error.h"
#include "base/own.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

int image_open(const char *what, const char *path, struct image *image)
{
	/* A pipe must not keep us waiting for who writes it. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return iol_fail(errno, "cannot open the %s %s: %s", what, path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return iol_fail(EINVAL, "the %s %s is not a file", what, path);
	if (!st.st_size)
		return iol_fail(EINVAL, "the %s %s is empty", what, path);
	*image = (struct image){ what, path, iol_take_fd(&fd), (uint64_t)st.st_size };
	return 0;
}

void image_close(struct image *image)
{
	iol_close(&image->fd);
}

int image_read(const struct image *image, uint64_t off, void *buf, uint64_t len)
{
	uint8_t *to = buf;

	if (off > image->size || len > image->size - off)
		return iol_fail(EINVAL,
				"the %s %s is cut short: it ends before byte %" PRIu64
				", which it says it has",
				image->what, image->path,
				len > UINT64_MAX - off ? UINT64_MAX : off + len);
	while (len) {
		ssize_t n = pread(image->fd, to, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return iol_fail(errno, "cannot read the %s %s: %s", image->what,
					image->path, strerror(errno));
		if (!n)
			return iol_fail(EIO, "the %s %s became shorter while it was read",
					image->what, image->path);
		to += n;
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}
