/* SPDX-License-Identifier: BSD-3-Clause */
/* What is measured, each in the same way on both sides. */
#include "vfio.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"

#include <linux/vfio.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* Calls between two looks at the clock. */
#define SMALL_MAPS 64u
#define READS      1000u
#define CALLS      64u

#define COMES_MS 10000

#define COMMAND        4u
#define COMMAND_MEMORY 2u
#define COMMAND_MASTER 4u

/* ---- memory ---- */

struct dma {
	size_t each;
	unsigned int num;
	void *addr[SMALL_MAPS];
};

static int map_one(struct vfio_user *u, const struct vfio_run *r, struct dma *dma, unsigned int i)
{
	uint64_t iova = r->plan->iova + i * dma->each;

	if (r->row->flags & VFIO_FILE)
		return r->side->map_fd(u, r->memory->fd, iova, dma->each, &dma->addr[i]);
	return r->side->map(u, (char *)r->memory->addr + i * dma->each, iova, dma->each);
}

static int unmap_one(struct vfio_user *u, const struct vfio_run *r, struct dma *dma, unsigned int i)
{
	uint64_t iova = r->plan->iova + i * dma->each;

	if (r->row->flags & VFIO_FILE)
		return r->side->unmap_fd(u, iova, dma->each, dma->addr[i]);
	return r->side->unmap(u, iova, dma->each);
}

static int run_dma(struct vfio_user *u, struct vfio_run *r)
{
	bool large = r->row->flags & VFIO_LARGE, unmaps = r->row->flags & VFIO_UNMAP;
	struct vfio_meter *m = &r->meter;
	/* Traced is a child: memory that is no file's would be copied for it. */
	struct dma dma = { .each = large && !m->tracing ? r->memory->len : r->memory->page,
			   .num = large ? 1 : SMALL_MAPS };
	uint64_t ops = large && !m->tracing ? dma.each / MIB : dma.num;
	unsigned int i;
	int rc = 0;

	while (!rc && vfio_meter_more(m)) {
		if (!unmaps)
			vfio_meter_start(m);
		for (i = 0; !rc && i < dma.num; i++)
			rc = map_one(u, r, &dma, i);
		if (!unmaps)
			vfio_meter_stop(m, ops);
		else
			vfio_meter_start(m);
		for (i = 0; !rc && i < dma.num; i++)
			rc = unmap_one(u, r, &dma, i);
		if (unmaps)
			vfio_meter_stop(m, ops);
	}
	return rc;
}

/* ---- registers ---- */

/* Let the device's memory be reached and, where it is to send interrupts, let it write. */
static int enable(struct vfio_user *u, uint16_t bits)
{
	uint16_t command;
	int rc = u->side->read(u, IOL_REGION_CONFIG, COMMAND, &command, sizeof(command));

	if (rc || (command & bits) == bits)
		return rc;
	command |= bits;
	return u->side->write(u, IOL_REGION_CONFIG, COMMAND, &command, sizeof(command));
}

/* The page of a register. */
static int map_page(struct vfio_user *u, unsigned int bar, uint64_t at, void **page)
{
	uint64_t mask = (uint64_t)sysconf(_SC_PAGESIZE) - 1;

	return u->side->registers(u, bar, at & ~mask, page);
}

static volatile uint32_t *in_page(void *page, uint64_t at)
{
	uint64_t mask = (uint64_t)sysconf(_SC_PAGESIZE) - 1;

	return (volatile uint32_t *)(void *)((char *)page + (at & mask));
}

static void unmap_page(void *page)
{
	munmap(page, (size_t)sysconf(_SC_PAGESIZE));
}

static struct vfio_place place_of(const struct vfio_run *r)
{
	return r->row->flags & VFIO_WRITE ? r->plan->write : r->plan->read;
}

static int run_mapped(struct vfio_user *u, struct vfio_run *r)
{
	struct vfio_place place = place_of(r);
	volatile uint32_t *reg;
	uint32_t value;
	void *page;
	int rc = enable(u, COMMAND_MEMORY);

	if (!rc)
		rc = map_page(u, place.bar, place.offset, &page);
	if (rc)
		return rc;
	reg = in_page(page, place.offset);
	value = *reg;
	while (vfio_meter_more(&r->meter)) {
		vfio_meter_start(&r->meter);
		if (r->row->flags & VFIO_WRITE)
			for (unsigned int i = 0; i < READS; i++)
				*reg = value;
		else
			for (unsigned int i = 0; i < READS; i++)
				value = *reg;
		vfio_meter_stop(&r->meter, READS);
	}
	unmap_page(page);
	return 0;
}

