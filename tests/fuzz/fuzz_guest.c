/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest, and a device, that do what they like. The first bytes choose a real device's configuration space, what the kernel behind
 * it can do, and changes of single bytes; then come accesses, interrupts and resets. What the guest may never change in the device stays
 * as it was; what it reaches without exits is its BARs' and never MSI-X's table; and nothing is left at the end.
 */
#include "tests/unit/machine.h"
#include "tests/unit/pci_samples.h"
#include "tests/unit/vfio_kernel.h"
#include "vfio/config.h"
#include "vfio/host.h"
#include "vmm-glue/msix.h"
#include "vmm-glue/pci_function.h"

#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

static void demand(bool good)
{
	if (!good)
		abort();
}

/* Bytes to come; zeroes behind the last. */
struct input {
	const uint8_t *at, *end;
};

static uint8_t byte(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static uint32_t word(struct input *in)
{
	uint32_t value = byte(in);

	value |= (uint32_t)byte(in) << 8;
	value |= (uint32_t)byte(in) << 16;
	return value | (uint32_t)byte(in) << 24;
}

struct guest {
	struct iol_pci_function *fn;
	struct machine machine;
	uint8_t config[IOL_PCI_CONFIG];
	unsigned int msi, msix; /* capabilities */
};

/* Whether a map is a part of a BAR that is none of MSI-X's table. */
static bool is_part(const struct guest *g, const struct machine_map *m, unsigned int bar)
{
	const struct pci_function_bar *b = &g->fn->bars[bar];
	uint64_t table = b->gpa + (g->fn->msix_table & ~7u);

	if (!b->decodes || m->gpa < b->gpa || m->gpa + m->size > b->gpa + b->bar.size)
		return false;
	return !g->fn->msix || (g->fn->msix_table & 7) != bar || m->gpa + m->size <= table ||
	       m->gpa >= table + 16ull * msix_vectors(g->fn->msix);
}

static void check_maps(const struct guest *g)
{
	for (unsigned int i = 0; i < MACHINE_MAPS; i++) {
		bool found = !g->machine.maps[i].size;

		/* The guest may have put one over another. */
		for (unsigned int j = 0; j < PCI_FUNCTION_BARS && !found; j++)
			found = is_part(g, &g->machine.maps[i], j);
		demand(found);
	}
}

/* Its ids, the host's BARs, and the table. */
static void check_device(struct guest *g)
{
	struct iol_vfio_device *dev = iol_passthrough_device(g->fn);
	uint8_t now[PCI_STD_HEADER_SIZEOF], table[16];

	demand(!iol_vfio_region_read(dev, IOL_REGION_CONFIG, 0, now, sizeof(now)));
	demand(!memcmp(now, g->config, PCI_COMMAND));
	demand(!memcmp(now + PCI_CLASS_REVISION, g->config + PCI_CLASS_REVISION,
		       sizeof(now) - PCI_CLASS_REVISION));
	for (unsigned int i = 0; g->fn->msix && i < msix_vectors(g->fn->msix); i++) {
		uint64_t off = (g->fn->msix_table & ~7u) + 16 * i;

		demand(!iol_vfio_region_read(dev, g->fn->msix_table & 7, off, table, 16));
		for (unsigned int j = 0; j < sizeof(table); j++)
			demand(!table[j]);
	}
}

static uint64_t somewhere(struct input *in)
{
	static const uint64_t places[] = { 0,           0x1000,     0xc000,     0xfff00000,
					   UINT32_MAX,  1ull << 31, 1ull << 32, 1ull << 40,
					   1ull << 63,  UINT64_MAX, 0xe0000000, 0xe0001000,
					   0xe000000000 };

	return places[byte(in) % (sizeof(places) / sizeof(places[0]))] + byte(in) * 0x1000ull;
}

static void access_bar(struct guest *g, struct input *in, bool write)
{
	const struct pci_function_bar *b = &g->fn->bars[byte(in) % PCI_FUNCTION_BARS];
	unsigned int len = 1u << byte(in) % 4;
	uint64_t off = word(in), data = word(in), gpa = b->decodes ? b->gpa : somewhere(in);

	if (b->bar.size && byte(in) % 8)
		off &= b->bar.size - 1;
	if (b->bar.io)
		iol_pci_io(g->fn, (uint16_t)(gpa + off), &data, len, write);
	else
		iol_pci_mmio(g->fn, gpa + off, &data, len, write);
}

/* A vector's entry, as a guest programs it. */
static void program(struct guest *g, struct input *in)
{
	uint32_t entry[4] = { word(in), word(in), word(in), byte(in) };
	unsigned int vector = byte(in);
	const struct pci_function_bar *b;

	if (!g->fn->msix)
		return;
	b = &g->fn->bars[g->fn->msix_table & 7];
	for (unsigned int i = 0; i < 4 && b->decodes; i++)
		iol_pci_mmio(g->fn, b->gpa + (g->fn->msix_table & ~7u) + 16 * vector + 4 * i,
			     &entry[i], 4, true);
}

static void place(struct guest *g, struct input *in)
{
	unsigned int index = byte(in) % PCI_FUNCTION_BARS;
	unsigned int at = index == 6 ? PCI_ROM_ADDRESS : PCI_BASE_ADDRESS_0 + 4 * index;
	uint64_t gpa = somewhere(in);

	iol_pci_config_write(g->fn, at, 4, (uint32_t)gpa | (index == 6));
	if (g->fn->bars[index].bar.is_64)
		iol_pci_config_write(g->fn, at + 4, 4, (uint32_t)(gpa >> 32));
}

static void step(struct guest *g, struct input *in)
{
	uint8_t what = byte(in);
	unsigned int cap = what & 0x80 ? g->msi : g->msix;

	switch (what & 0xf) {
	case 0:
		iol_pci_config_read(g->fn, word(in) & 0x1fff, byte(in) % 6);
		break;
	case 1:
		iol_pci_config_write(g->fn, word(in) & 0x1fff, byte(in) % 6, word(in));
		break;
	case 2:
		place(g, in);
		break;
	case 3:
		iol_pci_config_write(g->fn, PCI_COMMAND, 2, word(in));
		break;
	case 4:
	case 5:
		access_bar(g, in, what & 1);
		break;
	case 6:
		if (cap)
			iol_pci_config_write(g->fn, cap + 2, 2, word(in));
		break;
	case 7:
		program(g, in);
		break;
	case 8:
		fake_interrupt(byte(in));
		break;
	case 9:
		machine_run(&g->machine);
		break;
	case 10:
		machine_end_of_interrupt(&g->machine);
		fake_line(byte(in) & 1);
		break;
	case 11:
		fake.no_reset = byte(in) & 1;
		iol_pci_function_reset(g->fn);
		break;
	case 12:
		g->machine.no_routes = what & 0x10;
		g->machine.no_maps = what & 0x20;
		break;
	case 13:
		if (fake.error >= 0)
			eventfd_write(fake.error, 1);
		iol_pci_function_poll(g->fn);
		break;
	case 14:
		iol_pci_config_write(g->fn, (what & 0x80 ? g->msi : 0x40) + byte(in), 4, word(in));
		break;
	default:
		for (unsigned int off = 0; off < IOL_PCI_CONFIG; off += 4)
			iol_pci_config_read(g->fn, off, 4);
	}
}

static void begin(struct guest *g, struct input *in)
{
	const struct pci_sample *s = &pci_samples[byte(in) % PCI_SAMPLES];
	unsigned int changes;

	fake_new();
	machine_begin(&g->machine);
	pci_sample_plug(s, g->config);
	fake.dynamic = byte(in) & 1;
	fake.vectors_left = byte(in);
	for (changes = byte(in) % 8; changes; changes--) {
		uint32_t at = word(in) % s->size;

		g->config[at] = byte(in);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct host_tree tree;
	static struct guest g;
	struct input in = { data, data + size };
	struct iol_context_spec context = { .kind = IOL_CONTEXT_TYPE1 };
	struct iol_passthrough_spec spec = {
		.ops = &machine_ops, .vm = &g.machine, .slot = 3, .no_map = size % 16 == 1
	};

	if (!tree.host)
		fake_begin(&tree);
	begin(&g, &in);
	demand(!iol_context_new(tree.host, &context, &spec.ctx));
	spec.device.addr = tree_addr(FAKE_DEVICE);
	if (!iol_passthrough_new(&spec, &g.fn)) {
		g.msi = (unsigned int)iol_config_cap(g.fn->config, PCI_CFG_SPACE_SIZE,
						     PCI_CAP_ID_MSI);
		g.msix = g.fn->msix_cap;
		while (in.at < in.end) {
			step(&g, &in);
			check_maps(&g);
		}
		check_device(&g);
	}
	iol_pci_function_destroy(&g.fn);
	iol_context_destroy(&spec.ctx);
	machine_end(&g.machine);
	demand(!fake.num_maps && !fake.groups);
	return 0;
}

/* The devices as they are, each with a guest that boots, uses it, and shuts down. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	/* Sizes all, places each, enables, MSI-X on, a vector, an interrupt that is delivered, reset. */
	static const uint8_t boot[] = {
		0,    0, 0,  0, 15, 2, 0, 10, 0,    2,  2, 7, 0, 2,    4,    8, 0, 2,  6, 10,
		64,   3, 7,  4, 0,  0, 6, 0,  0xc0, 0,  0, 6, 0, 0x80, 0,    0, 7, 0,  0, 0xe0,
		0xfe, 0, 0,  0, 0,  1, 0, 0,  0,    0,  1, 8, 1, 9,    0x86, 1, 0, 0,  0, 8,
		0,    9, 10, 1, 9,  4, 0, 2,  0,    16, 0, 0, 0, 0,    0,    0, 1, 11, 0,
	};

	if (seed % 16 || max_size < sizeof(boot))
		return LLVMFuzzerMutate(data, size, max_size);
	memcpy(data, boot, sizeof(boot));
	data[0] = (uint8_t)(seed / 16 % PCI_SAMPLES);
	data[1] = (uint8_t)(seed / 256);
	return LLVMFuzzerMutate(data, sizeof(boot), max_size);
}
