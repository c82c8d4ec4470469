/* SPDX-License-Identifier: BSD-3-Clause */
/* Taking back what iol_apply() did, unless somebody would lose a VF by it. */
#include "sriov/apply.h"

#include "base/error.h"
#include "base/own.h"
#include "sriov/count.h"
#include "sriov/pf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Whether all VFs of a PF go when a step is put back. */
static bool removes_vfs(const struct iol_step *s)
{
	return !strcmp(s->kind, STEP_VFS) || !strcmp(s->kind, STEP_ESWITCH);
}

static bool is_vf_step(const struct iol_step *s)
{
	return !strncmp(s->kind, STEP_SETTING, strlen(STEP_SETTING)) ||
	       !strcmp(s->kind, STEP_LABEL);
}

/* The VF that a step of vfio/ is on, by its name in steps. */
static bool vf_at(const struct sriov_env *env, const struct iol_step *s, char name[IOL_NAME_MAX])
{
	struct iol_pci_addr addr;

	return !iol_pci_addr_parse(s->what, &addr) && iol_vf_name_at(env->bind.host, &addr, name);
}

static int refuse_pf(struct sriov_env *env, const char *name)
{
	char vf[IOL_NAME_MAX + 16];
	struct pf_cache *c;
	unsigned int i, count = 0;
	int rc = iol_cache_pf(env, name, &c);

	if (rc == -ENODEV)
		return 0;
	if (!rc)
		rc = iol_vf_count_get(env->bind.host, &c->pf, &count);
	for (i = 0; !rc && i < count; i++) {
		snprintf(vf, sizeof(vf), "%s/vf%u", name, i);
		rc = iol_refuse_leased(env, vf, 0);
	}
	return !rc && count ? iol_vf_refuse_busy(env->bind.host, &c->pf) : rc;
}

/* A VF that has a driver; one that has gone loses nothing. */
static int refuse_driver(struct sriov_env *env, const char *vf)
{
	char pf[IOL_NAME_MAX];
	struct pf_cache *c;
	unsigned int index;
	int rc = iol_vf_name_parse(vf, pf, &index);

	if (!rc)
		rc = iol_cache_pf(env, pf, &c);
	if (!rc)
		rc = iol_refuse_used(env, c, vf);
	return rc == -ENODEV ? 0 : rc;
}

int iol_sriov_may_undo(const struct iol_engine *engine, const struct iol_entry *entry)
{
	struct sriov_env *env = engine->env;
	unsigned int i;
	int rc = 0;

	for (i = 0; !rc && i < entry->count; i++) {
		const struct iol_step *s = &entry->steps[i];
		char now[IOL_NAME_MAX], vf[IOL_NAME_MAX] = "";

		if (!iol_mark_is_made(entry->marks[i]))
			continue;
		if (is_vf_step(s))
			snprintf(vf, sizeof(vf), "%s", s->what);
		else if (!removes_vfs(s) && !vf_at(env, s, vf))
			continue;
		rc = iol_step_now(engine, s->kind, s->what, now);
		/* What has gone, and what is so already, stays as it is. */
		if (rc || !strcmp(now, s->was)) {
			rc = rc == -ENODEV ? 0 : rc;
			continue;
		}
		rc = removes_vfs(s) ? refuse_pf(env, s->what)
				    : iol_refuse_leased(env, vf, entry->number);
		if (!rc && !strcmp(s->kind, STEP_VF_DRIVER) && *now)
			rc = refuse_driver(env, s->what);
	}
	return rc;
}

int iol_apply_undo(const struct iol_host *host, const struct iol_change_opts *opts)
{
	_cleanup_env_ struct sriov_env env = { 0 };
	struct iol_engine engine = iol_sriov_engine(&env, host, opts);

	return iol_undo_by(&engine, host);
}
