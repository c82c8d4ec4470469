/* SPDX-License-Identifier: BSD-3-Clause */
/* Registers: the structures in the BAR (virtio 1.3, 4.1.4), and the device's status (2.1). */
#include "vmm-glue/virtio.h"

#include "base/event.h"

#include <endian.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <string.h>

/* struct virtio_pci_common_cfg as virtio 1.3 has it; all is little-endian. */
struct common {
	uint32_t device_feature_select, device_feature, driver_feature_select, driver_feature;
	uint16_t config_vector, num_queues;
	uint8_t status, generation;
	uint16_t queue_select, queue_size, queue_vector, queue_enable, queue_notify_off;
	uint64_t queue_addr[3];
	uint16_t queue_notify_data, queue_reset, admin_index, admin_num;
};

_Static_assert(offsetof(struct common, queue_addr) == VIRTIO_PCI_COMMON_Q_DESCLO, "common");
_Static_assert(sizeof(struct common) == 64, "common");

#define STATUS_KNOWN                                                                               \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK |        \
	 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED)

#define COMPLAINTS_MAX 10u

static struct virtio_queue *selected(struct virtio *v)
{
	return v->select < v->nqueues ? &v->queues[v->select] : NULL;
}

static uint32_t half(uint64_t bits, uint32_t select)
{
	return select > 1 ? 0 : (uint32_t)(bits >> 32 * select);
}

static void read_common(struct virtio *v, struct common *c)
{
	const struct virtio_queue *q = selected(v);

	*c = (struct common){
		.device_feature_select = htole32(v->offer_select),
		.device_feature = htole32(half(v->offered, v->offer_select)),
		.driver_feature_select = htole32(v->feature_select),
		.driver_feature = htole32(half(v->features, v->feature_select)),
		.config_vector = htole16(v->config_vector),
		.num_queues = htole16((uint16_t)v->nqueues),
		.status = v->status,
		.generation = v->generation,
		.queue_select = htole16(v->select),
		.queue_vector = htole16(VIRTIO_MSI_NO_VECTOR),
	};
	if (!q)
		return;
	c->queue_size = htole16(q->size);
	c->queue_vector = htole16(q->vector);
	c->queue_enable = htole16(q->enabled);
	c->queue_notify_off = htole16(v->select);
	c->queue_addr[0] = htole64(q->desc);
	c->queue_addr[1] = htole64(q->driver);
	c->queue_addr[2] = htole64(q->device);
}

/* ---- status ---- */

void virtio_complain(struct virtio *v, const char *what)
{
	if (v->complaints++ < COMPLAINTS_MAX)
		iol_log(IOL_LOG_WARNING, "%s: %s: %s", v->path, what, iol_error());
}

