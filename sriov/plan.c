/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From what a host is to what it shall be, in an order in which nobody sees a VF half made: VFs come with probing off,
 * get their settings, then their drivers, then their owners. Undone backwards the same holds.
 */
#include "sriov/apply.h"

#include "base/error.h"
#include "base/own.h"
#include "sriov/count.h"
#include "vfio/host.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A PF on its way: @fresh: its VFs will be new, so nothing of what they are like now counts. */
struct job {
	const struct iol_engine *engine;
	struct sriov_env *env;
	const struct iol_want_pf *want;
	struct pf_cache *cache;
	struct iol_plan *plan;
	unsigned int count;
	bool fresh;
};

struct vf_name {
	char text[IOL_NAME_MAX + 8];
};

static struct vf_name vf_name(const struct job *job, unsigned int index)
{
	struct vf_name name;

	snprintf(name.text, sizeof(name.text), "%s/vf%u", job->want->pf.name, index);
	return name;
}

static int add(const struct job *job, const char *kind, const char *what, const char *value,
	       const char *was)
{
	return strcmp(value, was) != 0 ? iol_plan_add(job->plan, kind, what, value, was) : 0;
}

/* A step if the property is not so already; @fresh: whatever it is now will be gone by then. */
static int want(const struct job *job, const char *kind, const char *what, const char *value,
		bool fresh)
{
	char now[IOL_NAME_MAX] = "";
	int rc = 0;

	if (!fresh)
		rc = iol_step_now(job->engine, kind, what, now);
	/* What is not there yet comes with an earlier step. */
	if (rc == -ENODEV)
		rc = 0;
	return rc      ? rc
	       : fresh ? iol_plan_add(job->plan, kind, what, value, "")
		       : add(job, kind, what, value, now);
}

/* ---- VFs that go ---- */

/* What is now, so that undoing brings it back; nothing to be done if it goes with its VF. */
static int leave(const struct job *job, const char *kind, const char *what, const char *value)
{
	char now[IOL_NAME_MAX];
	int rc = iol_step_now(job->engine, kind, what, now);

	if (rc == -ENODEV || (!rc && !*now))
		return 0;
	return rc ? rc : add(job, kind, what, value, now);
}

/* Its driver may have chosen it, and would choose another. One that there is not is nothing to bring back. */
static int leave_mac(const struct job *job, const char *vf)
{
	char now[IOL_NAME_MAX];
	int rc = iol_step_now(job->engine, STEP_SETTING "mac", vf, now);

	if (!rc && strspn(now, "0:") < strlen(now))
		rc = iol_plan_add(job->plan, STEP_SETTING "mac", vf, "", now);
	return rc == -ENODEV ? 0 : rc;
}

/* A VF's driver and override. */
struct bound {
	char driver[IOL_NAME_MAX], override[IOL_NAME_MAX];
};

static int get_bound(const struct job *job, const char *vf, struct bound *b)
{
	int rc;

	*b = (struct bound){ 0 };
	rc = iol_step_now(job->engine, STEP_VF_DRIVER, vf, b->driver);
	return rc ? rc : iol_step_now(job->engine, STEP_VF_OVERRIDE, vf, b->override);
}

/* It has it when it leaves the driver, which goes last when this is undone. */
static const char *override_to_leave(const struct job *job, const struct bound *b)
{
	return iol_override_to_return(b->override, b->driver, job->want->pf.autoprobe);
}

/* Off its driver, with which its nodes go. */
static int leave_driver(const struct job *job, const char *vf, const struct bound *b)
{
	int rc;

	if (!*b->driver)
		return 0;
	rc = leave(job, STEP_VF_GROUP, vf, "");
	if (!rc)
		rc = leave(job, STEP_VF_NODE, vf, "");
	if (!rc)
		rc = add(job, STEP_VF_OVERRIDE, vf, override_to_leave(job, b), b->override);
	return rc ? rc : iol_plan_add(job->plan, STEP_VF_DRIVER, vf, "", b->driver);
}

static int leave_function(const struct job *job, const char *vf)
{
	struct bound b;
	int rc = get_bound(job, vf, &b);

	if (rc)
		return rc == -ENODEV ? 0 : rc;
	rc = leave_driver(job, vf, &b);
	return rc ? rc : add(job, STEP_VF_OVERRIDE, vf, "", override_to_leave(job, &b));
}

