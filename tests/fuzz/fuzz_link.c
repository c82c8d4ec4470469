/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the kernel says of an interface and its VFs: a first byte of how many there are, and attributes, those of a list of VFs
 * where the second byte is odd. What is understood is of VFs that there are, and holds values that can be written and read
 * again.
 */
#include "sriov/link.h"

#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

static void demand(bool good)
{
	if (!good)
		abort();
}

static void check_vf(const struct link_vf *vf)
{
	const struct iol_vf_net *net = &vf->net;

	demand(net->has < 1u << IOL_VF_SETTINGS);
	demand(vf->told || (!net->has && !vf->counted));
	if (net->has & 1u << IOL_VF_VLAN)
		demand(net->vlan <= 0xfff && net->qos <= 7 &&
		       (net->vlan_proto == 0x8100 || (net->vlan && net->vlan_proto == 0x88a8)));
	if (net->has & 1u << IOL_VF_LINK)
		demand(net->link <= IOL_VF_LINK_DISABLE);
}

/* In memory of its very size, so that a byte too far is seen. */
static uint8_t *message(const uint8_t *data, size_t size, size_t *len)
{
	const struct ifinfomsg info = { .ifi_index = 1, .ifi_type = ARPHRD_ETHER };
	const struct nlattr number = { sizeof(number) + sizeof(uint32_t), IFLA_NUM_VF };
	const struct nlattr list = { (uint16_t)(sizeof(list) + size - 2), IFLA_VFINFO_LIST };
	const uint32_t num_vfs = data[0];
	uint8_t *at = malloc(sizeof(info) + sizeof(number) + sizeof(num_vfs) + sizeof(list) + size);
	uint8_t *all = at;

	demand(all);
	at = mempcpy(at, &info, sizeof(info));
	at = mempcpy(at, &number, sizeof(number));
	at = mempcpy(at, &num_vfs, sizeof(num_vfs));
	if (data[1] & 1)
		at = mempcpy(at, &list, sizeof(list));
	at = mempcpy(at, data + 2, size - 2);
	*len = (size_t)(at - all);
	all = realloc(all, *len);
	demand(all);
	return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct link link;
	uint8_t *msg;
	unsigned int i;
	size_t len;
	int rc;

	if (size < 2)
		return 0;
	msg = message(data, size, &len);
	rc = iol_link_parse(msg, len, &link);
	demand(!rc || rc == -EPROTO);
	demand(link.num_vfs == data[0] && memchr(link.parent, 0, sizeof(link.parent)));
	for (i = 0; i < link.num_vfs; i++)
		check_vf(&link.vfs[i]);
	iol_link_clear(&link);
	free(msg);
	return 0;
}
