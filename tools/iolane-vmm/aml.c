/* SPDX-License-Identifier: BSD-3-Clause */
#include "aml.h"

#include <string.h>

enum {
	ZERO_OP = 0x00,
	NAME_OP = 0x08,
	DWORD_PREFIX = 0x0c,
	QWORD_PREFIX = 0x0e,
	SCOPE_OP = 0x10,
	BUFFER_OP = 0x11,
	PACKAGE_OP = 0x12,
	EXT_OP = 0x5b,
	EXT_DEVICE_OP = 0x82,
};

/* Lengths of packages are written in three bytes, and those of resources in a DWord, however small. */
#define PACKAGE_LENGTH 3u

void aml_bytes(struct aml *aml, const void *bytes, size_t len)
{
	if (aml->full || len > aml->room - aml->len) {
		aml->full = true;
		return;
	}
	memcpy(aml->buf + aml->len, bytes, len);
	aml->len += len;
}

static void byte(struct aml *aml, uint8_t value)
{
	aml_bytes(aml, &value, 1);
}

/* Little-endian. */
static void number(struct aml *aml, uint64_t value, size_t len)
{
	aml_bytes(aml, &value, len);
}

static size_t begin_package(struct aml *aml)
{
	size_t begin = aml->len;

	number(aml, 0, PACKAGE_LENGTH);
	return begin;
}

void aml_end(struct aml *aml, size_t begin)
{
	size_t len = aml->len - begin;

	if (aml->full)
		return;
	aml->buf[begin] = (uint8_t)(0x80 | (len & 0xf));
	aml->buf[begin + 1] = (uint8_t)(len >> 4);
	aml->buf[begin + 2] = (uint8_t)(len >> 12);
}

size_t aml_scope(struct aml *aml, const char *path)
{
	size_t begin;

	byte(aml, SCOPE_OP);
	begin = begin_package(aml);
	aml_bytes(aml, path, strlen(path));
	return begin;
}

size_t aml_device(struct aml *aml, const char *name)
{
	size_t begin;

	byte(aml, EXT_OP);
	byte(aml, EXT_DEVICE_OP);
	begin = begin_package(aml);
	aml_bytes(aml, name, strlen(name));
	return begin;
}

size_t aml_package(struct aml *aml, uint8_t elements)
{
	size_t begin;

	byte(aml, PACKAGE_OP);
	begin = begin_package(aml);
	byte(aml, elements);
	return begin;
}

void aml_name(struct aml *aml, const char *name)
{
	byte(aml, NAME_OP);
	aml_bytes(aml, name, strlen(name));
}

void aml_integer(struct aml *aml, uint64_t value)
{
	if (!value) {
		byte(aml, ZERO_OP);
	} else if (value <= UINT32_MAX) {
		byte(aml, DWORD_PREFIX);
		number(aml, value, 4);
	} else {
		byte(aml, QWORD_PREFIX);
		number(aml, value, 8);
	}
}

static unsigned int hex_digit(char c)
{
	return (unsigned int)(c <= '9' ? c - '0' : c - 'A' + 10);
}

void aml_eisa_id(struct aml *aml, const char *id)
{
	uint32_t value = (((unsigned int)id[0] - 0x40) << 26) |
			 (((unsigned int)id[1] - 0x40) << 21) |
			 (((unsigned int)id[2] - 0x40) << 16) | (hex_digit(id[3]) << 12) |
			 (hex_digit(id[4]) << 8) | (hex_digit(id[5]) << 4) | hex_digit(id[6]);

	byte(aml, DWORD_PREFIX);
	number(aml, __builtin_bswap32(value), 4);
}

/* A buffer: its package, its size as a DWord, its bytes. */
#define RESOURCES_AT (PACKAGE_LENGTH + 1 + 4)

size_t aml_resources(struct aml *aml)
{
	size_t begin;

	byte(aml, BUFFER_OP);
	begin = begin_package(aml);
	byte(aml, DWORD_PREFIX);
	number(aml, 0, 4);
	return begin;
}

void aml_resources_end(struct aml *aml, size_t begin)
{
	static const uint8_t end_tag[] = { 0x79, 0 };
	uint32_t size;

	aml_bytes(aml, end_tag, sizeof(end_tag));
	if (aml->full)
		return;
	size = (uint32_t)(aml->len - begin - RESOURCES_AT);
	memcpy(aml->buf + begin + PACKAGE_LENGTH + 1, &size, sizeof(size));
	aml_end(aml, begin);
}

void aml_fixed_ports(struct aml *aml, uint16_t port, uint8_t count)
{
	byte(aml, 0x47); /* I/O port descriptor, 16-bit decode */
	byte(aml, 1);
	number(aml, port, 2);
	number(aml, port, 2);
	byte(aml, 1);
	byte(aml, count);
}

void aml_fixed_memory(struct aml *aml, uint32_t addr, uint32_t size)
{
	byte(aml, 0x86); /* 32-bit fixed memory, writable */
	number(aml, 9, 2);
	byte(aml, 1);
	number(aml, addr, 4);
	number(aml, size, 4);
}

void aml_edge_irq(struct aml *aml, uint32_t gsi)
{
	byte(aml, 0x89); /* extended interrupt: consumer, edge, active high, not shared */
	number(aml, 6, 2);
	byte(aml, 3);
	byte(aml, 1);
	number(aml, gsi, 4);
}

enum { WINDOW_MEMORY, WINDOW_PORTS, WINDOW_BUSES };

/* An address space descriptor with both ends fixed; @width: bytes of each number. */
static void window(struct aml *aml, uint8_t tag, uint8_t type, uint8_t flags, uint64_t first,
		   uint64_t count, size_t width)
{
	byte(aml, tag);
	number(aml, 3 + 5 * width, 2);
	byte(aml, type);
	byte(aml, 0x0c);
	byte(aml, flags);
	number(aml, 0, width);
	number(aml, first, width);
	number(aml, first + count - 1, width);
	number(aml, 0, width);
	number(aml, count, width);
}

void aml_bus_window(struct aml *aml, uint16_t first, uint16_t count)
{
	window(aml, 0x88, WINDOW_BUSES, 0, first, count, 2);
}

void aml_port_window(struct aml *aml, uint16_t first, uint16_t count)
{
	window(aml, 0x88, WINDOW_PORTS, 3, first, count, 2);
}

/* Not prefetchable, so that BARs of both kinds may lie in it. */
void aml_memory_window(struct aml *aml, uint64_t addr, uint64_t size)
{
	if (addr + size <= 1ull << 32)
		window(aml, 0x87, WINDOW_MEMORY, 1, addr, size, 4);
	else
		window(aml, 0x8a, WINDOW_MEMORY, 1, addr, size, 8);
}
