/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane unbind". */
#include "change.h"
#include "tools/common/prog.h"

static int run_unbind(const struct verb_args *a)
{
	_cleanup_change_ struct change c = { 0 };
	int status = change_begin(a, true, &c);

	if (status)
		return status;
	return change_report(&c, iol_unbind(c.host, c.addrs, c.count, &c.opts));
}

static const struct opt opts[] = { CHANGE_OPTS, HOST_OPTS, { 0 } };

const struct verb host_unbind = {
	.name = "unbind",
	.help = "Usage: iolane unbind DEV... [OPTION]...\n"
		"Give devices back: to the drivers that they had before iolane bind; what it did\n"
		"not take, to those that the kernel chooses. It is refused while a process has\n"
		"one open or a VF is leased.\n"
		"\n" CHANGE_OPTS_HELP HOST_OPTS_HELP,
	.opts = opts,
	.many = true,
	.option = change_option,
	.run = run_unbind,
};