void virtio_needs_reset(struct virtio *v)
{
	if (v->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	v->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	virtio_config_changed(v);
}

void virtio_reset(struct virtio *v)
{
	/* What it can't do, having no message for it or no connection, stopping its queues did. */
	if (v->status & VIRTIO_CONFIG_S_DRIVER_OK) {
		iol_frontend_reset(v->fe);
		/* Some of it may be as at first again. */
		v->config_stale = true;
	}
	iol_fe_forget(v->fe);
	virtio_ctrl_stop(v);
	virtio_queues_reset(v);
	iol_event_take(v->err);
	v->pairs = 1;
	v->status = 0;
	v->features = 0;
	v->offer_select = v->feature_select = 0;
	v->select = 0;
	v->config_vector = VIRTIO_MSI_NO_VECTOR;
	v->config_pending = v->queue_failed = false;
	virtio_isr_read(v);
}

/* Bits only come; what may not come yet does not. */
static void write_status(struct virtio *v, uint8_t status)
{
	uint8_t added = status & (uint8_t)~v->status & STATUS_KNOWN;

	if (!status) {
		virtio_reset(v);
		return;
	}
	if (added & VIRTIO_CONFIG_S_FEATURES_OK &&
	    (v->features & ~v->offered || !virtio_has(v, VIRTIO_F_VERSION_1)))
		added &= (uint8_t)~VIRTIO_CONFIG_S_FEATURES_OK;
	if (added & VIRTIO_CONFIG_S_DRIVER_OK &&
	    !((v->status | added) & VIRTIO_CONFIG_S_FEATURES_OK))
		added &= (uint8_t)~VIRTIO_CONFIG_S_DRIVER_OK;
	v->status |= added;
	if (!(added & VIRTIO_CONFIG_S_DRIVER_OK))
		return;
	virtio_start(v);
	if (v->config_pending || v->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		virtio_config_changed(v);
}

static void write_features(struct virtio *v, uint32_t bits)
{
	unsigned int shift = 32 * v->feature_select;

	if (v->feature_select > 1 || v->status & VIRTIO_CONFIG_S_FEATURES_OK)
		return;
	v->features = (v->features & ~(0xffffffffull << shift)) | (uint64_t)bits << shift;
}

/* ---- the common structure ---- */

static void write_address(struct virtio_queue *q, uint64_t at, uint64_t value, unsigned int len)
{
	uint64_t *const addr[] = { &q->desc, &q->driver, &q->device };
	uint64_t *a = addr[at / 8];
	unsigned int shift = at % 8 ? 32 : 0;

	if (len == 8 && !shift)
		*a = value;
	else if (len == 4 && at % 4 == 0)
		*a = (*a & ~(0xffffffffull << shift)) | value << shift;
}

static void write_queue(struct virtio *v, struct virtio_queue *q, uint64_t off, uint64_t value,
			unsigned int len)
{
	if (off == VIRTIO_PCI_COMMON_Q_MSIX && len == 2)
		virtio_set_vector(v, v->select, (uint16_t)value);
	else if (off == offsetof(struct common, queue_reset) && len == 2 && value == 1)
		virtio_reset_queue(v, v->select);
	/* A queue that is enabled keeps what it was enabled with. */
	if (q->enabled)
		return;
	if (off == VIRTIO_PCI_COMMON_Q_SIZE && len == 2 && value && value <= v->size_max)
		q->size = (uint16_t)value;
	else if (off == VIRTIO_PCI_COMMON_Q_ENABLE && len == 2 && value == 1)
		virtio_enable_queue(v, v->select);
	else if (off >= VIRTIO_PCI_COMMON_Q_DESCLO && off < VIRTIO_PCI_COMMON_Q_NDATA)
		write_address(q, off - VIRTIO_PCI_COMMON_Q_DESCLO, value, len);
}

#define FIELD(off, len) ((off) << 4 | (len))

/* Each register is written as a whole (virtio 1.3, 4.1.3.1); only addresses may come in two halves. */
static void write_common(struct virtio *v, uint64_t off, uint64_t value, unsigned int len)
{
	struct virtio_queue *q = selected(v);

	switch (FIELD(off, len)) {
	case FIELD(VIRTIO_PCI_COMMON_DFSELECT, 4):
		v->offer_select = (uint32_t)value;
		break;
	case FIELD(VIRTIO_PCI_COMMON_GFSELECT, 4):
		v->feature_select = (uint32_t)value;
		break;
	case FIELD(VIRTIO_PCI_COMMON_GF, 4):
		write_features(v, (uint32_t)value);
		break;
	case FIELD(VIRTIO_PCI_COMMON_MSIX, 2):
		v->config_vector = virtio_vector(v, (uint16_t)value);
		break;
	case FIELD(VIRTIO_PCI_COMMON_STATUS, 1):
		write_status(v, (uint8_t)value);
		break;
	case FIELD(VIRTIO_PCI_COMMON_Q_SELECT, 2):
		v->select = (uint16_t)value;
		break;
	default:
		if (q)
			write_queue(v, q, off, value, len);
		break;
	}
}

/* ---- the BAR ---- */

/* [@off, @off + @len) of a structure of @size bytes; what lies beyond reads as zeroes. */
static void copy_out(void *data, unsigned int len, const void *from, size_t size, uint64_t off)
{
	if (off < size)
		memcpy(data, (const uint8_t *)from + off, len < size - off ? len : size - off);
}

static void read_bar(struct virtio *v, uint64_t structure, uint64_t off, void *data,
		     unsigned int len)
{
	struct common common;
	uint8_t isr;

	memset(data, 0, len);
	switch (structure) {
	case VIRTIO_COMMON:
		read_common(v, &common);
		copy_out(data, len, &common, sizeof(common), off);
		break;
	case VIRTIO_ISR:
		if (off)
			break;
		isr = virtio_isr_read(v);
		memcpy(data, &isr, 1);
		break;
	case VIRTIO_DEVICE:
		copy_out(data, len, v->config, v->config_size, off);
		break;
	default:
		break;
	}
}

static void write_bar(struct virtio *v, uint64_t structure, uint64_t off, const void *data,
		      unsigned int len)
{
	uint64_t value = 0;

	memcpy(&value, data, len);
	value = le64toh(value);
	switch (structure) {
	case VIRTIO_COMMON:
		write_common(v, off, value, len);
		break;
	case VIRTIO_DEVICE:
		if (off < v->config_size && len <= v->config_size - off && v->type->config_write)
			v->type->config_write(v, (uint32_t)off, data, len);
		break;
	case VIRTIO_NOTIFY:
		/* The machine has the doorbell, or lacks room for one more. */
		off /= VIRTIO_NOTIFY_MUL;
		if (off < v->nqueues && v->queues[off].enabled)
			iol_event_signal(v->queues[off].kick);
		break;
	default:
		break;
	}
}

void virtio_bar_access(struct iol_pci_function *fn, unsigned int bar, uint64_t off, void *data,
		       unsigned int len, bool write)
{
	struct virtio *v = virtio_of(fn);
	uint64_t structure = off & ~(uint64_t)(VIRTIO_STRUCTURE - 1);

	if (bar != VIRTIO_BAR || len > 8) {
		if (!write)
			memset(data, 0, len);
		return;
	}
	off -= structure;
	if (!write) {
		read_bar(v, structure, off, data, len);
		return;
	}
	write_bar(v, structure, off, data, len);
	virtio_settle(v);
}
