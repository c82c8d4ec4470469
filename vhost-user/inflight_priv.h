/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IOL_VHOST_USER_INFLIGHT_PRIV_H
#define IOL_VHOST_USER_INFLIGHT_PRIV_H

#include "vhost-user/inflight.h"

/** iol_inflight_queue() - The part of queue @index, which there must be. */
static inline void *iol_inflight_queue(const struct iol_inflight *inflight, unsigned int index)
{
	return inflight->queues + index * inflight->stride;
}

#endif
