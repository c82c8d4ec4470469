/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/iotlb.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE  4096ull
#define UADDR 0x7f0000000000ull
#define PAGES 64u

struct fixture {
	struct iol_mem *mem;
	struct iol_iotlb *tlb;
	bool broken;
	int wake;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct iol_mem_desc desc = { 0x40000000, PAGES * PAGE, UADDR, 0 };
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, PAGES * PAGE), 0);
	f->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_int_equal(iol_mem_new(&desc, &fd, 1, -1, &f->broken, &f->mem), 0);
	close(fd);
	assert_int_equal(iol_iotlb_new(f->wake, &f->tlb), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	iol_iotlb_destroy(&f->tlb);
	iol_mem_unref(&f->mem);
	close(f->wake);
	free(f);
	return 0;
}

static int look(struct fixture *f, uint64_t iova, uint64_t len, uint8_t perm, struct iovec *iov)
{
	return iol_iotlb_iov(f->tlb, f->mem, iova, len, perm, iov, 8);
}

static void misses(void **state)
{
	struct fixture *f = *state;
	struct iol_iotlb_miss miss;
	struct iovec iov[8];
	uint64_t n;

	assert_int_equal(iol_iotlb_take_miss(f->tlb, &miss), 0);
	assert_int_equal(look(f, 0x5123, 8, IOL_ACCESS_WO, iov), -EAGAIN);
	assert_int_equal(read(f->wake, &n, sizeof(n)), sizeof(n));
	assert_int_equal(look(f, 0x5ff0, 4, IOL_ACCESS_WO, iov), -EAGAIN);
	assert_int_equal(iol_iotlb_take_miss(f->tlb, &miss), 1);
	assert_int_equal(miss.iova, 0x5000);
	assert_int_equal(miss.perm, IOL_ACCESS_WO);
	assert_int_equal(iol_iotlb_take_miss(f->tlb, &miss), 0);
	assert_int_equal(look(f, 0x5123, 8, IOL_ACCESS_WO, iov), -EAGAIN);
	assert_int_equal(iol_iotlb_take_miss(f->tlb, &miss), 0);
	iol_iotlb_untake_miss(f->tlb, &miss);
	assert_int_equal(iol_iotlb_take_miss(f->tlb, &miss), 1);
	/* An answer to something else: this one's is still to come. */
	assert_int_equal(iol_iotlb_update(f->tlb, 0x9000, PAGE, UADDR, IOL_ACCESS_RW), 0);
	assert_int_equal(look(f, 0x5123, 8, IOL_ACCESS_WO, iov), -EAGAIN);
	assert_int_equal(iol_iotlb_take_miss(f->tlb, &miss), 0);
	/* The answer does not permit it, or the mappings changed: it is asked for again. */
	assert_int_equal(iol_iotlb_update(f->tlb, 0x4000, 2 * PAGE, UADDR, IOL_ACCESS_RO), 0);
	assert_int_equal(look(f, 0x5123, 8, IOL_ACCESS_WO, iov), -EAGAIN);
	assert_int_equal(iol_iotlb_take_miss(f->tlb, &miss), 1);
	iol_iotlb_invalidate(f->tlb, 0x9000, PAGE);
	assert_int_equal(look(f, 0x5123, 8, IOL_ACCESS_WO, iov), -EAGAIN);
	assert_int_equal(iol_iotlb_take_miss(f->tlb, &miss), 1);
	assert_int_equal(iol_iotlb_update(f->tlb, 0x5000, PAGE, UADDR, IOL_ACCESS_RW), 0);
	assert_int_equal(look(f, 0x5123, 8, IOL_ACCESS_WO, iov), 1);
	assert_ptr_equal(iov[0].iov_base, f->mem->region[0]->host + 0x123);
	/* The part that is missing is the one that is asked for. */
	assert_int_equal(look(f, 0x5fff, 2, IOL_ACCESS_RO, iov), -EAGAIN);
	assert_int_equal(iol_iotlb_take_miss(f->tlb, &miss), 1);
	assert_int_equal(miss.iova, 0x6000);
	assert_int_equal(miss.perm, IOL_ACCESS_RO);
	assert_int_equal(look(f, 0x7000, 2, IOL_ACCESS_RO, iov), -EAGAIN);
	iol_iotlb_clear(f->tlb);
	assert_int_equal(iol_iotlb_take_miss(f->tlb, &miss), 0);
	assert_int_equal(look(f, 0x5123, 8, IOL_ACCESS_WO, iov), -EAGAIN);
}

