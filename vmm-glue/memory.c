/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory: memfds, mapped here, laid out as a PC's. */
#include <iolane/vmm_memory.h>

#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE  (2ull << 20)
#define BELOW_4G   (3ull << 30)
#define ABOVE_HOLE (4ull << 30)

struct slot {
	struct iol_guest_region region;
	/* Allocated from the start up to here. */
	uint64_t taken;
};

struct iol_guest_memory {
	unsigned int n;
	struct slot *slots;
};

static int make_memfd(uint64_t size, bool hugepages, bool unsealed)
{
	unsigned int flags = MFD_CLOEXEC;
	_cleanup_close_ int fd = -1;

	if (hugepages)
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;
	if (!unsealed)
		flags |= MFD_ALLOW_SEALING;
	fd = memfd_create("iolane-guest-memory", flags);
	if (fd < 0)
		return iol_fail(errno, "cannot make guest memory: memfd_create: %s",
				strerror(errno));
	if (ftruncate(fd, (off_t)size) < 0)
		return iol_fail(errno, "cannot make %" PRIu64 " bytes of guest memory: %s", size,
				strerror(errno));
	if (!unsealed && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return iol_fail(errno, "cannot seal guest memory: %s", strerror(errno));
	return iol_take_fd(&fd);
}

static int check_place(const struct iol_guest_memory *mem, uint64_t gpa, uint64_t size,
		       uint64_t offset)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	unsigned int i;

	if (!size || size % page || gpa % page || offset % page || size > INT64_MAX ||
	    offset > INT64_MAX - size || gpa > UINT64_MAX - size)
		return iol_fail(EINVAL,
				"guest memory of %" PRIu64 " bytes at 0x%" PRIx64
				" is not whole pages in the address space",
				size, gpa);
	for (i = 0; i < mem->n; i++) {
		const struct iol_guest_region *r = &mem->slots[i].region;

		if (gpa < r->gpa + r->size && r->gpa < gpa + size)
			return iol_fail(EEXIST,
					"guest memory at 0x%" PRIx64
					" overlaps the region at 0x%" PRIx64,
					gpa, r->gpa);
	}
	return 0;
}

int iol_guest_memory_add(struct iol_guest_memory *mem, uint64_t gpa, uint64_t size, int fd,
			 uint64_t offset)
{
	_cleanup_close_ int own = -1;
	struct slot *slots;
	unsigned int at;
	void *host;
	int rc;

	rc = check_place(mem, gpa, size, offset);
	if (rc < 0)
		return rc;
	if (fd < 0)
		own = make_memfd(size, false, false);
	else
		own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0)
		return fd < 0 ? own : iol_fail(errno, "cannot keep the memory's file: %m");
	slots = reallocarray(mem->slots, mem->n + 1, sizeof(*slots));
	if (!slots)
		return iol_fail(ENOMEM, "out of memory for the memory's table");
	mem->slots = slots;
	host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, own, (off_t)offset);
	if (host == MAP_FAILED)
		return iol_fail(errno, "cannot map %" PRIu64 " bytes of guest memory: %s", size,
				strerror(errno));
	for (at = mem->n; at && slots[at - 1].region.gpa > gpa; at--)
		slots[at] = slots[at - 1];
	slots[at] = (struct slot){
		.region = { .gpa = gpa,
			    .size = size,
			    .host = host,
			    .fd = iol_take_fd(&own),
			    .offset = offset },
	};
	mem->n++;
	return 0;
}

static void drop(struct slot *s)
{
	munmap(s->region.host, s->region.size);
	close(s->region.fd);
}

int iol_guest_memory_remove(struct iol_guest_memory *mem, uint64_t gpa)
{
	unsigned int i;

	for (i = 0; i < mem->n && mem->slots[i].region.gpa != gpa; i++)
		;
	if (i == mem->n)
		return iol_fail(ENOENT, "no region of guest memory starts at 0x%" PRIx64, gpa);
	drop(&mem->slots[i]);
	mem->n--;
	memmove(&mem->slots[i], &mem->slots[i + 1], (mem->n - i) * sizeof(mem->slots[0]));
	return 0;
}

static int lay_out(struct iol_guest_memory *mem, const struct iol_guest_memory_spec *spec)
{
	uint64_t page = spec->hugepages ? HUGE_PAGE : (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t below = spec->below_4g ? spec->below_4g : BELOW_4G;
	_cleanup_close_ int fd = -1;
	int rc;

	if (below > spec->size)
		below = spec->size;
	if (!spec->size || spec->size % page || below % page || below > ABOVE_HOLE)
		return iol_fail(EINVAL,
				"guest memory of %" PRIu64 " bytes, %" PRIu64
				" of them below 4 GiB, is not whole pages of %" PRIu64 " bytes",
				spec->size, below, page);
	fd = make_memfd(spec->size, spec->hugepages, spec->unsealed);
	if (fd < 0)
		return fd;
	rc = iol_guest_memory_add(mem, 0, below, fd, 0);
	if (rc < 0 || below == spec->size)
		return rc;
	return iol_guest_memory_add(mem, ABOVE_HOLE, spec->size - below, fd, below);
}

int iol_guest_memory_new(const struct iol_guest_memory_spec *spec, struct iol_guest_memory **memp)
{
	struct iol_guest_memory *mem = calloc(1, sizeof(*mem));
	int rc;

	if (!mem)
		return iol_fail(ENOMEM, "out of memory for the memory's table");
	rc = lay_out(mem, spec);
	if (rc < 0)
		iol_guest_memory_destroy(&mem);
	else
		*memp = mem;
	return rc;
}

void iol_guest_memory_destroy(struct iol_guest_memory **memp)
{
	struct iol_guest_memory *mem = *memp;
	unsigned int i;

	if (!mem)
		return;
	for (i = 0; i < mem->n; i++)
		drop(&mem->slots[i]);
	free(mem->slots);
	free(mem);
	*memp = NULL;
}

unsigned int iol_guest_memory_regions(const struct iol_guest_memory *mem)
{
	return mem->n;
}

const struct iol_guest_region *iol_guest_memory_region(const struct iol_guest_memory *mem,
						       unsigned int index)
{
	return index < mem->n ? &mem->slots[index].region : NULL;
}

void *iol_guest_memory_host(const struct iol_guest_memory *mem, uint64_t gpa, uint64_t len)
{
	unsigned int i;

	for (i = 0; i < mem->n; i++) {
		const struct iol_guest_region *r = &mem->slots[i].region;

		if (gpa >= r->gpa && gpa - r->gpa < r->size && len <= r->size - (gpa - r->gpa))
			return r->host + (gpa - r->gpa);
	}
	return NULL;
}

int iol_guest_memory_alloc(struct iol_guest_memory *mem, uint64_t size, uint64_t align,
			   uint64_t *gpa)
{
	unsigned int i;

	for (i = 0; i < mem->n; i++) {
		struct slot *s = &mem->slots[i];
		uint64_t at =
			((s->region.gpa + s->taken + align - 1) & ~(align - 1)) - s->region.gpa;

		if (at > s->region.size || size > s->region.size - at)
			continue;
		s->taken = at + size;
		*gpa = s->region.gpa + at;
		return 0;
	}
	return iol_fail(ENOSPC, "guest memory has no room for %" PRIu64 " bytes more", size);
}
