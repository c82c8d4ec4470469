/* SPDX-License-Identifier: BSD-3-Clause */
/* A passed-through device in use: its interrupts, resets, and power. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include "tests/unit/passthrough_rig.h"

/* As Linux does it: enabled with all masked, then a vector after another; a kernel that adds vectors, and one that does not. */
static void test_msix(void **state)
{
	uint64_t where[7] = { 0 }, table;
	unsigned int cap;
	struct rig r;

	for (int dynamic = 0; dynamic < 2; dynamic++) {
		rig_give(&r, "nvme");
		iol_pci_function_destroy(&r.fn);
		fake.dynamic = dynamic;
		{
			struct iol_passthrough_spec spec = rig_spec_of(&r);

			assert_int_equal(iol_passthrough_new(&spec, &r.fn), 0);
		}
		rig_place(&r, where);
		table = where[0] + 0x2000;
		cap = rig_find_cap(&r, PCI_CAP_ID_MSIX);
		assert_true(fake.intx >= 0);
		rig_put(&r, cap + 2, 2, 0xc000);
		/* The device is in MSI-X, and INTx is gone, before any vector is used. */
		assert_int_equal(fake.intx, -1);
		assert_int_equal(r.machine.intx_fd, -1);
		assert_int_equal(fake.enabled, dynamic ? 1 : 32);
		assert_int_equal(fake.vectors[0], -1);
		rig_put(&r, cap + 2, 2, 0x8000);
		for (unsigned int i = 0; i < 32; i += 5) {
			/* It interrupts before the guest hears it. */
			fake_interrupt(i);
			assert_int_equal(machine_run(&r.machine), 0);
			rig_program(&r, table, i, 100 + i);
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
		rig_set_mmio32(&r, table + 12, 1);
		fake_interrupt(0);
		assert_int_equal(machine_run(&r.machine), 0);
		assert_int_equal(rig_mmio32(&r, where[0] + 0x3000), 1);
		rig_set_mmio32(&r, table + 12, 0);
		assert_int_equal(machine_run(&r.machine), 1);
		/* Off: back to INTx. */
		rig_put(&r, cap + 2, 2, 0);
		assert_int_equal(fake.enabled, 0);
		assert_true(fake.intx >= 0);
		rig_put(&r, cap + 2, 2, 0x8000);
		fake_interrupt(5);
		assert_int_equal(machine_run(&r.machine), 1);
		rig_end(&r);
	}

	/* A machine that has not enough for all of them. */
	rig_give(&r, "nvme");
	fake.vectors_left = 8;
	rig_place(&r, where);
	rig_put(&r, rig_find_cap(&r, PCI_CAP_ID_MSIX) + 2, 2, 0x8000);
	assert_int_equal(fake.enabled, 1);
	rig_program(&r, where[0] + 0x2000, 2, 7);
	fake_interrupt(2);
	assert_int_equal(machine_run(&r.machine), 1);
	rig_program(&r, where[0] + 0x2000, 20, 8);
	fake_interrupt(2);
	assert_int_equal(machine_run(&r.machine), 1);
	assert_int_equal(r.machine.last.data, 7);
	rig_end(&r);
}

static void test_msi(void **state)
{
	uint64_t where[7] = { 0 };
	unsigned int cap;
	struct rig r;

	rig_give(&r, "ahci");
	rig_place(&r, where);
	cap = rig_find_cap(&r, PCI_CAP_ID_MSI);
	/* Sixteen, off, with nothing of the host's in it. */
	assert_int_equal(rig_get(&r, cap + 2, 2), 0x0008);
	assert_int_equal(rig_get(&r, cap + 4, 4), 0);
	assert_int_equal(rig_get(&r, cap + 8, 2), 0);
	rig_put(&r, cap + 4, 4, 0xfee01003);
	assert_int_equal(rig_get(&r, cap + 4, 4), 0xfee01000);
	rig_put(&r, cap + 8, 2, 0x41);
	rig_put(&r, cap + 2, 2, 0x0021);
	assert_int_equal(rig_get(&r, cap + 2, 2), 0x0029);
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
	rig_put(&r, cap + 8, 2, 0x80);
	assert_int_equal(machine_run(&r.machine), 1);
	assert_int_equal(r.machine.last.data, 0x81);
	/* More than there are is as many as there are. */
	rig_put(&r, cap + 2, 2, 0x0071);
	assert_int_equal(fake.enabled, 16);
	assert_int_equal(r.machine.num_routes, 16);
	rig_put(&r, cap + 2, 2, 0);
	assert_int_equal(fake.enabled, 0);
	assert_int_equal(r.machine.num_routes, 0);
	assert_true(fake.intx >= 0);
	rig_end(&r);

	/* One that masks each. */
	rig_begin(&r, pci_sample("ahci"), IOL_CONTEXT_IOMMUFD);
	memcpy(r.config + 0x80, (uint8_t[]){ 5, 0xb0, 0x84, 0x01 }, 4);
	{
		struct iol_passthrough_spec spec = rig_spec_of(&r);

		assert_int_equal(iol_passthrough_new(&spec, &r.fn), 0);
	}
	rig_place(&r, where);
	cap = rig_find_cap(&r, PCI_CAP_ID_MSI);
	rig_put(&r, cap + 4, 4, 0xfee00000);
	rig_put(&r, cap + 8, 4, 1);
	rig_put(&r, cap + 0x0c, 2, 0x20);
	rig_put(&r, cap + 0x10, 4, 0xffffffff);
	assert_int_equal(rig_get(&r, cap + 0x10, 4), 0xf);
	rig_put(&r, cap + 0x10, 4, 2);
	rig_put(&r, cap + 2, 2, 0x0021);
	fake_interrupt(1);
	fake_interrupt(0);
	assert_int_equal(machine_run(&r.machine), 1);
	assert_int_equal(rig_get(&r, cap + 0x14, 4), 2);
	assert_int_equal(rig_get(&r, cap + 0x14, 1), 2);
	assert_int_equal(rig_get(&r, cap + 0x15, 1), 0);
	rig_put(&r, cap + 0x10, 1, 0);
	assert_int_equal(machine_run(&r.machine), 1);
	assert_true(r.machine.last.addr == 0x1fee00000 && r.machine.last.data == 0x21);
	assert_int_equal(rig_get(&r, cap + 0x14, 4), 0);
	rig_end(&r);
}

static void test_intx(void **state)
{
	struct rig r;

	rig_give(&r, "ahci");
	assert_int_equal(rig_get(&r, PCI_INTERRUPT_PIN, 1), 2);
	/* Nobody drives it yet. */
	assert_int_equal(fake.intx, -1);
	rig_put(&r, PCI_COMMAND, 2, ON);
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
	rig_put(&r, PCI_COMMAND, 2, ON | PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(fake.intx, -1);
	assert_int_equal(r.machine.intx_fd, -1);
	rig_put(&r, PCI_COMMAND, 2, ON);
	assert_true(fake.intx >= 0 && fake.intx_unmask >= 0);
	/* A machine that can't. */
	rig_put(&r, PCI_COMMAND, 2, 0);
	r.machine.no_routes = true;
	rig_put(&r, PCI_COMMAND, 2, ON);
	assert_int_equal(fake.intx, -1);
	rig_end(&r);

	rig_give(&r, "igb-vf");
	assert_int_equal(rig_get(&r, PCI_INTERRUPT_PIN, 1), 0);
	rig_put(&r, PCI_COMMAND, 2, ON);
	assert_int_equal(r.machine.intx_fd, -1);
	rig_end(&r);
}

/* As after power-on: nothing mapped, no interrupts, no DMA. */
static void check_reset(struct rig *r, unsigned int resets)
{
	assert_int_equal(fake.resets, resets);
	assert_int_equal(rig_get(r, PCI_COMMAND, 2), 0);
	assert_int_equal(rig_device_get(r, PCI_COMMAND, 2) & PCI_COMMAND_MASTER, 0);
	assert_int_equal(rig_mapped(&r->machine), 0);
	assert_int_equal(fake.enabled, 0);
	assert_int_equal(r->machine.num_routes, 0);
	assert_int_equal(rig_get(r, BAR(0), 4) & ~0xfu, 0);
}

static void test_reset(void **state)
{
	uint64_t where[7] = { 0 };
	unsigned int cap;
	struct rig r;

	/* By the guest: FLR. */
	rig_give(&r, "nvme");
	rig_place(&r, where);
	assert_int_equal(rig_device_get(&r, PCI_COMMAND, 2),
			 PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	rig_put(&r, rig_find_cap(&r, PCI_CAP_ID_MSIX) + 2, 2, 0x8000);
	rig_program(&r, where[0] + 0x2000, 3, 1);
	cap = rig_find_cap(&r, PCI_CAP_ID_EXP);
	rig_put(&r, cap + PCI_EXP_DEVCTL, 2, 0x2910);
	assert_int_equal(rig_get(&r, cap + PCI_EXP_DEVCTL, 2), 0x2910);
	assert_int_equal(fake.resets, 0);
	rig_put(&r, cap + PCI_EXP_DEVCTL, 2, 0xa910);
	check_reset(&r, 1);
	assert_int_equal(rig_get(&r, cap + PCI_EXP_DEVCTL, 2), 0x2910);
	assert_int_equal(rig_device_get(&r, cap + PCI_EXP_DEVCTL, 2), 0x2910);
	/* It works as before. */
	rig_place(&r, where);
	rig_put(&r, rig_find_cap(&r, PCI_CAP_ID_MSIX) + 2, 2, 0x8000);
	assert_int_equal(rig_mmio32(&r, where[0] + 0x2000 + 3 * 16 + 12), 1);
	rig_program(&r, where[0] + 0x2000, 3, 1);
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
	rig_place(&r, where);
	assert_int_equal(iol_pci_function_reset(r.fn), -EPERM);
	assert_int_equal(fake.hot_resets, 1);
	check_reset(&r, 2);
	rig_end(&r);

	/* One without FLR ignores it. */
	rig_begin(&r, pci_sample("nvme"), IOL_CONTEXT_IOMMUFD);
	r.config[0x67] = 0;
	/* But with the other: AF, where the NVMe device has nothing. */
	r.config[0x61] = 0xb0;
	memcpy(r.config + 0xb0, (uint8_t[]){ 0x13, 0, 6, 3, 0, 0 }, 6);
	{
		struct iol_passthrough_spec spec = rig_spec_of(&r);

		assert_int_equal(iol_passthrough_new(&spec, &r.fn), 0);
	}
	rig_place(&r, where);
	rig_put(&r, 0x68, 2, 0x8000);
	assert_int_equal(fake.resets, 0);
	assert_true(rig_mapped(&r.machine));
	rig_put(&r, 0xb4, 1, 1);
	check_reset(&r, 1);
	assert_int_equal(rig_get(&r, 0xb4, 1), 0);
	rig_end(&r);
}

static void test_power(void **state)
{
	uint64_t where[7] = { 0 };
	uint32_t value = 0;
	struct rig r;

	/* No_Soft_Reset: all is kept. */
	rig_give(&r, "nvme");
	rig_place(&r, where);
	rig_put(&r, rig_find_cap(&r, PCI_CAP_ID_MSIX) + 2, 2, 0x8000);
	rig_program(&r, where[0] + 0x2000, 0, 1);
	rig_put(&r, 0x44, 2, 3);
	assert_int_equal(rig_device_get(&r, 0x44, 2), 3);
	assert_int_equal(rig_mapped(&r.machine), 0);
	assert_int_equal(iol_pci_mmio(r.fn, where[0], &value, 4, false), 0);
	rig_put(&r, PCI_COMMAND, 2, ON);
	assert_int_equal(rig_mapped(&r.machine), 0);
	rig_put(&r, 0x44, 2, 0);
	assert_int_equal(rig_mapped(&r.machine), 8192);
	fake_interrupt(0);
	assert_int_equal(machine_run(&r.machine), 1);
	rig_end(&r);

	/* Without: as after a reset. */
	rig_give(&r, "wifi");
	rig_place(&r, where);
	rig_put(&r, 0xcc, 2, 3);
	rig_put(&r, 0xcc, 2, 0);
	check_reset(&r, 0);
	rig_place(&r, where);
	assert_int_equal(rig_mapped(&r.machine), 8192);
	/* From a nap it comes back as it was; and a reset wakes it. */
	rig_put(&r, 0xcc, 1, 1);
	assert_int_equal(rig_mapped(&r.machine), 0);
	rig_put(&r, 0xcc, 1, 0);
	assert_int_equal(rig_mapped(&r.machine), 8192);
	rig_put(&r, 0xcc, 1, 3);
	assert_int_equal(iol_pci_function_reset(r.fn), 0);
	rig_place(&r, where);
	assert_int_equal(rig_mapped(&r.machine), 8192);
	rig_end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_msix),  cmocka_unit_test(test_msi),
		cmocka_unit_test(test_intx),  cmocka_unit_test(test_reset),
		cmocka_unit_test(test_power),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
