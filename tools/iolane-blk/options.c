/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include "base/units.h"
#include "tools/common/ctl.h"
#include "tools/common/opt.h"
#include "tools/common/prog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define POLL_US_MAX 1000000

/* Ids of the settings of the one disk start here, in the order of disk_settings. */
enum {
	OPT_DISK = 1,
	OPT_THREADS,
	OPT_POLL_US,
	OPT_ENGINE,
	OPT_SQPOLL,
	OPT_CONTROL,
	OPT_VERBOSE,
	OPT_CAPABILITIES,
	OPT_VERSION,
	OPT_HELP,
	OPT_SETTING,
};

/* clang-format off */
static const struct opt process_opts[] = {
	{ "disk",               "KEY=VALUE,...", OPT_DISK, .repeat = true },
	{ "threads",            "N",             OPT_THREADS },
	{ "poll-us",            "N",             OPT_POLL_US },
	{ "engine",             "NAME",          OPT_ENGINE },
	{ "sqpoll",             NULL,            OPT_SQPOLL },
	{ "control",            "PATH",          OPT_CONTROL },
	{ "verbose",            NULL,            OPT_VERBOSE },
	{ "print-capabilities", NULL,            OPT_CAPABILITIES },
	{ "version",            NULL,            OPT_VERSION, 'V' },
	{ "help",               NULL,            OPT_HELP, 'h' },
};
/* clang-format on */

#define PROCESS_OPTS (sizeof(process_opts) / sizeof(process_opts[0]))

/* docs/interop/vhost-user.json, VHostUserBackendCapabilities. */
static const char capabilities[] = "{\n"
				   "  \"type\": \"block\",\n"
				   "  \"features\": [\n"
				   "    \"read-only\",\n"
				   "    \"blk-file\"\n"
				   "  ]\n"
				   "}\n";

static struct disk_opts *new_disk(struct options *o)
{
	struct disk_opts *disks;

	disks = reallocarray(o->disks, o->num_disks + 1, sizeof(*disks));
	if (!disks) {
		iol_fail(ENOMEM, "no memory for a disk's settings");
		return NULL;
	}
	o->disks = disks;
	disk_opts_init(&disks[o->num_disks]);
	return &disks[o->num_disks++];
}

static int add_disk(struct options *o, const char *value)
{
	struct disk_opts *disk = new_disk(o);

	if (!disk)
		return -ENOMEM;
	return settings_parse(&disk_settings, disk, &disk->seen, "--disk", value);
}

static int set_engine(struct options *o, const char *value)
{
	if (!strcmp(value, "auto"))
		o->threads.engine = IOL_BLK_ENGINE_AUTO;
	else if (!strcmp(value, "io_uring"))
		o->threads.engine = IOL_BLK_ENGINE_URING;
	else if (!strcmp(value, "pool"))
		o->threads.engine = IOL_BLK_ENGINE_POOL;
	else
		return iol_fail(EINVAL, "--engine must be auto, io_uring or pool, not \"%s\"",
				value);
	return 0;
}

static int set_option(struct options *o, struct disk_opts *single, int id, const char *value)
{
	switch (id) {
	case OPT_DISK:
		return add_disk(o, value);
	case OPT_THREADS:
		return opt_uint("--threads", value, 1, 64, &o->threads.num);
	case OPT_POLL_US:
		return opt_uint("--poll-us", value, 0, POLL_US_MAX, &o->threads.poll_us);
	case OPT_ENGINE:
		return set_engine(o, value);
	case OPT_SQPOLL:
		o->threads.sqpoll = true;
		return 0;
	case OPT_CONTROL:
		o->control = value;
		return ctl_check_path("--control", value);
	case OPT_VERBOSE:
		o->verbose = true;
		return 0;
	case OPT_WORD:
		return iol_fail(EINVAL, "unexpected argument \"%s\": name an image with --blk-file",
				value);
	default:
		return settings_set_option(&disk_settings, (unsigned int)(id - OPT_SETTING), single,
					   &single->seen, value);
	}
}

