/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include "tools/common/ctl.h"
#include "tools/common/prog.h"

#include <stdlib.h>
#include <string.h>

#define POLL_US_MAX 1000000
#define AGE_MAX     1000000

/* Ids of the settings of the one guest's port start here, in the order of port_settings. */
enum {
	OPT_PORT = 1,
	OPT_UPLINK,
	OPT_MODE,
	OPT_LCORES,
	OPT_POLL_US,
	OPT_AGE,
	OPT_STATS_INTERVAL,
	OPT_CONTROL,
	OPT_VERBOSE,
	OPT_CAPABILITIES,
	OPT_VERSION,
	OPT_HELP,
	OPT_SETTING,
};

/* clang-format off */
static const struct opt process_opts[] = {
	{ "port",               "KEY=VALUE,...", OPT_PORT, .repeat = true },
	{ "uplink",             "DEVARGS",       OPT_UPLINK, .repeat = true },
	{ "mode",               "MODE",          OPT_MODE },
	{ "lcores",             "LIST",          OPT_LCORES },
	{ "poll-us",            "N",             OPT_POLL_US },
	{ "age",                "SECONDS",       OPT_AGE },
	{ "stats-interval",     "SECONDS",       OPT_STATS_INTERVAL },
	{ "control",            "PATH",          OPT_CONTROL },
	{ "verbose",            NULL,            OPT_VERBOSE },
	{ "print-capabilities", NULL,            OPT_CAPABILITIES },
	{ "version",            NULL,            OPT_VERSION, 'V' },
	{ "help",               NULL,            OPT_HELP, 'h' },
};
/* clang-format on */

#define PROCESS_OPTS (sizeof(process_opts) / sizeof(process_opts[0]))

static const char *const mode_words[] = {
	[IOL_NET_SWITCH] = "switch",
	[IOL_NET_BRIDGE] = "bridge-to-uplink",
	[IOL_NET_PATCH] = "patch",
};

#define MODES (sizeof(mode_words) / sizeof(mode_words[0]))

/* docs/interop/vhost-user.json, VHostUserBackendCapabilities. */
static const char capabilities[] = "{\n"
				   "  \"type\": \"net\"\n"
				   "}\n";

const char *options_mode(enum iol_net_mode mode)
{
	return mode_words[mode];
}

static struct port_opts *new_port(struct options *o)
{
	struct port_opts *ports;

	ports = reallocarray(o->ports, o->num_ports + 1, sizeof(*ports));
	if (!ports) {
		iol_fail(ENOMEM, "no memory for a port's settings");
		return NULL;
	}
	o->ports = ports;
	port_opts_init(&ports[o->num_ports]);
	return &ports[o->num_ports++];
}

static int add_port(struct options *o, const char *value)
{
	struct port_opts *port = new_port(o);
	int rc;

	if (!port)
		return -ENOMEM;
	rc = settings_parse(&port_settings, port, &port->seen, "--port", value);
	if (!rc) {
		rc = port_opts_check(port, false);
		if (rc < 0)
			rc = iol_fail_more(rc, "--port %s", value);
	}
	return rc;
}

static int add_uplink(struct options *o, const char *value)
{
	struct port_opts *port = new_port(o);
	int rc;

	if (!port)
		return -ENOMEM;
	rc = setting_string(&port->uplink, "--uplink", value);
	return rc < 0 ? rc : port_opts_check(port, true);
}

static int set_mode(struct options *o, const char *value)
{
	unsigned int i;

	for (i = 0; i < MODES; i++) {
		if (!strcmp(mode_words[i], value)) {
			o->net.mode = (enum iol_net_mode)i;
			return 0;
		}
	}
	return iol_fail(EINVAL, "--mode must be switch, bridge-to-uplink or patch, not \"%s\"",
			value);
}

static int set_poll_us(struct options *o, const char *value)
{
	if (!strcmp(value, "inf")) {
		o->net.poll_us = IOL_NET_POLL_ALWAYS;
		return 0;
	}
	return opt_uint("--poll-us", value, 0, POLL_US_MAX, &o->net.poll_us);
}

/* Which of them there are is EAL's to know. */
static int set_lcores(struct options *o, const char *value)
{
	cpu_set_t set;

	o->eal.cpus = value;
	return opt_cpus("--lcores", value, &set);
}

