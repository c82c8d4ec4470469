/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What changes of PFs and VFs do besides what they are made for. What drivers do is theirs to choose; told is what those
 * of today are known to do: many NICs reset themselves when their number of VFs changes, and a VF when its address, its
 * VLAN or its trust does.
 */
#include "interruption.h"

#include "base/own.h"
#include "sriov/apply.h"
#include "vfio/host.h"

#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* VFs that are told by name; of the others only how many. */
#define NAMED_MAX 3

static void say(struct interruption *i, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(struct interruption *i, const char *fmt, ...)
{
	size_t n = strlen(i->text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(i->text + n, sizeof(i->text) - n, fmt, ap);
	va_end(ap);
}

/* ---- who ---- */

/* The function that a step is on: a PF, a VF by its PF, or any by its address. NULL for those of other buses. */
static const struct iol_pci_info *function_of(const struct devices *d, const char *what)
{
	char name[IOL_NAME_MAX];
	struct iol_pci_addr addr;
	unsigned int index;
	size_t k;

	if (!strchr(what, '/'))
		return iol_pci_addr_parse(what, &addr) ? NULL : devices_find(d, &addr);
	if (iol_vf_name_parse(what, name, &index) || iol_pci_addr_parse(name, &addr))
		return NULL;
	for (k = 0; k < d->num; k++) {
		const struct iol_pci_info *vf = &d->infos[k];

		if (vf->is_vf && vf->vf_index == index && iol_pci_addr_equal(&vf->pf, &addr))
			return vf;
	}
	return NULL;
}

/* Who has it; that VFs are in use is told of them. */
static void say_user(const struct devices *d, const struct iol_pci_info *info,
		     struct interruption *i)
{
	const struct iol_use *use = info ? devices_next_use(d, info, NULL) : NULL;

	while (use && use->kind == IOL_USE_VFS)
		use = devices_next_use(d, info, use);
	i->use = use;
	if (use)
		say(i, "; %s", use->what);
}

/* Whether somebody can miss it: of those that VFIO has, who has it open. */
static bool is_driven(const struct devices *d, const struct iol_pci_info *info)
{
	return info && info->driver[0] &&
	       (!iol_is_vfio(info->driver) || devices_next_use(d, info, NULL));
}

/* What people know of a function: its interface or controller, or its place. */
static const char *called(const struct devices *d, const struct iol_pci_info *info,
			  const char *what, char buf[DEVICE_NAME_MAX])
{
	if (!info || !*device_name(d, info, buf))
		snprintf(buf, DEVICE_NAME_MAX, "%s", what);
	return buf;
}

static bool is_up(const struct iol_host *host, const char *netdev)
{
	uint64_t flags;

	return *netdev && !iol_host_read_u64(host, &flags, "sys/class/net/%s/flags", netdev) &&
	       flags & IFF_UP;
}

/* ---- what ---- */

static void say_vfs(const struct devices *d, const struct iol_pci_info *pf, const char *was,
		    struct interruption *i)
{
	unsigned int named = 0, more = 0;
	size_t k;

	say(i, "its %s VF%s", was, strcmp(was, "1") != 0 ? "s go" : " goes");
	for (k = 0; pf && k < d->num; k++) {
		const struct iol_pci_info *vf = &d->infos[k];
		const char *own = vf->netdev[0] ? vf->netdev : vf->nvme;

		/* Nobody misses those without a driver. */
		if (!vf->is_vf || !iol_pci_addr_equal(&vf->pf, &pf->addr) || !vf->driver[0])
			continue;
		if (named == NAMED_MAX) {
			more++;
			continue;
		}
		say(i, "%svf%u (%s%s%s)", named++ ? ", " : ": ", vf->vf_index, vf->driver,
		    *own ? ", " : "", own);
	}
	if (more)
		say(i, ", and %u more with a driver", more);
}

/* A NIC's own link; the users of a drive notice nothing of its VFs. */
static void pf_link(const struct iol_host *host, const struct devices *d,
		    const struct iol_pci_info *pf, const char *why, struct interruption *i)
{
	if (!pf || !is_up(host, pf->netdev))
		return;
	say(i, "%s%s may lose its link for a moment, as %s", *i->text ? "; " : "", pf->netdev, why);
	say_user(d, pf, i);
}

static void of_vfs(const struct iol_host *host, const struct devices *d, const struct iol_step *s,
		   struct interruption *i)
{
	const struct iol_pci_info *pf = function_of(d, s->what);

	if (strcmp(s->was, "0") != 0)
		say_vfs(d, pf, s->was, i);
	pf_link(host, d, pf, "many NICs reset themselves then", i);
}

static void of_eswitch(const struct iol_host *host, const struct devices *d,
		       const struct iol_step *s, struct interruption *i)
{
	pf_link(host, d, function_of(d, s->what), "its switch is set up anew", i);
}

static void of_interface(const struct iol_host *host, const struct devices *d,
			 const struct iol_step *s, struct interruption *i)
{
	const struct iol_pci_info *pf = function_of(d, s->what);
	char name[DEVICE_NAME_MAX];

	if (strcmp(s->value, "down") != 0)
		return;
	say(i, "%s goes down, and with it the links of its VFs", called(d, pf, s->what, name));
	say_user(d, pf, i);
}

/* A function that has a driver, and loses it. */
static void of_driver(const struct iol_host *host, const struct devices *d,
		      const struct iol_step *s, struct interruption *i)
{
	const struct iol_pci_info *info = function_of(d, s->what);
	char name[DEVICE_NAME_MAX];

	if (!*s->was || !is_driven(d, info))
		return;
	if (info->netdev[0] || info->nvme[0])
		say(i, "%s goes", called(d, info, s->what, name));
	else
		say(i, "%s leaves %s", called(d, info, s->what, name), s->was);
	say_user(d, info, i);
}

/* A setting of a VF that somebody drives, and that stays. */
static void of_setting(const struct iol_host *host, const struct devices *d,
		       const struct iol_step *s, struct interruption *i)
{
	const struct iol_pci_info *vf = function_of(d, s->what);
	const char *which = s->kind + strlen(STEP_SETTING);
	char name[DEVICE_NAME_MAX];

	if (!*s->was || !*s->value || !is_driven(d, vf))
		return;
	called(d, vf, s->what, name);
	if (!strcmp(which, "mac"))
		say(i, "%s no longer reaches %s, which may have to start anew", s->was, name);
	else if (!strcmp(which, "vlan"))
		say(i, "traffic of %s stops while its VLAN changes", name);
	else if (!strcmp(which, "trust"))
		say(i, "%s may be reset, as many drivers do then", name);
	else if (!strcmp(which, "link") && !strcmp(s->value, "disable"))
		say(i, "%s loses its link", name);
	else
		return;
	say_user(d, vf, i);
}

static void of_nvme(const struct iol_host *host, const struct devices *d, const struct iol_step *s,
		    struct interruption *i)
{
	const struct iol_pci_info *vf = function_of(d, s->what);
	char name[DEVICE_NAME_MAX];

	if (!*s->was || !*s->value || !strcmp(s->was, "offline") || !is_driven(d, vf))
		return;
	say(i, "%s is offline while its resources change", called(d, vf, s->what, name));
	say_user(d, vf, i);
}

static const struct {
	const char *kind;
	void (*of)(const struct iol_host *host, const struct devices *d, const struct iol_step *s,
		   struct interruption *i);
} rows[] = {
	{ STEP_VFS, of_vfs },
	{ STEP_ESWITCH, of_eswitch },
	{ STEP_INTERFACE, of_interface },
	{ STEP_DRIVER, of_driver },
	{ STEP_VF_DRIVER, of_driver },
	{ STEP_NVME, of_nvme },
	{ STEP_SETTING "mac", of_setting },
	{ STEP_SETTING "vlan", of_setting },
	{ STEP_SETTING "trust", of_setting },
	{ STEP_SETTING "link", of_setting },
};

void interruption_of(const struct iol_host *host, const struct devices *d, const struct iol_step *s,
		     struct interruption *i)
{
	const struct iol_pci_info *info = function_of(d, s->what);
	size_t k;

	*i = (struct interruption){ 0 };
	if (info && !strchr(s->what, '/'))
		device_name(d, info, i->name);
	for (k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
		if (!strcmp(rows[k].kind, s->kind))
			rows[k].of(host, d, s, i);
	}
}
