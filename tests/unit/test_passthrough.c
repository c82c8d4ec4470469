/* SPDX-License-Identifier: BSD-3-Clause */
/* Real devices' configuration spaces as a guest sees them, and what a guest may do to a device. */
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

#include "tests/unit/machine.h"
#include "tests/unit/open_fds.h"
#include "tests/unit/pci_samples.h"
#include "tests/unit/vfio_kernel.h"

#define BAR(n) (PCI_BASE_ADDRESS_0 + 4 * (n))
#define ON     (PCI_COMMAND_MEMORY | PCI_COMMAND_IO | PCI_COMMAND_MASTER)

struct rig {
	struct host_tree tree;
	struct machine machine;
	struct iol_context *ctx;
	struct iol_pci_function *fn;
	uint8_t config[4096];
	unsigned int fds;
};

static struct iol_passthrough_spec spec_of(struct rig *r)
{
	return (struct iol_passthrough_spec){
		.ctx = r->ctx,
		.device = { .addr = tree_addr(FAKE_DEVICE) },
		.ops = &machine_ops,
		.vm = &r->machine,
		.slot = 5,
	};
}

static void begin(struct rig *r, const struct pci_sample *sample, enum iol_context_kind kind)
{
	struct iol_context_spec spec = { .kind = kind };

	r->ctx = NULL;
	r->fn = NULL;
	r->fds = open_fds();
	fake_begin(&r->tree);
	machine_begin(&r->machine);
	pci_sample_read(sample, r->config);
	fake.config = r->config;
	fake.config_size = sample->size;
	memcpy(fake.sizes, sample->sizes, sizeof(fake.sizes));
	memcpy(fake.irqs, sample->irqs, sizeof(sample->irqs));
	fake.ports = sample->ports;
	assert_int_equal(iol_context_new(r->tree.host, &spec, &r->ctx), 0);
}

static void give(struct rig *r, const char *name)
{
	struct iol_passthrough_spec spec;

	begin(r, pci_sample(name), IOL_CONTEXT_IOMMUFD);
	spec = spec_of(r);
	assert_int_equal(iol_passthrough_new(&spec, &r->fn), 0);
}

static void end(struct rig *r)
{
	iol_pci_function_destroy(&r->fn);
	iol_context_destroy(&r->ctx);
	machine_end(&r->machine);
	/* The kernel ends interrupts with the device's descriptor. */
	fake.enabled = 0;
	fake_end(&r->tree);
	assert_int_equal(open_fds(), r->fds);
}

static uint32_t get(struct rig *r, unsigned int off, unsigned int len)
{
	return iol_pci_config_read(r->fn, off, len);
}

static void put(struct rig *r, unsigned int off, unsigned int len, uint32_t value)
{
	iol_pci_config_write(r->fn, off, len, value);
}

/* What the device itself has. */
static uint32_t device_get(struct rig *r, unsigned int off, unsigned int len)
{
	uint32_t value = 0;

	assert_int_equal(iol_vfio_region_read(iol_passthrough_device(r->fn), IOL_REGION_CONFIG, off,
					      &value, len),
			 0);
	return value;
}

static void device_put(struct rig *r, unsigned int index, uint64_t off, uint32_t value)
{
	assert_int_equal(iol_vfio_region_write(iol_passthrough_device(r->fn), index, off, &value,
					       sizeof(value)),
			 0);
}

static uint32_t mmio32(struct rig *r, uint64_t gpa)
{
	uint32_t value = 0x5a5a5a5a;

	assert_int_equal(iol_pci_mmio(r->fn, gpa, &value, sizeof(value), false), 1);
	return value;
}

static void set_mmio32(struct rig *r, uint64_t gpa, uint32_t value)
{
	assert_int_equal(iol_pci_mmio(r->fn, gpa, &value, sizeof(value), true), 1);
}

