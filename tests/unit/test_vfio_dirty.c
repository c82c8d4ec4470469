/* SPDX-License-Identifier: BSD-3-Clause */
/* Which pages devices wrote: by type1, the IOMMU, devices' own logs, and by nobody. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include <iolane/base.h>

#include "tests/unit/vfio_kernel.h"

#define PAGE 4096u
#define MIB  (UINT64_C(1) << 20)
#define GIB  (UINT64_C(1) << 30)
#define BOTH (IOL_DMA_READ | IOL_DMA_WRITE)

/* Two devices, and 16 MiB at IOVA 64 MiB with 4 KiB of other access before them. */
#define AT  (64 * MIB)
#define LEN (16 * MIB)

struct rig {
	struct host_tree tree;
	struct iol_context *ctx;
	struct iol_vfio_device *devs[2];
	int memory;
	uint64_t bits[LEN / PAGE / 64];
};

/* How a source is had of the kernel. */
static const struct source {
	enum iol_context_kind kind;
	bool type1_tracks, exact, iommu_tracks;
	unsigned int loggers;
	enum iol_dirty_source source;
} sources[] = {
	{ IOL_CONTEXT_TYPE1, .source = IOL_DIRTY_MAPPED },
	{ IOL_CONTEXT_IOMMUFD, .source = IOL_DIRTY_MAPPED },
	{ IOL_CONTEXT_TYPE1, .type1_tracks = true, .source = IOL_DIRTY_PINNED },
	{ IOL_CONTEXT_TYPE1, .type1_tracks = true, .exact = true, .source = IOL_DIRTY_PINNED },
	{ IOL_CONTEXT_IOMMUFD, .iommu_tracks = true, .source = IOL_DIRTY_IOMMU },
	{ IOL_CONTEXT_TYPE1, .loggers = 3, .source = IOL_DIRTY_DEVICE },
	{ IOL_CONTEXT_IOMMUFD, .iommu_tracks = true, .loggers = 3, .source = IOL_DIRTY_DEVICE },
	/* One logs, the other has the container's or the IOMMU's; each also the other way round. */
	{ IOL_CONTEXT_TYPE1, true, true, .loggers = 1, .source = IOL_DIRTY_PINNED },
	{ IOL_CONTEXT_TYPE1, true, true, .loggers = 2, .source = IOL_DIRTY_PINNED },
	{ IOL_CONTEXT_IOMMUFD, .iommu_tracks = true, .loggers = 1, .source = IOL_DIRTY_IOMMU },
	{ IOL_CONTEXT_IOMMUFD, .iommu_tracks = true, .loggers = 2, .source = IOL_DIRTY_IOMMU },
	{ IOL_CONTEXT_IOMMUFD, .loggers = 2, .source = IOL_DIRTY_MAPPED },
};

#define SOURCES (sizeof(sources) / sizeof(sources[0]))

/* Whether it tells pages, or only that there may be some. */
static bool tells_pages(const struct source *s)
{
	return s->source != IOL_DIRTY_MAPPED && (s->source != IOL_DIRTY_PINNED || s->exact);
}

static int open_device(struct rig *rig, unsigned int n)
{
	struct iol_vfio_device_spec spec = { .addr = tree_addr(n ? FAKE_DEVICE2 : FAKE_DEVICE) };

	return iol_vfio_open(rig->ctx, &spec, &rig->devs[n]);
}

static void begin(struct rig *rig, const struct source *s)
{
	struct iol_context_spec spec = { .kind = s->kind };

	memset(rig, 0, sizeof(*rig));
	fake_begin(&rig->tree);
	fake.type1_tracks = s->type1_tracks;
	fake.exact = s->exact;
	fake.iommu_tracks = s->iommu_tracks;
	fake.loggers = s->loggers;
	rig->memory = memfd_create("guest", MFD_CLOEXEC);
	assert_true(rig->memory >= 0);
	assert_return_code(ftruncate(rig->memory, LEN), errno);
	assert_int_equal(iol_context_new(rig->tree.host, &spec, &rig->ctx), 0);
}

static int map(struct rig *rig, uint64_t iova, uint64_t len, unsigned int access)
{
	struct iol_dma_region region = {
		.fd = rig->memory, .iova = iova, .len = len, .access = access
	};

	return iol_dma_map(rig->ctx, &region, 1);
}

