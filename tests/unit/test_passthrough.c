/* SPDX-License-Identifier: BSD-3-Clause */
/* Real devices' configuration spaces as a guest sees them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include <iolane/base.h>
#include <linux/pci_regs.h>

#include "tests/unit/passthrough_rig.h"

static void list_caps(struct rig *r, char *text, size_t len)
{
	unsigned int at, turns = 0;

	*text = 0;
	for (at = rig_get(r, PCI_CAPABILITY_LIST, 1); at; at = rig_get(r, at + 1, 1)) {
		size_t used = strlen(text);

		assert_true(turns++ < 48 && at % 4 == 0);
		snprintf(text + used, len - used, "%s%02x@%x", used ? " " : "", rig_get(r, at, 1),
			 at);
	}
}

static void list_ext_caps(struct rig *r, char *text, size_t len)
{
	unsigned int at, turns = 0;

	*text = 0;
	for (at = 0x100; at; at = rig_get(r, at, 4) >> 20) {
		size_t used = strlen(text);

		assert_true(turns++ < 48 && at % 4 == 0);
		if (rig_get(r, at, 4) == 0 || rig_get(r, at, 4) == UINT32_MAX)
			return;
		snprintf(text + used, len - used, "%s%04x@%x", used ? " " : "", rig_get(r, at, 2),
			 at);
	}
}

static void check_bars(struct rig *r, const struct pci_sample *sample)
{
	for (unsigned int i = 0; i < 7; i++) {
		unsigned int at = i == 6 ? PCI_ROM_ADDRESS : BAR(i);
		uint64_t size = sample->sizes[i], mask;
		struct iol_pci_bar bar;

		iol_pci_bar(r->fn, i, &bar);
		if (size && size < 4096 && !(sample->ports >> i & 1))
			size = 4096;
		assert_true(bar.size == size);
		assert_int_equal(bar.io, sample->ports >> i & 1);
		if (i < 6 && size)
			assert_int_equal(rig_get(r, at, 4), r->config[at] & (bar.io ? 1 : 0xf));
		rig_put(r, at, 4, UINT32_MAX);
		mask = rig_get(r, at, 4) & (bar.io ? ~3u : i == 6 ? ~1u : ~0xfu);
		if (bar.is_64) {
			rig_put(r, at + 4, 4, UINT32_MAX);
			mask |= (uint64_t)rig_get(r, at + 4, 4) << 32;
		} else {
			mask |= (uint64_t)UINT32_MAX << 32;
		}
		if (size)
			assert_true(mask == -size);
		i += bar.is_64;
	}
}

/* Nobody reaches the table but through us. */
static void check_msix(struct rig *r, const struct pci_sample *sample, const uint64_t where[7])
{
	unsigned int cap, vectors = sample->irqs[2];
	uint32_t table, pba;

	if (!vectors)
		return;
	cap = rig_find_cap(r, PCI_CAP_ID_MSIX);
	assert_int_equal(rig_get(r, cap + 2, 2), vectors - 1);
	table = rig_get(r, cap + 4, 4);
	pba = rig_get(r, cap + 8, 4);
	assert_memory_equal(&table, r->config + cap + 4, 4);
	assert_memory_equal(&pba, r->config + cap + 8, 4);
	for (unsigned int i = 0; i < vectors; i++) {
		uint64_t gpa = where[table & 7] + (table & ~7u) + 16 * i;

		assert_null(machine_at(&r->machine, gpa));
		assert_int_equal(rig_mmio32(r, gpa + 12), 1);
		rig_set_mmio32(r, gpa + 8, i);
		assert_int_equal(rig_mmio32(r, gpa + 8), i);
	}
	assert_null(machine_at(&r->machine, where[pba & 7] + (pba & ~7u)));
	assert_int_equal(rig_mmio32(r, where[pba & 7] + (pba & ~7u)), 0);
}

