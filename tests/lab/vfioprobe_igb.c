/* SPDX-License-Identifier: BSD-3-Clause */
/* igb: a VF raises its own interrupts (82576 datasheet, 8.8 and 7.10); and a PF of VFIO's has a secret for its VFs. */
#include "vfioprobe.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define VTEICS  0x1520u
#define VTEIMS  0x1524u
#define VTEIAC  0x152cu
#define VECTORS 3u
#define ALL     7u

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
