/* SPDX-License-Identifier: BSD-3-Clause */
/* Steps on PFs and their VFs. */
#include "sriov/apply.h"

#include "base/error.h"
#include "base/own.h"
#include "sriov/count.h"
#include "sriov/devlink.h"
#include "sriov/nvme.h"
#include "sriov/store.h"
#include "vfio/host.h"
#include "vfio/pci.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* For a carrier: autonegotiation takes some seconds on copper. */
#define CARRIER_MS 10000

/* ---- a PF ---- */

static int vfs_get(void *env, const char *what, char value[IOL_NAME_MAX])
{
	struct sriov_env *e = env;
	struct pf_cache *c;
	unsigned int n = 0;
	int rc = iol_cache_pf(e, what, &c);

	if (!rc)
		rc = iol_vf_count_get(e->bind.host, &c->pf, &n);
	if (!rc)
		snprintf(value, IOL_NAME_MAX, "%u", n);
	return rc;
}

static int number(const char *what, const char *value, unsigned int *n)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(value, &end, 10);
	if (errno || end == value || *end || v > UINT16_MAX)
		return iol_fail(EINVAL, "\"%s\" is no number for %s", value, what);
	*n = (unsigned int)v;
	return 0;
}

/* VFs are in reset until their PF has a carrier; without a cable there may be none, which is no failure. */
static void await_carrier(struct sriov_env *e, const struct pf_cache *c)
{
	if (iol_rtnl_wait_carrier(&e->rtnl, c->pf.netdev, CARRIER_MS) == -ETIMEDOUT)
		iol_log(IOL_LOG_WARNING, "%s is up, and has no carrier", c->pf.netdev);
}

static bool has_carrier(struct sriov_env *e, const struct pf_cache *c)
{
	return c->pf.netdev[0] && !iol_env_rtnl(e) &&
	       !iol_rtnl_wait_carrier(&e->rtnl, c->pf.netdev, 0);
}

/*
 * Some drivers keep what a VF was given when it goes, for whoever gets the next one: its VLAN and that it is trusted. A MAC is
 * not looked at, as many drivers give a new VF one.
 */
static int clear_new(struct sriov_env *e, struct pf_cache *c)
{
	const struct iol_vf_net none = { .vlan_proto = ETH_P_8021Q };
	int n = c->pf.netdev[0] ? iol_cache_nets(e, c) : 0, i, rc = 0;

	for (i = 0; !rc && i < n; i++) {
		struct iol_vf_net *net = &c->nets[i];

		if (net->vlan || net->qos)
			rc = iol_rtnl_vf_set(&e->rtnl, &c->pf, (unsigned int)i, IOL_VF_VLAN, &none);
		if (!rc && net->trust)
			rc = iol_rtnl_vf_set(&e->rtnl, &c->pf, (unsigned int)i, IOL_VF_TRUST,
					     &none);
		net->vlan = none.vlan;
		net->qos = none.qos;
		net->vlan_proto = none.vlan_proto;
		net->trust = none.trust;
	}
	return n < 0 ? n : rc;
}

static int vfs_set(void *env, const char *what, const char *value)
{
	struct sriov_env *e = env;
	struct pf_cache *c;
	unsigned int n = 0;
	bool carrier;
	int rc = number(what, value, &n);

	if (!rc)
		rc = iol_cache_pf(e, what, &c);
	if (rc)
		return rc;
	iol_cache_drop(c);
	carrier = has_carrier(e, c);
	rc = iol_vf_count_set(e->bind.host, &c->pf, n, IOL_VF_WAIT_MS);
	/* Offset and stride may depend on how many there are (PCIe 6.0, 9.3.3.9). */
	if (!rc)
		rc = iol_pf_find(e->bind.host, what, &c->pf);
	/* A driver may have taken its interface down and up; undone, all is as before, the carrier, too. */
	if (!rc && carrier)
		await_carrier(e, c);
	return rc || !n ? rc : clear_new(e, c);
}

