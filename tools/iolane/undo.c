/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane undo". */
#include "change.h"
#include "tools/common/prog.h"

#include <iolane/sriov.h>

static int run_undo(const struct verb_args *a)
{
	_cleanup_change_ struct change c = { 0 };
	int status = change_begin(a, false, &c);

	if (!status)
		status = change_look(&c);
	return status ? status : change_report(&c, iol_apply_undo(c.host, &c.opts));
}

static const struct opt opts[] = { CHANGE_OPTS, HOST_OPTS, { 0 } };

const struct verb host_undo = {
	.name = "undo",
	.help = "Usage: iolane undo [OPTION]...\n"
		"Take back the last change to the host: a bind, unbind or apply, or what is left\n"
		"of one that was killed in the middle. Each call takes back one more.\n"
		"\n" CHANGE_OPTS_HELP HOST_OPTS_HELP,
	.opts = opts,
	.many = true,
	.option = change_option,
	.run = run_undo,
};
