/* SPDX-License-Identifier: BSD-3-Clause */
#include "port_opts.h"

#include "base/error.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const spoof_words[] = {
	[IOL_NET_SPOOF_ALLOW] = "off",
	[IOL_NET_SPOOF_MAC] = "mac",
	[IOL_NET_SPOOF_IP] = "ip",
};

static int set_name(void *name, const char *what, const char *value)
{
	return setting_name(name, what, value, PORT_NAME_MAX);
}

static int set_queues(void *pairs, const char *what, const char *value)
{
	return opt_uint(what, value, 1, IOL_NET_PAIRS_MAX, pairs);
}

static int set_mtu(void *mtu, const char *what, const char *value)
{
	return opt_uint(what, value, IOL_NET_MTU_MIN, IOL_NET_MTU_MAX, mtu);
}

static int set_storm(void *pps, const char *what, const char *value)
{
	return opt_uint(what, value, 0, UINT32_MAX, pps);
}

static int set_vlan(void *vlan, const char *what, const char *value)
{
	uint16_t *to = vlan;
	unsigned int n;
	int rc;

	rc = opt_uint(what, value, 0, IOL_NET_VLAN_MAX, &n);
	if (!rc)
		*to = (uint16_t)n;
	return rc;
}

/* A VLAN's number at *@text, which is moved on; 0 for none. */
static unsigned int read_vlan(const char **text)
{
	unsigned int n = 0;

	while (**text >= '0' && **text <= '9' && n <= IOL_NET_VLAN_MAX)
		n = n * 10 + (unsigned int)(*(*text)++ - '0');
	return n <= IOL_NET_VLAN_MAX ? n : 0;
}

static int set_trunk(void *port_spec, const char *what, const char *value)
{
	struct iol_net_port_spec *spec = port_spec;
	const char *s = value;
	unsigned int from, to;

	if (!strcmp(s, "all")) {
		spec->trunk_all = true;
		return 0;
	}
	do {
		from = to = read_vlan(&s);
		if (from && *s == '-') {
			s++;
			to = read_vlan(&s);
		}
		if (!from || to < from || (*s && *s != '+'))
			return iol_fail(
				EINVAL,
				"%s must be VLANs from 1 to %d such as 10-20+30, or all, not "
				"\"%s\"",
				what, IOL_NET_VLAN_MAX, value);
		for (; from <= to; from++)
			iol_net_vlan_set(spec->trunk, from);
	} while (*s++);
	return 0;
}

/* "52:54:00:12:34:56"; sscanf() would take blanks, signs and "0x" too. */
static bool read_mac(uint8_t *mac, const char *text)
{
	unsigned int i;

	for (i = 0; i < 6; i++, text += 3) {
		if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
		    text[2] != (i < 5 ? ':' : '\0'))
			return false;
		mac[i] = (uint8_t)strtoul(text, NULL, 16);
	}
	return true;
}

static int set_mac(void *mac, const char *what, const char *value)
{
	static const uint8_t none[6];
	uint8_t *m = mac;

	if (!read_mac(m, value))
		return iol_fail(EINVAL,
				"%s must be an address such as 52:54:00:12:34:56, not \"%s\"", what,
				value);
	if (m[0] & 1 || !memcmp(m, none, sizeof(none)))
		return iol_fail(
			EINVAL,
			"%s %s is no address of one interface: give one whose first byte is "
			"even, such as 52:54:00:12:34:56",
			what, value);
	return 0;
}

static int set_antispoof(void *spoof, const char *what, const char *value)
{
	enum iol_net_spoof *to = spoof;
	unsigned int i;

	for (i = 0; i < sizeof(spoof_words) / sizeof(spoof_words[0]); i++) {
		if (!strcmp(spoof_words[i], value)) {
			*to = (enum iol_net_spoof)i;
			return 0;
		}
	}
	return iol_fail(EINVAL, "%s must be off, mac or ip, not \"%s\"", what, value);
}

static int set_ip(void *ip, const char *what, const char *value)
{
	struct in_addr in;
	uint32_t *to = ip;

	if (inet_pton(AF_INET, value, &in) != 1 || !in.s_addr)
		return iol_fail(EINVAL, "%s must be an IPv4 address such as 192.0.2.7, not \"%s\"",
				what, value);
	*to = ntohl(in.s_addr);
	return 0;
}

static int set_offloads(void *no_offloads, const char *what, const char *value)
{
	bool *off = no_offloads, on;
	int rc;

	rc = opt_bool(what, value, &on);
	if (!rc)
		*off = !on;
	return rc;
}

#define FIELD(field) offsetof(struct port_opts, field)