static void test_samples(void **state)
{
	char text[256];
	struct rig r;

	for (unsigned int i = 0; i < PCI_SAMPLES; i++) {
		const struct pci_sample *s = &pci_samples[i];
		uint64_t where[7] = { 0 };
		unsigned int cap;

		rig_give(&r, s->name);
		assert_int_equal(rig_get(&r, 0, 4) & 0xffff, r.config[0] | r.config[1] << 8);
		assert_int_equal(rig_get(&r, PCI_CLASS_REVISION, 4) >> 8,
				 r.config[9] | r.config[10] << 8 | r.config[11] << 16);
		assert_int_equal(rig_get(&r, PCI_HEADER_TYPE, 1), 0);
		assert_int_equal(rig_get(&r, PCI_COMMAND, 2), 0);
		list_caps(&r, text, sizeof(text));
		assert_string_equal(text, s->caps);
		list_ext_caps(&r, text, sizeof(text));
		assert_string_equal(text, s->ext_caps);
		assert_int_equal(rig_get(&r, 0x104, 4) == UINT32_MAX, s->size == 256);
		check_bars(&r, s);
		rig_place(&r, where);
		assert_true(rig_mapped(&r.machine) == s->mapped);
		check_msix(&r, s, where);
		if (strstr(s->caps, "10@")) {
			cap = rig_find_cap(&r, PCI_CAP_ID_EXP);
			assert_int_equal(rig_get(&r, cap + 2, 2) >> 4 & 0xf, PCI_EXP_TYPE_RC_END);
			assert_int_equal(rig_get(&r, cap + PCI_EXP_LNKCAP, 4), 0);
			assert_int_equal(rig_get(&r, cap + PCI_EXP_LNKCTL, 4), 0);
			assert_int_equal(rig_get(&r, cap + PCI_EXP_LNKCAP2, 4), 0);
		}
		rig_put(&r, PCI_COMMAND, 2, 0);
		assert_int_equal(rig_mapped(&r.machine), 0);
		rig_end(&r);
	}
}

static void test_hidden(void **state)
{
	struct rig r;

	/* Resizable BARs: neither seen nor written. */
	rig_give(&r, "gpu");
	assert_int_equal(rig_get(&r, 0x204, 4), 0);
	rig_put(&r, 0x208, 4, 0x720);
	assert_int_equal(rig_get(&r, 0x208, 4), 0);
	assert_int_equal(rig_device_get(&r, 0x208, 4), 0x820);
	/* What is kept is the device's. */
	rig_put(&r, 0x15c, 4, 0x12345678);
	assert_int_equal(rig_device_get(&r, 0x15c, 4), 0x12345678);
	rig_device_put(&r, IOL_REGION_CONFIG, 0x10c, 0xabcd);
	assert_int_equal(rig_get(&r, 0x10c, 2), 0xabcd);
	/* Its header is not, and what lies between two is neither's. */
	rig_put(&r, 0x150, 4, UINT32_MAX);
	assert_int_equal(rig_get(&r, 0x150, 4), 0x00020001);
	rig_put(&r, 0x1f0, 4, 1);
	assert_int_equal(rig_device_get(&r, 0x1f0, 4), 0);
	/* Registers without a capability are the device's. */
	rig_put(&r, 0x40, 2, 0x55aa);
	assert_int_equal(rig_device_get(&r, 0x40, 4), 0x55aa);
	rig_end(&r);

	rig_give(&r, "thunderx");
	assert_int_equal(rig_get(&r, 0x98, 4), 0);
	rig_put(&r, 0x9c, 4, 0);
	assert_int_equal(rig_device_get(&r, 0x9c, 4), 0x80ff0004);
	assert_int_equal(rig_get(&r, 0x188, 4), 0);
	rig_put(&r, 0x188, 4, 0);
	assert_int_equal(rig_device_get(&r, 0x188, 4), 0x19);
	rig_end(&r);
}

