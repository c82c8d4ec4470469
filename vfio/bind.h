/* SPDX-License-Identifier: BSD-3-Clause */
/* The kinds of steps that taking devices is made of. */
#ifndef IOL_VFIO_BIND_H
#define IOL_VFIO_BIND_H

#include "vfio/pci.h"
#include "vfio/steps.h"

#define STEP_DRIVER      "driver"
#define STEP_OVERRIDE    "driver_override"
#define STEP_MODULE      "module"
#define STEP_DEVICE_NODE "device node"
#define STEP_NODE        "node"
#define STEP_RULE        "udev rule"

/* The driver that the kernel chooses, or none. */
#define ANY_DRIVER "*"

/** struct bind_env - What the kinds work on. */
struct bind_env {
	const struct iol_host *host;
	const char *rules_dir;
};

/** iol_bind_engine() - An engine of these kinds. @env and @opts are kept. */
struct iol_engine iol_bind_engine(struct bind_env *env, const struct iol_host *host,
				  const struct iol_change_opts *opts);

/**
 * iol_node_get(), iol_node_set() - Owner and mode of a node: of STEP_DEVICE_NODE, and of STEP_NODE by its path. Nothing is
 * to be done for none, as a node goes with its driver.
 */
int iol_node_get(void *env, const char *what, char value[IOL_NAME_MAX]);
int iol_node_set(void *env, const char *what, const char *value);

/**
 * iol_plan_leave() - Take a function from its driver. With one of VFIO's its nodes go, so whose they are is noted ahead,
 * to be put back when they are there again.
 */
int iol_plan_leave(const struct iol_engine *engine, const struct iol_pci_info *info,
		   struct iol_plan *plan);

/**
 * iol_rule_get(), iol_rule_set() - What a udev rule gives a function: a driver ("vfio-pci"), also an owner of its
 * nodes ("vfio-pci 1000:100"), also of iommufd's ("vfio-pci 1000:100 iommufd").
 */
int iol_rule_get(void *env, const char *what, char value[IOL_NAME_MAX]);
int iol_rule_set(void *env, const char *what, const char *value);

/** iol_driver_name() - Whether it can be a driver's. Sets no sentence. */
bool iol_driver_name(const char *name);

/** iol_fail_no_group() - The sentence for a function that is to be VFIO's and is in no IOMMU group. */
int iol_fail_no_group(const char *name);

/** iol_refuse_unfinished() - -EBUSY while a change was left in the middle: it is not to be built upon. */
int iol_refuse_unfinished(struct iol_journal *j);

/** iol_undo_by() - iol_undo() by an engine that knows more kinds. */
int iol_undo_by(const struct iol_engine *engine, const struct iol_host *host);

/** iol_settle() - Wait while udev is busy with events, 10 s at most. Return: whether it was busy. */
bool iol_settle(const struct iol_host *host);

/** iol_refuse_uses() - -EBUSY when a function can't change its driver without harm; the sentence says why. */
int iol_refuse_uses(const struct iol_host *host, const struct iol_pci_addr *addr);

/** iol_refuse_listed() - The same by uses that are known: looking for them once serves many functions. */
int iol_refuse_listed(const struct iol_use *uses, int count, const struct iol_pci_addr *addr);

/**
 * iol_override_to_return() - What a VF's override must be when its driver is to take it back. While a PF's VFs are not given
 * to drivers, the kernel lets one take a VF only by an override (drivers/pci/pci-driver.c, pci_device_can_probe()).
 * @override, @driver: as they are. @given: whether VFs are given to drivers (sriov_drivers_autoprobe).
 */
static inline const char *iol_override_to_return(const char *override, const char *driver,
						 bool given)
{
	return !*override && !given ? driver : override;
}

/** iol_may_take() - What iol_change_opts.may_take says. */
int iol_may_take(const struct iol_change_opts *opts, const struct iol_pci_addr *addr);

/** iol_may_change() - Whether this is a host that can be changed: -EROFS for a copy. */
int iol_may_change(const struct iol_host *host);

#endif
