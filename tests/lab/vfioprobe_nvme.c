/* SPDX-License-Identifier: BSD-3-Clause */
/* An NVMe driver that can do just what the tests need (NVM Express Base Specification 2.0, 3.1 and 4). */
#include "vfioprobe.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEPTH 8u

/* Registers of the controller. */
#define CC   0x14u
#define CSTS 0x1cu
#define AQA  0x24u
#define ASQ  0x28u
#define ACQ  0x30u

#define CC_ENABLE  0x00460001u /* entries of 64 and 16 bytes */
#define CSTS_READY 1u

#define ADMIN_CREATE_SQ 0x01u
#define ADMIN_CREATE_CQ 0x05u
#define ADMIN_IDENTIFY  0x06u
#define IO_WRITE        0x01u
#define IO_READ         0x02u
#define BLOCKS          (PAGE / 512)

struct command {
	uint8_t opcode, flags;
	uint16_t id;
	uint32_t nsid, reserved[4];
	uint64_t prp1, prp2;
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};

struct completion {
	uint32_t result, reserved;
	uint16_t sq_head, sq_id, id, status;
};

/* A submission and a completion queue, of one number and with an interrupt of that number. */
struct queue {
	unsigned int number, tail, head, phase;
	struct iol_dma_region sq, cq;
	int fd;
};

struct drive {
	struct probe *p;
	volatile char *bar;
	struct queue admin, io;
	struct iol_dma_region data;
};

static uint32_t read32(const struct drive *d, uint32_t at)
{
	return *(volatile uint32_t *)(void *)(d->bar + at);
}

static void write32(const struct drive *d, uint32_t at, uint32_t value)
{
	*(volatile uint32_t *)(void *)(d->bar + at) = value;
}

static void write64(const struct drive *d, uint32_t at, uint64_t value)
{
	write32(d, at, (uint32_t)value);
	write32(d, at + 4, (uint32_t)(value >> 32));
}

static void wait_ready(const struct drive *d, uint32_t ready)
{
	need(probe_becomes(d->bar + CSTS, CSTS_READY, ready), "the drive does not become %sready",
	     ready ? "" : "un");
}

static void make_queue(const struct drive *d, struct queue *q, unsigned int number)
{
	*q = (struct queue){ .number = number, .phase = 1 };
	q->sq = probe_memory(d->p, PAGE, 0, IOL_DMA_READ | IOL_DMA_WRITE);
	q->cq = probe_memory(d->p, PAGE, 0, IOL_DMA_READ | IOL_DMA_WRITE);
	q->fd = probe_eventfd();
}

static void free_queue(const struct drive *d, struct queue *q)
{
	need(iol_dma_unmap(d->p->ctx, q->sq.iova, q->sq.len) == 1, "no unmapping");
	need(iol_dma_unmap(d->p->ctx, q->cq.iova, q->cq.len) == 1, "no unmapping");
	close(q->fd);
}

static void submit(const struct drive *d, struct queue *q, struct command cmd)
{
	((struct command *)q->sq.addr)[q->tail] = cmd;
	q->tail = (q->tail + 1) % DEPTH;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	write32(d, 0x1000 + q->number * 8, q->tail);
}

/* Whether there is a completion; told by memory, whatever interrupts do. Return: its status. */
static unsigned int reap(const struct drive *d, struct queue *q)
{
	volatile struct completion *done = (volatile struct completion *)q->cq.addr + q->head;
	unsigned int status;

	/* The status is the upper half of the last word. */
	need(probe_becomes(&done->id, 1u << 16, q->phase << 16), "queue %u has no completion",
	     q->number);
	status = done->status >> 1;
	q->head = (q->head + 1) % DEPTH;
	q->phase ^= !q->head;
	write32(d, 0x1000 + q->number * 8 + 4, q->head);
	return status;
}

static void admin(struct drive *d, struct command cmd)
{
	submit(d, &d->admin, cmd);
	need(probe_signalled(d->admin.fd, COMES_MS), "MSI-X 0 did not come");
	need(!reap(d, &d->admin), "admin command 0x%x failed", cmd.opcode);
}

