/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/passthrough_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include "tests/unit/open_fds.h"

struct iol_passthrough_spec rig_spec_of(struct rig *r)
{
	return (struct iol_passthrough_spec){
		.ctx = r->ctx,
		.device = { .addr = tree_addr(FAKE_DEVICE) },
		.ops = &machine_ops,
		.vm = &r->machine,
		.slot = 5,
	};
}

void rig_begin(struct rig *r, const struct pci_sample *sample, enum iol_context_kind kind)
{
	struct iol_context_spec spec = { .kind = kind };

	r->ctx = NULL;
	r->fn = NULL;
	r->fds = open_fds();
	fake_begin(&r->tree);
	machine_begin(&r->machine);
	pci_sample_plug(sample, r->config);
	assert_int_equal(iol_context_new(r->tree.host, &spec, &r->ctx), 0);
}

void rig_give(struct rig *r, const char *name)
{
	struct iol_passthrough_spec spec;

	rig_begin(r, pci_sample(name), IOL_CONTEXT_IOMMUFD);
	spec = rig_spec_of(r);
	assert_int_equal(iol_passthrough_new(&spec, &r->fn), 0);
}

void rig_end(struct rig *r)
{
	iol_pci_function_destroy(&r->fn);
	iol_context_destroy(&r->ctx);
	machine_end(&r->machine);
	/* The kernel ends interrupts with the device's descriptor. */
	fake.enabled = 0;
	fake_end(&r->tree);
	assert_int_equal(open_fds(), r->fds);
}

uint32_t rig_get(struct rig *r, unsigned int off, unsigned int len)
{
	return iol_pci_config_read(r->fn, off, len);
}

void rig_put(struct rig *r, unsigned int off, unsigned int len, uint32_t value)
{
	iol_pci_config_write(r->fn, off, len, value);
}

/* What the device itself has. */
uint32_t rig_device_get(struct rig *r, unsigned int off, unsigned int len)
{
	uint32_t value = 0;

	assert_int_equal(iol_vfio_region_read(iol_passthrough_device(r->fn), IOL_REGION_CONFIG, off,
					      &value, len),
			 0);
	return value;
}

void rig_device_put(struct rig *r, unsigned int index, uint64_t off, uint32_t value)
{
	assert_int_equal(iol_vfio_region_write(iol_passthrough_device(r->fn), index, off, &value,
					       sizeof(value)),
			 0);
}

uint32_t rig_mmio32(struct rig *r, uint64_t gpa)
{
	uint32_t value = 0x5a5a5a5a;

	assert_int_equal(iol_pci_mmio(r->fn, gpa, &value, sizeof(value), false), 1);
	return value;
}

void rig_set_mmio32(struct rig *r, uint64_t gpa, uint32_t value)
{
	assert_int_equal(iol_pci_mmio(r->fn, gpa, &value, sizeof(value), true), 1);
}

/* All BARs, one after another, from 1 TiB on where they can, else from 2 GiB. Return: where each is. */
void rig_place(struct rig *r, uint64_t where[7])
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
		rig_put(r, i == 6 ? PCI_ROM_ADDRESS : BAR(i), 4, (uint32_t)where[i] | (i == 6));
		if (bar.is_64)
			rig_put(r, BAR(i + 1), 4, (uint32_t)(where[i] >> 32));
		*next += bar.size;
	}
	rig_put(r, PCI_COMMAND, 2, ON);
}

unsigned int rig_find_cap(struct rig *r, uint8_t id)
{
	unsigned int at = rig_get(r, PCI_CAPABILITY_LIST, 1);

	while (at && rig_get(r, at, 1) != id)
		at = rig_get(r, at + 1, 1);
	assert_true(at);
	return at;
}

uint64_t rig_mapped(const struct machine *m)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < MACHINE_MAPS; i++)
		sum += m->maps[i].size;
	return sum;
}

void rig_program(struct rig *r, uint64_t table, unsigned int vector, uint32_t data)
{
	rig_set_mmio32(r, table + 16 * vector + 12, 1);
	rig_set_mmio32(r, table + 16 * vector, 0xfee00000);
	rig_set_mmio32(r, table + 16 * vector + 8, data);
	rig_set_mmio32(r, table + 16 * vector + 12, 0);
}
