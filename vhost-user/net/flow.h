/* SPDX-License-Identifier: BSD-3-Clause */
/* Which flow a frame belongs to, as a number. */
#ifndef IOL_VHOST_USER_NET_FLOW_H
#define IOL_VHOST_USER_NET_FLOW_H

#include "vhost-user/net/frame.h"

/** iol_flow_hash() - The same for all frames of a flow: addresses, and ports where there are some. */
uint32_t iol_flow_hash(const struct iol_frame *f);

#endif
