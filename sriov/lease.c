/* SPDX-License-Identifier: BSD-3-Clause */
/* Handing VFs out and taking them back. The journal's lock makes callers take turns, and keeps changes of VFs away. */
#include "sriov/apply.h"
#include "sriov/pf.h"
#include "sriov/store.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/host.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* A lease's text: its holder, then the last change in the journal before it, then a line for each setting. */
#define LEASE_MAX 1024
#define CHANGE    "change"

/* @change: as of iol_refuse_leased(). */
static int refuse(const struct iol_host *host, const char *dir, const char *vf, unsigned int change)
{
	char text[LEASE_MAX];
	unsigned int before;
	int rc = iol_store_get(host, dir, STORE_LEASES, vf, text, sizeof(text));
	const char *rest = text + strcspn(text, "\n");

	if (rc || !*text)
		return rc;
	if (change && sscanf(rest, "\n" CHANGE " %10u", &before) == 1 && before < change)
		return 0;
	text[strcspn(text, "\n")] = '\0';
	return iol_fail(EBUSY, "%s stays as it is, as it is leased to %s: iolane release %s first",
			vf, text, vf);
}

int iol_refuse_leased(const struct sriov_env *env, const char *vf, unsigned int change)
{
	return refuse(env->bind.host, env->state_dir, vf, change);
}

int iol_vf_refuse_leased(const struct iol_host *host, const struct iol_pci_addr *addr,
			 const char *state_dir)
{
	char vf[IOL_NAME_MAX];

	if (!iol_vf_name_at(host, addr, vf))
		return 0;
	return refuse(host, state_dir ? state_dir : IOL_STATE_DIR, vf, 0);
}

/* By the kernel, which knows how: a function that sleeps is woken, its configuration is put back. */
static int reset(const struct iol_host *host, const char *vf, const struct iol_pci_addr *addr)
{
	char name[IOL_PCI_ADDR_MAX];
	int rc;

	iol_pci_addr_format(addr, name);
	rc = iol_host_write(host, "1", "sys/bus/pci/devices/%s/reset", name);
	if (rc == -ENOENT)
		return iol_fail(ENOTTY,
				"cannot reset %s (%s), as the kernel knows no way: it would come "
				"with what its last owner left in it",
				vf, name);
	return rc ? iol_fail(-rc, "cannot reset %s (%s): %s%s", vf, name, strerror(-rc),
			     rc == -EACCES ? "; run it as root" : "")
		  : 0;
}

/* Who gets a VF, and the last change before. */
struct asker {
	const char *name;
	unsigned int change;
};

/* Where a VF is. Return: 0; -EAGAIN, without a sentence, when somebody uses it. */
static int find(const struct iol_host *host, const struct iol_pf *pf, unsigned int index,
		struct iol_lease *lease)
{
	_cleanup_free_ struct iol_use *uses = NULL;
	struct iol_pci_info info;
	int rc, n, i;

	*lease = (struct iol_lease){ .is_pci = pf->is_pci, .iommu_group = -1 };
	if (snprintf(lease->vf, sizeof(lease->vf), "%s/vf%u", pf->name, index) >=
	    (int)sizeof(lease->vf))
		return iol_fail(ENAMETOOLONG, "the name of VF %u of %s is too long", index,
				pf->name);
	if (!pf->is_pci)
		return 0;
	rc = iol_vf_addr(host, pf, index, &lease->addr);
	if (!rc)
		rc = iol_pci_info(host, &lease->addr, &info);
	if (rc)
		return rc;
	lease->iommu_group = info.iommu_group;
	n = iol_pci_uses(host, &lease->addr, &uses);
	for (i = 0; i < n; i++) {
		if (uses[i].harmful || uses[i].kind == IOL_USE_PROCESS ||
		    uses[i].kind == IOL_USE_ADDRESS)
			return -EAGAIN;
	}
	return n < 0 ? n : 0;
}

