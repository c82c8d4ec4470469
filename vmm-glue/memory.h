/* SPDX-License-Identifier: BSD-3-Clause */
/* The inside of guest memory: its regions, and who reaches them. */
#ifndef IOL_VMM_GLUE_MEMORY_H
#define IOL_VMM_GLUE_MEMORY_H

#include <iolane/vmm_memory.h>

struct memory_slot {
	struct iol_guest_region region;
	/* Allocated from the start up to here. */
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
};

/* ---- memory_file.c ---- */

/** memory_file() - A new file for guest memory. Return: it, or a negative errno. */
int memory_file(uint64_t size, bool hugepages, bool unsealed);

/** memory_bind() - Have the pages of a mapping that nobody has touched come from @nodes (a bit each; 0: any). */
int memory_bind(void *host, uint64_t size, uint64_t nodes);

/* ---- memory_users.c ---- */

/** memory_users_add() - Have all users reach a region, or none. */
int memory_users_add(struct iol_guest_memory *mem, struct memory_slot *slot);

/** memory_users_remove() - Have none reach it. */
void memory_users_remove(struct iol_guest_memory *mem, struct memory_slot *slot);

#endif
