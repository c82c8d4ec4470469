/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupts as eventfds (linux/vfio.h, VFIO_DEVICE_SET_IRQS). */
#include "vfio/device.h"

#include "base/error.h"
#include "base/own.h"

#include <fcntl.h>
#include <linux/vfio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

static const char *const kind_names[IOL_IRQ_KINDS] = { "INTx", "MSI", "MSI-X", "error", "request" };

int device_irqs(struct iol_vfio_device *dev, unsigned int num)
{
	for (unsigned int i = 0; i < num && i < IOL_IRQ_KINDS; i++) {
		struct vfio_irq_info info = { .argsz = sizeof(info), .index = i };

		/* A kind that this device can't have is no failure (errors of devices without PCIe). */
		if (ioctl(dev->fd, VFIO_DEVICE_GET_IRQ_INFO, &info)) {
			if (errno == EINVAL)
				continue;
			return iol_fail(errno, "cannot ask %s for its %s interrupts: %s", dev->name,
					kind_names[i], strerror(errno));
		}
		if (info.count > IRQ_VECTORS_MAX)
			return iol_fail(EBADMSG, "%s claims %u %s interrupts", dev->name,
					info.count, kind_names[i]);
		if (!(info.flags & VFIO_IRQ_INFO_EVENTFD))
			continue;
		dev->irqs[i].info = (struct iol_irq_info){
			.count = info.count,
			.maskable = info.flags & VFIO_IRQ_INFO_MASKABLE,
			.automasked = info.flags & VFIO_IRQ_INFO_AUTOMASKED,
			.dynamic = !(info.flags & VFIO_IRQ_INFO_NORESIZE),
		};
	}
	return 0;
}

static void free_vectors(struct device_irq *irq)
{
	for (unsigned int i = 0; irq->fds && i < irq->info.count; i++) {
		iol_close(&irq->fds[i]);
		iol_close(&irq->parked[i]);
	}
	free(iol_take_ptr(irq->fds));
	free(iol_take_ptr(irq->parked));
	free(iol_take_ptr(irq->masked));
	irq->set = 0;
}

void device_irqs_free(struct iol_vfio_device *dev)
{
	for (unsigned int i = 0; i < IOL_IRQ_KINDS; i++)
		free_vectors(&dev->irqs[i]);
}

int iol_irq_info(const struct iol_vfio_device *dev, enum iol_irq kind, struct iol_irq_info *info)
{
	if ((unsigned int)kind >= IOL_IRQ_KINDS)
		return iol_fail(EINVAL, "there is no kind %d of interrupts", (int)kind);
	*info = dev->irqs[kind].info;
	return 0;
}

/* One call. @fds: NULL with @num 0 ends all, otherwise without data. Return: 0, or a negative errno. */
static int set_irqs(const struct iol_vfio_device *dev, enum iol_irq kind, uint32_t action,
		    unsigned int start, const int *fds, unsigned int num)
{
	size_t len = sizeof(struct vfio_irq_set) + (fds ? num * sizeof(*fds) : 0);
	_cleanup_free_ struct vfio_irq_set *set = calloc(1, len);
	int rc;

	if (!set)
		return -ENOMEM;
	set->argsz = (uint32_t)len;
	set->flags = action | (fds ? VFIO_IRQ_SET_DATA_EVENTFD : VFIO_IRQ_SET_DATA_NONE);
	set->index = kind;
	set->start = start;
	set->count = num;
	if (fds)
		memcpy(set->data, fds, num * sizeof(*fds));
	rc = ioctl(dev->fd, VFIO_DEVICE_SET_IRQS, set);
	if (rc < 0)
		return -errno;
	/* More than the processors have vectors for: it tells how many there are. */
	return rc ? -ENOSPC : 0;
}

/*
 * An eventfd of our own for a vector. Without an eventfd the kernel takes a vector's message away from the device: MSI-X
 * masks it first, but MSI mostly can't, and the device would go on and write 0 to the address 0.
 */
static int park(const struct device_irq *irq, unsigned int vector)
{
	if (irq->parked[vector] < 0)
		irq->parked[vector] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return irq->parked[vector] < 0 ? -errno : irq->parked[vector];
}

/* Tell the kernel of vectors as they are noted, but for those that are masked. */
static int tell(const struct iol_vfio_device *dev, enum iol_irq kind, unsigned int start,
		unsigned int num)
{
	const struct device_irq *irq = &dev->irqs[kind];
	_cleanup_free_ int *fds = malloc(num * sizeof(*fds));

	if (!fds)
		return -ENOMEM;
	for (unsigned int i = 0; i < num; i++) {
		fds[i] = irq->masked[start + i] ? -1 : irq->fds[start + i];
		if (fds[i] >= 0 || kind != IOL_IRQ_MSI)
			continue;
		fds[i] = park(irq, start + i);
		if (fds[i] < 0)
			return fds[i];
	}
	return set_irqs(dev, kind, VFIO_IRQ_SET_ACTION_TRIGGER, start, fds, num);
}

