/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/blk/fixed.h"

#include "base/error.h"
#include "base/own.h"
#include "base/units.h"
#include "vhost-user/blk/thread.h"
#include "vhost-user/memory.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

/* What io_uring takes as one buffer. */
#define PIECE_MAX (1ull << 30)

struct iol_fixed {
	struct iol_fixed *next;
	struct iol_mem *mem;
	unsigned int refs;
	int first;
	unsigned int n;
	struct iovec piece[];
};

static int explain(int rc, uint64_t bytes)
{
	char need[16], have[16];
	struct rlimit limit = { 0 };

	iol_format_size(bytes, need, sizeof(need));
	if (rc != -ENOMEM)
		return iol_fail(-rc, "can't register %s of guest memory with io_uring: %s", need,
				strerror(-rc));
	getrlimit(RLIMIT_MEMLOCK, &limit);
	iol_format_size(limit.rlim_cur, have, sizeof(have));
	return iol_fail(
		ENOMEM,
		"fixed buffers lock all of guest memory, %s a data thread, and the limit on "
		"locked memory is %s; raise it (ulimit -l, LimitMEMLOCK=) or leave out "
		"fixed-buffers",
		need, limit.rlim_cur == RLIM_INFINITY ? "not the reason" : have);
}

static int make(struct iol_blk_thread *th, struct iol_mem *mem, struct iol_fixed **out)
{
	struct iol_fixed *f;
	uint64_t bytes = 0, at;
	unsigned int i, n = 0;

	for (i = 0; i < mem->n; i++) {
		n += (unsigned int)((mem->region[i]->size + PIECE_MAX - 1) / PIECE_MAX);
		bytes += mem->region[i]->size;
	}
	f = calloc(1, sizeof(*f) + n * sizeof(f->piece[0]));
	if (!f)
		return iol_fail(ENOMEM, "no memory for fixed buffers");
	for (i = 0; i < mem->n; i++) {
		const struct iol_region *r = mem->region[i];

		for (at = 0; at < r->size; at += PIECE_MAX) {
			f->piece[f->n].iov_base = r->host + at;
			f->piece[f->n].iov_len = r->size - at < PIECE_MAX ? r->size - at
									  : PIECE_MAX;
			f->n++;
		}
	}
	f->first = th->engine->ops->fixed(th->engine, f->piece, f->n);
	if (f->first < 0) {
		int rc = explain(f->first, bytes);

		free(f);
		return rc;
	}
	f->mem = iol_mem_ref(mem);
	f->refs = 1;
	f->next = th->fixed;
	th->fixed = f;
	*out = f;
	return 0;
}

int iol_fixed_get(struct iol_blk_thread *th, struct iol_mem *mem, struct iol_fixed **fixed)
{
	struct iol_fixed *f;

	for (f = th->fixed; f; f = f->next) {
		if (f->mem != mem)
			continue;
		f->refs++;
		*fixed = f;
		return 0;
	}
	return make(th, mem, fixed);
}

void iol_fixed_put(struct iol_blk_thread *th, struct iol_fixed **fixed)
{
	struct iol_fixed *f = iol_take_ptr(*fixed), **at;

	if (!f || --f->refs)
		return;
	for (at = &th->fixed; *at != f; at = &(*at)->next)
		;
	*at = f->next;
	th->engine->ops->unfix(th->engine, f->first, f->n);
	iol_mem_unref(&f->mem);
	free(f);
}

const struct iol_mem *iol_fixed_mem(const struct iol_fixed *fixed)
{
	return fixed->mem;
}

int iol_fixed_find(const struct iol_fixed *f, const struct iovec *iov)
{
	uintptr_t start = (uintptr_t)iov->iov_base;
	unsigned int i;

	for (i = 0; i < f->n; i++) {
		uintptr_t base = (uintptr_t)f->piece[i].iov_base;
		size_t len = f->piece[i].iov_len;

		if (start >= base && start - base < len)
			return iov->iov_len <= len - (start - base) ? f->first + (int)i : -1;
	}
	return -1;
}
