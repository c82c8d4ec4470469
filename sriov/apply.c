/* SPDX-License-Identifier: BSD-3-Clause */
/* Bringing a host to a state, and back. */
#include "sriov/apply.h"

#include "base/error.h"
#include "base/own.h"

#include <errno.h>

int iol_apply(const struct iol_host *host, const struct iol_state *state,
	      const struct iol_change_opts *opts)
{
	_cleanup_journal_ struct iol_journal j = JOURNAL_CLOSED;
	_cleanup_env_ struct sriov_env env = { 0 };
	_cleanup_plan_ struct iol_plan plan = { 0 };
	struct iol_engine engine = iol_sriov_engine(&env, host, opts);
	int rc = iol_state_check(state, NULL);

	/* Settings are asked of the kernel, and not of files: a copy can't even be looked at. */
	if (!rc)
		rc = iol_may_change(host);
	if (!rc && !opts->dry_run) {
		rc = iol_journal_open(host, opts->state_dir, &j);
		if (!rc)
			rc = iol_refuse_unfinished(&j);
	}
	if (!rc)
		rc = iol_apply_plan(&engine, state, &plan);
	if (rc)
		return rc;
	return opts->dry_run ? iol_steps_tell(&engine, &plan)
			     : iol_steps_make(&engine, &j, "apply", &plan);
}

int iol_apply_undo(const struct iol_host *host, const struct iol_change_opts *opts)
{
	_cleanup_env_ struct sriov_env env = { 0 };
	struct iol_engine engine = iol_sriov_engine(&env, host, opts);

	return iol_undo_by(&engine, host);
}
