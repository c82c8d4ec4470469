/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether a declared state can be, before anything is looked at or changed. */
#include "base/error.h"
#include "base/own.h"

#include <iolane/sriov.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* A MAC of one VF, and where it was said. */
struct said_mac {
	uint8_t mac[6];
	unsigned int pf, vf;
};

static int at(struct iol_state_fault *fault, unsigned int pf, int vf, const char *field)
{
	if (fault)
		*fault = (struct iol_state_fault){ pf, vf, field };
	return -EINVAL;
}

/* VFs that a PF will have. */
static unsigned int count_of(const struct iol_want_pf *w)
{
	return w->vfs < 0 ? w->pf.enabled : (unsigned int)w->vfs;
}

/* Which PF, for sentences. */
static const char *called(const struct iol_want_pf *w)
{
	return w->pf.name[0] ? w->pf.name : "this PF";
}

static int check_pf(const struct iol_state *s, unsigned int i, struct iol_state_fault *fault)
{
	const struct iol_want_pf *w = &s->pf[i];
	unsigned int k;

	/* Of one that was not found yet nothing can be told. */
	if (!w->pf.name[0])
		return 0;
	for (k = 0; k < i; k++) {
		if (!strcmp(s->pf[k].pf.name, w->pf.name)) {
			iol_fail(EINVAL, "%s is there twice: say all of it in one place",
				 w->pf.name);
			return at(fault, i, -1, "");
		}
	}
	if (w->vfs > 0 && (unsigned int)w->vfs > w->pf.total) {
		iol_fail(EINVAL, "%d VFs of %s are more than it can have: %u at most", w->vfs,
			 w->pf.name, w->pf.total);
		return at(fault, i, -1, "vfs");
	}
	return 0;
}

static int check_range(const struct iol_want_pf *w, unsigned int i, unsigned int v,
		       struct iol_state_fault *fault)
{
	const struct iol_want_vf *vf = &w->vf[v];
	unsigned int k;

	/* Without a number of VFs it is as many as there are, which is not known of a PF that was not found yet. */
	if (vf->first > vf->last || ((w->vfs >= 0 || w->pf.name[0]) && vf->last >= count_of(w))) {
		iol_fail(EINVAL, "VFs %u to %u of %s: expected from 0 to %d, as it is to have %u",
			 vf->first, vf->last, called(w), (int)count_of(w) - 1, count_of(w));
		return at(fault, i, (int)v, "index");
	}
	for (k = 0; k < v; k++) {
		if (w->vf[k].first <= vf->last && vf->first <= w->vf[k].last) {
			iol_fail(EINVAL, "VFs %u to %u of %s overlap with %u to %u: say each once",
				 vf->first, vf->last, called(w), w->vf[k].first, w->vf[k].last);
			return at(fault, i, (int)v, "index");
		}
	}
	return 0;
}

/* VFs of other buses than PCI are no devices of their own. */
static int check_function(const struct iol_want_pf *w, unsigned int i, unsigned int v,
			  struct iol_state_fault *fault)
{
	const struct iol_want_vf *vf = &w->vf[v];

	if (w->pf.name[0] && !w->pf.is_pci && (vf->driver[0] || vf->owner[0])) {
		iol_fail(EINVAL,
			 "VFs of %s are no PCI functions, so they have neither driver nor owner",
			 w->pf.name);
		return at(fault, i, (int)v, vf->driver[0] ? "driver" : "owner");
	}
	return 0;
}

static bool is_zero(const uint8_t mac[6])
{
	static const uint8_t zero[6];

	return !memcmp(mac, zero, sizeof(zero));
}

static int by_mac(const void *a, const void *b)
{
	const struct said_mac *x = a, *y = b;
	int order = memcmp(x->mac, y->mac, sizeof(x->mac));

	if (!order)
		order = x->pf < y->pf ? -1 : x->pf > y->pf;
	return order ? order : x->vf < y->vf ? -1 : x->vf > y->vf;
}

static int mac_twice(const struct iol_vf_net *net, const char *where, unsigned int i,
		     unsigned int v, struct iol_state_fault *fault)
{
	char text[IOL_VF_VALUE_MAX];

	iol_fail(EINVAL, "the address %s is for several VFs%s: frames would reach one of them only",
		 iol_vf_setting_format(IOL_VF_MAC, net, text), where);
	return at(fault, i, (int)v, "mac");
}

static int check_macs(const struct iol_state *s, struct iol_state_fault *fault)
{
	_cleanup_free_ struct said_mac *macs = NULL;
	size_t room = 0, num = 0, n;
	unsigned int i, v;

	for (i = 0; i < s->num_pf; i++)
		room += s->pf[i].num_vf;
	macs = calloc(room + 1, sizeof(*macs));
	if (!macs)
		return iol_fail(ENOMEM, "no memory to look at a state");
	for (i = 0; i < s->num_pf; i++) {
		for (v = 0; v < s->pf[i].num_vf; v++) {
			const struct iol_want_vf *vf = &s->pf[i].vf[v];

			if (!(vf->net.has & (1u << IOL_VF_MAC)) || is_zero(vf->net.mac))
				continue;
			if (vf->first != vf->last)
				return mac_twice(&vf->net, "", i, v, fault);
			memcpy(macs[num].mac, vf->net.mac, sizeof(macs[num].mac));
			macs[num].pf = i;
			macs[num++].vf = v;
		}
	}
	qsort(macs, num, sizeof(*macs), by_mac);
	for (n = 1; n < num; n++) {
		if (!memcmp(macs[n].mac, macs[n - 1].mac, sizeof(macs[n].mac)))
			return mac_twice(&s->pf[macs[n].pf].vf[macs[n].vf].net, " of this state",
					 macs[n].pf, macs[n].vf, fault);
	}
	return 0;
}

int iol_state_check(const struct iol_state *state, struct iol_state_fault *fault)
{
	unsigned int i, v;
	int rc = 0;

	for (i = 0; !rc && i < state->num_pf; i++) {
		rc = check_pf(state, i, fault);
		for (v = 0; !rc && v < state->pf[i].num_vf; v++) {
			rc = check_range(&state->pf[i], i, v, fault);
			if (!rc)
				rc = check_function(&state->pf[i], i, v, fault);
		}
	}
	return rc ? rc : check_macs(state, fault);
}
