/* SPDX-License-Identifier: BSD-3-Clause */
#include "sriov/rtnl.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"
#include "sriov/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define CARRIER_POLL_MS 20

int iol_rtnl_open(struct rtnl *rtnl, const struct iol_host *host)
{
	memset(rtnl, 0, sizeof(*rtnl));
	return iol_nl_open(&rtnl->nl, host, NETLINK_ROUTE);
}

void iol_rtnl_close(struct rtnl *rtnl)
{
	iol_nl_close(&rtnl->nl);
}

/* A question about an interface: by its number, or by its name where that is 0. */
static struct nlmsghdr *link_request(struct nl_request *room, uint16_t type, int index,
				     const char *netdev, struct ifinfomsg **info)
{
	struct nlmsghdr *request = iol_nl_request(room, type, type == RTM_GETLINK ? 0 : NLM_F_ACK);

	*info = mnl_nlmsg_put_extra_header(request, sizeof(**info));
	(*info)->ifi_family = AF_UNSPEC;
	(*info)->ifi_index = index;
	/* Beside a number, a name is one to be given. */
	if (!index)
		mnl_attr_put_strz(request, IFLA_IFNAME, netdev);
	return request;
}

static int see_link(const struct nlmsghdr *msg, void *opaque)
{
	if (msg->nlmsg_type != RTM_NEWLINK)
		return 0;
	iol_link_clear(opaque);
	return iol_link_parse(mnl_nlmsg_get_payload(msg), mnl_nlmsg_get_payload_len(msg), opaque);
}

/* @mask: RTEXT_FILTER_*. */
static int get_link(struct rtnl *rtnl, int index, const char *netdev, uint32_t mask,
		    struct link *link)
{
	struct nl_request room;
	struct nlmsghdr *request;
	struct ifinfomsg *info;
	int rc;

	memset(link, 0, sizeof(*link));
	if (strlen(netdev) >= IFNAMSIZ)
		return iol_fail(ENODEV, "%s is too long for an interface's name", netdev);
	request = link_request(&room, RTM_GETLINK, index, netdev, &info);
	mnl_attr_put_u32(request, IFLA_EXT_MASK, mask);
	rc = iol_nl_ask(&rtnl->nl, request, see_link, link);
	if (!rc && link->index <= 0)
		rc = iol_fail(EPROTO, "the kernel says nothing of it");
	if (rc)
		return iol_fail_more(rc, "the interface %s can't be looked at", netdev);
	return 0;
}

static bool is_known(const struct rtnl *rtnl, const struct iol_pf *pf)
{
	return rtnl->ifindex && !strcmp(rtnl->pf, pf->name);
}

/* Of a PF's interface. Names move, at boot above all; so it has to be of that very device. */
static int get_pf_link(struct rtnl *rtnl, const struct iol_pf *pf, uint32_t mask, struct link *link)
{
	int rc;

	memset(link, 0, sizeof(*link));
	if (!pf->netdev[0])
		return iol_fail(EOPNOTSUPP,
				"%s has no network interface, so its VFs have no "
				"settings of a NIC",
				pf->name);
	rc = get_link(rtnl, is_known(rtnl, pf) ? rtnl->ifindex : 0, pf->netdev, mask, link);
	if (!rc && link->parent[0] && strcmp(link->parent, pf->name) != 0)
		rc = iol_fail(ENODEV,
			      "%s is the interface of %s now, and not of %s: look that up "
			      "again",
			      pf->netdev, link->parent, pf->name);
	if (rc) {
		rtnl->ifindex = 0;
		return rc;
	}
	strcpy(rtnl->pf, pf->name);
	rtnl->ifindex = link->index;
	return 0;
}

/*
 * No kernel can be asked about one VF. So where all of them do not fit into an answer, and the kernel fails rather than let
 * the list's length overflow, as it does now (see link.c), or has no memory for it (before Linux 6.8 it had to be in one
 * piece), their number is known and nothing else. Each can be set all the same, and the kernel's word is then all there is.
 */
static int unknown_vfs(const struct iol_pf *pf, struct iol_vf_net **list)
{
	*list = calloc(pf->enabled ? pf->enabled : 1, sizeof(**list));
	if (!*list)
		return iol_fail(ENOMEM, "no memory for %u VFs", pf->enabled);
	iol_log(IOL_LOG_WARNING,
		"the settings of %s's %u VFs are too much for one answer of the "
		"kernel, and are not known",
		pf->netdev, pf->enabled);
	return (int)pf->enabled;
}

int iol_rtnl_vfs(struct rtnl *rtnl, const struct iol_pf *pf, struct iol_vf_net **list)
{
	_cleanup_link_ struct link link;
	struct iol_vf_net *vfs;
	unsigned int i;
	int rc;

	*list = NULL;
	rc = get_pf_link(rtnl, pf, RTEXT_FILTER_VF | RTEXT_FILTER_SKIP_STATS, &link);
	if (rc == -EMSGSIZE || rc == -ENOBUFS)
		return unknown_vfs(pf, list);
	if (rc || !link.num_vfs)
		return rc;
	vfs = calloc(link.num_vfs, sizeof(*vfs));
	if (!vfs)
		return iol_fail(ENOMEM, "no memory for %u VFs", link.num_vfs);
	for (i = 0; i < link.num_vfs; i++)
		vfs[i] = link.vfs[i].net;
	*list = vfs;
	return (int)link.num_vfs;
}

