/* SPDX-License-Identifier: BSD-3-Clause */
/* A function of the host's, as a guest sees it. */
#include "vmm-glue/passthrough.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/context.h"
#include "vfio/device.h"

#include <linux/pci_regs.h>
#include <sys/eventfd.h>

#define AF_CTRL_OFF 4u /* newer headers have it */

/*
 * What the hypervisor is told of: a group where there is one, as kernels before 6.6 know nothing else. One that
 * another device was told of already is refused, and then it is the other's.
 */
static int told_fd(const struct passthrough *p)
{
	return p->dev->group ? p->dev->group->fd : p->dev->fd;
}

static void destroy(struct iol_pci_function *fn)
{
	struct passthrough *p = passthrough_of(fn);

	if (p->dev) {
		passthrough_irqs_off(p);
		if (p->told)
			fn->vm_ops->vfio_remove(fn->vm, told_fd(p));
		iol_vfio_close(&p->dev);
	}
	passthrough_irqs_free(p);
	passthrough_bars_free(p);
	free(p);
}

/* The device itself; the guest's side of it was cleared. */
static int reset_device(struct passthrough *p)
{
	int rc;

	passthrough_irqs_off(p);
	rc = iol_vfio_reset(p->dev, NULL);
	p->power = 0;
	passthrough_command(p);
	return rc;
}

static int reset(struct iol_pci_function *fn)
{
	struct passthrough *p = passthrough_of(fn);
	int rc = reset_device(p);

	if (rc == -ENOTTY) {
		rc = iol_vfio_hot_reset(p->dev);
		passthrough_command(p);
	}
	return rc;
}

static bool touches(unsigned int off, unsigned int len, unsigned int at, unsigned int size)
{
	return off < at + size && at < off + len;
}

/* Whether the guest asked for a reset of the function, by one of the two ways to do so. */
static bool take_reset(struct passthrough *p)
{
	uint8_t *control = p->fn.config + p->pcie + PCI_EXP_DEVCTL + 1;
	bool asked = false;

	if (p->pcie && *control & PCI_EXP_DEVCTL_BCR_FLR >> 8) {
		*control = 0;
		asked = p->can_flr;
	}
	control = p->fn.config + p->af + AF_CTRL_OFF;
	if (p->af && *control & PCI_AF_CTRL_FLR) {
		*control = 0;
		asked |= p->can_af;
	}
	return asked;
}

/*
 * The guest wrote the power state: the kernel puts the device there, and the device answers as hardware does. Registers
 * of one that sleeps fault in the host, so the guest must have lost them before, and has them again only afterwards.
 */
static void set_power(struct passthrough *p, unsigned int off, unsigned int len)
{
	unsigned int at = p->pm + PCI_PM_CTRL, before = p->power;
	uint8_t now = PCI_PM_CTRL_STATE_MASK;

	if (p->fn.config[at] & PCI_PM_CTRL_STATE_MASK)
		pci_function_sleep(&p->fn, true);
	passthrough_forward(p, off, len);
	iol_vfio_region_read(p->dev, IOL_REGION_CONFIG, at, &now, sizeof(now));
	p->power = now & PCI_PM_CTRL_STATE_MASK;
	if (before == PCI_PM_CTRL_STATE_MASK && !p->power && p->soft_reset) {
		/* From D3 it comes back as after a reset (PCI PM 1.2, 5.4.1). */
		pci_function_clear(&p->fn);
		passthrough_irqs_off(p);
		passthrough_command(p);
	}
	pci_function_sleep(&p->fn, p->power);
}

static void config_written(struct iol_pci_function *fn, unsigned int off, unsigned int len)
{
	struct passthrough *p = passthrough_of(fn);

	if (touches(off, len, PCI_COMMAND, 2))
		passthrough_command(p);
	if (p->pm && touches(off, len, p->pm + PCI_PM_CTRL, 1))
		set_power(p, off, len);
	else
		passthrough_forward(p, off, len);
	if (take_reset(p)) {
		pci_function_clear(fn);
		if (reset_device(p))
			iol_log(IOL_LOG_WARNING, "a guest's reset of its device failed: %s",
				iol_error());
	}
	passthrough_irqs_update(p);
}

static bool take(int fd)
{
	eventfd_t came;

	return fd >= 0 && !eventfd_read(fd, &came);
}

static int poll_events(struct iol_pci_function *fn)
{
	struct passthrough *p = passthrough_of(fn);

	if (take(p->error_fd))
		return iol_fail(EIO,
				"%s reports an error that it can't recover from (the host's log "
				"has more): stop the guest",
				p->dev->name);
	if (take(p->request_fd))
		return iol_fail(ENODEV, "the host wants %s back: take it from the guest",
				p->dev->name);
	return 0;
}

static const struct pci_function_ops ops = {
	.destroy = destroy,
	.config_read = passthrough_config_read,
	.config_written = config_written,
	.bar_access = passthrough_bar_access,
	.bar_moved = passthrough_bar_moved,
	.reset = reset,
	.poll = poll_events,
};

static int set_up(struct passthrough *p, const struct iol_passthrough_spec *spec)
{
	int rc = iol_vfio_open(spec->ctx, &spec->device, &p->dev);

	if (!rc)
		rc = passthrough_config(p);
	if (!rc)
		rc = passthrough_bars(p, spec->no_rom);
	if (!rc)
		rc = passthrough_irqs(p);
	if (rc)
		return rc;
	passthrough_caps(p);
	passthrough_ext_caps(p);
	passthrough_config_done(p);
	passthrough_command(p);
	p->told = !spec->ops->vfio_add(spec->vm, told_fd(p));
	return 0;
}

int iol_passthrough_new(const struct iol_passthrough_spec *spec, struct iol_pci_function **fn)
{
	struct passthrough *p = calloc(1, sizeof(*p));
	struct iol_pci_function *f = (struct iol_pci_function *)p;
	int rc;

	if (!p)
		return iol_fail(ENOMEM, "no memory for a function");
	pci_function_init(f, &ops, spec->ops, spec->vm, spec->slot);
	p->no_map = spec->no_map;
	p->intx_fd = p->resample_fd = p->error_fd = p->request_fd = -1;
	rc = set_up(p, spec);
	if (rc) {
		iol_pci_function_destroy(&f);
		return rc;
	}
	*fn = f;
	return 0;
}

struct iol_vfio_device *iol_passthrough_device(struct iol_pci_function *fn)
{
	return passthrough_of(fn)->dev;
}
