/* SPDX-License-Identifier: BSD-3-Clause */
/* iolane-bench: one verb for each kind of device that it measures. */
#include "bench.h"

#include "tools/common/opt.h"
#include "tools/common/prog.h"

#include <iolane/base.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

volatile int bench_interrupted;

static const char help[] =
	"Usage: iolane-bench VERB [OPTION]...\n"
	"\n"
	"Measures virtio back ends from the guest's side, PCI devices, and VMMs.\n"
	"\n"
	"  blk        a vhost-user-blk back end, alone or beside others\n"
	"  net        packets through a vhost-user-net back end\n"
	"  vfio       a PCI device through VFIO, beside bare calls of the kernel's\n"
	"  vmm        VMMs beside each other: start, memory, exits\n"
	"\n"
	"  --help     this text; iolane-bench VERB --help says more\n"
	"  --version  the version\n";

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} verbs[] = {
	{ "blk", bench_blk },
	{ "net", bench_net },
	{ "vfio", bench_vfio },
	{ "vmm", bench_vmm },
};

static void interrupt(int sig)
{
	bench_interrupted = 1;
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = interrupt };
	size_t i;

	prog_start("iolane-bench", IOL_LOG_WARNING);
	if (argc < 2) {
		fputs(help, stderr);
		return PROG_USAGE;
	}
	if (!strcmp(argv[1], "--help"))
		return prog_print(help);
	if (!strcmp(argv[1], "--version")) {
		printf("iolane-bench %s\n", iol_version());
		return prog_flush();
	}
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(argv[1], verbs[i].name))
			return verbs[i].run(argc - 1, argv + 1);
	opt_unknown("verb", "", argv[1], verbs, sizeof(verbs) / sizeof(verbs[0]), sizeof(verbs[0]));
	return prog_usage();
}
