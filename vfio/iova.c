/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio/iova.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

size_t dma_table_at(const struct dma_table *table, uint64_t iova)
{
	size_t low = 0, high = table->num;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (table->maps[mid].last < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int dma_table_reserve(struct dma_table *table, size_t more)
{
	size_t room = table->room;
	struct dma_map *maps;

	if (more <= table->room - table->num)
		return 0;
	if (more > SIZE_MAX / sizeof(*maps) / 2 - table->num)
		return -ENOMEM;
	while (room < table->num + more)
		room = room ? 2 * room : 16;
	maps = reallocarray(table->maps, room, sizeof(*maps));
	if (!maps)
		return -ENOMEM;
	table->maps = maps;
	table->room = room;
	return 0;
}

void dma_table_add(struct dma_table *table, const struct dma_map *map)
{
	size_t at = dma_table_at(table, map->first);

	memmove(&table->maps[at + 1], &table->maps[at], (table->num - at) * sizeof(*map));
	table->maps[at] = *map;
	table->num++;
}

void dma_table_remove(struct dma_table *table, size_t index, size_t count)
{
	table->num -= count;
	memmove(&table->maps[index], &table->maps[index + count],
		(table->num - index) * sizeof(*table->maps));
}

bool iova_allowed(const struct iol_iova_range *ranges, size_t num, uint64_t first, uint64_t last)
{
	for (size_t i = 0; i < num; i++)
		if (first >= ranges[i].first && last <= ranges[i].last)
			return true;
	return false;
}

/* The first IOVA from @from on that is @want's phase modulo its alignment. Return: whether there is one. */
static bool in_phase(const struct iova_want *want, uint64_t from, uint64_t *iova)
{
	uint64_t skip = (want->phase - from) & (want->align - 1);

	*iova = from + skip;
	return *iova >= from;
}

int iova_find(const struct iol_iova_range *ranges, size_t num, const struct dma_table *table,
	      const struct iova_want *want, uint64_t *iova)
{
	for (size_t i = 0; i < num; i++) {
		uint64_t last = ranges[i].last < want->limit ? ranges[i].last : want->limit;
		uint64_t from = ranges[i].first ? ranges[i].first : 1;
		size_t next = dma_table_at(table, from);

		while (in_phase(want, from, iova) && *iova <= last &&
		       want->len - 1 <= last - *iova) {
			/* What ends before the candidate can't be in its way. */
			while (next < table->num && table->maps[next].last < *iova)
				next++;
			if (next == table->num || table->maps[next].first > *iova + want->len - 1)
				return 0;
			from = table->maps[next].last + 1;
			if (!from)
				break;
		}
	}
	return -ENOSPC;
}