static void permissions(void **state)
{
	struct fixture *f = *state;
	struct iol_iotlb_miss miss;
	struct iovec iov[8];

	assert_int_equal(iol_iotlb_update(f->tlb, 0, PAGE, UADDR, IOL_ACCESS_RO), 0);
	assert_int_equal(look(f, 0, 1, IOL_ACCESS_RO, iov), 1);
	assert_int_equal(look(f, 0, 1, IOL_ACCESS_WO, iov), -EAGAIN);
	assert_int_equal(iol_iotlb_take_miss(f->tlb, &miss), 1);
	assert_int_equal(iol_iotlb_update(f->tlb, 0, PAGE, UADDR, IOL_ACCESS_WO), 0);
	assert_int_equal(look(f, 0, 1, IOL_ACCESS_RW, iov), 1);
	/* Another translation starts from its own permissions. */
	assert_int_equal(iol_iotlb_update(f->tlb, 0, PAGE, UADDR + PAGE, IOL_ACCESS_WO), 0);
	assert_int_equal(look(f, 0, 1, IOL_ACCESS_RO, iov), -EAGAIN);
	assert_int_equal(look(f, 0, 1, IOL_ACCESS_WO, iov), 1);
	assert_ptr_equal(iov[0].iov_base, f->mem->region[0]->host + PAGE);
}

static void edges(void **state)
{
	struct fixture *f = *state;
	struct iovec iov[8];

	assert_int_equal(iol_iotlb_update(f->tlb, 0, 0, UADDR, IOL_ACCESS_RW), -EINVAL);
	assert_int_equal(iol_iotlb_update(f->tlb, 0, PAGE, UADDR, 0), -EINVAL);
	assert_int_equal(iol_iotlb_update(f->tlb, 0, PAGE, UADDR, 4), -EINVAL);
	assert_int_equal(iol_iotlb_update(f->tlb, UINT64_MAX, 2, UADDR, 3), -EINVAL);
	assert_int_equal(iol_iotlb_update(f->tlb, 0, 2, UINT64_MAX, 3), -EINVAL);
	/* The very last page of the address space. */
	assert_int_equal(iol_iotlb_update(f->tlb, -PAGE, PAGE, UADDR, 3), 0);
	assert_int_equal(look(f, UINT64_MAX, 1, 3, iov), 1);
	assert_ptr_equal(iov[0].iov_base, f->mem->region[0]->host + PAGE - 1);
	assert_int_equal(look(f, UINT64_MAX, 2, 3, iov), -EFAULT);
	iol_iotlb_invalidate(f->tlb, -PAGE, UINT64_MAX);
	assert_int_equal(look(f, UINT64_MAX, 1, 3, iov), -EAGAIN);
	/* All of the address space but a byte, and memory behind only some of it. */
	assert_int_equal(iol_iotlb_update(f->tlb, 0, UINT64_MAX, 0, 3), 0);
	assert_int_equal(look(f, UADDR, PAGES * PAGE, 3, iov), 1);
	assert_int_equal(look(f, UADDR, PAGES * PAGE + 1, 3, iov), -EFAULT);
	assert_int_equal(look(f, 0x1000, 1, 3, iov), -EFAULT);
	/* An update in the middle splits. */
	assert_int_equal(iol_iotlb_update(f->tlb, UADDR + PAGE, PAGE, UADDR + 5 * PAGE, 3), 0);
	assert_int_equal(look(f, UADDR, 3 * PAGE, 3, iov), 3);
	assert_ptr_equal(iov[2].iov_base, f->mem->region[0]->host + 2 * PAGE);
	assert_int_equal(iol_iotlb_iov(f->tlb, f->mem, UADDR, 3 * PAGE, 3, iov, 2), -E2BIG);
	iol_iotlb_invalidate(f->tlb, UADDR + PAGE, 0);
	assert_int_equal(look(f, UADDR, 3 * PAGE, 3, iov), 3);
	iol_iotlb_invalidate(f->tlb, UADDR + 2 * PAGE - 1, 1);
	assert_int_equal(look(f, UADDR, PAGE, 3, iov), 1);
	assert_int_equal(look(f, UADDR, 3 * PAGE, 3, iov), -EAGAIN);
	iol_iotlb_invalidate(f->tlb, 0, UINT64_MAX);
	assert_int_equal(look(f, UADDR, PAGE, 3, iov), -EAGAIN);
}