static void put_setting(struct nlmsghdr *request, uint32_t vf, enum iol_vf_setting setting,
			const struct iol_vf_net *value)
{
	struct ifla_vf_spoofchk word = { .vf = vf };
	struct ifla_vf_mac mac = { .vf = vf };
	struct ifla_vf_vlan vlan = { vf, value->vlan, value->qos };
	struct ifla_vf_vlan_info vlan_info = { vf, value->vlan, value->qos,
					       htons(value->vlan_proto) };
	struct ifla_vf_rate rate = { vf, value->min_rate, value->max_rate };
	struct nlattr *nest;

	/* On, off and states have the same form, and types of their own. */
	_Static_assert(sizeof(word) == sizeof(struct ifla_vf_trust) &&
			       sizeof(word) == sizeof(struct ifla_vf_link_state) &&
			       sizeof(word) == sizeof(struct ifla_vf_rss_query_en),
		       "a number and a value");
	switch (setting) {
	case IOL_VF_MAC:
		memcpy(mac.mac, value->mac, sizeof(value->mac));
		mnl_attr_put(request, IFLA_VF_MAC, sizeof(mac), &mac);
		break;
	case IOL_VF_VLAN:
		/* Every kernel knows this; the list is there since Linux 4.9, and for what this can't say. */
		if (value->vlan_proto != ETH_P_8021AD) {
			mnl_attr_put(request, IFLA_VF_VLAN, sizeof(vlan), &vlan);
			break;
		}
		nest = mnl_attr_nest_start(request, IFLA_VF_VLAN_LIST);
		mnl_attr_put(request, IFLA_VF_VLAN_INFO, sizeof(vlan_info), &vlan_info);
		mnl_attr_nest_end(request, nest);
		break;
	case IOL_VF_SPOOFCHK:
		word.setting = value->spoofchk;
		mnl_attr_put(request, IFLA_VF_SPOOFCHK, sizeof(word), &word);
		break;
	case IOL_VF_TRUST:
		word.setting = value->trust;
		mnl_attr_put(request, IFLA_VF_TRUST, sizeof(word), &word);
		break;
	case IOL_VF_LINK:
		word.setting = value->link;
		mnl_attr_put(request, IFLA_VF_LINK_STATE, sizeof(word), &word);
		break;
	case IOL_VF_RATE:
		mnl_attr_put(request, IFLA_VF_RATE, sizeof(rate), &rate);
		break;
	case IOL_VF_RSS_QUERY:
		word.setting = value->rss_query;
		mnl_attr_put(request, IFLA_VF_RSS_QUERY_EN, sizeof(word), &word);
		break;
	case IOL_VF_SETTINGS:
		break;
	}
}

/* What an errno of a driver's means, as far as that is known. */
static const char *meaning(const struct iol_pf *pf, unsigned int index, enum iol_vf_setting setting,
			   const struct iol_vf_net *value, int err)
{
	switch (err) {
	case EOPNOTSUPP:
		return "has no such setting";
	case EPROTONOSUPPORT:
		return "knows no VLANs of this protocol";
	case EPERM:
		return "was not asked, as it takes CAP_NET_ADMIN";
	case EBUSY:
	case EAGAIN:
		return "can't do it now: the VF may be in reset";
	case EINVAL:
	case ERANGE:
		if (index >= pf->enabled)
			return "has no such VF";
		if (setting != IOL_VF_RATE)
			return "does not take it";
		return value->min_rate ? "does not take it: it may have no minimum rate"
				       : "does not take it: the link has to be up, and as fast";
	default:
		return "did not do it";
	}
}

static int refused(const struct rtnl *rtnl, const struct iol_pf *pf, unsigned int index,
		   enum iol_vf_setting setting, const struct iol_vf_net *value, int err)
{
	char text[IOL_VF_VALUE_MAX];

	return iol_fail(err, "%s/vf%u can't be given %s %s: the driver %s %s (%s%s%s)", pf->netdev,
			index, iol_vf_setting_name(setting),
			iol_vf_setting_format(setting, value, text), pf->driver,
			meaning(pf, index, setting, value, err), strerror(err),
			rtnl->nl.said[0] ? ": " : "", rtnl->nl.said);
}

int iol_rtnl_vf_set(struct rtnl *rtnl, const struct iol_pf *pf, unsigned int index,
		    enum iol_vf_setting setting, const struct iol_vf_net *value)
{
	struct nl_request room;
	struct nlmsghdr *request;
	struct nlattr *list, *vf;
	struct ifinfomsg *info;
	int rc;