/* All BARs, one after another, from 1 TiB on where they can, else from 2 GiB. Return: where each is. */
static void place(struct rig *r, uint64_t where[7])
{
	uint64_t low = 2ull << 30, high = 1ull << 40, port = 0xc000;
	struct iol_pci_bar bar;

	for (unsigned int i = 0; i < 7; i++) {
		uint64_t *next;

		iol_pci_bar(r->fn, i, &bar);
		if (!bar.size)
			continue;
		next = bar.io ? &port : bar.is_64 ? &high : &low;
		*next = (*next + bar.size - 1) & -bar.size;
		where[i] = *next;
		put(r, i == 6 ? PCI_ROM_ADDRESS : BAR(i), 4, (uint32_t)where[i] | (i == 6));
		if (bar.is_64)
			put(r, BAR(i + 1), 4, (uint32_t)(where[i] >> 32));
		*next += bar.size;
	}
	put(r, PCI_COMMAND, 2, ON);
}

static unsigned int find_cap(struct rig *r, uint8_t id)
{
	unsigned int at = get(r, PCI_CAPABILITY_LIST, 1);

	while (at && get(r, at, 1) != id)
		at = get(r, at + 1, 1);
	assert_true(at);
	return at;
}

static void list_caps(struct rig *r, char *text, size_t len)
{
	unsigned int at, turns = 0;

	*text = 0;
	for (at = get(r, PCI_CAPABILITY_LIST, 1); at; at = get(r, at + 1, 1)) {
		size_t used = strlen(text);

		assert_true(turns++ < 48 && at % 4 == 0);
		snprintf(text + used, len - used, "%s%02x@%x", used ? " " : "", get(r, at, 1), at);
	}
}

static void list_ext_caps(struct rig *r, char *text, size_t len)
{
	unsigned int at, turns = 0;

	*text = 0;
	for (at = 0x100; at; at = get(r, at, 4) >> 20) {
		size_t used = strlen(text);

		assert_true(turns++ < 48 && at % 4 == 0);
		if (get(r, at, 4) == 0 || get(r, at, 4) == UINT32_MAX)
			return;
		snprintf(text + used, len - used, "%s%04x@%x", used ? " " : "", get(r, at, 2), at);
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
			assert_int_equal(get(r, at, 4), r->config[at] & (bar.io ? 1 : 0xf));
		put(r, at, 4, UINT32_MAX);
		mask = get(r, at, 4) & (bar.io ? ~3u : i == 6 ? ~1u : ~0xfu);
		if (bar.is_64) {
			put(r, at + 4, 4, UINT32_MAX);
			mask |= (uint64_t)get(r, at + 4, 4) << 32;
		} else {
			mask |= (uint64_t)UINT32_MAX << 32;
		}
		if (size)
			assert_true(mask == -size);
		i += bar.is_64;
	}
}

static uint64_t mapped(const struct machine *m)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < MACHINE_MAPS; i++)
		sum += m->maps[i].size;
	return sum;
}

/* Nobody reaches the table but through us. */
static void check_msix(struct rig *r, const struct pci_sample *sample, const uint64_t where[7])
{
	unsigned int cap, vectors = sample->irqs[2];
	uint32_t table, pba;

	if (!vectors)
		return;
	cap = find_cap(r, PCI_CAP_ID_MSIX);
	assert_int_equal(get(r, cap + 2, 2), vectors - 1);
	table = get(r, cap + 4, 4);
	pba = get(r, cap + 8, 4);
	assert_memory_equal(&table, r->config + cap + 4, 4);
	assert_memory_equal(&pba, r->config + cap + 8, 4);
	for (unsigned int i = 0; i < vectors; i++) {
		uint64_t gpa = where[table & 7] + (table & ~7u) + 16 * i;

		assert_null(machine_at(&r->machine, gpa));
		assert_int_equal(mmio32(r, gpa + 12), 1);
		set_mmio32(r, gpa + 8, i);
		assert_int_equal(mmio32(r, gpa + 8), i);
	}
	assert_null(machine_at(&r->machine, where[pba & 7] + (pba & ~7u)));
	assert_int_equal(mmio32(r, where[pba & 7] + (pba & ~7u)), 0);
}

