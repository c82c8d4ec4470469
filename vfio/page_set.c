/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio/page_set.h"

#include "vfio/grow.h"

#include <errno.h>
#include <string.h>

#define PAGE_BITS   12
#define CHUNK_WORDS 64u
#define CHUNK_PAGES (CHUNK_WORDS * 64u)

static uint64_t chunk_of(uint64_t iova)
{
	return (iova >> PAGE_BITS) / CHUNK_PAGES;
}

/* The first chunk with this number or a larger one. */
static size_t chunk_at(const struct page_set *set, uint64_t number)
{
	size_t low = 0, high = set->num;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (set->chunks[mid].number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int page_set_reserve(struct page_set *set, uint64_t first, uint64_t last)
{
	size_t at = chunk_at(set, chunk_of(first));

	for (uint64_t number = chunk_of(first); number <= chunk_of(last); number++, at++) {
		struct page_chunk chunk = { .number = number };

		if (at < set->num && set->chunks[at].number == number)
			continue;
		if (!iol_grow(&set->chunks, set->num, &set->room, sizeof(*set->chunks)))
			return -ENOMEM;
		chunk.bits = calloc(CHUNK_WORDS, sizeof(*chunk.bits));
		if (!chunk.bits)
			return -ENOMEM;
		memmove(&set->chunks[at + 1], &set->chunks[at],
			(set->num++ - at) * sizeof(*set->chunks));
		set->chunks[at] = chunk;
	}
	return 0;
}

/* The bits of a word from page @first to @last, which count from the word's first. */
static uint64_t word_mask(uint64_t first, uint64_t last)
{
	return UINT64_MAX << first & UINT64_MAX >> (63 - last);
}

void page_set_mark(struct page_set *set, uint64_t first, uint64_t last)
{
	uint64_t page = first >> PAGE_BITS, end = last >> PAGE_BITS;
	size_t at = chunk_at(set, chunk_of(first));

	while (page <= end && at < set->num) {
		uint64_t word_end = page | 63, stop = word_end < end ? word_end : end;

		set->chunks[at].bits[page % CHUNK_PAGES / 64] |= word_mask(page % 64, stop % 64);
		page = stop + 1;
		if (page % CHUNK_PAGES == 0)
			at++;
	}
}

/* The next bit from @at on that is @set, or @num. */
static uint64_t next_bit(const uint64_t *bits, uint64_t at, uint64_t num, bool set)
{
	while (at < num) {
		uint64_t word = (set ? bits[at / 64] : ~bits[at / 64]) >> at % 64;

		if (word) {
			at += (uint64_t)__builtin_ctzll(word);
			return at < num ? at : num;
		}
		at = (at | 63) + 1;
	}
	return num;
}

void page_set_add(struct page_set *set, uint64_t first, uint64_t page_size, const uint64_t *bits,
		  uint64_t num)
{
	uint64_t end;

	for (uint64_t at = next_bit(bits, 0, num, true); at < num;
	     at = next_bit(bits, end, num, true)) {
		end = next_bit(bits, at, num, false);
		page_set_mark(set, first + at * page_size, first + end * page_size - 1);
	}
}

/* The bits of a word, whose first is at @at of the smallest pages, in pages of 1 << @order of them. */
static void put(uint64_t word, uint64_t at, unsigned int order, uint64_t *bits)
{
	if (!order) {
		bits[at / 64] |= word << at % 64;
		if (at % 64 && word >> (64 - at % 64))
			bits[at / 64 + 1] |= word >> (64 - at % 64);
		return;
	}
	for (; word; word &= word - 1) {
		uint64_t n = (at + (uint64_t)__builtin_ctzll(word)) >> order;

		bits[n / 64] |= UINT64_C(1) << n % 64;
	}
}

void page_set_take(struct page_set *set, uint64_t first, uint64_t last, uint64_t page_size,
		   uint64_t *bits)
{
	unsigned int order = (unsigned int)__builtin_ctzll(page_size) - PAGE_BITS;
	uint64_t base = first >> PAGE_BITS, end = last >> PAGE_BITS;

	for (size_t at = chunk_at(set, chunk_of(first));
	     at < set->num && set->chunks[at].number <= chunk_of(last); at++) {
		uint64_t start = set->chunks[at].number * CHUNK_PAGES;
		uint64_t *words = set->chunks[at].bits;

		for (unsigned int i = 0; i < CHUNK_WORDS; i++) {
			uint64_t page = start + i * 64, skip = page < base ? base - page : 0;
			uint64_t word;

			if (!words[i] || skip > 63 || page > end)
				continue;
			word = words[i] & word_mask(skip, end - page < 63 ? end - page : 63);
			words[i] &= ~word;
			if (bits)
				put(word >> skip, page + skip - base, order, bits);
		}
	}
}

void page_set_clear(struct page_set *set)
{
	for (size_t i = 0; i < set->num; i++)
		free(set->chunks[i].bits);
	free(set->chunks);
	*set = (struct page_set){ 0 };
}
