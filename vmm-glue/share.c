/* SPDX-License-Identifier: BSD-3-Clause */
/* Telling the back end what memory the guest has. */
#include "vmm-glue/frontend.h"

#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_BIT (1ull << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS)

static struct iol_mem_desc describe(const struct iol_guest_region *r)
{
	return (struct iol_mem_desc){
		.gpa = r->gpa, .size = r->size, .uaddr = (uintptr_t)r->host, .offset = r->offset
	};
}

static int send_table(struct iol_frontend *fe, const struct iol_guest_memory *mem)
{
	unsigned int i, n = iol_guest_memory_regions(mem);
	struct vhost_user_memory table = { .nregions = n };
	int fds[FRONTEND_TABLE_MAX];

	for (i = 0; i < n; i++) {
		const struct iol_guest_region *r = iol_guest_memory_region(mem, i);

		table.region[i] = describe(r);
		fds[i] = r->fd;
	}
	return iol_fe_set(fe, VHOST_USER_SET_MEM_TABLE, &table,
			  (uint32_t)(offsetof(struct vhost_user_memory, region) +
				     n * sizeof(table.region[0])),
			  fds, n);
}

static int send_region(struct iol_frontend *fe, uint32_t request, const struct iol_mem_desc *desc,
		       int fd)
{
	struct vhost_user_single_region payload = { .region = *desc };

	return iol_fe_set(fe, request, &payload, sizeof(payload), &fd, fd >= 0);
}

static bool same(const struct iol_mem_desc *a, const struct iol_mem_desc *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static int remove_gone(struct iol_frontend *fe, const struct iol_guest_memory *mem)
{
	unsigned int i = 0, j, n = iol_guest_memory_regions(mem);
	int rc;

	while (i < fe->nregions) {
		for (j = 0; j < n; j++) {
			struct iol_mem_desc now = describe(iol_guest_memory_region(mem, j));

			if (same(&now, &fe->regions[i]))
				break;
		}
		if (j < n) {
			i++;
			continue;
		}
		rc = send_region(fe, VHOST_USER_REM_MEM_REG, &fe->regions[i], -1);
		if (rc < 0)
			return rc;
		fe->regions[i] = fe->regions[--fe->nregions];
	}
	return 0;
}

static int add_new(struct iol_frontend *fe, const struct iol_guest_memory *mem)
{
	unsigned int i, j, n = iol_guest_memory_regions(mem);
	int rc;

	for (i = 0; i < n; i++) {
		const struct iol_guest_region *r = iol_guest_memory_region(mem, i);
		struct iol_mem_desc desc = describe(r);

		for (j = 0; j < fe->nregions && !same(&desc, &fe->regions[j]); j++)
			;
		if (j < fe->nregions)
			continue;
		rc = send_region(fe, VHOST_USER_ADD_MEM_REG, &desc, r->fd);
		if (rc < 0)
			return rc;
		fe->regions[fe->nregions++] = desc;
	}
	return 0;
}

int iol_frontend_set_memory(struct iol_frontend *fe, const struct iol_guest_memory *mem)
{
	unsigned int i, n = iol_guest_memory_regions(mem);
	bool slots = fe->protocol & SLOTS_BIT;
	struct iol_mem_desc *regions;
	int rc;

	if (n > (slots ? fe->slots_max : FRONTEND_TABLE_MAX))
		return iol_fail(
			ENOSPC,
			"the guest has %u memory regions, and the back end takes at most %u", n,
			slots ? fe->slots_max : FRONTEND_TABLE_MAX);
	/* Room for what it has and what it will have, as removing may stop half way. */
	regions = reallocarray(fe->regions, fe->nregions + n + 1, sizeof(*regions));
	if (!regions)
		return iol_fail(ENOMEM, "out of memory for the memory's table");
	fe->regions = regions;
	fe->memory = mem;
	if (slots && (fe->table_sent || n > FRONTEND_TABLE_MAX)) {
		rc = remove_gone(fe, mem);
		return rc < 0 ? rc : add_new(fe, mem);
	}
	rc = send_table(fe, mem);
	if (rc < 0)
		return rc;
	for (i = 0; i < n; i++)
		fe->regions[i] = describe(iol_guest_memory_region(mem, i));
	fe->nregions = n;
	fe->table_sent = true;
	return 0;
}
