/* SPDX-License-Identifier: BSD-3-Clause */
/* A function's configuration space and BARs, with nothing behind them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include <linux/pci_regs.h>

#include "tests/unit/machine.h"
#include "tests/unit/open_fds.h"
#include "vmm-glue/msix.h"
#include "vmm-glue/pci_function.h"

#define BAR(n) (PCI_BASE_ADDRESS_0 + 4 * (n))

/* A NIC: registers and MSI-X in BAR 0, ports, a 64-bit prefetchable BAR of 8 GiB, a ROM. */
static const struct iol_pci_bar registers = { .size = 0x4000 }, ports = { .size = 32, .io = true },
				memory = { .size = 8ull << 30,
					   .is_64 = true,
					   .prefetchable = true },
				rom = { .size = 0x10000 };

struct seen {
	unsigned int bar;
	uint64_t off;
	unsigned int len;
	bool write;
	uint64_t data;
};

struct nic {
	struct iol_pci_function fn;
	struct seen seen;
	uint64_t where[PCI_FUNCTION_BARS]; /* 0: nowhere */
	unsigned int moves, resets, written;
};

static struct machine machine;

static void destroy(struct iol_pci_function *fn)
{
	free(fn);
}

static void config_written(struct iol_pci_function *fn, unsigned int off, unsigned int len)
{
	((struct nic *)fn)->written++;
}

static void bar_access(struct iol_pci_function *fn, unsigned int bar, uint64_t off, void *data,
		       unsigned int len, bool write)
{
	struct nic *nic = (struct nic *)fn;

	nic->seen = (struct seen){ bar, off, len, write, 0 };
	if (write)
		memcpy(&nic->seen.data, data, len);
	else
		memset(data, 0x77, len);
}

static void bar_moved(struct iol_pci_function *fn, unsigned int bar, uint64_t gpa, bool decodes)
{
	struct nic *nic = (struct nic *)fn;

	nic->moves++;
	if (decodes)
		assert_int_equal(nic->where[bar], 0);
	else
		assert_true(nic->where[bar] == gpa);
	nic->where[bar] = decodes ? gpa : 0;
}

static int reset(struct iol_pci_function *fn)
{
	((struct nic *)fn)->resets++;
	return 0;
}

static const struct pci_function_ops ops = {
	.destroy = destroy,
	.config_written = config_written,
	.bar_access = bar_access,
	.bar_moved = bar_moved,
	.reset = reset,
};

static int setup(void **state)
{
	struct nic *nic = calloc(1, sizeof(*nic));
	struct msix *msix = NULL;

	assert_non_null(nic);
	machine_begin(&machine);
	pci_function_init(&nic->fn, &ops, &machine_ops, &machine, 3);
	assert_int_equal(pci_function_set_bar(&nic->fn, 0, &registers), 0);
	assert_int_equal(pci_function_set_bar(&nic->fn, 1, &ports), 0);
	assert_int_equal(pci_function_set_bar(&nic->fn, 2, &memory), 0);
	assert_int_equal(pci_function_set_bar(&nic->fn, 6, &rom), 0);
	assert_int_equal(msix_new(10, &machine_ops, &machine, NULL, NULL, &msix), 0);
	assert_int_equal(pci_function_set_msix(&nic->fn, 0, 0x2000, 0x3000, msix), 0);
	*state = &nic->fn;
	return 0;
}

static int teardown(void **state)
{
	struct iol_pci_function *fn = *state;

	iol_pci_function_destroy(&fn);
	assert_null(fn);
	machine_end(&machine);
	return 0;
}

static uint32_t read32(struct iol_pci_function *fn, unsigned int off)
{
	return iol_pci_config_read(fn, off, 4);
}

static uint32_t size_of(struct iol_pci_function *fn, unsigned int off)
{
	iol_pci_config_write(fn, off, 4, UINT32_MAX);
	return read32(fn, off);
}