static int leave_vf(const struct job *job, unsigned int index)
{
	const struct iol_pf *pf = &job->want->pf;
	struct vf_name vf = vf_name(job, index);
	char kind[IOL_NAME_MAX];
	int rc = iol_refuse_leased(job->env, vf.text, 0), s;

	if (!rc)
		rc = leave(job, STEP_LABEL, vf.text, "");
	if (!rc && pf->is_pci)
		rc = leave_function(job, vf.text);
	if (!rc && pf->nvme[0])
		rc = leave(job, STEP_NVME, vf.text, "");
	if (!rc && pf->netdev[0])
		rc = leave_mac(job, vf.text);
	for (s = IOL_VF_MAC + 1; !rc && pf->netdev[0] && s < IOL_VF_SETTINGS; s++) {
		snprintf(kind, sizeof(kind), STEP_SETTING "%s",
			 iol_vf_setting_name((enum iol_vf_setting)s));
		rc = leave(job, kind, vf.text, "");
	}
	return rc;
}

static int leave_vfs(const struct job *job)
{
	unsigned int i;
	int rc = iol_vf_refuse_busy(job->env->bind.host, &job->want->pf);

	for (i = 0; !rc && i < job->want->pf.enabled; i++)
		rc = leave_vf(job, i);
	return rc;
}

/* ---- the PF ---- */

/* What the mode is and shall be. A driver without modes does what they call legacy. */
static int find_modes(const struct job *job, char now[IOL_NAME_MAX], const char **then)
{
	int rc = iol_step_now(job->engine, STEP_ESWITCH, job->want->pf.name, now);

	if (!rc && !now[0])
		strcpy(now, "legacy");
	*then = job->want->eswitch[0] ? job->want->eswitch : now;
	return rc;
}

/*
 * Drivers change the mode only while there are no VFs; and some are in legacy mode when their VFs have gone, so that another
 * mode has to be set again, and noted before.
 */
static int plan_mode(const struct job *job, const char *mode, const char *then)
{
	const struct iol_want_pf *w = job->want;
	bool lost = w->pf.enabled && strcmp(mode, "legacy") != 0;
	char now[16];
	int rc = 0;

	if (!lost && !strcmp(mode, then))
		return 0;
	snprintf(now, sizeof(now), "%u", w->pf.enabled);
	if (lost)
		rc = iol_plan_add(job->plan, STEP_ESWITCH, w->pf.name, "", mode);
	if (!rc)
		rc = add(job, STEP_VFS, w->pf.name, "0", now);
	return rc ? rc : iol_plan_add(job->plan, STEP_ESWITCH, w->pf.name, then, lost ? "" : mode);
}

static int plan_count(struct job *job, bool *probes)
{
	const struct iol_want_pf *w = job->want;
	char mode[IOL_NAME_MAX] = "legacy", now[16], then[16];
	const char *next = mode;
	unsigned int last;
	int rc = 0;

	if (w->eswitch[0] || (job->count != w->pf.enabled && w->pf.enabled))
		rc = find_modes(job, mode, &next);
	job->fresh = strcmp(next, mode) != 0 || job->count != w->pf.enabled;
	/* Also when all go: undone, they come back, and those without a driver must not be given one. */
	*probes = job->fresh && w->pf.autoprobe && (job->count || w->pf.enabled);
	if (rc || !job->fresh)
		return rc;
	if (w->pf.enabled)
		rc = leave_vfs(job);
	if (!rc && *probes)
		rc = iol_plan_add(job->plan, STEP_AUTOPROBE, w->pf.name, "off", "on");
	last = job->plan->count;
	if (!rc)
		rc = plan_mode(job, mode, next);
	/* For the mode they have gone by now. */
	snprintf(now, sizeof(now), "%u", job->plan->count == last ? w->pf.enabled : 0);
	snprintf(then, sizeof(then), "%u", job->count);
	return rc ? rc : add(job, STEP_VFS, w->pf.name, then, now);
}

/* ---- VFs that shall be something ---- */

static int plan_settings(const struct job *job, const struct iol_want_vf *w, unsigned int index)
{
	struct vf_name vf = vf_name(job, index);
	char kind[IOL_NAME_MAX], value[IOL_VF_VALUE_MAX];
	int rc = 0, s;

	for (s = 0; !rc && s < IOL_VF_SETTINGS; s++) {
		if (!(w->net.has & (1u << s)))
			continue;
		snprintf(kind, sizeof(kind), STEP_SETTING "%s",
			 iol_vf_setting_name((enum iol_vf_setting)s));
		rc = want(job, kind, vf.text,
			  iol_vf_setting_format((enum iol_vf_setting)s, &w->net, value),
			  job->fresh);
	}
	return rc;
}

/* Who shall have it, empty for nobody. */
static const char *driver_of(const struct iol_want_vf *w)
{
	return strcmp(w->driver, "none") != 0 ? w->driver : "";
}