static void fill(struct rig *rig)
{
	assert_int_equal(open_device(rig, 0), 0);
	assert_int_equal(open_device(rig, 1), 0);
	assert_int_equal(map(rig, AT - PAGE, PAGE, IOL_DMA_READ), 1);
	assert_int_equal(map(rig, AT, LEN, BOTH), 1);
}

static void end(struct rig *rig)
{
	iol_vfio_close(&rig->devs[0]);
	iol_vfio_close(&rig->devs[1]);
	iol_context_destroy(&rig->ctx);
	close(rig->memory);
	fake_end(&rig->tree);
}

/* How many pages of AT and LEN are told. */
static unsigned int read_all(struct rig *rig)
{
	unsigned int count = 0;

	memset(rig->bits, 0, sizeof(rig->bits));
	assert_int_equal(iol_dirty_read(rig->ctx, AT, LEN, PAGE, rig->bits), 0);
	for (size_t i = 0; i < sizeof(rig->bits) / sizeof(rig->bits[0]); i++)
		count += (unsigned int)__builtin_popcountll(rig->bits[i]);
	return count;
}

static bool told(const struct rig *rig, uint64_t page)
{
	return rig->bits[page / 64] >> page % 64 & 1;
}

static void test_sources(void **state)
{
	struct rig rig;

	for (size_t i = 0; i < SOURCES; i++) {
		bool exact = tells_pages(&sources[i]);

		begin(&rig, &sources[i]);
		fill(&rig);
		/* Nothing is told of what was before the start. */
		fake_write(0, AT + 7 * PAGE);
		assert_int_equal(iol_dirty_start(rig.ctx), 0);
		assert_int_equal(iol_dirty_source(rig.ctx), sources[i].source);
		assert_int_equal(read_all(&rig), exact ? 0 : LEN / PAGE);
		fake_write(0, AT);
		fake_write(1, AT + 3 * PAGE);
		fake_write(1, AT + LEN - 1);
		assert_int_equal(read_all(&rig), exact ? 3 : LEN / PAGE);
		assert_true(told(&rig, 0) && told(&rig, 3) && told(&rig, LEN / PAGE - 1));
		assert_int_equal(read_all(&rig), exact ? 0 : LEN / PAGE);
		/* No device writes what it may only read. */
		assert_int_equal(iol_dirty_read(rig.ctx, AT - 64 * PAGE, 64 * PAGE, PAGE, rig.bits),
				 0);
		if (exact)
			assert_true(!rig.bits[0]);
		assert_int_equal(iol_dirty_stop(rig.ctx), 0);
		assert_false(fake.type1.on || fake.hwpts[0].written.on || fake.devices[0].log.on);
		end(&rig);
	}
}

/* What a source tells beyond what was asked for is told later; pages of the reader's size; bits that are set stay. */
static void test_parts(void **state)
{
	uint64_t bits[2] = { 0 };
	struct rig rig;

	for (size_t i = 0; i < SOURCES; i++) {
		if (!tells_pages(&sources[i]))
			continue;
		begin(&rig, &sources[i]);
		fill(&rig);
		assert_int_equal(iol_dirty_start(rig.ctx), 0);
		fake_write(0, AT + 5 * PAGE);
		fake_write(1, AT + 70 * PAGE);
		fake_write(1, AT + 9 * MIB);
		bits[0] = 1;
		assert_int_equal(iol_dirty_read(rig.ctx, AT + 5 * PAGE, 60 * PAGE, PAGE, bits), 0);
		assert_true(bits[0] == 1);
		bits[0] = UINT64_C(1) << 63;
		assert_int_equal(iol_dirty_read(rig.ctx, AT + 6 * PAGE, 65 * PAGE, PAGE, bits), 0);
		assert_true(bits[0] == UINT64_C(1) << 63 && bits[1] == 1);
		bits[0] = 0;
		assert_int_equal(iol_dirty_read(rig.ctx, 0, 128 * MIB, 2 * MIB, bits), 0);
		assert_true(bits[0] == UINT64_C(1) << 36);
		assert_int_equal(read_all(&rig), 0);
		end(&rig);
	}
}