static int autoprobe_get(void *env, const char *what, char value[IOL_NAME_MAX])
{
	struct sriov_env *e = env;
	struct pf_cache *c;
	bool on = false;
	int rc = iol_cache_pf(e, what, &c);

	if (!rc)
		rc = iol_vf_autoprobe_get(e->bind.host, &c->pf, &on);
	strcpy(value, on ? "on" : "off");
	return rc;
}

static int autoprobe_set(void *env, const char *what, const char *value)
{
	struct sriov_env *e = env;
	struct pf_cache *c;
	int rc = iol_cache_pf(e, what, &c);

	return rc ? rc : iol_vf_autoprobe_set(e->bind.host, &c->pf, !strcmp(value, "on"));
}

static int eswitch_get(void *env, const char *what, char value[IOL_NAME_MAX])
{
	struct sriov_env *e = env;
	struct pf_cache *c;
	int rc = iol_cache_pf(e, what, &c);

	return rc ? rc : iol_pf_eswitch(e->bind.host, &c->pf, value);
}

static int eswitch_set(void *env, const char *what, const char *value)
{
	struct sriov_env *e = env;
	struct pf_cache *c;
	int rc;

	/* It may go with the VFs. */
	if (!*value)
		return 0;
	rc = iol_cache_pf(e, what, &c);
	if (rc)
		return rc;
	iol_cache_drop(c);
	return iol_devlink_eswitch_set(e->bind.host, &c->pf, value);
}

static int interface_get(void *env, const char *what, char value[IOL_NAME_MAX])
{
	struct sriov_env *e = env;
	struct pf_cache *c;
	int rc = iol_cache_pf(e, what, &c);

	if (!rc)
		rc = iol_env_rtnl(e);
	if (!rc)
		rc = iol_rtnl_is_up(&e->rtnl, c->pf.netdev);
	if (rc < 0)
		return rc;
	strcpy(value, rc ? "up" : "down");
	return 0;
}

static int interface_set(void *env, const char *what, const char *value)
{
	struct sriov_env *e = env;
	struct pf_cache *c;
	int rc = iol_cache_pf(e, what, &c);

	if (!rc)
		rc = iol_env_rtnl(e);
	if (!rc)
		rc = iol_rtnl_up(&e->rtnl, c->pf.netdev, !strcmp(value, "up"));
	if (!rc && !strcmp(value, "up"))
		await_carrier(e, c);
	return rc;
}

/* ---- VFs ---- */

/* @ask: iol_cache_nets() or iol_cache_nvmes(). -ENODEV, without a sentence, when the VF is not there (any more). */
static int find_vf(struct sriov_env *e, const char *what,
		   int (*ask)(struct sriov_env *env, struct pf_cache *c), struct pf_cache **c,
		   unsigned int *index)
{
	char name[IOL_NAME_MAX];
	int rc = iol_vf_name_parse(what, name, index);

	if (!rc)
		rc = iol_cache_pf(e, name, c);
	if (rc)
		return rc < 0 ? rc : -EINVAL;
	rc = ask(e, *c);
	if (rc < 0)
		return rc;
	return *index < (unsigned int)rc ? 0 : -ENODEV;
}

/* The same to set something of it. */
static int find_vf_to_set(struct sriov_env *e, const char *what,
			  int (*ask)(struct sriov_env *env, struct pf_cache *c),
			  struct pf_cache **c, unsigned int *index)
{
	int rc = find_vf(e, what, ask, c, index);

	return rc == -ENODEV ? iol_fail(ENODEV, "%s has gone", what) : rc;
}

static int setting_get(void *env, enum iol_vf_setting which, const char *what,
		       char value[IOL_NAME_MAX])
{
	struct pf_cache *c = NULL;
	unsigned int index = 0;
	int rc = find_vf(env, what, iol_cache_nets, &c, &index);

	_Static_assert(IOL_VF_VALUE_MAX <= IOL_NAME_MAX, "a setting's text is a step's value");
	if (rc)
		return rc;
	if (c->nets[index].has & (1u << which))
		iol_vf_setting_format(which, &c->nets[index], value);
	else
		value[0] = '\0';
	return 0;
}

