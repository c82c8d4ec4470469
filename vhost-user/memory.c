/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/memory.h"

#include "base/error.h"
#include "vhost-user/sigbus.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define SHARE_HINT                                                                                  \
	"the VM's memory must be shared: with QEMU, -object memory-backend-memfd,share=on,… and " \
	"-machine memory-backend=…"

static void region_unref(struct iol_region *reg)
{
	if (!reg || __atomic_sub_fetch(&reg->refs, 1, __ATOMIC_ACQ_REL))
		return;
	iol_sigbus_remove(&reg->sigbus);
	if (reg->map)
		munmap(reg->map, reg->map_len);
	free(reg);
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a < b + b_size && b < a + a_size;
}

static int check_desc(const struct iol_mem_desc *d)
{
	uint64_t end;

	if (!d->size)
		return iol_fail(EINVAL, "the memory region at 0x%" PRIx64 " is empty", d->gpa);
	/* No sum of ours overflows then; mmap's offsets are signed. */
	if (__builtin_add_overflow(d->gpa, d->size, &end) ||
	    __builtin_add_overflow(d->uaddr, d->size, &end) ||
	    __builtin_add_overflow(d->offset, d->size, &end) || end > (uint64_t)INT64_MAX)
		return iol_fail(EINVAL,
				"the memory region at 0x%" PRIx64 " (size 0x%" PRIx64
				", user address 0x%" PRIx64 ", offset 0x%" PRIx64
				") goes past the end of the address space",
				d->gpa, d->size, d->uaddr, d->offset);
	return 0;
}

/* Huge pages are mapped whole only. */
static size_t page_size(int fd)
{
	struct statfs fs;

	if (!fstatfs(fd, &fs) && fs.f_type == HUGETLBFS_MAGIC)
		return (size_t)fs.f_bsize;
	return (size_t)sysconf(_SC_PAGESIZE);
}

static int region_new(const struct iol_mem_desc *d, int fd, int wake_fd, bool *broken,
		      struct iol_region **out)
{
	size_t page = page_size(fd);
	uint64_t start = d->offset & ~((uint64_t)page - 1);
	struct iol_region *reg;
	struct stat st;
	int rc;

	if (fstat(fd, &st) < 0)
		return iol_fail(errno, "cannot look at a memory region's file: %s",
				strerror(errno));
	/* Only a regular file tells its size; what a device maps is its own affair. */
	if (S_ISREG(st.st_mode) && d->offset + d->size > (uint64_t)st.st_size)
		return iol_fail(EINVAL,
				"the memory region at 0x%" PRIx64 " ends at 0x%" PRIx64
				" of a file of 0x%" PRIx64 " bytes",
				d->gpa, d->offset + d->size, (uint64_t)st.st_size);
	reg = calloc(1, sizeof(*reg));
	if (!reg)
		return iol_fail(ENOMEM, "no memory for a memory region");
	reg->refs = 1;
	reg->gpa = d->gpa;
	reg->uaddr = d->uaddr;
	reg->size = d->size;
	reg->offset = d->offset;
	reg->map_len = (d->offset + d->size - start + page - 1) & ~(page - 1);
	reg->map = mmap(NULL, reg->map_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
			(off_t)start);
	if (reg->map == MAP_FAILED) {
		reg->map = NULL;
		rc = iol_fail(errno,
			      "cannot map the memory region at 0x%" PRIx64 " (0x%" PRIx64
			      " bytes): %s; " SHARE_HINT,
			      d->gpa, d->size, strerror(errno));
		goto fail;
	}
	/* A core dump of ours is not the place for the guest's memory. */
	madvise(reg->map, reg->map_len, MADV_DONTDUMP);
	reg->host = (uint8_t *)reg->map + (d->offset - start);
	/* No seal keeps a fault away: huge pages that were not reserved may be used up. */
	reg->sigbus = iol_sigbus_add(reg->map, reg->map_len, wake_fd, broken);
	if (!reg->sigbus) {
		rc = -ENOMEM;
		goto fail;
	}
	*out = reg;
	return 0;
fail:
	region_unref(reg);
	return rc;
}

static struct iol_mem *mem_alloc(unsigned int n)
{
	struct iol_mem *mem = calloc(1, sizeof(*mem) + 2ul * n * sizeof(struct iol_region *));

	if (!mem) {
		iol_fail(ENOMEM, "no memory for a table of %u memory regions", n);
		return NULL;
	}
	mem->refs = 1;
	mem->by_uaddr = mem->region + n;
	return mem;
}