static void test_misuse(void **state)
{
	struct iol_context *ctx = NULL;
	uint64_t bits[4];
	struct rig rig;

	begin(&rig, &sources[2]);
	fill(&rig);
	assert_int_equal(iol_dirty_stop(rig.ctx), -EINVAL);
	assert_int_equal(iol_dirty_source(rig.ctx), -EINVAL);
	assert_int_equal(iol_dirty_read(rig.ctx, AT, PAGE, PAGE, bits), -EINVAL);
	/* An entry that is too large for one bitmap. */
	fake.bitmap_max = LEN / PAGE / 8 - 8;
	iol_vfio_close(&rig.devs[1]);
	assert_int_equal(open_device(&rig, 1), 0);
	assert_int_equal(iol_dirty_start(rig.ctx), -E2BIG);
	fake.bitmap_max += 8;
	iol_vfio_close(&rig.devs[1]);
	assert_int_equal(open_device(&rig, 1), 0);
	assert_int_equal(iol_dirty_start(rig.ctx), 0);
	assert_int_equal(iol_dirty_start(rig.ctx), -EBUSY);
	assert_int_equal(iol_dirty_read(rig.ctx, AT, PAGE, 2048, bits), -EINVAL);
	assert_int_equal(iol_dirty_read(rig.ctx, AT, 3 * PAGE, 3 * PAGE, bits), -EINVAL);
	assert_int_equal(iol_dirty_read(rig.ctx, AT + PAGE, 2 * PAGE, 2 * PAGE, bits), -EINVAL);
	assert_int_equal(iol_dirty_read(rig.ctx, AT, PAGE, 2 * PAGE, bits), -EINVAL);
	assert_int_equal(iol_dirty_read(rig.ctx, AT, 0, PAGE, bits), -EINVAL);
	assert_int_equal(iol_dirty_read(rig.ctx, UINT64_MAX - PAGE + 1, 2 * PAGE, PAGE, bits),
			 -EINVAL);
	end(&rig);
	/* Version 1 of type1 can't, nor is there anything to ask without an IOMMU. */
	begin(&rig, &sources[2]);
	fake.no_v2 = true;
	iol_context_destroy(&rig.ctx);
	assert_int_equal(iol_context_new(rig.tree.host,
					 &(struct iol_context_spec){ .kind = IOL_CONTEXT_TYPE1 },
					 &ctx),
			 0);
	rig.ctx = ctx;
	fill(&rig);
	assert_int_equal(iol_dirty_start(rig.ctx), 0);
	assert_int_equal(iol_dirty_source(rig.ctx), IOL_DIRTY_MAPPED);
	end(&rig);
}

/* Memory that goes takes nothing with it, and what comes is kept track of. */
static void test_unmap(void **state)
{
	struct rig rig;

	for (size_t i = 0; i < SOURCES; i++) {
		bool exact = tells_pages(&sources[i]);

		begin(&rig, &sources[i]);
		fill(&rig);
		assert_int_equal(iol_dirty_start(rig.ctx), 0);
		fake_write(0, AT + PAGE);
		fake_write(1, AT + 2 * PAGE);
		assert_int_equal(iol_dma_unmap(rig.ctx, AT - PAGE, LEN + PAGE), 2);
		/* Smaller, at the same IOVA. */
		assert_int_equal(map(&rig, AT, 8 * PAGE, BOTH), 1);
		fake_write(0, AT + 3 * PAGE);
		if (exact) {
			assert_int_equal(read_all(&rig), 3);
			assert_true(told(&rig, 1) && told(&rig, 2) && told(&rig, 3));
			assert_int_equal(read_all(&rig), 0);
		} else {
			assert_int_equal(read_all(&rig), LEN / PAGE);
			assert_int_equal(read_all(&rig), 8);
		}
		/* Beyond of what devices log, if they do: all of it, always. */
		if (sources[i].loggers == 3) {
			assert_int_equal(iol_dma_unmap(rig.ctx, AT, 8 * PAGE), 1);
			assert_int_equal(map(&rig, AT + LEN - PAGE, 2 * PAGE, BOTH), 1);
			for (int turn = 0; turn < 2; turn++) {
				rig.bits[0] = 0;
				assert_int_equal(iol_dirty_read(rig.ctx, AT + LEN - PAGE, 4 * PAGE,
								PAGE, rig.bits),
						 0);
				assert_int_equal(rig.bits[0], 3);
			}
		}
		end(&rig);
	}
}

