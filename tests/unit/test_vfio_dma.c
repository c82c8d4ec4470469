/* SPDX-License-Identifier: BSD-3-Clause */
/* Mapping memory: entries, huge pages, all or nothing, and the memory of a guest of 256 GiB. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include <iolane/base.h>

#include "tests/unit/vfio_kernel.h"

#define PAGE 4096u
#define MIB  (UINT64_C(1) << 20)
#define GIB  (UINT64_C(1) << 30)
#define BOTH (IOL_DMA_READ | IOL_DMA_WRITE)

/* A context of type1, which counts entries, with its device. */
struct rig {
	struct host_tree tree;
	struct iol_context *ctx;
	struct iol_vfio_device *dev;
};

static void begin(struct rig *rig)
{
	struct iol_context_spec spec = { .kind = IOL_CONTEXT_TYPE1 };

	fake_begin(&rig->tree);
	assert_int_equal(iol_context_new(rig->tree.host, &spec, &rig->ctx), 0);
}

static void add_device(struct rig *rig)
{
	struct iol_vfio_device_spec spec = { .addr = tree_addr(FAKE_DEVICE) };

	assert_int_equal(iol_vfio_open(rig->ctx, &spec, &rig->dev), 0);
}

static void end(struct rig *rig)
{
	iol_vfio_close(&rig->dev);
	iol_context_destroy(&rig->ctx);
	fake_end(&rig->tree);
}

static int sparse_memory(uint64_t len)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_return_code(ftruncate(fd, (off_t)len), errno);
	return fd;
}

/* Pieces of a descriptor, one after the other from @iova on. */
static struct iol_dma_region *pieces(int fd, size_t num, uint64_t len, uint64_t iova)
{
	struct iol_dma_region *regions = calloc(num, sizeof(*regions));

	assert_non_null(regions);
	for (size_t i = 0; i < num; i++)
		regions[i] = (struct iol_dma_region){
			.fd = fd,
			.offset = i * len,
			.len = len,
			.iova = iova + i * len,
			.access = BOTH,
		};
	return regions;
}

/* 2 GiB below the hole of PCI and 254 above, in blocks of 2 MiB: twice as many as the kernel takes, but two entries. */
static void test_big_guest(void **state)
{
	size_t low = 2 * GIB / (2 * MIB), num = 256 * GIB / (2 * MIB);
	int fd = sparse_memory(256 * GIB);
	struct iol_dma_region *regions = pieces(fd, num, 2 * MIB, 0);
	struct iol_context_info info;
	struct rig rig;

	for (size_t i = low; i < num; i++)
		regions[i].iova += 2 * GIB;
	begin(&rig);
	add_device(&rig);
	assert_true(num > 65535);
	assert_int_equal(iol_dma_map(rig.ctx, regions, num), 2);
	assert_int_equal(fake.num_maps, 2);
	for (size_t i = 0; i < 2; i++)
		/* Pages of 1 GiB would be such for the IOMMU, too. */
		assert_int_equal((fake.maps[i].addr ^ fake.maps[i].iova) & (GIB - 1), 0);
	assert_int_equal(fake.maps[0].len + fake.maps[1].len, 256 * GIB);
	assert_ptr_equal(regions[1].addr, (char *)regions[0].addr + 2 * MIB);
	/* It is the memory of the descriptor, at its place. */
	*(char *)regions[num - 1].addr = 'x';
	{
		char byte = 0;

		assert_int_equal(pread(fd, &byte, 1, (off_t)(256 * GIB - 2 * MIB)), 1);
		assert_int_equal(byte, 'x');
	}
	assert_int_equal(iol_context_info(rig.ctx, &info), 0);
	assert_int_equal(info.entries_left, 65533);
	assert_int_equal(iol_dma_unmap(rig.ctx, 0, 2 * GIB), 1);
	assert_int_equal(iol_dma_unmap(rig.ctx, 4 * GIB, 254 * GIB), 1);
	free(regions);
	close(fd);
	end(&rig);
}

/* More than the kernel takes is told before a single page is mapped. */
static void test_entries(void **state)
{
	size_t num = 100;
	int fd = sparse_memory(num * PAGE);
	struct iol_dma_region *regions = pieces(fd, num, PAGE, MIB);
	struct rig rig;
	unsigned int calls;

	for (size_t i = 0; i < num; i++)
		regions[i].iova += i * PAGE;
	begin(&rig);
	fake.entries = 99;
	add_device(&rig);
	calls = fake.calls;
	assert_int_equal(iol_dma_map(rig.ctx, regions, num), -ENOSPC);
	assert_non_null(strstr(iol_error(), "takes 100 entries"));
	assert_non_null(strstr(iol_error(), "has 99 left"));
	assert_int_equal(fake.calls, calls);
	/* One call for each entry is all that mapping costs. */
	assert_int_equal(iol_dma_map(rig.ctx, regions, num - 1), 99);
	assert_int_equal(fake.calls, calls + 99);
	assert_int_equal(iol_dma_map(rig.ctx, &regions[num - 1], 1), -ENOSPC);
	free(regions);
	close(fd);
	end(&rig);
}

