/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hostile guest before a virtio function: a disk, or a NIC with several pairs. The input is a script of accesses, some to
 * registers by name so that it gets far. Behind it is a back end that knows the protocol and works on no chain. What must
 * hold: nothing crashes or blocks, and after a reset of the machine all is as at first.
 */
#include <iolane/base.h>
#include <iolane/vhost_user.h>
#include <iolane/vmm.h>

#include "tests/fuzz/script.h"
#include "tests/unit/machine.h"
#include "vmm-glue/virtio.h"

#include <linux/pci_regs.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEM_SIZE 0x40000ull
#define BAR      0xe0000000ull
#define MSIX     0xe0004000ull
#define PAIRS    3u
#define BIT(n)   (1ull << (n))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct guest {
	uint16_t type;
	char path[64];
	struct iol_device *dev;
	struct iol_server *server;
	struct iol_guest_memory *mem;
	struct iol_pci_function *fn;
	struct machine machine;
	uint8_t config[256];
};

/* ---- the back end ---- */

static int get_config(void *ctx, void *config)
{
	const struct guest *g = ctx;
	const struct virtio_blk_config blk = { .capacity = 8, .num_queues = 4 };
	const struct virtio_net_config net = { .max_virtqueue_pairs = PAIRS, .mtu = 1500 };

	if (g->type == VIRTIO_ID_BLOCK)
		memcpy(config, &blk, 60);
	else
		memcpy(config, &net, 12);
	return 60;
}

static int set_config(void *ctx, uint32_t off, const void *data, uint32_t len)
{
	/* The only byte that a driver has. */
	if (off != offsetof(struct virtio_blk_config, wce) || len != 1)
		abort();
	return 0;
}

static int queue_start(void *ctx, struct iol_queue *q)
{
	return 0;
}

static void queue_stop(void *ctx, struct iol_queue *q)
{
}

static void queue_call(void *ctx, struct iol_queue *q, void (*fn)(void *arg), void *arg)
{
	fn(arg);
}

static void queue_wake(void *ctx, struct iol_queue *q)
{
}

static void serve(struct guest *g)
{
	static const struct iol_device_ops ops = { .get_config = get_config,
						   .set_config = set_config,
						   .queue_start = queue_start,
						   .queue_stop = queue_stop,
						   .queue_call = queue_call,
						   .queue_wake = queue_wake };
	const bool net = g->type == VIRTIO_ID_NET;
	const struct iol_device_spec spec = {
		.name = "fuzz",
		.num_queues = net ? 2 * PAIRS : 4,
		.features = net ? BIT(VIRTIO_NET_F_MQ) | BIT(VIRTIO_NET_F_MTU)
				: BIT(VIRTIO_BLK_F_MQ) | BIT(VIRTIO_BLK_F_CONFIG_WCE),
		.ops = &ops,
		.ctx = g,
	};
	const struct iol_server_spec server = { .path = g->path, .fd = -1 };

	if (iol_device_new(&spec, &g->dev) || iol_server_new(g->dev, &server, &g->server))
		abort();
}

/* ---- accesses ---- */

static void write_at(struct guest *g, uint64_t gpa, unsigned int len, uint64_t value)
{
	iol_pci_mmio(g->fn, gpa, &value, len, true);
}

