/* SPDX-License-Identifier: BSD-3-Clause */
/* Contexts and devices on a kernel that can fail at each step, and tells what it likes. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include <iolane/base.h>
#include <linux/vfio.h>

#include "tests/unit/open_fds.h"
#include "tests/unit/vfio_kernel.h"
#include "vfio/host.h"

static const enum iol_context_kind kinds[] = { IOL_CONTEXT_IOMMUFD, IOL_CONTEXT_TYPE1 };

static int open_device(const struct host_tree *tree, enum iol_context_kind kind,
		       struct iol_context **ctx, struct iol_vfio_device **dev)
{
	struct iol_context_spec spec = { .kind = kind };
	struct iol_vfio_device_spec device = { .addr = tree_addr(FAKE_DEVICE) };
	int rc = iol_context_new(tree->host, &spec, ctx);

	return rc ? rc : iol_vfio_open(*ctx, &device, dev);
}

/* All that a program does with a device. Return: what the first call to fail returned. */
static int session(const struct host_tree *tree, enum iol_context_kind kind, int memory)
{
	struct iol_dma_region regions[] = {
		{ .fd = memory, .len = 8192, .iova = 0x200000, .access = IOL_DMA_READ },
		{ .fd = memory, .len = 8192, .iova = 0x202000, .access = IOL_DMA_READ },
		{ .fd = memory, .len = 8192, .iova = IOL_IOVA_ANY, .access = IOL_DMA_WRITE },
	};
	int fds[] = { eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC) };
	struct iol_reset_report report;
	struct iol_context *ctx = NULL;
	struct iol_vfio_device *dev = NULL;
	int rc = open_device(tree, kind, &ctx, &dev);

	if (!rc)
		rc = iol_dma_map(ctx, regions, 3);
	if (rc >= 0)
		rc = iol_irq_set(dev, IOL_IRQ_MSIX, 0, &fds[0], 1);
	if (!rc)
		rc = iol_irq_set(dev, IOL_IRQ_MSIX, 3, &fds[1], 1);
	if (!rc)
		rc = iol_irq_mask(dev, IOL_IRQ_MSIX, 3);
	if (!rc)
		rc = iol_irq_clear(dev, IOL_IRQ_MSIX);
	if (!rc)
		rc = iol_vfio_reset(dev, &report);
	/* What could not be mapped is as it came. */
	if (fake.num_maps == 0)
		assert_true(!regions[0].addr && regions[2].iova == IOL_IOVA_ANY);
	iol_context_destroy(&ctx);
	iol_vfio_close(&dev);
	/* The kernel ends interrupts with the device's descriptor. */
	fake.enabled = 0;
	close(fds[0]);
	close(fds[1]);
	return rc;
}

static void test_unwinding(void **state)
{
	int memory = memfd_create("memory", MFD_CLOEXEC);
	struct host_tree tree;

	assert_return_code(ftruncate(memory, 8192), errno);
	for (size_t k = 0; k < 2; k++) {
		unsigned int step = 0;

		do {
			unsigned int fds;
			int rc;

			fake_begin(&tree);
			fds = open_fds();
			fake.fail_at = ++step;
			rc = session(&tree, kinds[k], memory);
			assert_int_equal(open_fds(), fds);
			assert_true(rc < 0 || !fake.failed);
			assert_true(rc >= 0 || strlen(iol_error()) > 10);
			fake_end(&tree);
		} while (fake.failed);
		/* Opening, asking for 9 regions and 5 kinds of interrupts, mapping twice … */
		assert_true(step > 25);
	}
	close(memory);
}

static void test_refusals(void **state)
{
	struct iol_context *ctx = NULL;
	struct iol_vfio_device *dev = NULL;
	struct host_tree tree;

	for (size_t k = 0; k < 2; k++) {
		/* By the kernel. */
		fake_begin(&tree);
		fake.refuses = true;
		assert_int_equal(open_device(&tree, kinds[k], &ctx, &dev), -EPERM);
		/* iommufd's is the same where another function of the group has a driver, which must be so here. */
		assert_non_null(strstr(iol_error(), kinds[k] == IOL_CONTEXT_IOMMUFD
							    ? "--with-group"
							    : "does not remap interrupts"));
		iol_context_destroy(&ctx);
		fake_end(&tree);

		/* By us, without a question to the kernel. */
		fake_begin(&tree);
		tree_add(&tree, "proc/interrupts = 24: 0 PCI-MSI-0000:01:00.0 0-edge x\n");
		assert_int_equal(open_device(&tree, kinds[k], &ctx, &dev), -EPERM);
		assert_int_equal(fake.groups, 0);
		iol_context_destroy(&ctx);
		fake_end(&tree);
	}
	fake_begin(&tree);
	fake.not_viable = true;
	assert_int_equal(open_device(&tree, IOL_CONTEXT_TYPE1, &ctx, &dev), -EPERM);
	assert_non_null(strstr(iol_error(), "--with-group"));
	iol_context_destroy(&ctx);
	tree.host->live = false;
	assert_int_equal(iol_context_new(tree.host, NULL, &ctx), -EINVAL);
	fake_end(&tree);
}

