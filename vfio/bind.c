/* SPDX-License-Identifier: BSD-3-Clause */
/* Taking functions from their drivers. */
#include "vfio/bind.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/host.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* The functions to take; those that their groups add come at the end. */
struct targets {
	struct iol_pci_info *list;
	unsigned int count;
};

static void targets_clear(struct targets *t)
{
	free(t->list);
}

static bool is_target(const struct targets *t, const struct iol_pci_addr *addr)
{
	unsigned int i;

	for (i = 0; i < t->count; i++) {
		if (iol_pci_addr_equal(&t->list[i].addr, addr))
			return true;
	}
	return false;
}

static int add_target(struct targets *t, const struct iol_pci_info *info)
{
	struct iol_pci_info *more;

	if (is_target(t, &info->addr))
		return 0;
	more = reallocarray(t->list, t->count + 1, sizeof(*more));
	if (!more)
		return iol_fail(ENOMEM, "no memory for the functions to bind");
	t->list = more;
	t->list[t->count++] = *info;
	return 0;
}

int iol_may_change(const struct iol_host *host)
{
	return host->live
		       ? 0
		       : iol_fail(EROFS,
				  "this is a copy of a host's files: nothing can be changed in it");
}

static const char *remedy(enum iol_use_kind kind)
{
	switch (kind) {
	case IOL_USE_ROUTE:
		return "let the default route go by another interface first";
	case IOL_USE_SSH:
		return "log in by another interface or at the console first";
	case IOL_USE_MASTER:
		return "take it out of there first (ip link set DEV nomaster)";
	case IOL_USE_NETNS:
		return "have it brought back from there first (ip link set DEV netns 1)";
	case IOL_USE_MOUNT:
		return "unmount it first";
	case IOL_USE_SWAP:
		return "swap it off first (swapoff)";
	case IOL_USE_STACK:
		return "stop what stands on it first";
	case IOL_USE_CONSOLE:
		return "have the console elsewhere first";
	case IOL_USE_VFS:
		return "end what uses its VFs first";
	default:
		return "end that first";
	}
}

int iol_refuse_listed(const struct iol_use *uses, int count, const struct iol_pci_addr *addr)
{
	char text[IOL_PCI_ADDR_MAX];
	int i;

	for (i = 0; i < count; i++) {
		if (!iol_pci_addr_equal(&uses[i].addr, addr))
			continue;
		/* The kernel would wait for that process, and everybody who asks for the device behind it. */
		if (uses[i].harmful || uses[i].kind == IOL_USE_PROCESS)
			return iol_fail(EBUSY, "%s keeps its driver, as %s: %s",
					iol_pci_addr_format(addr, text), uses[i].what,
					remedy(uses[i].kind));
	}
	return 0;
}

int iol_refuse_uses(const struct iol_host *host, const struct iol_pci_addr *addr)
{
	_cleanup_free_ struct iol_use *uses = NULL;
	int n = iol_pci_uses(host, addr, &uses);

	return n < 0 ? n : iol_refuse_listed(uses, n, addr);
}

int iol_may_take(const struct iol_change_opts *opts, const struct iol_pci_addr *addr)
{
	return opts->may_take ? opts->may_take(opts->opaque, addr) : 0;
}

static int check_target(const struct iol_host *host, const struct iol_pci_info *info,
			const struct iol_bind_opts *opts)
{
	char text[IOL_PCI_ADDR_MAX];
	int rc;

	iol_pci_addr_format(&info->addr, text);
	if (!strcmp(info->driver, opts->driver))
		return 0;
	if (info->is_bridge)
		return iol_fail(EBUSY,
				"%s keeps its driver, as it is a bridge: what is behind it can be "
				"bound",
				text);
	if (info->vfs)
		return iol_fail(EBUSY,
				"%s keeps its driver, as its %u VFs would go with it: bind one of "
				"them (%s/vf0), or remove them first (sriov_numvfs)",
				text, info->vfs, text);
	rc = iol_may_take(&opts->change, &info->addr);
	return rc ? rc : iol_refuse_uses(host, &info->addr);
}

static int refuse_group(const struct iol_pci_info *target, const struct iol_group_member *members,
			int count, const struct targets *t)
{
	char text[IOL_PCI_ADDR_MAX], other[IOL_PCI_ADDR_MAX], others[256] = "";
	size_t n = 0;
	int i;

	for (i = 0; i < count && n < sizeof(others); i++) {
		const struct iol_pci_info *pci = &members[i].pci;

		if (members[i].state == IOL_MEMBER_BLOCKS && !is_target(t, &pci->addr))
			n += (size_t)snprintf(others + n, sizeof(others) - n, "%s%s (%s)",
					      n ? ", " : "", iol_pci_addr_format(&pci->addr, other),
					      pci->driver);
	}
	return iol_fail(EBUSY,
			"%s shares IOMMU group %d with %s, which would stay with the host: bind "
			"all of them, as --with-group does",
			iol_pci_addr_format(&target->addr, text), target->iommu_group, others);
}