static void test_samples(void **state)
{
	char text[256];
	struct rig r;

	for (unsigned int i = 0; i < PCI_SAMPLES; i++) {
		const struct pci_sample *s = &pci_samples[i];
		uint64_t where[7] = { 0 };
		unsigned int cap;

		give(&r, s->name);
		assert_int_equal(get(&r, 0, 4) & 0xffff, r.config[0] | r.config[1] << 8);
		assert_int_equal(get(&r, PCI_CLASS_REVISION, 4) >> 8,
				 r.config[9] | r.config[10] << 8 | r.config[11] << 16);
		assert_int_equal(get(&r, PCI_HEADER_TYPE, 1), 0);
		assert_int_equal(get(&r, PCI_COMMAND, 2), 0);
		list_caps(&r, text, sizeof(text));
		assert_string_equal(text, s->caps);
		list_ext_caps(&r, text, sizeof(text));
		assert_string_equal(text, s->ext_caps);
		assert_int_equal(get(&r, 0x104, 4) == UINT32_MAX, s->size == 256);
		check_bars(&r, s);
		place(&r, where);
		assert_true(mapped(&r.machine) == s->mapped);
		check_msix(&r, s, where);
		if (strstr(s->caps, "10@")) {
			cap = find_cap(&r, PCI_CAP_ID_EXP);
			assert_int_equal(get(&r, cap + 2, 2) >> 4 & 0xf, PCI_EXP_TYPE_RC_END);
			assert_int_equal(get(&r, cap + PCI_EXP_LNKCAP, 4), 0);
			assert_int_equal(get(&r, cap + PCI_EXP_LNKCTL, 4), 0);
			assert_int_equal(get(&r, cap + PCI_EXP_LNKCAP2, 4), 0);
		}
		put(&r, PCI_COMMAND, 2, 0);
		assert_int_equal(mapped(&r.machine), 0);
		end(&r);
	}
}

static void test_hidden(void **state)
{
	struct rig r;

	/* Resizable BARs: neither seen nor written. */
	give(&r, "gpu");
	assert_int_equal(get(&r, 0x204, 4), 0);
	put(&r, 0x208, 4, 0x720);
	assert_int_equal(get(&r, 0x208, 4), 0);
	assert_int_equal(device_get(&r, 0x208, 4), 0x820);
	/* What is kept is the device's. */
	put(&r, 0x15c, 4, 0x12345678);
	assert_int_equal(device_get(&r, 0x15c, 4), 0x12345678);
	device_put(&r, IOL_REGION_CONFIG, 0x10c, 0xabcd);
	assert_int_equal(get(&r, 0x10c, 2), 0xabcd);
	/* Its header is not, and what lies between two is neither's. */
	put(&r, 0x150, 4, UINT32_MAX);
	assert_int_equal(get(&r, 0x150, 4), 0x00020001);
	put(&r, 0x1f0, 4, 1);
	assert_int_equal(device_get(&r, 0x1f0, 4), 0);
	/* Registers without a capability are the device's. */
	put(&r, 0x40, 2, 0x55aa);
	assert_int_equal(device_get(&r, 0x40, 4), 0x55aa);
	end(&r);

	give(&r, "thunderx");
	assert_int_equal(get(&r, 0x98, 4), 0);
	put(&r, 0x9c, 4, 0);
	assert_int_equal(device_get(&r, 0x9c, 4), 0x80ff0004);
	assert_int_equal(get(&r, 0x188, 4), 0);
	put(&r, 0x188, 4, 0);
	assert_int_equal(device_get(&r, 0x188, 4), 0x19);
	end(&r);
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
		begin(&r, pci_sample("igb-vf"), IOL_CONTEXT_IOMMUFD);
		memcpy(r.config + broken[i].at, &broken[i].value, broken[i].len);
		spec = spec_of(&r);
		assert_int_equal(iol_passthrough_new(&spec, &r.fn), 0);
		list_caps(&r, text, sizeof(text));
		assert_string_equal(text, broken[i].caps);
		end(&r);
	}
	/* Two tables: the first alone would do. */
	begin(&r, pci_sample("igb-vf"), IOL_CONTEXT_IOMMUFD);
	memcpy(r.config + 0x40, (uint8_t[]){ 0x11, 0xa0, 0xff, 7, 0, 0, 0, 0, 0, 0x20, 0, 0 }, 12);
	r.config[PCI_CAPABILITY_LIST] = 0x40;
	spec = spec_of(&r);
	assert_int_equal(iol_passthrough_new(&spec, &r.fn), 0);
	list_caps(&r, text, sizeof(text));
	assert_string_equal(text, "10@a0");
	end(&r);

	begin(&r, pci_sample("igb-vf"), IOL_CONTEXT_IOMMUFD);
	/* An extended list that goes in circles. */
	memcpy(r.config + 0x100, (uint8_t[]){ 1, 0, 1, 0x10 }, 4);
	spec = spec_of(&r);
	assert_int_equal(iol_passthrough_new(&spec, &r.fn), 0);
	list_ext_caps(&r, text, sizeof(text));
	assert_string_equal(text, "0001@100");
	iol_pci_function_destroy(&r.fn);
	r.config[PCI_HEADER_TYPE] = 0x81;
	assert_int_equal(iol_passthrough_new(&spec, &r.fn), -EINVAL);
	assert_non_null(strstr(iol_error(), "is a bridge"));
	end(&r);
}

