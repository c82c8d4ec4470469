/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/error.h"
#include "base/own.h"
#include "blk.h"
#include "tools/common/ctl.h"
#include "tools/common/prog.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct opt opts[] = { BLK_OPTS, { 0 } };

/* iolane-blk has another working folder: a relative path would be another file there. */
static int add_path(struct json_object *disk, const char *key, const char *path)
{
	_cleanup_free_ char *cwd = NULL, *absolute = NULL;

	if (*path == '/' || !strncmp(path, "null:", strlen("null:"))) {
		ctl_add_string(disk, key, path);
		return 0;
	}
	cwd = getcwd(NULL, 0);
	if (!cwd)
		return iol_fail(errno, "cannot tell the working folder: %s; give an absolute path",
				strerror(errno));
	if (asprintf(&absolute, "%s/%s", cwd, path) < 0) {
		absolute = NULL;
		return iol_fail(ENOMEM, "no memory for a path");
	}
	ctl_add_string(disk, key, absolute);
	return 0;
}

static int read_settings(struct json_object *disk, char *list)
{
	char *key, *value;
	int rc;

	while ((rc = opt_keyval(&list, &key, &value)) > 0) {
		if (json_object_object_get_ex(disk, key, NULL))
			return iol_fail(EINVAL, "%s is given twice: leave one out", key);
		if (value && (!strcmp(key, "socket") || !strcmp(key, "file")))
			rc = add_path(disk, key, value);
		else
			ctl_add_string(disk, key, value ? value : "on");
		if (rc < 0)
			return rc;
	}
	return rc;
}

static int run(const struct blk_args *a)
{
	struct json_object *request = blk_request("add"), *disk = json_object_new_object(), *result;
	_cleanup_free_ char *list = strdup(a->words[0]);
	int status;

	json_object_object_add(request, "disk", disk);
	if (!list || read_settings(disk, list) < 0) {
		json_object_put(request);
		return prog_usage();
	}
	status = blk_call(a, request, &result);
	if (status)
		return status;
	if (a->json)
		return blk_print_json(result);
	printf("%s serves %s on %s\n", blk_get_string(result, "name"),
	       blk_get_string(result, "file"), blk_get_string(result, "socket"));
	json_object_put(result);
	return prog_flush();
}

const struct blk_verb blk_add = {
	.name = "add",
	.line = "serve one more disk",
	.help = "Usage: iolane blk add socket=PATH,file=FILE[,KEY=VALUE]... [OPTION]...\n"
		"Let a running iolane-blk serve one more disk. The keys are those of its --disk "
		"option\n"
		"(see iolane-blk --help); a doubled comma is a comma.\n"
		"\n" BLK_OPTS_HELP,
	.opts = opts,
	.words = { "socket=PATH,file=FILE" },
	.min_words = 1,
	.run = run,
};