/* One disk of its own options becomes the only one of the list. */
static int take_single(struct options *o, struct disk_opts *single)
{
	struct disk_opts *disk;
	int rc;

	if (!single->seen) {
		if (o->num_disks || o->control)
			return 0;
		return iol_fail(EINVAL, "no disk to serve: give --socket-path=PATH and "
					"--blk-file=FILE");
	}
	rc = o->num_disks ? settings_exclude(&disk_settings, single->seen, "--disk") : 0;
	if (!rc)
		rc = disk_opts_check(single, o->threads.engine, true);
	if (rc < 0)
		return rc;
	disk = new_disk(o);
	if (!disk)
		return -ENOMEM;
	*disk = *single;
	disk_opts_init(single);
	return 0;
}

static bool same(const char *a, const char *b)
{
	return a && b && !strcmp(a, b);
}

static int check_disks(const struct options *o)
{
	unsigned int i, j;
	int rc;

	for (i = 0; i < o->num_disks; i++) {
		const struct disk_opts *a = &o->disks[i];

		rc = disk_opts_check(a, o->threads.engine, false);
		if (rc < 0)
			return iol_fail_more(rc, "--disk number %u", i + 1);
		if (same(a->ep.path, o->control))
			return iol_fail(EINVAL,
					"the disk and --control have the same socket %s: "
					"each needs its own",
					a->ep.path);
		for (j = 0; j < i; j++) {
			const struct disk_opts *b = &o->disks[j];

			if (same(a->name, b->name))
				return iol_fail(EINVAL,
						"two disks have the name %s: each needs "
						"its own",
						a->name);
			rc = endpoint_check_two(&a->ep, &b->ep, "disks");
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

/* Return: 0, OPT_HELP or OPT_VERSION, or a negative errno. */
static int parse(struct options *o, struct disk_opts *single, int argc, char **argv)
{
	struct opt opts[PROCESS_OPTS + DISK_SETTINGS + 1] = { 0 };
	struct opt_parser parser = { .opts = opts, .argc = argc, .argv = argv, .next = 1 };
	const char *value;
	int id, rc;

	memcpy(opts, process_opts, sizeof(process_opts));
	settings_opts(&disk_settings, opts + PROCESS_OPTS, OPT_SETTING);
	while ((id = opt_next(&parser, &value)) > 0) {
		if (id == OPT_HELP || id == OPT_VERSION)
			return id;
		rc = set_option(o, single, id, value);
		if (rc < 0)
			return rc;
	}
	if (id < 0)
		return id;
	if (o->threads.sqpoll && o->threads.engine == IOL_BLK_ENGINE_POOL)
		return iol_fail(EINVAL, "--sqpoll needs io_uring: leave out --engine=pool");
	rc = take_single(o, single);
	return rc < 0 ? rc : check_disks(o);
}

int options_parse(struct options *o, int argc, char **argv)
{
	struct disk_opts single;
	int rc;

	memset(o, 0, sizeof(*o));
	o->threads.num = 1;
	o->threads.poll_us = IOL_BLK_POLL_DEFAULT;
	if (prog_asks_capabilities(argc, argv))
		return prog_print(capabilities);

	disk_opts_init(&single);
	rc = parse(o, &single, argc, argv);
	disk_opts_free(&single);
	if (rc == OPT_HELP)
		return prog_print(options_help);
	if (rc == OPT_VERSION) {
		printf("iolane-blk %s\n", iol_version());
		return prog_flush();
	}
	return rc < 0 ? prog_usage() : -1;
}

void options_free(struct options *o)
{
	unsigned int i;

	for (i = 0; i < o->num_disks; i++)
		disk_opts_free(&o->disks[i]);
	free(o->disks);
	o->disks = NULL;
	o->num_disks = 0;
}