static void test_bars(void **state)
{
	uint64_t where[7] = { 0 };
	struct iol_passthrough_spec spec;
	struct iol_pci_bar bar;
	struct rig r;
	uint8_t byte;

	/* Registers without exits, and with the table's page: a write comes to the same device. */
	give(&r, "nvme");
	place(&r, where);
	assert_int_equal(*(uint32_t *)machine_at(&r.machine, where[0] + 0x1000), 0);
	device_put(&r, 0, 0x1000, 77);
	assert_int_equal(*(uint32_t *)machine_at(&r.machine, where[0] + 0x1000), 77);
	set_mmio32(&r, where[0] + 0x2200, 78);
	assert_int_equal(mmio32(&r, where[0] + 0x2200), 78);
	/* The table in the device is the kernel's. */
	set_mmio32(&r, where[0] + 0x2008, 79);
	for (unsigned int i = 0; i < 0x200; i += 4) {
		uint32_t value;

		assert_int_equal(iol_vfio_region_read(iol_passthrough_device(r.fn), 0, 0x2000 + i,
						      &value, 4),
				 0);
		assert_int_equal(value, 0);
	}
	end(&r);

	/* Something else is there: the guest's own doing, and accesses come to us. */
	give(&r, "nvme");
	assert_int_equal(machine_ops.map(&r.machine, 1ull << 40, 4096, (void *)4096, false), 0);
	place(&r, where);
	assert_int_equal(mapped(&r.machine), 4096);
	set_mmio32(&r, where[0] + 0x10, 5);
	assert_int_equal(mmio32(&r, where[0] + 0x10), 5);
	put(&r, PCI_COMMAND, 2, 0);
	machine_ops.unmap(&r.machine, 1ull << 40, 4096);
	put(&r, PCI_COMMAND, 2, ON);
	assert_int_equal(mapped(&r.machine), 8192);
	end(&r);

	/* Ports, and a ROM, which can't be written. */
	give(&r, "virtio-net");
	place(&r, where);
	byte = 0x33;
	assert_int_equal(iol_pci_io(r.fn, (uint16_t)where[0] + 18, &byte, 1, true), 1);
	byte = 0;
	assert_int_equal(iol_pci_io(r.fn, (uint16_t)where[0] + 18, &byte, 1, false), 1);
	assert_int_equal(byte, 0x33);
	device_put(&r, IOL_REGION_ROM, 0x8000, 0xaa55);
	assert_int_equal(mmio32(&r, where[6] + 0x8000), 0xaa55);
	set_mmio32(&r, where[6] + 0x8000, 0);
	assert_int_equal(mmio32(&r, where[6] + 0x8000), 0xaa55);
	end(&r);

	/* Half a page of registers. */
	give(&r, "ahci");
	place(&r, where);
	device_put(&r, 5, 0x7fc, 99);
	assert_int_equal(*(uint32_t *)machine_at(&r.machine, where[5] + 0x7fc), 99);
	end(&r);

	begin(&r, pci_sample("ahci"), IOL_CONTEXT_IOMMUFD);
	spec = spec_of(&r);
	spec.no_map = spec.no_rom = true;
	fake.sizes[6] = 65536;
	assert_int_equal(iol_passthrough_new(&spec, &r.fn), 0);
	iol_pci_bar(r.fn, 6, &bar);
	assert_int_equal(bar.size, 0);
	place(&r, where);
	assert_int_equal(mapped(&r.machine), 0);
	device_put(&r, 5, 0x7fc, 99);
	assert_int_equal(mmio32(&r, where[5] + 0x7fc), 99);
	/* There is nothing behind its end. */
	assert_int_equal(mmio32(&r, where[5] + 0x800), UINT32_MAX);
	end(&r);
}

