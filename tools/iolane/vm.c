/* SPDX-License-Identifier: BSD-3-Clause */
#include "vm.h"

static const struct verb_row rows[] = {
	{ "args", &vm_args },
	{ "doctor", &vm_doctor },
	{ "attach", &vm_attach },
	{ "detach", &vm_detach },
};

const struct verb_group vm_group = {
	.name = "vm",
	.opts_help = VM_OPTS_HELP,
	.rows = rows,
	.num = sizeof(rows) / sizeof(rows[0]),
};
