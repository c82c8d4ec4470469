/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane vf": the verbs of virtual functions. */
#ifndef TOOLS_IOLANE_VF_H
#define TOOLS_IOLANE_VF_H

#include "verb.h"

extern const struct verb vf_list, vf_create, vf_set, vf_stats, vf_destroy;

#endif