int iol_fail_no_group(const char *name)
{
	return iol_fail(EOPNOTSUPP,
			"%s is in no IOMMU group, so nothing would keep its DMA in bounds: switch "
			"the IOMMU on in the firmware, and for Intel's boot with intel_iommu=on",
			name);
}

/* What else is in the group of a function must not stay with the host. */
static int check_group(const struct iol_host *host, struct targets *t, unsigned int index,
		       bool with_group)
{
	_cleanup_free_ struct iol_group_member *members = NULL;
	const struct iol_pci_info target = t->list[index];
	char text[IOL_PCI_ADDR_MAX];
	int n, i, rc;

	if (target.iommu_group < 0)
		return iol_fail_no_group(iol_pci_addr_format(&target.addr, text));
	n = iol_group_members(host, target.iommu_group, &members);
	if (n < 0)
		return n;
	for (i = 0; i < n; i++) {
		if (members[i].state != IOL_MEMBER_BLOCKS || is_target(t, &members[i].pci.addr))
			continue;
		if (!with_group)
			return refuse_group(&target, members, n, t);
		rc = add_target(t, &members[i].pci);
		if (rc)
			return rc;
	}
	return 0;
}

static int find_targets(const struct iol_host *host, const struct iol_pci_addr *addrs,
			unsigned int count, const struct iol_bind_opts *opts, struct targets *t)
{
	struct iol_pci_info info;
	unsigned int i, named;
	int rc = 0;

	for (i = 0; !rc && i < count; i++) {
		rc = iol_pci_info(host, &addrs[i], &info);
		if (!rc)
			rc = add_target(t, &info);
	}
	named = t->count;
	for (i = 0; !rc && i < named && iol_is_vfio(opts->driver); i++)
		rc = check_group(host, t, i, opts->with_group);
	for (i = 0; !rc && i < t->count; i++)
		rc = check_target(host, &t->list[i], opts);
	return rc;
}

/* Whether the kernel gives it to drivers by itself: VFs only if their PF says so. */
static bool is_given(const struct iol_host *host, const struct iol_pci_info *info)
{
	char pf[IOL_PCI_ADDR_MAX];
	uint64_t given;

	return !info->is_vf ||
	       iol_host_read_u64(host, &given, "sys/bus/pci/devices/%s/sriov_drivers_autoprobe",
				 iol_pci_addr_format(&info->pf, pf)) ||
	       given;
}

static bool is_planned(const struct iol_plan *plan, const char *kind, const char *what,
		       const char *value)
{
	unsigned int i;

	for (i = 0; i < plan->count; i++) {
		const struct iol_step *s = &plan->steps[i];

		if (!strcmp(s->kind, kind) && !strcmp(s->what, what) && !strcmp(s->value, value))
			return true;
	}
	return false;
}

/*
 * @fresh: when its turn comes it will be new, with the owner that the kernel gives it. Others, if there are any, stay
 * until then. A group has one node, whichever of its functions come and go.
 */
static int plan_node(const struct iol_engine *engine, const char *kind, const char *what,
		     const char *owner, bool fresh, struct iol_plan *plan)
{
	char now[IOL_NAME_MAX] = "";
	int rc = fresh ? 0 : iol_node_get(engine->env, what, now);

	if (rc || (!fresh && !now[0]))
		return rc == -ENODEV ? 0 : rc;
	if (!strcmp(now, owner) || is_planned(plan, kind, what, owner))
		return 0;
	return iol_plan_add(plan, kind, what, owner, now);
}

static int plan_nodes(const struct iol_engine *engine, const struct iol_pci_info *info,
		      const char *owner, bool fresh, struct iol_plan *plan)
{
	char what[IOL_PCI_ADDR_MAX], node[IOL_NAME_MAX];
	int rc;

	snprintf(node, sizeof(node), "/dev/vfio/%d", info->iommu_group);
	rc = plan_node(engine, STEP_NODE, node, owner, fresh, plan);
	return rc ? rc
		  : plan_node(engine, STEP_DEVICE_NODE, iol_pci_addr_format(&info->addr, what),
			      owner, fresh, plan);
}

int iol_plan_leave(const struct iol_engine *engine, const struct iol_pci_info *info,
		   struct iol_plan *plan)
{
	char what[IOL_PCI_ADDR_MAX];
	int rc = iol_is_vfio(info->driver) ? plan_nodes(engine, info, "", false, plan) : 0;

	return rc ? rc
		  : iol_plan_add(plan, STEP_DRIVER, iol_pci_addr_format(&info->addr, what), "",
				 info->driver);
}

static int plan_owner(const struct iol_engine *engine, const struct targets *t,
		      const struct iol_bind_opts *opts, struct iol_plan *plan)
{
	const struct iol_host *host = ((const struct bind_env *)engine->env)->host;
	char owner[IOL_NAME_MAX];
	unsigned int i;
	int rc = 0;

	snprintf(owner, sizeof(owner), "%u:%u:0600", opts->uid, opts->gid);
	for (i = 0; !rc && i < t->count; i++)
		rc = plan_nodes(engine, &t->list[i], owner,
				strcmp(t->list[i].driver, opts->driver) != 0, plan);
	if (!rc && opts->iommufd)
		rc = plan_node(engine, STEP_NODE, "/dev/iommu", owner,
			       !iol_host_exists(host, "dev/iommu"), plan);
	return rc;
}

