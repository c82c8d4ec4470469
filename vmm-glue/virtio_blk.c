/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk (virtio 1.3, 5.2): its config space is the back end's. */
#include "vmm-glue/virtio.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <string.h>

#define WCE (offsetof(struct virtio_blk_config, wce))

/* Older back ends know no more of it. */
#define CONFIG_SIZE (offsetof(struct virtio_blk_config, max_secure_erase_sectors))

_Static_assert(CONFIG_SIZE == 60, "config");

static int offer(struct virtio *v, const struct iol_virtio_spec *spec, const uint8_t *told)
{
	unsigned int max = iol_frontend_queues_max(v->fe), n = spec->queues;
	struct virtio_blk_config c = { 0 };

	if (!told)
		return iol_fail(ENOTSUP, "the disk at %s does not tell its size", v->path);
	memcpy(&c, told, CONFIG_SIZE);
	if (!(v->offered & VIRTIO_BIT(VIRTIO_BLK_F_MQ)) || !c.num_queues)
		max = 1;
	else if (le16toh(c.num_queues) < max)
		max = le16toh(c.num_queues);
	if (n > max || n > VIRTIO_QUEUES_MAX)
		return iol_fail(EINVAL, "the disk at %s has no %u queues, only %u", v->path, n,
				max);
	if (!n)
		n = spec->cpus && spec->cpus < max ? spec->cpus : max;
	if (n > VIRTIO_QUEUES_MAX)
		n = VIRTIO_QUEUES_MAX;
	if (n == 1)
		v->offered &= ~VIRTIO_BIT(VIRTIO_BLK_F_MQ);
	return virtio_make_queues(v, n, n);
}

static bool has_changed(const struct virtio_blk_config *old, const struct virtio_blk_config *new)
{
	struct virtio_blk_config as = *old;

	as.capacity = new->capacity;
	as.geometry = new->geometry;
	as.wce = new->wce;
	return memcmp(&as, new, CONFIG_SIZE) != 0;
}

static int config(struct virtio *v, const uint8_t *told, bool first)
{
	struct virtio_blk_config old = { 0 }, new = { 0 };
	int rc = 0;

	if (!told)
		return iol_fail(ENOTSUP, "the disk does not tell its size any more");
	memcpy(&new, told, CONFIG_SIZE);
	new.num_queues = htole16((uint16_t)v->ndata);
	memcpy(&old, v->config, CONFIG_SIZE);
	if (!first && has_changed(&old, &new))
		return iol_fail(ENOTSUP,
				"the disk has other blocks or limits than the guest was told of");
	/* A new process knows nothing of what the driver chose. */
	if (!first && virtio_has(v, VIRTIO_BLK_F_CONFIG_WCE) && new.wce != old.wce) {
		new.wce = old.wce;
		rc = iol_frontend_set_config(v->fe, WCE, &new.wce, 1);
	}
	memcpy(v->config, &new, CONFIG_SIZE);
	v->config_size = CONFIG_SIZE;
	return rc;
}

static void config_write(struct virtio *v, uint32_t off, const uint8_t *data, uint32_t len)
{
	uint8_t old = v->config[WCE];

	if (off != WCE || len != 1 || *data > 1 || !virtio_has(v, VIRTIO_BLK_F_CONFIG_WCE) ||
	    !(v->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	v->config[WCE] = *data;
	if (iol_frontend_set_config(v->fe, WCE, data, 1) == -EREMOTEIO)
		v->config[WCE] = old;
}

const struct virtio_type virtio_blk = {
	.name = "disk",
	.id = VIRTIO_ID_BLOCK,
	.class = 0x010000,
	.track = true,
	.want = VIRTIO_BIT(VIRTIO_BLK_F_SIZE_MAX) | VIRTIO_BIT(VIRTIO_BLK_F_SEG_MAX) |
		VIRTIO_BIT(VIRTIO_BLK_F_GEOMETRY) | VIRTIO_BIT(VIRTIO_BLK_F_RO) |
		VIRTIO_BIT(VIRTIO_BLK_F_BLK_SIZE) | VIRTIO_BIT(VIRTIO_BLK_F_FLUSH) |
		VIRTIO_BIT(VIRTIO_BLK_F_TOPOLOGY) | VIRTIO_BIT(VIRTIO_BLK_F_CONFIG_WCE) |
		VIRTIO_BIT(VIRTIO_BLK_F_MQ) | VIRTIO_BIT(VIRTIO_BLK_F_DISCARD) |
		VIRTIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES),
	.config_size = CONFIG_SIZE,
	.offer = offer,
	.config = config,
	.config_write = config_write,
};
