/* SPDX-License-Identifier: BSD-3-Clause */
/* igb: a VF raises its own interrupts (82576 datasheet, 8.8 and 7.10); and a PF of VFIO's has a secret for its VFs. */
#include "vfioprobe.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define VTEICS  0x1520u
#define VTEIMS  0x1524u
#define VTEIAC  0x152cu
#define VECTORS 3u
#define ALL     7u
/* In BAR 3 (7.1.3.3). */
#define PENDING 0x2000u
#define RAISED  1000u
#define MOVED   100u

static void write32(volatile char *bar, uint32_t at, uint32_t value)
{
	*(volatile uint32_t *)(void *)(bar + at) = value;
}

static void check_signals(const int fds[VECTORS], uint32_t expected)
{
	for (unsigned int i = 0; i < VECTORS; i++) {
		bool due = expected & 1u << i;

		need(probe_signalled(fds[i], due ? COMES_MS : STAYS_MS) == due, "MSI-X %u %s", i,
		     due ? "did not come" : "came though masked");
	}
}

void igb_vf(struct probe *p)
{
	struct iol_reset_report report;
	struct iol_irq_info info;
	int fds[VECTORS];
	void *map;

	need(!iol_vfio_region_map(p->dev, 0, 0, 2 * PAGE, &map), "BAR 0 can't be mapped");
	need(!iol_irq_info(p->dev, IOL_IRQ_MSIX, &info) && info.count == VECTORS, "%u vectors",
	     info.count);
	probe_vectors(p, IOL_IRQ_MSIX, fds, VECTORS);
	/* A cause that was told is cleared, or it would not be told again. */
	write32(map, VTEIAC, ALL);
	write32(map, VTEIMS, ALL);
	write32(map, VTEICS, ALL);
	check_signals(fds, ALL);
	need(!iol_irq_mask(p->dev, IOL_IRQ_MSIX, 1), "MSI-X can't be masked");
	write32(map, VTEICS, ALL);
	check_signals(fds, ALL & ~2u);
	/* It was kept, and comes now. */
	need(!iol_irq_unmask(p->dev, IOL_IRQ_MSIX, 1), "MSI-X can't be unmasked");
	check_signals(fds, 2u);
	need(!iol_irq_clear(p->dev, IOL_IRQ_MSIX), "MSI-X does not end");
	need(!iol_vfio_reset(p->dev, &report), "no reset");
	printf("reset by %s: %d\n", report.method, report.happened);
	need(!strcmp(report.method, "flr"), "reset by %s", report.method);
	for (unsigned int i = 0; i < VECTORS; i++)
		close(fds[i]);
	munmap(map, 2 * PAGE);
}

/* Moves all of our vectors from processor to processor until it is told to end, so that the kernel programs them anew. */
struct mover {
	pthread_t thread;
	atomic_bool end;
	unsigned int irqs[VECTORS];
	atomic_uint moves;
};

static unsigned int effective(unsigned int irq)
{
	unsigned int mask = 0;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/irq/%u/effective_affinity", irq);
	file = fopen(path, "re");
	need(file && fscanf(file, "%x", &mask) == 1, "%s can't be read", path);
	fclose(file);
	return mask;
}

static void *move(void *arg)
{
	struct mover *m = arg;

	for (unsigned int n = 0; !atomic_load(&m->end); n++) {
		unsigned int irq = m->irqs[n % VECTORS], before = effective(irq);
		char path[64];
		FILE *file;

		snprintf(path, sizeof(path), "/proc/irq/%u/smp_affinity", irq);
		file = fopen(path, "we");
		need(file && fprintf(file, "%x", 3 - before) > 0, "%s can't be written", path);
		/* It is busy while an earlier move is still to come. */
		fclose(file);
		if (effective(irq) != before)
			atomic_fetch_add(&m->moves, 1);
	}
	return NULL;
}

static void find_irqs(unsigned int irqs[VECTORS])
{
	FILE *file = fopen("/proc/interrupts", "re");
	unsigned int irq, vector, found = 0;
	const char *name;
	char line[512];

	need(file, "no /proc/interrupts");
	while (fgets(line, sizeof(line), file)) {
		name = strstr(line, "vfio-msix[");
		if (!name || sscanf(line, "%u:", &irq) != 1 ||
		    sscanf(name, "vfio-msix[%u]", &vector) != 1 || vector >= VECTORS)
			continue;
		irqs[vector] = irq;
		found |= 1u << vector;
	}
	fclose(file);
	need(found == ALL, "of the vectors, 0x%x are in /proc/interrupts", found);
}

