/* SPDX-License-Identifier: BSD-3-Clause */
#include "blk.h"
#include "tools/common/ctl.h"
#include "tools/common/prog.h"

static const struct opt opts[] = { VERB_OPTS, { "force", NULL, VERB_FORCE }, { 0 } };

static int run(const struct verb_args *a)
{
	struct json_object *request = verb_request("del"), *result;
	int status;

	ctl_add_string(request, "name", a->words[0]);
	json_object_object_add(request, "force", json_object_new_boolean(a->force));
	status = verb_call(a, request, &result);
	if (status)
		return status;
	if (a->json)
		return verb_print_json(result);
	printf("%s is no longer served\n", field_string(result, "name"));
	json_object_put(result);
	return prog_flush();
}

const struct verb blk_del = {
	.name = "del",
	.line = "stop serving a disk",
	.help = "Usage: iolane blk del NAME [OPTION]...\n"
		"Let a running iolane-blk stop serving a disk and remove its socket. It refuses "
		"while a\n"
		"front end is connected: the guest would see its requests hang.\n"
		"\n"
		"  --force          also while a front end is connected\n" VERB_OPTS_HELP(
			"iolane-blk"),
	.opts = opts,
	.words = { "the NAME of a disk" },
	.min_words = 1,
	.run = run,
};