/* Lists that go in circles, leave the space, overlap, or are not there. */
static void test_broken(void **state)
{
	static const struct {
		unsigned int at, len;
		uint32_t value;
		const char *caps;
	} broken[] = {
		{ 0xa1, 1, 0xa0, "10@a0" },
		{ 0xa1, 1, 0xa4, "" },
		{ 0xa1, 1, 0xfc, "10@a0" },
		{ 0xa1, 1, 0x10, "10@a0" },
		{ 0x34, 1, 0x00, "" },
		{ 0x06, 1, 0x00, "" },
		{ 0x71, 1, 0xa0, "10@a0 11@70" },
		/* Tables beyond the BAR, in one that there is not, of more vectors than there are. */
		{ 0x74, 4, 0x3ff3, "10@a0" },
		{ 0x74, 4, 0x0001, "10@a0" },
		{ 0x78, 4, 0x4003, "10@a0" },
		{ 0x78, 4, 0xfffffffb, "10@a0" },
		{ 0x72, 2, 0x07ff, "10@a0" },
	};
	struct iol_passthrough_spec spec;
	char text[256];
	struct rig r;

	for (unsigned int i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		rig_begin(&r, pci_sample("igb-vf"), IOL_CONTEXT_IOMMUFD);
		memcpy(r.config + broken[i].at, &broken[i].value, broken[i].len);
		spec = rig_spec_of(&r);
		assert_int_equal(iol_passthrough_new(&spec, &r.fn), 0);
		list_caps(&r, text, sizeof(text));
		assert_string_equal(text, broken[i].caps);
		rig_end(&r);
	}
	/* Two tables: the first alone would do. */
	rig_begin(&r, pci_sample("igb-vf"), IOL_CONTEXT_IOMMUFD);
	memcpy(r.config + 0x40, (uint8_t[]){ 0x11, 0xa0, 0xff, 7, 0, 0, 0, 0, 0, 0x20, 0, 0 }, 12);
	r.config[PCI_CAPABILITY_LIST] = 0x40;
	spec = rig_spec_of(&r);
	assert_int_equal(iol_passthrough_new(&spec, &r.fn), 0);
	list_caps(&r, text, sizeof(text));
	assert_string_equal(text, "10@a0");
	rig_end(&r);

	rig_begin(&r, pci_sample("igb-vf"), IOL_CONTEXT_IOMMUFD);
	/* An extended list that goes in circles. */
	memcpy(r.config + 0x100, (uint8_t[]){ 1, 0, 1, 0x10 }, 4);
	spec = rig_spec_of(&r);
	assert_int_equal(iol_passthrough_new(&spec, &r.fn), 0);
	list_ext_caps(&r, text, sizeof(text));
	assert_string_equal(text, "0001@100");
	iol_pci_function_destroy(&r.fn);
	r.config[PCI_HEADER_TYPE] = 0x81;
	assert_int_equal(iol_passthrough_new(&spec, &r.fn), -EINVAL);
	assert_non_null(strstr(iol_error(), "is a bridge"));
	rig_end(&r);
}

static void test_bars(void **state)
{
	uint64_t where[7] = { 0 };
	struct iol_passthrough_spec spec;
	struct iol_pci_bar bar;
	struct rig r;
	uint8_t byte;

	/* Registers without exits, and with the table's page: a write comes to the same device. */
	rig_give(&r, "nvme");
	rig_place(&r, where);
	assert_int_equal(*(uint32_t *)machine_at(&r.machine, where[0] + 0x1000), 0);
	rig_device_put(&r, 0, 0x1000, 77);
	assert_int_equal(*(uint32_t *)machine_at(&r.machine, where[0] + 0x1000), 77);
	rig_set_mmio32(&r, where[0] + 0x2200, 78);
	assert_int_equal(rig_mmio32(&r, where[0] + 0x2200), 78);
	/* The table in the device is the kernel's. */
	rig_set_mmio32(&r, where[0] + 0x2008, 79);
	for (unsigned int i = 0; i < 0x200; i += 4) {
		uint32_t value;

		assert_int_equal(iol_vfio_region_read(iol_passthrough_device(r.fn), 0, 0x2000 + i,
						      &value, 4),
				 0);
		assert_int_equal(value, 0);
	}
	rig_end(&r);

	/* Something else is there: the guest's own doing, and accesses come to us. */
	rig_give(&r, "nvme");
	assert_int_equal(machine_ops.map(&r.machine, 1ull << 40, 4096, (void *)4096, false), 0);
	rig_place(&r, where);
	assert_int_equal(rig_mapped(&r.machine), 4096);
	rig_set_mmio32(&r, where[0] + 0x10, 5);
	assert_int_equal(rig_mmio32(&r, where[0] + 0x10), 5);
	rig_put(&r, PCI_COMMAND, 2, 0);
	machine_ops.unmap(&r.machine, 1ull << 40, 4096);
	rig_put(&r, PCI_COMMAND, 2, ON);
	assert_int_equal(rig_mapped(&r.machine), 8192);
	rig_end(&r);

	/* Ports, and a ROM, which can't be written. */
	rig_give(&r, "virtio-net");
	rig_place(&r, where);
	byte = 0x33;
	assert_int_equal(iol_pci_io(r.fn, (uint16_t)where[0] + 18, &byte, 1, true), 1);
	byte = 0;
	assert_int_equal(iol_pci_io(r.fn, (uint16_t)where[0] + 18, &byte, 1, false), 1);
	assert_int_equal(byte, 0x33);
	rig_device_put(&r, IOL_REGION_ROM, 0x8000, 0xaa55);
	assert_int_equal(rig_mmio32(&r, where[6] + 0x8000), 0xaa55);
	rig_set_mmio32(&r, where[6] + 0x8000, 0);
	assert_int_equal(rig_mmio32(&r, where[6] + 0x8000), 0xaa55);
	rig_end(&r);

	/* Half a page of registers. */
	rig_give(&r, "ahci");
	rig_place(&r, where);
	rig_device_put(&r, 5, 0x7fc, 99);
	assert_int_equal(*(uint32_t *)machine_at(&r.machine, where[5] + 0x7fc), 99);
	rig_end(&r);

	rig_begin(&r, pci_sample("ahci"), IOL_CONTEXT_IOMMUFD);
	spec = rig_spec_of(&r);
	spec.no_map = spec.no_rom = true;
	fake.sizes[6] = 65536;
	assert_int_equal(iol_passthrough_new(&spec, &r.fn), 0);
	iol_pci_bar(r.fn, 6, &bar);
	assert_int_equal(bar.size, 0);
	rig_place(&r, where);
	assert_int_equal(rig_mapped(&r.machine), 0);
	rig_device_put(&r, 5, 0x7fc, 99);
	assert_int_equal(rig_mmio32(&r, where[5] + 0x7fc), 99);
	/* There is nothing behind its end. */
	assert_int_equal(rig_mmio32(&r, where[5] + 0x800), UINT32_MAX);
	rig_end(&r);
}