static void program(struct rig *r, uint64_t table, unsigned int vector, uint32_t data)
{
	set_mmio32(r, table + 16 * vector + 12, 1);
	set_mmio32(r, table + 16 * vector, 0xfee00000);
	set_mmio32(r, table + 16 * vector + 8, data);
	set_mmio32(r, table + 16 * vector + 12, 0);
}

/* As Linux does it: enabled with all masked, then a vector after another; a kernel that adds vectors, and one that does not. */
static void test_msix(void **state)
{
	uint64_t where[7] = { 0 }, table;
	unsigned int cap;
	struct rig r;

	for (int dynamic = 0; dynamic < 2; dynamic++) {
		give(&r, "nvme");
		iol_pci_function_destroy(&r.fn);
		fake.dynamic = dynamic;
		{
			struct iol_passthrough_spec spec = spec_of(&r);

			assert_int_equal(iol_passthrough_new(&spec, &r.fn), 0);
		}
		place(&r, where);
		table = where[0] + 0x2000;
		cap = find_cap(&r, PCI_CAP_ID_MSIX);
		assert_true(fake.intx >= 0);
		put(&r, cap + 2, 2, 0xc000);
		/* The device is in MSI-X, and INTx is gone, before any vector is used. */
		assert_int_equal(fake.intx, -1);
		assert_int_equal(r.machine.intx_fd, -1);
		assert_int_equal(fake.enabled, dynamic ? 1 : 32);
		assert_int_equal(fake.vectors[0], -1);
		put(&r, cap + 2, 2, 0x8000);
		for (unsigned int i = 0; i < 32; i += 5) {
			/* It interrupts before the guest hears it. */
			fake_interrupt(i);
			assert_int_equal(machine_run(&r.machine), 0);
			program(&r, table, i, 100 + i);
			assert_int_equal(machine_run(&r.machine), 1);
			assert_int_equal(r.machine.last.data, 100 + i);
			/* Others go on: nothing was lost, and nothing came twice. */
			for (unsigned int j = 0; j <= i; j += 5)
				fake_interrupt(j);
			assert_int_equal(machine_run(&r.machine), i / 5 + 1);
		}
		assert_int_equal(fake.starts, 1);
		assert_int_equal(fake.vectors[1], -1);
		/* Masked by the guest alone. */
		set_mmio32(&r, table + 12, 1);
		fake_interrupt(0);
		assert_int_equal(machine_run(&r.machine), 0);
		assert_int_equal(mmio32(&r, where[0] + 0x3000), 1);
		set_mmio32(&r, table + 12, 0);
		assert_int_equal(machine_run(&r.machine), 1);
		/* Off: back to INTx. */
		put(&r, cap + 2, 2, 0);
		assert_int_equal(fake.enabled, 0);
		assert_true(fake.intx >= 0);
		put(&r, cap + 2, 2, 0x8000);
		fake_interrupt(5);
		assert_int_equal(machine_run(&r.machine), 1);
		end(&r);
	}

	/* A machine that has not enough for all of them. */
	give(&r, "nvme");
	fake.vectors_left = 8;
	place(&r, where);
	put(&r, find_cap(&r, PCI_CAP_ID_MSIX) + 2, 2, 0x8000);
	assert_int_equal(fake.enabled, 1);
	program(&r, where[0] + 0x2000, 2, 7);
	fake_interrupt(2);
	assert_int_equal(machine_run(&r.machine), 1);
	program(&r, where[0] + 0x2000, 20, 8);
	fake_interrupt(2);
	assert_int_equal(machine_run(&r.machine), 1);
	assert_int_equal(r.machine.last.data, 7);
	end(&r);
}

