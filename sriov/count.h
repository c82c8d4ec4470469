/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The number of a PF's VFs. What is kept in the journal, and the order of things, are the planner's affair: it switches
 * autoprobe off before it makes VFs, so that none passes through a driver of the host's, and puts it back after it has
 * given each the driver it shall have.
 */
#ifndef IOL_SRIOV_COUNT_H
#define IOL_SRIOV_COUNT_H

#include <iolane/sriov.h>

/* How long VFs may take to come, each time that they are tried. */
#define IOL_VF_WAIT_MS 10000

/** iol_vf_count_get() - How many there are now. -ENODEV with a sentence: the PF has gone. */
int iol_vf_count_get(const struct iol_host *host, const struct iol_pf *pf, unsigned int *count);

/**
 * iol_vf_count_set() - Make as many VFs, and see that each is there and answers.
 *
 * The kernel goes from one number to another by way of none, so all VFs that there are go first; while one is in use,
 * nothing is done. VFs that do not come, or do not answer, within @wait_ms are tried once more. After that, and after a
 * refusal by the kernel, there may be any number.
 *
 * Return: 0, also when there are as many already; -EBUSY: one is in use; -ERANGE: more than there may be; -ETIMEDOUT: one
 * did not come, and the sentence says which; others from the kernel.
 */
int iol_vf_count_set(const struct iol_host *host, const struct iol_pf *pf, unsigned int count,
		     unsigned int wait_ms);

/**
 * iol_vf_refuse_busy() - -EBUSY when a VF of a PF is in use; the sentence says which and by whom.
 *
 * Those of other buses than PCI are no devices of their own, and nobody can have them.
 */
int iol_vf_refuse_busy(const struct iol_host *host, const struct iol_pf *pf);

/**
 * iol_vf_autoprobe_get() - Whether the kernel gives new VFs to a driver of the host's.
 *
 * Return: 0; -EOPNOTSUPP: it has no such switch for this PF (of other buses than PCI).
 */
int iol_vf_autoprobe_get(const struct iol_host *host, const struct iol_pf *pf, bool *on);

/** iol_vf_autoprobe_set() - Switch it, and see that it is so. Return: as above. */
int iol_vf_autoprobe_set(const struct iol_host *host, const struct iol_pf *pf, bool on);

#endif
