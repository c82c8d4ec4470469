/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include "base/units.h"
#include "layout.h"
#include "tools/common/opt.h"
#include "tools/common/prog.h"

#include <string.h>

#define MEMORY_DEFAULT (512ull << 20)
#define MIB            (1ull << 20)

enum {
	OPT_KERNEL = 1,
	OPT_INITRD,
	OPT_CMDLINE,
	OPT_MEMORY,
	OPT_CPUS,
	OPT_HUGEPAGES,
	OPT_NO_REBOOT,
	OPT_VERBOSE,
	OPT_VERSION,
	OPT_HELP,
	OPT_DEVICE,
};

/* clang-format off */
static const struct opt opts[] = {
	{ "kernel",    "FILE",   OPT_KERNEL },
	{ "initrd",    "FILE",   OPT_INITRD },
	{ "cmdline",   "TEXT",   OPT_CMDLINE },
	{ "memory",    "SIZE",   OPT_MEMORY },
	{ "cpus",      "N",      OPT_CPUS },
	{ "vfio",      "DEVICE", OPT_DEVICE + DEVICE_VFIO, .repeat = true },
	{ "blk",       "SOCKET", OPT_DEVICE + DEVICE_BLK, .repeat = true },
	{ "net",       "SOCKET", OPT_DEVICE + DEVICE_NET, .repeat = true },
	{ "hugepages", NULL,     OPT_HUGEPAGES },
	{ "no-reboot", NULL,     OPT_NO_REBOOT },
	{ "verbose",   NULL,     OPT_VERBOSE },
	{ "version",   NULL,     OPT_VERSION, 'V' },
	{ "help",      NULL,     OPT_HELP, 'h' },
	{ NULL },
};
/* clang-format on */

static int set_memory(struct options *o, const char *value)
{
	int rc = iol_parse_size("--memory", value, &o->memory);

	if (!rc && (o->memory < 16 * MIB || o->memory % (2 * MIB)))
		return iol_fail(EINVAL, "--memory must be at least 16M, in steps of 2M, not \"%s\"",
				value);
	return rc;
}

static int add_device(struct options *o, enum device_kind kind, const char *name)
{
	unsigned int i;

	for (i = 0; i < o->num_devices; i++) {
		if (o->devices[i].kind == kind && !strcmp(o->devices[i].name, name))
			return iol_fail(EINVAL, "%s is given twice: leave one out", name);
	}
	if (o->num_devices == DEVICES_MAX)
		return iol_fail(EINVAL, "a guest has room for %u devices", DEVICES_MAX);
	o->devices[o->num_devices++] = (struct device){ kind, name };
	return 0;
}

static int set_option(struct options *o, int id, const char *value)
{
	switch (id) {
	case OPT_KERNEL:
		o->kernel = value;
		return 0;
	case OPT_INITRD:
		o->initrd = value;
		return 0;
	case OPT_CMDLINE:
		o->cmdline = value;
		return 0;
	case OPT_MEMORY:
		return set_memory(o, value);
	case OPT_CPUS:
		return opt_uint("--cpus", value, 1, CPUS_MAX, &o->cpus);
	case OPT_HUGEPAGES:
		o->hugepages = true;
		return 0;
	case OPT_NO_REBOOT:
		o->no_reboot = true;
		return 0;
	case OPT_VERBOSE:
		o->verbose = true;
		return 0;
	case OPT_WORD:
		return iol_fail(EINVAL, "unexpected argument \"%s\": name a kernel with --kernel",
				value);
	default:
		return add_device(o, (enum device_kind)(id - OPT_DEVICE), value);
	}
}

static int parse(struct options *o, int argc, char **argv)
{
	struct opt_parser parser = { .opts = opts, .argc = argc, .argv = argv, .next = 1 };
	const char *value;
	int id, rc;

	while ((id = opt_next(&parser, &value)) > 0) {
		if (id == OPT_HELP || id == OPT_VERSION)
			return id;
		rc = set_option(o, id, value);
		if (rc < 0)
			return rc;
	}
	if (!id && !o->kernel)
		return iol_fail(EINVAL, "no kernel to boot: give --kernel=FILE");
	return id;
}

int options_parse(struct options *o, int argc, char **argv)
{
	int rc;

	*o = (struct options){ .cmdline = "console=ttyS0", .memory = MEMORY_DEFAULT, .cpus = 1 };
	rc = parse(o, argc, argv);
	if (rc == OPT_HELP)
		return prog_print(options_help);
	if (rc == OPT_VERSION) {
		printf("iolane-vmm %s\n", iol_version());
		return prog_flush();
	}
	return rc < 0 ? prog_usage() : -1;
}
