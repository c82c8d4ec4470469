/* SPDX-License-Identifier: BSD-3-Clause */
/* Bringing a host to a state. */
#include "sriov/apply.h"

#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <stdlib.h>

/* PFs as they are now: who had the journal before us may have changed them since they were looked up. */
static int refresh(struct sriov_env *env, const struct iol_state *state, struct iol_state *now)
{
	unsigned int i;
	int rc = 0;

	now->pf = calloc(state->num_pf + 1, sizeof(*now->pf));
	if (!now->pf)
		return iol_fail(ENOMEM, "no memory for a state");
	for (i = 0; !rc && i < state->num_pf; i++) {
		struct pf_cache *c;

		now->pf[i] = state->pf[i];
		rc = iol_cache_pf(env, state->pf[i].pf.name, &c);
		if (!rc)
			now->pf[i].pf = c->pf;
	}
	now->num_pf = state->num_pf;
	return rc ? rc : iol_state_check(now, NULL);
}

static void free_pfs(struct iol_state *state)
{
	free(state->pf);
}

int iol_apply(const struct iol_host *host, const struct iol_state *state,
	      const struct iol_change_opts *opts)
{
	_cleanup_journal_ struct iol_journal j = JOURNAL_CLOSED;
	_cleanup_(free_pfs) struct iol_state now = { 0 };
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
		rc = refresh(&env, state, &now);
	if (!rc)
		rc = iol_apply_plan(&engine, &now, &plan);
	if (rc)
		return rc;
	return opts->dry_run ? iol_steps_tell(&engine, &plan)
			     : iol_steps_make(&engine, &j, "apply", &plan);
}