/* A rate is one of the link's, which may be on its way up. Asked again in any case, for the sentence. */
static int set_rate_again(struct sriov_env *e, const struct pf_cache *c, unsigned int index,
			  const struct iol_vf_net *net)
{
	if (!has_carrier(e, c) && iol_rtnl_is_up(&e->rtnl, c->pf.netdev) == 1)
		await_carrier(e, c);
	return iol_rtnl_vf_set(&e->rtnl, &c->pf, index, IOL_VF_RATE, net);
}

static int setting_set(void *env, enum iol_vf_setting which, const char *what, const char *value)
{
	struct iol_vf_net net = { 0 };
	struct sriov_env *e = env;
	struct pf_cache *c = NULL;
	unsigned int index = 0;
	int rc;

	/* Nobody has to clear what goes with its VF, or put back what nobody could tell. */
	if (!*value)
		return 0;
	rc = find_vf_to_set(e, what, iol_cache_nets, &c, &index);
	if (!rc)
		rc = iol_vf_setting_parse(which, value, &net);
	if (!rc)
		rc = iol_rtnl_vf_set(&e->rtnl, &c->pf, index, which, &net);
	if (rc == -EINVAL && which == IOL_VF_RATE)
		rc = set_rate_again(e, c, index, &net);
	/* Read back at the end, of all VFs at once. */
	return rc ? rc : iol_vf_setting_parse(which, value, &c->nets[index]);
}

/* The engine hands a kind's name to nobody, so each setting has functions of its own. */
#define SETTING(name, which)                                                                       \
	static int name##_get(void *env, const char *what, char value[IOL_NAME_MAX])               \
	{                                                                                          \
		return setting_get(env, which, what, value);                                       \
	}                                                                                          \
	static int name##_set(void *env, const char *what, const char *value)                      \
	{                                                                                          \
		return setting_set(env, which, what, value);                                       \
	}

SETTING(mac, IOL_VF_MAC)
SETTING(vlan, IOL_VF_VLAN)
SETTING(spoofchk, IOL_VF_SPOOFCHK)
SETTING(trust, IOL_VF_TRUST)
SETTING(link, IOL_VF_LINK)
SETTING(rate, IOL_VF_RATE)
SETTING(rss_query, IOL_VF_RSS_QUERY)

/* ---- a VF as a function of PCI ---- */

/* What sysfs says of it, but the names of its devices: for these all interfaces would be looked at, for each VF. */
static int read_function(const struct iol_host *host, const char *what, struct iol_pci_addr *addr,
			 struct iol_pci_info *info)
{
	const struct pci_names none = { 0 };
	int rc = iol_pci_find(host, what, addr);

	return rc ? rc : iol_pci_read(host, &none, addr, info);
}

/* Its address, or with @group the node of its group. -ENODEV, without a sentence, when it is not there. */
static int function(const struct sriov_env *e, const char *what, bool group,
		    char name[IOL_NAME_MAX])
{
	struct iol_pci_addr addr;
	struct iol_pci_info info;

	if (!group) {
		if (iol_pci_find(e->bind.host, what, &addr))
			return -ENODEV;
		iol_pci_addr_format(&addr, name);
		return 0;
	}
	if (read_function(e->bind.host, what, &addr, &info) || info.iommu_group < 0)
		return -ENODEV;
	snprintf(name, IOL_NAME_MAX, "/dev/vfio/%d", info.iommu_group);
	return 0;
}

static int base_get(struct sriov_env *e, const char *kind, const char *what, bool group,
		    char value[IOL_NAME_MAX])
{
	char name[IOL_NAME_MAX];
	int rc = function(e, what, group, name);

	return rc ? rc : iol_step_now(&e->base, kind, name, value);
}

static int base_set(struct sriov_env *e, const char *kind, const char *what, bool group,
		    const char *value)
{
	char name[IOL_NAME_MAX];
	int rc = function(e, what, group, name);

	return rc ? iol_fail(ENODEV, "%s has gone", what)
		  : iol_step_set(&e->base, kind, name, value);
}

