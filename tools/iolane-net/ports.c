/* SPDX-License-Identifier: BSD-3-Clause */
#include "ports.h"

#include "base/error.h"
#include "base/own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct port *find(const struct ports *s, const char *name)
{
	struct port *p;

	for (p = s->first; p; p = p->next) {
		if (!strcmp(p->opts.name, name))
			return p;
	}
	return NULL;
}

struct port *ports_find(const struct ports *s, const char *name)
{
	struct port *p = find(s, name);

	if (!p)
		iol_fail(ENOENT, "no port has the name \"%s\": see the list", name);
	return p;
}

/* The lowest portN that is free. */
static int make_name(const struct ports *s, struct port_opts *opts)
{
	char name[16];
	unsigned int i = 0;

	do {
		snprintf(name, sizeof(name), "port%u", i++);
	} while (find(s, name));
	opts->name = strdup(name);
	return opts->name ? 0 : iol_fail(ENOMEM, "no memory for a port's name");
}

static int check_unique(const struct ports *s, const struct port_opts *opts)
{
	const struct port *p;

	for (p = s->first; p; p = p->next) {
		if (opts->name && !strcmp(p->opts.name, opts->name))
			return iol_fail(EEXIST, "there is a port %s already: give another name",
					opts->name);
		if (endpoint_same_path(&p->opts.ep, &opts->ep))
			return iol_fail(EEXIST, "port %s has the socket %s already: give another",
					p->opts.name, opts->ep.path);
	}
	return 0;
}

static int open_port(struct ports *s, struct port *p)
{
	struct iol_net_port_spec *spec = &p->opts.spec;
	int rc;

	spec->name = p->opts.name;
	spec->uplink = p->opts.uplink;
	rc = iol_net_port_new(s->net, spec, &p->port);
	if (rc < 0 || p->opts.uplink)
		return rc;
	return endpoint_serve(&p->opts.ep, iol_net_port_device(p->port), &p->server);
}

static void log_serving(const struct port *p)
{
	_cleanup_free_ char *trunk = port_format_trunk(&p->opts.spec);
	const struct iol_net_port_spec *spec = &p->opts.spec;
	static const uint8_t no_mac[6];
	char vlan[64], mac[32] = "";

	if (spec->trunk_all && !spec->vlan)
		snprintf(vlan, sizeof(vlan), "all VLANs");
	else
		snprintf(vlan, sizeof(vlan), "VLAN %u%s%s", spec->vlan,
			 trunk && *trunk ? ", trunk " : "", trunk ? trunk : "");
	if (p->opts.uplink) {
		iol_log(IOL_LOG_INFO, "%s: uplink %s (%s)", p->opts.name, p->opts.uplink, vlan);
		return;
	}
	if (memcmp(spec->mac, no_mac, sizeof(no_mac)) != 0)
		snprintf(mac, sizeof(mac), "%s, ", port_format_mac(spec->mac));
	iol_log(IOL_LOG_INFO, "%s: serving a guest (%u queue pair%s, %s%s) on %s%s", p->opts.name,
		spec->pairs, spec->pairs == 1 ? "" : "s", mac, vlan, endpoint_where(&p->opts.ep),
		p->opts.ep.client ? ", as its client" : "");
}

static void free_port(struct port *p)
{
	iol_server_destroy(&p->server);
	iol_net_port_destroy(&p->port);
	port_opts_free(&p->opts);
	free(p);
}

static void count(struct ports *s, const struct port *p, int by)
{
	s->num_guests += (unsigned int)(p->opts.uplink ? 0 : by);
	s->num_fds += (unsigned int)(p->opts.ep.number >= 0 ? by : 0);
}

int ports_add(struct ports *s, struct port_opts *opts, struct port **added)
{
	struct port *p = calloc(1, sizeof(*p)), **end;
	int rc;

	if (!p) {
		port_opts_free(opts);
		return iol_fail(ENOMEM, "no memory for a port");
	}
	p->opts = *opts;
	port_opts_init(opts);
	rc = check_unique(s, &p->opts);
	if (!rc && !p->opts.name)
		rc = make_name(s, &p->opts);
	if (!rc)
		rc = open_port(s, p);
	if (rc < 0) {
		free_port(p);
		return rc;
	}
	for (end = &s->first; *end; end = &(*end)->next)
		;
	*end = p;
	count(s, p, 1);
	*added = p;
	log_serving(p);
	return 0;
}

void ports_del(struct ports *s, struct port *p)
{
	struct port **at;

	for (at = &s->first; *at != p; at = &(*at)->next)
		;
	*at = p->next;
	count(s, p, -1);
	free_port(p);
}

void ports_del_all(struct ports *s)
{
	while (s->first) {
		struct port *p = s->first;

		while (p->next)
			p = p->next;
		ports_del(s, p);
	}
}

void ports_reap(struct ports *s)
{
	struct port *p = s->first, *next;

	for (; s->num_fds && p; p = next) {
		next = p->next;
		if (p->opts.ep.number < 0 || !iol_server_finished(p->server))
			continue;
		iol_log(IOL_LOG_INFO, "%s: its front end has gone", p->opts.name);
		ports_del(s, p);
	}
}