static struct command io_command(uint8_t opcode, uint64_t iova)
{
	return (struct command){ .opcode = opcode, .nsid = 1, .prp1 = iova, .cdw12 = BLOCKS - 1 };
}

static void start(struct drive *d)
{
	void *bar;

	need(!iol_vfio_region_map(d->p->dev, 0, 0, 2 * PAGE, &bar), "BAR 0 can't be mapped");
	d->bar = bar;
	write32(d, CC, 0);
	wait_ready(d, 0);
	make_queue(d, &d->admin, 0);
	make_queue(d, &d->io, 1);
	d->data = probe_memory(d->p, 2 * PAGE, 0, IOL_DMA_READ | IOL_DMA_WRITE);
	write32(d, AQA, (DEPTH - 1) << 16 | (DEPTH - 1));
	write64(d, ASQ, d->admin.sq.iova);
	write64(d, ACQ, d->admin.cq.iova);
	/* One first, and the other is added to it: where the kernel can't, the library does it over. */
	need(!iol_irq_set(d->p->dev, IOL_IRQ_MSIX, 0, &d->admin.fd, 1), "no MSI-X");
	need(!iol_irq_set(d->p->dev, IOL_IRQ_MSIX, 1, &d->io.fd, 1), "no second MSI-X");
	probe_signalled(d->admin.fd, 0);
	write32(d, CC, CC_ENABLE);
	wait_ready(d, 1);
}

static void identify(struct drive *d)
{
	const char *data = d->data.addr;

	admin(d, (struct command){ .opcode = ADMIN_IDENTIFY, .prp1 = d->data.iova, .cdw10 = 1 });
	need(!memcmp(data + 4, "lab ", 4), "the drive's serial number is '%.20s'", data + 4);
	admin(d, (struct command){ .opcode = ADMIN_CREATE_CQ,
				   .prp1 = d->io.cq.iova,
				   .cdw10 = (DEPTH - 1) << 16 | 1,
				   .cdw11 = 1u << 16 | 3 });
	admin(d, (struct command){ .opcode = ADMIN_CREATE_SQ,
				   .prp1 = d->io.sq.iova,
				   .cdw10 = (DEPTH - 1) << 16 | 1,
				   .cdw11 = 1u << 16 | 1 });
}

static void io(struct drive *d, uint8_t opcode, uint64_t iova)
{
	submit(d, &d->io, io_command(opcode, iova));
	need(probe_signalled(d->io.fd, COMES_MS), "MSI-X 1 did not come");
	need(!reap(d, &d->io), "I/O command 0x%x failed", opcode);
}

static void write_and_read(struct drive *d)
{
	unsigned char *from = d->data.addr, *to = from + PAGE;

	for (unsigned int i = 0; i < PAGE; i++)
		from[i] = (unsigned char)(i * 13 + i / 256 + 1);
	memset(to, 0, PAGE);
	io(d, IO_WRITE, d->data.iova);
	io(d, IO_READ, d->data.iova + PAGE);
	need(!memcmp(from, to, PAGE), "the drive gave back other bytes");
}

/* QEMU's drive calls a transfer done that was stopped: so the data is looked at, not the status. */
static void stopped(struct drive *d)
{
	void *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iol_dma_region region = {
		.addr = memory,
		.len = PAGE,
		.iova = 0xa000000,
		.access = IOL_DMA_READ,
	};

	need(memory != MAP_FAILED, "no memory");
	memset(memory, 0x5a, PAGE);
	need(iol_dma_map(d->p->ctx, &region, 1) == 1, "no mapping");
	submit(d, &d->io, io_command(IO_READ, region.iova));
	need(probe_signalled(d->io.fd, COMES_MS), "MSI-X 1 did not come");
	reap(d, &d->io);
	for (unsigned int i = 0; i < PAGE; i++)
		need(((unsigned char *)memory)[i] == 0x5a,
		     "the drive wrote where it may only read");
	need(iol_dma_unmap(d->p->ctx, region.iova, PAGE) == 1, "no unmapping");
	munmap(memory, PAGE);
}

