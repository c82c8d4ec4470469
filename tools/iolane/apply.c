/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane plan", "iolane apply" and "iolane drift": the same steps, told, made, or complained of. */
#include "base/error.h"
#include "change.h"
#include "state_file.h"
#include "tools/common/prog.h"

#include <errno.h>

/* Everything but what is made of the steps. Return: the exit status, or PROG_OK and how many steps. */
static int steps(const struct verb_args *a, const char *verb, bool dry_run, struct change *c,
		 int *count)
{
	_cleanup_state_ struct iol_state state = { 0 };
	struct iol_apply_opts opts = { 0 };
	const char *const *word;
	unsigned int words;
	int status;

	word = change_words(&words);
	if (words != 1) {
		iol_fail(EINVAL, "iolane %s needs one file that says what the host shall be", verb);
		return prog_usage();
	}
	status = change_open(a, c);
	if (status)
		return status;
	c->opts.dry_run |= dry_run;
	opts.change = c->opts;
	if (state_load(c->host, word[0], &state) < 0)
		return prog_fail();
	*count = iol_apply(c->host, &state, &opts);
	return *count < 0 ? prog_fail() : PROG_OK;
}

static int run_plan(const struct verb_args *a)
{
	_cleanup_change_ struct change c = { 0 };
	int count = 0, status = steps(a, "plan", true, &c, &count);

	return status ? status : change_report_steps(&c, count);
}

static int run_apply(const struct verb_args *a)
{
	_cleanup_change_ struct change c = { 0 };
	int count = 0, status = steps(a, "apply", false, &c, &count);

	return status ? status : change_report_steps(&c, count);
}

static int run_drift(const struct verb_args *a)
{
	_cleanup_change_ struct change c = { 0 };
	int count = 0, status = steps(a, "drift", true, &c, &count);

	if (!status)
		status = change_report_steps(&c, count);
	return status ? status : count ? PROG_FAILED : PROG_OK;
}

static const struct opt opts[] = { CHANGE_OPTS, HOST_OPTS, { 0 } };
static const struct opt look_opts[] = { HOST_OPTS, { 0 } };

const struct verb host_plan = {
	.name = "plan",
	.help = "Usage: iolane plan FILE [OPTION]...\n"
		"Show the steps from what the host is to what FILE declares (YAML; - for standard\n"
		"input; iolane-vf.yaml(5)), and change nothing.\n"
		"\n" HOST_OPTS_HELP,
	.opts = look_opts,
	.many = true,
	.option = change_option,
	.run = run_plan,
};

const struct verb host_apply = {
	.name = "apply",
	.help = "Usage: iolane apply FILE [OPTION]...\n"
		"Make the host what FILE declares (YAML; - for standard input;\n"
		"iolane-vf.yaml(5)): all of it, or on failure nothing. A second time there is\n"
		"nothing to do. iolane undo takes it back, also after it was killed.\n"
		"\n" CHANGE_OPTS_HELP HOST_OPTS_HELP,
	.opts = opts,
	.many = true,
	.option = change_option,
	.run = run_apply,
};

const struct verb host_drift = {
	.name = "drift",
	.help = "Usage: iolane drift FILE [OPTION]...\n"
		"Tell what of FILE is no longer so: the steps that iolane apply would make.\n"
		"Exit status 1 when there are any.\n"
		"\n" HOST_OPTS_HELP,
	.opts = look_opts,
	.many = true,
	.option = change_option,
	.run = run_drift,
};
