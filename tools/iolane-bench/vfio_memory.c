/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory whose pages have a certain size, all there before it is mapped for a device. */
#include "vfio.h"

#include "base/error.h"
#include "base/own.h"
#include "base/units.h"

#include <inttypes.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_2M (UINT64_C(2) << 20)

#define POOLS "/sys/kernel/mm/hugepages/hugepages-%zukB/"

static size_t free_pages(size_t page)
{
	char path[96];
	size_t count = 0;
	FILE *file;

	snprintf(path, sizeof(path), POOLS "free_hugepages", page >> 10);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%zu", &count) != 1)
		count = 0;
	fclose(file);
	return count;
}

/* Bytes of a mapping that are huge pages (Documentation/filesystems/proc.rst, smaps). */
static size_t huge_bytes(const void *addr)
{
	FILE *file = fopen("/proc/self/smaps", "re");
	uintptr_t first, last;
	bool inside = false;
	size_t kib, sum = 0;
	char line[512];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &first, &last) == 2)
			inside = first <= (uintptr_t)addr && (uintptr_t)addr < last;
		else if (inside && sscanf(line, "AnonHugePages: %zu kB", &kib) == 1)
			sum = kib << 10;
	}
	if (file)
		fclose(file);
	return sum;
}

/* Memory of a file in memory, as guests' memory is. */
static int of_file(unsigned int flags, struct vfio_memory *m)
{
	_cleanup_close_ int fd = memfd_create("iolane-bench", MFD_CLOEXEC | flags);

	if (fd < 0 || ftruncate(fd, (off_t)m->len))
		return -errno;
	m->addr = mmap(NULL, m->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (m->addr == MAP_FAILED)
		return -errno;
	if (!flags)
		madvise(m->addr, m->len, MADV_NOHUGEPAGE);
	/* Unlike MAP_POPULATE it says so where there is too little, and nobody is killed for it. */
	if (madvise(m->addr, m->len, MADV_POPULATE_WRITE)) {
		int err = errno;

		munmap(m->addr, m->len);
		return -err;
	}
	m->fd = iol_take_fd(&fd);
	return 0;
}

static int transparent(struct vfio_memory *m)
{
	size_t whole = m->len + m->page, got;
	char *base = mmap(NULL, whole, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *start;

	if (base == MAP_FAILED)
		return -errno;
	start = base + (-(uintptr_t)base & (m->page - 1));
	if (start > base)
		munmap(base, (size_t)(start - base));
	munmap(start + m->len, (size_t)(base + whole - (start + m->len)));
	m->addr = start;
	got = madvise(start, m->len, MADV_HUGEPAGE) || madvise(start, m->len, MADV_POPULATE_WRITE)
		      ? 0
		      : huge_bytes(start);
	if (got < m->len / 2) {
		munmap(start, m->len);
		return -ENOENT;
	}
	if (got < m->len)
		snprintf(m->pages, sizeof(m->pages), "transparent huge pages, %zu %% of it",
			 got * 100 / m->len);
	else
		snprintf(m->pages, sizeof(m->pages), "transparent huge pages");
	return 0;
}

static int huge(struct vfio_memory *m)
{
	unsigned int size = (unsigned int)__builtin_ctzll(m->page);
	size_t count = free_pages(m->page), wanted = m->len;

	m->len = wanted < m->page ? m->page : wanted / m->page * m->page;
	/* A few pages of a pool do not stand for large memory, unless they are large themselves. */
	if (m->len > count * m->page && m->page > PAGE_2M)
		m->len = count * m->page;
	if (m->len && m->len <= count * m->page &&
	    !of_file(MFD_HUGETLB | size << MFD_HUGE_SHIFT, m)) {
		snprintf(m->pages, sizeof(m->pages), "hugetlb");
		return 0;
	}
	if (m->page == PAGE_2M && wanted >= m->page && !transparent(m))
		return 0;
	snprintf(m->why, sizeof(m->why),
		 "no pages of this size are free (echo N > " POOLS "nr_hugepages)", m->page >> 10);
	m->addr = NULL;
	return -ENOENT;
}

int vfio_memory_make(size_t page, size_t len, struct vfio_memory *m)
{
	char size[16];
	int rc;

	*m = (struct vfio_memory){ .len = len, .page = page, .fd = -1 };
	if (page >= PAGE_2M)
		return huge(m);
	snprintf(m->pages, sizeof(m->pages), "memfd");
	rc = of_file(0, m);
	if (rc) {
		m->addr = NULL;
		return iol_fail(-rc, "cannot get %s of memory: %s; say less (--memory)",
				iol_format_size(len, size, sizeof(size)), strerror(-rc));
	}
	return 0;
}

void vfio_memory_free(struct vfio_memory *m)
{
	if (m->addr && m->len)
		munmap(m->addr, m->len);
	iol_close(&m->fd);
	m->addr = NULL;
}
