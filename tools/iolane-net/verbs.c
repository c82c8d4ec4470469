/* SPDX-License-Identifier: BSD-3-Clause */
#include "verbs.h"

#include "base/error.h"
#include "base/own.h"
#include "options.h"
#include "tools/common/ctl.h"

#include <stdlib.h>
#include <string.h>

static void add_bool(struct json_object *o, const char *key, bool value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}

static void add_uint(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

/* The thread of each queue pair, up to the last that runs; null for one that does not. An uplink has one. */
static struct json_object *describe_threads(const struct port *p)
{
	struct json_object *list = json_object_new_array();
	unsigned int i, used = 0;
	int thread;

	for (i = 0; i < (p->opts.uplink ? 1 : p->opts.spec.pairs); i++) {
		thread = iol_net_port_thread(p->port, i);
		if (thread < 0)
			continue;
		while (used++ < i)
			json_object_array_add(list, NULL);
		json_object_array_add(list, json_object_new_int(thread));
		used = i + 1;
	}
	return list;
}

static void describe_guest(struct json_object *o, const struct port *p)
{
	const struct iol_net_port_spec *spec = &p->opts.spec;
	static const uint8_t no_mac[6];

	if (p->opts.ep.path)
		ctl_add_string(o, "socket", p->opts.ep.path);
	else
		json_object_object_add(o, "fd", json_object_new_int(p->opts.ep.number));
	add_bool(o, "client", p->opts.ep.client);
	add_bool(o, "connected", iol_server_connected(p->server));
	if (memcmp(spec->mac, no_mac, sizeof(no_mac)) != 0)
		ctl_add_string(o, "mac", port_format_mac(spec->mac));
	else
		json_object_object_add(o, "mac", NULL);
	add_uint(o, "queues", spec->pairs);
	ctl_add_string(o, "antispoof", port_format_spoof(spec->spoof));
	if (spec->spoof == IOL_NET_SPOOF_IP)
		ctl_add_string(o, "ip", port_format_ip(spec->ip));
	add_bool(o, "offloads", !spec->no_offloads);
}

static struct json_object *describe(const struct port *p)
{
	_cleanup_free_ char *trunk = port_format_trunk(&p->opts.spec);
	struct json_object *o = json_object_new_object();

	ctl_add_string(o, "name", p->opts.name);
	ctl_add_string(o, "kind", p->opts.uplink ? "uplink" : "guest");
	if (p->opts.uplink)
		ctl_add_string(o, "uplink", p->opts.uplink);
	else
		describe_guest(o, p);
	json_object_object_add(o, "threads", describe_threads(p));
	add_bool(o, "link", iol_net_port_link(p->port));
	add_uint(o, "mtu", iol_net_port_mtu(p->port));
	add_uint(o, "vlan", p->opts.spec.vlan);
	ctl_add_string(o, "trunk", trunk ? trunk : "");
	add_uint(o, "storm", p->opts.spec.storm_pps);
	return o;
}

/* The port that a request names. */
static int named_port(struct ports *ports, struct json_object *request, struct port **p)
{
	const char *name;
	int rc;

	rc = ctl_get_string(request, "name", &name);
	if (rc < 0)
		return rc;
	if (!name)
		return iol_fail(EINVAL, "the request lacks \"name\"");
	*p = ports_find(ports, name);
	return *p ? 0 : -ENOENT;
}

static int verb_add(void *ctx, struct json_object *request, struct json_object **result)
{
	struct json_object *settings;
	struct port_opts opts;
	struct port *p = NULL;
	int rc;

	if (!json_object_object_get_ex(request, "port", &settings) ||
	    !json_object_is_type(settings, json_type_object))
		return iol_fail(EINVAL, "the request lacks \"port\", an object of settings");
	port_opts_init(&opts);
	rc = settings_read(&port_settings, &opts, &opts.seen, settings);
	if (!rc)
		rc = port_opts_check(&opts, false);
	if (!rc)
		rc = endpoint_check_absolute(&opts.ep);
	if (!rc)
		rc = ports_add(ctx, &opts, &p);
	port_opts_free(&opts);
	if (!rc)
		*result = describe(p);
	return rc;
}

static int verb_del(void *ctx, struct json_object *request, struct json_object **result)
{
	struct json_object *force;
	struct port *p = NULL;
	int rc;

	rc = named_port(ctx, request, &p);
	if (rc < 0)
		return rc;
	if (p->server && iol_server_connected(p->server) &&
	    !(json_object_object_get_ex(request, "force", &force) &&
	      json_object_get_boolean(force)))
		return iol_fail(
			EBUSY,
			"%s is in use: a front end is connected to %s; unplug the NIC there, "
			"or add --force",
			p->opts.name, endpoint_where(&p->opts.ep));
	*result = describe(p);
	iol_log(IOL_LOG_INFO, "%s: taken away, as a control client asked", p->opts.name);
	ports_del(ctx, p);
	return 0;
}

static struct json_object *list_threads(const struct ports *ports)
{
	struct json_object *list = json_object_new_array();
	struct iol_net_thread_stats stats;
	unsigned int i;

	for (i = 0; !iol_net_thread_stats(ports->net, i, &stats); i++) {
		struct json_object *o = json_object_new_object();

		add_uint(o, "index", i);
		json_object_object_add(o, "cpu",
				       stats.cpu < 0 ? NULL : json_object_new_int(stats.cpu));
		add_uint(o, "queues", stats.queues);
		json_object_array_add(list, o);
	}
	return list;
}

static int verb_list(void *ctx, struct json_object *request, struct json_object **result)
{
	const struct ports *ports = ctx;
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	const struct port *p;

	for (p = ports->first; p; p = p->next)
		json_object_array_add(list, describe(p));
	ctl_add_string(o, "mode", options_mode(ports->mode));
	add_bool(o, "hugepages", iol_net_hugepages(ports->net));
	json_object_object_add(o, "ports", list);
	json_object_object_add(o, "threads", list_threads(ports));
	*result = o;
	return 0;
}

static int verb_stats(void *ctx, struct json_object *request, struct json_object **result)
{
	struct json_object *name;
	struct port *only = NULL;
	int rc;

	if (json_object_object_get_ex(request, "name", &name)) {
		rc = named_port(ctx, request, &only);
		if (rc < 0)
			return rc;
	}
	*result = stats_report(ctx, only);
	return 0;
}

static int verb_addresses(void *ctx, struct json_object *request, struct json_object **result)
{
	const struct ports *ports = ctx;
	_cleanup_free_ struct iol_net_address *found = NULL;
	unsigned int max, n, i;
	struct json_object *list;

	max = iol_net_addresses(ports->net, NULL, 0);
	found = calloc(max + 1, sizeof(*found));
	if (!found)
		return iol_fail(ENOMEM, "no memory for %u addresses", max);
	/* Some may have come or gone since. */
	n = iol_net_addresses(ports->net, found, max);
	list = json_object_new_array();
	for (i = 0; i < n && i < max; i++) {
		struct json_object *o = json_object_new_object();

		ctl_add_string(o, "mac", port_format_mac(found[i].mac));
		add_uint(o, "vlan", found[i].vlan);
		ctl_add_string(o, "port", found[i].port);
		add_uint(o, "age_s", found[i].age_s);
		json_object_array_add(list, o);
	}
	*result = list;
	return 0;
}

const struct ctl_verb port_verbs[PORT_VERBS] = {
	{ "add-port", verb_add }, { "del-port", verb_del },        { "list", verb_list },
	{ "stats", verb_stats },  { "addresses", verb_addresses },
};
