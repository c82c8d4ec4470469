/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane net add-port" and "iolane net del-port". */
#include "net.h"
#include "tools/common/ctl.h"
#include "tools/common/prog.h"

#include <string.h>

static bool is_path(const char *key, const char *value)
{
	return !strcmp(key, "socket");
}

static int run_add(const struct verb_args *a)
{
	struct json_object *request, *port, *result;
	int status;

	if (verb_settings(a->words[0], is_path, &port) < 0)
		return prog_usage();
	request = verb_request("add-port");
	json_object_object_add(request, "port", port);
	status = verb_call(a, request, &result);
	if (status)
		return status;
	if (a->json)
		return verb_print_json(result);
	if (field(result, "uplink"))
		printf("%s is the uplink %s\n", field_string(result, "name"),
		       field_string(result, "uplink"));
	else
		printf("%s serves a guest on %s\n", field_string(result, "name"),
		       field_string(result, "socket"));
	json_object_put(result);
	return prog_flush();
}

static const struct opt add_opts[] = { VERB_OPTS, { 0 } };

const struct verb net_add_port = {
	.name = "add-port",
	.line = "add a guest's port, or an uplink",
	.help = "Usage: iolane net add-port socket=PATH[,KEY=VALUE]... [OPTION]...\n"
		"       iolane net add-port uplink=DEVARGS[,KEY=VALUE]... [OPTION]...\n"
		"Add a port to a running iolane-net. The keys are those of its --port option\n"
		"(see iolane-net --help); a doubled comma is a comma.\n"
		"\n" VERB_OPTS_HELP("iolane-net"),
	.opts = add_opts,
	.words = { "socket=PATH or uplink=DEVARGS" },
	.min_words = 1,
	.run = run_add,
};

static int run_del(const struct verb_args *a)
{
	struct json_object *request = verb_request("del-port"), *result;
	int status;

	ctl_add_string(request, "name", a->words[0]);
	json_object_object_add(request, "force", json_object_new_boolean(a->force));
	status = verb_call(a, request, &result);
	if (status)
		return status;
	if (a->json)
		return verb_print_json(result);
	printf("%s is taken away\n", field_string(result, "name"));
	json_object_put(result);
	return prog_flush();
}

static const struct opt del_opts[] = { VERB_OPTS, { "force", NULL, VERB_FORCE }, { 0 } };

const struct verb net_del_port = {
	.name = "del-port",
	.line = "take a port away",
	.help = "Usage: iolane net del-port NAME [OPTION]...\n"
		"Take a port of a running iolane-net away, and its socket. It refuses while a "
		"front\n"
		"end is connected: the guest would be cut off.\n"
		"\n"
		"  --force          also while a front end is connected\n" VERB_OPTS_HELP(
			"iolane-net"),
	.opts = del_opts,
	.words = { "the NAME of a port" },
	.min_words = 1,
	.run = run_del,
};
