/* SPDX-License-Identifier: BSD-3-Clause */
/* Which pages of an address space have been written: a bit each, memory only where some may be. */
#ifndef IOL_VFIO_PAGE_SET_H
#define IOL_VFIO_PAGE_SET_H

#include <stddef.h>
#include <stdint.h>

/* The smallest page that any kernel tells of. */
#define PAGE_SET_PAGE 4096u

struct page_chunk {
	uint64_t number;
	uint64_t *bits;
};

/* Chunks by number; all zero is an empty set. */
struct page_set {
	struct page_chunk *chunks;
	size_t num, room;
};

/** page_set_reserve() - Make room for IOVAs @first to @last, so that adding them can't fail. -ENOMEM. */
int page_set_reserve(struct page_set *set, uint64_t first, uint64_t last);

/** page_set_mark() - Add all pages from @first to @last, which were reserved. */
void page_set_mark(struct page_set *set, uint64_t first, uint64_t last);

/** page_set_add() - Add @num pages of @page_size bytes from @first on whose bits are set; they were reserved. */
void page_set_add(struct page_set *set, uint64_t first, uint64_t page_size, const uint64_t *bits,
		  uint64_t num);

/** page_set_take() - Move what lies from @first to @last into @bits, in pages of @page_size; bits that are set stay so. NULL: forget it. */
void page_set_take(struct page_set *set, uint64_t first, uint64_t last, uint64_t page_size,
		   uint64_t *bits);

void page_set_clear(struct page_set *set);

#endif
