/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/inflight.h"

#include "base/error.h"
#include "base/own.h"
#include "vhost-user/inflight_priv.h"
#include "vhost-user/sigbus.h"
#include "vhost-user/track.h"

#include <errno.h>
#include <fcntl.h>
#include <iolane/vhost_user.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* Queues of two threads must not share a cache line. */
#define STRIDE_ALIGN 64
/* The buffer is ours to lay out: we ask for this much more, behind what the specification says. */
#define NOTE_BYTES 64

static int make(uint16_t num_queues, uint16_t queue_size, bool packed,
		struct iol_inflight **inflight)
{
	size_t len = packed ? sizeof(struct iol_log_packed) +
				      queue_size * sizeof(struct iol_log_packed_desc)
			    : sizeof(struct iol_log_split) +
				      queue_size * sizeof(struct iol_log_split_desc);
	struct iol_inflight *in;

	if (!num_queues || num_queues > IOL_QUEUES_MAX || !queue_size ||
	    queue_size > IOL_QUEUE_SIZE_MAX)
		return iol_fail(EINVAL,
				"an inflight log for %u queues of %u is out of bounds (%u of %u)",
				num_queues, queue_size, IOL_QUEUES_MAX, IOL_QUEUE_SIZE_MAX);
	in = calloc(1, sizeof(*in));
	if (!in)
		return iol_fail(ENOMEM, "no memory for an inflight log");
	in->fd = -1;
	in->num_queues = num_queues;
	in->queue_size = queue_size;
	in->packed = packed;
	in->stride = (len + STRIDE_ALIGN - 1) / STRIDE_ALIGN * STRIDE_ALIGN;
	*inflight = in;
	return 0;
}

static int map(struct iol_inflight *in, size_t len, uint64_t offset)
{
	in->map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, in->fd, (off_t)offset);
	if (in->map == MAP_FAILED) {
		in->map = NULL;
		return iol_fail(errno, "cannot map an inflight log of %zu bytes: %s", len,
				strerror(errno));
	}
	in->map_len = len;
	return 0;
}

int iol_inflight_new(uint16_t num_queues, uint16_t queue_size, bool packed,
		     struct iol_inflight **inflight)
{
	struct iol_inflight *in = NULL;
	size_t len;
	int rc = make(num_queues, queue_size, packed, &in);

	if (rc)
		return rc;
	len = in->stride * num_queues + NOTE_BYTES;
	in->fd = memfd_create("iolane-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	/* Sealed, so that no one can take the pages from under us. */
	if (in->fd < 0 || ftruncate(in->fd, (off_t)len) ||
	    fcntl(in->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		rc = iol_fail(errno, "cannot make an inflight log of %zu bytes: %s", len,
			      strerror(errno));
	else
		rc = map(in, len, 0);
	if (rc) {
		iol_inflight_destroy(&in);
		return rc;
	}
	in->queues = in->map;
	in->note = (uint64_t *)(void *)(in->queues + in->stride * num_queues);
	*inflight = in;
	return 0;
}

static int check_file(const struct iol_inflight *in, uint64_t size, uint64_t offset)
{
	struct stat st;

	if (fstat(in->fd, &st))
		return iol_fail(errno, "cannot look at the inflight log's file: %s",
				strerror(errno));
	if (size < in->stride * in->num_queues || offset % sizeof(uint64_t))
		return iol_fail(EINVAL,
				"the inflight log for %u queues of %u has %llu bytes at %llu, but "
				"needs %zu at a multiple of 8",
				in->num_queues, in->queue_size, (unsigned long long)size,
				(unsigned long long)offset, in->stride * in->num_queues);
	if (offset > (uint64_t)st.st_size || size > (uint64_t)st.st_size - offset)
		return iol_fail(EINVAL,
				"the inflight log's file has %llu bytes, too few for %llu at %llu",
				(unsigned long long)st.st_size, (unsigned long long)size,
				(unsigned long long)offset);
	return 0;
}

int iol_inflight_map(int fd, uint64_t size, uint64_t offset, uint16_t num_queues,
		     uint16_t queue_size, bool packed, int wake_fd, bool *broken,
		     struct iol_inflight **inflight)
{
	uint64_t skip = offset % (uint64_t)sysconf(_SC_PAGESIZE);
	size_t len;
	struct iol_inflight *in = NULL;
	int rc = make(num_queues, queue_size, packed, &in);

	if (rc) {
		close(fd);
		return rc;
	}
	in->fd = fd;
	rc = check_file(in, size, offset);
	/* No more than it takes: @size is the front end's word. */
	len = in->stride * num_queues;
	if (size - len >= NOTE_BYTES)
		len += NOTE_BYTES;
	if (!rc)
		rc = map(in, skip + len, offset - skip);
	if (!rc) {
		in->queues = in->map + skip;
		if (len > in->stride * num_queues)
			in->note = (uint64_t *)(void *)(in->queues + in->stride * num_queues);
		in->sigbus = iol_sigbus_add(in->map, in->map_len, wake_fd, broken);
		if (!in->sigbus)
			rc = -ENOMEM;
	}
	if (rc)
		iol_inflight_destroy(&in);
	else
		*inflight = in;
	return rc;
}

void iol_inflight_destroy(struct iol_inflight **inflight)
{
	struct iol_inflight *in = *inflight;

	if (!in)
		return;
	if (in->sigbus)
		iol_sigbus_remove(&in->sigbus);
	if (in->map)
		munmap(in->map, in->map_len);
	iol_close(&in->fd);
	free(in);
	*inflight = NULL;
}

void iol_inflight_forget(const struct iol_inflight *inflight, unsigned int index)
{
	/* Both layouts have it at one place. */
	if (index < inflight->num_queues)
		((struct iol_log_split *)iol_inflight_queue(inflight, index))->version = 0;
}
