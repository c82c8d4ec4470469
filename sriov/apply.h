/* SPDX-License-Identifier: BSD-3-Clause */
/* The kinds of steps that a declared state is reached by, and the plan of them. */
#ifndef IOL_SRIOV_APPLY_H
#define IOL_SRIOV_APPLY_H

#include "sriov/rtnl.h"
#include "vfio/bind.h"

#include <iolane/sriov.h>

#define STEP_VFS        "vfs"
#define STEP_AUTOPROBE  "autoprobe"
#define STEP_ESWITCH    "eswitch"
#define STEP_INTERFACE  "interface"
#define STEP_QUEUES     "vf queues"
#define STEP_INTERRUPTS "vf interrupts"
#define STEP_ONLINE     "vf online"
#define STEP_LABEL      "label"

/* Of a setting, the kind is "vf " and its name. Its value is empty where it goes with its VF. */
#define STEP_SETTING "vf "

/** struct pf_cache - What a PF and its VFs are like, until something changes it. */
struct pf_cache {
	struct iol_pf pf;
	struct iol_vf_net *nets;
	struct iol_vf_nvme *nvmes;
	int num_nets, num_nvmes; /* -1: not asked yet, or no longer true */
};

/** struct sriov_env - What the kinds work on. @bind comes first: those of vfio/ are handed it. */
struct sriov_env {
	struct bind_env bind;
	const char *state_dir;
	struct rtnl *nl;
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

/** iol_cache_drop() - Something has changed them. */
void iol_cache_drop(struct pf_cache *c);

/** iol_apply_plan() - The steps from what is to @state. */
int iol_apply_plan(const struct iol_engine *engine, const struct iol_state *state,
		   struct iol_plan *plan);

#endif
