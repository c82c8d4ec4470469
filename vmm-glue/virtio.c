/* SPDX-License-Identifier: BSD-3-Clause */
/* A virtio device as a PCI function: its configuration space, its turns, its beginning and end. */
#include "vmm-glue/virtio.h"

#include "base/event.h"
#include "base/own.h"
#include "vmm-glue/msix.h"

#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#define VENDOR       0x1af4u
#define DEVICE_FIRST 0x1040u
#define REVISION     1u
#define PIN_INTA     1u

#define MSIX_BAR      2u
#define MSIX_BAR_SIZE 4096u

#define QUEUE_SIZE     256u
#define QUEUE_SIZE_MAX 32768u

/* ---- the configuration space ---- */

static int add_structure(struct virtio *v, uint8_t type, uint32_t off, uint32_t len,
			 unsigned int more)
{
	unsigned int bytes = (unsigned int)sizeof(struct virtio_pci_cap) + more;
	int at = pci_function_add_cap(&v->fn, PCI_CAP_ID_VNDR, bytes);

	if (at < 0)
		return at;
	pci_function_put(&v->fn, at + VIRTIO_PCI_CAP_LEN, 1, bytes);
	pci_function_put(&v->fn, at + VIRTIO_PCI_CAP_CFG_TYPE, 1, type);
	pci_function_put(&v->fn, at + VIRTIO_PCI_CAP_BAR, 1, VIRTIO_BAR);
	pci_function_put(&v->fn, at + VIRTIO_PCI_CAP_OFFSET, 4, off);
	pci_function_put(&v->fn, at + VIRTIO_PCI_CAP_LENGTH, 4, len);
	return at;
}

/* The other way to the registers (virtio 1.3, 4.1.4.9): where to, how many bytes, and a window to them. */
static int add_window(struct virtio *v)
{
	int at = add_structure(v, VIRTIO_PCI_CAP_PCI_CFG, 0, 0, 4);

	if (at < 0)
		return at;
	v->window = (unsigned int)at + VIRTIO_PCI_NOTIFY_CAP_MULT;
	v->fn.writable[at + VIRTIO_PCI_CAP_BAR] = 0xff;
	memset(v->fn.writable + at + VIRTIO_PCI_CAP_OFFSET, 0xff, 12);
	return 0;
}

static int add_structures(struct virtio *v)
{
	int rc;

	rc = add_structure(v, VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_COMMON, VIRTIO_STRUCTURE, 0);
	if (rc < 0)
		return rc;
	rc = add_structure(v, VIRTIO_PCI_CAP_NOTIFY_CFG, VIRTIO_NOTIFY,
			   v->nqueues * VIRTIO_NOTIFY_MUL, 4);
	if (rc < 0)
		return rc;
	pci_function_put(&v->fn, rc + VIRTIO_PCI_NOTIFY_CAP_MULT, 4, VIRTIO_NOTIFY_MUL);
	rc = add_structure(v, VIRTIO_PCI_CAP_ISR_CFG, VIRTIO_ISR, 1, 0);
	if (rc < 0)
		return rc;
	rc = add_structure(v, VIRTIO_PCI_CAP_DEVICE_CFG, VIRTIO_DEVICE, v->config_size, 0);
	return rc < 0 ? rc : add_window(v);
}

static int add_msix(struct virtio *v)
{
	unsigned int vectors = v->nqueues + 1;
	struct iol_pci_bar bar = { .size = MSIX_BAR_SIZE };
	struct msix *msix = NULL;
	int rc;

	/* The table in the lower half, what is pending in the upper. */
	while (bar.size / 2 < (uint64_t)vectors * MSIX_ENTRY_SIZE)
		bar.size *= 2;
	rc = pci_function_set_bar(&v->fn, MSIX_BAR, &bar);
	if (!rc)
		rc = msix_new(vectors, v->fn.vm_ops, v->fn.vm, NULL, NULL, &msix);
	if (rc < 0)
		return rc;
	return pci_function_set_msix(&v->fn, 0, MSIX_BAR, (uint32_t)bar.size / 2 | MSIX_BAR, msix);
}

