/* SPDX-License-Identifier: BSD-3-Clause */
/* The reference VMM's serial port, ACPI tables, processors' description, and PCI bus. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include <iolane/base.h>
#include <linux/serial_reg.h>
#include <stdio.h>

#include "tools/iolane-vmm/acpi.h"
#include "tools/iolane-vmm/cpu.h"
#include "tools/iolane-vmm/layout.h"
#include "tools/iolane-vmm/pci_host.h"
#include "tools/iolane-vmm/serial.h"
#include "tools/iolane-vmm/terminal.h"

/* ---- the serial port ---- */

struct line {
	bool up;
	unsigned int drained, sent;
	uint8_t last;
};

static void interrupt(void *ctx, bool up)
{
	((struct line *)ctx)->up = up;
}

static void send(void *ctx, uint8_t byte)
{
	((struct line *)ctx)->last = byte;
	((struct line *)ctx)->sent++;
}

static void drained(void *ctx)
{
	((struct line *)ctx)->drained++;
}

static const struct serial_ops ops = { interrupt, send, drained };

static void test_serial(void **state)
{
	static const uint8_t text[SERIAL_FIFO + 1] = "0123456789abcdefg";
	struct line line = { 0 };
	struct serial s;
	unsigned int i;

	serial_init(&s, &ops, &line);
	/* What Linux tries, to know it for a 16550A. */
	serial_write(&s, UART_SCR, 0x5a);
	assert_int_equal(serial_read(&s, UART_SCR), 0x5a);
	serial_write(&s, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
	assert_int_equal(serial_read(&s, UART_MSR) & 0xf0, 0x90);
	serial_write(&s, UART_FCR, UART_FCR_ENABLE_FIFO);
	assert_int_equal(serial_read(&s, UART_IIR) >> 6, 3);
	serial_write(&s, UART_LCR, UART_LCR_DLAB);
	serial_write(&s, UART_DLL, 1);
	assert_int_equal(serial_read(&s, UART_DLL), 1);
	serial_write(&s, UART_LCR, UART_LCR_WLEN8);

	/* In a loop nothing goes out. */
	serial_write(&s, UART_TX, 'l');
	assert_int_equal(line.sent, 0);
	assert_int_equal(serial_read(&s, UART_RX), 'l');

	/* Room to send is told once, and again after each byte or when asked anew. */
	serial_write(&s, UART_MCR, UART_MCR_OUT2);
	serial_write(&s, UART_IER, UART_IER_THRI);
	assert_true(line.up);
	assert_int_equal(serial_read(&s, UART_IIR) & 0xf, UART_IIR_THRI);
	assert_false(line.up);
	assert_int_equal(serial_read(&s, UART_IIR) & 0xf, UART_IIR_NO_INT);
	serial_write(&s, UART_TX, 'x');
	assert_true(line.up && line.sent == 1 && line.last == 'x');
	serial_read(&s, UART_IIR);
	serial_write(&s, UART_IER, 0);
	serial_write(&s, UART_IER, UART_IER_THRI);
	assert_true(line.up);

	/* What is received is more urgent; what does not fit is lost. */
	serial_write(&s, UART_IER, UART_IER_RDI | UART_IER_THRI);
	assert_int_equal(serial_room(&s), SERIAL_FIFO);
	serial_receive(&s, text, sizeof(text));
	assert_int_equal(serial_room(&s), 0);
	assert_int_equal(serial_read(&s, UART_IIR) & 0xf, UART_IIR_RDI);
	line.drained = 0;
	for (i = 0; i < SERIAL_FIFO; i++) {
		assert_int_equal(line.drained, 0);
		assert_true(serial_read(&s, UART_LSR) & UART_LSR_DR);
		assert_int_equal(serial_read(&s, UART_RX), text[i]);
	}
	assert_int_equal(line.drained, 1);
	assert_false(serial_read(&s, UART_LSR) & UART_LSR_DR);
	serial_read(&s, UART_IIR);
	assert_false(line.up);

	serial_break(&s);
	assert_true(line.up && serial_read(&s, UART_LSR) & UART_LSR_BI);
	assert_int_equal(serial_read(&s, UART_RX), 0);
	assert_false(line.up);

	/* Without its FIFO it holds one byte; without OUT2 it interrupts nobody. */
	serial_write(&s, UART_FCR, 0);
	assert_int_equal(serial_room(&s), 1);
	serial_receive(&s, text, 1);
	assert_true(line.up);
	serial_write(&s, UART_MCR, 0);
	assert_false(line.up);
	serial_reset(&s);
	assert_int_equal(serial_read(&s, UART_IER), 0);
	assert_int_equal(serial_read(&s, UART_LSR), UART_LSR_TEMT | UART_LSR_THRE);
}

static size_t filtered(struct terminal *t, const char *typed, enum terminal_key key,
		       const char *left)
{
	uint8_t bytes[16];
	size_t len;

	for (len = 0; typed[len]; len++)
		bytes[len] = (uint8_t)typed[len];
	assert_int_equal(terminal_filter(t, bytes, &len), key);
	assert_int_equal(len, strlen(left));
	assert_memory_equal(bytes, left, len);
	return len;
}

static void test_keys(void **state)
{
	struct terminal t = { .tty = true };

	filtered(&t, "ab", TERMINAL_NOTHING, "ab");
	filtered(&t, "a\1", TERMINAL_NOTHING, "a");
	filtered(&t, "xb", TERMINAL_QUIT, "b");
	filtered(&t, "\1\1x", TERMINAL_NOTHING, "\1x");
	filtered(&t, "\1B", TERMINAL_BREAK, "");
	filtered(&t, "\1?", TERMINAL_HELP, "");
	filtered(&t, "\1x\1h", TERMINAL_QUIT, "");
	/* What is no terminal has no keys. */
	t.tty = false;
	filtered(&t, "\1x", TERMINAL_NOTHING, "\1x");
}

/* ---- ACPI ---- */

static uint32_t pin(unsigned int slot, unsigned int number)
{
	return 16 + (slot + number) % 8;
}

static uint64_t number(const uint8_t *p, size_t len)
{
	uint64_t value = 0;

	memcpy(&value, p, len);
	return value;
}

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t total = 0;

	while (len--)
		total = (uint8_t)(total + *p++);
	return total;
}