static void test_msi(void **state)
{
	uint64_t where[7] = { 0 };
	unsigned int cap;
	struct rig r;

	give(&r, "ahci");
	place(&r, where);
	cap = find_cap(&r, PCI_CAP_ID_MSI);
	/* Sixteen, off, with nothing of the host's in it. */
	assert_int_equal(get(&r, cap + 2, 2), 0x0008);
	assert_int_equal(get(&r, cap + 4, 4), 0);
	assert_int_equal(get(&r, cap + 8, 2), 0);
	put(&r, cap + 4, 4, 0xfee01003);
	assert_int_equal(get(&r, cap + 4, 4), 0xfee01000);
	put(&r, cap + 8, 2, 0x41);
	put(&r, cap + 2, 2, 0x0021);
	assert_int_equal(get(&r, cap + 2, 2), 0x0029);
	assert_int_equal(fake.enabled, 4);
	assert_int_equal(fake.intx, -1);
	for (unsigned int i = 0; i < 4; i++) {
		fake_interrupt(i);
		assert_int_equal(machine_run(&r.machine), 1);
		assert_int_equal(r.machine.last.data, 0x40 + i);
		assert_int_equal(r.machine.last.addr, 0xfee01000);
	}
	/* To elsewhere, while it is on. */
	fake_interrupt(1);
	put(&r, cap + 8, 2, 0x80);
	assert_int_equal(machine_run(&r.machine), 1);
	assert_int_equal(r.machine.last.data, 0x81);
	/* More than there are is as many as there are. */
	put(&r, cap + 2, 2, 0x0071);
	assert_int_equal(fake.enabled, 16);
	assert_int_equal(r.machine.num_routes, 16);
	put(&r, cap + 2, 2, 0);
	assert_int_equal(fake.enabled, 0);
	assert_int_equal(r.machine.num_routes, 0);
	assert_true(fake.intx >= 0);
	end(&r);

	/* One that masks each. */
	begin(&r, pci_sample("ahci"), IOL_CONTEXT_IOMMUFD);
	memcpy(r.config + 0x80, (uint8_t[]){ 5, 0xb0, 0x84, 0x01 }, 4);
	{
		struct iol_passthrough_spec spec = spec_of(&r);

		assert_int_equal(iol_passthrough_new(&spec, &r.fn), 0);
	}
	place(&r, where);
	cap = find_cap(&r, PCI_CAP_ID_MSI);
	put(&r, cap + 4, 4, 0xfee00000);
	put(&r, cap + 8, 4, 1);
	put(&r, cap + 0x0c, 2, 0x20);
	put(&r, cap + 0x10, 4, 0xffffffff);
	assert_int_equal(get(&r, cap + 0x10, 4), 0xf);
	put(&r, cap + 0x10, 4, 2);
	put(&r, cap + 2, 2, 0x0021);
	fake_interrupt(1);
	fake_interrupt(0);
	assert_int_equal(machine_run(&r.machine), 1);
	assert_int_equal(get(&r, cap + 0x14, 4), 2);
	assert_int_equal(get(&r, cap + 0x14, 1), 2);
	assert_int_equal(get(&r, cap + 0x15, 1), 0);
	put(&r, cap + 0x10, 1, 0);
	assert_int_equal(machine_run(&r.machine), 1);
	assert_true(r.machine.last.addr == 0x1fee00000 && r.machine.last.data == 0x21);
	assert_int_equal(get(&r, cap + 0x14, 4), 0);
	end(&r);
}

