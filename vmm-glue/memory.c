/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory: memfds, mapped here, laid out as a PC's. */
#include "vmm-glue/memory.h"

#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE  (2ull << 20)
#define BELOW_4G   (3ull << 30)
#define ABOVE_HOLE (4ull << 30)

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

static void drop(struct iol_guest_memory *mem, unsigned int at)
{
	struct memory_slot *s = &mem->slots[at];

	munmap(s->region.host, s->region.size);
	close(s->region.fd);
	mem->n--;
	memmove(s, s + 1, (mem->n - at) * sizeof(*s));
}

/* @fd is the memory's from here on, and is closed on failure. */
static int plug(struct iol_guest_memory *mem, uint64_t gpa, uint64_t size, int fd, uint64_t offset,
		uint64_t nodes)
{
	_cleanup_close_ int own = fd;
	struct memory_slot *slots;
	unsigned int at;
	void *host;
	int rc;

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
	slots[at] = (struct memory_slot){
		.region = { .gpa = gpa,
			    .size = size,
			    .host = host,
			    .fd = iol_take_fd(&own),
			    .offset = offset },
	};
	mem->n++;
	rc = memory_bind(host, size, nodes);
	if (!rc)
		rc = memory_users_add(mem, &slots[at]);
	if (rc < 0)
		drop(mem, at);
	return rc;
}

int iol_guest_memory_add(struct iol_guest_memory *mem, uint64_t gpa, uint64_t size, int fd,
			 uint64_t offset)
{
	int rc, own;

	rc = check_place(mem, gpa, size, offset);
	if (rc < 0)
		return rc;
	own = fd < 0 ? memory_file(size, false, false) : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0)
		return fd < 0 ? own : iol_fail(errno, "cannot keep the memory's file: %m");
	return plug(mem, gpa, size, own, offset, fd < 0 ? mem->nodes : 0);
}

int iol_guest_memory_remove(struct iol_guest_memory *mem, uint64_t gpa)
{
	unsigned int i;

	for (i = 0; i < mem->n && mem->slots[i].region.gpa != gpa; i++)
		;
	if (i == mem->n)
		return iol_fail(ENOENT, "no region of guest memory starts at 0x%" PRIx64, gpa);
	memory_users_remove(mem, &mem->slots[i]);
	drop(mem, i);
	return 0;
}

/* What lies above the hole, in the same file. */
static int above(struct iol_guest_memory *mem, uint64_t size, int fd, uint64_t offset)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (own < 0)
		return iol_fail(errno, "cannot keep the memory's file: %m");
	return plug(mem, ABOVE_HOLE, size, own, offset, mem->nodes);
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
	fd = memory_file(spec->size, spec->hugepages, spec->unsealed);
	if (fd < 0)
		return fd;
	mem->nodes = spec->nodes;
	if (below < spec->size) {
		rc = above(mem, spec->size - below, fd, below);
		if (rc < 0)
			return rc;
	}
	return plug(mem, 0, below, iol_take_fd(&fd), 0, mem->nodes);
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

	if (!mem)
		return;
	while (mem->n)
		drop(mem, mem->n - 1);
	free(mem->slots);
	free(mem->users);
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
		struct memory_slot *s = &mem->slots[i];
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