static void is_bounded(void **state)
{
	struct fixture *f = *state;
	struct iol_iotlb_miss miss;
	struct iovec iov[8];
	unsigned int i, hits = 0, asked = 0;

	/* Pages that are no neighbours, so that nothing could be joined. */
	for (i = 0; i < IOL_IOTLB_MAX + 1000; i++)
		assert_int_equal(iol_iotlb_update(f->tlb, i * 2 * PAGE, PAGE, UADDR, 3), 0);
	assert_int_equal(look(f, (i - 1) * 2 * PAGE, 1, 3, iov), 1);
	for (i = 0; i < IOL_IOTLB_MAX + 1000; i++)
		hits += look(f, i * 2 * PAGE, 1, 3, iov) == 1;
	assert_in_range(hits, IOL_IOTLB_MAX - 2, IOL_IOTLB_MAX);
	while (iol_iotlb_take_miss(f->tlb, &miss))
		asked++;
	assert_in_range(asked, 1, 1000);
}

/*
 * Against a plain array of pages. An invalidation takes whole entries, so that it may take pages
 * that came with the same update; those may miss, and must be right if they don't.
 */
static void random_model(void **state)
{
	struct fixture *f = *state;
	struct {
		uint64_t uaddr; /* 0: none */
		unsigned int update;
		bool uncertain;
	} model[PAGES] = { 0 };
	unsigned int step, hits = 0, i, j;
	struct iovec iov[8];

	srandom(20261120);
	for (step = 0; step < 200000; step++) {
		unsigned int page = (unsigned int)random() % PAGES;
		unsigned int n = 1 + (unsigned int)random() % (PAGES - page > 8 ? 8 : PAGES - page);
		unsigned int to = (unsigned int)random() % (PAGES - 8);
		int rc;

		switch (random() % 4) {
		case 0:
			assert_int_equal(iol_iotlb_update(f->tlb, page * PAGE, n * PAGE,
							  UADDR + to * PAGE, IOL_ACCESS_RW),
					 0);
			for (i = 0; i < n; i++) {
				model[page + i].uaddr = UADDR + (to + i) * PAGE;
				model[page + i].update = step;
				model[page + i].uncertain = false;
			}
			break;
		case 1:
			iol_iotlb_invalidate(f->tlb, page * PAGE, n * PAGE);
			for (i = page; i < page + n; i++) {
				for (j = 0; j < PAGES; j++)
					model[j].uncertain |= model[j].update == model[i].update;
				model[i].uaddr = 0;
			}
			break;
		default:
			rc = look(f, page * PAGE + 5, 100, IOL_ACCESS_RW, iov);
			if (rc == -EAGAIN) {
				assert_true(!model[page].uaddr || model[page].uncertain);
				break;
			}
			hits++;
			assert_int_equal(rc, 1);
			assert_int_not_equal(model[page].uaddr, 0);
			assert_ptr_equal(iov[0].iov_base,
					 f->mem->region[0]->host + (model[page].uaddr - UADDR) + 5);
		}
	}
	assert_true(hits > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(misses, setup, teardown),
		cmocka_unit_test_setup_teardown(permissions, setup, teardown),
		cmocka_unit_test_setup_teardown(edges, setup, teardown),
		cmocka_unit_test_setup_teardown(is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(random_model, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