static void test_header(void **state)
{
	struct iol_pci_function *fn = *state;
	struct nic *nic = *state;

	pci_function_put(fn, 0, 4, 0x10418086);
	assert_int_equal(read32(fn, 0), 0x10418086);
	assert_int_equal(iol_pci_config_read(fn, 1, 2), 0x4180);
	assert_int_equal(iol_pci_config_read(fn, 3, 1), 0x10);
	/* Across dwords, of other sizes, beyond. */
	assert_int_equal(iol_pci_config_read(fn, 2, 4), UINT32_MAX);
	assert_int_equal(iol_pci_config_read(fn, 3, 2), UINT32_MAX);
	assert_int_equal(iol_pci_config_read(fn, 0, 3), UINT32_MAX);
	assert_int_equal(iol_pci_config_read(fn, 4096, 1), UINT32_MAX);
	assert_int_equal(iol_pci_config_read(fn, UINT32_MAX, 1), UINT32_MAX);
	assert_int_equal(read32(fn, 4092), 0);
	iol_pci_config_write(fn, 3, 2, 0);
	iol_pci_config_write(fn, UINT32_MAX - 3, 4, 0);
	iol_pci_config_write(fn, 0, 8, 0);
	assert_int_equal(nic->written, 0);
	/* Ids stay. */
	iol_pci_config_write(fn, 0, 4, 0);
	assert_int_equal(read32(fn, 0), 0x10418086);
	assert_int_equal(nic->written, 1);
	/* The command register has what there is, and status is cleared by ones. */
	pci_function_put(fn, PCI_STATUS, 2, PCI_STATUS_PARITY | PCI_STATUS_CAP_LIST | 0x4000);
	iol_pci_config_write(fn, PCI_COMMAND, 4, 0x4000ffff);
	assert_int_equal(iol_pci_config_read(fn, PCI_COMMAND, 2), 0x0547);
	assert_int_equal(iol_pci_config_read(fn, PCI_STATUS, 2),
			 PCI_STATUS_PARITY | PCI_STATUS_CAP_LIST);
	iol_pci_config_write(fn, PCI_INTERRUPT_LINE, 2, 0xffff);
	assert_int_equal(iol_pci_config_read(fn, PCI_INTERRUPT_LINE, 2), 0xff);
}