/* A mapping that fails is not one of which somebody has to be told. */
static void test_failed_map(void **state)
{
	struct iol_dma_region regions[2];
	struct rig rig;

	begin(&rig, &sources[2]);
	fill(&rig);
	assert_int_equal(iol_dma_unmap(rig.ctx, AT, LEN), 1);
	assert_int_equal(iol_dirty_start(rig.ctx), 0);
	for (int i = 0; i < 2; i++)
		regions[i] = (struct iol_dma_region){
			.fd = rig.memory, .iova = AT + i * MIB, .len = PAGE, .access = BOTH
		};
	fake.fail_at = fake.calls + 2;
	assert_int_equal(iol_dma_map(rig.ctx, regions, 2), -EIO);
	assert_int_equal(read_all(&rig), 0);
	end(&rig);
}

/* Devices go: what they wrote stays. */
static void test_close(void **state)
{
	struct rig rig;

	for (size_t i = 0; i < SOURCES; i++) {
		bool exact = tells_pages(&sources[i]);

		begin(&rig, &sources[i]);
		fake.unlike = i % 2;
		/* Those that come again, last first. */
		fake.loggers |= fake.loggers << 1 & 4;
		fake.loggers |= fake.loggers << 3 & 8;
		fill(&rig);
		assert_int_equal(iol_dirty_start(rig.ctx), 0);
		fake_write(1, AT + PAGE);
		iol_vfio_close(&rig.devs[1]);
		fake_write(0, AT + 2 * PAGE);
		assert_int_equal(read_all(&rig), exact ? 2 : LEN / PAGE);
		assert_true(told(&rig, 1) && told(&rig, 2));
		/* One more time, and the last takes the mappings with it. */
		assert_int_equal(open_device(&rig, 1), 0);
		fake_write(2, AT + 3 * PAGE);
		iol_vfio_close(&rig.devs[1]);
		fake_write(0, AT + 4 * PAGE);
		iol_vfio_close(&rig.devs[0]);
		assert_int_equal(fake.num_maps, 0);
		/* Of two sources one may tell again what the other has told. */
		assert_in_range(read_all(&rig), 2, exact ? 3 : LEN / PAGE);
		assert_true(told(&rig, 3) && told(&rig, 4));
		assert_int_equal(read_all(&rig), 0);
		assert_int_equal(iol_dirty_source(rig.ctx), IOL_DIRTY_DEVICE);
		/* And on from there. */
		assert_int_equal(open_device(&rig, 0), 0);
		assert_int_equal(map(&rig, AT, LEN, BOTH), 1);
		fake_write(3, AT + 5 * PAGE);
		read_all(&rig);
		assert_true(told(&rig, 5));
		end(&rig);
	}
}

/* Pages scattered so that each is a range of its own. */
static void scatter(struct rig *rig, size_t num)
{
	for (size_t i = 0; i < num; i++)
		assert_int_equal(map(rig, 4 * MIB + i * i * PAGE * 2, PAGE, BOTH), 1);
}

static void test_log_ranges(void **state)
{
	static const struct source logs = { IOL_CONTEXT_IOMMUFD, .loggers = 1 };
	static const size_t takes[] = { 4096, 256, 7, 1, 0 };
	struct rig rig;

	for (size_t i = 0; i < sizeof(takes) / sizeof(takes[0]); i++) {
		uint64_t bits[8] = { 0 }, at = 4 * MIB + 5 * 5 * PAGE * 2;

		begin(&rig, &logs);
		fake.log_ranges = takes[i];
		assert_int_equal(open_device(&rig, 0), 0);
		scatter(&rig, 300);
		assert_int_equal(iol_dirty_start(rig.ctx), 0);
		assert_int_equal(iol_dirty_source(rig.ctx),
				 takes[i] ? IOL_DIRTY_DEVICE : IOL_DIRTY_MAPPED);
		assert_true(fake.devices[0].num_ranges <= takes[i]);
		/* Not joined more than is needed. */
		assert_true(fake.devices[0].num_ranges >= 64 || takes[i] < 256);
		fake_write(0, at);
		assert_int_equal(iol_dirty_read(rig.ctx, at - PAGE, 3 * PAGE, PAGE, bits), 0);
		assert_int_equal(bits[0], 2);
		assert_int_equal(iol_dirty_stop(rig.ctx), 0);
		end(&rig);
	}
	/* Nothing is mapped that could be logged. */
	begin(&rig, &logs);
	assert_int_equal(open_device(&rig, 0), 0);
	assert_int_equal(iol_dirty_start(rig.ctx), 0);
	assert_int_equal(iol_dirty_source(rig.ctx), IOL_DIRTY_MAPPED);
	end(&rig);
}

