/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio.h"

#include "base/error.h"
#include "base/units.h"
#include "tools/common/opt.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_MIN (UINT64_C(2) << 20)
#define BAR_MAX    5ul

enum { O_CONTEXT = 1, O_MEMORY, O_ROUNDS, O_RUNTIME, O_READ, O_WRITE, O_HISTOGRAM, O_JSON, O_HELP };

static const struct opt options[] = {
	{ .name = "context", .arg = "KIND", .id = O_CONTEXT },
	{ .name = "memory", .arg = "SIZE", .id = O_MEMORY },
	{ .name = "rounds", .arg = "N", .id = O_ROUNDS },
	{ .name = "runtime", .arg = "S", .id = O_RUNTIME },
	{ .name = "read", .arg = "BAR:OFFSET", .id = O_READ },
	{ .name = "write", .arg = "BAR:OFFSET", .id = O_WRITE },
	{ .name = "histogram", .id = O_HISTOGRAM },
	{ .name = "json", .id = O_JSON },
	{ .name = "help", .id = O_HELP },
	{ .name = NULL },
};

static int parse_context(const char *text, enum iol_context_kind *kind)
{
	if (!strcmp(text, "iommufd"))
		*kind = IOL_CONTEXT_IOMMUFD;
	else if (!strcmp(text, "type1"))
		*kind = IOL_CONTEXT_TYPE1;
	else
		return iol_fail(EINVAL, "--context must be iommufd or type1, not \"%s\"", text);
	return 0;
}

/* "0:0x1520" */
static int parse_place(const char *option, const char *text, struct vfio_place *place, bool *have)
{
	char *end, *rest;
	unsigned long bar = strtoul(text, &end, 10);

	*have = true;
	place->bar = (unsigned int)bar;
	errno = 0;
	place->offset = *end == ':' ? strtoull(end + 1, &rest, 0) : 0;
	if (end == text || *end != ':' || rest == end + 1 || *rest || errno || bar > BAR_MAX ||
	    place->offset % 4)
		return iol_fail(EINVAL,
				"%s must be a BAR from 0 to 5 and a multiple of 4 in it, such as "
				"0:0x10, not \"%s\"",
				option, text);
	return 0;
}

static int parse_memory(const char *text, uint64_t *size)
{
	int rc = iol_parse_size("--memory", text, size);

	if (rc)
		return rc;
	if (*size < MEMORY_MIN || *size % MEMORY_MIN || *size > SIZE_MAX / 4)
		return iol_fail(EINVAL, "--memory must be a multiple of 2 MiB, not \"%s\"", text);
	return 0;
}

static int take(int option, const char *text, struct vfio_options *o)
{
	switch (option) {
	case OPT_WORD:
		if (o->device)
			return iol_fail(EINVAL, "one device at a time: %s, or %s", o->device, text);
		o->device = text;
		return 0;
	case O_CONTEXT:
		return parse_context(text, &o->context);
	case O_MEMORY:
		return parse_memory(text, &o->memory);
	case O_ROUNDS:
		return opt_uint("--rounds", text, 1, BENCH_ROUNDS_MAX, &o->rounds);
	case O_RUNTIME:
		return opt_seconds("--runtime", text, &o->runtime);
	case O_READ:
		return parse_place("--read", text, &o->read, &o->have_read);
	case O_WRITE:
		return parse_place("--write", text, &o->write, &o->have_write);
	case O_HISTOGRAM:
		o->histogram = true;
		return 0;
	case O_JSON:
		o->json = true;
		return 0;
	default:
		o->help = true;
		return 0;
	}
}

int vfio_options_parse(int argc, char **argv, struct vfio_options *o)
{
	struct opt_parser p = { .opts = options, .argc = argc, .argv = argv, .next = 1 };
	const char *text;
	int option, rc;

	*o = (struct vfio_options){ .rounds = 9, .runtime = 0.1 };
	while ((option = opt_next(&p, &text)) > 0) {
		rc = take(option, text, o);
		if (rc < 0 || o->help)
			return rc;
	}
	if (option < 0)
		return option;
	if (!o->device)
		return iol_fail(EINVAL, "say which device: an address or a name of it, as iolane "
					"list shows them");
	return 0;
}

struct json_object *vfio_options_json(const struct vfio_options *o)
{
	struct json_object *settings = json_object_new_object();

	json_object_object_add(settings, "device", json_object_new_string(o->device));
	json_object_object_add(settings, "rounds", json_object_new_int((int)o->rounds));
	json_object_object_add(settings, "runtime", json_object_new_double(o->runtime));
	json_object_object_add(settings, "memory", json_object_new_int64((int64_t)o->memory));
	return settings;
}
