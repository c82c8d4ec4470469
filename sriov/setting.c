/* SPDX-License-Identifier: BSD-3-Clause */
/* The settings of a NIC's VF as text. */
#include "base/error.h"

#include <iolane/sriov.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VLAN_MAX 4094
#define QOS_MAX  7

static int unexpected(const char *name, const char *text, const char *expected)
{
	return iol_fail(EINVAL, "\"%s\" is no value of %s: expected %s", text, name, expected);
}

/* A decimal number and nothing before or in it; @end is where it ends. */
static bool number(const char *text, unsigned long max, unsigned long *value, const char **end)
{
	char *stop;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*value = strtoul(text, &stop, 10);
	*end = stop;
	return !errno && *value <= max;
}

static int parse_mac(const char *text, struct iol_vf_net *net)
{
	static const char expected[] = "six bytes like 02:00:00:00:00:03, or zeros to leave it to "
				       "the VF; the first byte's lowest bit, of groups, must be 0";
	uint8_t mac[6];
	int i;

	for (i = 0; i < 6; i++) {
		char byte[3] = { text[3 * i], text[3 * i] ? text[3 * i + 1] : 0, 0 };

		if (!isxdigit((unsigned char)byte[0]) || !isxdigit((unsigned char)byte[1]) ||
		    text[3 * i + 2] != (i < 5 ? ':' : '\0'))
			return unexpected("mac", text, expected);
		mac[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	if (mac[0] & 1)
		return unexpected("mac", text, expected);
	memcpy(net->mac, mac, sizeof(mac));
	return 0;
}

static int parse_vlan(const char *text, struct iol_vf_net *net)
{
	static const char expected[] =
		"0 for none, or 1 to 4094, like 100, 100 qos 3 (0 to 7) or 100 qos 3 802.1ad; "
		"0 qos 3 is a priority without a VLAN";
	unsigned long vlan, qos = 0;
	uint16_t proto = ETH_P_8021Q;
	const char *rest;

	if (!number(text, VLAN_MAX, &vlan, &rest))
		return unexpected("vlan", text, expected);
	if (!strncmp(rest, " qos ", 5) && !number(rest + 5, QOS_MAX, &qos, &rest))
		return unexpected("vlan", text, expected);
	if (!strcmp(rest, " 802.1ad"))
		proto = ETH_P_8021AD;
	else if (*rest && strcmp(rest, " 802.1Q") != 0)
		return unexpected("vlan", text, expected);
	/* A tag without a VLAN still has a priority; drivers keep no protocol of a tag that there is not. */
	if (!vlan && !qos && proto != ETH_P_8021Q)
		return unexpected("vlan", text, expected);
	net->vlan = (uint16_t)vlan;
	net->qos = (uint8_t)qos;
	net->vlan_proto = proto;
	return 0;
}

static int parse_switch(const char *name, const char *text, bool *value)
{
	*value = !strcmp(text, "on");
	return *value || !strcmp(text, "off") ? 0 : unexpected(name, text, "on or off");
}

static const char *const links[] = {
	[IOL_VF_LINK_AUTO] = "auto",
	[IOL_VF_LINK_ENABLE] = "enable",
	[IOL_VF_LINK_DISABLE] = "disable",
};

static int parse_link(const char *text, struct iol_vf_net *net)
{
	unsigned int i;

	for (i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		if (!strcmp(text, links[i])) {
			net->link = (enum iol_vf_link)i;
			return 0;
		}
	}
	return unexpected("link", text, "auto, enable or disable");
}

static int parse_rate(const char *text, struct iol_vf_net *net)
{
	static const char expected[] = "Mbit/s at most, like 1000, or at least and at most, like "
				       "100-1000; 0 is no bound";
	unsigned long min = 0, max;
	const char *rest;

	if (!number(text, UINT32_MAX, &max, &rest))
		return unexpected("rate", text, expected);
	if (*rest == '-') {
		min = max;
		if (!number(rest + 1, UINT32_MAX, &max, &rest))
			return unexpected("rate", text, expected);
	}
	if (*rest || (max && min > max))
		return unexpected("rate", text, expected);
	net->min_rate = (uint32_t)min;
	net->max_rate = (uint32_t)max;
	return 0;
}

static const char *const names[] = {
	[IOL_VF_MAC] = "mac",
	[IOL_VF_VLAN] = "vlan",
	[IOL_VF_SPOOFCHK] = "spoofchk",
	[IOL_VF_TRUST] = "trust",
	[IOL_VF_LINK] = "link",
	[IOL_VF_RATE] = "rate",
	[IOL_VF_RSS_QUERY] = "rss_query",
};

const char *iol_vf_setting_name(enum iol_vf_setting setting)
{
	return names[setting];
}

int iol_vf_setting_find(const char *name)
{
	int i;

	for (i = 0; i < IOL_VF_SETTINGS; i++) {
		if (!strcmp(name, names[i]))
			return i;
	}
	return iol_fail(ENOENT,
			"a VF has no setting \"%s\": there are mac, vlan, spoofchk, trust, link, "
			"rate and rss_query",
			name);
}

int iol_vf_setting_parse(enum iol_vf_setting setting, const char *text, struct iol_vf_net *net)
{
	int rc = -EINVAL;

	switch (setting) {
	case IOL_VF_MAC:
		rc = parse_mac(text, net);
		break;
	case IOL_VF_VLAN:
		rc = parse_vlan(text, net);
		break;
	case IOL_VF_SPOOFCHK:
		rc = parse_switch(names[setting], text, &net->spoofchk);
		break;
	case IOL_VF_TRUST:
		rc = parse_switch(names[setting], text, &net->trust);
		break;
	case IOL_VF_LINK:
		rc = parse_link(text, net);
		break;
	case IOL_VF_RATE:
		rc = parse_rate(text, net);
		break;
	case IOL_VF_RSS_QUERY:
		rc = parse_switch(names[setting], text, &net->rss_query);
		break;
	case IOL_VF_SETTINGS:
		break;
	}
	if (!rc)
		net->has |= 1u << setting;
	return rc;
}

int iol_vf_vlan_parse(const char *vlan, const char *qos, const char *proto, struct iol_vf_net *net)
{
	char text[IOL_VF_VALUE_MAX];

	if (!vlan && !qos && !proto)
		return 0;
	if (!vlan)
		return iol_fail(EINVAL, "%s is a VLAN's, and there is none: say vlan, too",
				qos ? "qos" : "vlan_proto");
	if ((size_t)snprintf(text, sizeof(text), "%s%s%s%s%s", vlan, qos ? " qos " : "",
			     qos ? qos : "", proto ? " " : "", proto ? proto : "") >= sizeof(text))
		return iol_fail(EINVAL, "\"%s...\" is no VLAN: it is too long", text);
	return iol_vf_setting_parse(IOL_VF_VLAN, text, net);
}

static void format_vlan(const struct iol_vf_net *net, char buf[IOL_VF_VALUE_MAX])
{
	int n = snprintf(buf, IOL_VF_VALUE_MAX, "%u", net->vlan);
	bool ad = net->vlan_proto == ETH_P_8021AD;

	if (net->qos || ad)
		snprintf(buf + n, IOL_VF_VALUE_MAX - (size_t)n, " qos %u%s", net->qos,
			 ad ? " 802.1ad" : "");
}

static void format_rate(const struct iol_vf_net *net, char buf[IOL_VF_VALUE_MAX])
{
	if (net->min_rate)
		snprintf(buf, IOL_VF_VALUE_MAX, "%" PRIu32 "-%" PRIu32, net->min_rate,
			 net->max_rate);
	else
		snprintf(buf, IOL_VF_VALUE_MAX, "%" PRIu32, net->max_rate);
}

const char *iol_vf_setting_format(enum iol_vf_setting setting, const struct iol_vf_net *net,
				  char buf[IOL_VF_VALUE_MAX])
{
	const uint8_t *m = net->mac;

	buf[0] = '\0';
	switch (setting) {
	case IOL_VF_MAC:
		snprintf(buf, IOL_VF_VALUE_MAX, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2],
			 m[3], m[4], m[5]);
		break;
	case IOL_VF_VLAN:
		format_vlan(net, buf);
		break;
	case IOL_VF_SPOOFCHK:
		return strcpy(buf, net->spoofchk ? "on" : "off");
	case IOL_VF_TRUST:
		return strcpy(buf, net->trust ? "on" : "off");
	case IOL_VF_LINK:
		return strcpy(buf, links[net->link]);
	case IOL_VF_RATE:
		format_rate(net, buf);
		break;
	case IOL_VF_RSS_QUERY:
		return strcpy(buf, net->rss_query ? "on" : "off");
	case IOL_VF_SETTINGS:
		break;
	}
	return buf;
}