static void place(struct guest *g)
{
	iol_pci_config_write(g->fn, PCI_BASE_ADDRESS_0, 4, BAR);
	iol_pci_config_write(g->fn, PCI_BASE_ADDRESS_0 + 4, 4, 0);
	iol_pci_config_write(g->fn, PCI_BASE_ADDRESS_0 + 8, 4, MSIX);
	iol_pci_config_write(g->fn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
}

static struct guest *begin(uint16_t type)
{
	static const struct iol_guest_memory_spec memory = { .size = MEM_SIZE };
	struct guest *g = calloc(1, sizeof(*g));
	struct iol_virtio_spec spec = { .type = type, .ops = &machine_ops, .vm = &g->machine };

	if (!g)
		abort();
	g->type = type;
	machine_begin(&g->machine);
	snprintf(g->path, sizeof(g->path), "/tmp/iolane-fuzz-%d-%u", getpid(), type);
	serve(g);
	if (iol_guest_memory_new(&memory, &g->mem))
		abort();
	spec.path = g->path;
	spec.memory = g->mem;
	if (iol_virtio_new(&spec, &g->fn)) {
		fprintf(stderr, "%s\n", iol_error());
		abort();
	}
	/* Nothing but waiting is done here, and nobody stands still meanwhile. */
	virtio_of(g->fn)->fe->rationed = false;
	unlink(g->path);
	for (unsigned int i = 0; i < sizeof(g->config); i++)
		g->config[i] = (uint8_t)iol_pci_config_read(g->fn, i, 1);
	return g;
}

/* The machine has no room for more of anything. */
static void be_poor(struct guest *g, bool poor)
{
	g->machine.no_routes = g->machine.no_bells = poor;
}

static void reset(struct guest *g)
{
	be_poor(g, false);
	if (iol_pci_function_reset(g->fn))
		abort();
	machine_end(&g->machine);
	for (unsigned int i = 0; i < sizeof(g->config); i++)
		if (iol_pci_config_read(g->fn, i, 1) != g->config[i])
			abort();
}

/* A register of the common structure, as wide as it is. */
static void name_register(struct guest *g, struct script *in)
{
	static const uint8_t regs[][2] = {
		{ 0, 4 },  { 8, 4 },  { 12, 4 }, { 16, 2 }, { 20, 1 }, { 22, 2 }, { 24, 2 },
		{ 26, 2 }, { 28, 2 }, { 32, 4 }, { 36, 4 }, { 40, 4 }, { 44, 4 }, { 48, 4 },
		{ 52, 4 }, { 56, 2 }, { 58, 2 }, { 60, 2 }, { 32, 8 }, { 40, 8 }, { 48, 8 },
	};
	const uint8_t *reg = regs[take(in, 1) % (sizeof(regs) / sizeof(regs[0]))];

	write_at(g, BAR + reg[0], reg[1], take(in, reg[1]));
}

/* What a good driver does, up to some queue that runs; @how leaves steps out. */
static void introduce(struct guest *g, uint8_t how)
{
	uint32_t features = (uint32_t)BIT(VIRTIO_NET_F_CTRL_VQ) | (uint32_t)BIT(VIRTIO_NET_F_MQ);

	if (g->type == VIRTIO_ID_BLOCK)
		features = (uint32_t)BIT(VIRTIO_BLK_F_CONFIG_WCE);
	place(g);
	write_at(g, BAR + VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
	write_at(g, BAR + VIRTIO_PCI_COMMON_GF, 4, how & 1 ? features : 0);
	write_at(g, BAR + VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	write_at(g, BAR + VIRTIO_PCI_COMMON_GF, 4, 1 | (how & 2 ? 1u << 2 : 0) | 1u << 8);
	write_at(g, BAR + VIRTIO_PCI_COMMON_STATUS, 1, 11);
	for (unsigned int i = 0; i < 2 * PAIRS + 1; i++) {
		if (how >> 3 & i)
			continue;
		write_at(g, BAR + VIRTIO_PCI_COMMON_Q_SELECT, 2, i);
		write_at(g, BAR + VIRTIO_PCI_COMMON_Q_SIZE, 2, 8);
		write_at(g, BAR + VIRTIO_PCI_COMMON_Q_DESCLO, 8, 0x1000 * i);
		write_at(g, BAR + VIRTIO_PCI_COMMON_Q_AVAILLO, 8, 0x1000 * i + 0x400);
		write_at(g, BAR + VIRTIO_PCI_COMMON_Q_USEDLO, 8, 0x1000 * i + 0x800);
		write_at(g, BAR + VIRTIO_PCI_COMMON_Q_MSIX, 2, i);
		write_at(g, BAR + VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	}
	if (how & 4)
		write_at(g, BAR + VIRTIO_PCI_COMMON_STATUS, 1, 15);
}

/* Somewhere in guest memory: rings of the control queue, perhaps. */
static void poke(struct guest *g, struct script *in)
{
	uint64_t at = take(in, 2) % (MEM_SIZE - 16);
	uint8_t *host = iol_guest_memory_host(g->mem, at, 16);
	unsigned int n = (unsigned int)take(in, 1) % 16;

	while (n--)
		*host++ = (uint8_t)take(in, 1);
}

static void step(struct guest *g, struct script *in)
{
	uint8_t op = (uint8_t)take(in, 1);
	unsigned int len = 1u << (op & 3);
	uint64_t value, at;

	switch (op >> 2) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
		name_register(g, in);
		break;
	case 8:
		introduce(g, (uint8_t)take(in, 1));
		break;
	case 9:
		at = BAR + take(in, 2) % 0x6000;
		write_at(g, at, len, take(in, len));
		break;
	case 10:
		value = 0;
		iol_pci_mmio(g->fn, BAR + take(in, 2) % 0x6000, &value, len, false);
		break;
	case 11:
		at = MSIX + take(in, 1) * 4;
		write_at(g, at, 4, take(in, 4));
		break;
	case 12:
		/* Two bytes, as some accesses of configuration space are askew. */
		at = take(in, 2) % 4200;
		iol_pci_config_write(g->fn, (unsigned int)at, len, (uint32_t)take(in, len));
		break;
	case 13:
		iol_pci_config_read(g->fn, (unsigned int)take(in, 2) % 4200, len);
		break;
	case 14:
		iol_pci_function_poll(g->fn);
		break;
	case 15:
		poke(g, in);
		break;
	case 16:
		write_at(g, BAR + 0x3000 + 4 * take(in, 1), 2, 0);
		iol_pci_function_poll(g->fn);
		break;
	case 17:
		iol_device_config_changed(g->dev);
		break;
	case 18:
		be_poor(g, op & 1);
		break;
	case 19:
		place(g);
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct guest *guests[2];
	struct script in = { data, size };
	struct guest *g;

	if (!guests[0]) {
		guests[0] = begin(VIRTIO_ID_BLOCK);
		guests[1] = begin(VIRTIO_ID_NET);
	}
	g = guests[take(&in, 1) & 1];
	reset(g);
	while (in.left)
		step(g, &in);
	return 0;
}
