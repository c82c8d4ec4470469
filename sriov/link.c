/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An interface and its VFs, out of RTM_NEWLINK.
 *
 * The VFs are in IFLA_VFINFO_LIST, whose length has 16 bits. A VF takes 196 bytes, with statistics 296, so the length
 * overflows from 335 VFs on, or 222. The kernel (seen in 6.12; 6.1 behaves the same) then notes the lower 16 bits of the
 * length and goes on: the message is whole, and only this one length is wrong. Readers that believe it see a few VFs and
 * then nonsense. But the number of VFs stands right before the list, and the list's entries, each with a good length,
 * follow one another. So they are read one by one, as many as there are VFs; a VF that its driver says nothing about has
 * no entry, and then the list ends at an attribute of another type. Where that is has to agree with the lower 16 bits that
 * were noted, or nothing of it is believed. A kernel that rather fails (EMSGSIZE) is rtnl.c's affair.
 */
#include "sriov/link.h"
#include "base/error.h"
#include "sriov/attr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

/* A VF that is being read; @number is -1 before one was told. */
struct entry {
	const struct link *link;
	struct link_vf vf;
	int64_t number;
};

/* All of these structures begin with the VF's number; it has to be one, and the same in all. */
static bool take(struct entry *entry, const struct attr *attr, void *to, size_t len)
{
	uint32_t number;

	if (!iol_attr_copy(attr, &number, sizeof(number)) || !iol_attr_copy(attr, to, len) ||
	    number >= entry->link->num_vfs || (entry->number >= 0 && entry->number != number))
		return false;
	entry->number = number;
	return true;
}

static void has(struct entry *entry, enum iol_vf_setting setting)
{
	entry->vf.net.has |= 1u << setting;
}

static bool take_mac(struct entry *entry, const struct attr *attr)
{
	struct ifla_vf_mac mac;

	if (!take(entry, attr, &mac, sizeof(mac)))
		return false;
	/* Of others, such as InfiniBand, it is longer. */
	if (entry->link->type == ARPHRD_ETHER) {
		memcpy(entry->vf.net.mac, mac.mac, sizeof(entry->vf.net.mac));
		has(entry, IOL_VF_MAC);
	}
	return true;
}

/* Of no VLAN, a driver may leave the protocol 0; one with a priority is a tag all the same. */
static void set_vlan(struct entry *entry, uint32_t vlan, uint32_t qos, uint16_t proto)
{
	if (!vlan && (!qos || !proto))
		proto = ETH_P_8021Q;
	if (vlan > 0xfff || qos > 7 || (proto != ETH_P_8021Q && proto != ETH_P_8021AD))
		return;
	entry->vf.net.vlan = (uint16_t)vlan;
	entry->vf.net.qos = (uint8_t)qos;
	entry->vf.net.vlan_proto = proto;
	has(entry, IOL_VF_VLAN);
}

/* Before Linux 4.9 there was no list, and all were of 802.1Q. */
static bool take_vlan(struct entry *entry, const struct attr *attr)
{
	struct ifla_vf_vlan vlan;

	if (!take(entry, attr, &vlan, sizeof(vlan)))
		return false;
	if (!(entry->vf.net.has & 1u << IOL_VF_VLAN))
		set_vlan(entry, vlan.vlan, vlan.qos, ETH_P_8021Q);
	return true;
}

static bool take_vlan_list(struct entry *entry, const struct attr *attr)
{
	struct attrs list = iol_attr_nested(attr);
	struct ifla_vf_vlan_info vlan;
	struct attr item;
	unsigned int count = 0;
	int rc;

	/* It says more than what may have come before. */
	entry->vf.net.has &= ~(1u << IOL_VF_VLAN);
	while ((rc = iol_attr_next(&list, &item)) > 0) {
		if (item.type != IFLA_VF_VLAN_INFO)
			continue;
		if (!take(entry, &item, &vlan, sizeof(vlan)))
			return false;
		count++;
	}
	/* More than one are no setting that we have. */
	if (count == 1)
		set_vlan(entry, vlan.vlan, vlan.qos, ntohs(vlan.vlan_proto));
	return !rc;
}

