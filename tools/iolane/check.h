/* SPDX-License-Identifier: BSD-3-Clause */
/* What "iolane check" looks at: a row a check, with a function that fills in what it found. */
#ifndef TOOLS_IOLANE_CHECK_H
#define TOOLS_IOLANE_CHECK_H

#include "findings.h"
#include "machine.h"

/** finding_boot() - finding_mend(), where it is a word on the kernel's command line. */
void finding_boot(struct finding *f, const struct machine *m, const char *word, bool remove);

typedef void check_function(const struct machine *m, struct finding *f);

/* check_iommu.c */
check_function check_iommu, check_groups, check_translation, check_remapping, check_posted,
	check_acs, check_reserved;
/* check_vfio.c */
check_function check_vfio, check_iommufd, check_unsafe, check_lockdown, check_kvm;
/* check_host.c */
check_function check_memlock, check_hugepages, check_uring, check_dpdk;

/** hugepages_reserved() - Bytes in huge pages of the host. */
uint64_t hugepages_reserved(const struct machine *m);

#endif
