/* SPDX-License-Identifier: BSD-3-Clause */
/* The kinds of steps that a declared state is reached by, and the plan of them. */
#ifndef IOL_SRIOV_APPLY_H
#define IOL_SRIOV_APPLY_H

#include "sriov/rtnl.h"
#include "vfio/bind.h"

#include <iolane/sriov.h>

#define STEP_VFS       "vfs"
#define STEP_AUTOPROBE "autoprobe"
#define STEP_ESWITCH   "eswitch"
#define STEP_INTERFACE "interface"
#define STEP_NVME      "vf nvme"
#define STEP_LABEL     "label"

/* Those of vfio/ on a VF, by its name, as its address may not be known yet. */
#define STEP_VF_DRIVER   "vf driver"
#define STEP_VF_OVERRIDE "vf driver_override"
#define STEP_VF_GROUP    "vf group node"
#define STEP_VF_NODE     "vf device node"

/* Of a setting, the kind is "vf " and its name. Its value is empty where it goes with its VF. */
#define STEP_SETTING "vf "

/** struct pf_cache - What a PF and its VFs are like, until something changes it. */
struct pf_cache {
	struct iol_pf pf;
	struct iol_vf_net *nets;
	struct iol_vf_nvme *nvmes;
	struct iol_use *uses;
	int num_nets, num_nvmes, num_uses; /* -1: not asked yet, or no longer true */
};

/** struct sriov_env - What the kinds work on. @bind comes first: those of vfio/ are handed it. */
struct sriov_env {
	struct bind_env bind;
	struct iol_engine base; /* of vfio/'s kinds alone */
	const char *state_dir;
	struct rtnl rtnl;
	bool have_rtnl;
	struct pf_cache **pfs;
	unsigned int num_pfs;
};

/** iol_sriov_engine() - An engine of these kinds and of those of vfio/. @env and @opts are kept. */
struct iol_engine iol_sriov_engine(struct sriov_env *env, const struct iol_host *host,
				   const struct iol_change_opts *opts);
void iol_sriov_env_clear(struct sriov_env *env);

#define _cleanup_env_ _cleanup_(iol_sriov_env_clear)

/** iol_cache_pf() - A PF by its name in steps. -ENODEV, without a sentence: it is not there (any more). */
int iol_cache_pf(struct sriov_env *env, const char *name, struct pf_cache **cache);

/** iol_cache_nets() - Settings of its VFs, asked for if need be. Return: how many. */
int iol_cache_nets(struct sriov_env *env, struct pf_cache *c);

/** iol_cache_nvmes() - Its secondary controllers, likewise. */
int iol_cache_nvmes(struct sriov_env *env, struct pf_cache *c);

/** iol_cache_uses() - What it and its VFs are in use for, likewise. */
int iol_cache_uses(struct sriov_env *env, struct pf_cache *c);

/** iol_refuse_used() - -EBUSY when a VF of it can't change its driver without harm; -ENODEV: it is no function of PCI. */
int iol_refuse_used(struct sriov_env *env, struct pf_cache *c, const char *vf);

/** iol_env_rtnl() - See that there is a socket to ask by. */
int iol_env_rtnl(struct sriov_env *env);

/** iol_nvme_format(), iol_nvme_parse() - What a VF of NVMe has, as a step's value: "queues 2 interrupts 1", "offline". */
void iol_nvme_format(const struct iol_vf_nvme *vf, char value[IOL_NAME_MAX]);
int iol_nvme_parse(const char *value, struct iol_vf_nvme *vf);

/**
 * iol_refuse_leased() - -EBUSY when somebody has a VF; the sentence says who.
 * @change: of the journal: what was changed while he has it already is his own affair. 0: whatever it is.
 */
int iol_refuse_leased(const struct sriov_env *env, const char *vf, unsigned int change);

/** iol_sriov_may_undo() - As of iol_engine.may_undo: not while a VF that would go or change is leased or in use. */
int iol_sriov_may_undo(const struct iol_engine *engine, const struct iol_entry *entry);

/** iol_cache_drop() - Something has changed them. */
void iol_cache_drop(struct pf_cache *c);

/** iol_apply_plan() - The steps from what is to @state. */
int iol_apply_plan(const struct iol_engine *engine, const struct iol_state *state,
		   struct iol_plan *plan);

#endif
