/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupts that don't go by the kernel alone: those of the config space, and all where the driver uses no MSI-X. */
#include "vmm-glue/virtio.h"

#include "base/event.h"
#include "vmm-glue/msix.h"

#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#define INTA 0

uint16_t virtio_vector(struct virtio *v, uint16_t vector)
{
	return msix_fd(v->fn.msix, vector) < 0 ? VIRTIO_MSI_NO_VECTOR : vector;
}

static bool uses_intx(const struct virtio *v)
{
	return !msix_enabled(v->fn.msix) &&
	       !(pci_function_get(&v->fn, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);
}

/* The pin is asked for when it is first needed, as drivers of today never do. */
static void hold_up(struct virtio *v)
{
	const struct iol_vm_ops *ops = v->fn.vm_ops;

	if (!v->isr || !uses_intx(v))
		return;
	if (!v->has_intx && ops->intx_add(v->fn.vm, v->fn.slot, INTA, v->intx, v->resample) < 0) {
		virtio_complain(v, "no interrupts without MSI-X");
		return;
	}
	v->has_intx = true;
	iol_event_signal(v->intx);
}

void virtio_remove_intx(struct virtio *v)
{
	if (v->has_intx)
		v->fn.vm_ops->intx_remove(v->fn.vm, v->fn.slot, INTA, v->intx);
	v->has_intx = false;
}

void virtio_update_intx(struct virtio *v)
{
	if (uses_intx(v))
		hold_up(v);
	else
		virtio_remove_intx(v);
}

static void set_isr(struct virtio *v, uint8_t isr)
{
	uint32_t status = pci_function_get(&v->fn, PCI_STATUS, 2) & ~(uint32_t)PCI_STATUS_INTERRUPT;

	v->isr = isr;
	pci_function_put(&v->fn, PCI_STATUS, 2, status | (isr ? PCI_STATUS_INTERRUPT : 0));
}

void virtio_interrupt(struct virtio *v, uint8_t bits)
{
	set_isr(v, v->isr | bits);
	hold_up(v);
}

uint8_t virtio_isr_read(struct virtio *v)
{
	uint8_t isr = v->isr;

	set_isr(v, 0);
	return isr;
}

void virtio_config_changed(struct virtio *v)
{
	v->config_pending = !(v->status & VIRTIO_CONFIG_S_DRIVER_OK);
	if (v->config_pending)
		return;
	if (msix_enabled(v->fn.msix))
		msix_signal(v->fn.msix, v->config_vector);
	else
		virtio_interrupt(v, VIRTIO_ISR_CONFIG);
}

void virtio_poll_intx(struct virtio *v)
{
	if (iol_event_take(v->isr_call))
		virtio_interrupt(v, VIRTIO_ISR_QUEUE);
	if (iol_event_take(v->resample))
		hold_up(v);
}
