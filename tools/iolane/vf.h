/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane vf": the verbs of virtual functions. */
#ifndef TOOLS_IOLANE_VF_H
#define TOOLS_IOLANE_VF_H

#include "base/own.h"
#include "verb.h"

#include <iolane/sriov.h>

/**
 * struct vf_facts - What is known of a PF's VFs by index; @num_nets and @num_nvmes of them, and of each a label
 * and who has leased it.
 * @ports: its @num_ports representors, by index; not every VF need have one.
 */
struct vf_facts {
	struct iol_vf_net *nets;
	struct iol_vf_nvme *nvmes;
	struct iol_representor *ports;
	char (*labels)[IOL_NAME_MAX], (*holders)[IOL_NAME_MAX];
	int num_nets, num_nvmes, num_ports;
};

/** vf_facts_read() - Ask for it. 0, or a negative errno with the sentence set; vf_facts_clear() in either case. */
int vf_facts_read(const struct iol_host *host, const struct iol_pf *pf, struct vf_facts *f);
void vf_facts_clear(struct vf_facts *f);

#define _cleanup_facts_ _cleanup_(vf_facts_clear)

extern const struct verb vf_list, vf_create, vf_set, vf_stats, vf_destroy;

#endif
