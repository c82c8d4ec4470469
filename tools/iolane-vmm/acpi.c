/* SPDX-License-Identifier: BSD-3-Clause */
#include "acpi.h"

#include "aml.h"
#include "base/error.h"
#include "layout.h"

#include <string.h>

#define PACKED __attribute__((packed))

struct PACKED header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char oem[6], oem_table[8];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
};

/* 5.2.3.2 */
struct PACKED address {
	uint8_t space, bits, offset, access;
	uint64_t addr;
};

struct PACKED rsdp {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt, length;
	uint64_t xsdt;
	uint8_t ext_checksum, reserved[3];
};

/* 5.2.9; what is not named is for hardware that is not there. */
struct PACKED fadt {
	struct header header;
	uint8_t unused[109 - 36];
	uint16_t boot_arch;
	uint8_t reserved;
	uint32_t flags;
	struct address reset;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor;
	uint64_t x_firmware, x_dsdt;
	struct address unused_blocks[8];
	struct address sleep_control, sleep_status;
	uint64_t hypervisor;
};

#define FADT_WBINVD          (1u << 0)
#define FADT_NO_POWER_BUTTON (1u << 4)
#define FADT_NO_SLEEP_BUTTON (1u << 5)
#define FADT_RESET           (1u << 10)
#define FADT_REDUCED         (1u << 20)
#define FADT_NO_VGA          (1u << 2)
#define FADT_NO_RTC          (1u << 5)

struct PACKED madt {
	struct header header;
	uint32_t lapic, flags;
};

struct PACKED madt_cpu {
	uint8_t type, length, uid, id;
	uint32_t flags;
};

struct PACKED madt_ioapic {
	uint8_t type, length, id, reserved;
	uint32_t addr, gsi_base;
};

struct PACKED madt_nmi {
	uint8_t type, length, uid;
	uint16_t flags;
	uint8_t lint;
};

struct PACKED mcfg {
	struct header header;
	uint64_t reserved;
	uint64_t addr;
	uint16_t segment;
	uint8_t first_bus, last_bus;
	uint32_t reserved2;
};

static struct address port(uint16_t number)
{
	return (struct address){ .space = 1, .bits = 8, .access = 1, .addr = number };
}