static int stop(const struct iol_vfio_device *dev, enum iol_irq kind)
{
	static const int nobody = -1;

	/* The kernel fails to end errors and requests that nobody hears any more; this it always takes. */
	if (kind > IOL_IRQ_MSIX)
		return set_irqs(dev, kind, VFIO_IRQ_SET_ACTION_TRIGGER, 0, &nobody, 1);
	return set_irqs(dev, kind, VFIO_IRQ_SET_ACTION_TRIGGER, 0, NULL, 0);
}

static void signal_all(const struct device_irq *irq, unsigned int start, unsigned int num)
{
	for (unsigned int i = start; i < start + num; i++)
		if (irq->fds[i] >= 0 && !irq->masked[i])
			eventfd_write(irq->fds[i], 1);
}

static int check_free(const struct iol_vfio_device *dev, enum iol_irq kind)
{
	for (enum iol_irq other = IOL_IRQ_INTX; kind <= IOL_IRQ_MSIX && other <= IOL_IRQ_MSIX;
	     other++)
		if (other != kind && dev->irqs[other].set)
			return iol_fail(EBUSY, "%s can't use %s while it uses %s: end those first",
					dev->name, kind_names[kind], kind_names[other]);
	return 0;
}

static int check_vectors(const struct iol_vfio_device *dev, enum iol_irq kind, unsigned int start,
			 unsigned int num)
{
	unsigned int count;

	if ((unsigned int)kind >= IOL_IRQ_KINDS)
		return iol_fail(EINVAL, "there is no kind %d of interrupts", (int)kind);
	count = dev->irqs[kind].info.count;
	if (!num || start >= count || num > count - start)
		return iol_fail(EINVAL, "%s has %u %s interrupts, not %u + %u", dev->name, count,
				kind_names[kind], start, num);
	return 0;
}

static int make_vectors(struct device_irq *irq)
{
	if (irq->fds)
		return 0;
	irq->fds = malloc(irq->info.count * sizeof(*irq->fds));
	irq->parked = malloc(irq->info.count * sizeof(*irq->parked));
	irq->masked = calloc(irq->info.count, sizeof(*irq->masked));
	if (!irq->fds || !irq->parked || !irq->masked) {
		free(iol_take_ptr(irq->fds));
		free(iol_take_ptr(irq->parked));
		free(iol_take_ptr(irq->masked));
		return iol_fail(ENOMEM, "no memory for %u interrupts", irq->info.count);
	}
	memset(irq->fds, -1, irq->info.count * sizeof(*irq->fds));
	memset(irq->parked, -1, irq->info.count * sizeof(*irq->parked));
	return 0;
}