/* A number and a value; a driver that does not say leaves -1. */
static bool take_switch(struct entry *entry, const struct attr *attr, enum iol_vf_setting setting,
			bool *value)
{
	struct ifla_vf_spoofchk told;

	if (!take(entry, attr, &told, sizeof(told)))
		return false;
	if (told.setting != UINT32_MAX) {
		*value = told.setting;
		has(entry, setting);
	}
	return true;
}

static bool take_link(struct entry *entry, const struct attr *attr)
{
	struct ifla_vf_link_state told;

	_Static_assert((int)IOL_VF_LINK_AUTO == IFLA_VF_LINK_STATE_AUTO &&
			       (int)IOL_VF_LINK_ENABLE == IFLA_VF_LINK_STATE_ENABLE &&
			       (int)IOL_VF_LINK_DISABLE == IFLA_VF_LINK_STATE_DISABLE,
		       "the states are the kernel's");
	if (!take(entry, attr, &told, sizeof(told)))
		return false;
	if (told.link_state <= IFLA_VF_LINK_STATE_DISABLE) {
		entry->vf.net.link = (enum iol_vf_link)told.link_state;
		has(entry, IOL_VF_LINK);
	}
	return true;
}

static bool take_rate(struct entry *entry, const struct attr *attr)
{
	struct ifla_vf_rate told;

	if (!take(entry, attr, &told, sizeof(told)))
		return false;
	entry->vf.net.min_rate = told.min_tx_rate;
	entry->vf.net.max_rate = told.max_tx_rate;
	has(entry, IOL_VF_RATE);
	return true;
}

static bool take_stats(struct entry *entry, const struct attr *attr)
{
	struct iol_vf_stats *stats = &entry->vf.stats;
	uint64_t *const counts[] = {
		[IFLA_VF_STATS_RX_PACKETS] = &stats->rx_packets,
		[IFLA_VF_STATS_TX_PACKETS] = &stats->tx_packets,
		[IFLA_VF_STATS_RX_BYTES] = &stats->rx_bytes,
		[IFLA_VF_STATS_TX_BYTES] = &stats->tx_bytes,
		[IFLA_VF_STATS_BROADCAST] = &stats->broadcast,
		[IFLA_VF_STATS_MULTICAST] = &stats->multicast,
		[IFLA_VF_STATS_RX_DROPPED] = &stats->rx_dropped,
		[IFLA_VF_STATS_TX_DROPPED] = &stats->tx_dropped,
	};
	struct attrs list = iol_attr_nested(attr);
	struct attr item;
	int rc;

	while ((rc = iol_attr_next(&list, &item)) > 0) {
		uint64_t *count = NULL;

		if (item.type < sizeof(counts) / sizeof(counts[0]))
			count = counts[item.type];
		if (count && !iol_attr_copy(&item, count, sizeof(*count)))
			return false;
	}
	entry->vf.counted = true;
	return !rc;
}

static bool take_attr(struct entry *entry, const struct attr *attr)
{
	struct iol_vf_net *net = &entry->vf.net;

	switch (attr->type) {
	case IFLA_VF_MAC:
		return take_mac(entry, attr);
	case IFLA_VF_VLAN:
		return take_vlan(entry, attr);
	case IFLA_VF_VLAN_LIST:
		return take_vlan_list(entry, attr);
	case IFLA_VF_SPOOFCHK:
		return take_switch(entry, attr, IOL_VF_SPOOFCHK, &net->spoofchk);
	case IFLA_VF_TRUST:
		return take_switch(entry, attr, IOL_VF_TRUST, &net->trust);
	case IFLA_VF_RSS_QUERY_EN:
		return take_switch(entry, attr, IOL_VF_RSS_QUERY, &net->rss_query);
	case IFLA_VF_LINK_STATE:
		return take_link(entry, attr);
	case IFLA_VF_RATE:
		return take_rate(entry, attr);
	case IFLA_VF_STATS:
		return take_stats(entry, attr);
	default:
		return true;
	}
}

