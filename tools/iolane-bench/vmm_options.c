/* SPDX-License-Identifier: BSD-3-Clause */
#include "vmm.h"

#include "base/error.h"
#include "base/units.h"
#include "tools/common/opt.h"

#include <iolane/vfio.h>
#include <json-c/json.h>
#include <string.h>

#define MIB        (UINT64_C(1) << 20)
#define MEMORY_MAX (UINT64_C(1) << 44)
#define CPUS_MAX   255

enum {
	O_COMPARE = 1,
	O_AGAINST,
	O_KERNEL,
	O_INITRD,
	O_CMDLINE,
	O_MEMORY,
	O_CPUS,
	O_VFIO,
	O_BLK,
	O_NET,
	O_UNTIL,
	O_EXITS,
	O_TIMEOUT,
	O_ROUNDS,
	O_SHOW_COMMANDS,
	O_JSON,
	O_HELP,
};

static const struct opt options[] = {
	{ .name = "compare", .arg = "CMD", .id = O_COMPARE, .repeat = true },
	{ .name = "against", .arg = "LIST", .id = O_AGAINST },
	{ .name = "kernel", .arg = "FILE", .id = O_KERNEL },
	{ .name = "initrd", .arg = "FILE", .id = O_INITRD },
	{ .name = "cmdline", .arg = "TEXT", .id = O_CMDLINE },
	{ .name = "memory", .arg = "SIZE", .id = O_MEMORY },
	{ .name = "cpus", .arg = "N", .id = O_CPUS },
	{ .name = "vfio", .arg = "ADDRESS", .id = O_VFIO, .repeat = true },
	{ .name = "blk", .arg = "SOCKET", .id = O_BLK, .repeat = true },
	{ .name = "net", .arg = "SOCKET", .id = O_NET, .repeat = true },
	{ .name = "until", .arg = "TEXT", .id = O_UNTIL },
	{ .name = "exits", .arg = "S", .id = O_EXITS },
	{ .name = "timeout", .arg = "S", .id = O_TIMEOUT },
	{ .name = "rounds", .arg = "N", .id = O_ROUNDS },
	{ .name = "show-commands", .id = O_SHOW_COMMANDS },
	{ .name = "json", .id = O_JSON },
	{ .name = "help", .id = O_HELP },
	{ .name = NULL },
};

static int parse_against(const char *text, bool against[VMM_KINDS])
{
	static const char *const names[VMM_KINDS] = {
		[VMM_QEMU] = "qemu", [VMM_MICROVM] = "microvm"
	};
	const char *word = text;

	for (;;) {
		size_t len = strcspn(word, ",");
		unsigned int kind;

		for (kind = VMM_QEMU; kind < VMM_KINDS; kind++)
			if (strlen(names[kind]) == len && !strncmp(word, names[kind], len))
				break;
		if (kind == VMM_KINDS)
			return iol_fail(EINVAL,
					"--against must be qemu, microvm or both, with a comma "
					"between, not \"%s\"; other VMMs go with --compare",
					text);
		against[kind] = true;
		if (!word[len])
			return 0;
		word += len + 1;
	}
}

static int parse_memory(const char *text, uint64_t *memory)
{
	int rc = iol_parse_size("--memory", text, memory);

	if (rc)
		return rc;
	if (*memory < MIB || *memory % MIB || *memory > MEMORY_MAX)
		return iol_fail(EINVAL, "--memory must be a multiple of 1 MiB, not \"%s\"", text);
	*memory /= MIB;
	return 0;
}

static int take_device(const char *option, const char *text, struct vmm_devices *devices)
{
	struct iol_pci_addr addr;

	if (devices->n == VMM_DEVICES_MAX)
		return iol_fail(EINVAL, "%s may be given %d times", option, VMM_DEVICES_MAX);
	if (!strcmp(option, "--vfio") && iol_pci_addr_parse(text, &addr))
		return iol_fail(EINVAL,
				"--vfio must be a PCI address such as 0000:01:10.0, not \"%s\"",
				text);
	/* One would end an option of QEMU's. */
	if (strchr(text, ',') || !*text)
		return iol_fail(EINVAL, "%s must be a path without a comma, not \"%s\"", option,
				text);
	devices->name[devices->n++] = text;
	return 0;
}

static int take_seconds(const char *option, const char *text, double *seconds)
{
	int rc = opt_seconds(option, text, seconds);

	if (!rc && *seconds <= 0)
		rc = iol_fail(EINVAL, "%s must be more than 0, not \"%s\"", option, text);
	return rc;
}

