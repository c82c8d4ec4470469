/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A USB controller has as many vectors of MSI as interrupters, and raises that of one whose event ring it is told to be read
 * elsewhere than it writes (xHCI 1.2, 4.17.2 and 5.5.2).
 */
#include "vfioprobe.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RTSOFF      0x18u
#define USBCMD_INTE 4u
#define IMAN        0x00u
#define IMAN_IE     2u
#define ERSTSZ      0x08u
#define ERSTBA      0x10u
#define ERDP        0x18u
#define ERDP_EHB    8u
#define VECTORS     16u
#define RING        1024u
#define RING_SIZE   16u /* entries of 16 bytes */

struct segment {
	uint64_t addr;
	uint32_t size, reserved;
};

struct controller {
	volatile char *bar, *runtime;
	uint64_t table;
};

static void write32(volatile char *at, uint32_t value)
{
	*(volatile uint32_t *)(void *)at = value;
}

static uint32_t read32(const volatile char *at)
{
	return *(const volatile uint32_t *)(const void *)at;
}

static volatile char *interrupter(const struct controller *c, unsigned int vector)
{
	return c->runtime + 0x20 + 32 * vector;
}

static void listen(const struct controller *c, unsigned int vector)
{
	volatile char *regs = interrupter(c, vector);

	write32(regs + IMAN, IMAN_IE);
	write32(regs + ERSTSZ, 1);
	write32(regs + ERSTBA, (uint32_t)c->table);
	write32(regs + ERSTBA + 4, (uint32_t)(c->table >> 32));
	write32(regs + ERDP + 4, (uint32_t)(c->table >> 32));
}

static void raise(const struct controller *c, unsigned int vector)
{
	write32(interrupter(c, vector) + ERDP, (uint32_t)(c->table + RING + 16) | ERDP_EHB);
}

void xhci_msi(struct probe *p)
{
	struct iol_dma_region memory = probe_memory(p, PAGE, 0, IOL_DMA_READ | IOL_DMA_WRITE);
	struct controller c = { .table = memory.iova };
	struct iol_irq_info info;
	int fds[VECTORS];
	void *bar;

	need(!iol_vfio_region_map(p->dev, 0, 0, 4 * PAGE, &bar), "BAR 0 can't be mapped");
	c.bar = bar;
	c.runtime = c.bar + read32(c.bar + RTSOFF);
	need(!iol_irq_info(p->dev, IOL_IRQ_MSI, &info) && info.count == VECTORS, "%u vectors",
	     info.count);
	/* One, and the rest after it: MSI can't grow while it is in use, so all begins anew. */
	probe_vectors(p, IOL_IRQ_MSI, fds, 1);
	close(fds[0]);
	probe_vectors(p, IOL_IRQ_MSI, fds, VECTORS);
	need(probe_signalled(fds[0], 0), "who was taken down does not hear of it");
	*(struct segment *)memory.addr = (struct segment){ memory.iova + RING, RING_SIZE, 0 };
	write32(c.bar + *(volatile uint8_t *)c.bar, USBCMD_INTE);
	for (unsigned int i = 0; i < VECTORS; i++)
		listen(&c, i);
	for (unsigned int i = 0; i < VECTORS; i++) {
		raise(&c, i);
		for (unsigned int k = 0; k < VECTORS; k++)
			need(probe_signalled(fds[k], k == i ? COMES_MS : 0) == (k == i),
			     "MSI %u: %u", i, k);
	}
	need(!iol_irq_mask(p->dev, IOL_IRQ_MSI, 5), "MSI can't be masked");
	raise(&c, 5);
	need(!probe_signalled(fds[5], STAYS_MS), "MSI came though masked");
	raise(&c, 6);
	need(probe_signalled(fds[6], COMES_MS), "MSI did not come though not masked");
	need(!iol_irq_unmask(p->dev, IOL_IRQ_MSI, 5), "MSI can't be unmasked");
	need(probe_signalled(fds[5], 0), "MSI was lost while it was masked");
	raise(&c, 5);
	need(probe_signalled(fds[5], COMES_MS), "MSI did not come after it was unmasked");
	need(!iol_irq_clear(p->dev, IOL_IRQ_MSI), "MSI does not end");
	for (unsigned int i = 0; i < VECTORS; i++)
		close(fds[i]);
	need(iol_dma_unmap(p->ctx, memory.iova, memory.len) == 1, "no unmapping");
	munmap(bar, 4 * PAGE);
}
