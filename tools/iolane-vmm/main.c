/* SPDX-License-Identifier: BSD-3-Clause */
/* iolane-vmm: boots Linux as a guest of KVM, with devices of the host. */
#include "events.h"
#include "options.h"
#include "tools/common/prog.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Nothing that is opened later may take a place where input comes from, or messages go to. */
static void fill_standard_fds(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static int run(const struct options *options)
{
	struct machine m;
	int rc, signals = -1;

	rc = machine_open(&m, options);
	if (!rc)
		rc = signals = events_signals();
	if (rc >= 0)
		rc = machine_start(&m);
	if (rc >= 0)
		rc = events_run(&m, signals);
	if (rc < 0)
		rc = prog_fail();
	machine_close(&m);
	return rc;
}

int main(int argc, char **argv)
{
	struct options options;
	int status;

	fill_standard_fds();
	prog_start("iolane-vmm", IOL_LOG_INFO);
	status = options_parse(&options, argc, argv);
	if (status >= 0)
		return status;
	/* What the filters of system calls rest on, and no harm to anybody. */
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (options.verbose)
		prog_start("iolane-vmm", IOL_LOG_DEBUG);
	return run(&options);
}