static void test_choice(void **state)
{
	struct iol_context_info info;
	struct iol_context *ctx = NULL;
	struct iol_vfio_device *dev = NULL;
	struct host_tree tree;

	fake_begin(&tree);
	assert_int_equal(open_device(&tree, IOL_CONTEXT_AUTO, &ctx, &dev), 0);
	assert_int_equal(iol_context_info(ctx, &info), 0);
	assert_string_equal(info.name, "iommufd");
	assert_int_equal(info.num_ranges, 2);
	iol_vfio_close(&dev);
	iol_context_destroy(&ctx);
	fake.no_v2 = true;
	assert_int_equal(open_device(&tree, IOL_CONTEXT_TYPE1, &ctx, &dev), 0);
	assert_int_equal(iol_context_info(ctx, &info), 0);
	assert_string_equal(info.name, "type1");
	assert_int_equal(info.num_ranges, 2);
	assert_int_equal(info.entries_left, 65535);
	iol_vfio_close(&dev);
	iol_context_destroy(&ctx);
	fake_end(&tree);
}

/* A sparse mmap capability: @next, the number of areas that it claims, and one area. */
static void sparse(uint32_t next, uint32_t claims, uint64_t offset, uint64_t size)
{
	fake.region.len = 0;
	fake.region.first = sizeof(struct vfio_region_info);
	fake_put(&fake.region, VFIO_REGION_INFO_CAP_SPARSE_MMAP | 1 << 16, 4);
	fake_put(&fake.region, next, 4);
	fake_put(&fake.region, claims, 8);
	fake_put(&fake.region, offset, 8);
	fake_put(&fake.region, size, 8);
}

static int open_region(struct iol_vfio_region *region)
{
	struct iol_context *ctx = NULL;
	struct iol_vfio_device *dev = NULL;
	struct host_tree tree;
	struct fake_chain chain = fake.region;
	static struct iol_iova_range area;
	int rc;

	fake_begin(&tree);
	fake.region = chain;
	rc = open_device(&tree, IOL_CONTEXT_IOMMUFD, &ctx, &dev);
	if (!rc) {
		assert_int_equal(iol_vfio_region_info(dev, 0, region), 0);
		if (region->num_areas)
			area = region->areas[0];
		region->areas = &area;
	}
	iol_vfio_close(&dev);
	iol_context_destroy(&ctx);
	fake_end(&tree);
	return rc;
}

static void test_sparse(void **state)
{
	struct iol_vfio_region region = { 0 };

	sparse(0, 1, 0x1000, 0x2000);
	assert_int_equal(open_region(&region), 0);
	assert_int_equal(region.num_areas, 1);
	assert_int_equal(region.areas[0].first, 0x1000);
	assert_int_equal(region.areas[0].last, 0x2fff);

	sparse(0, 1, 0, 0);
	assert_int_equal(open_region(&region), 0);
	assert_int_equal(region.num_areas, 0);

	/* None at all: the region is mappable as a whole. */
	fake.region.len = 0;
	assert_int_equal(open_region(&region), 0);
	assert_int_equal(region.areas[0].last, 0x3fff);
}