static int take_of_guest(int option, const char *text, struct vmm_options *o)
{
	switch (option) {
	case O_KERNEL:
		o->kernel = text;
		return 0;
	case O_INITRD:
		o->initrd = text;
		return 0;
	case O_CMDLINE:
		o->cmdline = text;
		return 0;
	case O_MEMORY:
		return parse_memory(text, &o->memory);
	case O_CPUS:
		return opt_uint("--cpus", text, 1, CPUS_MAX, &o->cpus);
	case O_VFIO:
		return take_device("--vfio", text, &o->vfio);
	case O_BLK:
		return take_device("--blk", text, &o->blk);
	default:
		return take_device("--net", text, &o->net);
	}
}

static int take(int option, const char *text, struct vmm_options *o)
{
	switch (option) {
	case OPT_WORD:
		return iol_fail(EINVAL, "\"%s\" is no option", text);
	case O_COMPARE:
		if (o->n_compare == BENCH_ENTRANTS_MAX)
			return iol_fail(EINVAL, "--compare may be given %d times",
					BENCH_ENTRANTS_MAX);
		o->compare[o->n_compare++] = text;
		return 0;
	case O_AGAINST:
		return parse_against(text, o->against);
	case O_UNTIL:
		o->until = text;
		return *text ? 0 : iol_fail(EINVAL, "--until must be a text that the guest says");
	case O_EXITS:
		return take_seconds("--exits", text, &o->exits);
	case O_TIMEOUT:
		return take_seconds("--timeout", text, &o->timeout);
	case O_ROUNDS:
		return opt_uint("--rounds", text, 1, BENCH_ROUNDS_MAX, &o->rounds);
	case O_SHOW_COMMANDS:
		o->show_commands = true;
		return 0;
	case O_JSON:
		o->json = true;
		return 0;
	case O_HELP:
		o->help = true;
		return 0;
	default:
		return take_of_guest(option, text, o);
	}
}

static int check(const struct vmm_options *o, uint64_t seen)
{
	static const int of_guest[] = { O_KERNEL, O_INITRD, O_CMDLINE, O_MEMORY,
					O_CPUS,   O_VFIO,   O_BLK,     O_NET };
	bool against = o->against[VMM_QEMU] || o->against[VMM_MICROVM];

	if (!against && !o->n_compare)
		return iol_fail(EINVAL, "say which VMMs to measure: --against=qemu,microvm beside "
					"iolane-vmm, or --compare='CMD' for each");
	if (against && o->n_compare)
		return iol_fail(EINVAL,
				"--against writes the command lines itself; leave out --compare");
	if (against && !o->kernel)
		return iol_fail(EINVAL, "--against needs --kernel=FILE");
	for (size_t i = 0; !against && i < sizeof(of_guest) / sizeof(of_guest[0]); i++)
		if (seen & UINT64_C(1) << of_guest[i])
			return iol_fail(EINVAL,
					"--kernel and others that describe the guest go with "
					"--against; a command of --compare has its own");
	if (o->exits > 0 && !o->until)
		return iol_fail(EINVAL, "--exits counts after the guest is up: add --until=TEXT, "
					"what it says then");
	return 0;
}

int vmm_options_parse(int argc, char **argv, struct vmm_options *o)
{
	struct opt_parser p = { .opts = options, .argc = argc, .argv = argv, .next = 1 };
	const char *text;
	int option, rc;

	*o = (struct vmm_options){
		.cmdline = "console=ttyS0", .memory = 512, .cpus = 1, .rounds = 9, .timeout = 60
	};
	while ((option = opt_next(&p, &text)) > 0) {
		rc = take(option, text, o);
		if (rc < 0 || o->help)
			return rc;
	}
	return option < 0 ? option : check(o, p.seen);
}

struct json_object *vmm_options_json(const struct vmm_options *o)
{
	struct json_object *settings = json_object_new_object();

	if (o->kernel) {
		json_object_object_add(settings, "memory_mib",
				       json_object_new_int64((int64_t)o->memory));
		json_object_object_add(settings, "cpus", json_object_new_int((int)o->cpus));
		json_object_object_add(settings, "cmdline", json_object_new_string(o->cmdline));
	}
	if (o->until)
		json_object_object_add(settings, "until", json_object_new_string(o->until));
	if (o->exits > 0)
		json_object_object_add(settings, "exits", json_object_new_double(o->exits));
	json_object_object_add(settings, "rounds", json_object_new_int((int)o->rounds));
	json_object_object_add(settings, "timeout", json_object_new_double(o->timeout));
	return settings;
}