static void masked(struct drive *d)
{
	struct iol_dma_region *data = &d->data;

	need(!iol_irq_mask(d->p->dev, IOL_IRQ_MSIX, 1), "MSI-X can't be masked");
	submit(d, &d->io, io_command(IO_READ, data->iova));
	need(!reap(d, &d->io), "a read failed");
	need(!probe_signalled(d->io.fd, STAYS_MS), "MSI-X came though masked");
	/* Others are not. */
	admin(d, (struct command){ .opcode = ADMIN_IDENTIFY, .prp1 = data->iova, .cdw10 = 1 });
	need(!iol_irq_unmask(d->p->dev, IOL_IRQ_MSIX, 1), "MSI-X can't be unmasked");
	io(d, IO_READ, data->iova);
}

/* A drive that was reset is off. */
static void reset(struct drive *d)
{
	struct iol_reset_report report;

	need(read32(d, CC) == CC_ENABLE && read32(d, CSTS) == CSTS_READY, "the drive is not on");
	need(!iol_irq_clear(d->p->dev, IOL_IRQ_MSIX), "MSI-X does not end");
	need(!iol_vfio_reset(d->p->dev, &report), "no reset");
	printf("reset by %s: %d\n", report.method, report.happened);
	need(!strcmp(report.method, "flr"), "reset by %s", report.method);
	need(report.happened == IOL_YES, "nobody saw the reset: %d", report.happened);
	need(!read32(d, CC) && !read32(d, CSTS),
	     "the drive is not as after power-on: CC 0x%x CSTS 0x%x", read32(d, CC),
	     read32(d, CSTS));
}

void nvme_io(struct probe *p)
{
	struct drive d = { .p = p };
	struct iol_pci_info info;

	need(iol_vfio_cap(p->dev, 0x11, false) > 0, "no MSI-X capability");
	need(!iol_pci_info(p->host, &p->spec.addr, &info), "no function");
	need(info.is_vf || iol_vfio_cap(p->dev, 0x10, true) > 0, "no SR-IOV capability");
	need(iol_vfio_cap(p->dev, 0x7777, true) == -2, "a capability that there is not");
	start(&d);
	identify(&d);
	write_and_read(&d);
	masked(&d);
	stopped(&d);
	reset(&d);
	/* And it works after it. */
	probe_start(p);
	free_queue(&d, &d.admin);
	free_queue(&d, &d.io);
	need(iol_dma_unmap(p->ctx, d.data.iova, d.data.len) == 1, "no unmapping");
	start(&d);
	identify(&d);
	write_and_read(&d);
	write32(&d, CC, 0);
	wait_ready(&d, 0);
	need(!iol_irq_clear(p->dev, IOL_IRQ_MSIX), "MSI-X does not end");
	free_queue(&d, &d.admin);
	free_queue(&d, &d.io);
	need(iol_dma_unmap(p->ctx, d.data.iova, d.data.len) == 1, "no unmapping");
	munmap((void *)d.bar, 2 * PAGE);
}

/* It is alone on its bus, so the reset of the bus is its own; and it turns the drive off. */
void nvme_hot_reset(struct probe *p)
{
	struct drive d = { .p = p };
	struct iol_reset_peer *peers;
	int rc;

	need(iol_hot_reset_peers(p->dev, &peers) == 1, "it is not alone");
	need(iol_pci_addr_equal(&peers->addr, &p->spec.addr) && peers->ours, "it is not itself");
	free(peers);
	start(&d);
	need(read32(&d, CSTS) == CSTS_READY, "the drive is not on");
	need(!iol_irq_clear(p->dev, IOL_IRQ_MSIX), "MSI-X does not end");
	/* QEMU's ports never say that the link is up again, which newer kernels wait for, and call the reset failed. */
	rc = iol_vfio_hot_reset(p->dev);
	printf("hot reset: %d\n", rc);
	need(!rc || rc == -25, "no reset of the bus");
	probe_start(p);
	need(!read32(&d, CC) && !read32(&d, CSTS), "the drive is on after a reset");
	free_queue(&d, &d.admin);
	free_queue(&d, &d.io);
	need(iol_dma_unmap(p->ctx, d.data.iova, d.data.len) == 1, "no unmapping");
	munmap((void *)d.bar, 2 * PAGE);
}
