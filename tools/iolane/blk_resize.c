/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/error.h"
#include "base/units.h"
#include "blk.h"
#include "tools/common/ctl.h"
#include "tools/common/prog.h"

#include <errno.h>

static int parse_bytes(const char *text, uint64_t *bytes)
{
	int rc = iol_parse_size("SIZE", text, bytes);

	if (!rc && (!*bytes || *bytes > INT64_MAX))
		rc = iol_fail(ERANGE, "SIZE must be above 0 and below 8 EiB, not %s", text);
	return rc;
}

static int run(const struct verb_args *a)
{
	struct json_object *request = verb_request("resize"), *result;
	char size[16];
	uint64_t bytes;
	int status;

	ctl_add_string(request, "name", a->words[0]);
	if (a->words[1]) {
		if (parse_bytes(a->words[1], &bytes) < 0) {
			json_object_put(request);
			return prog_usage();
		}
		json_object_object_add(request, "size", json_object_new_uint64(bytes));
	}
	status = verb_call(a, request, &result);
	if (status)
		return status;
	if (field(result, "warning"))
		iol_log(IOL_LOG_WARNING, "%s", field_string(result, "warning"));
	if (a->json)
		return verb_print_json(result);
	printf("%s %s %s\n", field_string(result, "name"),
	       field_bool(result, "changed") ? "now has" : "still has",
	       iol_format_size(field_count(result, "capacity"), size, sizeof(size)));
	json_object_put(result);
	return prog_flush();
}

static const struct opt opts[] = { VERB_OPTS, { 0 } };

const struct verb blk_resize = {
	.name = "resize",
	.line = "let an image grow, or tell the guest that it has grown",
	.help = "Usage: iolane blk resize NAME [SIZE] [OPTION]...\n"
		"Bring a disk's image file to SIZE (such as 20G; it can only grow), and tell its "
		"guest.\n"
		"Without SIZE, look how large the image or block device is by now, and tell the "
		"guest.\n"
		"Where the guest cannot be told, a warning says so; it sees the size at its next "
		"start.\n"
		"\n" VERB_OPTS_HELP("iolane-blk"),
	.opts = opts,
	.words = { "the NAME of a disk", "SIZE" },
	.min_words = 1,
	.run = run,
};