static int make_config(struct virtio *v)
{
	const struct iol_pci_bar bar = { .size = VIRTIO_BAR_SIZE, .is_64 = true };
	uint32_t device = DEVICE_FIRST + v->type->id;
	int rc;

	pci_function_put(&v->fn, PCI_VENDOR_ID, 2, VENDOR);
	pci_function_put(&v->fn, PCI_DEVICE_ID, 2, device);
	pci_function_put(&v->fn, PCI_SUBSYSTEM_VENDOR_ID, 2, VENDOR);
	pci_function_put(&v->fn, PCI_SUBSYSTEM_ID, 2, device);
	pci_function_put(&v->fn, PCI_CLASS_REVISION, 4, v->type->class << 8 | REVISION);
	pci_function_put(&v->fn, PCI_INTERRUPT_PIN, 1, PIN_INTA);
	rc = pci_function_set_bar(&v->fn, VIRTIO_BAR, &bar);
	if (!rc)
		rc = add_structures(v);
	return rc < 0 ? rc : add_msix(v);
}

/* Where the window looks: *@len bytes, at *@off of the BAR. */
static bool window_shows(struct virtio *v, uint32_t *off, uint32_t *len)
{
	unsigned int cap = v->window - VIRTIO_PCI_NOTIFY_CAP_MULT;

	*off = pci_function_get(&v->fn, cap + VIRTIO_PCI_CAP_OFFSET, 4);
	*len = pci_function_get(&v->fn, cap + VIRTIO_PCI_CAP_LENGTH, 4);
	return pci_function_get(&v->fn, cap + VIRTIO_PCI_CAP_BAR, 1) == VIRTIO_BAR &&
	       (*len == 1 || *len == 2 || *len == 4) && *off % *len == 0 && *off < VIRTIO_BAR_SIZE;
}

static void config_read(struct iol_pci_function *fn, unsigned int off, unsigned int len,
			uint32_t *value)
{
	struct virtio *v = virtio_of(fn);
	uint32_t at, n, data = 0;

	if (off - v->window >= 4 || !window_shows(v, &at, &n))
		return;
	virtio_bar_access(fn, VIRTIO_BAR, at, &data, n, false);
	pci_function_put(fn, v->window, n, le32toh(data));
	*value = pci_function_get(fn, off, len);
}

static void config_written(struct iol_pci_function *fn, unsigned int off, unsigned int len)
{
	struct virtio *v = virtio_of(fn);
	uint32_t at, n, data;

	if (off - v->window < 4 && window_shows(v, &at, &n)) {
		data = htole32(pci_function_get(fn, v->window, n));
		virtio_bar_access(fn, VIRTIO_BAR, at, &data, n, true);
	}
	if (msix_enabled(fn->msix) != v->has_msix) {
		v->has_msix = msix_enabled(fn->msix);
		virtio_renew_calls(v);
	}
	virtio_update_intx(v);
	virtio_settle(v);
}

static void bar_moved(struct iol_pci_function *fn, unsigned int bar, uint64_t gpa, bool decodes)
{
	if (bar == VIRTIO_BAR)
		virtio_move_bells(virtio_of(fn), decodes);
}

/* ---- its turns ---- */

static int poll_function(struct iol_pci_function *fn)
{
	struct virtio *v = virtio_of(fn);

	virtio_poll_backend(v);
	if (iol_event_take(v->err))
		v->queue_failed = true;
	virtio_poll_intx(v);
	virtio_ctrl_poll(v);
	virtio_settle(v);
	return 0;
}

static int reset(struct iol_pci_function *fn)
{
	struct virtio *v = virtio_of(fn);

	virtio_remove_intx(v);
	v->has_msix = false;
	virtio_reset(v);
	virtio_settle(v);
	return 0;
}

