/* SPDX-License-Identifier: BSD-3-Clause */
/* Mapping memory: entries, huge pages, all or nothing, and the memory of a guest of 256 GiB. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include <iolane/base.h>
#include <linux/capability.h>

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

/* A kernel that stops in the middle: what was unmapped before is gone, the rest is as it was. */
static void test_partial_unmap(void **state)
{
	int fd = sparse_memory(4 * PAGE);
	struct iol_dma_region *regions = pieces(fd, 4, PAGE, MIB);
	struct iol_context_info before, info;
	struct rig rig;

	for (size_t i = 0; i < 4; i++)
		regions[i].iova += i * PAGE;
	begin(&rig);
	add_device(&rig);
	assert_int_equal(iol_context_info(rig.ctx, &before), 0);
	assert_int_equal(iol_dma_map(rig.ctx, regions, 4), 4);
	/* As somebody else with the descriptor could. */
	fake.maps[2].iova += PAGE;
	assert_int_equal(iol_dma_unmap(rig.ctx, MIB, MIB), -ENOENT);
	assert_non_null(strstr(iol_error(), "IOVA 0x104000"));
	assert_int_equal(iol_context_info(rig.ctx, &info), 0);
	assert_int_equal(info.entries, 2);
	assert_int_equal(fake.num_maps, 2);
	fake.maps[1].iova -= PAGE;
	assert_int_equal(iol_dma_unmap(rig.ctx, MIB, MIB), 2);
	assert_int_equal(iol_context_info(rig.ctx, &info), 0);
	assert_int_equal(info.entries_left, before.entries_left);
	free(regions);
	close(fd);
	end(&rig);
}

/* The last of many entries that fails takes all of them back. */
static void test_many_entries(void **state)
{
	enum { NUM = 5000 };
	char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iol_dma_region *regions = calloc(NUM, sizeof(*regions));
	struct iol_context_info info;
	struct rig rig;

	assert_true(memory != MAP_FAILED && regions);
	for (size_t i = 0; i < NUM; i++)
		regions[i] = (struct iol_dma_region){
			.addr = memory, .len = PAGE, .iova = MIB + i * PAGE, .access = BOTH
		};
	begin(&rig);
	add_device(&rig);
	fake.fail_at = fake.calls + NUM;
	fake.fail_errno = EFAULT;
	assert_int_equal(iol_dma_map(rig.ctx, regions, NUM), -EFAULT);
	assert_true(fake.failed);
	assert_int_equal(fake.num_maps, 0);
	assert_int_equal(iol_context_info(rig.ctx, &info), 0);
	assert_int_equal(info.entries, 0);
	assert_int_equal(info.entries_left, fake.entries);
	assert_int_equal(iol_dma_map(rig.ctx, regions, NUM), NUM);
	assert_int_equal(iol_dma_unmap(rig.ctx, MIB, NUM * PAGE), NUM);
	free(regions);
	munmap(memory, PAGE);
	end(&rig);
}

/* Before the first device iommufd would take any byte, and no device after it. */
static void test_before_devices(void **state)
{
	struct iol_context_spec spec = { .kind = IOL_CONTEXT_IOMMUFD };
	int fd = sparse_memory(PAGE);
	struct iol_dma_region region = {
		.fd = fd, .len = PAGE, .iova = IOL_IOVA_ANY, .access = BOTH
	};
	struct rig rig = { 0 };

	fake_begin(&rig.tree);
	assert_int_equal(iol_context_new(rig.tree.host, &spec, &rig.ctx), 0);
	assert_int_equal(iol_dma_map(rig.ctx, &region, 1), 1);
	assert_int_equal(region.iova, PAGE);
	region.iova = MIB + 1;
	assert_int_equal(iol_dma_map(rig.ctx, &region, 1), -EINVAL);
	add_device(&rig);
	close(fd);
	end(&rig);
}

/* Capabilities as those of a process without privilege, which root can do in a child only. */
static bool drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return !syscall(SYS_capset, &header, none);
}