static void test_malformed(void **state)
{
	struct iol_vfio_region region = { 0 };

	/* More areas than there are; so many that their bytes overflow. */
	sparse(0, 2, 0, 0x1000);
	assert_int_equal(open_region(&region), -EBADMSG);
	sparse(0, UINT32_MAX, 0, 0x1000);
	assert_int_equal(open_region(&region), -EBADMSG);
	/* Beyond the region, by a little and by an overflow; not whole pages. */
	sparse(0, 1, 0x3000, 0x2000);
	assert_int_equal(open_region(&region), -EBADMSG);
	sparse(0, 1, UINT64_MAX - 0xfff, 0x2000);
	assert_int_equal(open_region(&region), -EBADMSG);
	sparse(0, 1, 0x800, 0x1000);
	assert_int_equal(open_region(&region), -EBADMSG);

	/* A chain that begins inside of the fixed part, or outside of everything. */
	sparse(0, 1, 0, 0x1000);
	fake.region.first = 4;
	assert_int_equal(open_region(&region), -EBADMSG);
	fake.region.first = sizeof(struct vfio_region_info) + 28;
	assert_int_equal(open_region(&region), -EBADMSG);
	fake.region.first = UINT32_MAX;
	assert_int_equal(open_region(&region), -EBADMSG);

	/* One that goes round, or on beyond the end. */
	sparse(sizeof(struct vfio_region_info), 1, 0, 0x1000);
	fake.region.bytes[0] = 99;
	assert_int_equal(open_region(&region), -EBADMSG);
	sparse(4096, 1, 0, 0x1000);
	fake.region.bytes[0] = 99;
	assert_int_equal(open_region(&region), -EBADMSG);
}