static void destroy(struct iol_pci_function *fn)
{
	struct virtio *v = virtio_of(fn);

	/* When it is gone nobody writes to guest memory. */
	if (v->fe) {
		virtio_reset(v);
		iol_guest_memory_detach(v->mem, v->fe);
	}
	virtio_remove_intx(v);
	iol_frontend_destroy(&v->fe);
	virtio_free_queues(v);
	iol_close(&v->err);
	iol_close(&v->timer);
	iol_close(&v->isr_call);
	iol_close(&v->intx);
	iol_close(&v->resample);
	iol_close(&v->fn.fd);
	free(v->path);
	free(v);
}

static const struct pci_function_ops ops = {
	.destroy = destroy,
	.config_read = config_read,
	.config_written = config_written,
	.bar_access = virtio_bar_access,
	.bar_moved = bar_moved,
	.reset = reset,
	.poll = poll_function,
};

/* ---- its beginning ---- */

static int make_descriptors(struct virtio *v)
{
	int *const events[] = { &v->err, &v->isr_call, &v->intx, &v->resample };
	int *const watched[] = { &v->timer, &v->err, &v->isr_call, &v->resample };
	unsigned int i;
	int rc = 0;

	v->fn.fd = epoll_create1(EPOLL_CLOEXEC);
	v->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	for (i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		*events[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (v->fn.fd < 0 || v->timer < 0 || v->err < 0 || v->isr_call < 0 || v->intx < 0 ||
	    v->resample < 0)
		return iol_fail(errno, "cannot make the descriptors of a device: %s",
				strerror(errno));
	for (i = 0; !rc && i < sizeof(watched) / sizeof(watched[0]); i++)
		rc = virtio_watch(v, *watched[i]);
	return rc;
}

static const struct virtio_type *find_type(uint16_t id)
{
	return id == virtio_blk.id ? &virtio_blk : id == virtio_net.id ? &virtio_net : NULL;
}

static int make(struct virtio *v, const struct iol_virtio_spec *spec)
{
	int rc;

	rc = make_descriptors(v);
	if (!rc)
		rc = virtio_connect(v, spec);
	if (!rc)
		rc = make_config(v);
	return rc;
}

int iol_virtio_new(const struct iol_virtio_spec *spec, struct iol_pci_function **fn)
{
	const struct virtio_type *type = find_type(spec->type);
	uint16_t size = spec->queue_size ? spec->queue_size : QUEUE_SIZE;
	struct iol_pci_function *f;
	struct virtio *v;
	int rc;

	if (!type)
		return iol_fail(EINVAL, "a virtio device of type %u is not known here", spec->type);
	if (spec->standby && type != &virtio_net)
		return iol_fail(EINVAL, "a %s can't stand by for a VF", type->name);
	if (size & (size - 1) || size > QUEUE_SIZE_MAX || !spec->path)
		return iol_fail(
			EINVAL,
			"a virtio device needs a socket, and queues of a power of two up to "
			"%u, not %u",
			QUEUE_SIZE_MAX, size);
	v = calloc(1, sizeof(*v));
	if (!v)
		return iol_fail(ENOMEM, "out of memory for a %s", type->name);
	pci_function_init(&v->fn, &ops, spec->ops, spec->vm, spec->slot);
	v->type = type;
	v->mem = spec->memory;
	v->err = v->timer = v->isr_call = v->intx = v->resample = -1;
	v->size_max = size;
	v->pairs = 1;
	v->config_vector = VIRTIO_MSI_NO_VECTOR;
	v->path = strdup(spec->path);
	rc = v->path ? make(v, spec) : iol_fail(ENOMEM, "out of memory for a %s", type->name);
	f = &v->fn;
	if (rc < 0)
		iol_pci_function_destroy(&f);
	else
		*fn = f;
	return rc < 0 ? iol_fail_more(rc, "the %s at %s", type->name, spec->path) : 0;
}

bool iol_virtio_stands_by(struct iol_pci_function *fn)
{
	const struct virtio *v = virtio_of(fn);

	return v->status & VIRTIO_CONFIG_S_DRIVER_OK && virtio_has(v, VIRTIO_NET_F_STANDBY);
}