/* A table, whole and sound; and for who wants to have it disassembled, a file. */
static const uint8_t *table(const uint8_t *room, uint64_t addr, const char *signature)
{
	const uint8_t *t = room + (addr - ACPI_ADDR);
	const char *folder = getenv("IOLANE_ACPI_FOLDER");

	assert_in_range(addr, ACPI_ADDR, ACPI_ADDR + ACPI_ROOM - 36);
	assert_memory_equal(t, signature, 4);
	assert_in_range(number(t + 4, 4), 36, ACPI_ROOM - (addr - ACPI_ADDR));
	assert_int_equal(sum(t, number(t + 4, 4)), 0);
	if (folder) {
		char path[256];
		FILE *file;

		snprintf(path, sizeof(path), "%s/%s.aml", folder, signature);
		file = fopen(path, "w");
		assert_non_null(file);
		fwrite(t, 1, number(t + 4, 4), file);
		fclose(file);
	}
	return t;
}

static void test_acpi(void **state)
{
	struct acpi_spec spec = { 254, 32, 4ull << 30, 1ull << 39, pin };
	uint8_t *room = calloc(1, ACPI_ROOM);
	const uint8_t *rsdp, *xsdt, *fadt, *madt, *mcfg;
	uint64_t addr;

	assert_non_null(room);
	assert_int_equal(acpi_write(&spec, room, ACPI_ROOM, ACPI_ADDR, &addr), 0);
	rsdp = room + (addr - ACPI_ADDR);
	assert_memory_equal(rsdp, "RSD PTR ", 8);
	/* Kernels that are not told look for it at multiples of 16. */
	assert_int_equal(addr % 16, 0);
	assert_int_equal(sum(rsdp, 20), 0);
	assert_int_equal(sum(rsdp, 36), 0);
	xsdt = table(room, number(rsdp + 24, 8), "XSDT");
	assert_int_equal(number(xsdt + 4, 4), 36 + 3 * 8);
	fadt = table(room, number(xsdt + 36, 8), "FACP");
	madt = table(room, number(xsdt + 44, 8), "APIC");
	mcfg = table(room, number(xsdt + 52, 8), "MCFG");
	table(room, number(fadt + 140, 8), "DSDT");
	/* Reduced hardware, with a register to reset and one to sleep (5.2.9). */
	assert_int_equal(number(fadt + 4, 4), 276);
	assert_true(number(fadt + 112, 4) & 1u << 20);
	assert_int_equal(number(fadt + 120, 8), RESET_PORT);
	assert_int_equal(fadt[128], RESET_VALUE);
	assert_int_equal(number(fadt + 248, 8), SLEEP_CONTROL_PORT);
	assert_int_equal(number(madt + 4, 4), 44 + 254 * 8 + 12 + 6);
	assert_int_equal(madt[44 + 253 * 8 + 3], 253);
	assert_int_equal(number(mcfg + 44, 8), ECAM_ADDR);

	assert_int_equal(acpi_write(&spec, room, 1000, ACPI_ADDR, &addr), -28);
	free(room);
}

