/* SPDX-License-Identifier: BSD-3-Clause */
/* The settings of a NIC's VFs, and whether it is up, over rtnetlink. One socket serves all PFs of a plan. */
#ifndef IOL_SRIOV_RTNL_H
#define IOL_SRIOV_RTNL_H

#include "sriov/nl.h"

#include <iolane/sriov.h>

/** struct rtnl - @pf: the device that the interface @ifindex was seen to be of, lately. */
struct rtnl {
	struct nl nl;
	char pf[IOL_NAME_MAX];
	int ifindex;
};

int iol_rtnl_open(struct rtnl *rtnl, const struct iol_host *host);
void iol_rtnl_close(struct rtnl *rtnl);

#define _cleanup_rtnl_ _cleanup_(iol_rtnl_close)

/** iol_rtnl_vfs() - iol_vf_net_list() with a socket that is there already: one question. */
int iol_rtnl_vfs(struct rtnl *rtnl, const struct iol_pf *pf, struct iol_vf_net **list);

/**
 * iol_rtnl_vf_set() - Give a VF one setting of @value's.
 *
 * Return: 0; -EOPNOTSUPP or -EPROTONOSUPPORT: the driver has no such setting, or not all of it; -EINVAL: it does not take
 * the value; others of the kernel. The sentence has PF, VF, setting, value and the kernel's words. Drivers may round, and
 * some ignore: reading back tells.
 */
int iol_rtnl_vf_set(struct rtnl *rtnl, const struct iol_pf *pf, unsigned int index,
		    enum iol_vf_setting setting, const struct iol_vf_net *value);

/** iol_rtnl_up() - Take an interface up, or down. It has a carrier some time later: iol_rtnl_wait_carrier(). */
int iol_rtnl_up(struct rtnl *rtnl, const char *netdev, bool up);

/** iol_rtnl_is_up() - Return: 1 when it is, 0 when not; -ENODEV: there is no such interface. */
int iol_rtnl_is_up(struct rtnl *rtnl, const char *netdev);

/** iol_rtnl_wait_carrier() - Until it has one. Return: 0; -ETIMEDOUT: it had none in @ms milliseconds. */
int iol_rtnl_wait_carrier(struct rtnl *rtnl, const char *netdev, unsigned int ms);

#endif