static uint8_t checksum(const void *table, size_t len)
{
	const uint8_t *p = table;
	uint8_t sum = 0;

	while (len--)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

static struct header header(const char *signature, uint8_t revision)
{
	struct header h = { .revision = revision, .oem_revision = 1, .creator_revision = 1 };

	memcpy(h.signature, signature, sizeof(h.signature));
	memcpy(h.oem, "IOLANE", sizeof(h.oem));
	memcpy(h.oem_table, "IOLANE  ", sizeof(h.oem_table));
	memcpy(h.creator, "IOLN", sizeof(h.creator));
	return h;
}

/* Tables begin at multiples of 16. Return: where this one begins. */
static size_t begin(struct aml *out, const void *head, size_t len)
{
	static const uint8_t zeroes[16];
	size_t at;

	aml_bytes(out, zeroes, -out->len & 15);
	at = out->len;
	aml_bytes(out, head, len);
	return at;
}

static void finish(struct aml *out, size_t at)
{
	struct header *h = (void *)(out->buf + at);

	if (out->full)
		return;
	h->length = (uint32_t)(out->len - at);
	h->checksum = 0;
	h->checksum = checksum(h, h->length);
}

static void write_pins(struct aml *out, const struct acpi_spec *spec)
{
	unsigned int slot, pin;
	size_t all, one;

	aml_name(out, "_PRT");
	all = aml_package(out, (uint8_t)(spec->slots * 4));
	for (slot = 0; slot < spec->slots; slot++) {
		for (pin = 0; pin < 4; pin++) {
			one = aml_package(out, 4);
			aml_integer(out, slot << 16 | 0xffff);
			aml_integer(out, pin);
			aml_integer(out, 0);
			aml_integer(out, spec->pin(slot, pin));
			aml_end(out, one);
		}
	}
	aml_end(out, all);
}

static void write_pci(struct aml *out, const struct acpi_spec *spec)
{
	size_t device = aml_device(out, "PCI0"), resources;

	aml_name(out, "_HID");
	aml_eisa_id(out, "PNP0A08");
	aml_name(out, "_CID");
	aml_eisa_id(out, "PNP0A03");
	aml_name(out, "_UID");
	aml_integer(out, 0);
	aml_name(out, "_CRS");
	resources = aml_resources(out);
	aml_bus_window(out, 0, 1);
	aml_fixed_ports(out, CONFIG_ADDR_PORT, 8);
	aml_port_window(out, PCI_IO_PORTS, PCI_IO_COUNT);
	aml_memory_window(out, PCI_WINDOW_ADDR, PCI_WINDOW_SIZE);
	if (spec->window_size)
		aml_memory_window(out, spec->window, spec->window_size);
	aml_resources_end(out, resources);
	write_pins(out, spec);
	aml_end(out, device);
}

/* What no driver is to take. */
static void write_board(struct aml *out)
{
	size_t device = aml_device(out, "MBRD"), resources;

	aml_name(out, "_HID");
	aml_eisa_id(out, "PNP0C02");
	aml_name(out, "_CRS");
	resources = aml_resources(out);
	aml_fixed_memory(out, ECAM_ADDR, ECAM_SIZE);
	aml_fixed_ports(out, SLEEP_CONTROL_PORT, 2);
	aml_resources_end(out, resources);
	aml_end(out, device);
}

static void write_serial(struct aml *out)
{
	size_t device = aml_device(out, "COM1"), resources;

	aml_name(out, "_HID");
	aml_eisa_id(out, "PNP0501");
	aml_name(out, "_UID");
	aml_integer(out, 1);
	aml_name(out, "_CRS");
	resources = aml_resources(out);
	aml_fixed_ports(out, COM1_PORT, 8);
	aml_edge_irq(out, COM1_GSI);
	aml_resources_end(out, resources);
	aml_end(out, device);
}

static size_t write_dsdt(struct aml *out, const struct acpi_spec *spec)
{
	struct header h = header("DSDT", 2);
	size_t at = begin(out, &h, sizeof(h)), scope, package;

	scope = aml_scope(out, "\\_SB_");
	write_board(out);
	write_pci(out, spec);
	write_serial(out);
	aml_end(out, scope);
	aml_name(out, "\\_S5_");
	package = aml_package(out, 2);
	aml_integer(out, SLEEP_TYPE_OFF);
	aml_integer(out, 0);
	aml_end(out, package);
	finish(out, at);
	return at;
}

static size_t write_fadt(struct aml *out, uint64_t dsdt)
{
	struct fadt fadt = {
		.header = header("FACP", 6),
		.boot_arch = FADT_NO_VGA | FADT_NO_RTC,
		.flags = FADT_WBINVD | FADT_NO_POWER_BUTTON | FADT_NO_SLEEP_BUTTON | FADT_RESET |
			 FADT_REDUCED,
		.reset = port(RESET_PORT),
		.reset_value = RESET_VALUE,
		.minor = 5,
		.x_dsdt = dsdt,
		.sleep_control = port(SLEEP_CONTROL_PORT),
		.sleep_status = port(SLEEP_STATUS_PORT),
	};
	size_t at = begin(out, &fadt, sizeof(fadt));

	finish(out, at);
	return at;
}

static size_t write_madt(struct aml *out, unsigned int cpus)
{
	struct madt madt = { .header = header("APIC", 5), .lapic = LAPIC_ADDR };
	struct madt_ioapic ioapic = { .type = 1, .length = sizeof(ioapic), .addr = IOAPIC_ADDR };
	struct madt_nmi nmi = { .type = 4, .length = sizeof(nmi), .uid = 0xff, .lint = 1 };
	size_t at = begin(out, &madt, sizeof(madt));
	unsigned int i;

	for (i = 0; i < cpus; i++) {
		struct madt_cpu cpu = { 0, sizeof(cpu), (uint8_t)i, (uint8_t)i, 1 };

		aml_bytes(out, &cpu, sizeof(cpu));
	}
	aml_bytes(out, &ioapic, sizeof(ioapic));
	aml_bytes(out, &nmi, sizeof(nmi));
	finish(out, at);
	return at;
}

static size_t write_mcfg(struct aml *out)
{
	struct mcfg mcfg = { .header = header("MCFG", 1), .addr = ECAM_ADDR };
	size_t at = begin(out, &mcfg, sizeof(mcfg));

	finish(out, at);
	return at;
}

int acpi_write(const struct acpi_spec *spec, uint8_t *buf, size_t room, uint64_t addr,
	       uint64_t *rsdp_addr)
{
	struct aml out = { .buf = buf, .room = room };
	struct rsdp rsdp = { .revision = 2, .length = sizeof(rsdp) };
	struct header xsdt = header("XSDT", 1);
	uint64_t tables[3];
	size_t at;

	tables[0] = addr + write_fadt(&out, addr + write_dsdt(&out, spec));
	tables[1] = addr + write_madt(&out, spec->cpus);
	tables[2] = addr + write_mcfg(&out);
	at = begin(&out, &xsdt, sizeof(xsdt));
	aml_bytes(&out, tables, sizeof(tables));
	finish(&out, at);
	rsdp.xsdt = addr + at;
	memcpy(rsdp.signature, "RSD PTR ", sizeof(rsdp.signature));
	memcpy(rsdp.oem, "IOLANE", sizeof(rsdp.oem));
	rsdp.checksum = checksum(&rsdp, 20);
	rsdp.ext_checksum = checksum(&rsdp, sizeof(rsdp));
	*rsdp_addr = addr + begin(&out, &rsdp, sizeof(rsdp));
	if (out.full)
		return iol_fail(ENOSPC, "the ACPI tables of %u processors do not fit", spec->cpus);
	return 0;
}