static void test_sizing(void **state)
{
	struct iol_pci_function *fn = *state;
	struct nic *nic = *state;
	struct iol_pci_bar bar;

	/* With decoding on, as Linux may do it: a BAR that is being sized is nowhere. */
	iol_pci_config_write(fn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	assert_int_equal(size_of(fn, BAR(0)), 0xffffc000);
	assert_int_equal(size_of(fn, BAR(1)), 0xffffffe1);
	assert_int_equal(size_of(fn, BAR(2)), 0x0000000c);
	assert_int_equal(size_of(fn, BAR(3)), 0xfffffffe);
	assert_int_equal(size_of(fn, BAR(4)), 0);
	assert_int_equal(size_of(fn, BAR(5)), 0);
	assert_int_equal(size_of(fn, PCI_ROM_ADDRESS), 0xffff0001);
	assert_int_equal(nic->moves, 0);
	iol_pci_bar(fn, 2, &bar);
	assert_true(bar.size == memory.size && bar.is_64 && bar.prefetchable && !bar.io);
	iol_pci_bar(fn, 3, &bar);
	assert_int_equal(bar.size, 0);
	iol_pci_bar(fn, 7, &bar);
	assert_int_equal(bar.size, 0);
}

static void test_moving(void **state)
{
	struct iol_pci_function *fn = *state;
	struct nic *nic = *state;
	uint64_t data = 0;

	iol_pci_config_write(fn, BAR(0), 4, 0xe0000000);
	iol_pci_config_write(fn, BAR(1), 4, 0xc000);
	iol_pci_config_write(fn, BAR(2), 4, 0);
	iol_pci_config_write(fn, BAR(3), 4, 0x80);
	iol_pci_config_write(fn, PCI_ROM_ADDRESS, 4, 0xe1000000);
	assert_int_equal(nic->moves, 0);
	assert_int_equal(iol_pci_mmio(fn, 0xe0000000, &data, 4, false), 0);
	iol_pci_config_write(fn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_true(nic->where[0] == 0xe0000000 && !nic->where[1] &&
		    nic->where[2] == 0x8000000000 && !nic->where[6]);
	iol_pci_config_write(fn, PCI_COMMAND, 1, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	assert_true(nic->where[1] == 0xc000);
	iol_pci_config_write(fn, PCI_ROM_ADDRESS, 1, PCI_ROM_ADDRESS_ENABLE);
	assert_true(nic->where[6] == 0xe1000000);

	assert_int_equal(iol_pci_mmio(fn, 0xe0001ffc, &data, 4, false), 1);
	assert_true(data == 0x77777777 && nic->seen.bar == 0 && nic->seen.off == 0x1ffc);
	data = 0x1234;
	assert_int_equal(iol_pci_mmio(fn, 0x80fffffff8, &data, 8, true), 1);
	assert_true(nic->seen.bar == 2 && nic->seen.off == 0xfffffff8 && nic->seen.write &&
		    nic->seen.len == 8 && nic->seen.data == 0x1234);
	assert_int_equal(iol_pci_io(fn, 0xc01f, &data, 1, false), 1);
	assert_true(nic->seen.bar == 1 && nic->seen.off == 0x1f);
	assert_int_equal(iol_pci_io(fn, 0xc020, &data, 1, false), 0);
	assert_int_equal(iol_pci_mmio(fn, 0xc000, &data, 1, false), 0);
	assert_int_equal(iol_pci_mmio(fn, 0xe1000000, &data, 1, false), 1);
	assert_int_equal(nic->seen.bar, 6);
	/* Out at the end: as where nothing answers. */
	nic->seen.len = 0;
	data = 0;
	assert_int_equal(iol_pci_mmio(fn, 0xe0003ffe, &data, 4, false), 1);
	assert_true(data == UINT32_MAX && !nic->seen.len);
	assert_int_equal(iol_pci_mmio(fn, 0xe0003ffe, &data, 4, true), 1);
	assert_int_equal(nic->seen.len, 0);

	/* To another place, at once: where another BAR is, if the guest wants so. The ROM goes by its own bit. */
	iol_pci_config_write(fn, BAR(0), 4, 0xe1000000);
	assert_true(nic->where[0] == 0xe1000000 && nic->moves == 6);
	iol_pci_config_write(fn, PCI_ROM_ADDRESS, 4, 0xe0000000);
	assert_int_equal(nic->where[6], 0);
	/* Ports that there are not, and the end of what 32 bits name. */
	iol_pci_config_write(fn, BAR(1), 4, 0x1c000);
	assert_int_equal(nic->where[1], 0);
	iol_pci_config_write(fn, BAR(1), 4, 0xffe0);
	assert_int_equal(nic->where[1], 0xffe0);
	iol_pci_config_write(fn, BAR(0), 4, 0xffffc000);
	assert_int_equal(nic->where[0], 0);
	iol_pci_config_write(fn, BAR(0), 4, 0xe0000000);

	assert_int_equal(iol_pci_function_reset(fn), 0);
	for (unsigned int i = 0; i < PCI_FUNCTION_BARS; i++)
		assert_int_equal(nic->where[i], 0);
	assert_int_equal(nic->resets, 1);
	assert_int_equal(read32(fn, BAR(3)), 0);
	assert_int_equal(read32(fn, BAR(2)), 0xc);
	assert_int_equal(iol_pci_config_read(fn, PCI_COMMAND, 2), 0);
	/* And it can be placed again. */
	iol_pci_config_write(fn, BAR(0), 4, 0xe0000000);
	iol_pci_config_write(fn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_true(nic->where[0] == 0xe0000000);
	assert_int_equal(iol_pci_function_fd(fn), -1);
	assert_int_equal(iol_pci_function_poll(fn), 0);
}

static void test_msix(void **state)
{
	struct iol_pci_function *fn = *state;
	struct nic *nic = *state;
	unsigned int cap = iol_pci_config_read(fn, PCI_CAPABILITY_LIST, 1);
	uint32_t value = 0;
	uint64_t qword = 0xfee00000;

	assert_int_equal(read32(fn, cap), 0x00090011);
	assert_int_equal(read32(fn, cap + 4), 0x2000);
	assert_int_equal(read32(fn, cap + 8), 0x3000);
	iol_pci_config_write(fn, BAR(0), 4, 0xe0000000);
	iol_pci_config_write(fn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	/* The last entry is the table's, what follows is the device's. */
	assert_int_equal(iol_pci_mmio(fn, 0xe0002090, &qword, 8, true), 1);
	assert_int_equal(iol_pci_mmio(fn, 0xe000209c, &value, 4, true), 1);
	assert_int_equal(nic->seen.len, 0);
	assert_int_equal(iol_pci_mmio(fn, 0xe00020a0, &value, 4, true), 1);
	assert_int_equal(nic->seen.off, 0x20a0);
	/* Nor does one that only reaches into it get there. */
	nic->seen.len = 0;
	assert_int_equal(iol_pci_mmio(fn, 0xe0001ffe, &value, 4, true), 1);
	assert_int_equal(nic->seen.len, 0);
	msix_signal(fn->msix, 9);
	assert_int_equal(iol_pci_mmio(fn, 0xe0003000, &qword, 8, false), 1);
	assert_int_equal(qword, 1 << 9);
	assert_int_equal(iol_pci_mmio(fn, 0xe0003008, &qword, 8, true), 1);
	assert_int_equal(nic->seen.off, 0x3008);
	/* Enabling, by one byte or with the dword. */
	iol_pci_config_write(fn, cap + 3, 1, 0xc0);
	assert_true(msix_enabled(fn->msix));
	assert_int_equal(machine.num_routes, 0);
	iol_pci_config_write(fn, cap, 4, 0x8fffffff);
	assert_int_equal(read32(fn, cap), 0x80090011);
	assert_int_equal(machine.num_routes, 1);
	assert_int_equal(machine_run(&machine), 1);
	assert_int_equal(machine.last.addr, 0xfee00000);
	/* A reset takes the route away. */
	iol_pci_function_reset(fn);
	assert_int_equal(machine.num_routes, 0);
	assert_int_equal(read32(fn, cap), 0x00090011);
}

static void test_caps(void **state)
{
	struct iol_pci_function *fn = *state;
	unsigned int first = iol_pci_config_read(fn, PCI_CAPABILITY_LIST, 1);
	int a = pci_function_add_cap(fn, PCI_CAP_ID_VNDR, 17), b;

	assert_true(a > 0 && a % 4 == 0);
	b = pci_function_add_cap(fn, PCI_CAP_ID_PM, 8);
	assert_int_equal(b, a + 20);
	assert_int_equal(iol_pci_config_read(fn, first + 1, 1), a);
	assert_int_equal(iol_pci_config_read(fn, (unsigned int)a, 2), PCI_CAP_ID_VNDR | b << 8);
	assert_int_equal(iol_pci_config_read(fn, (unsigned int)b, 2), PCI_CAP_ID_PM);
	assert_int_equal(iol_pci_config_read(fn, PCI_STATUS, 2), PCI_STATUS_CAP_LIST);
	assert_int_equal(pci_function_add_cap(fn, PCI_CAP_ID_VNDR, 1), -28);
	assert_int_equal(pci_function_add_cap(fn, PCI_CAP_ID_VNDR, 256 - (unsigned int)b - 8 + 1),
			 -28);
	assert_true(pci_function_add_cap(fn, PCI_CAP_ID_VNDR, 256 - (unsigned int)b - 8) > 0);
	assert_int_equal(pci_function_add_cap(fn, PCI_CAP_ID_VNDR, 2), -28);
}

static void test_refusals(void **state)
{
	static const struct {
		unsigned int index;
		struct iol_pci_bar bar;
	} bad[] = {
		{ 7, { .size = 4096 } },
		{ 4, { .size = 0 } },
		{ 4, { .size = 8 } },
		{ 4, { .size = 4097 } },
		{ 4, { .size = 2, .io = true } },
		{ 4, { .size = 0x20000, .io = true } },
		{ 4, { .size = 32, .io = true, .is_64 = true } },
		{ 4, { .size = 1ull << 32 } },
		{ 0, { .size = 4096 } },
		{ 3, { .size = 4096 } },
		{ 5, { .size = 4096, .is_64 = true } },
		{ 6, { .size = 4096 } },
	};
	struct iol_pci_function *fn = *state;
	struct msix *msix = NULL;
	struct nic empty = { 0 };

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(pci_function_set_bar(fn, bad[i].index, &bad[i].bar), -22);
	pci_function_init(&empty.fn, &ops, &machine_ops, &machine, 0);
	assert_int_equal(pci_function_set_bar(&empty.fn, 6, &(struct iol_pci_bar){ .size = 1024 }),
			 -22);
	assert_int_equal(pci_function_set_bar(&empty.fn, 1, &registers), 0);
	assert_int_equal(pci_function_set_bar(&empty.fn, 0, &memory), -22);
	/* A table that is nowhere, or reaches out. */
	assert_int_equal(msix_new(2048, &machine_ops, &machine, NULL, NULL, &msix), 0);
	assert_int_equal(pci_function_set_msix(&empty.fn, 0, 0x2, 0x1, msix), -22);
	assert_int_equal(msix_new(2048, &machine_ops, &machine, NULL, NULL, &msix), 0);
	assert_int_equal(pci_function_set_msix(&empty.fn, 0, 0x1, 0x1, msix), -22);
	assert_int_equal(msix_new(8, &machine_ops, &machine, NULL, NULL, &msix), 0);
	assert_int_equal(pci_function_set_msix(&empty.fn, 0, 0x1, 0x3ff9 + 8, msix), -22);
	assert_null(empty.fn.msix);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_header, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sizing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_moving, setup, teardown),
		cmocka_unit_test_setup_teardown(test_msix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_caps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
