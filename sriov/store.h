/* SPDX-License-Identifier: BSD-3-Clause */
/* Notes of VFs: small texts by folder and VF, in the folder where the journal is. */
#ifndef IOL_SRIOV_STORE_H
#define IOL_SRIOV_STORE_H

#include <iolane/sriov.h>

#include <stddef.h>

#define STORE_LABELS   "labels"
#define STORE_LEASES   "leases"
#define STORE_PATH_MAX 512

/**
 * iol_store_get() - A note, cut off at @len; empty when there is none.
 * @dir: in @host, which may be a copy.
 */
int iol_store_get(const struct iol_host *host, const char *dir, const char *folder, const char *vf,
		  char *text, size_t len);

/** iol_store_set() - Write a note; empty: remove it. The journal is locked by the caller. */
int iol_store_set(const char *dir, const char *folder, const char *vf, const char *text);

#endif
