/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane plan", "iolane apply" and "iolane drift": the same steps, told, made, or complained of. */
#include "base/error.h"
#include "boot.h"
#include "change.h"
#include "state_file.h"
#include "tools/common/prog.h"

#include <errno.h>

/* @look: only tell the steps. @drift: that there are some is a failure. */
static int run(const struct verb_args *a, const char *verb, bool look, bool drift)
{
	_cleanup_state_ struct iol_state state = { 0 };
	_cleanup_change_ struct change c = { 0 };
	const char *const *word;
	unsigned int words;
	int status, count;

	word = change_words(&words);
	if (words != 1) {
		iol_fail(EINVAL, "iolane %s needs one file that says what the host shall be", verb);
		return prog_usage();
	}
	status = change_open(a, &c);
	if (status)
		return status;
	c.opts.dry_run |= look;
	status = drift ? PROG_OK : change_look(&c);
	if (status)
		return status;
	if (state_load(c.host, word[0], &state) < 0)
		return prog_fail();
	count = iol_apply(c.host, &state, &c.opts);
	status = change_report_steps(&c, count);
	return status ? status : drift && count ? PROG_FAILED : PROG_OK;
}

static int run_plan(const struct verb_args *a)
{
	return run(a, "plan", true, false);
}

enum { BOOT = CHANGE_OWN, WAIT };

static struct {
	bool boot;
	unsigned int wait_ms;
} asked;

static int apply_option(int id, const char *value)
{
	switch (id) {
	case BOOT:
		asked.boot = true;
		return 0;
	case WAIT:
		return opt_ms("--wait", value, &asked.wait_ms);
	default:
		return change_option(id, value);
	}
}

static int run_boot(const struct verb_args *a)
{
	unsigned int words;
	const char *const *word = change_words(&words);

	if (words > 1 || a->json || change_is_dry()) {
		iol_fail(EINVAL, "iolane apply --boot takes one file at most, and neither --json "
				 "nor --dry-run: iolane plan shows what it would do");
		return prog_usage();
	}
	return boot_apply(a, words ? word[0] : BOOT_FILE,
			  asked.wait_ms ? asked.wait_ms : BOOT_WAIT_MS);
}

static int run_apply(const struct verb_args *a)
{
	if (asked.boot)
		return run_boot(a);
	if (asked.wait_ms) {
		iol_fail(EINVAL, "--wait says how long --boot waits for PFs: give that, too");
		return prog_usage();
	}
	return run(a, "apply", false, false);
}

static int run_drift(const struct verb_args *a)
{
	return run(a, "drift", true, true);
}

static const struct opt opts[] = {
	{ "boot", NULL, BOOT }, { "wait", "TIME", WAIT }, CHANGE_OPTS, HOST_OPTS, { 0 },
};
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
		"       iolane apply --boot [FILE] [--wait=TIME]\n"
		"Make the host what FILE declares (YAML; - for standard input;\n"
		"iolane-vf.yaml(5)): all of it, or on failure nothing. A second time there is\n"
		"nothing to do. iolane undo takes it back, also after it was killed.\n"
		"\n"
		"  --boot          as when the host starts: wait for PFs, bring each to its state\n"
		"                  by itself, and say in a line what became of it. One that\n"
		"                  somebody uses, such as a NIC with an address, is left alone.\n"
		"                  FILE is " BOOT_FILE " unless told\n"
		"  --wait=TIME     how long PFs may take to come (default 30s)\n" CHANGE_OPTS_HELP
			HOST_OPTS_HELP,
	.opts = opts,
	.many = true,
	.option = apply_option,
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