/* The table itself, past the kernel: each vector is masked, is raised, says so, and comes when it is unmasked. */
static void mask_by_table(const struct probe *p, volatile char *map, const int fds[VECTORS])
{
	volatile uint32_t *table, *pending;
	char path[96], name[IOL_PCI_ADDR_MAX];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource3",
		 iol_pci_addr_format(&p->spec.addr, name));
	fd = open(path, O_RDWR | O_CLOEXEC);
	table = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	need(table != MAP_FAILED, "%s can't be mapped", path);
	pending = table + PENDING / 4;
	for (unsigned int i = 0; i < VECTORS; i++) {
		table[4 * i + 3] |= 1u;
		write32(map, VTEICS, 1u << i);
		need(probe_becomes(pending, 1u << i, 1u << i), "MSI-X %u is not pending", i);
		check_signals(fds, 0);
		table[4 * i + 3] &= ~1u;
		check_signals(fds, 1u << i);
		need(!(*pending & 1u << i), "MSI-X %u is still pending", i);
	}
	munmap((void *)table, 4 * PAGE);
	close(fd);
}

/* Every interrupt that is raised comes, while all are programmed again and again; and so do those of masked vectors. */
void igb_storm(struct probe *p)
{
	struct mover mover = { 0 };
	int fds[VECTORS];
	unsigned int n;
	void *map;

	need(!iol_vfio_region_map(p->dev, 0, 0, 2 * PAGE, &map), "BAR 0 can't be mapped");
	probe_vectors(p, IOL_IRQ_MSIX, fds, VECTORS);
	write32(map, VTEIAC, ALL);
	write32(map, VTEIMS, ALL);
	find_irqs(mover.irqs);
	need(!pthread_create(&mover.thread, NULL, move, &mover), "no thread");
	for (n = 0; n < RAISED || atomic_load(&mover.moves) < MOVED; n++) {
		need(n < 100 * RAISED, "they were moved %u times only", mover.moves);
		write32(map, VTEICS, ALL);
		for (unsigned int i = 0; i < VECTORS; i++)
			need(probe_signalled(fds[i], COMES_MS), "MSI-X %u was lost, the %u. time",
			     i, n);
	}
	atomic_store(&mover.end, true);
	pthread_join(mover.thread, NULL);
	printf("%u times raised, none lost; %u times moved\n", n * VECTORS, mover.moves);
	mask_by_table(p, map, fds);
	need(!iol_irq_clear(p->dev, IOL_IRQ_MSIX), "MSI-X does not end");
	for (unsigned int i = 0; i < VECTORS; i++)
		close(fds[i]);
	munmap(map, 2 * PAGE);
}

/* Its first VF may be opened by those who know; and the reset of the bus is for who has both. */
void igb_token(struct probe *p)
{
	uint8_t token[16] = "0123456789abcde", wrong[16] = "0123456789abcdf";
	char name[IOL_PCI_ADDR_MAX], vf_name[IOL_PCI_ADDR_MAX + 4];
	struct iol_vfio_device_spec spec = { 0 };
	struct iol_vfio_device *vf = NULL;

	snprintf(vf_name, sizeof(vf_name), "%s/vf0", iol_pci_addr_format(&p->spec.addr, name));
	need(!iol_pci_find(p->host, vf_name, &spec.addr), "no VF");
	iol_pci_addr_format(&spec.addr, name);
	need(iol_vfio_hot_reset(p->dev) == -EPERM && strstr(iol_error(), name),
	     "the reset of the bus is not refused with %s named", name);
	need(!iol_vfio_vf_token(p->dev, token), "no token");
	need(iol_vfio_open(p->ctx, &spec, &vf) == -EACCES && strstr(iol_error(), "VF token"),
	     "opened without a token");
	spec.vf_token = wrong;
	need(iol_vfio_open(p->ctx, &spec, &vf) == -EACCES, "opened with another token");
	spec.vf_token = token;
	need(!iol_vfio_open(p->ctx, &spec, &vf), "not opened with the token");
	/* Both are ours now; but the kernel has its own view of VFs. */
	need(iol_vfio_hot_reset(p->dev) == -EINVAL && strstr(iol_error(), "VFs"),
	     "the reset of a bus with VFs");
	iol_vfio_close(&vf);
}