static bool child_succeeds(int (*child)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(child());
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status))
		print_error("the child ended with %d\n", WEXITSTATUS(status));
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

/* Whatever may not be raised is explained with numbers and the line. */
static int memlock_child(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) || !drop_capabilities())
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
	if (iol_memlock(UINT64_MAX) != -ENOMEM || !strstr(iol_error(), "memlock unlimited'") ||
	    !strstr(iol_error(), "LimitMEMLOCK=infinity"))
		return 5;
	return 0;
}

/* What /proc says of this process: KiB by type1's and by iommufd's count, and how its addresses are used. */
static void tell(struct rig *rig, unsigned int lck, unsigned int pin, const char *maps)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "VmPeak:\t 9 kB\nVmLck:\t%8u kB\nVmPin:\t%8u kB\n",
			 lck, pin);

	tree_bytes(&rig->tree, "proc/self/status", text, (size_t)n);
	tree_bytes(&rig->tree, "proc/self/maps", maps, strlen(maps));
	tree_add(&rig->tree, "proc/self/uid_map = 0 0 4294967295\n");
}

static void begin_kind(struct rig *rig, enum iol_context_kind kind)
{
	struct iol_context_spec spec = { .kind = kind };

	memset(rig, 0, sizeof(*rig));
	fake_begin(&rig->tree);
	assert_int_equal(iol_context_new(rig->tree.host, &spec, &rig->ctx), 0);
}

#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			print_error("line %d: %s (%s)\n", __LINE__, #condition, iol_error());      \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

static int locked_child(void)
{
	struct rlimit limit = { MIB, MIB };
	int fd = sparse_memory(MIB);
	struct iol_dma_region region = { .fd = fd, .len = MIB / 2, .iova = MIB, .access = BOTH };
	struct iol_dma_region bar = { .addr = (void *)(uintptr_t)0x7f0000000000,
				      .len = 4 * MIB,
				      .iova = 16 * MIB,
				      .access = BOTH };
	struct rig rig;

	EXPECT(drop_capabilities() && !setrlimit(RLIMIT_MEMLOCK, &limit));
	for (int k = 0; k < 2; k++) {
		begin_kind(&rig, k ? IOL_CONTEXT_IOMMUFD : IOL_CONTEXT_TYPE1);
		add_device(&rig);
		/* The other count is none of its business. */
		tell(&rig, k ? 4096 : 516, k ? 516 : 4096, "");
		EXPECT(iol_dma_map(rig.ctx, &region, 1) == -ENOMEM);
		EXPECT(strstr(iol_error(), "needs 1.0 MiB of locked memory (516 KiB of it is "
					   "locked already), and this process may lock 1 MiB"));
		EXPECT(!fake.num_maps && !region.addr);
		tell(&rig, k ? 4096 : 512, k ? 512 : 4096, "");
		EXPECT(iol_dma_map(rig.ctx, &region, 1) == 1);
		/* What was seen to fit is not looked at again; but if it does not fit, the numbers are told. */
		EXPECT(iol_dma_unmap(rig.ctx, MIB, MIB / 2) == 1);
		tell(&rig, k ? 0 : 1020, k ? 1020 : 0, "");
		fake.fail_at = fake.calls + 1;
		fake.fail_errno = ENOMEM;
		region.addr = NULL;
		EXPECT(iol_dma_map(rig.ctx, &region, 1) == -ENOMEM);
		EXPECT(fake.failed && strstr(iol_error(), "(1020 KiB of it is locked already)"));
		fake.fail_at = fake.calls + 1;
		tell(&rig, 0, 0, "");
		EXPECT(iol_dma_map(rig.ctx, &region, 1) == -ENOMEM);
		EXPECT(strstr(iol_error(), "the kernel has no memory"));

		/* BARs are not memory, wherever they come from; what is only next to one is. */
		tell(&rig, 1024, 1024, "");
		EXPECT(iol_dma_map(rig.ctx, &bar, 1) == -ENOMEM);
		tell(&rig, 1024, 1024,
		     "7effffff0000-7f0000100000 rw-s 0 00:0e 9   anon_inode:[vfio-device]\n"
		     "7f0000100000-7f0000200000 rw-s 0 00:05 9   /dev/vfio/devices/vfio0\n"
		     "7f0000200000-7f0000300000 rw-s 0 00:05 9   /sys/devices/pci0/resource2\n"
		     "7f0000300000-7f0000400000 rw-p 0 00:00 0   [heap]\n");
		EXPECT(iol_dma_map(rig.ctx, &bar, 1) == -ENOMEM);
		EXPECT(strstr(iol_error(), "needs 2 MiB of locked memory (1 MiB of it"));
		bar.len = 3 * MIB;
		EXPECT(iol_dma_map(rig.ctx, &bar, 1) == 1);
		EXPECT(iol_dma_unmap(rig.ctx, 16 * MIB, 3 * MIB) == 1);
		bar.len = 4 * MIB;

		/* Without /proc it is what is mapped here. */
		tree_bytes(&rig.tree, "proc/self/status", "VmLck: x\nVmPin: x\n", 18);
		EXPECT(iol_dma_map(rig.ctx, &region, 1) == 1);
		region.addr = NULL;
		region.iova = 2 * MIB;
		EXPECT(iol_dma_map(rig.ctx, &region, 1) == 1);
		region.addr = NULL;
		region.iova = 3 * MIB;
		EXPECT(iol_dma_map(rig.ctx, &region, 1) == -ENOMEM);
		region.iova = MIB;
		end(&rig);
	}
	/* iommufd pins nothing before there is a device, and then all of it. */
	begin_kind(&rig, IOL_CONTEXT_IOMMUFD);
	tell(&rig, 0, 256, "");
	EXPECT(iol_dma_map(rig.ctx, &region, 1) == 1);
	region.addr = NULL;
	region.iova = 2 * MIB;
	EXPECT(iol_dma_map(rig.ctx, &region, 1) == -ENOMEM);
	EXPECT(strstr(iol_error(), "(768 KiB of it is locked already)"));
	add_device(&rig);
	end(&rig);
	return 0;
}