/* What is to be put back, noted before it is handed out. */
static int note(struct sriov_env *env, const struct iol_pf *pf, unsigned int index,
		const struct asker *who, const struct iol_lease *lease)
{
	char text[LEASE_MAX], value[IOL_VF_VALUE_MAX];
	struct pf_cache *c;
	int rc = iol_cache_pf(env, pf->name, &c), n, s;

	if (rc)
		return rc;
	n = snprintf(text, sizeof(text), "%s\n" CHANGE " %u\n", who->name, who->change);
	if (c->pf.netdev[0]) {
		rc = iol_cache_nets(env, c);
		if (rc < 0)
			return rc;
	}
	for (s = 0; (int)index < c->num_nets && s < IOL_VF_SETTINGS; s++) {
		const struct iol_vf_net *net = &c->nets[index];

		if (net->has & (1u << s) && n < (int)sizeof(text))
			n += snprintf(text + n, sizeof(text) - (size_t)n, "%s %s\n",
				      iol_vf_setting_name((enum iol_vf_setting)s),
				      iol_vf_setting_format((enum iol_vf_setting)s, net, value));
	}
	if (n >= (int)sizeof(text))
		return iol_fail(EINVAL, "\"%s\" is too long for who gets a VF", who->name);
	return iol_store_set(env->state_dir, STORE_LEASES, lease->vf, text);
}

/* Try one VF. Return: 0 when it is handed out; -EAGAIN, without a sentence, when somebody has it. */
static int try(struct sriov_env *env, const struct iol_pf *pf, unsigned int index,
	       const struct asker *who, struct iol_lease *lease)
{
	char held[LEASE_MAX];
	int rc = find(env->bind.host, pf, index, lease);

	if (!rc)
		rc = iol_store_get(env->bind.host, env->state_dir, STORE_LEASES, lease->vf, held,
				   sizeof(held));
	if (!rc && *held)
		return -EAGAIN;
	if (!rc)
		rc = note(env, pf, index, who, lease);
	if (rc)
		return rc;
	rc = lease->is_pci ? reset(env->bind.host, lease->vf, &lease->addr) : 0;
	if (rc)
		iol_store_set(env->state_dir, STORE_LEASES, lease->vf, "");
	return rc;
}

/* From all VFs of a PF, or those with a label. Return: as try(). */
static int try_all(struct sriov_env *env, const struct iol_pf *pf, const char *label,
		   const struct asker *who, bool *known, struct iol_lease *lease)
{
	_cleanup_free_ char(*labels)[IOL_NAME_MAX] = NULL;
	unsigned int i;
	int rc = iol_vf_labels(env->bind.host, pf, env->state_dir, pf->enabled, &labels);

	for (i = 0; !rc && i < pf->enabled; i++) {
		if (label && strcmp(labels[i], label) != 0)
			continue;
		*known = true;
		rc = try(env, pf, i, who, lease);
		if (rc != -EAGAIN)
			return rc;
		rc = 0;
	}
	return rc ? rc : -EAGAIN;
}

static int try_label(struct sriov_env *env, const char *label, const struct asker *who, bool *known,
		     struct iol_lease *lease)
{
	_cleanup_free_ struct iol_pf *pfs = NULL;
	int n = iol_pf_list(env->bind.host, &pfs), rc = -EAGAIN, i;

	for (i = 0; rc == -EAGAIN && i < n; i++)
		rc = try_all(env, &pfs[i], label, who, known, lease);
	return n < 0 ? n : rc;
}

static int last_change(struct iol_journal *j, unsigned int *number)
{
	_cleanup_entry_ struct iol_entry *entry = NULL;
	int rc = iol_journal_before(j, UINT_MAX, &entry);

	*number = entry ? entry->number : 0;
	return rc == -ENOENT ? 0 : rc;
}

