/* SPDX-License-Identifier: BSD-3-Clause */
#include "vf.h"

#include <errno.h>

int vf_facts_read(const struct iol_host *host, const struct iol_pf *pf, struct vf_facts *f)
{
	int rc;

	if (pf->netdev[0] && pf->enabled)
		f->num_nets = iol_vf_net_list(host, pf, &f->nets);
	if (f->num_nets < 0)
		return f->num_nets;
	if (pf->nvme[0] && pf->enabled)
		f->num_nvmes = iol_vf_nvme_list(host, pf, &f->nvmes);
	/* A drive may have VFs without their management (NVMe 2.0, 8.2.6 is optional). */
	if (f->num_nvmes == -EOPNOTSUPP)
		f->num_nvmes = 0;
	if (f->num_nvmes < 0)
		return f->num_nvmes;
	rc = iol_vf_labels(host, pf, NULL, pf->enabled, &f->labels);
	return rc ? rc : iol_vf_holders(host, pf, NULL, pf->enabled, &f->holders);
}

void vf_facts_clear(struct vf_facts *f)
{
	free(f->nets);
	free(f->nvmes);
	free(f->ports);
	free(f->labels);
	free(f->holders);
}

static const struct verb_row rows[] = {
	{ "list", &vf_list },   { "create", &vf_create },   { "set", &vf_set },
	{ "stats", &vf_stats }, { "destroy", &vf_destroy },
};

const struct verb_group vf_group = {
	.name = "vf",
	.opts_help = HOST_OPTS_HELP,
	.rows = rows,
	.num = sizeof(rows) / sizeof(rows[0]),
};