/* A device with pages of its own choice, which begin and end in the middle of what is mapped. */
static void test_log_pages(void **state)
{
	static const struct source logs = { IOL_CONTEXT_IOMMUFD, .loggers = 3 };
	static const uint64_t good[] = { 1, 1024, PAGE, 64 << 10, 2 * MIB, GIB };
	static const uint64_t bad[] = { 3 * PAGE, 2 * GIB, UINT64_C(1) << 63 };
	struct rig rig;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		uint64_t page = good[i] > PAGE ? good[i] / PAGE : 1, count;

		begin(&rig, &logs);
		fake.log_page = good[i];
		assert_int_equal(open_device(&rig, 0), 0);
		assert_int_equal(map(&rig, AT + 3 * PAGE, MIB, BOTH), 1);
		assert_int_equal(map(&rig, AT + 3 * PAGE + MIB, PAGE, BOTH), 1);
		assert_int_equal(iol_dirty_start(rig.ctx), 0);
		assert_int_equal(iol_dirty_source(rig.ctx), IOL_DIRTY_DEVICE);
		fake_write(0, AT + 3 * PAGE);
		fake_write(0, AT + 3 * PAGE + MIB);
		count = read_all(&rig);
		assert_true(told(&rig, 3) && told(&rig, 3 + MIB / PAGE));
		assert_int_equal(count, page == 1     ? 2
					: page <= 16  ? 2 * page
					: page == 512 ? 512
						      : LEN / PAGE);
		assert_int_equal(read_all(&rig), 0);
		end(&rig);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		begin(&rig, &logs);
		fake.log_page = bad[i];
		fill(&rig);
		assert_int_equal(iol_dirty_start(rig.ctx), 0);
		assert_int_equal(iol_dirty_source(rig.ctx), IOL_DIRTY_MAPPED);
		assert_false(fake.devices[0].log.on);
		end(&rig);
	}
}

/* A log that fails is used no more, whenever that is; and nothing is told less for it. */
static void test_log_fails(void **state)
{
	static const struct source logs = { IOL_CONTEXT_TYPE1, .loggers = 3 };
	struct rig rig;

	for (int at = 0; at < 3; at++) {
		begin(&rig, &logs);
		fill(&rig);
		assert_int_equal(iol_dirty_start(rig.ctx), 0);
		fake_write(0, AT + PAGE);
		fake.fail_at = fake.calls + 1;
		if (at == 1)
			assert_int_equal(iol_dma_unmap(rig.ctx, AT, LEN), 1);
		if (at == 2)
			iol_vfio_close(&rig.devs[0]);
		assert_int_equal(read_all(&rig), LEN / PAGE);
		assert_true(fake.failed);
		assert_int_equal(iol_dirty_source(rig.ctx),
				 at == 2 ? IOL_DIRTY_DEVICE : IOL_DIRTY_MAPPED);
		assert_int_equal(read_all(&rig), at ? 0 : LEN / PAGE);
		end(&rig);
	}
}

/* Other sources fail for once, with the sentence; the next read tells all the same. */
static void test_reads_fail(void **state)
{
	struct rig rig;

	for (size_t i = 3; i < 5; i++) {
		uint64_t bits[1] = { 0 };

		begin(&rig, &sources[i]);
		fill(&rig);
		/* Starting fails. */
		fake.fail_at = fake.calls + 2;
		assert_int_equal(iol_dirty_start(rig.ctx), -EIO);
		assert_true(fake.failed);
		assert_int_equal(iol_dirty_source(rig.ctx), -EINVAL);
		assert_int_equal(iol_dirty_start(rig.ctx), 0);
		fake_write(0, AT);
		fake.fail_at = fake.calls + 1;
		assert_int_equal(iol_dirty_read(rig.ctx, AT, PAGE, PAGE, bits), -EIO);
		assert_int_equal(bits[0], 0);
		assert_non_null(strstr(iol_error(), "what devices wrote"));
		assert_int_equal(iol_dirty_read(rig.ctx, AT, PAGE, PAGE, bits), 0);
		assert_int_equal(bits[0], 1);
		end(&rig);
	}
}