static int run_calls(struct vfio_user *u, struct vfio_run *r)
{
	struct vfio_place place = place_of(r);
	uint32_t value;
	int rc = enable(u, COMMAND_MEMORY);

	if (!rc)
		rc = u->side->read(u, place.bar, place.offset, &value, sizeof(value));
	while (!rc && vfio_meter_more(&r->meter)) {
		vfio_meter_start(&r->meter);
		for (unsigned int i = 0; !rc && i < CALLS; i++)
			rc = r->row->flags & VFIO_WRITE ? u->side->write(u, place.bar, place.offset,
									 &value, sizeof(value))
							: u->side->read(u, place.bar, place.offset,
									&value, sizeof(value));
		vfio_meter_stop(&r->meter, CALLS);
	}
	return rc;
}

/* ---- interrupts ---- */

/* The kernel signals the eventfd as if the device had interrupted. */
static int loop_back(struct vfio_user *u)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_ACTION_TRIGGER | VFIO_IRQ_SET_DATA_NONE,
		.index = u->plan->irq,
		.count = 1,
	};

	if (ioctl(u->fd, VFIO_DEVICE_SET_IRQS, &set))
		return iol_fail(errno, "cannot have %s interrupt: %s", u->plan->name,
				strerror(errno));
	return 0;
}

/* Return: whether it came in time. */
static bool wait_by_poll(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	return poll(&poll_fd, 1, COMES_MS) == 1;
}

static bool wait_by_reading(int fd)
{
	uint64_t end = iol_now() + COMES_MS * IOL_NS_PER_MS;
	eventfd_t count;

	while (eventfd_read(fd, &count))
		if (iol_now() > end)
			return false;
	return true;
}

static int interrupts(struct vfio_user *u, struct vfio_run *r, int fd, void *page)
{
	const struct vfio_known *known = page ? u->plan->known : NULL;
	bool spin = r->row->flags & VFIO_SPIN, came = true;
	eventfd_t count;
	int rc = 0;

	while (!rc && vfio_meter_more(&r->meter)) {
		vfio_meter_start(&r->meter);
		if (known)
			*in_page(page, known->raise.offset) = known->raise.value;
		else
			rc = loop_back(u);
		if (!rc)
			came = spin ? wait_by_reading(fd) : wait_by_poll(fd);
		vfio_meter_stop(&r->meter, 1);
		if (known)
			*in_page(page, known->ack.offset) = known->ack.value;
		if (!rc && !spin && came)
			came = !eventfd_read(fd, &count);
		if (!came && !bench_interrupted)
			rc = iol_fail(ETIME, "no interrupt of %s came within %d s", u->plan->name,
				      COMES_MS / 1000);
	}
	return rc;
}

static int run_interrupts(struct vfio_user *u, struct vfio_run *r)
{
	_cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	const struct vfio_known *known = u->plan->known;
	void *page = NULL;
	int rc, end;

	if (fd < 0)
		return iol_fail(errno, "cannot make an eventfd: %s", strerror(errno));
	rc = u->side->irq(u, fd);
	if (!rc && r->row->flags & VFIO_REGISTER) {
		rc = enable(u, COMMAND_MEMORY | COMMAND_MASTER);
		if (!rc)
			rc = map_page(u, known->bar, known->raise.offset, &page);
		for (unsigned int i = 0; !rc && known->start[i].offset; i++)
			*in_page(page, known->start[i].offset) = known->start[i].value;
	}
	if (!rc)
		rc = interrupts(u, r, fd, page);
	if (page)
		unmap_page(page);
	end = u->side->irq(u, -1);
	return rc ? rc : end;
}

/* ---- reset ---- */