int iol_vf_lease(const struct iol_host *host, const char *from, const char *holder,
		 const char *state_dir, struct iol_lease *lease)
{
	struct iol_change_opts opts = { .state_dir = state_dir };
	_cleanup_journal_ struct iol_journal j = JOURNAL_CLOSED;
	_cleanup_env_ struct sriov_env env = { 0 };
	struct asker who = { .name = holder };
	char pf_name[IOL_NAME_MAX];
	bool known = false;
	unsigned int index;
	struct iol_pf pf;
	int rc = iol_may_change(host);

	if (!rc && strpbrk(holder, "\n"))
		rc = iol_fail(EINVAL, "who gets a VF is told in one line");
	if (!rc)
		rc = iol_journal_open(host, state_dir, &j);
	/* A VF that is half made would be handed out without its VLAN. */
	if (!rc)
		rc = iol_refuse_unfinished(&j);
	if (!rc)
		rc = last_change(&j, &who.change);
	if (rc)
		return rc;
	iol_sriov_engine(&env, host, &opts);
	if (!iol_pf_find(host, from, &pf)) {
		known = true;
		rc = try_all(&env, &pf, NULL, &who, &known, lease);
	} else if (!iol_vf_name_parse(from, pf_name, &index)) {
		known = true;
		rc = iol_pf_find(host, pf_name, &pf);
		if (!rc && index >= pf.enabled)
			rc = iol_fail(ENODEV, "there is no VF %u of %s: it has %u", index, pf.name,
				      pf.enabled);
		if (!rc)
			rc = try(&env, &pf, index, &who, lease);
	} else {
		rc = try_label(&env, from, &who, &known, lease);
	}
	if (rc == -EAGAIN && !known)
		return iol_fail(ENODEV,
				"\"%s\" is no PF, and no VF has such a label: iolane vf list shows "
				"them",
				from);
	if (rc == -EAGAIN)
		return iol_fail(EAGAIN,
				"no VF of %s is free: each is leased or in use (iolane vf "
				"list); release one, or make more",
				from);
	return rc;
}

/* Each line of a lease but the first. Settings that are so still are not set again: drivers may reset a VF by it. */
static int restore(const struct iol_engine *engine, const char *vf, char *text)
{
	char kind[IOL_NAME_MAX], now[IOL_NAME_MAX], *line, *rest, *value;
	int rc = 0;

	strtok_r(text, "\n", &rest);
	while (!rc && (line = strtok_r(NULL, "\n", &rest))) {
		value = strchr(line, ' ');
		if (!value)
			return iol_fail(EBADMSG, "the lease of %s is damaged: \"%s\"", vf, line);
		*value++ = '\0';
		if (!strcmp(line, CHANGE))
			continue;
		snprintf(kind, sizeof(kind), STEP_SETTING "%s", line);
		rc = iol_step_now(engine, kind, vf, now);
		if (!rc && strcmp(now, value) != 0)
			rc = iol_step_set(engine, kind, vf, value);
	}
	return rc == -ENODEV ? 0 : rc;
}

int iol_vf_release(const struct iol_host *host, const char *vf, const char *state_dir)
{
	struct iol_change_opts opts = { .state_dir = state_dir };
	_cleanup_journal_ struct iol_journal j = JOURNAL_CLOSED;
	_cleanup_env_ struct sriov_env env = { 0 };
	char text[LEASE_MAX], pf_name[IOL_NAME_MAX];
	struct iol_lease lease = { 0 };
	struct iol_engine engine;
	unsigned int index;
	struct iol_pf pf;
	int rc = iol_may_change(host);

	if (!rc)
		rc = iol_vf_name_parse(vf, pf_name, &index);
	if (!rc)
		rc = iol_journal_open(host, state_dir, &j);
	if (!rc)
		rc = iol_pf_find(host, pf_name, &pf);
	if (rc)
		return rc;
	engine = iol_sriov_engine(&env, host, &opts);
	snprintf(lease.vf, sizeof(lease.vf), "%s/vf%u", pf.name, index);
	rc = iol_store_get(host, env.state_dir, STORE_LEASES, lease.vf, text, sizeof(text));
	if (!rc && !*text)
		return iol_fail(ENOENT, "nobody has leased %s", vf);
	if (!rc && index < pf.enabled && pf.is_pci) {
		rc = iol_vf_addr(host, &pf, index, &lease.addr);
		if (!rc)
			rc = iol_refuse_uses(host, &lease.addr);
		if (!rc)
			rc = reset(host, lease.vf, &lease.addr);
	}
	if (!rc && index < pf.enabled)
		rc = restore(&engine, lease.vf, text);
	return rc ? rc : iol_store_set(env.state_dir, STORE_LEASES, lease.vf, "");
}