/* Whether a VF that stays goes from one driver to another, or to none. */
static int changes_driver(const struct job *job, const struct iol_want_vf *w, const char *vf,
			  struct bound *b)
{
	int rc;

	*b = (struct bound){ 0 };
	if (!w->driver[0] || job->fresh)
		return 0;
	rc = get_bound(job, vf, b);
	if (rc == -ENODEV)
		return iol_fail(ENODEV, "%s is no function of PCI, so it has no driver", vf);
	return rc ? rc : *b->driver && strcmp(b->driver, driver_of(w)) != 0;
}

/* Whether a VF may be taken from who has it. */
static int may_take(const struct job *job, const char *vf)
{
	int rc = iol_refuse_leased(job->env, vf, 0);

	return rc ? rc : iol_refuse_used(job->env, job->cache, vf);
}

/* Before it gets its settings: undone, the old driver is asked when they are as they were. */
static int plan_leave(const struct job *job, const struct iol_want_vf *w, unsigned int index)
{
	struct vf_name vf = vf_name(job, index);
	struct bound b;
	int rc = changes_driver(job, w, vf.text, &b);

	if (rc <= 0)
		return rc;
	rc = may_take(job, vf.text);
	if (!rc)
		rc = leave_driver(job, vf.text, &b);
	if (!rc && job->want->pf.netdev[0] && !(w->net.has & (1u << IOL_VF_MAC)))
		rc = leave_mac(job, vf.text);
	return rc;
}

static int plan_driver(const struct job *job, const struct iol_want_vf *w, unsigned int index)
{
	/* While VFs are not given out, one without an override is not even taken by who is told to. */
	const char *driver = driver_of(w), *override = driver, *over;
	struct vf_name vf = vf_name(job, index);
	struct bound b = { 0 };
	int leaves, rc;

	if (!w->driver[0])
		return 0;
	leaves = changes_driver(job, w, vf.text, &b);
	if (leaves < 0)
		return leaves;
	/* What the kernel gave to this driver needs no override to stay. */
	if (!job->fresh && !strcmp(b.driver, driver) && !b.override[0])
		return 0;
	over = leaves ? override_to_leave(job, &b) : b.override;
	rc = add(job, STEP_VF_OVERRIDE, vf.text, override, over);
	return rc ? rc : add(job, STEP_VF_DRIVER, vf.text, driver, leaves ? "" : b.driver);
}

/* For other resources it goes offline on the way, whoever has it. */
static int may_go_offline(const struct job *job, const struct iol_want_vf *w, const char *vf)
{
	struct bound b = { 0 };
	int rc = may_take(job, vf);

	if (!rc)
		rc = changes_driver(job, w, vf, &b);
	if (rc > 0)
		return 0;
	if (!rc)
		rc = get_bound(job, vf, &b);
	if (!rc && *b.driver && !iol_is_vfio(b.driver))
		rc = iol_fail(EBUSY,
			      "%s can't get other queues and interrupts while the driver %s has "
			      "it: take it from the driver first (driver=none)",
			      vf, b.driver);
	return rc;
}

/* What is not said of a VF's resources stays; of a new one there are none. */
static int plan_nvme(const struct job *job, const struct iol_want_vf *w, unsigned int index)
{
	struct iol_vf_nvme want_vf = { .online = true };
	struct vf_name vf = vf_name(job, index);
	char value[IOL_NAME_MAX];
	int n;

	if (w->queues < 0 && w->interrupts < 0)
		return 0;
	n = iol_cache_nvmes(job->env, job->cache);
	if (n < 0)
		return n;
	if (!job->fresh && (int)index < n)
		want_vf = job->cache->nvmes[index];
	want_vf.online = true;
	if (w->queues >= 0)
		want_vf.queues = (unsigned int)w->queues;
	if (w->interrupts >= 0)
		want_vf.interrupts = (unsigned int)w->interrupts;
	iol_nvme_format(&want_vf, value);
	if (!job->fresh && (int)index < n) {
		char now[IOL_NAME_MAX];

		iol_nvme_format(&job->cache->nvmes[index], now);
		n = strcmp(now, value) != 0 ? may_go_offline(job, w, vf.text) : 0;
		if (n)
			return n;
	}
	return want(job, STEP_NVME, vf.text, value, job->fresh);
}

