/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A passed-through function's interrupts: from the kernel's eventfds, which it shares with the hypervisor, so that none
 * comes here. Masking is the hypervisor's side alone: the device stays unmasked, and what comes waits in the eventfd.
 */
#include "vmm-glue/passthrough.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/device.h"
#include "vmm-glue/msix.h"

#include <linux/pci_regs.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define NO_PIN 4u

/* A guest can bring it about over and over: once is enough. */
static void complain(struct passthrough *p)
{
	if (!p->complained)
		iol_log(IOL_LOG_WARNING, "interrupts of a guest's device are silent: %s",
			iol_error());
	p->complained = true;
}

static int make_eventfd(int *fd)
{
	if (*fd < 0)
		*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return *fd < 0 ? iol_fail(errno, "cannot make an eventfd: %s", strerror(errno)) : 0;
}

/* ---- INTx ---- */

static void stop_intx(struct passthrough *p)
{
	eventfd_t came;

	if (!p->intx_on)
		return;
	iol_irq_clear(p->dev, IOL_IRQ_INTX);
	p->fn.vm_ops->intx_remove(p->fn.vm, p->fn.slot, p->pin, p->intx_fd);
	eventfd_read(p->intx_fd, &came);
	p->intx_on = false;
}

/* The hypervisor listens first; the kernel masks each that comes, and unmasks it when the guest is done. */
static int start_intx(struct passthrough *p)
{
	int rc = make_eventfd(&p->intx_fd);

	if (!rc)
		rc = make_eventfd(&p->resample_fd);
	if (!rc)
		rc = p->fn.vm_ops->intx_add(p->fn.vm, p->fn.slot, p->pin, p->intx_fd,
					    p->resample_fd);
	if (rc)
		return rc;
	p->intx_on = true;
	rc = iol_irq_set(p->dev, IOL_IRQ_INTX, 0, &p->intx_fd, 1);
	if (!rc)
		rc = iol_irq_resample(p->dev, p->resample_fd);
	if (rc)
		stop_intx(p);
	return rc;
}

/* ---- MSI-X ---- */

/*
 * The device goes over to MSI-X when the guest does, long before the first vector is unmasked: drivers and firmware
 * count on it. Where the kernel can't add vectors later it is told of all at once, and of nobody who hears them, so that
 * none that is in use is ever taken down for another.
 */
static int start_msix(struct passthrough *p)
{
	unsigned int num = msix_vectors(p->fn.msix);
	_cleanup_free_ int *nobody = NULL;
	struct iol_irq_info info;
	int rc;

	if (p->msix_on)
		return 0;
	stop_intx(p);
	nobody = malloc(num * sizeof(*nobody));
	if (!nobody)
		return iol_fail(ENOMEM, "no memory for %u interrupts", num);
	memset(nobody, -1, num * sizeof(*nobody));
	iol_irq_info(p->dev, IOL_IRQ_MSIX, &info);
	rc = iol_irq_set(p->dev, IOL_IRQ_MSIX, 0, nobody, info.dynamic ? 1 : num);
	/* The machine may have enough for those that the guest will use. */
	if (rc && !info.dynamic && num > 1)
		rc = iol_irq_set(p->dev, IOL_IRQ_MSIX, 0, nobody, 1);
	p->msix_on = !rc;
	return rc;
}

static void stop_msix(struct passthrough *p)
{
	if (p->msix_on)
		iol_irq_clear(p->dev, IOL_IRQ_MSIX);
	p->msix_on = false;
}

static int use_vector(void *ctx, unsigned int vector, int fd)
{
	struct passthrough *p = ctx;
	int rc = start_msix(p);

	return rc ? rc : iol_irq_set(p->dev, IOL_IRQ_MSIX, vector, &fd, 1);
}

const struct msix_ops passthrough_msix_ops = { .use = use_vector };

/* ---- MSI ---- */

static unsigned int msi_count(const struct passthrough *p)
{
	uint32_t flags = pci_function_get(&p->fn, p->msi + PCI_MSI_FLAGS, 2);
	unsigned int num = 1u << ((flags & PCI_MSI_FLAGS_QSIZE) >> 4);

	if (!(flags & PCI_MSI_FLAGS_ENABLE))
		return 0;
	return num < msix_vectors(p->msi_vectors) ? num : msix_vectors(p->msi_vectors);
}

/* Its registers as entries of a table: one address, and data that differ in their lowest bits (PCI 3.0, 6.8.1.6). */
static void program_msi(struct passthrough *p, unsigned int num)
{
	unsigned int msi = p->msi;
	uint32_t flags = pci_function_get(&p->fn, msi + PCI_MSI_FLAGS, 2), data, mask = 0;
	uint64_t addr = pci_function_get(&p->fn, msi + PCI_MSI_ADDRESS_LO, 4);
	bool is_64 = flags & PCI_MSI_FLAGS_64BIT;

	if (is_64)
		addr |= (uint64_t)pci_function_get(&p->fn, msi + PCI_MSI_ADDRESS_HI, 4) << 32;
	data = pci_function_get(&p->fn, msi + (is_64 ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32), 2);
	if (flags & PCI_MSI_FLAGS_MASKBIT)
		mask = pci_function_get(&p->fn, msi + (is_64 ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32),
					4);
	for (unsigned int i = 0; i < msix_vectors(p->msi_vectors); i++) {
		struct iol_msi_message msg = { .addr = addr, .data = (data & -num) | i };

		msix_program(p->msi_vectors, i, &msg, i >= num || mask >> i & 1);
	}
	msix_control(p->msi_vectors, num, false);
}

