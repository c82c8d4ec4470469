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

static bool same(const struct iol_mem_desc *a, const struct iol_mem_desc *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* The file of a region that was described from @mem; -1 when it has it no more. */
static int file_of(const struct iol_guest_memory *mem, const struct iol_mem_desc *desc)
{
	const struct iol_guest_region *r;

	for (unsigned int i = 0; (r = iol_guest_memory_region(mem, i)); i++) {
		struct iol_mem_desc now = describe(r);

		if (same(&now, desc))
			return r->fd;
	}
	return -1;
}

/* All that fe->regions says, the whole of what the back end is to have. */
static int send_table(struct iol_frontend *fe)
{
	struct vhost_user_memory table = { .nregions = fe->nregions };
	int fds[FRONTEND_TABLE_MAX];
	int rc;

	for (unsigned int i = 0; i < fe->nregions; i++) {
		table.region[i] = fe->regions[i];
		fds[i] = file_of(fe->memory, &fe->regions[i]);
	}
	rc = iol_fe_set(fe, VHOST_USER_SET_MEM_TABLE, &table,
			(uint32_t)(offsetof(struct vhost_user_memory, region) +
				   fe->nregions * sizeof(table.region[0])),
			fds, fe->nregions);
	fe->table_sent |= !rc;
	return rc;
}

static int send_region(struct iol_frontend *fe, uint32_t request, const struct iol_mem_desc *desc,
		       int fd)
{
	struct vhost_user_single_region payload = { .region = *desc };

	return iol_fe_set(fe, request, &payload, sizeof(payload), &fd, fd >= 0);
}

static bool by_slots(const struct iol_frontend *fe)
{
	return fe->protocol & SLOTS_BIT;
}

/* Where the back end's table has a region; fe->nregions when it does not. */
static unsigned int find(const struct iol_frontend *fe, const struct iol_mem_desc *desc)
{
	unsigned int i;

	for (i = 0; i < fe->nregions && !same(&fe->regions[i], desc); i++)
		;
	return i;
}

/* Room for what it has and @more. */
static int reserve(struct iol_frontend *fe, unsigned int more)
{
	struct iol_mem_desc *regions =
		reallocarray(fe->regions, fe->nregions + more + 1, sizeof(*regions));

	if (!regions)
		return iol_fail(ENOMEM, "out of memory for the memory's table");
	fe->regions = regions;
	return 0;
}

static int check_count(const struct iol_frontend *fe, unsigned int n)
{
	unsigned int most = by_slots(fe) ? fe->slots_max : FRONTEND_TABLE_MAX;

	if (n <= most)
		return 0;
	return iol_fail(ENOSPC,
			"the guest has %u memory regions, and the back end takes at most %u", n,
			most);
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
	unsigned int i, n = iol_guest_memory_regions(mem);
	int rc;

	for (i = 0; i < n; i++) {
		const struct iol_guest_region *r = iol_guest_memory_region(mem, i);
		struct iol_mem_desc desc = describe(r);

		if (find(fe, &desc) < fe->nregions)
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
	int rc;

	rc = check_count(fe, n);
	/* Removing may stop half way. */
	if (!rc)
		rc = reserve(fe, n);
	if (rc < 0)
		return rc;
	fe->memory = mem;
	if (by_slots(fe) && (fe->table_sent || n > FRONTEND_TABLE_MAX)) {
		rc = remove_gone(fe, mem);
		return rc < 0 ? rc : add_new(fe, mem);
	}
	for (i = 0; i < n; i++)
		fe->regions[i] = describe(iol_guest_memory_region(mem, i));
	fe->nregions = n;
	return send_table(fe);
}

/* ---- as somebody who reaches guest memory ---- */

static int share_region(struct iol_frontend *fe, const struct iol_guest_region *region)
{
	struct iol_mem_desc desc = describe(region);
	int rc;

	rc = check_count(fe, fe->nregions + 1);
	if (!rc)
		rc = reserve(fe, 1);
	if (rc < 0)
		return rc;
	fe->regions[fe->nregions++] = desc;
	if (by_slots(fe) && fe->table_sent)
		rc = send_region(fe, VHOST_USER_ADD_MEM_REG, &desc, region->fd);
	else
		rc = send_table(fe);
	if (rc < 0 && fe->nregions)
		fe->nregions--;
	return rc;
}

static int add(void *ctx, const struct iol_guest_memory *mem, const struct iol_guest_region *region)
{
	struct iol_frontend *fe = ctx;
	int rc;

	fe->memory = mem;
	rc = iol_fe_cover_log(fe, region);
	if (!rc && iol_frontend_connected(fe)) {
		rc = share_region(fe, region);
		/* Who is not there is told of all memory when it is back. */
		if (!iol_frontend_connected(fe))
			rc = 0;
	}
	if (!rc)
		fe->reached++;
	else if (!fe->reached)
		fe->memory = NULL;
	return rc;
}

static void remove_region(void *ctx, const struct iol_guest_region *region)
{
	struct iol_mem_desc desc = describe(region);
	struct iol_frontend *fe = ctx;
	unsigned int at = find(fe, &desc);
	int rc = 0;

	if (at < fe->nregions) {
		fe->regions[at] = fe->regions[--fe->nregions];
		rc = by_slots(fe) ? send_region(fe, VHOST_USER_REM_MEM_REG, &desc, -1)
				  : send_table(fe);
		if (!rc)
			rc = iol_fe_seen(fe);
	}
	/* Who does not let go of it is no back end of ours any more. */
	if (rc < 0) {
		iol_log(IOL_LOG_WARNING, "a back end does not let go of guest memory: %s",
			iol_error());
		iol_fe_lose(fe, rc);
	}
	if (!--fe->reached)
		fe->memory = NULL;
}

static int dirty_start(void *ctx)
{
	return iol_frontend_log_start(ctx);
}

static void dirty_stop(void *ctx)
{
	if (iol_frontend_log_stop(ctx) < 0)
		iol_log(IOL_LOG_WARNING, "a back end goes on keeping a dirty log: %s", iol_error());
}

static int dirty_read(void *ctx, const struct iol_guest_region *region, uint64_t gpa, uint64_t size,
		      uint64_t *bitmap)
{
	return iol_fe_take_log(ctx, gpa, size, bitmap);
}

const struct iol_memory_user_ops iol_frontend_memory = {
	.name = "a vhost-user back end",
	.add = add,
	.remove = remove_region,
	.dirty_start = dirty_start,
	.dirty_stop = dirty_stop,
	.dirty_read = dirty_read,
};
