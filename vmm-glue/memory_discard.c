/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Giving parts of guest memory back to the host, and taking them into use again. Who pins pages lets go of them first, as the
 * device would else go on writing to pages that are no longer the guest's.
 */
#include "vmm-glue/memory.h"

#include "base/error.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>

static bool is_there(const struct memory_slot *slot, uint64_t granule)
{
	return slot->there[granule / 64] >> granule % 64 & 1;
}

/* Granules from @at to before @end. */
static void set_there(struct memory_slot *slot, uint64_t at, uint64_t end, bool there)
{
	for (; at < end; at++) {
		uint64_t bit = UINT64_C(1) << at % 64;

		if (there)
			slot->there[at / 64] |= bit;
		else
			slot->there[at / 64] &= ~bit;
	}
}

int memory_granules(struct memory_slot *slot, uint64_t granule, bool in_use)
{
	const struct iol_guest_region *r = &slot->region;

	if (!granule)
		return 0;
	if (granule & (granule - 1) || granule % slot->page || (r->gpa | r->size) % granule)
		return iol_fail(EINVAL,
				"guest memory of %" PRIu64 " bytes at 0x%" PRIx64
				" does not consist of granules of %" PRIu64
				" bytes, which are a power of two and whole pages of %" PRIu64
				" bytes",
				r->size, r->gpa, granule, slot->page);
	slot->there = calloc(r->size / granule / 64 + 1, sizeof(*slot->there));
	if (!slot->there)
		return iol_fail(ENOMEM, "out of memory for granules of guest memory");
	slot->region.granule = granule;
	set_there(slot, 0, in_use ? r->size / granule : 0, true);
	return 0;
}

/*
 * Tell a user of granules from @at to before @end, of those alone that are @have: @there are they from now on. On
 * failure it is as if it had not been told.
 */
static int tell(const struct memory_user *user, const struct memory_slot *slot, uint64_t at,
		uint64_t end, bool have, bool there)
{
	const struct iol_guest_region *r = &slot->region;
	uint64_t begin = at, next;
	int rc;

	for (; at < end; at = next) {
		for (next = at; next < end && is_there(slot, next) == have; next++)
			;
		if (next == at) {
			next++;
			continue;
		}
		rc = user->ops->discard(user->ctx, r, r->gpa + at * r->granule,
					(next - at) * r->granule, there);
		if (rc < 0) {
			iol_fail_more(rc, "%s can't follow at 0x%" PRIx64 " of guest memory",
				      user->ops->name, r->gpa + at * r->granule);
			break;
		}
	}
	if (at >= end)
		return 0;
	/* Back to what it had; who can't take up again what it let go of does not reach it, which hurts but the guest. */
	if (have != there && tell(user, slot, begin, at, have, have) < 0)
		iol_log(IOL_LOG_WARNING, "%s", iol_error());
	return rc;
}

int memory_tell(const struct memory_user *user, struct memory_slot *slot)
{
	const struct iol_guest_region *r = &slot->region;

	if (!user->ops->pins || !slot->there)
		return 0;
	return tell(user, slot, 0, r->size / r->granule, true, true);
}

/* Tell all who pin, or none. */
static int tell_all(struct iol_guest_memory *mem, const struct memory_slot *slot, uint64_t at,
		    uint64_t end, bool there)
{
	for (unsigned int i = 0; i < mem->num_users; i++) {
		int rc = mem->users[i].ops->pins
				 ? tell(&mem->users[i], slot, at, end, !there, there)
				 : 0;

		if (!rc)
			continue;
		while (i--)
			if (mem->users[i].ops->pins)
				tell(&mem->users[i], slot, at, end, !there, !there);
		return rc;
	}
	return 0;
}

static const char *who_pins(const struct iol_guest_memory *mem)
{
	for (unsigned int i = 0; i < mem->num_users; i++)
		if (mem->users[i].ops->pins)
			return mem->users[i].ops->name;
	return NULL;
}

static int find_part(const struct iol_guest_memory *mem, uint64_t gpa, uint64_t size,
		     struct memory_slot **slot)
{
	uint64_t unit;

	*slot = size ? memory_find(mem, gpa, size) : NULL;
	if (!*slot)
		return iol_fail(ENOENT,
				"no region of guest memory has %" PRIu64 " bytes at 0x%" PRIx64,
				size, gpa);
	unit = (*slot)->there ? (*slot)->region.granule : (*slot)->page;
	if ((gpa | size) % unit)
		return iol_fail(EINVAL,
				"%" PRIu64 " bytes at 0x%" PRIx64
				" of guest memory are not whole pieces of %" PRIu64 " bytes",
				size, gpa, unit);
	return 0;
}

static int punch(const struct iol_guest_region *r, uint64_t gpa, uint64_t size)
{
	if (!fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		       (off_t)(r->offset + (gpa - r->gpa)), (off_t)size))
		return 0;
	return iol_fail(errno,
			"cannot give back %" PRIu64 " bytes of guest memory at 0x%" PRIx64 ": %s",
			size, gpa, strerror(errno));
}

int iol_guest_memory_discard(struct iol_guest_memory *mem, uint64_t gpa, uint64_t size)
{
	uint64_t first, end;
	struct memory_slot *slot;
	int rc;

	rc = find_part(mem, gpa, size, &slot);
	if (rc < 0)
		return rc;
	if (!slot->there) {
		if (who_pins(mem))
			return iol_fail(EBUSY,
					"%s holds the region at 0x%" PRIx64
					" in place as a whole: memory that is to be given "
					"back needs granules",
					who_pins(mem), slot->region.gpa);
		rc = punch(&slot->region, gpa, size);
	} else {
		first = (gpa - slot->region.gpa) / slot->region.granule;
		end = first + size / slot->region.granule;
		rc = tell_all(mem, slot, first, end, false);
		if (rc < 0)
			return rc;
		rc = punch(&slot->region, gpa, size);
		if (rc < 0)
			tell_all(mem, slot, first, end, true);
		else
			set_there(slot, first, end, false);
	}
	if (!rc)
		memory_mark(mem, gpa, size);
	return rc;
}

int iol_guest_memory_populate(struct iol_guest_memory *mem, uint64_t gpa, uint64_t size)
{
	uint64_t first, end;
	struct memory_slot *slot;
	int rc;

	rc = find_part(mem, gpa, size, &slot);
	if (rc < 0 || !slot->there)
		return rc;
	first = (gpa - slot->region.gpa) / slot->region.granule;
	end = first + size / slot->region.granule;
	rc = tell_all(mem, slot, first, end, true);
	if (!rc)
		set_there(slot, first, end, true);
	return rc;
}