static void stop_msi(struct passthrough *p)
{
	if (p->msi_on)
		iol_irq_clear(p->dev, IOL_IRQ_MSI);
	p->msi_on = 0;
}

static int start_msi(struct passthrough *p, unsigned int num)
{
	int fds[PASSTHROUGH_MSI], rc;

	if (p->msi_on == num)
		return 0;
	stop_msi(p);
	for (unsigned int i = 0; i < num; i++) {
		fds[i] = msix_fd(p->msi_vectors, i);
		if (fds[i] < 0)
			return iol_fail(errno, "cannot make an eventfd: %s", strerror(errno));
	}
	rc = iol_irq_set(p->dev, IOL_IRQ_MSI, 0, fds, num);
	p->msi_on = rc ? 0 : num;
	return rc;
}

void passthrough_msi_pending(struct passthrough *p, unsigned int off, unsigned int len,
			     uint32_t *value)
{
	uint32_t flags, bits, at;

	if (!p->msi)
		return;
	flags = pci_function_get(&p->fn, p->msi + PCI_MSI_FLAGS, 2);
	at = p->msi + (flags & PCI_MSI_FLAGS_64BIT ? PCI_MSI_PENDING_64 : PCI_MSI_PENDING_32);
	if (!(flags & PCI_MSI_FLAGS_MASKBIT) || off - at >= 4)
		return;
	msix_pba(p->msi_vectors, 0, &bits, sizeof(bits), false);
	*value = bits >> 8 * (off - at) & UINT32_MAX >> (32 - 8 * len);
}

/* ---- all of them ---- */

void passthrough_irqs_update(struct passthrough *p)
{
	uint32_t command = pci_function_get(&p->fn, PCI_COMMAND, 2);
	unsigned int msi = p->msi ? msi_count(p) : 0;
	bool msix = p->fn.msix && msix_enabled(p->fn.msix);
	/* Not before a driver is there: most go over to messages, and never need a pin. */
	bool intx = p->pin != NO_PIN && !msi && !msix && !(command & PCI_COMMAND_INTX_DISABLE) &&
		    command & (PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	int rc = 0;

	/* A device has one kind at a time. */
	if (!msi)
		stop_msi(p);
	if (!msix)
		stop_msix(p);
	if (!intx)
		stop_intx(p);
	if (p->msi)
		program_msi(p, msi);
	if (msix)
		rc = start_msix(p);
	else if (msi)
		rc = start_msi(p, msi);
	else if (intx && !p->intx_on)
		rc = start_intx(p);
	if (rc)
		complain(p);
}

void passthrough_irqs_off(struct passthrough *p)
{
	stop_intx(p);
	stop_msi(p);
	stop_msix(p);
	if (p->msi_vectors)
		msix_reset(p->msi_vectors);
}

static int listen_to(struct passthrough *p, enum iol_irq kind, int *fd)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct iol_irq_info info;
	int rc = iol_irq_info(p->dev, kind, &info);

	if (rc || !info.count)
		return rc;
	rc = make_eventfd(fd);
	if (!rc)
		rc = iol_irq_set(p->dev, kind, 0, fd, 1);
	if (!rc && epoll_ctl(p->fn.fd, EPOLL_CTL_ADD, *fd, &event))
		rc = iol_fail(errno, "cannot wait for events of %s: %s", p->dev->name,
			      strerror(errno));
	return rc;
}

int passthrough_irqs(struct passthrough *p)
{
	struct iol_irq_info info;
	int rc = iol_irq_info(p->dev, IOL_IRQ_INTX, &info);

	if (rc)
		return rc;
	p->pin = p->fn.config[PCI_INTERRUPT_PIN] - 1u;
	if (p->pin >= NO_PIN || !info.count) {
		p->pin = NO_PIN;
		p->fn.config[PCI_INTERRUPT_PIN] = 0;
	}
	p->fn.fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->fn.fd < 0)
		return iol_fail(errno, "cannot wait for events of %s: %s", p->dev->name,
				strerror(errno));
	rc = listen_to(p, IOL_IRQ_ERROR, &p->error_fd);
	return rc ? rc : listen_to(p, IOL_IRQ_REQUEST, &p->request_fd);
}

void passthrough_irqs_free(struct passthrough *p)
{
	iol_close(&p->intx_fd);
	iol_close(&p->resample_fd);
	iol_close(&p->error_fd);
	iol_close(&p->request_fd);
	iol_close(&p->fn.fd);
	msix_destroy(&p->msi_vectors);
}
