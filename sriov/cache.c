/* SPDX-License-Identifier: BSD-3-Clause */
/* What PFs and VFs are like, asked once: of 256 VFs the kernel tells all in one answer, or it takes 256 of them. */
#include "sriov/apply.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/uses.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int iol_vf_name_parse(const char *what, char pf[IOL_NAME_MAX], unsigned int *index)
{
	const char *slash = strrchr(what, '/');
	unsigned long n;
	char *end;

	if (!slash || slash == what || (size_t)(slash - what) >= IOL_NAME_MAX ||
	    strncmp(slash, "/vf", 3) != 0 || !isdigit((unsigned char)slash[3]))
		return iol_fail(EINVAL,
				"\"%s\" names no VF: expected its PF and index, like "
				"0000:01:00.0/vf3",
				what);
	errno = 0;
	n = strtoul(slash + 3, &end, 10);
	if (errno || *end || n > UINT16_MAX)
		return iol_fail(EINVAL, "\"%s\" names no VF: there is no such index", what);
	memcpy(pf, what, (size_t)(slash - what));
	pf[slash - what] = '\0';
	*index = (unsigned int)n;
	return 0;
}

void iol_cache_drop(struct pf_cache *c)
{
	free(c->nets);
	free(c->nvmes);
	free(c->uses);
	c->nets = NULL;
	c->nvmes = NULL;
	c->uses = NULL;
	c->num_nets = -1;
	c->num_nvmes = -1;
	c->num_uses = -1;
}

void iol_sriov_env_clear(struct sriov_env *env)
{
	unsigned int i;

	for (i = 0; i < env->num_pfs; i++) {
		iol_cache_drop(env->pfs[i]);
		free(env->pfs[i]);
	}
	free(env->pfs);
	env->pfs = NULL;
	env->num_pfs = 0;
	if (env->have_rtnl)
		iol_rtnl_close(&env->rtnl);
	env->have_rtnl = false;
}

int iol_env_rtnl(struct sriov_env *env)
{
	int rc = env->have_rtnl ? 0 : iol_rtnl_open(&env->rtnl, env->bind.host);

	env->have_rtnl |= !rc;
	return rc;
}

int iol_cache_pf(struct sriov_env *env, const char *name, struct pf_cache **cache)
{
	_cleanup_free_ struct pf_cache *c = NULL;
	struct pf_cache **more;
	unsigned int i;
	int rc;

	for (i = 0; i < env->num_pfs; i++) {
		if (!strcmp(env->pfs[i]->pf.name, name)) {
			*cache = env->pfs[i];
			return 0;
		}
	}
	c = calloc(1, sizeof(*c));
	more = reallocarray(env->pfs, env->num_pfs + 1, sizeof(struct pf_cache *));
	if (more)
		env->pfs = more;
	if (!c || !more)
		return iol_fail(ENOMEM, "no memory for %s", name);
	rc = iol_pf_find(env->bind.host, name, &c->pf);
	if (rc)
		return rc;
	iol_cache_drop(c);
	*cache = c;
	env->pfs[env->num_pfs++] = iol_take_ptr(c);
	return 0;
}

int iol_cache_nets(struct sriov_env *env, struct pf_cache *c)
{
	int rc = iol_env_rtnl(env);

	if (rc || c->num_nets >= 0)
		return rc ? rc : c->num_nets;
	rc = iol_rtnl_vfs(&env->rtnl, &c->pf, &c->nets);
	if (rc >= 0)
		c->num_nets = rc;
	return rc;
}

int iol_cache_nvmes(struct sriov_env *env, struct pf_cache *c)
{
	int rc;

	if (c->num_nvmes >= 0)
		return c->num_nvmes;
	rc = iol_vf_nvme_list(env->bind.host, &c->pf, &c->nvmes);
	if (rc >= 0)
		c->num_nvmes = rc;
	return rc;
}

int iol_cache_uses(struct sriov_env *env, struct pf_cache *c)
{
	int rc;

	if (c->num_uses >= 0)
		return c->num_uses;
	rc = iol_pci_uses_with_vfs(env->bind.host, &c->pf.addr, &c->uses);
	if (rc >= 0)
		c->num_uses = rc;
	return rc;
}

int iol_refuse_used(struct sriov_env *env, struct pf_cache *c, const char *vf)
{
	struct iol_pci_addr addr;
	int rc = iol_pci_find(env->bind.host, vf, &addr), n;

	if (rc)
		return rc;
	n = iol_cache_uses(env, c);
	return n < 0 ? n : iol_refuse_listed(c->uses, n, &addr);
}