#define BASE(name, kind, group)                                                                    \
	static int name##_get(void *env, const char *what, char value[IOL_NAME_MAX])               \
	{                                                                                          \
		return base_get(env, kind, what, group, value);                                    \
	}                                                                                          \
	static int name##_set(void *env, const char *what, const char *value)                      \
	{                                                                                          \
		return base_set(env, kind, what, group, value);                                    \
	}

BASE(driver, STEP_DRIVER, false)
BASE(override, STEP_OVERRIDE, false)
BASE(group_node, STEP_NODE, true)
BASE(device_node, STEP_DEVICE_NODE, false)

/* ---- an NVMe controller's VF ---- */

void iol_nvme_format(const struct iol_vf_nvme *vf, char value[IOL_NAME_MAX])
{
	if (vf->online)
		snprintf(value, IOL_NAME_MAX, "queues %u interrupts %u", vf->queues,
			 vf->interrupts);
	else
		strcpy(value, "offline");
}

int iol_nvme_parse(const char *value, struct iol_vf_nvme *vf)
{
	int n = 0;

	*vf = (struct iol_vf_nvme){ 0 };
	if (!strcmp(value, "offline"))
		return 0;
	vf->online = sscanf(value, "queues %5u interrupts %5u%n", &vf->queues, &vf->interrupts,
			    &n) == 2 &&
		     !value[n];
	return vf->online ? 0 : iol_fail(EINVAL, "\"%s\" is nothing that a VF of NVMe has", value);
}

static int nvme_get(void *env, const char *what, char value[IOL_NAME_MAX])
{
	struct pf_cache *c = NULL;
	unsigned int index = 0;
	int rc = find_vf(env, what, iol_cache_nvmes, &c, &index);

	if (!rc)
		iol_nvme_format(&c->nvmes[index], value);
	return rc;
}

static int nvme_set(void *env, const char *what, const char *value)
{
	struct sriov_env *e = env;
	struct iol_vf_nvme want;
	struct pf_cache *c = NULL;
	unsigned int index = 0;
	int rc;

	if (!*value)
		return 0;
	rc = find_vf_to_set(e, what, iol_cache_nvmes, &c, &index);
	if (!rc)
		rc = iol_nvme_parse(value, &want);
	if (rc)
		return rc;
	rc = iol_vf_nvme_set(e->bind.host, &c->pf, index, &want);
	iol_cache_drop(c);
	return rc;
}

/* ---- labels ---- */

static int label_get(void *env, const char *what, char value[IOL_NAME_MAX])
{
	const struct sriov_env *e = env;

	return iol_store_get(e->bind.host, e->state_dir, STORE_LABELS, what, value, IOL_NAME_MAX);
}

static int label_set(void *env, const char *what, const char *value)
{
	return iol_store_set(((struct sriov_env *)env)->state_dir, STORE_LABELS, what, value);
}

/* ---- all of them ---- */

static const struct iol_step_kind kinds[] = {
	{ STEP_VFS, vfs_get, vfs_set },
	{ STEP_AUTOPROBE, autoprobe_get, autoprobe_set },
	{ STEP_ESWITCH, eswitch_get, eswitch_set, .goes = true },
	{ STEP_INTERFACE, interface_get, interface_set },
	{ STEP_SETTING "mac", mac_get, mac_set, .goes = true, .again = true },
	{ STEP_SETTING "vlan", vlan_get, vlan_set, .goes = true },
	{ STEP_SETTING "spoofchk", spoofchk_get, spoofchk_set, .goes = true },
	{ STEP_SETTING "trust", trust_get, trust_set, .goes = true },
	{ STEP_SETTING "link", link_get, link_set, .goes = true },
	{ STEP_SETTING "rate", rate_get, rate_set, .goes = true },
	{ STEP_SETTING "rss_query", rss_query_get, rss_query_set, .goes = true },
	{ STEP_VF_DRIVER, driver_get, driver_set, .goes = true },
	{ STEP_VF_OVERRIDE, override_get, override_set, .goes = true },
	{ STEP_VF_GROUP, group_node_get, group_node_set, .goes = true },
	{ STEP_VF_NODE, device_node_get, device_node_set, .goes = true },
	{ STEP_NVME, nvme_get, nvme_set, .goes = true },
	{ STEP_LABEL, label_get, label_set },
	{ 0 },
};