static void test_neighbours(void **state)
{
	char *memory =
		mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iol_dma_region regions[] = {
		{ .addr = memory + 2 * PAGE, .len = PAGE, .iova = MIB + 2 * PAGE, .access = BOTH },
		{ .addr = memory + PAGE, .len = PAGE, .iova = MIB + PAGE, .access = BOTH },
		{ .addr = memory, .len = PAGE, .iova = MIB, .access = BOTH },
		/* Another access; then a neighbour by IOVA only, and one by address only. */
		{ .addr = memory + 3 * PAGE,
		  .len = PAGE,
		  .iova = MIB + 3 * PAGE,
		  .access = IOL_DMA_READ },
		{ .addr = memory + 5 * PAGE,
		  .len = PAGE,
		  .iova = MIB + 4 * PAGE,
		  .access = IOL_DMA_READ },
		{ .addr = memory + 6 * PAGE,
		  .len = PAGE,
		  .iova = MIB + 9 * PAGE,
		  .access = IOL_DMA_READ },
	};
	struct rig rig;

	assert_ptr_not_equal(memory, MAP_FAILED);
	begin(&rig);
	assert_int_equal(iol_dma_map(rig.ctx, regions, 6), -ENODEV);
	add_device(&rig);
	assert_int_equal(iol_dma_map(rig.ctx, regions, 6), 4);
	assert_int_equal(fake.maps[0].len, 3 * PAGE);
	assert_int_equal(fake.maps[0].addr, (uintptr_t)memory);
	assert_int_equal(fake.maps[0].access, BOTH);
	assert_int_equal(fake.maps[1].access, IOL_DMA_READ);
	assert_int_equal(iol_dma_map(rig.ctx, &regions[3], 1), -EEXIST);
	assert_int_equal(iol_dma_unmap(rig.ctx, MIB, PAGE), -EINVAL);
	assert_int_equal(iol_dma_unmap(rig.ctx, MIB + PAGE, 20 * PAGE), -EINVAL);
	assert_int_equal(iol_dma_unmap(rig.ctx, 2 * MIB, PAGE), -ENOENT);
	assert_int_equal(iol_dma_unmap(rig.ctx, UINT64_MAX - PAGE + 1, 2 * PAGE), -EINVAL);
	assert_int_equal(iol_dma_unmap(rig.ctx, 0, 2 * MIB), 4);
	end(&rig);
	munmap(memory, 8 * PAGE);
}

static void test_bad_regions(void **state)
{
	char *memory =
		mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const struct iol_dma_region good = {
		.addr = memory, .len = PAGE, .iova = MIB, .access = BOTH
	};
	struct iol_dma_region r[3];
	struct rig rig;

	begin(&rig);
	add_device(&rig);
#define BAD(error, ...)                                                                            \
	do {                                                                                       \
		r[0] = good;                                                                       \
		__VA_ARGS__;                                                                       \
		assert_int_equal(iol_dma_map(rig.ctx, r, 1), (error));                             \
	} while (0)
	BAD(-EINVAL, r[0].len = 0);
	BAD(-EINVAL, r[0].len = 100);
	BAD(-EINVAL, r[0].addr = memory + 1);
	BAD(-EINVAL, r[0].iova = MIB + 512);
	BAD(-EINVAL, r[0].access = 0);
	BAD(-EINVAL, r[0].access = 4);
	BAD(-EINVAL, r[0].addr = NULL; r[0].fd = -1);
	BAD(-EINVAL, r[0].len = UINT64_MAX - PAGE + 1);
	/* The interrupts' window, across its edge, and beyond the width. */
	BAD(-ERANGE, r[0].iova = 0xfee00000);
	BAD(-ERANGE, r[0].iova = 0xfedff000; r[0].len = 2 * PAGE);
	BAD(-ERANGE, r[0].iova = UINT64_C(1) << 48);
	BAD(-ERANGE, r[0].iova = UINT64_MAX - PAGE + 1; r[0].len = 2 * PAGE);
	/* No room up to the limit: IOVA 0 is not given away. */
	BAD(-ENOSPC, r[0].iova = IOL_IOVA_ANY; r[0].limit = PAGE - 1);

	/* Two of the same call that overlap; and a last one that fails takes the first ones back. */
	r[0] = r[1] = good;
	r[1].addr = memory + PAGE;
	assert_int_equal(iol_dma_map(rig.ctx, r, 2), -EEXIST);
	r[0].iova = r[1].iova = r[2].iova = IOL_IOVA_ANY;
	r[2] = r[1];
	fake.fail_at = fake.calls + 3;
	fake.fail_errno = EFAULT;
	assert_int_equal(iol_dma_map(rig.ctx, r, 3), -EFAULT);
	assert_true(fake.failed);
	assert_int_equal(fake.num_maps, 0);
	for (int i = 0; i < 3; i++)
		assert_true(r[i].iova == IOL_IOVA_ANY);
	end(&rig);
	munmap(memory, 4 * PAGE);
}

/* Whatever may not be raised is explained with numbers and the line; told by a child without privilege. */
static int memlock_child(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) || (!getuid() && setuid(65534)))
		return 2;
	/* Up to the hard limit anybody may. */
	limit.rlim_cur = 64 << 10;
	if (setrlimit(RLIMIT_MEMLOCK, &limit) || iol_memlock(limit.rlim_max / 2) ||
	    getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur != limit.rlim_max)
		return 3;
	limit.rlim_cur = limit.rlim_max = 64 << 10;
	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		return 2;
	if (iol_memlock(256 * GIB) != -ENOMEM ||
	    !strstr(iol_error(),
		    "needs 256 GiB of locked memory, and this process may lock 64 KiB") ||
	    !strstr(iol_error(), "'USER - memlock 268500992'") ||
	    !strstr(iol_error(), "LimitMEMLOCK=274945015808") ||
	    !strstr(iol_error(), "/etc/security/limits.d/"))
		return 4;
	return 0;
}

static void test_memlock(void **state)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(memlock_child());
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_big_guest),  cmocka_unit_test(test_entries),
		cmocka_unit_test(test_neighbours), cmocka_unit_test(test_bad_regions),
		cmocka_unit_test(test_memlock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
