/* SPDX-License-Identifier: BSD-3-Clause */
#include "virtio_guest.h"

#include "base/own.h"

#include <iolane/base.h>

#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#define MESSAGE_ADDR 0xfee00000ull

/* ---- the machine ---- */

void vguest_init(struct vguest *g)
{
	memset(g, 0, sizeof(*g));
	machine_begin(&g->machine);
}

void vguest_write(struct vguest *g, uint64_t gpa, unsigned int len, uint64_t value)
{
	const struct iol_doorbell *bell = g->machine.bells;
	unsigned int i;

	for (i = 0; i < g->machine.num_bells; i++)
		if (bell[i].gpa == gpa && (!bell[i].len || bell[i].len == len)) {
			assert_int_equal(eventfd_write(bell[i].fd, 1), 0);
			return;
		}
	assert_int_equal(iol_pci_mmio(g->fn, gpa, &value, len, true), 1);
}

uint64_t vguest_read(struct vguest *g, uint64_t gpa, unsigned int len)
{
	uint64_t value = 0;

	assert_int_equal(iol_pci_mmio(g->fn, gpa, &value, len, false), 1);
	return value;
}

int vguest_irq(const struct vguest *g, uint32_t data)
{
	const struct machine_route *r = g->machine.routes;
	unsigned int i;

	for (i = 0; i < MACHINE_ROUTES; i++)
		if (r[i].fd >= 0 && r[i].msg.addr == MESSAGE_ADDR && r[i].msg.data == data)
			return r[i].fd;
	return -1;
}

uint64_t vguest_irqs(const struct vguest *g, uint32_t data)
{
	int fd = vguest_irq(g, data);
	eventfd_t n = 0;

	return fd >= 0 && !eventfd_read(fd, &n) ? n : 0;
}

static uint64_t bell_of(const struct vguest *g, unsigned int index)
{
	return g->notify + (uint64_t)index * g->notify_mul;
}

int vguest_kick(const struct vguest *g, unsigned int index)
{
	unsigned int i;

	for (i = 0; i < g->machine.num_bells; i++)
		if (g->machine.bells[i].gpa == bell_of(g, index))
			return g->machine.bells[i].fd;
	return -1;
}

void vguest_turn(struct vguest *g)
{
	struct pollfd pfd = { .fd = iol_pci_function_fd(g->fn), .events = POLLIN };

	if (poll(&pfd, 1, 0) == 1)
		assert_int_equal(iol_pci_function_poll(g->fn), 0);
}

/* ---- the driver ---- */

static uint32_t config(struct vguest *g, unsigned int off, unsigned int len)
{
	return iol_pci_config_read(g->fn, off, len);
}

