/* SPDX-License-Identifier: BSD-3-Clause */
/* Giving functions back, and taking back a change. */
#include "vfio/bind.h"

#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* Which functions; with @rest what is no function's, too. */
struct which {
	const struct iol_host *host;
	const struct iol_pci_addr *addrs;
	unsigned int count;
	bool rest;
};

/* Whether a step is on a function, and on which. No driver or path is like an address. */
static bool step_addr(const struct iol_step *s, struct iol_pci_addr *addr)
{
	return !iol_pci_addr_parse(s->what, addr);
}

static bool is_named(const struct which *w, const struct iol_pci_addr *addr)
{
	unsigned int i;

	for (i = 0; i < w->count; i++) {
		if (iol_pci_addr_equal(&w->addrs[i], addr))
			return true;
	}
	return false;
}

/* A group's node goes with the last of its functions, whichever change gave the others to VFIO. */
static bool ends_group(const struct which *w, int group)
{
	_cleanup_free_ struct iol_group_member *members = NULL;
	int n = iol_group_members(w->host, group, &members), i;
	bool ends = false;

	for (i = 0; i < n; i++) {
		if (is_named(w, &members[i].pci.addr))
			ends = true;
		else if (iol_is_vfio(members[i].pci.driver))
			return false;
	}
	return ends;
}

static bool concerns(const struct iol_step *s, const void *arg)
{
	const struct which *w = arg;
	struct iol_pci_addr addr;
	int group;

	if (step_addr(s, &addr))
		return is_named(w, &addr);
	if (sscanf(s->what, "/dev/vfio/%9d", &group) == 1)
		return ends_group(w, group);
	return w->rest;
}

static bool is_undone(const struct iol_entry *e, unsigned int i)
{
	return e->marks[i] == STEP_UNDONE || e->marks[i] == STEP_PLANNED;
}

/* With the last function of a change goes what it did for all of them. */
static bool is_last(const struct iol_entry *e, const struct which *w)
{
	struct iol_pci_addr addr;
	unsigned int i, named = 0;

	for (i = 0; i < e->count; i++) {
		if (is_undone(e, i) || !step_addr(&e->steps[i], &addr))
			continue;
		if (!is_named(w, &addr))
			return false;
		named++;
	}
	return named > 0;
}

static int undo_entry(const struct iol_engine *engine, struct iol_journal *j,
		      struct iol_entry *entry, const struct which *w)
{
	bool (*which)(const struct iol_step *step, const void *arg) = w ? concerns : NULL;

	if (engine->opts->dry_run)
		return iol_steps_tell_undo(engine, entry, which, w);
	return iol_steps_undo(engine, j, entry, which, w);
}

/* Whether the journal knows how a function came to its driver: what it says is done, and that is all. */
static void note_covered(const struct iol_entry *e, const struct which *w, bool *covered)
{
	struct iol_pci_addr addr;
	unsigned int i, k;

	for (i = 0; i < e->count; i++) {
		if (is_undone(e, i) || strcmp(e->steps[i].kind, STEP_DRIVER) != 0 ||
		    !step_addr(&e->steps[i], &addr))
			continue;
		for (k = 0; k < w->count; k++)
			covered[k] |= iol_pci_addr_equal(&w->addrs[k], &addr);
	}
}

static int undo_journalled(const struct iol_engine *engine, struct iol_journal *j, struct which *w,
			   bool *covered)
{
	unsigned int before = UINT_MAX;
	int undone = 0, rc;

	for (;;) {
		_cleanup_entry_ struct iol_entry *entry = NULL;

		rc = iol_journal_before(j, before, &entry);
		if (rc == -ENOENT)
			return undone;
		if (rc)
			return rc;
		before = entry->number;
		note_covered(entry, w, covered);
		w->rest = is_last(entry, w);
		rc = undo_entry(engine, j, entry, w);
		if (rc < 0)
			return rc;
		undone += rc;
	}
}

/* Of what the journal does not know: VFIO's drivers are left for what the kernel chooses. */
static int plan_rest(const struct iol_engine *engine, const struct iol_pci_addr *addr, bool covered,
		     struct iol_plan *plan)
{
	const struct bind_env *env = engine->env;
	char what[IOL_PCI_ADDR_MAX], rule[IOL_NAME_MAX];
	struct iol_pci_info info;
	int rc = iol_pci_info(env->host, addr, &info);

	iol_pci_addr_format(addr, what);
	if (!rc)
		rc = iol_rule_get(engine->env, what, rule);
	if (!rc && rule[0] && !(covered && engine->opts->dry_run))
		rc = iol_plan_add(plan, STEP_RULE, what, "", rule);
	if (rc || covered || !iol_is_vfio(info.driver))
		return rc;
	rc = iol_plan_leave(engine, &info, plan);
	if (!rc && info.driver_override[0])
		rc = iol_plan_add(plan, STEP_OVERRIDE, what, "", info.driver_override);
	return rc ? rc : iol_plan_add(plan, STEP_DRIVER, what, ANY_DRIVER, "");
}

