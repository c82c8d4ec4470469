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

static void end(struct memory_slot *s)
{
	munmap(s->region.host, s->region.size);
	close(s->region.fd);
	free(s->there);
}

static void drop(struct iol_guest_memory *mem, unsigned int at)
{
	struct memory_slot *s = &mem->slots[at];

	end(s);
	memory_unmark(mem, &s->region);
	mem->n--;
	memmove(s, s + 1, (mem->n - at) * sizeof(*s));
}

/* What a region shall be. @fd: becomes the memory's. @in_use: its granules are. */
struct plug {
	uint64_t gpa, size;
	int fd;
	uint64_t offset, granule, nodes;
	bool in_use;
};

static int place(struct iol_guest_memory *mem, struct memory_slot *slot)
{
	struct memory_slot *slots;
	unsigned int at;
	int rc;

	rc = memory_track(mem, &slot->region);
	if (rc < 0)
		return rc;
	slots = reallocarray(mem->slots, mem->n + 1, sizeof(*slots));
	if (!slots)
		return iol_fail(ENOMEM, "out of memory for the memory's table");
	mem->slots = slots;
	for (at = mem->n; at && slots[at - 1].region.gpa > slot->region.gpa; at--)
		slots[at] = slots[at - 1];
	slots[at] = *slot;
	mem->n++;
	return (int)at;
}

static int plug(struct iol_guest_memory *mem, const struct plug *p)
{
	struct memory_slot slot = {
		.region = { .gpa = p->gpa, .size = p->size, .fd = p->fd, .offset = p->offset },
		.page = memory_file_page(p->fd),
	};
	int rc, at;

	slot.region.host =
		mmap(NULL, p->size, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, (off_t)p->offset);
	if (slot.region.host == MAP_FAILED) {
		rc = iol_fail(errno, "cannot map %" PRIu64 " bytes of guest memory: %s", p->size,
			      strerror(errno));
		close(p->fd);
		return rc;
	}
	rc = memory_granules(&slot, p->granule, p->in_use);
	if (!rc)
		rc = memory_bind(slot.region.host, p->size, p->nodes);
	at = rc < 0 ? rc : place(mem, &slot);
	if (at < 0) {
		end(&slot);
		return at;
	}
	rc = memory_users_add(mem, &mem->slots[at]);
	if (rc < 0)
		drop(mem, (unsigned int)at);
	else
		memory_mark(mem, p->gpa, p->size);
	return rc;
}

static int add(struct iol_guest_memory *mem, uint64_t gpa, uint64_t size, int fd, uint64_t offset,
	       uint64_t granule)
{
	struct plug p = { .gpa = gpa, .size = size, .offset = offset, .granule = granule };
	int rc;

	rc = check_place(mem, gpa, size, offset);
	if (rc < 0)
		return rc;
	if (fd < 0) {
		p.fd = memory_file(size, false, false);
		p.nodes = mem->nodes;
	} else {
		p.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	}
	if (p.fd < 0)
		return fd < 0 ? p.fd : iol_fail(errno, "cannot keep the memory's file: %m");
	return plug(mem, &p);
}

int iol_guest_memory_add(struct iol_guest_memory *mem, uint64_t gpa, uint64_t size, int fd,
			 uint64_t offset)
{
	return add(mem, gpa, size, fd, offset, 0);
}

int iol_guest_memory_add_discardable(struct iol_guest_memory *mem, uint64_t gpa, uint64_t size,
				     int fd, uint64_t offset, uint64_t granule)
{
	if (!granule)
		return iol_fail(EINVAL, "memory of which parts come and go needs granules");
	return add(mem, gpa, size, fd, offset, granule);
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

static int lay_out(struct iol_guest_memory *mem, const struct iol_guest_memory_spec *spec)
{
	uint64_t page = spec->hugepages ? HUGE_PAGE : (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t below = spec->below_4g ? spec->below_4g : BELOW_4G;
	struct plug low = { .granule = spec->granule, .nodes = spec->nodes, .in_use = true }, high;
	int rc;

	if (below > spec->size)
		below = spec->size;
	if (!spec->size || spec->size % page || below % page || below > ABOVE_HOLE ||
	    spec->size > INT64_MAX)
		return iol_fail(EINVAL,
				"guest memory of %" PRIu64 " bytes, %" PRIu64
				" of them below 4 GiB, is not whole pages of %" PRIu64 " bytes",
				spec->size, below, page);
	mem->nodes = spec->nodes;
	low.size = below;
	low.fd = memory_file(spec->size, spec->hugepages, spec->unsealed);
	if (low.fd < 0)
		return low.fd;
	if (below < spec->size) {
		high = low;
		high.gpa = ABOVE_HOLE;
		high.size = spec->size - below;
		high.offset = below;
		high.fd = fcntl(low.fd, F_DUPFD_CLOEXEC, 0);
		rc = high.fd < 0 ? iol_fail(errno, "cannot keep the memory's file: %m")
				 : plug(mem, &high);
		if (rc < 0) {
			close(low.fd);
			return rc;
		}
	}
	return plug(mem, &low);
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
	page_set_clear(&mem->dirty);
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

struct memory_slot *memory_find(const struct iol_guest_memory *mem, uint64_t gpa, uint64_t size)
{
	unsigned int i;

	for (i = 0; i < mem->n; i++) {
		const struct iol_guest_region *r = &mem->slots[i].region;

		if (gpa >= r->gpa && gpa - r->gpa < r->size && size <= r->size - (gpa - r->gpa))
			return &mem->slots[i];
	}
	return NULL;
}

void *iol_guest_memory_host(const struct iol_guest_memory *mem, uint64_t gpa, uint64_t len)
{
	const struct memory_slot *slot = memory_find(mem, gpa, len);

	return slot ? slot->region.host + (gpa - slot->region.gpa) : NULL;
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
