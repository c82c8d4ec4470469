/* SPDX-License-Identifier: BSD-3-Clause */
/* What the kernel says of an interface: RTM_NEWLINK (linux/rtnetlink.h), as far as VFs go. */
#ifndef IOL_SRIOV_LINK_H
#define IOL_SRIOV_LINK_H

#include <iolane/sriov.h>

/* NumVFs is a register of 16 bits (PCIe 6.0, 9.3.3.7). */
#define LINK_VFS_MAX 0xffff

/**
 * struct link_vf - A VF.
 * @told: there was something about it. @counted: and counts; their zeros may be a driver's that does not count.
 */
struct link_vf {
	struct iol_vf_net net;
	struct iol_vf_stats stats;
	bool told, counted;
};

/**
 * struct link - An interface.
 * @flags: IFF_*. @type: ARPHRD_*.
 * @parent: the device that it is of, as sysfs calls it; empty before Linux 5.14.
 */
struct link {
	int index;
	unsigned int flags;
	uint16_t type;
	char parent[IOL_NAME_MAX];
	unsigned int num_vfs;
	struct link_vf *vfs;
};

/**
 * iol_link_parse() - Read the payload of a message RTM_NEWLINK.
 * @link: the caller ends it with iol_link_clear(), after a failure, too.
 *
 * Return: 0; -EPROTO: the kernel said what is not understood.
 */
int iol_link_parse(const void *data, size_t len, struct link *link);
void iol_link_clear(struct link *link);

#define _cleanup_link_ _cleanup_(iol_link_clear)

#endif