static int setting_of(const char *name)
{
	int i;

	for (i = 0; i < IOL_VF_SETTINGS; i++) {
		if (!strcmp(name, iol_vf_setting_name((enum iol_vf_setting)i)))
			return i;
	}
	return -1;
}

/* Of the steps of a change, those on settings: the driver has what it was given. */
static int check_settings(struct sriov_env *e, const struct iol_entry *entry)
{
	char now[IOL_NAME_MAX];
	unsigned int i;

	for (i = 0; i < e->num_pfs; i++)
		iol_cache_drop(e->pfs[i]);
	for (i = 0; i < entry->count; i++) {
		const struct iol_step *s = &entry->steps[i];
		int rc, which;

		which = strncmp(s->kind, STEP_SETTING, strlen(STEP_SETTING)) == 0 && *s->value
				? setting_of(s->kind + strlen(STEP_SETTING))
				: -1;
		if (which < 0)
			continue;
		rc = setting_get(e, (enum iol_vf_setting)which, s->what, now);
		if (rc == -ENODEV)
			return iol_fail(ENODEV, "%s has gone", s->what);
		if (rc)
			return rc;
		/* What a driver does not tell can't be looked at. */
		if (*now && strcmp(now, s->value) != 0)
			return iol_fail(EIO,
					"the %s of %s was set to %s without an error, and is %s: "
					"the driver did not take it, or somebody else changes it",
					s->kind + strlen(STEP_SETTING), s->what, s->value, now);
	}
	return 0;
}

/* A group that the host has a hand in can't be opened: told now, and not when a guest starts. */
static int check_groups(const struct iol_host *host, const struct iol_entry *entry)
{
	unsigned int i;
	int n, m;

	for (i = 0; i < entry->count; i++) {
		_cleanup_free_ struct iol_group_member *members = NULL;
		const struct iol_step *s = &entry->steps[i];
		struct iol_pci_addr addr;
		struct iol_pci_info info;

		if (strcmp(s->kind, STEP_VF_DRIVER) != 0 || !iol_is_vfio(s->value) ||
		    read_function(host, s->what, &addr, &info))
			continue;
		if (info.iommu_group < 0)
			return iol_fail_no_group(s->what);
		n = iol_group_members(host, info.iommu_group, &members);
		for (m = 0; m < n; m++) {
			char other[IOL_PCI_ADDR_MAX];

			if (members[m].state != IOL_MEMBER_BLOCKS)
				continue;
			return iol_fail(EBUSY,
					"%s shares IOMMU group %d with %s (%s), which would stay "
					"with the host: the slot does not keep them apart (iolane "
					"show %s tells the ACS bits)",
					s->what, info.iommu_group,
					iol_pci_addr_format(&members[m].pci.addr, other),
					members[m].pci.driver, s->what);
		}
	}
	return 0;
}

static int check(void *env, const struct iol_entry *entry)
{
	struct sriov_env *e = env;
	int rc = check_settings(e, entry);

	return rc ? rc : check_groups(e->bind.host, entry);
}

struct iol_engine iol_sriov_engine(struct sriov_env *env, const struct iol_host *host,
				   const struct iol_change_opts *opts)
{
	struct iol_engine engine = iol_bind_engine(&env->bind, host, opts);

	env->state_dir = opts->state_dir ? opts->state_dir : IOL_STATE_DIR;
	env->base = engine;
	engine.more = kinds;
	engine.check = check;
	engine.may_undo = iol_sriov_may_undo;
	engine.env = env;
	return engine;
}