static void test_events(void **state)
{
	struct rig r;
	struct iol_passthrough_spec spec;
	struct iol_pci_function *second = NULL;

	rig_give(&r, "nvme");
	assert_true(iol_pci_function_fd(r.fn) >= 0);
	assert_int_equal(iol_pci_function_poll(r.fn), 0);
	assert_return_code(eventfd_write(fake.error, 1), errno);
	assert_int_equal(iol_pci_function_poll(r.fn), -EIO);
	assert_non_null(strstr(iol_error(), "0000:01:00.0 reports an error"));
	assert_int_equal(iol_pci_function_poll(r.fn), 0);
	assert_return_code(eventfd_write(fake.request, 1), errno);
	assert_int_equal(iol_pci_function_poll(r.fn), -ENODEV);
	assert_int_equal(r.machine.num_told, 1);
	assert_int_equal(r.machine.told[0], iol_vfio_fd(iol_passthrough_device(r.fn)));

	/* Another guest. */
	spec = rig_spec_of(&r);
	assert_int_equal(iol_passthrough_new(&spec, &second), -EBUSY);
	assert_null(second);
	assert_non_null(strstr(iol_error(), "0000:01:00.0"));
	assert_int_equal(r.machine.num_told, 1);
	rig_end(&r);
}

/* Each call to the kernel fails once. */
static void test_unwinding(void **state)
{
	static const enum iol_context_kind kinds[] = { IOL_CONTEXT_IOMMUFD, IOL_CONTEXT_TYPE1 };
	struct rig r;

	for (unsigned int k = 0; k < 2; k++) {
		unsigned int step = 0;
		bool failed;

		do {
			struct iol_passthrough_spec spec;
			uint64_t where[7] = { 0 };
			int rc;

			rig_begin(&r, pci_sample("nvme"), kinds[k]);
			spec = rig_spec_of(&r);
			fake.calls = 0;
			fake.fail_at = ++step;
			rc = iol_passthrough_new(&spec, &r.fn);
			assert_true(!rc == !!r.fn);
			if (!rc) {
				assert_false(fake.failed);
				rig_place(&r, where);
				rig_put(&r, 0x52, 2, 0x8000);
				rig_program(&r, where[0] + 0x2000, 3, 1);
				rig_put(&r, 0x68, 2, 0x8000);
				iol_pci_function_reset(r.fn);
			}
			failed = fake.failed;
			rig_end(&r);
		} while (failed);
		assert_true(step > 25);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples), cmocka_unit_test(test_hidden),
		cmocka_unit_test(test_broken),  cmocka_unit_test(test_bars),
		cmocka_unit_test(test_events),  cmocka_unit_test(test_unwinding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
