/* SPDX-License-Identifier: BSD-3-Clause */
/* Messages that only network devices get. */
#include "base/error.h"
#include "vhost-user/session.h"

#include <errno.h>
#include <inttypes.h>

int iol_on_net_set_mtu(struct iol_device *dev, struct iol_msg *msg)
{
	uint64_t mtu = msg->payload.u64;

	if (!dev->ops->set_mtu)
		return iol_fail(EOPNOTSUPP, "the device has no MTU");
	if (mtu < VHOST_USER_MTU_MIN || mtu > VHOST_USER_MTU_MAX)
		return iol_fail(EINVAL, "an MTU is %u to %u, not %" PRIu64, VHOST_USER_MTU_MIN,
				VHOST_USER_MTU_MAX, mtu);
	return dev->ops->set_mtu(dev->ctx, mtu);
}

/* The address is in memory order, from the number's lowest byte on; the two bytes above mean nothing. */
int iol_on_send_rarp(struct iol_device *dev, struct iol_msg *msg)
{
	uint8_t mac[6];
	unsigned int i;

	if (!dev->ops->send_rarp)
		return iol_fail(EOPNOTSUPP, "the device announces no addresses");
	for (i = 0; i < sizeof(mac); i++)
		mac[i] = (uint8_t)(msg->payload.u64 >> 8 * i);
	if (mac[0] & 1)
		return iol_fail(EINVAL, "an address of many cannot be announced");
	dev->ops->send_rarp(dev->ctx, mac);
	return 0;
}