static void test_vectors(void **state)
{
	int fds[FAKE_MSIX];
	struct iol_context *ctx = NULL;
	struct iol_vfio_device *dev = NULL;
	struct host_tree tree;
	eventfd_t count;

	for (int i = 0; i < FAKE_MSIX; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (int dynamic = 0; dynamic < 2; dynamic++) {
		fake_begin(&tree);
		fake.dynamic = dynamic;
		assert_int_equal(open_device(&tree, IOL_CONTEXT_IOMMUFD, &ctx, &dev), 0);
		assert_int_equal(iol_irq_set(dev, IOL_IRQ_MSIX, 0, fds, 2), 0);
		assert_int_equal(iol_irq_mask(dev, IOL_IRQ_MSIX, 1), 0);
		assert_int_equal(fake.vectors[1], -1);
		assert_int_equal(iol_irq_set(dev, IOL_IRQ_MSIX, 5, &fds[5], 1), 0);
		assert_int_equal(fake.starts, dynamic ? 1 : 2);
		assert_true(fake.vectors[0] >= 0 && fake.vectors[5] >= 0);
		assert_int_equal(fake.vectors[1], -1);
		/* Who was taken down meanwhile hears of it; not who is masked. */
		assert_int_equal(eventfd_read(fds[0], &count), dynamic ? -1 : 0);
		assert_int_equal(eventfd_read(fds[1], &count), -1);
		assert_int_equal(iol_irq_unmask(dev, IOL_IRQ_MSIX, 1), 0);
		assert_true(fake.vectors[1] >= 0);

		assert_int_equal(iol_irq_set(dev, IOL_IRQ_INTX, 0, fds, 1), -EBUSY);
		assert_int_equal(iol_irq_set(dev, IOL_IRQ_MSIX, 7, fds, 2), -EINVAL);
		assert_int_equal(iol_irq_set(dev, IOL_IRQ_MSIX, UINT32_MAX, fds, 2), -EINVAL);
		assert_int_equal(iol_irq_mask(dev, IOL_IRQ_MSIX, 3), -EINVAL);
		assert_int_equal(iol_irq_clear(dev, IOL_IRQ_MSIX), 0);
		assert_int_equal(fake.enabled, 0);
		iol_vfio_close(&dev);
		iol_context_destroy(&ctx);
		fake_end(&tree);
	}
	for (int i = 0; i < FAKE_MSIX; i++)
		close(fds[i]);
}

static void open_eventfds(int *fds, unsigned int num)
{
	for (unsigned int i = 0; i < num; i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(fds[i] >= 0);
	}
}

static void close_all(const int *fds, unsigned int num)
{
	for (unsigned int i = 0; i < num; i++)
		close(fds[i]);
}

/* The device's interrupt, as the kernel has it. */
static void raise_vector(unsigned int vector)
{
	assert_true(fake.vectors[vector] >= 0);
	assert_int_equal(eventfd_write(fake.vectors[vector], 1), 0);
}

/* MSI is never left without an eventfd: neither between those that are set, nor while one is masked. */
static void test_msi(void **state)
{
	struct iol_context *ctx = NULL;
	struct iol_vfio_device *dev = NULL;
	struct host_tree tree;
	int fds[FAKE_MSI];
	eventfd_t count;
	int nobody = -1;

	fake_begin(&tree);
	open_eventfds(fds, FAKE_MSI);
	assert_int_equal(open_device(&tree, IOL_CONTEXT_TYPE1, &ctx, &dev), 0);
	assert_int_equal(iol_irq_set(dev, IOL_IRQ_MSI, 2, &fds[2], 1), 0);
	assert_int_equal(fake.enabled, 3);
	assert_int_equal(iol_irq_set(dev, IOL_IRQ_MSI, 0, fds, FAKE_MSI), 0);
	assert_int_equal(fake.starts, 2);
	for (int i = 0; i < FAKE_MSI; i++)
		assert_int_equal(eventfd_read(fds[i], &count), i < 3 ? 0 : -1);

	/* Kept while it is masked, and handed on once; not what came before. */
	for (int turn = 0; turn < 2; turn++) {
		assert_int_equal(iol_irq_mask(dev, IOL_IRQ_MSI, 1), 0);
		assert_int_equal(iol_irq_mask(dev, IOL_IRQ_MSI, 1), 0);
		raise_vector(1);
		raise_vector(1);
		raise_vector(3);
		assert_int_equal(eventfd_read(fds[1], &count), -1);
		assert_int_equal(eventfd_read(fds[3], &count), 0);
		assert_int_equal(iol_irq_unmask(dev, IOL_IRQ_MSI, 1), 0);
		assert_int_equal(eventfd_read(fds[1], &count), 0);
		assert_int_equal(count, 1);
	}
	assert_int_equal(iol_irq_set(dev, IOL_IRQ_MSI, 1, &nobody, 1), 0);
	raise_vector(1);
	assert_int_equal(iol_irq_set(dev, IOL_IRQ_MSI, 1, &fds[1], 1), 0);
	assert_int_equal(iol_irq_mask(dev, IOL_IRQ_MSI, 1), 0);
	assert_int_equal(iol_irq_unmask(dev, IOL_IRQ_MSI, 1), 0);
	assert_int_equal(eventfd_read(fds[1], &count), -1);
	raise_vector(1);
	assert_int_equal(eventfd_read(fds[1], &count), 0);
	assert_int_equal(iol_irq_clear(dev, IOL_IRQ_MSI), 0);
	iol_vfio_close(&dev);
	iol_context_destroy(&ctx);
	close_all(fds, FAKE_MSI);
	fake_end(&tree);
}

/* Vectors that the machine has no room for: what was set is set again, as it was, and told. */
static void test_no_vectors_left(void **state)
{
	int fds[FAKE_MSIX], others[FAKE_MSIX];
	struct iol_context *ctx = NULL;
	struct iol_vfio_device *dev = NULL;
	struct host_tree tree;
	eventfd_t count;

	open_eventfds(fds, FAKE_MSIX);
	open_eventfds(others, FAKE_MSIX);
	for (int dynamic = 0; dynamic < 2; dynamic++) {
		fake_begin(&tree);
		fake.dynamic = dynamic;
		fake.vectors_left = 4;
		assert_int_equal(open_device(&tree, IOL_CONTEXT_TYPE1, &ctx, &dev), 0);
		assert_int_equal(iol_irq_set(dev, IOL_IRQ_MSIX, 0, fds, FAKE_MSIX), -ENOMEM);
		assert_int_equal(fake.enabled, 0);
		assert_int_equal(iol_irq_set(dev, IOL_IRQ_MSIX, 0, fds, 4), 0);
		assert_int_equal(iol_irq_set(dev, IOL_IRQ_MSIX, 2, others, 6), -ENOMEM);
		assert_int_equal(fake.enabled, 4);
		for (unsigned int i = 0; i < 4; i++) {
			raise_vector(i);
			assert_int_equal(eventfd_read(fds[i], &count), 0);
			/* Its own, and one for what may have been lost; but for those that nobody took down. */
			assert_int_equal(count, dynamic && i < 2 ? 1 : 2);
			assert_int_equal(eventfd_read(others[i], &count), -1);
		}
		assert_int_equal(iol_irq_clear(dev, IOL_IRQ_MSIX), 0);
		iol_vfio_close(&dev);
		iol_context_destroy(&ctx);
		fake_end(&tree);
	}
	close_all(fds, FAKE_MSIX);
	close_all(others, FAKE_MSIX);
}

/* The kernel fails to end what is not set. */
static void test_errors(void **state)
{
	struct iol_context *ctx = NULL;
	struct iol_vfio_device *dev = NULL;
	struct host_tree tree;
	int fd, nobody = -1;

	fake_begin(&tree);
	open_eventfds(&fd, 1);
	assert_int_equal(open_device(&tree, IOL_CONTEXT_TYPE1, &ctx, &dev), 0);
	assert_int_equal(iol_irq_set(dev, IOL_IRQ_ERROR, 0, &fd, 1), 0);
	assert_true(fake.error >= 0);
	assert_int_equal(iol_irq_set(dev, IOL_IRQ_ERROR, 0, &nobody, 1), 0);
	assert_true(fake.error < 0);
	assert_int_equal(iol_irq_clear(dev, IOL_IRQ_ERROR), 0);
	assert_int_equal(iol_irq_set(dev, IOL_IRQ_ERROR, 0, &fd, 1), 0);
	assert_int_equal(iol_irq_clear(dev, IOL_IRQ_ERROR), 0);
	assert_true(fake.error < 0);
	fake.no_reset = true;
	assert_int_equal(iol_vfio_reset(dev, NULL), -ENOTTY);
	iol_vfio_close(&dev);
	iol_context_destroy(&ctx);
	close(fd);
	fake_end(&tree);
}

static int open_mdev(struct iol_context *ctx, const char *uuid)
{
	struct iol_vfio_device_spec spec = { .mdev = uuid };
	struct iol_vfio_device *dev = NULL;
	int rc = iol_vfio_open(ctx, &spec, &dev);

	iol_vfio_close(&dev);
	return rc;
}

static void test_mdev(void **state)
{
	struct iol_context *ctx = NULL;
	struct host_tree tree;

	for (size_t k = 0; k < 2; k++) {
		struct iol_context_spec spec = { .kind = kinds[k] };

		fake_begin(&tree);
		/* It takes no interrupts of the machine's, so nobody need remap them. */
		tree_add(&tree, "proc/interrupts = 24: 0 PCI-MSI-0000:01:00.0 0-edge x\n");
		assert_int_equal(iol_context_new(tree.host, &spec, &ctx), 0);
		assert_int_equal(open_mdev(ctx, FAKE_MDEV), 0);
		assert_int_equal(open_mdev(ctx, "8F4D9F2A-5A3B-4C52-9D2E-3F0C6B1E7701"), 0);
		assert_int_equal(open_mdev(ctx, "8f4d9f2a-5a3b-4c52-9d2e-3f0c6b1e7702"), -ENODEV);
		assert_non_null(strstr(iol_error(), "no mediated device"));
		assert_int_equal(open_mdev(ctx, ""), -EINVAL);
		assert_int_equal(open_mdev(ctx, FAKE_MDEV "0"), -EINVAL);
		assert_int_equal(open_mdev(ctx, FAKE_MDEV "/"), -EINVAL);
		assert_int_equal(open_mdev(ctx, "../../pci/devices/" FAKE_DEVICE), -EINVAL);
		assert_int_equal(open_mdev(ctx, "8f4d9f2a-5a3b-4c52-9d2e-3f0c6b1e770/"), -EINVAL);
		/* One that is no PCI device has other numbers for everything. */
		fake.not_pci = true;
		assert_int_equal(open_mdev(ctx, FAKE_MDEV), -EOPNOTSUPP);
		iol_context_destroy(&ctx);
		fake_end(&tree);
	}
}

/* A ready descriptor is the device's own node: /dev/null, here, is number 1:3. */
static void test_given(void **state)
{
	struct iol_context_spec context = { .kind = IOL_CONTEXT_IOMMUFD };
	struct iol_vfio_device_spec spec = { .addr = tree_addr(FAKE_DEVICE) };
	struct iol_vfio_device *dev = NULL;
	struct iol_context *ctx = NULL;
	struct host_tree tree;
	unsigned int fds;

	fake_begin(&tree);
	assert_int_equal(iol_context_new(tree.host, &context, &ctx), 0);
	spec.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_true(spec.fd > 0);
	fds = open_fds();
	tree_add(&tree, "sys/bus/pci/devices/" FAKE_DEVICE "/vfio-dev/vfio0/dev = 511:0\n");
	assert_int_equal(iol_vfio_open(ctx, &spec, &dev), -EINVAL);
	assert_non_null(strstr(iol_error(), "is not /dev/vfio/devices/vfio0"));
	assert_int_equal(open_fds(), fds);
	tree_add(&tree, "sys/bus/pci/devices/" FAKE_DEVICE "/vfio-dev/vfio0/dev = 1:3\n");
	assert_int_equal(iol_vfio_open(ctx, &spec, &dev), 0);
	iol_vfio_close(&dev);
	assert_int_equal(open_fds(), fds);
	close(spec.fd);
	iol_context_destroy(&ctx);
	fake_end(&tree);
}

static void test_region_bounds(void **state)
{
	struct iol_context *ctx = NULL;
	struct iol_vfio_device *dev = NULL;
	struct host_tree tree;
	char byte;
	void *addr;

	fake_begin(&tree);
	assert_int_equal(open_device(&tree, IOL_CONTEXT_TYPE1, &ctx, &dev), 0);
	assert_int_equal(iol_vfio_region_read(dev, 0, 0x4000, &byte, 1), -ERANGE);
	assert_int_equal(iol_vfio_region_read(dev, 0, UINT64_MAX, &byte, 1), -ERANGE);
	assert_int_equal(iol_vfio_region_read(dev, 9, 0, &byte, 1), -ENOENT);
	/* The node is an empty file: less comes than was asked for. */
	assert_int_equal(iol_vfio_region_read(dev, 0, 0, &byte, 1), -EIO);
	assert_int_equal(iol_vfio_region_map(dev, 0, 0, 0x5000, &addr), -EINVAL);
	assert_int_equal(iol_vfio_region_map(dev, 0, 0x1000, SIZE_MAX, &addr), -EINVAL);
	assert_int_equal(iol_vfio_region_map(dev, IOL_REGION_CONFIG, 0, 0x1000, &addr), -EINVAL);
	iol_vfio_close(&dev);
	iol_context_destroy(&ctx);
	fake_end(&tree);
}

static void test_migration(void **state)
{
	enum iol_migration at;
	struct iol_context *ctx = NULL;
	struct iol_vfio_device *dev = NULL;
	struct iol_migration_left left;
	struct host_tree tree;
	unsigned int states;
	int data;

	fake_begin(&tree);
	fake.migration = VFIO_DEVICE_STATE_RUNNING;
	assert_int_equal(open_device(&tree, IOL_CONTEXT_IOMMUFD, &ctx, &dev), 0);
	assert_true(iol_vfio_has(dev, VFIO_DEVICE_FEATURE_MIGRATION));
	assert_false(iol_vfio_has(dev, VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY));
	assert_int_equal(iol_vfio_low_power(dev, -1), -ENOTTY);
	assert_int_equal(iol_migration_info(dev, &states), 0);
	assert_int_equal(states, 0x1f);
	assert_int_equal(iol_migration_state(dev, &at), 0);
	assert_int_equal(at, IOL_MIGRATION_RUNNING);
	assert_int_equal(iol_migration_set(dev, IOL_MIGRATION_STOP_COPY, &data), 0);
	assert_int_equal(fake.migration, VFIO_DEVICE_STATE_STOP_COPY);
	assert_true(data >= 0);
	close(data);
	assert_int_equal(iol_migration_set(dev, IOL_MIGRATION_STOP, &data), 0);
	assert_int_equal(data, -1);
	assert_int_equal(iol_migration_set(dev, IOL_MIGRATION_PRE_COPY, &data), -EINVAL);
	assert_int_equal(iol_migration_set(dev, IOL_MIGRATION_STATES, &data), -EINVAL);
	/* How much is left, as far as the kernel tells. */
	assert_int_equal(iol_migration_left(dev, -1, &left), 0);
	assert_true(left.stopped == UINT64_MAX && !left.initial && !left.dirty);
	fake.data_size = 60;
	assert_int_equal(iol_migration_left(dev, 0, &left), 0);
	assert_true(left.stopped == 60 && left.initial == 24 && left.dirty == 1);
	/* Only a reset ends an error; and a state that nobody knows is none. */
	fake.migration = VFIO_DEVICE_STATE_ERROR;
	assert_int_equal(iol_migration_state(dev, &at), 0);
	assert_int_equal(at, IOL_MIGRATION_ERROR);
	fake.migration = 77;
	assert_int_equal(iol_migration_state(dev, &at), -EBADMSG);
	iol_vfio_close(&dev);
	iol_context_destroy(&ctx);
	fake_end(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unwinding),     cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_choice),        cmocka_unit_test(test_sparse),
		cmocka_unit_test(test_malformed),     cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_region_bounds), cmocka_unit_test(test_migration),
		cmocka_unit_test(test_msi),           cmocka_unit_test(test_no_vectors_left),
		cmocka_unit_test(test_errors),        cmocka_unit_test(test_mdev),
		cmocka_unit_test(test_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
