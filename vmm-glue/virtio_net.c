/* SPDX-License-Identifier: BSD-3-Clause */
/* A NIC (virtio 1.3, 5.1): the back end has its data queues, and may say something of its config space. */
#include "vmm-glue/virtio.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/random.h>

/* Debian 12's headers lack them (virtio 1.3, 5.1.3). */
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO   56
#endif

#define CONFIG_SIZE (offsetof(struct virtio_net_config, mtu) + 2)

/* With the control queue, which is answered here. */
#define PAIRS_MAX ((VIRTIO_QUEUES_MAX - 1) / 2)

static bool offers(const struct virtio *v, unsigned int feature)
{
	return v->fe->offered >> feature & 1;
}

static bool has_mac(const uint8_t *mac)
{
	static const uint8_t none[6];

	return memcmp(mac, none, sizeof(none)) != 0 && !(mac[0] & 1);
}

static int offer(struct virtio *v, const struct iol_virtio_spec *spec, const uint8_t *told)
{
	unsigned int max = iol_frontend_queues_max(v->fe) / 2, n = spec->queues;

	if (max > PAIRS_MAX)
		max = PAIRS_MAX;
	if (spec->standby && !has_mac(spec->mac))
		return iol_fail(EINVAL, "a standby NIC needs the address of its VF");
	if (n > max)
		return iol_fail(EINVAL, "the NIC at %s has no %u pairs of queues, only %u", v->path,
				n, max);
	if (!n)
		n = spec->cpus && spec->cpus < max ? spec->cpus : max;
	v->offered |= VIRTIO_BIT(VIRTIO_NET_F_MAC) | VIRTIO_BIT(VIRTIO_NET_F_STATUS);
	if (spec->standby)
		v->offered |= VIRTIO_BIT(VIRTIO_NET_F_STANDBY);
	if (n > 1)
		v->offered |= VIRTIO_BIT(VIRTIO_NET_F_CTRL_VQ);
	else
		v->offered &= ~VIRTIO_BIT(VIRTIO_NET_F_MQ);
	memcpy(v->config, spec->mac, sizeof(spec->mac));
	return virtio_make_queues(v, 2 * n + (n > 1), 2 * n);
}

static int choose_mac(struct virtio *v, struct virtio_net_config *c, const uint8_t *told)
{
	memcpy(c->mac, v->config, sizeof(c->mac));
	if (has_mac(c->mac))
		return 0;
	if (told && offers(v, VIRTIO_NET_F_MAC) && has_mac(told)) {
		memcpy(c->mac, told, sizeof(c->mac));
		return 0;
	}
	if (getrandom(c->mac, sizeof(c->mac), 0) != sizeof(c->mac))
		return iol_fail(errno, "cannot make up an address: %s", strerror(errno));
	/* Administered locally, and one receiver's. */
	c->mac[0] = (uint8_t)((c->mac[0] & ~1u) | 2);
	return 0;
}

static int config(struct virtio *v, const uint8_t *told, bool first)
{
	struct virtio_net_config says = { 0 }, c = { 0 }, old = { 0 };
	int rc;

	if (told)
		memcpy(&says, told, CONFIG_SIZE);
	memcpy(&old, v->config, CONFIG_SIZE);
	c.status = htole16(VIRTIO_NET_S_LINK_UP);
	if (told && offers(v, VIRTIO_NET_F_STATUS))
		c.status = says.status & htole16(VIRTIO_NET_S_LINK_UP);
	c.max_virtqueue_pairs = htole16((uint16_t)(v->ndata / 2));
	if (v->offered & VIRTIO_BIT(VIRTIO_NET_F_MTU))
		c.mtu = says.mtu;
	if (le16toh(c.mtu) < VHOST_USER_MTU_MIN) {
		c.mtu = 0;
		if (first)
			v->offered &= ~VIRTIO_BIT(VIRTIO_NET_F_MTU);
	}
	if (!first && c.mtu != old.mtu)
		return iol_fail(ENOTSUP, "the NIC has an MTU of %u, and the guest was told %u",
				le16toh(c.mtu), le16toh(old.mtu));
	rc = choose_mac(v, &c, told);
	if (rc < 0)
		return rc;
	memcpy(v->config, &c, CONFIG_SIZE);
	v->config_size = CONFIG_SIZE;
	return 0;
}

const struct virtio_type virtio_net = {
	.name = "NIC",
	.id = VIRTIO_ID_NET,
	.class = 0x020000,
	.pairs = true,
	.want = VIRTIO_BIT(VIRTIO_NET_F_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) |
		VIRTIO_BIT(VIRTIO_NET_F_MTU) | VIRTIO_BIT(VIRTIO_NET_F_MAC) |
		VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6) |
		VIRTIO_BIT(VIRTIO_NET_F_GUEST_ECN) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_UFO) |
		VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO6) |
		VIRTIO_BIT(VIRTIO_NET_F_HOST_ECN) | VIRTIO_BIT(VIRTIO_NET_F_HOST_UFO) |
		VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_BIT(VIRTIO_NET_F_STATUS) |
		VIRTIO_BIT(VIRTIO_NET_F_MQ) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_USO4) |
		VIRTIO_BIT(VIRTIO_NET_F_GUEST_USO6) | VIRTIO_BIT(VIRTIO_NET_F_HOST_USO),
	.config_size = CONFIG_SIZE,
	.offer = offer,
	.config = config,
};