static void test_intx(void **state)
{
	struct rig r;

	give(&r, "ahci");
	assert_int_equal(get(&r, PCI_INTERRUPT_PIN, 1), 2);
	/* Nobody drives it yet. */
	assert_int_equal(fake.intx, -1);
	put(&r, PCI_COMMAND, 2, ON);
	assert_int_equal(r.machine.pin, 1);
	fake_line(true);
	machine_run(&r.machine);
	assert_true(r.machine.line && r.machine.raised == 1);
	/* The guest is done, but the device is not. */
	machine_end_of_interrupt(&r.machine);
	fake_line(true);
	machine_run(&r.machine);
	assert_true(r.machine.line && r.machine.raised == 2);
	fake_line(false);
	machine_end_of_interrupt(&r.machine);
	fake_line(false);
	machine_run(&r.machine);
	assert_false(r.machine.line);
	/* Not wanted, by the guest's word. */
	put(&r, PCI_COMMAND, 2, ON | PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(fake.intx, -1);
	assert_int_equal(r.machine.intx_fd, -1);
	put(&r, PCI_COMMAND, 2, ON);
	assert_true(fake.intx >= 0 && fake.intx_unmask >= 0);
	/* A machine that can't. */
	put(&r, PCI_COMMAND, 2, 0);
	r.machine.no_routes = true;
	put(&r, PCI_COMMAND, 2, ON);
	assert_int_equal(fake.intx, -1);
	end(&r);

	give(&r, "igb-vf");
	assert_int_equal(get(&r, PCI_INTERRUPT_PIN, 1), 0);
	put(&r, PCI_COMMAND, 2, ON);
	assert_int_equal(r.machine.intx_fd, -1);
	end(&r);
}

/* As after power-on: nothing mapped, no interrupts, no DMA. */
static void check_reset(struct rig *r, unsigned int resets)
{
	assert_int_equal(fake.resets, resets);
	assert_int_equal(get(r, PCI_COMMAND, 2), 0);
	assert_int_equal(device_get(r, PCI_COMMAND, 2) & PCI_COMMAND_MASTER, 0);
	assert_int_equal(mapped(&r->machine), 0);
	assert_int_equal(fake.enabled, 0);
	assert_int_equal(r->machine.num_routes, 0);
	assert_int_equal(get(r, BAR(0), 4) & ~0xfu, 0);
}

static void test_reset(void **state)
{
	uint64_t where[7] = { 0 };
	unsigned int cap;
	struct rig r;

	/* By the guest: FLR. */
	give(&r, "nvme");
	place(&r, where);
	assert_int_equal(device_get(&r, PCI_COMMAND, 2), PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	put(&r, find_cap(&r, PCI_CAP_ID_MSIX) + 2, 2, 0x8000);
	program(&r, where[0] + 0x2000, 3, 1);
	cap = find_cap(&r, PCI_CAP_ID_EXP);
	put(&r, cap + PCI_EXP_DEVCTL, 2, 0x2910);
	assert_int_equal(get(&r, cap + PCI_EXP_DEVCTL, 2), 0x2910);
	assert_int_equal(fake.resets, 0);
	put(&r, cap + PCI_EXP_DEVCTL, 2, 0xa910);
	check_reset(&r, 1);
	assert_int_equal(get(&r, cap + PCI_EXP_DEVCTL, 2), 0x2910);
	assert_int_equal(device_get(&r, cap + PCI_EXP_DEVCTL, 2), 0x2910);
	/* It works as before. */
	place(&r, where);
	put(&r, find_cap(&r, PCI_CAP_ID_MSIX) + 2, 2, 0x8000);
	assert_int_equal(mmio32(&r, where[0] + 0x2000 + 3 * 16 + 12), 1);
	program(&r, where[0] + 0x2000, 3, 1);
	fake_interrupt(3);
	assert_int_equal(machine_run(&r.machine), 1);
	/* By the machine. */
	assert_int_equal(iol_pci_function_reset(r.fn), 0);
	check_reset(&r, 2);
	/* Only the bus has one: when nobody else is on it. */
	fake.no_reset = true;
	assert_int_equal(iol_pci_function_reset(r.fn), 0);
	assert_int_equal(fake.hot_resets, 1);
	fake.others = true;
	place(&r, where);
	assert_int_equal(iol_pci_function_reset(r.fn), -EPERM);
	assert_int_equal(fake.hot_resets, 1);
	check_reset(&r, 2);
	end(&r);

	/* One without FLR ignores it. */
	begin(&r, pci_sample("nvme"), IOL_CONTEXT_IOMMUFD);
	r.config[0x67] = 0;
	/* But with the other: AF, where the NVMe device has nothing. */
	r.config[0x61] = 0xb0;
	memcpy(r.config + 0xb0, (uint8_t[]){ 0x13, 0, 6, 3, 0, 0 }, 6);
	{
		struct iol_passthrough_spec spec = spec_of(&r);

		assert_int_equal(iol_passthrough_new(&spec, &r.fn), 0);
	}
	place(&r, where);
	put(&r, 0x68, 2, 0x8000);
	assert_int_equal(fake.resets, 0);
	assert_true(mapped(&r.machine));
	put(&r, 0xb4, 1, 1);
	check_reset(&r, 1);
	assert_int_equal(get(&r, 0xb4, 1), 0);
	end(&r);
}

static void test_power(void **state)
{
	uint64_t where[7] = { 0 };
	uint32_t value = 0;
	struct rig r;

	/* No_Soft_Reset: all is kept. */
	give(&r, "nvme");
	place(&r, where);
	put(&r, find_cap(&r, PCI_CAP_ID_MSIX) + 2, 2, 0x8000);
	program(&r, where[0] + 0x2000, 0, 1);
	put(&r, 0x44, 2, 3);
	assert_int_equal(device_get(&r, 0x44, 2), 3);
	assert_int_equal(mapped(&r.machine), 0);
	assert_int_equal(iol_pci_mmio(r.fn, where[0], &value, 4, false), 0);
	put(&r, PCI_COMMAND, 2, ON);
	assert_int_equal(mapped(&r.machine), 0);
	put(&r, 0x44, 2, 0);
	assert_int_equal(mapped(&r.machine), 8192);
	fake_interrupt(0);
	assert_int_equal(machine_run(&r.machine), 1);
	end(&r);

	/* Without: as after a reset. */
	give(&r, "wifi");
	place(&r, where);
	put(&r, 0xcc, 2, 3);
	put(&r, 0xcc, 2, 0);
	check_reset(&r, 0);
	place(&r, where);
	assert_int_equal(mapped(&r.machine), 8192);
	/* From a nap it comes back as it was; and a reset wakes it. */
	put(&r, 0xcc, 1, 1);
	assert_int_equal(mapped(&r.machine), 0);
	put(&r, 0xcc, 1, 0);
	assert_int_equal(mapped(&r.machine), 8192);
	put(&r, 0xcc, 1, 3);
	assert_int_equal(iol_pci_function_reset(r.fn), 0);
	place(&r, where);
	assert_int_equal(mapped(&r.machine), 8192);
	end(&r);
}

static void test_events(void **state)
{
	struct rig r;
	struct iol_passthrough_spec spec;
	struct iol_pci_function *second = NULL;

	give(&r, "nvme");
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
	spec = spec_of(&r);
	assert_int_equal(iol_passthrough_new(&spec, &second), -EBUSY);
	assert_null(second);
	assert_non_null(strstr(iol_error(), "0000:01:00.0"));
	assert_int_equal(r.machine.num_told, 1);
	end(&r);
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

			begin(&r, pci_sample("nvme"), kinds[k]);
			spec = spec_of(&r);
			fake.calls = 0;
			fake.fail_at = ++step;
			rc = iol_passthrough_new(&spec, &r.fn);
			assert_true(!rc == !!r.fn);
			if (!rc) {
				assert_false(fake.failed);
				place(&r, where);
				put(&r, 0x52, 2, 0x8000);
				program(&r, where[0] + 0x2000, 3, 1);
				put(&r, 0x68, 2, 0x8000);
				iol_pci_function_reset(r.fn);
			}
			failed = fake.failed;
			end(&r);
		} while (failed);
		assert_true(step > 25);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_samples),   cmocka_unit_test(test_hidden),
		cmocka_unit_test(test_broken),    cmocka_unit_test(test_bars),
		cmocka_unit_test(test_msix),      cmocka_unit_test(test_msi),
		cmocka_unit_test(test_intx),      cmocka_unit_test(test_reset),
		cmocka_unit_test(test_power),     cmocka_unit_test(test_events),
		cmocka_unit_test(test_unwinding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