/* clang-format off */
static const struct setting list[] = {
	ENDPOINT_SETTINGS(struct port_opts, ep),
	{ "name",      "name",      "NAME",    set_name,      FIELD(name) },
	{ "queues",    "queues",    "N",       set_queues,    FIELD(spec.pairs) },
	{ "mac",       "mac",       "ADDRESS", set_mac,       FIELD(spec.mac) },
	{ "mtu",       "mtu",       "BYTES",   set_mtu,       FIELD(spec.mtu) },
	{ "vlan",      "vlan",      "N",       set_vlan,      FIELD(spec.vlan) },
	{ "trunk",     "trunk",     "LIST",    set_trunk,     FIELD(spec) },
	{ "antispoof", "antispoof", "KIND",    set_antispoof, FIELD(spec.spoof) },
	{ "ip",        "ip",        "ADDRESS", set_ip,        FIELD(spec.ip) },
	{ "storm",     "storm",     "N",       set_storm,     FIELD(spec.storm_pps) },
	{ "offloads",  "offloads",  "on|off",  set_offloads,  FIELD(spec.no_offloads) },
	/* As an option it is one of the process. */
	{ "uplink",    NULL,        "DEVARGS", setting_string, FIELD(uplink) },
};
/* clang-format on */

const struct settings port_settings = { list, sizeof(list) / sizeof(list[0]), "port" };

_Static_assert(sizeof(list) / sizeof(list[0]) == PORT_OPTIONS + 1, "room for their options");

void port_opts_init(struct port_opts *o)
{
	memset(o, 0, sizeof(*o));
	o->ep = ENDPOINT_NONE;
	o->spec.pairs = PORT_QUEUES_DEFAULT;
}

void port_opts_free(struct port_opts *o)
{
	free(o->name);
	free(o->uplink);
	endpoint_free(&o->ep);
	port_opts_init(o);
}

static bool seen(const struct port_opts *o, const char *key)
{
	return settings_seen(&port_settings, o->seen, key);
}

/* The device of an uplink has all that of its own. */
static int check_uplink(struct port_opts *o)
{
	static const char *const guests[] = { "socket", "fd",  "socket-mode", "client",
					      "queues", "mac", "antispoof",   "ip" };
	size_t len = strcspn(o->uplink, ",");
	unsigned int i;

	for (i = 0; i < sizeof(guests) / sizeof(guests[0]); i++) {
		if (seen(o, guests[i]))
			return iol_fail(EINVAL,
					"%s is for a guest's port and not for an uplink: leave one "
					"out",
					guests[i]);
	}
	if (!len)
		return iol_fail(EINVAL,
				"the uplink \"%s\" names no device: write it as in "
				"net_tap0,iface=tap0 or 0000:01:00.0",
				o->uplink);
	if (!o->name)
		o->name = strndup(o->uplink, len < PORT_NAME_MAX ? len : PORT_NAME_MAX);
	return o->name ? 0 : iol_fail(ENOMEM, "no memory for a port's name");
}

static int check_guest(const struct port_opts *o, bool dashes)
{
	const char *d = dashes ? "--" : "";
	int rc;

	rc = endpoint_check(&o->ep, "port", dashes);
	if (rc < 0)
		return rc;
	if (o->spec.spoof != IOL_NET_SPOOF_ALLOW && !seen(o, "mac"))
		return iol_fail(
			EINVAL,
			"%santispoof=%s needs to know the guest's address: add %smac=ADDRESS", d,
			spoof_words[o->spec.spoof], d);
	if (o->spec.spoof == IOL_NET_SPOOF_IP && !seen(o, "ip"))
		return iol_fail(EINVAL,
				"%santispoof=ip needs to know the guest's IPv4 address: add "
				"%sip=ADDRESS",
				d, d);
	if (seen(o, "ip") && o->spec.spoof != IOL_NET_SPOOF_IP)
		return iol_fail(EINVAL, "%sip says what %santispoof=ip lets pass: add that", d, d);
	return 0;
}

int port_opts_check(struct port_opts *o, bool dashes)
{
	/* Who says nothing about VLANs wants none of them kept away. */
	if (!seen(o, "vlan") && !seen(o, "trunk"))
		o->spec.trunk_all = true;
	return o->uplink ? check_uplink(o) : check_guest(o, dashes);
}

const char *port_format_mac(const uint8_t *mac)
{
	static char text[18];

	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	return text;
}

const char *port_format_ip(uint32_t ip)
{
	static char text[INET_ADDRSTRLEN];
	struct in_addr in = { htonl(ip) };

	return inet_ntop(AF_INET, &in, text, sizeof(text));
}

const char *port_format_spoof(enum iol_net_spoof spoof)
{
	return spoof_words[spoof];
}

char *port_format_trunk(const struct iol_net_port_spec *spec)
{
	unsigned int from, to;
	char *text = NULL;
	size_t len;
	FILE *out;

	if (spec->trunk_all)
		return strdup("all");
	out = open_memstream(&text, &len);
	if (!out)
		return NULL;
	for (from = 1; from <= IOL_NET_VLAN_MAX; from = to + 1) {
		to = from;
		if (!iol_net_vlan_isset(spec->trunk, from))
			continue;
		while (to < IOL_NET_VLAN_MAX && iol_net_vlan_isset(spec->trunk, to + 1))
			to++;
		fprintf(out, ftell(out) ? "+%u" : "%u", from);
		if (to > from)
			fprintf(out, "-%u", to);
	}
	fclose(out);
	return text;
}
