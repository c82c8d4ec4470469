/* SPDX-License-Identifier: BSD-3-Clause */
/* The switch inside a NIC: its mode and its ports, by devlink (linux/devlink.h). */
#ifndef IOL_SRIOV_DEVLINK_H
#define IOL_SRIOV_DEVLINK_H

#include <iolane/sriov.h>

/**
 * iol_devlink_eswitch_set() - Set the mode that iol_pf_eswitch() tells. It may take the interfaces of VFs away, or bring
 * representors, and some drivers take it only while there are no VFs.
 *
 * Return: 0; -EINVAL: there is no such mode; -EOPNOTSUPP: the driver has no modes; others of the kernel.
 */
int iol_devlink_eswitch_set(const struct iol_host *host, const struct iol_pf *pf, const char *mode);

#endif
