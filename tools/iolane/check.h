/* SPDX-License-Identifier: BSD-3-Clause */
/* What "iolane check" looks at: a row a check, with a function that fills in what it found. */
#ifndef TOOLS_IOLANE_CHECK_H
#define TOOLS_IOLANE_CHECK_H

#include "machine.h"

enum check_state {
	CHECK_SILENT, /* there is nothing to say: not printed */
	CHECK_GOOD,
	CHECK_WARNING, /* works, but worse than it could */
	CHECK_BAD,     /* passthrough does not work, or is not safe */
};

/**
 * struct finding - What a check found.
 * @found: a sentence. @where: the file it was read in. @mend: the line that mends it, or empty.
 */
struct finding {
	enum check_state state;
	char found[512], where[256], mend[512];
};

/** finding() - Fill in all but what mends it. */
void finding(struct finding *f, enum check_state state, const char *where, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/** finding_mend() - Fill in what mends it. */
void finding_mend(struct finding *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** finding_boot() - The same, where it is a word on the kernel's command line. */
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