static int cmp_gpa(const void *a, const void *b)
{
	const struct iol_region *x = *(struct iol_region *const *)a;
	const struct iol_region *y = *(struct iol_region *const *)b;

	return (x->gpa > y->gpa) - (x->gpa < y->gpa);
}

static int cmp_uaddr(const void *a, const void *b)
{
	const struct iol_region *x = *(struct iol_region *const *)a;
	const struct iol_region *y = *(struct iol_region *const *)b;

	return (x->uaddr > y->uaddr) - (x->uaddr < y->uaddr);
}

/* Sort what is in ->region. The table owns its regions from here, whatever the outcome. */
static int mem_finish(struct iol_mem *mem)
{
	unsigned int i;

	if (!mem->n)
		return 0;
	qsort(mem->region, mem->n, sizeof(struct iol_region *), cmp_gpa);
	for (i = 1; i < mem->n; i++) {
		const struct iol_region *a = mem->region[i - 1], *b = mem->region[i];

		if (overlap(a->gpa, a->size, b->gpa, b->size))
			return iol_fail(EINVAL,
					"the memory regions at 0x%" PRIx64 " and 0x%" PRIx64
					" overlap",
					a->gpa, b->gpa);
	}
	memcpy(mem->by_uaddr, mem->region, mem->n * sizeof(struct iol_region *));
	qsort(mem->by_uaddr, mem->n, sizeof(struct iol_region *), cmp_uaddr);
	return 0;
}

int iol_mem_new(const struct iol_mem_desc *desc, const int *fds, unsigned int n, int wake_fd,
		bool *broken, struct iol_mem **out)
{
	struct iol_mem *mem;
	unsigned int i;
	int rc = 0;

	if (n > IOL_MEM_SLOTS)
		return iol_fail(ENOSPC, "%u memory regions are more than %u", n, IOL_MEM_SLOTS);
	mem = mem_alloc(n);
	if (!mem)
		return -ENOMEM;
	for (i = 0; i < n && !rc; i++) {
		rc = check_desc(&desc[i]);
		if (!rc)
			rc = region_new(&desc[i], fds[i], wake_fd, broken, &mem->region[i]);
		if (!rc)
			mem->n++;
	}
	if (!rc)
		rc = mem_finish(mem);
	if (rc) {
		iol_mem_unref(&mem);
		return rc;
	}
	*out = mem;
	return 0;
}

int iol_mem_add(const struct iol_mem *old, const struct iol_mem_desc *desc, int fd, int wake_fd,
		bool *broken, struct iol_mem **out)
{
	struct iol_region *reg = NULL;
	struct iol_mem *mem;
	unsigned int i;
	int rc;

	if (old->n >= IOL_MEM_SLOTS)
		return iol_fail(ENOSPC, "all %u memory slots are taken", IOL_MEM_SLOTS);
	rc = check_desc(desc);
	if (rc)
		return rc;
	mem = mem_alloc(old->n + 1);
	if (!mem)
		return -ENOMEM;
	rc = region_new(desc, fd, wake_fd, broken, &reg);
	if (rc)
		goto fail;
	for (i = 0; i < old->n; i++) {
		mem->region[i] = old->region[i];
		__atomic_add_fetch(&mem->region[i]->refs, 1, __ATOMIC_RELAXED);
	}
	mem->region[i++] = reg;
	mem->n = i;
	rc = mem_finish(mem);
	if (rc)
		goto fail;
	*out = mem;
	return 0;
fail:
	iol_mem_unref(&mem);
	return rc;
}

int iol_mem_remove(const struct iol_mem *old, const struct iol_mem_desc *desc, struct iol_mem **out)
{
	struct iol_mem *mem;
	unsigned int i, gone;

	for (gone = 0; gone < old->n; gone++) {
		const struct iol_region *reg = old->region[gone];

		if (reg->gpa == desc->gpa && reg->size == desc->size && reg->uaddr == desc->uaddr)
			break;
	}
	if (gone == old->n)
		return iol_fail(ENOENT,
				"no memory region at 0x%" PRIx64 " with size 0x%" PRIx64
				" and user address 0x%" PRIx64,
				desc->gpa, desc->size, desc->uaddr);
	mem = mem_alloc(old->n - 1);
	if (!mem)
		return -ENOMEM;
	for (i = 0; i < old->n; i++) {
		if (i == gone)
			continue;
		mem->region[mem->n++] = old->region[i];
		__atomic_add_fetch(&old->region[i]->refs, 1, __ATOMIC_RELAXED);
	}
	/* What is left of a good table is good. */
	mem_finish(mem);
	*out = mem;
	return 0;
}

