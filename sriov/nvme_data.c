/* SPDX-License-Identifier: BSD-3-Clause */
/* Data structures of NVMe controllers about their VFs. */
#include "sriov/nvme.h"

#include "base/error.h"
#include "vfio/config.h"
#include "vfio/grow.h"

#include <inttypes.h>
#include <string.h>

/* Entries of a secondary controller list, and of one entry its fields. */
#define ENTRIES_MAX 127
#define ENTRY_SIZE  32
#define ENTRY_ID    0
#define ENTRY_STATE 4
#define ENTRY_VF    8
#define ENTRY_VQ    10
#define ENTRY_VI    12

#define STATE_ONLINE 1u

/* Primary controller capabilities: a kind's fields are alike, from here on. */
#define CAPS_ID         0
#define CAPS_TYPES      4
#define CAPS_QUEUES     32
#define CAPS_INTERRUPTS 64
#define POOL_TOTAL      0
#define POOL_ASSIGNED   4
#define POOL_MOST       12
#define POOL_STEP       14

static unsigned int get16(const uint8_t *data, size_t at)
{
	return iol_config_u16(data, NVME_DATA_SIZE, at);
}

static int read_pool(const uint8_t *data, size_t at, const char *what, struct iol_nvme_pool *pool)
{
	*pool = (struct iol_nvme_pool){
		.total = iol_config_u32(data, NVME_DATA_SIZE, at + POOL_TOTAL),
		.assigned = iol_config_u32(data, NVME_DATA_SIZE, at + POOL_ASSIGNED),
		.most = get16(data, at + POOL_MOST),
		.step = get16(data, at + POOL_STEP),
	};
	if (pool->assigned > pool->total)
		return iol_fail(
			EPROTO,
			"the NVMe controller says that %u of its %u %s are assigned: nothing "
			"it says of its VFs is trusted",
			pool->assigned, pool->total, what);
	return 0;
}

int iol_nvme_caps_read(const uint8_t data[NVME_DATA_SIZE], struct iol_nvme_caps *caps)
{
	int rc = 0;

	*caps = (struct iol_nvme_caps){ .id = (uint16_t)get16(data, CAPS_ID) };
	if (data[CAPS_TYPES] & 1)
		rc = read_pool(data, CAPS_QUEUES, "queues", &caps->queues);
	if (!rc && data[CAPS_TYPES] & 2)
		rc = read_pool(data, CAPS_INTERRUPTS, "interrupts", &caps->interrupts);
	return rc;
}

/* Room for VF @index, and for those before it that are still to come. */
static bool make_room(struct iol_nvme_list *list, size_t index)
{
	while (list->count <= index) {
		if (!iol_grow(&list->vfs, list->count, &list->room, sizeof(*list->vfs)))
			return false;
		list->vfs[list->count++] = (struct iol_vf_nvme){ .id = NVME_NO_ID };
	}
	return true;
}

static int read_entry(const uint8_t *data, size_t at, struct iol_nvme_list *list)
{
	unsigned int id = get16(data, at + ENTRY_ID), vf = get16(data, at + ENTRY_VF);

	if (id < list->next || id == NVME_NO_ID)
		return iol_fail(
			EPROTO,
			"the NVMe controller lists its secondary controller %u where %" PRIu32
			" or a higher one has to be",
			id, list->next);
	list->next = id + 1;
	/* 0: no VF, but another controller of the subsystem. */
	if (!vf)
		return 0;
	if (vf <= list->count && list->vfs[vf - 1].id != NVME_NO_ID)
		return iol_fail(
			EPROTO,
			"the NVMe controller lists VF %u twice, as its secondary controllers "
			"%u and %u",
			vf - 1, list->vfs[vf - 1].id, id);
	if (!make_room(list, vf - 1))
		return iol_fail(ENOMEM, "no memory for the VFs of an NVMe controller");
	list->vfs[vf - 1] = (struct iol_vf_nvme){
		.id = (uint16_t)id,
		.online = data[at + ENTRY_STATE] & STATE_ONLINE,
		.queues = get16(data, at + ENTRY_VQ),
		.interrupts = get16(data, at + ENTRY_VI),
	};
	return 0;
}

int iol_nvme_list_read(const uint8_t data[NVME_DATA_SIZE], struct iol_nvme_list *list)
{
	unsigned int count = data[0], i;
	int rc = 0;

	if (count > ENTRIES_MAX)
		return iol_fail(
			EPROTO,
			"the NVMe controller lists %u secondary controllers at once, and a list "
			"has room for %u",
			count, ENTRIES_MAX);
	for (i = 0; !rc && i < count; i++)
		rc = read_entry(data, (size_t)(i + 1) * ENTRY_SIZE, list);
	/* A list that is not full is the last. */
	list->more = count == ENTRIES_MAX && list->next < NVME_NO_ID;
	return rc;
}

int iol_nvme_list_check(const struct iol_nvme_list *list)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		if (list->vfs[i].id == NVME_NO_ID)
			return iol_fail(EPROTO,
					"the NVMe controller lists its VF %zu, but not VF %zu",
					list->count - 1, i);
	return 0;
}