static int set_option(struct options *o, struct port_opts *single, int id, const char *value)
{
	switch (id) {
	case OPT_PORT:
		return add_port(o, value);
	case OPT_UPLINK:
		return add_uplink(o, value);
	case OPT_MODE:
		return set_mode(o, value);
	case OPT_LCORES:
		return set_lcores(o, value);
	case OPT_POLL_US:
		return set_poll_us(o, value);
	case OPT_AGE:
		return opt_uint("--age", value, 1, AGE_MAX, &o->net.age_s);
	case OPT_STATS_INTERVAL:
		return opt_ms("--stats-interval", value, &o->stats_ms);
	case OPT_CONTROL:
		o->control = value;
		return ctl_check_path("--control", value);
	case OPT_VERBOSE:
		o->verbose = true;
		return 0;
	case OPT_WORD:
		return iol_fail(
			EINVAL,
			"unexpected argument \"%s\": name a socket with --socket-path; options "
			"of EAL come after --",
			value);
	default:
		return settings_set_option(&port_settings, (unsigned int)(id - OPT_SETTING), single,
					   &single->seen, value);
	}
}

static bool has_guest(const struct options *o)
{
	unsigned int i;

	for (i = 0; i < o->num_ports; i++) {
		if (!o->ports[i].uplink)
			return true;
	}
	return false;
}

/* A guest's port of its own options stands before the uplinks. */
static int take_single(struct options *o, struct port_opts *single)
{
	int rc;

	if (!single->seen) {
		if (o->num_ports || o->control)
			return 0;
		return iol_fail(EINVAL, "no port to serve: give --socket-path=PATH");
	}
	rc = has_guest(o) ? settings_exclude(&port_settings, single->seen, "--port") : 0;
	if (!rc)
		rc = port_opts_check(single, true);
	if (rc < 0)
		return rc;
	if (!new_port(o))
		return -ENOMEM;
	memmove(&o->ports[1], &o->ports[0], (o->num_ports - 1) * sizeof(*o->ports));
	o->ports[0] = *single;
	port_opts_init(single);
	return 0;
}

static bool same(const char *a, const char *b)
{
	return a && b && !strcmp(a, b);
}

static int check_ports(const struct options *o)
{
	unsigned int i, j;
	int rc;

	if (o->num_ports > IOL_NET_PORTS_MAX)
		return iol_fail(EINVAL, "%u ports are more than the %d that a switch has",
				o->num_ports, IOL_NET_PORTS_MAX);
	for (i = 0; i < o->num_ports; i++) {
		const struct port_opts *a = &o->ports[i];

		if (same(a->ep.path, o->control))
			return iol_fail(
				EINVAL,
				"the port and --control have the same socket %s: each needs "
				"its own",
				a->ep.path);
		for (j = 0; j < i; j++) {
			const struct port_opts *b = &o->ports[j];

			if (same(a->name, b->name))
				return iol_fail(EINVAL,
						"two ports have the name %s: each needs its own",
						a->name);
			rc = endpoint_check_two(&a->ep, &b->ep, "ports");
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

/* Return: 0, OPT_HELP or OPT_VERSION, or a negative errno. */
static int parse(struct options *o, struct port_opts *single, int argc, char **argv)
{
	struct opt opts[PROCESS_OPTS + PORT_OPTIONS + 1] = { 0 };
	struct opt_parser parser = { .opts = opts, .argc = argc, .argv = argv, .next = 1 };
	const char *value;
	int id, rc;

	memcpy(opts, process_opts, sizeof(process_opts));
	settings_opts(&port_settings, opts + PROCESS_OPTS, OPT_SETTING);
	while ((id = opt_next(&parser, &value)) > 0) {
		if (id == OPT_HELP || id == OPT_VERSION)
			return id;
		if (parser.only_words) {
			o->eal.args = &argv[parser.next - 1];
			o->eal.num_args = (unsigned int)(argc - (parser.next - 1));
			break;
		}
		rc = set_option(o, single, id, value);
		if (rc < 0)
			return rc;
	}
	if (id < 0)
		return id;
	rc = take_single(o, single);
	return rc < 0 ? rc : check_ports(o);
}

int options_parse(struct options *o, int argc, char **argv)
{
	struct port_opts single;
	int rc;

	memset(o, 0, sizeof(*o));
	o->net.poll_us = IOL_NET_POLL_DEFAULT;
	if (prog_asks_capabilities(argc, argv))
		return prog_print(capabilities);

	port_opts_init(&single);
	rc = parse(o, &single, argc, argv);
	port_opts_free(&single);
	if (rc == OPT_HELP)
		return prog_print(options_help);
	if (rc == OPT_VERSION) {
		printf("iolane-net %s\n", iol_version());
		return prog_flush();
	}
	return rc < 0 ? prog_usage() : -1;
}

void options_free(struct options *o)
{
	unsigned int i;

	for (i = 0; i < o->num_ports; i++)
		port_opts_free(&o->ports[i]);
	free(o->ports);
	memset(o, 0, sizeof(*o));
}
