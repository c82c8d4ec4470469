/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/dirty.h"

#include "base/error.h"
#include "vhost-user/sigbus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct iol_dirty {
	uint8_t *map;
	size_t map_len;
	uint8_t *bits;
	uint64_t bytes;
	struct iol_sigbus_range *sigbus;
};

int iol_dirty_new(int fd, uint64_t size, uint64_t offset, int wake_fd, bool *broken,
		  struct iol_dirty **dirty)
{
	struct iol_dirty *d;
	int rc;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), skip = offset % page;
	struct stat st;

	if (fstat(fd, &st))
		return iol_fail(errno, "cannot look at the dirty log's file: %s", strerror(errno));
	if (!size || offset > (uint64_t)st.st_size || size > (uint64_t)st.st_size - offset)
		return iol_fail(EINVAL,
				"the dirty log's file has %llu bytes, not enough for %llu at %llu",
				(unsigned long long)st.st_size, (unsigned long long)size,
				(unsigned long long)offset);
	d = calloc(1, sizeof(*d));
	if (!d)
		return iol_fail(ENOMEM, "no memory for a dirty log");
	d->map_len = skip + size;
	d->map = mmap(NULL, d->map_len, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		      (off_t)(offset - skip));
	if (d->map == MAP_FAILED) {
		d->map = NULL;
		rc = iol_fail(errno, "cannot map the dirty log of %llu bytes: %s",
			      (unsigned long long)size, strerror(errno));
		goto fail;
	}
	d->sigbus = iol_sigbus_add(d->map, d->map_len, wake_fd, broken);
	if (!d->sigbus) {
		rc = -ENOMEM;
		goto fail;
	}
	d->bits = d->map + skip;
	d->bytes = size;
	*dirty = d;
	return 0;

fail:
	iol_dirty_destroy(&d);
	return rc;
}

void iol_dirty_destroy(struct iol_dirty **dirty)
{
	struct iol_dirty *d = *dirty;

	if (!d)
		return;
	if (d->sigbus)
		iol_sigbus_remove(&d->sigbus);
	if (d->map)
		munmap(d->map, d->map_len);
	free(d);
	*dirty = NULL;
}

void iol_dirty_mark(struct iol_dirty *dirty, uint64_t gpa, uint64_t len)
{
	uint64_t page = gpa >> IOL_DIRTY_PAGE_BITS, last;

	if (!len)
		return;
	if (__builtin_add_overflow(gpa, len - 1, &last))
		last = UINT64_MAX;
	last >>= IOL_DIRTY_PAGE_BITS;
	if (last / 8 >= dirty->bytes)
		last = dirty->bytes * 8 - 1;
	while (page <= last) {
		uint64_t byte = page / 8, end = byte * 8 + 7 < last ? byte * 8 + 7 : last;
		uint8_t bits = (uint8_t)((0xffu >> (7 - (end - page))) << page % 8);

		/*
		 * Always a locked write, also of bits that are set: the front end clears bits and
		 * then copies the page. A load that finds the bit set could be made before our data is
		 * visible, and the page would be copied without it; this orders the two.
		 */
		__atomic_fetch_or(&dirty->bits[byte], bits, __ATOMIC_SEQ_CST);
		page = end + 1;
	}
}