/* Duplicates of @num descriptors; -1 stays -1. */
static int duplicate(const int *fds, unsigned int num, int **copies)
{
	_cleanup_free_ int *c = malloc(num * sizeof(*c));

	if (!c)
		return iol_fail(ENOMEM, "no memory for %u interrupts", num);
	for (unsigned int i = 0; i < num; i++) {
		c[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
		if (fds[i] >= 0 && c[i] < 0) {
			int err = errno;

			while (i--)
				iol_close(&c[i]);
			return iol_fail(err, "cannot keep an eventfd: %s%s", strerror(err),
					err == EMFILE ? " (ulimit -n)" : "");
		}
	}
	*copies = iol_take_ptr(c);
	return 0;
}

static void swap(int *a, int *b, unsigned int num)
{
	for (unsigned int i = 0; i < num; i++) {
		int held = a[i];

		a[i] = b[i];
		b[i] = held;
	}
}

int iol_irq_set(struct iol_vfio_device *dev, enum iol_irq kind, unsigned int start, const int *fds,
		unsigned int num)
{
	unsigned int end = start + num, from, held;
	_cleanup_free_ int *copies = NULL;
	struct device_irq *irq;
	int rc = check_vectors(dev, kind, start, num);
	bool all;

	if (!rc)
		rc = check_free(dev, kind);
	if (rc)
		return rc;
	irq = &dev->irqs[kind];
	rc = duplicate(fds, num, &copies);
	if (rc)
		return rc;
	rc = make_vectors(irq);
	if (!rc) {
		/* More vectors than the kernel took at first may mean to begin anew. */
		all = irq->set && end > irq->set && !irq->info.dynamic;
		from = irq->set && !all ? start : 0;
		held = irq->set > from ? (irq->set < end ? irq->set : end) - from : 0;
		swap(&irq->fds[start], copies, num);
		rc = all ? stop(dev, kind) : 0;
		if (!rc)
			rc = tell(dev, kind, from, end - from);
		if (rc) {
			swap(&irq->fds[start], copies, num);
			/* As it was: there was room for these. The kernel takes all down when it fails at one. */
			if (held)
				tell(dev, kind, from, held);
		}
		/* Nobody may miss what came meanwhile. */
		if (all || rc)
			signal_all(irq, from, held);
		if (rc)
			rc = iol_fail(-rc, "cannot set %s interrupts %u + %u of %s: %s",
				      kind_names[kind], start, num, dev->name,
				      rc == -ENOSPC ? "the machine has not so many left"
						    : strerror(-rc));
	}
	for (unsigned int i = 0; i < num; i++)
		iol_close(&copies[i]);
	if (rc && !irq->set)
		free_vectors(irq);
	if (!rc && end > irq->set)
		irq->set = end;
	return rc;
}

int iol_irq_clear(struct iol_vfio_device *dev, enum iol_irq kind)
{
	struct device_irq *irq;
	int rc;

	if ((unsigned int)kind >= IOL_IRQ_KINDS)
		return iol_fail(EINVAL, "there is no kind %d of interrupts", (int)kind);
	irq = &dev->irqs[kind];
	if (!irq->set)
		return 0;
	rc = stop(dev, kind);
	if (rc)
		return iol_fail(-rc, "cannot end %s interrupts of %s: %s", kind_names[kind],
				dev->name, strerror(-rc));
	free_vectors(irq);
	return 0;
}

/* By another eventfd, or none; what came to the other meanwhile is handed on. */
static int mask_by_fd(struct iol_vfio_device *dev, enum iol_irq kind, unsigned int vector, bool on)
{
	struct device_irq *irq = &dev->irqs[kind];
	bool was = irq->masked[vector];
	eventfd_t came;
	int rc;

	if (was == on)
		return 0;
	if (on && irq->parked[vector] >= 0)
		eventfd_read(irq->parked[vector], &came);
	irq->masked[vector] = on;
	rc = tell(dev, kind, vector, 1);
	if (rc)
		irq->masked[vector] = was;
	else if (!on && irq->parked[vector] >= 0 && !eventfd_read(irq->parked[vector], &came))
		eventfd_write(irq->fds[vector], 1);
	return rc;
}

static int mask(struct iol_vfio_device *dev, enum iol_irq kind, unsigned int vector, bool on)
{
	int rc = check_vectors(dev, kind, vector, 1);
	struct device_irq *irq;

	if (rc)
		return rc;
	irq = &dev->irqs[kind];
	if (vector >= irq->set || irq->fds[vector] < 0)
		return iol_fail(EINVAL, "nobody listens to %s interrupt %u of %s", kind_names[kind],
				vector, dev->name);
	if (irq->info.maskable)
		rc = set_irqs(dev, kind, on ? VFIO_IRQ_SET_ACTION_MASK : VFIO_IRQ_SET_ACTION_UNMASK,
			      vector, NULL, 1);
	else
		rc = mask_by_fd(dev, kind, vector, on);
	if (rc)
		return iol_fail(-rc, "cannot %s %s interrupt %u of %s: %s", on ? "mask" : "unmask",
				kind_names[kind], vector, dev->name, strerror(-rc));
	return 0;
}

int iol_irq_mask(struct iol_vfio_device *dev, enum iol_irq kind, unsigned int vector)
{
	return mask(dev, kind, vector, true);
}

int iol_irq_unmask(struct iol_vfio_device *dev, enum iol_irq kind, unsigned int vector)
{
	return mask(dev, kind, vector, false);
}

int iol_irq_resample(struct iol_vfio_device *dev, int fd)
{
	int rc = check_vectors(dev, IOL_IRQ_INTX, 0, 1);

	if (rc)
		return rc;
	if (!dev->irqs[IOL_IRQ_INTX].set)
		return iol_fail(EINVAL, "INTx of %s is not set as yet", dev->name);
	rc = set_irqs(dev, IOL_IRQ_INTX, VFIO_IRQ_SET_ACTION_UNMASK, 0, &fd, 1);
	if (rc)
		return iol_fail(-rc, "cannot have INTx of %s unmasked by an eventfd: %s", dev->name,
				strerror(-rc));
	return 0;
}
