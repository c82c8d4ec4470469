/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane check": the host doctor. */
#include "check.h"

#include "tools/common/prog.h"

#include <stdio.h>
#include <string.h>

/* In the order in which things have to be mended. */
static const struct check {
	const char *key, *name;
	check_function *run;
} checks[] = {
	{ "iommu", "IOMMU", check_iommu },
	{ "groups", "IOMMU groups", check_groups },
	{ "translation", "translation", check_translation },
	{ "remapping", "interrupt remapping", check_remapping },
	{ "posted", "posted interrupts", check_posted },
	{ "acs", "ACS", check_acs },
	{ "reserved", "reserved regions", check_reserved },
	{ "vfio", "VFIO", check_vfio },
	{ "iommufd", "iommufd and device nodes", check_iommufd },
	{ "unsafe", "unsafe switches", check_unsafe },
	{ "lockdown", "lockdown", check_lockdown },
	{ "kvm", "KVM", check_kvm },
	{ "memlock", "locked memory", check_memlock },
	{ "hugepages", "huge pages", check_hugepages },
	{ "io_uring", "io_uring", check_uring },
	{ "dpdk", "DPDK", check_dpdk },
};

#define CHECKS (sizeof(checks) / sizeof(checks[0]))

void finding_boot(struct finding *f, const struct machine *m, const char *word, bool remove)
{
	machine_boot_line(m, word, remove, f->mend, sizeof(f->mend));
}

static void print_sum(const unsigned int *counts)
{
	unsigned int bad = counts[CHECK_BAD], warnings = counts[CHECK_WARNING];

	putchar('\n');
	if (bad)
		printf("Passthrough would not work here: %u thing%s to mend, %u warning%s.\n", bad,
		       findings_plural(bad), warnings, findings_plural(warnings));
	else
		printf("Passthrough would work here, with %u warning%s.\n", warnings,
		       findings_plural(warnings));
}

static int run_checks(const struct verb_args *a, const struct machine *m)
{
	struct findings all = { .json = a->json, .list = json_object_new_array() };
	bool bad;
	size_t i;
	int status;

	for (i = 0; i < CHECKS; i++) {
		struct finding f = { .state = CHECK_SILENT };

		checks[i].run(m, &f);
		findings_add(&all, checks[i].key, checks[i].name, &f);
	}
	bad = all.counts[CHECK_BAD];
	if (a->json) {
		struct json_object *o = json_object_new_object();

		add_bool(o, "passthrough", !bad);
		json_object_object_add(o, "checks", all.list);
		status = verb_print_json(o);
	} else {
		json_object_put(all.list);
		print_sum(all.counts);
		status = prog_flush();
	}
	return status ? status : bad ? PROG_FAILED : PROG_OK;
}

static int run_check(const struct verb_args *a)
{
	_cleanup_(machine_free) struct machine m = { 0 };
	_cleanup_host_ struct iol_host *host = NULL;
	int status = host_open(a, &host);

	if (status)
		return status;
	if (machine_read(&m, &host) < 0)
		return prog_fail();
	return run_checks(a, &m);
}

static const struct opt opts[] = { HOST_OPTS, { 0 } };

const struct verb host_check = {
	.name = "check",
	.help = "Usage: iolane check [OPTION]...\n"
		"Tell whether this host can pass devices through to guests: a line for each\n"
		"thing that this takes, good, warning or bad, with what was found and where it\n"
		"was read, and below it the line that mends it.\n"
		"\n" HOST_OPTS_HELP "\n"
		"Exit status: 0 passthrough would work, 1 it would not, 2 wrong command line.\n",
	.opts = opts,
	.run = run_check,
};
