/* SPDX-License-Identifier: BSD-3-Clause */
/* Which pages of guest memory were written, by anybody: what users tell is joined here. */
#include "vmm-glue/memory.h"

#include "base/error.h"
#include "base/own.h"

#include <inttypes.h>
#include <string.h>

static int no_room(void)
{
	return iol_fail(ENOMEM, "out of memory for which pages of the guest were written");
}

int memory_track(struct iol_guest_memory *mem, const struct iol_guest_region *region)
{
	if (mem->tracked &&
	    page_set_reserve(&mem->dirty, region->gpa, region->gpa + region->size - 1) < 0)
		return no_room();
	return 0;
}

void memory_mark(struct iol_guest_memory *mem, uint64_t gpa, uint64_t size)
{
	if (mem->tracked)
		page_set_mark(&mem->dirty, gpa, gpa + size - 1);
}

void memory_unmark(struct iol_guest_memory *mem, const struct iol_guest_region *region)
{
	page_set_take(&mem->dirty, region->gpa, region->gpa + region->size - 1, PAGE_SET_PAGE,
		      NULL);
}

/* Nobody knows what it writes just before it keeps track, and just after. */
static void mark_all(struct iol_guest_memory *mem)
{
	for (unsigned int i = 0; i < mem->n; i++)
		memory_mark(mem, mem->slots[i].region.gpa, mem->slots[i].region.size);
}

static int user_start(const struct memory_user *user)
{
	int rc = user->ops->dirty_start ? user->ops->dirty_start(user->ctx) : 0;

	if (rc < 0)
		return iol_fail_more(rc, "%s does not tell what it writes", user->ops->name);
	return 0;
}

static void user_stop(const struct memory_user *user)
{
	if (user->ops->dirty_stop)
		user->ops->dirty_stop(user->ctx);
}

int memory_user_track(struct iol_guest_memory *mem, const struct memory_user *user)
{
	int rc = mem->tracked ? user_start(user) : 0;

	if (!rc && user->ops->dirty_start)
		mark_all(mem);
	return rc;
}

void memory_user_untrack(struct iol_guest_memory *mem, const struct memory_user *user)
{
	if (!mem->tracked)
		return;
	user_stop(user);
	if (user->ops->dirty_start)
		mark_all(mem);
}

int iol_guest_memory_dirty_start(struct iol_guest_memory *mem)
{
	int rc = 0;

	if (mem->tracked)
		return iol_fail(EBUSY, "what is written to guest memory is kept track of already");
	mem->tracked = true;
	for (unsigned int i = 0; i < mem->n && !rc; i++)
		rc = memory_track(mem, &mem->slots[i].region);
	for (unsigned int i = 0; i < mem->num_users && !rc; i++) {
		rc = user_start(&mem->users[i]);
		for (unsigned int j = rc < 0 ? i : 0; j--;)
			user_stop(&mem->users[j]);
	}
	if (rc < 0) {
		page_set_clear(&mem->dirty);
		mem->tracked = false;
	}
	return rc;
}

static int not_tracked(void)
{
	return iol_fail(EINVAL,
			"what is written to guest memory is not kept track of: start it first");
}

int iol_guest_memory_dirty_stop(struct iol_guest_memory *mem)
{
	if (!mem->tracked)
		return not_tracked();
	for (unsigned int i = mem->num_users; i--;)
		user_stop(&mem->users[i]);
	page_set_clear(&mem->dirty);
	mem->tracked = false;
	return 0;
}

/* How much of [@first, @last] lies in a region, and from where on. */
static uint64_t common(const struct iol_guest_region *r, uint64_t first, uint64_t last,
		       uint64_t *from)
{
	uint64_t end = r->gpa + r->size - 1, to = end < last ? end : last;

	*from = r->gpa > first ? r->gpa : first;
	return *from > to ? 0 : to - *from + 1;
}

/* What users know of a part of a region goes into the set, where it stays if one of them fails. */
static int collect(struct iol_guest_memory *mem, const struct iol_guest_region *r, uint64_t first,
		   uint64_t bytes, uint64_t *scratch)
{
	uint64_t pages = bytes / PAGE_SET_PAGE;

	for (unsigned int i = 0; i < mem->num_users; i++) {
		const struct memory_user *user = &mem->users[i];
		int rc;

		if (!user->ops->dirty_read)
			continue;
		memset(scratch, 0, (pages / 64 + 1) * sizeof(*scratch));
		rc = user->ops->dirty_read(user->ctx, r, first, bytes, scratch);
		if (rc < 0)
			return iol_fail_more(rc, "%s does not tell what it wrote", user->ops->name);
		page_set_add(&mem->dirty, first, PAGE_SET_PAGE, scratch, pages);
	}
	return 0;
}

void iol_guest_memory_wrote(struct iol_guest_memory *mem, uint64_t gpa, uint64_t size)
{
	uint64_t last = size - 1 > UINT64_MAX - gpa ? UINT64_MAX : gpa + size - 1;

	for (unsigned int i = 0; mem->tracked && size && i < mem->n; i++) {
		uint64_t from, bytes = common(&mem->slots[i].region, gpa, last, &from);

		if (bytes)
			memory_mark(mem, from, bytes);
	}
}

int iol_guest_memory_dirty_read(struct iol_guest_memory *mem, uint64_t gpa, uint64_t size,
				uint64_t *bitmap)
{
	_cleanup_free_ uint64_t *scratch = NULL;
	uint64_t last = gpa + size - 1;
	int rc;

	if (!mem->tracked)
		return not_tracked();
	if (!size || last < gpa || (gpa | size) % PAGE_SET_PAGE)
		return iol_fail(EINVAL,
				"0x%" PRIx64 " and %" PRIu64 " bytes are no pages of guest memory",
				gpa, size);
	for (unsigned int i = 0; i < mem->n; i++) {
		const struct iol_guest_region *r = &mem->slots[i].region;
		uint64_t from, bytes = common(r, gpa, last, &from);

		if (!bytes)
			continue;
		free(scratch);
		scratch = calloc(bytes / PAGE_SET_PAGE / 64 + 1, sizeof(*scratch));
		if (!scratch)
			return no_room();
		rc = collect(mem, r, from, bytes, scratch);
		if (rc < 0)
			return rc;
	}
	page_set_take(&mem->dirty, gpa, last, PAGE_SET_PAGE, bitmap);
	return 0;
}
