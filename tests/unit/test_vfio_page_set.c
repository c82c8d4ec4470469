/* SPDX-License-Identifier: BSD-3-Clause */
/* The set of written pages beside an array of all pages. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include "vfio/page_set.h"

#define PAGE  PAGE_SET_PAGE
#define PAGES 16384u /* four chunks */
#define BASE  (UINT64_C(5) << 30)

static bool written[PAGES];

static bool bit(const uint64_t *bits, uint64_t n)
{
	return bits[n / 64] >> n % 64 & 1;
}

static void add_some(struct page_set *set, unsigned int *seed)
{
	uint64_t order = (uint64_t)rand_r(seed) % 4, pages = (uint64_t)rand_r(seed) % 500 + 1;
	uint64_t first = ((uint64_t)rand_r(seed) % (PAGES - (pages << order))) >> order << order;
	uint64_t bits[8] = { 0 }, last = first + (pages << order) - 1;

	/* Runs and single ones. */
	for (uint64_t i = 0; i < pages; i++)
		if (pages % 3 == 0 || rand_r(seed) % 3 == 0)
			bits[i / 64] |= UINT64_C(1) << i % 64;
	assert_int_equal(page_set_reserve(set, BASE + first * PAGE, BASE + last * PAGE), 0);
	page_set_add(set, BASE + first * PAGE, (uint64_t)PAGE << order, bits, pages);
	for (uint64_t i = 0; i < pages << order; i++)
		written[first + i] |= bit(bits, i >> order);
}

static void take_some(struct page_set *set, unsigned int *seed)
{
	uint64_t order = (uint64_t)rand_r(seed) % 5, pages = (uint64_t)rand_r(seed) % 200 + 1;
	uint64_t first = ((uint64_t)rand_r(seed) % (PAGES - (pages << order))) >> order << order;
	/* What was there stays, also behind the last bit. */
	uint64_t bits[5] = { 1, 0, 0, 0, 0 };
	uint64_t behind = pages % 64 ? UINT64_MAX << pages % 64 : 0;

	bits[pages / 64] |= behind;
	bits[4] = UINT64_MAX;
	page_set_take(set, BASE + first * PAGE, BASE + (first + (pages << order)) * PAGE - 1,
		      (uint64_t)PAGE << order, bits);
	for (uint64_t i = 0; i < pages; i++) {
		bool any = i == 0;

		for (uint64_t k = 0; k < 1u << order; k++) {
			any |= written[first + (i << order) + k];
			written[first + (i << order) + k] = false;
		}
		assert_int_equal(bit(bits, i), any);
	}
	for (uint64_t i = pages; i < 320; i++)
		assert_int_equal(bit(bits, i), i >= 256 || (i < (pages | 63) + 1 && pages % 64));
}

static void test_model(void **state)
{
	struct page_set set = { 0 };
	unsigned int seed = 1;

	for (int turn = 0; turn < 5000; turn++) {
		add_some(&set, &seed);
		take_some(&set, &seed);
		take_some(&set, &seed);
	}
	assert_int_equal(set.num, 4);
	page_set_clear(&set);
	assert_int_equal(set.num, 0);
}

/* The last of all pages. */
static void test_ends(void **state)
{
	struct page_set set = { 0 };
	uint64_t bits[2] = { 0 };

	assert_int_equal(page_set_reserve(&set, UINT64_MAX - 2 * PAGE + 1, UINT64_MAX), 0);
	page_set_mark(&set, UINT64_MAX - PAGE + 1, UINT64_MAX);
	page_set_take(&set, UINT64_MAX - 65 * PAGE + 1, UINT64_MAX, PAGE, bits);
	assert_true(bits[0] == 0 && bits[1] == 1);
	page_set_take(&set, 0, UINT64_MAX, UINT64_C(1) << 63, bits);
	assert_true(bits[0] == 0);
	page_set_mark(&set, UINT64_MAX - PAGE + 1, UINT64_MAX);
	page_set_take(&set, 0, UINT64_MAX, UINT64_C(1) << 63, bits);
	assert_true(bits[0] == 2);
	page_set_clear(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