/* Size and place the BARs, as Linux does when no firmware did. */
static void place_bars(struct vguest *g)
{
	uint64_t next = VGUEST_BAR;
	unsigned int i;

	for (i = 0; i < 6; i++) {
		unsigned int at = PCI_BASE_ADDRESS_0 + 4 * i;
		uint64_t mask, size;
		bool is_64;

		iol_pci_config_write(g->fn, at, 4, UINT32_MAX);
		mask = config(g, at, 4);
		is_64 = mask & PCI_BASE_ADDRESS_MEM_TYPE_64;
		if (!mask)
			continue;
		mask = (mask & ~15u) | 0xffffffff00000000;
		if (is_64) {
			iol_pci_config_write(g->fn, at + 4, 4, UINT32_MAX);
			assert_int_equal(config(g, at + 4, 4), UINT32_MAX);
		}
		size = -mask;
		next = (next + size - 1) & -size;
		iol_pci_config_write(g->fn, at, 4, (uint32_t)next);
		if (is_64) {
			iol_pci_config_write(g->fn, at + 4, 4, (uint32_t)(next >> 32));
			i++;
		}
		next += size;
	}
	iol_pci_config_write(g->fn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static uint64_t bar(struct vguest *g, unsigned int index)
{
	assert_true(index < 6);
	return config(g, PCI_BASE_ADDRESS_0 + 4 * index, 4) & ~15u;
}

static void look_at(struct vguest *g, unsigned int at)
{
	uint64_t where;

	if (config(g, at, 1) == PCI_CAP_ID_MSIX) {
		g->msix = at;
		where = config(g, at + PCI_MSIX_TABLE, 4);
		g->table = bar(g, where & 7) + (where & ~7ull);
		return;
	}
	assert_int_equal(config(g, at, 1), PCI_CAP_ID_VNDR);
	where = bar(g, config(g, at + VIRTIO_PCI_CAP_BAR, 1)) +
		config(g, at + VIRTIO_PCI_CAP_OFFSET, 4);
	switch (config(g, at + VIRTIO_PCI_CAP_CFG_TYPE, 1)) {
	case VIRTIO_PCI_CAP_COMMON_CFG:
		g->common = where;
		break;
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
		g->notify = where;
		g->notify_mul = config(g, at + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
		break;
	case VIRTIO_PCI_CAP_ISR_CFG:
		g->isr = where;
		break;
	case VIRTIO_PCI_CAP_DEVICE_CFG:
		g->device = where;
		break;
	case VIRTIO_PCI_CAP_PCI_CFG:
		g->window = at;
		break;
	default:
		break;
	}
}

void vguest_use_msix(struct vguest *g, bool on)
{
	iol_pci_config_write(g->fn, g->msix + PCI_MSIX_FLAGS, 2, on ? PCI_MSIX_FLAGS_ENABLE : 0);
}

void vguest_probe(struct vguest *g)
{
	unsigned int at, n = 0;

	assert_int_equal(config(g, PCI_VENDOR_ID, 2), 0x1af4);
	place_bars(g);
	for (at = config(g, PCI_CAPABILITY_LIST, 1); at; at = config(g, at + 1, 1)) {
		assert_true(n++ < 16);
		look_at(g, at);
	}
	assert_true(g->common && g->notify && g->isr && g->device && g->window && g->msix);
	vguest_use_msix(g, true);
}

void vguest_program(struct vguest *g, unsigned int vector, uint32_t data, bool masked)
{
	uint64_t entry = g->table + (uint64_t)vector * PCI_MSIX_ENTRY_SIZE;

	vguest_write(g, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, 1);
	vguest_write(g, entry + PCI_MSIX_ENTRY_LOWER_ADDR, 4, MESSAGE_ADDR);
	vguest_write(g, entry + PCI_MSIX_ENTRY_UPPER_ADDR, 4, 0);
	vguest_write(g, entry + PCI_MSIX_ENTRY_DATA, 4, data);
	if (!masked)
		vguest_write(g, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, 0);
}

uint8_t vguest_status(struct vguest *g)
{
	return (uint8_t)vguest_read(g, g->common + VIRTIO_PCI_COMMON_STATUS, 1);
}

static void add_status(struct vguest *g, uint8_t bit)
{
	vguest_write(g, g->common + VIRTIO_PCI_COMMON_STATUS, 1, vguest_status(g) | bit);
}

void vguest_reset(struct vguest *g)
{
	vguest_write(g, g->common + VIRTIO_PCI_COMMON_STATUS, 1, 0);
	assert_int_equal(vguest_status(g), 0);
}

uint64_t vguest_offered(struct vguest *g)
{
	uint64_t low;

	vguest_write(g, g->common + VIRTIO_PCI_COMMON_DFSELECT, 4, 0);
	low = vguest_read(g, g->common + VIRTIO_PCI_COMMON_DF, 4);
	vguest_write(g, g->common + VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
	return low | vguest_read(g, g->common + VIRTIO_PCI_COMMON_DF, 4) << 32;
}

bool vguest_negotiate(struct vguest *g, uint64_t want)
{
	vguest_reset(g);
	add_status(g, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	add_status(g, VIRTIO_CONFIG_S_DRIVER);
	g->features = vguest_offered(g) & want;
	vguest_write(g, g->common + VIRTIO_PCI_COMMON_GFSELECT, 4, 0);
	vguest_write(g, g->common + VIRTIO_PCI_COMMON_GF, 4, (uint32_t)g->features);
	vguest_write(g, g->common + VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	vguest_write(g, g->common + VIRTIO_PCI_COMMON_GF, 4, g->features >> 32);
	add_status(g, VIRTIO_CONFIG_S_FEATURES_OK);
	return vguest_status(g) & VIRTIO_CONFIG_S_FEATURES_OK;
}

void vguest_select(struct vguest *g, unsigned int index)
{
	vguest_write(g, g->common + VIRTIO_PCI_COMMON_Q_SELECT, 2, index);
}

void vguest_attach(struct vguest *g, unsigned int index, struct iol_guest_queue *q, uint16_t vector)
{
	iol_close(&q->setup.call);
	if (!g->machine.no_bells) {
		iol_close(&q->setup.kick);
		q->setup.kick = dup(vguest_kick(g, index));
	}
	q->setup.call = dup(vguest_irq(g, vector));
	assert_true(q->setup.kick >= 0 && q->setup.call >= 0);
}

void vguest_queue(struct vguest *g, unsigned int index, struct iol_guest_queue *q, uint16_t vector)
{
	const uint64_t addr[] = { q->setup.desc, q->setup.avail, q->setup.used };
	unsigned int i;

	vguest_program(g, vector, vector, false);
	vguest_select(g, index);
	assert_true(vguest_read(g, g->common + VIRTIO_PCI_COMMON_Q_SIZE, 2) >= q->setup.size);
	assert_int_equal(vguest_read(g, g->common + VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
	vguest_write(g, g->common + VIRTIO_PCI_COMMON_Q_SIZE, 2, q->setup.size);
	for (i = 0; i < 3; i++) {
		vguest_write(g, g->common + VIRTIO_PCI_COMMON_Q_DESCLO + 8 * i, 4,
			     (uint32_t)addr[i]);
		vguest_write(g, g->common + VIRTIO_PCI_COMMON_Q_DESCHI + 8 * i, 4, addr[i] >> 32);
	}
	vguest_write(g, g->common + VIRTIO_PCI_COMMON_Q_MSIX, 2, vector);
	assert_int_equal(vguest_read(g, g->common + VIRTIO_PCI_COMMON_Q_MSIX, 2), vector);
	vguest_write(g, g->common + VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	assert_int_equal(vguest_read(g, g->common + VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
	vguest_attach(g, index, q, vector);
}

void vguest_go(struct vguest *g)
{
	add_status(g, VIRTIO_CONFIG_S_DRIVER_OK);
	assert_true(vguest_status(g) & VIRTIO_CONFIG_S_DRIVER_OK);
}
