/* SPDX-License-Identifier: BSD-3-Clause */
/* The allocator of IOVAs beside a model that looks at each page in turn. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include "vfio/iova.h"

#define PAGE  4096u
#define PAGES 512u

/* Pages 0 to 99, 120 to 383 and 400 to 511 may be used. */
static const struct iol_iova_range ranges[] = {
	{ 0, 100 * PAGE - 1 },
	{ 120 * PAGE, 384 * PAGE - 1 },
	{ 400 * PAGE, 512 * PAGE - 1 },
};

#define RANGES (sizeof(ranges) / sizeof(ranges[0]))

static bool used[PAGES];

static bool fits(uint64_t page, uint64_t pages, uint64_t limit)
{
	if ((page + pages) * PAGE - 1 > limit ||
	    !iova_allowed(ranges, RANGES, page * PAGE, (page + pages) * PAGE - 1))
		return false;
	for (uint64_t i = page; i < page + pages; i++)
		if (used[i])
			return false;
	return true;
}

/* The lowest page but the first that will do; 0: none. */
static uint64_t model(uint64_t pages, uint64_t align, uint64_t phase, uint64_t limit)
{
	for (uint64_t page = 1; page + pages <= PAGES; page++)
		if (page % align == phase % align && fits(page, pages, limit))
			return page;
	return 0;
}

static void mark(const struct dma_map *map, bool on)
{
	memset(&used[map->first / PAGE], on, (map->last - map->first + 1) / PAGE);
}

static void check_order(const struct dma_table *table)
{
	for (size_t i = 1; i < table->num; i++)
		assert_true(table->maps[i - 1].last < table->maps[i].first);
}

static void test_model(void **state)
{
	struct dma_table table = { 0 };
	unsigned int seed = 1, found = 0, full = 0;

	for (int turn = 0; turn < 20000; turn++) {
		uint64_t pages = 1 + (uint64_t)rand_r(&seed) % 40, iova;
		uint64_t align = 1ull << rand_r(&seed) % 6, phase = (uint64_t)rand_r(&seed) % align;
		uint64_t limit = turn % 3 ? UINT64_MAX : (uint64_t)rand_r(&seed) % PAGES * PAGE;
		struct iova_want want = { pages * PAGE, align * PAGE, phase * PAGE, limit };
		uint64_t expected = model(pages, align, phase, limit);
		int rc = iova_find(ranges, RANGES, &table, &want, &iova);

		assert_int_equal(rc, expected ? 0 : -ENOSPC);
		if (!rc) {
			struct dma_map map = { .first = iova, .last = iova + pages * PAGE - 1 };

			assert_int_equal(iova, expected * PAGE);
			assert_int_equal(dma_table_reserve(&table, 1), 0);
			dma_table_add(&table, &map);
			mark(&map, true);
			found++;
		} else {
			full++;
		}
		if (table.num && (rc || rand_r(&seed) % 3 == 0)) {
			size_t at = (size_t)rand_r(&seed) % table.num;

			assert_int_equal(dma_table_at(&table, table.maps[at].first), at);
			assert_int_equal(dma_table_at(&table, table.maps[at].last), at);
			mark(&table.maps[at], false);
			dma_table_remove(&table, at, 1);
		}
		check_order(&table);
	}
	assert_true(found > 1000 && full > 1000);
	free(table.maps);
}

/* At the ends of all IOVAs nothing wraps. */
static void test_ends(void **state)
{
	static const struct iol_iova_range all[] = { { 0, UINT64_MAX } };
	struct dma_table table = { 0 };
	struct dma_map top = { .first = PAGE, .last = UINT64_MAX };
	struct iova_want want = { PAGE, PAGE, 0, UINT64_MAX };
	uint64_t iova;

	assert_int_equal(iova_find(all, 1, &table, &want, &iova), 0);
	assert_int_equal(iova, PAGE);
	want.len = UINT64_MAX - PAGE + 1;
	assert_int_equal(iova_find(all, 1, &table, &want, &iova), 0);
	want.len = UINT64_MAX;
	assert_int_equal(iova_find(all, 1, &table, &want, &iova), -ENOSPC);
	assert_int_equal(dma_table_reserve(&table, 1), 0);
	dma_table_add(&table, &top);
	want.len = PAGE;
	assert_int_equal(iova_find(all, 1, &table, &want, &iova), -ENOSPC);
	assert_int_equal(dma_table_reserve(&table, SIZE_MAX / 2), -ENOMEM);
	free(table.maps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
