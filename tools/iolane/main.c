/* SPDX-License-Identifier: BSD-3-Clause */
/* iolane: steers the other programs, and starts them as "iolane NAME". */
#include "base/error.h"
#include "sibling.h"
#include "tools/common/prog.h"
#include "verb.h"

#include <errno.h>
#include <string.h>

static int help_main(int argc, char **argv);

/* Without a verb, a group of verbs or a function, the command is a program of its own: iolane-NAME. */
static const struct command {
	const char *name;
	const char *line;
	const struct verb *verb;
	const struct verb_group *group;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "list", "show the PCI devices that can be passed through", &host_list, NULL, NULL },
	{ "show", "show everything about one of them", &host_show, NULL, NULL },
	{ "check", "tell whether this host can pass devices through, and what to mend", &host_check,
	  NULL, NULL },
	{ "bind", "take devices from their drivers, for VFIO", &host_bind, NULL, NULL },
	{ "unbind", "give them back", &host_unbind, NULL, NULL },
	{ "vf", "show, make and set virtual functions", NULL, &vf_group, NULL },
	{ "plan", "show what it takes to make the host what a file declares", &host_plan, NULL,
	  NULL },
	{ "apply", "make the host what a file declares", &host_apply, NULL, NULL },
	{ "drift", "tell what is no longer as a file declares", &host_drift, NULL, NULL },
	{ "export", "print the file that declares the host as it is", &host_export, NULL, NULL },
	{ "lease", "hand out a virtual function", &host_lease, NULL, NULL },
	{ "release", "take it back", &host_release, NULL, NULL },
	{ "vm", "hand devices to QEMU, libvirt or Cloud Hypervisor", NULL, &vm_group, NULL },
	{ "undo", "take back the last change", &host_undo, NULL, NULL },
	{ "blk", "serve disks to virtual machines, and steer a server that runs", NULL, &blk_group,
	  NULL },
	{ "net", "give virtual machines NICs on a switch, and steer a switch that runs", NULL,
	  &net_group, NULL },
	{ "vmm", "boot Linux as a guest, with devices of this host", NULL, NULL, NULL },
	{ "bench", "measure a back end and compare it with others", NULL, NULL, NULL },
	{ "help", "explain a command: iolane help blk", NULL, NULL, help_main },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct command *find_command(const char *name)
{
	unsigned int i;

	for (i = 0; i < COMMANDS; i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	}
	return NULL;
}

static int print_help(void)
{
	unsigned int i;

	printf("Usage: iolane COMMAND [ARGUMENT]...\n"
	       "Hardware I/O for virtual machines at hardware speed.\n"
	       "\n");
	for (i = 0; i < COMMANDS; i++)
		printf("  %-8s %s\n", commands[i].name, commands[i].line);
	printf("\n"
	       "  --help, --version   say this, or the version, and end\n"
	       "\n"
	       "Any other COMMAND starts the program iolane-COMMAND.\n"
	       "Exit status: 0 done, 1 something failed, 2 wrong command line.\n");
	return prog_flush();
}

static int unknown_command(const char *name)
{
	opt_unknown("command", "", name, commands, COMMANDS, sizeof(commands[0]));
	return prog_usage();
}

/* A folder's separator in the name would start something else than a sibling. */
static int start_program(const struct command *known, const char *name, char **argv)
{
	if (!known && name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789")])
		return unknown_command(name);
	if (sibling_exec(name, argv) == -ENOENT && !known)
		return unknown_command(name);
	return prog_fail();
}

static int help_main(int argc, char **argv)
{
	const struct command *command;
	char ask[] = "--help", *help[] = { NULL, ask, NULL };

	if (argc < 2)
		return print_help();
	command = find_command(argv[1]);
	if (command && command->verb)
		return prog_print(command->verb->help);
	if (command && command->group)
		return verb_help(command->group, argc > 2 ? argv[2] : NULL);
	if (command && command->run)
		return print_help();
	return start_program(command, argv[1], help);
}

int main(int argc, char **argv)
{
	const struct command *command;

	prog_start("iolane", IOL_LOG_INFO);
	if (argc < 2) {
		iol_fail(EINVAL, "say what to do");
		return prog_usage();
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return print_help();
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		printf("iolane %s\n", iol_version());
		return prog_flush();
	}
	if (argv[1][0] == '-') {
		iol_fail(EINVAL, "unknown option %s", argv[1]);
		return prog_usage();
	}
	command = find_command(argv[1]);
	if (command && command->verb)
		return verb_run(NULL, command->verb, argc - 1, argv + 1);
	if (command && command->group)
		return verb_main(command->group, argc - 1, argv + 1);
	if (command && command->run)
		return command->run(argc - 1, argv + 1);
	return start_program(command, argv[1], argv + 1);
}