/* The IOMMU has large pages, whose bits are not cut; devices that are unlike have page tables of their own. */
static void test_iommu_pages(void **state)
{
	struct rig rig;

	for (int unlike = 0; unlike < 2; unlike++) {
		begin(&rig, &sources[4]);
		fake.iommu_page = 2 * MIB;
		fake.unlike = unlike;
		assert_int_equal(open_device(&rig, 0), 0);
		assert_int_equal(open_device(&rig, 1), 0);
		assert_int_equal(fake.hwpts[1].exists, unlike);
		assert_int_equal(map(&rig, AT, LEN, BOTH), 1);
		assert_int_equal(iol_dirty_start(rig.ctx), 0);
		fake_write(0, AT + 3 * MIB);
		fake_write(1, AT + 9 * MIB);
		memset(rig.bits, 0, sizeof(rig.bits));
		assert_int_equal(iol_dirty_read(rig.ctx, AT + 3 * MIB, 64 * PAGE, PAGE, rig.bits),
				 0);
		assert_true(rig.bits[0] == UINT64_MAX && !rig.bits[1]);
		assert_int_equal(read_all(&rig), 1024 - 64);
		assert_int_equal(iol_dirty_stop(rig.ctx), 0);
		assert_false(fake.hwpts[1].written.on);
		end(&rig);
	}
	/* A device can be had without, if that is all that fails. */
	begin(&rig, &sources[4]);
	for (unsigned int i = 0; i < FAKE_HWPTS; i++)
		fake.hwpts[i].exists = true;
	assert_int_equal(open_device(&rig, 0), 0);
	for (unsigned int i = 0; i < FAKE_HWPTS; i++)
		fake.hwpts[i].exists = false;
	assert_int_equal(iol_dirty_start(rig.ctx), 0);
	assert_int_equal(iol_dirty_source(rig.ctx), IOL_DIRTY_MAPPED);
	end(&rig);
}

/* 256 GiB in two entries: 8 MiB of bits. */
static void test_big_guest(void **state)
{
	size_t words = 258 * GIB / PAGE / 64;
	uint64_t *bits = calloc(words, sizeof(*bits));
	static const uint64_t at[] = { 0, 2 * GIB - 1, 4 * GIB, 68 * GIB, 70 * GIB, 258 * GIB - 1 };
	struct rig rig;

	assert_non_null(bits);
	for (size_t i = 0; i < SOURCES; i++) {
		uint64_t count = 0;

		begin(&rig, &sources[i]);
		assert_return_code(ftruncate(rig.memory, 254 * GIB), errno);
		assert_int_equal(open_device(&rig, 0), 0);
		assert_int_equal(open_device(&rig, 1), 0);
		assert_int_equal(map(&rig, 0, 2 * GIB, BOTH), 1);
		assert_int_equal(map(&rig, 4 * GIB, 254 * GIB, BOTH), 1);
		assert_int_equal(iol_dirty_start(rig.ctx), 0);
		for (size_t k = 0; k < 6; k++)
			fake_write(k % 2, at[k]);
		memset(bits, 0, words * sizeof(*bits));
		assert_int_equal(iol_dirty_read(rig.ctx, 0, 258 * GIB, PAGE, bits), 0);
		for (size_t k = 0; k < words; k++)
			count += (uint64_t)__builtin_popcountll(bits[k]);
		assert_int_equal(count, tells_pages(&sources[i]) ? 6 : 256 * GIB / PAGE);
		for (size_t k = 0; k < 6; k++)
			assert_true(bits[at[k] / PAGE / 64] >> at[k] / PAGE % 64 & 1);
		end(&rig);
	}
	free(bits);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sources),     cmocka_unit_test(test_parts),
		cmocka_unit_test(test_misuse),      cmocka_unit_test(test_unmap),
		cmocka_unit_test(test_failed_map),  cmocka_unit_test(test_close),
		cmocka_unit_test(test_log_ranges),  cmocka_unit_test(test_log_pages),
		cmocka_unit_test(test_log_fails),   cmocka_unit_test(test_reads_fail),
		cmocka_unit_test(test_iommu_pages), cmocka_unit_test(test_big_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