	if (!is_known(rtnl, pf)) {
		_cleanup_link_ struct link link;

		rc = get_pf_link(rtnl, pf, RTEXT_FILTER_SKIP_STATS, &link);
		if (rc)
			return rc;
	}
	request = link_request(&room, RTM_SETLINK, rtnl->ifindex, pf->netdev, &info);
	list = mnl_attr_nest_start(request, IFLA_VFINFO_LIST);
	vf = mnl_attr_nest_start(request, IFLA_VF_INFO);
	put_setting(request, index, setting, value);
	mnl_attr_nest_end(request, vf);
	mnl_attr_nest_end(request, list);
	rc = iol_nl_ask(&rtnl->nl, request, NULL, NULL);
	if (!rc)
		return 0;
	/* Its interface may be another when the driver has come back. */
	if (rc == -ENODEV)
		rtnl->ifindex = 0;
	return refused(rtnl, pf, index, setting, value, -rc);
}

int iol_rtnl_up(struct rtnl *rtnl, const char *netdev, bool up)
{
	struct nl_request room;
	struct nlmsghdr *request;
	struct ifinfomsg *info;
	int rc;

	if (strlen(netdev) >= IFNAMSIZ)
		return iol_fail(ENODEV, "%s is too long for an interface's name", netdev);
	request = link_request(&room, RTM_SETLINK, 0, netdev, &info);
	info->ifi_change = IFF_UP;
	info->ifi_flags = up ? IFF_UP : 0;
	rc = iol_nl_ask(&rtnl->nl, request, NULL, NULL);
	if (rc)
		return iol_fail_more(rc, "the interface %s can't be taken %s", netdev,
				     up ? "up" : "down");
	return 0;
}

static int get_flags(struct rtnl *rtnl, const char *netdev, unsigned int *flags)
{
	_cleanup_link_ struct link link;
	int rc = get_link(rtnl, 0, netdev, RTEXT_FILTER_SKIP_STATS, &link);

	*flags = link.flags;
	return rc;
}

int iol_rtnl_is_up(struct rtnl *rtnl, const char *netdev)
{
	unsigned int flags;
	int rc = get_flags(rtnl, netdev, &flags);

	return rc ? rc : !!(flags & IFF_UP);
}

int iol_rtnl_wait_carrier(struct rtnl *rtnl, const char *netdev, unsigned int ms)
{
	uint64_t end = iol_now() + ms * IOL_NS_PER_MS;
	unsigned int flags;
	int rc;

	for (;;) {
		rc = get_flags(rtnl, netdev, &flags);
		if (rc)
			return rc;
		/* Running is what the kernel makes of it some time later, so that it may be of before. */
		if ((flags & IFF_UP) && (flags & IFF_LOWER_UP))
			return 0;
		if (iol_now() >= end)
			return iol_fail(
				ETIMEDOUT, "the interface %s %s: it had no carrier in %u ms",
				netdev,
				flags & IFF_UP ? "is up, without a cable or peer" : "is down", ms);
		poll(NULL, 0, CARRIER_POLL_MS);
	}
}

int iol_vf_net_list(const struct iol_host *host, const struct iol_pf *pf, struct iol_vf_net **list)
{
	_cleanup_rtnl_ struct rtnl rtnl;
	int rc = iol_rtnl_open(&rtnl, host);

	*list = NULL;
	return rc ? rc : iol_rtnl_vfs(&rtnl, pf, list);
}

/* Whether anything was counted, of any VF. */
static bool any_count(const struct link *link)
{
	static const struct iol_vf_stats none;
	unsigned int i;

	for (i = 0; i < link->num_vfs; i++) {
		if (memcmp(&link->vfs[i].stats, &none, sizeof(none)) != 0)
			return true;
	}
	return false;
}

int iol_vf_stats_list(const struct iol_host *host, const struct iol_pf *pf,
		      struct iol_vf_stats **list)
{
	_cleanup_link_ struct link link = { 0 };
	_cleanup_rtnl_ struct rtnl rtnl;
	struct iol_vf_stats *stats;
	unsigned int i;
	int rc = iol_rtnl_open(&rtnl, host);

	*list = NULL;
	if (!rc)
		rc = get_pf_link(&rtnl, pf, RTEXT_FILTER_VF, &link);
	if (rc || !link.num_vfs)
		return rc;
	for (i = 0; i < link.num_vfs && !link.vfs[i].counted; i++)
		;
	if (i == link.num_vfs)
		return iol_fail(EOPNOTSUPP, "the driver %s of %s says nothing of its VFs",
				pf->driver, pf->netdev);
	/* For a driver that does not count, the kernel writes zeros. */
	if (!any_count(&link))
		return iol_fail(ENODATA,
				"all counts of %s's VFs are 0: nothing has passed, or the "
				"driver %s does not count; the kernel tells these the same",
				pf->netdev, pf->driver);
	stats = calloc(link.num_vfs, sizeof(*stats));
	if (!stats)
		return iol_fail(ENOMEM, "no memory for %u VFs", link.num_vfs);
	for (i = 0; i < link.num_vfs; i++)
		stats[i] = link.vfs[i].stats;
	*list = stats;
	return (int)link.num_vfs;
}
