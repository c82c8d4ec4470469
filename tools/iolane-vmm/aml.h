/* SPDX-License-Identifier: BSD-3-Clause */
/* Writes ACPI Machine Language (ACPI 6.5, 20.2), as much of it as this machine's tables need. */
#ifndef IOLANE_VMM_AML_H
#define IOLANE_VMM_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** struct aml - Where it goes. What does not fit into @room sets @full, and is not written. */
struct aml {
	uint8_t *buf;
	size_t len, room;
	bool full;
};

void aml_bytes(struct aml *aml, const void *bytes, size_t len);

/* What has a beginning and an end: each returns what aml_end() wants. */
size_t aml_scope(struct aml *aml, const char *path);
size_t aml_device(struct aml *aml, const char *name);
size_t aml_package(struct aml *aml, uint8_t elements);
void aml_end(struct aml *aml, size_t begin);

/** aml_name() - The name of the value that comes next. */
void aml_name(struct aml *aml, const char *name);
void aml_integer(struct aml *aml, uint64_t value);

/** aml_eisa_id() - Such as "PNP0501", which an integer stands for. */
void aml_eisa_id(struct aml *aml, const char *id);

/* Resources of a device (6.4), between aml_resources() and aml_resources_end(). */
size_t aml_resources(struct aml *aml);
void aml_resources_end(struct aml *aml, size_t begin);
void aml_fixed_ports(struct aml *aml, uint16_t port, uint8_t count);
void aml_fixed_memory(struct aml *aml, uint32_t addr, uint32_t size);
void aml_edge_irq(struct aml *aml, uint32_t gsi);
/* Windows of a bridge. */
void aml_bus_window(struct aml *aml, uint16_t first, uint16_t count);
void aml_port_window(struct aml *aml, uint16_t first, uint16_t count);
void aml_memory_window(struct aml *aml, uint64_t addr, uint64_t size);

#endif