struct iol_mem *iol_mem_ref(struct iol_mem *mem)
{
	__atomic_add_fetch(&mem->refs, 1, __ATOMIC_RELAXED);
	return mem;
}

void iol_mem_unref(struct iol_mem **pmem)
{
	struct iol_mem *mem = *pmem;
	unsigned int i;

	*pmem = NULL;
	if (!mem || __atomic_sub_fetch(&mem->refs, 1, __ATOMIC_ACQ_REL))
		return;
	for (i = 0; i < mem->n; i++)
		region_unref(mem->region[i]);
	free(mem);
}

/* The index of the last region that starts at or before @gpa; n when there is none. */
static unsigned int last_before(const struct iol_mem *mem, uint64_t gpa)
{
	unsigned int lo = 0, hi = mem->n;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (mem->region[mid]->gpa <= gpa)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? lo - 1 : mem->n;
}

const struct iol_region *iol_mem_find_gpa(const struct iol_mem *mem, uint64_t gpa)
{
	unsigned int i = last_before(mem, gpa);

	if (i == mem->n || gpa - mem->region[i]->gpa >= mem->region[i]->size)
		return NULL;
	return mem->region[i];
}

const struct iol_region *iol_mem_find_uaddr(const struct iol_mem *mem, uint64_t uaddr)
{
	unsigned int lo = 0, hi = mem->n;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (mem->by_uaddr[mid]->uaddr <= uaddr)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* The nearest start is the one, unless a front end's aliases nest. */
	while (lo--) {
		if (uaddr - mem->by_uaddr[lo]->uaddr < mem->by_uaddr[lo]->size)
			return mem->by_uaddr[lo];
	}
	return NULL;
}

const struct iol_region *iol_mem_find_host(const struct iol_mem *mem, const void *host)
{
	unsigned int i;

	for (i = 0; i < mem->n; i++) {
		const struct iol_region *reg = mem->region[i];

		if ((uintptr_t)host >= (uintptr_t)reg->host &&
		    (uintptr_t)host - (uintptr_t)reg->host < reg->size)
			return reg;
	}
	return NULL;
}

/* Add a piece at @n, joined to the one before it where they are neighbours. */
static int iov_add(struct iovec *iov, unsigned int n, unsigned int max, uint8_t *base, size_t len)
{
	if (n && (uint8_t *)iov[n - 1].iov_base + iov[n - 1].iov_len == base) {
		iov[n - 1].iov_len += len;
		return (int)n;
	}
	if (n == max)
		return -E2BIG;
	iov[n].iov_base = base;
	iov[n].iov_len = len;
	return (int)n + 1;
}

int iol_mem_iov(const struct iol_mem *mem, uint64_t gpa, uint64_t len, struct iovec *iov,
		unsigned int max)
{
	unsigned int i = last_before(mem, gpa);
	int n = 0;

	for (; len; i++) {
		const struct iol_region *reg;
		uint64_t off, piece;

		/* i is n after the last region, as it is when there was none before @gpa. */
		if (i >= mem->n)
			return -EFAULT;
		reg = mem->region[i];
		off = gpa - reg->gpa;
		if (gpa < reg->gpa || off >= reg->size)
			return -EFAULT;
		piece = reg->size - off < len ? reg->size - off : len;
		n = iov_add(iov, (unsigned int)n, max, reg->host + off, piece);
		if (n < 0)
			return n;
		gpa += piece;
		len -= piece;
	}
	return n;
}

int iol_mem_iov_uaddr_add(const struct iol_mem *mem, uint64_t uaddr, uint64_t len,
			  struct iovec *iov, unsigned int n, unsigned int max)
{
	int rc = (int)n;

	while (len) {
		const struct iol_region *reg = iol_mem_find_uaddr(mem, uaddr);
		uint64_t off, piece;

		if (!reg)
			return -EFAULT;
		off = uaddr - reg->uaddr;
		piece = reg->size - off < len ? reg->size - off : len;
		rc = iov_add(iov, (unsigned int)rc, max, reg->host + off, piece);
		if (rc < 0)
			return rc;
		uaddr += piece;
		len -= piece;
	}
	return rc;
}

int iol_mem_iov_uaddr(const struct iol_mem *mem, uint64_t uaddr, uint64_t len, struct iovec *iov,
		      unsigned int max)
{
	return iol_mem_iov_uaddr_add(mem, uaddr, len, iov, 0, max);
}