static int parse_vf(struct link *link, const struct attr *info)
{
	struct entry entry = { .link = link, .number = -1 };
	struct attrs attrs = iol_attr_nested(info);
	struct attr attr;
	int rc;

	while ((rc = iol_attr_next(&attrs, &attr)) > 0) {
		if (!take_attr(&entry, &attr))
			return -EPROTO;
	}
	/* Whose settings these are must be beyond doubt. */
	if (rc || entry.number < 0 || link->vfs[entry.number].told)
		return -EPROTO;
	entry.vf.told = true;
	link->vfs[entry.number] = entry.vf;
	return 0;
}

/* Whether the next is an attribute of a type, whatever its length says. */
static bool comes(const struct attrs *from, unsigned int type, struct nlattr *head)
{
	if (from->left < sizeof(*head))
		return false;
	memcpy(head, from->at, sizeof(*head));
	return (head->nla_type & NLA_TYPE_MASK) == type;
}

/* Takes the list off @from by what it holds; see above. */
static int parse_vfs(struct link *link, struct attrs *from, uint16_t stated)
{
	size_t left = from->left;
	unsigned int count;
	struct nlattr head;
	struct attr info;
	int rc;

	from->at += sizeof(head);
	from->left -= sizeof(head);
	for (count = 0; count < link->num_vfs && comes(from, IFLA_VF_INFO, &head); count++) {
		rc = iol_attr_next(from, &info);
		if (rc > 0)
			rc = parse_vf(link, &info);
		if (rc)
			return rc;
	}
	return (uint16_t)(left - from->left) == stated ? 0 : -EPROTO;
}

static int parse_num_vfs(struct link *link, const struct attr *attr)
{
	uint32_t num;

	if (!iol_attr_copy(attr, &num, sizeof(num)) || num > LINK_VFS_MAX || link->vfs)
		return -EPROTO;
	link->vfs = calloc(num ? num : 1, sizeof(*link->vfs));
	if (!link->vfs)
		return -ENOMEM;
	link->num_vfs = num;
	return 0;
}

static int parse_attrs(struct link *link, struct attrs *attrs)
{
	bool listed = false;
	struct nlattr head;
	struct attr attr;
	int rc = 0;

	while (!rc && attrs->left) {
		if (comes(attrs, IFLA_VFINFO_LIST, &head)) {
			rc = listed ? -EPROTO : parse_vfs(link, attrs, head.nla_len);
			listed = true;
			continue;
		}
		rc = iol_attr_next(attrs, &attr);
		if (rc < 0)
			break;
		rc = 0;
		if (attr.type == IFLA_NUM_VF)
			rc = parse_num_vfs(link, &attr);
		else if (attr.type == IFLA_PARENT_DEV_NAME)
			iol_attr_text(&attr, link->parent, sizeof(link->parent));
	}
	return rc;
}

int iol_link_parse(const void *data, size_t len, struct link *link)
{
	struct attrs attrs;
	struct ifinfomsg info;
	int rc = -EPROTO;

	memset(link, 0, sizeof(*link));
	if (len >= NLMSG_ALIGN(sizeof(info))) {
		memcpy(&info, data, sizeof(info));
		link->index = info.ifi_index;
		link->flags = info.ifi_flags;
		link->type = info.ifi_type;
		attrs.at = (const uint8_t *)data + NLMSG_ALIGN(sizeof(info));
		attrs.left = len - NLMSG_ALIGN(sizeof(info));
		rc = parse_attrs(link, &attrs);
	}
	if (rc == -ENOMEM)
		return iol_fail(ENOMEM, "no memory for what the kernel says of VFs");
	if (rc)
		return iol_fail(EPROTO, "what the kernel says of an interface and its VFs is not "
					"understood");
	return 0;
}

void iol_link_clear(struct link *link)
{
	free(link->vfs);
	memset(link, 0, sizeof(*link));
}