static int give_back(const struct iol_engine *engine, struct iol_journal *j, struct which *w)
{
	_cleanup_free_ bool *covered = calloc(w->count + 1, sizeof(*covered));
	_cleanup_plan_ struct iol_plan plan = { 0 };
	int undone, rc = 0;
	unsigned int i;

	if (!covered)
		return iol_fail(ENOMEM, "no memory to look into the journal");
	undone = undo_journalled(engine, j, w, covered);
	if (undone < 0)
		return undone;
	for (i = 0; !rc && i < w->count; i++)
		rc = plan_rest(engine, &w->addrs[i], covered[i], &plan);
	if (!rc)
		rc = engine->opts->dry_run ? iol_steps_tell(engine, &plan)
					   : iol_steps_make(engine, j, "unbind", &plan);
	return rc < 0 ? rc : undone + rc;
}

static int open_journal(const struct iol_host *host, const struct iol_change_opts *opts,
			struct iol_journal *j)
{
	int rc = iol_may_change(host);

	return rc ? rc : iol_journal_open(host, opts->state_dir, j);
}

/* Whether undoing a step takes its function from the driver that has it. */
static bool would_release(const struct iol_entry *e, unsigned int i, const char *driver)
{
	const struct iol_step *s = &e->steps[i];

	if (!driver[0] || !strcmp(driver, s->was))
		return false;
	return e->marks[i] == STEP_BEGUN || !strcmp(driver, s->value) ||
	       !strcmp(s->value, ANY_DRIVER);
}

/*
 * What has been given back may be in use by the host again.
 * @w: which functions are asked for, of those that VFIO does not have; NULL for all.
 */
static int refuse_entry(const struct iol_host *host, const struct iol_entry *e,
			const struct which *w)
{
	struct iol_pci_addr addr;
	struct iol_pci_info info;
	unsigned int i;
	int rc;

	for (i = 0; i < e->count; i++) {
		const struct iol_step *s = &e->steps[i];

		if (is_undone(e, i) || strcmp(s->kind, STEP_DRIVER) != 0 || !step_addr(s, &addr) ||
		    (w && !is_named(w, &addr)))
			continue;
		rc = iol_pci_info(host, &addr, &info);
		if (rc == -ENODEV || (!rc && w && iol_is_vfio(info.driver)))
			continue;
		if (!rc && would_release(e, i, info.driver))
			rc = iol_refuse_uses(host, &addr);
		if (rc)
			return rc;
	}
	return 0;
}

static int refuse_journalled(const struct iol_host *host, struct iol_journal *j,
			     const struct which *w)
{
	unsigned int before = UINT_MAX;
	int rc = 0;

	while (!rc) {
		_cleanup_entry_ struct iol_entry *entry = NULL;

		rc = iol_journal_before(j, before, &entry);
		if (rc == -ENOENT)
			return 0;
		if (rc)
			return rc;
		before = entry->number;
		rc = refuse_entry(host, entry, w);
	}
	return rc;
}

int iol_unbind(const struct iol_host *host, const struct iol_pci_addr *addrs, unsigned int count,
	       const struct iol_change_opts *opts)
{
	_cleanup_journal_ struct iol_journal j = JOURNAL_CLOSED;
	struct which w = { host, addrs, count, false };
	struct iol_engine engine;
	struct iol_pci_info info;
	struct bind_env env;
	unsigned int i;
	int rc;

	engine = iol_bind_engine(&env, host, opts);
	rc = open_journal(host, opts, &j);
	for (i = 0; !rc && i < count; i++) {
		rc = iol_pci_info(host, &addrs[i], &info);
		if (!rc)
			rc = iol_may_take(opts, &addrs[i]);
		if (!rc && iol_is_vfio(info.driver))
			rc = iol_refuse_uses(host, &addrs[i]);
	}
	if (!rc)
		rc = refuse_journalled(host, &j, &w);
	return rc ? rc : give_back(&engine, &j, &w);
}

int iol_undo_by(const struct iol_engine *engine, const struct iol_host *host)
{
	_cleanup_journal_ struct iol_journal j = JOURNAL_CLOSED;
	_cleanup_entry_ struct iol_entry *entry = NULL;
	int rc = open_journal(host, engine->opts, &j);

	if (!rc)
		rc = iol_journal_before(&j, UINT_MAX, &entry);
	if (rc == -ENOENT ||
	    (!rc && engine->opts->unfinished && (!iol_entry_made(entry) || iol_entry_whole(entry))))
		return iol_fail(ENOENT, "there is no change to take back");
	if (!rc)
		rc = refuse_entry(host, entry, NULL);
	if (!rc && engine->may_undo)
		rc = engine->may_undo(engine, entry);
	return rc ? rc : undo_entry(engine, &j, entry, NULL);
}

int iol_undo(const struct iol_host *host, const struct iol_change_opts *opts)
{
	struct bind_env env;
	struct iol_engine engine = iol_bind_engine(&env, host, opts);

	return iol_undo_by(&engine, host);
}
