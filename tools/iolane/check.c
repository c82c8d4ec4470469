/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane check": the host doctor. */
#include "check.h"

#include "text.h"
#include "tools/common/ctl.h"
#include "tools/common/prog.h"

#include <stdarg.h>
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

static const struct {
	const char *word;
	enum text_colour colour;
} states[] = {
	[CHECK_SILENT] = { "", TEXT_PLAIN },
	[CHECK_GOOD] = { "good", TEXT_GREEN },
	[CHECK_WARNING] = { "warning", TEXT_YELLOW },
	[CHECK_BAD] = { "bad", TEXT_RED },
};

/* Columns of the states, with the gap behind them. */
#define STATE_WIDTH 9

void finding(struct finding *f, enum check_state state, const char *where, const char *fmt, ...)
{
	va_list ap;

	f->state = state;
	snprintf(f->where, sizeof(f->where), "%s", where);
	va_start(ap, fmt);
	vsnprintf(f->found, sizeof(f->found), fmt, ap);
	va_end(ap);
}

void finding_mend(struct finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->mend, sizeof(f->mend), fmt, ap);
	va_end(ap);
}

void finding_boot(struct finding *f, const struct machine *m, const char *word, bool remove)
{
	machine_boot_line(m, word, remove, f->mend, sizeof(f->mend));
}

static void print_finding(const struct check *check, const struct finding *f)
{
	const char *word = states[f->state].word;

	text_paint(states[f->state].colour, word);
	text_print(strlen(word), STATE_WIDTH, "%*s%s: %s (%s)", STATE_WIDTH - (int)strlen(word), "",
		   check->name, f->found, f->where);
	/* Not broken into lines: it is there to be copied. */
	if (f->mend[0])
		printf("%*s%s\n", STATE_WIDTH, "", f->mend);
}

static struct json_object *finding_json(const struct check *check, const struct finding *f)
{
	struct json_object *o = json_object_new_object();

	ctl_add_string(o, "check", check->key);
	ctl_add_string(o, "name", check->name);
	ctl_add_string(o, "state", states[f->state].word);
	ctl_add_string(o, "found", f->found);
	ctl_add_string(o, "where", f->where);
	add_text(o, "mend", f->mend);
	return o;
}

static const char *plural(unsigned int n)
{
	return n == 1 ? "" : "s";
}

static void print_sum(const unsigned int *counts)
{
	unsigned int bad = counts[CHECK_BAD], warnings = counts[CHECK_WARNING];

	putchar('\n');
	if (bad)
		printf("Passthrough would not work here: %u thing%s to mend, %u warning%s.\n", bad,
		       plural(bad), warnings, plural(warnings));
	else
		printf("Passthrough would work here, with %u warning%s.\n", warnings,
		       plural(warnings));
}

static int run_checks(const struct verb_args *a, const struct machine *m)
{
	struct json_object *list = json_object_new_array(), *o;
	unsigned int counts[CHECK_BAD + 1] = { 0 };
	size_t i;
	int status;

	for (i = 0; i < CHECKS; i++) {
		struct finding f = { .state = CHECK_SILENT };

		checks[i].run(m, &f);
		counts[f.state]++;
		if (f.state == CHECK_SILENT)
			continue;
		if (a->json)
			json_object_array_add(list, finding_json(&checks[i], &f));
		else
			print_finding(&checks[i], &f);
	}
	if (a->json) {
		o = json_object_new_object();
		add_bool(o, "passthrough", !counts[CHECK_BAD]);
		json_object_object_add(o, "checks", list);
		status = verb_print_json(o);
	} else {
		json_object_put(list);
		print_sum(counts);
		status = prog_flush();
	}
	return status ? status : counts[CHECK_BAD] ? PROG_FAILED : PROG_OK;
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