/*
 * Off its driver before the override: undone in the reverse order, the old driver is asked last, when the override
 * no longer forbids it.
 */
static int plan_driver(const struct iol_engine *engine, const struct iol_pci_info *info,
		       const char *driver, struct iol_plan *plan)
{
	const struct bind_env *env = engine->env;
	char what[IOL_PCI_ADDR_MAX];
	const char *override;
	int rc = 0;

	if (!strcmp(info->driver, driver))
		return 0;
	iol_pci_addr_format(&info->addr, what);
	override = iol_override_to_return(info->driver_override, info->driver,
					  is_given(env->host, info));
	if (strcmp(override, info->driver_override) != 0)
		rc = iol_plan_add(plan, STEP_OVERRIDE, what, override, info->driver_override);
	if (!rc && info->driver[0])
		rc = iol_plan_leave(engine, info, plan);
	if (!rc && strcmp(override, driver) != 0)
		rc = iol_plan_add(plan, STEP_OVERRIDE, what, driver, override);
	return rc ? rc : iol_plan_add(plan, STEP_DRIVER, what, driver, "");
}

static int plan_rule(const struct iol_engine *engine, const struct iol_pci_info *info,
		     const struct iol_bind_opts *opts, struct iol_plan *plan)
{
	char what[IOL_PCI_ADDR_MAX], value[2 * IOL_NAME_MAX], now[IOL_NAME_MAX];
	size_t n = (size_t)snprintf(value, sizeof(value), "%s", opts->driver);
	int rc = iol_rule_get(engine->env, iol_pci_addr_format(&info->addr, what), now);

	if (opts->owned && iol_is_vfio(opts->driver))
		snprintf(value + n, sizeof(value) - n, " %u:%u%s", opts->uid, opts->gid,
			 opts->iommufd ? " iommufd" : "");
	if (!rc && strcmp(now, value) != 0)
		rc = iol_plan_add(plan, STEP_RULE, what, value, now);
	return rc;
}

static int plan_all(const struct iol_engine *engine, const struct targets *t,
		    const struct iol_bind_opts *opts, struct iol_plan *plan)
{
	const struct bind_env *env = engine->env;
	unsigned int i;
	int rc = 0;

	if (!iol_host_exists(env->host, "sys/bus/pci/drivers/%s", opts->driver))
		rc = iol_plan_add(plan, STEP_MODULE, opts->driver, "loaded", "");
	for (i = 0; !rc && i < t->count; i++)
		rc = plan_driver(engine, &t->list[i], opts->driver, plan);
	for (i = 0; !rc && opts->persist && i < t->count; i++)
		rc = plan_rule(engine, &t->list[i], opts, plan);
	if (!rc && opts->owned && iol_is_vfio(opts->driver))
		rc = plan_owner(engine, t, opts, plan);
	return rc;
}

int iol_refuse_unfinished(struct iol_journal *j)
{
	_cleanup_entry_ struct iol_entry *entry = NULL;
	int rc = iol_journal_before(j, UINT_MAX, &entry);

	if (rc == -ENOENT)
		return 0;
	if (rc)
		return rc;
	if (iol_entry_made(entry) && !iol_entry_whole(entry))
		return iol_fail(EBUSY,
				"an earlier iolane %s of %s was left in the middle: take it back "
				"with iolane undo first",
				entry->verb, entry->steps[0].what);
	return 0;
}

int iol_bind(const struct iol_host *host, const struct iol_pci_addr *addrs, unsigned int count,
	     const struct iol_bind_opts *opts)
{
	_cleanup_journal_ struct iol_journal j = JOURNAL_CLOSED;
	_cleanup_(targets_clear) struct targets t = { 0 };
	_cleanup_plan_ struct iol_plan plan = { 0 };
	struct iol_bind_opts o = *opts;
	struct iol_engine engine;
	struct bind_env env;
	int rc = 0;

	o.driver = opts->driver ? opts->driver : "vfio-pci";
	if (!iol_driver_name(o.driver))
		return iol_fail(EINVAL, "\"%s\" is no name of a driver", o.driver);
	engine = iol_bind_engine(&env, host, &opts->change);
	if (!o.change.dry_run) {
		rc = iol_may_change(host);
		if (!rc)
			rc = iol_journal_open(host, o.change.state_dir, &j);
		if (!rc)
			rc = iol_refuse_unfinished(&j);
	}
	if (!rc)
		rc = find_targets(host, addrs, count, &o, &t);
	if (!rc)
		rc = plan_all(&engine, &t, &o, &plan);
	if (rc)
		return rc;
	return o.change.dry_run ? iol_steps_tell(&engine, &plan)
				: iol_steps_make(&engine, &j, "bind", &plan);
}