/* A guest of which there are too many bytes for a number. */
static int huge_child(void)
{
	struct iol_dma_region regions[] = {
		{ .addr = (void *)4096, .len = UINT64_C(1) << 63, .iova = 4096, .access = BOTH },
		{ .addr = (void *)8192,
		  .len = UINT64_C(1) << 63,
		  .iova = IOL_IOVA_ANY,
		  .access = 3 },
	};
	struct rig rig;

	begin(&rig);
	add_device(&rig);
	regions[0].len = regions[1].len = UINT64_C(1) << 63;
	regions[0].iova = IOL_IOVA_ANY;
	EXPECT(iol_dma_map(rig.ctx, regions, 2) == -ENOMEM);
	EXPECT(strstr(iol_error(), "nobody has that much memory"));
	/* One that could be, but for what is locked already. */
	tell(&rig, 4096, 0, "");
	regions[0].len = UINT64_MAX - (4 * MIB) + 1;
	regions[0].addr = (void *)4096;
	EXPECT(drop_capabilities());
	EXPECT(iol_dma_map(rig.ctx, regions, 1) == -ENOMEM);
	EXPECT(strstr(iol_error(), "nobody has that much memory"));
	end(&rig);
	return 0;
}

static void test_memlock(void **state)
{
	assert_true(child_succeeds(memlock_child));
	assert_true(child_succeeds(locked_child));
	assert_true(child_succeeds(huge_child));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_big_guest),    cmocka_unit_test(test_entries),
		cmocka_unit_test(test_neighbours),   cmocka_unit_test(test_bad_regions),
		cmocka_unit_test(test_memlock),      cmocka_unit_test(test_partial_unmap),
		cmocka_unit_test(test_many_entries), cmocka_unit_test(test_before_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