static int run_reset(struct vfio_user *u, struct vfio_run *r)
{
	int rc = 0;

	while (!rc && vfio_meter_more(&r->meter)) {
		vfio_meter_start(&r->meter);
		rc = u->side->reset(u);
		vfio_meter_stop(&r->meter, 1);
	}
	return rc;
}

/* ---- the rows ---- */

static const char *no_memory(const struct vfio_plan *plan, unsigned int flags)
{
	return plan->room < SMALL_MAPS * 4 * KIB ? "the IOMMU has no IOVAs for it" : NULL;
}

static const char *no_interrupts(const struct vfio_plan *plan, unsigned int flags)
{
	if (plan->irq == IOL_IRQ_KINDS)
		return "the device has no interrupts";
	if (flags & VFIO_REGISTER && !plan->known)
		return "no register is known that makes this device interrupt";
	return NULL;
}

static const char *no_registers(const struct vfio_plan *plan, unsigned int flags)
{
	if (flags & VFIO_WRITE)
		return plan->has_write ? NULL
				       : "no register is known that may be written "
					 "(--write=BAR:OFFSET)";
	return plan->has_read ? NULL : "the device has no BAR that can be mapped";
}

static const char *no_reset(const struct vfio_plan *plan, unsigned int flags)
{
	return plan->resets ? NULL : "the device has no reset of its own";
}

const struct vfio_row vfio_rows[] = {
	{ "map", "map 4 KiB", 4 * KIB, 0, no_memory, run_dma },
	{ "unmap", "unmap 4 KiB", 4 * KIB, VFIO_UNMAP, no_memory, run_dma },
	{ "map-fd", "map 4 KiB by descriptor", 4 * KIB, VFIO_FILE, no_memory, run_dma },
	{ "unmap-fd", "unmap 4 KiB by descriptor", 4 * KIB, VFIO_FILE | VFIO_UNMAP, no_memory,
	  run_dma },
	{ "map-4k", "map a GiB, 4 KiB pages", 4 * KIB, VFIO_LARGE, no_memory, run_dma },
	{ "unmap-4k", "unmap a GiB, 4 KiB pages", 4 * KIB, VFIO_LARGE | VFIO_UNMAP, no_memory,
	  run_dma },
	{ "map-2m", "map a GiB, 2 MiB pages", 2 * MIB, VFIO_LARGE, no_memory, run_dma },
	{ "unmap-2m", "unmap a GiB, 2 MiB pages", 2 * MIB, VFIO_LARGE | VFIO_UNMAP, no_memory,
	  run_dma },
	{ "map-1g", "map a GiB, 1 GiB pages", GIB, VFIO_LARGE, no_memory, run_dma },
	{ "unmap-1g", "unmap a GiB, 1 GiB pages", GIB, VFIO_LARGE | VFIO_UNMAP, no_memory,
	  run_dma },
	{ "irq-poll", "kernel's interrupt, poll", 0, VFIO_LATENCY, no_interrupts, run_interrupts },
	{ "irq-read", "kernel's interrupt, reading", 0, VFIO_LATENCY | VFIO_SPIN, no_interrupts,
	  run_interrupts },
	{ "device-irq-poll", "device's interrupt, poll", 0, VFIO_LATENCY | VFIO_REGISTER,
	  no_interrupts, run_interrupts },
	{ "device-irq-read", "device's interrupt, reading", 0,
	  VFIO_LATENCY | VFIO_REGISTER | VFIO_SPIN, no_interrupts, run_interrupts },
	{ "read", "read a register, mapped", 0, 0, no_registers, run_mapped },
	{ "pread", "read a register, by pread", 0, 0, no_registers, run_calls },
	{ "write", "write a register, mapped", 0, VFIO_WRITE, no_registers, run_mapped },
	{ "pwrite", "write a register, by pwrite", 0, VFIO_WRITE, no_registers, run_calls },
	{ "reset", "reset", 0, 0, no_reset, run_reset },
};

const unsigned int vfio_num_rows = sizeof(vfio_rows) / sizeof(vfio_rows[0]);

int vfio_run_row(struct vfio_run *r)
{
	struct vfio_user u = { .side = r->side, .plan = r->plan };
	int rc = r->side->open(&u);

	if (rc)
		return rc;
	rc = r->row->run(&u, r);
	r->side->close(&u);
	return rc;
}