/* Nodes come with the driver, and with it they are new; where there are none of one kind, nothing is set. */
static int plan_nodes(const struct job *job, const struct iol_want_vf *w, unsigned int index)
{
	struct vf_name vf = vf_name(job, index);
	struct bound b = { 0 };
	bool fresh;
	int rc = 0;

	if (!w->owner[0] || !iol_is_vfio(w->driver))
		return 0;
	if (!job->fresh)
		rc = get_bound(job, vf.text, &b);
	fresh = job->fresh || strcmp(b.driver, w->driver) != 0;
	if (!rc)
		rc = want(job, STEP_VF_GROUP, vf.text, w->owner, fresh);
	/* The folder of devices' nodes comes with the first of them. */
	if (!rc && (iol_host_exists(job->env->bind.host, "dev/vfio/devices") ||
		    (fresh && iol_host_exists(job->env->bind.host, "dev/iommu"))))
		rc = want(job, STEP_VF_NODE, vf.text, w->owner, fresh);
	return rc;
}

/* VFs of which no driver is said are the kernel's to give out, as they would have been. */
static int plan_rest(const struct job *job)
{
	unsigned int i, r;
	int rc = 0;

	for (i = 0; !rc && i < job->count; i++) {
		struct vf_name vf = vf_name(job, i);

		for (r = 0; r < job->want->num_vf; r++) {
			const struct iol_want_vf *w = &job->want->vf[r];

			if (w->first <= i && i <= w->last && w->driver[0])
				break;
		}
		if (r == job->want->num_vf)
			rc = iol_plan_add(job->plan, STEP_VF_DRIVER, vf.text, ANY_DRIVER, "");
	}
	return rc;
}

static int plan_label(const struct job *job, const struct iol_want_vf *w, unsigned int index)
{
	struct vf_name vf = vf_name(job, index);

	return w->label[0] ? want(job, STEP_LABEL, vf.text, w->label, job->fresh) : 0;
}

static int each_vf(const struct job *job,
		   int (*one)(const struct job *job, const struct iol_want_vf *w,
			      unsigned int index))
{
	unsigned int r, i;
	int rc = 0;

	for (r = 0; !rc && r < job->want->num_vf; r++) {
		const struct iol_want_vf *w = &job->want->vf[r];

		for (i = w->first; !rc && i <= w->last; i++)
			rc = one(job, w, i);
	}
	return rc;
}

static int plan_modules(const struct job *job)
{
	const struct iol_want_pf *w = job->want;
	unsigned int r, k;
	int rc = 0;

	for (r = 0; !rc && r < w->num_vf; r++) {
		const char *driver = w->vf[r].driver;

		for (k = 0; k < job->plan->count; k++) {
			if (!strcmp(job->plan->steps[k].kind, STEP_MODULE) &&
			    !strcmp(job->plan->steps[k].what, driver))
				break;
		}
		if (*driver && strcmp(driver, "none") != 0 && k == job->plan->count)
			rc = want(job, STEP_MODULE, driver, "loaded", false);
	}
	return rc;
}

static int plan_pf(struct job *job)
{
	const struct iol_pf *pf = &job->want->pf;
	bool probes = false;
	int rc = plan_modules(job);

	if (!rc)
		rc = plan_count(job, &probes);
	/* A VF whose PF is down finds it in reset. */
	if (!rc && pf->netdev[0] && job->count && (job->fresh || job->want->num_vf))
		rc = want(job, STEP_INTERFACE, pf->name, "up", false);
	if (!rc)
		rc = each_vf(job, plan_leave);
	if (!rc)
		rc = each_vf(job, plan_settings);
	if (!rc)
		rc = each_vf(job, plan_nvme);
	if (!rc)
		rc = each_vf(job, plan_driver);
	if (!rc)
		rc = each_vf(job, plan_nodes);
	if (!rc)
		rc = each_vf(job, plan_label);
	if (!rc && probes)
		rc = iol_plan_add(job->plan, STEP_AUTOPROBE, pf->name, "on", "off");
	if (!rc && probes && pf->is_pci)
		rc = plan_rest(job);
	return rc;
}

int iol_apply_plan(const struct iol_engine *engine, const struct iol_state *state,
		   struct iol_plan *plan)
{
	struct sriov_env *env = engine->env;
	unsigned int i;
	int rc = 0;

	for (i = 0; !rc && i < state->num_pf; i++) {
		const struct iol_want_pf *w = &state->pf[i];
		struct job job = {
			.engine = engine,
			.env = env,
			.want = w,
			.plan = plan,
			.count = w->vfs < 0 ? w->pf.enabled : (unsigned int)w->vfs,
		};

		rc = iol_cache_pf(env, w->pf.name, &job.cache);
		if (!rc)
			rc = plan_pf(&job);
	}
	return rc;
}
