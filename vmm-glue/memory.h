/* SPDX-License-Identifier: BSD-3-Clause */
/* The inside of guest memory: its regions, who reaches them, and what was written. */
#ifndef IOL_VMM_GLUE_MEMORY_H
#define IOL_VMM_GLUE_MEMORY_H

#include <iolane/vmm_memory.h>

#include "vfio/page_set.h"

/*
 * @page: the file's pages in bytes. @there: a bit for each granule that is in use; NULL without granules. @taken: allocated
 * from the start up to here.
 */
struct memory_slot {
	struct iol_guest_region region;
	uint64_t page;
	uint64_t *there;
	uint64_t taken;
};

struct memory_user {
	const struct iol_memory_user_ops *ops;
	void *ctx;
};

struct iol_guest_memory {
	unsigned int n;
	struct memory_slot *slots; /* by gpa */
	unsigned int num_users;
	struct memory_user *users;
	uint64_t nodes;
	/* While what is written is kept track of, with room for all regions. */
	bool tracked;
	struct page_set dirty;
};

/** memory_find() - The region that holds all of [@gpa, @gpa + @size); NULL if none does. */
struct memory_slot *memory_find(const struct iol_guest_memory *mem, uint64_t gpa, uint64_t size);

/* ---- memory_file.c ---- */

/** memory_file() - A new file for guest memory. Return: it, or a negative errno. */
int memory_file(uint64_t size, bool hugepages, bool unsealed);

/** memory_file_page() - The bytes of a file's pages. */
uint64_t memory_file_page(int fd);

/** memory_bind() - Have the pages of a mapping that nobody has touched come from @nodes (a bit each; 0: any). */
int memory_bind(void *host, uint64_t size, uint64_t nodes);

/* ---- memory_users.c ---- */

/** memory_users_add() - Have all users reach a region, or none. */
int memory_users_add(struct iol_guest_memory *mem, struct memory_slot *slot);

/** memory_users_remove() - Have none reach it. */
void memory_users_remove(struct iol_guest_memory *mem, struct memory_slot *slot);

/* ---- memory_discard.c ---- */

/** memory_granules() - Give a region granules, all in use or none. -EINVAL, -ENOMEM */
int memory_granules(struct memory_slot *slot, uint64_t granule, bool in_use);

/** memory_tell() - Tell a user that pins of the granules that are in use, as it comes to reach a region that has any. */
int memory_tell(const struct memory_user *user, struct memory_slot *slot);

/* ---- memory_dirty.c ---- */

/** memory_track() - A region is about to come: have room for it, if what is written is kept track of. -ENOMEM */
int memory_track(struct iol_guest_memory *mem, const struct iol_guest_region *region);

/** memory_mark() - All of it counts as written, likewise. memory_unmark(): as not written. */
void memory_mark(struct iol_guest_memory *mem, uint64_t gpa, uint64_t size);
void memory_unmark(struct iol_guest_memory *mem, const struct iol_guest_region *region);

/** memory_user_track() - A user that reaches all memory has come meanwhile. memory_user_untrack(): it goes. */
int memory_user_track(struct iol_guest_memory *mem, const struct memory_user *user);
void memory_user_untrack(struct iol_guest_memory *mem, const struct memory_user *user);

#endif