/* ---- processors ---- */

static const struct kvm_cpuid_entry2 *leaf(const struct kvm_cpuid2 *cpuid, uint32_t function,
					   uint32_t index)
{
	unsigned int i;

	for (i = 0; i < cpuid->nent; i++) {
		if (cpuid->entries[i].function == function && cpuid->entries[i].index == index)
			return &cpuid->entries[i];
	}
	fail_msg("no leaf %x.%u", function, index);
	return NULL;
}

static void test_cpuid(void **state)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));
	unsigned int i;

	assert_non_null(cpuid);
	cpuid->nent = 4;
	cpuid->entries[0] = (struct kvm_cpuid_entry2){ .function = 1, .ebx = 0x05100800 };
	cpuid->entries[1] = (struct kvm_cpuid_entry2){ .function = 0xb };
	cpuid->entries[2] = (struct kvm_cpuid_entry2){ .function = 0x80000008, .eax = 0x3028 };
	cpuid->entries[3] = (struct kvm_cpuid_entry2){ .function = 4, .index = 3, .eax = 0x163 };
	assert_int_equal(cpuid_address_bits(cpuid), 40);
	for (i = 0; i < 3; i++)
		cpuid_place(cpuid, i, 3, true);
	/* It was of another, before: nothing of that is left. */
	assert_int_equal(cpuid->nent, 5);
	assert_int_equal(leaf(cpuid, 1, 0)->ebx, 0x02030800);
	assert_true(leaf(cpuid, 1, 0)->ecx & 1u << 24);
	assert_int_equal(leaf(cpuid, 0xb, 0)->ecx, 0x100);
	assert_int_equal(leaf(cpuid, 0xb, 1)->ecx, 0x201);
	assert_int_equal(leaf(cpuid, 0xb, 1)->eax, 2);
	assert_int_equal(leaf(cpuid, 0xb, 1)->ebx, 3);
	assert_int_equal(leaf(cpuid, 0xb, 1)->edx, 2);
	assert_int_equal(leaf(cpuid, 0x80000008, 0)->ecx, 2 << 12 | 2);
	assert_int_equal(leaf(cpuid, 4, 3)->eax, 0x163 | 3 << 14 | 3 << 26);
	free(cpuid);
}

/* ---- the bus ---- */

static uint32_t config(struct pci_host *host, unsigned int devfn, unsigned int off,
		       unsigned int len)
{
	uint32_t address = 0x80000000 | devfn << 8 | (off & 0xfc), io = 0, ecam = 0;

	assert_true(pci_host_ports(host, CONFIG_ADDR_PORT, (uint8_t *)&address, 4, true));
	assert_true(pci_host_ports(host, (uint16_t)(CONFIG_DATA_PORT + off % 4), (uint8_t *)&io,
				   len, false));
	assert_true(pci_host_memory(host, ECAM_ADDR + (devfn << 12) + off, (uint8_t *)&ecam, len,
				    false));
	assert_int_equal(io, ecam);
	return ecam;
}

static void test_bus(void **state)
{
	struct pci_host host;
	uint64_t data = 0;

	assert_int_equal(pci_host_init(&host, 6ull << 30, 40), 0);
	assert_true(host.window == 6ull << 30);
	assert_true(host.window_end == 1ull << 40 || host.window_end == HYPERTRANSPORT_ADDR);
	assert_int_equal(config(&host, 0, 0, 4), 0x00081b36);
	assert_int_equal(config(&host, 0, 0xa, 2), 0x0600);
	assert_int_equal(config(&host, 0, 0x40, 4), 0);
	/* Nobody there: other functions, other slots, and widths that there are not. */
	assert_int_equal(config(&host, 1, 0, 4), UINT32_MAX);
	assert_int_equal(config(&host, 8, 0, 2), 0xffff);
	assert_true(pci_host_memory(&host, ECAM_ADDR, (uint8_t *)&data, 8, false));
	assert_true(data == UINT64_MAX);
	assert_false(pci_host_memory(&host, PCI_WINDOW_ADDR, (uint8_t *)&data, 4, false));
	assert_false(pci_host_ports(&host, 0x80, (uint8_t *)&data, 1, false));
	/* The last function of the bus, its last bytes. */
	assert_true(pci_host_memory(&host, ECAM_ADDR + ECAM_SIZE - 4, (uint8_t *)&data, 4, false));

	assert_int_equal(pci_host_init(&host, 65ull << 30, 36), -28);
	assert_non_null(strstr(iol_error(), "36 bits"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_serial), cmocka_unit_test(test_keys),
		cmocka_unit_test(test_acpi),   cmocka_unit_test(test_cpuid),
		cmocka_unit_test(test_bus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
