/* SPDX-License-Identifier: BSD-3-Clause */
/* What is mapped where, and where there is room. */
#ifndef IOL_VFIO_IOVA_H
#define IOL_VFIO_IOVA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <iolane/vfio.h>

/**
 * struct dma_map - An entry of the kernel's table.
 * @first, @last: IOVAs. @addr: memory. @access: IOL_DMA_*. @owned: the memory was mapped here, and goes with it.
 */
struct dma_map {
	uint64_t first, last;
	void *addr;
	unsigned int access;
	bool owned;
};

/* Entries by IOVA; they never overlap. */
struct dma_table {
	struct dma_map *maps;
	size_t num, room;
};

/** dma_table_at() - The number of the first entry that ends at @iova or after it; table->num if none does. */
size_t dma_table_at(const struct dma_table *table, uint64_t iova);

/** dma_table_reserve() - Make room for @more entries, so that dma_table_add() can't fail. -ENOMEM. */
int dma_table_reserve(struct dma_table *table, size_t more);
void dma_table_add(struct dma_table *table, const struct dma_map *map);
/* @count entries from @index on. */
void dma_table_remove(struct dma_table *table, size_t index, size_t count);

/** iova_allowed() - Whether all of it lies in one of the ranges, which are in order. */
bool iova_allowed(const struct iol_iova_range *ranges, size_t num, uint64_t first, uint64_t last);

/**
 * struct iova_want - The room that is looked for.
 * @align: a power of 2. @phase: what the IOVA shall be modulo @align. @limit: the last IOVA that may be used.
 */
struct iova_want {
	uint64_t len, align, phase, limit;
};

/** iova_find() - The lowest room but IOVA 0, which drivers take for none. -ENOSPC: there is none. */
int iova_find(const struct iol_iova_range *ranges, size_t num, const struct dma_table *table,
	      const struct iova_want *want, uint64_t *iova);

#endif
