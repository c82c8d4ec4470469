/* SPDX-License-Identifier: BSD-3-Clause */
#include "blk.h"
#include "tools/common/prog.h"

#include <string.h>

static const struct opt opts[] = { VERB_OPTS, { 0 } };

static bool is_path(const char *key, const char *value)
{
	if (!strcmp(key, "file"))
		return strncmp(value, "null:", strlen("null:")) != 0;
	return !strcmp(key, "socket");
}

static int run(const struct verb_args *a)
{
	struct json_object *request, *disk, *result;
	int status;

	if (verb_settings(a->words[0], is_path, &disk) < 0)
		return prog_usage();
	request = verb_request("add");
	json_object_object_add(request, "disk", disk);
	status = verb_call(a, request, &result);
	if (status)
		return status;
	if (a->json)
		return verb_print_json(result);
	printf("%s serves %s on %s\n", field_string(result, "name"), field_string(result, "file"),
	       field_string(result, "socket"));
	json_object_put(result);
	return prog_flush();
}

const struct verb blk_add = {
	.name = "add",
	.line = "serve one more disk",
	.help = "Usage: iolane blk add socket=PATH,file=FILE[,KEY=VALUE]... [OPTION]...\n"
		"Let a running iolane-blk serve one more disk. The keys are those of its --disk "
		"option\n"
		"(see iolane-blk --help); a doubled comma is a comma.\n"
		"\n" VERB_OPTS_HELP("iolane-blk"),
	.opts = opts,
	.words = { "socket=PATH,file=FILE" },
	.min_words = 1,
	.run = run,
};
