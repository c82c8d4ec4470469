/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio/info.h"

#include "base/own.h"
#include "vfio/context.h"

#include <errno.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/ioctl.h>

int vfio_info(int fd, unsigned long request, const void *head, size_t head_len, void **info,
	      size_t *len)
{
	uint32_t argsz = (uint32_t)head_len, told;

	/* The first answer tells how long the whole is; it may grow until it is asked for. */
	for (int turn = 0; turn < 4; turn++) {
		_cleanup_free_ char *buf = calloc(1, argsz);

		if (!buf)
			return -ENOMEM;
		memcpy(buf, head, head_len);
		memcpy(buf, &argsz, sizeof(argsz));
		if (ioctl(fd, request, buf) < 0)
			return -errno;
		memcpy(&told, buf, sizeof(told));
		if (told <= argsz) {
			*len = told < head_len ? head_len : told;
			*info = iol_take_ptr(buf);
			return 0;
		}
		if (told > INFO_MAX)
			return -EBADMSG;
		argsz = told;
	}
	return -EBADMSG;
}

int vfio_info_cap(const void *info, size_t len, size_t head_len, uint32_t first, uint16_t id,
		  size_t need)
{
	struct vfio_info_cap_header cap;
	size_t at = first, before = head_len - 1;

	while (at) {
		/* The kernel appends, so a chain goes forwards; one that does not could go on for ever. */
		if (at <= before || at > len || len - at < sizeof(cap))
			return -EBADMSG;
		memcpy(&cap, (const char *)info + at, sizeof(cap));
		if (cap.id == id)
			return len - at < need ? -EBADMSG : (int)at;
		before = at + sizeof(cap) - 1;
		at = cap.next;
	}
	return -ENOENT;
}
