/* SPDX-License-Identifier: BSD-3-Clause */
/* Those who reach guest memory, kept in step with its regions. */
#include "vmm-glue/memory.h"

#include "base/error.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Have one user reach a region. */
static int reach(struct iol_guest_memory *mem, const struct memory_user *user,
		 struct memory_slot *slot)
{
	const struct iol_guest_region *r = &slot->region;
	int rc = user->ops->add(user->ctx, mem, r);

	if (rc < 0)
		return iol_fail_more(rc, "%s cannot reach guest memory at 0x%" PRIx64,
				     user->ops->name, r->gpa);
	rc = memory_tell(user, slot);
	if (rc < 0)
		user->ops->remove(user->ctx, r);
	return rc;
}

/* Have one user reach the first @count regions no more. */
static void leave(struct iol_guest_memory *mem, const struct memory_user *user, unsigned int count)
{
	while (count--)
		user->ops->remove(user->ctx, &mem->slots[count].region);
}

int memory_users_add(struct iol_guest_memory *mem, struct memory_slot *slot)
{
	for (unsigned int i = 0; i < mem->num_users; i++) {
		int rc = reach(mem, &mem->users[i], slot);

		if (!rc)
			continue;
		while (i--)
			mem->users[i].ops->remove(mem->users[i].ctx, &slot->region);
		return rc;
	}
	return 0;
}

void memory_users_remove(struct iol_guest_memory *mem, struct memory_slot *slot)
{
	for (unsigned int i = mem->num_users; i--;)
		mem->users[i].ops->remove(mem->users[i].ctx, &slot->region);
}

int iol_guest_memory_attach(struct iol_guest_memory *mem, const struct iol_memory_user_ops *ops,
			    void *ctx)
{
	struct memory_user user = { .ops = ops, .ctx = ctx }, *users;
	int rc;

	for (unsigned int i = 0; i < mem->num_users; i++)
		if (mem->users[i].ctx == ctx)
			return iol_fail(EEXIST, "%s reaches this guest memory already", ops->name);
	users = reallocarray(mem->users, mem->num_users + 1, sizeof(*users));
	if (!users)
		return iol_fail(ENOMEM, "out of memory for who reaches guest memory");
	mem->users = users;
	for (unsigned int i = 0; i < mem->n; i++) {
		rc = reach(mem, &user, &mem->slots[i]);
		if (rc < 0) {
			leave(mem, &user, i);
			return rc;
		}
	}
	rc = memory_user_track(mem, &user);
	if (rc < 0) {
		leave(mem, &user, mem->n);
		return rc;
	}
	users[mem->num_users++] = user;
	return 0;
}

void iol_guest_memory_detach(struct iol_guest_memory *mem, void *ctx)
{
	unsigned int at = 0;

	while (at < mem->num_users && mem->users[at].ctx != ctx)
		at++;
	if (at == mem->num_users)
		return;
	leave(mem, &mem->users[at], mem->n);
	memory_user_untrack(mem, &mem->users[at]);
	mem->num_users--;
	memmove(&mem->users[at], &mem->users[at + 1],
		(mem->num_users - at) * sizeof(mem->users[0]));
}
