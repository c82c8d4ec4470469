/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vhost-user front end: the VMM's side. It connects to a back end, shares memory with it,
 * negotiates, and runs its queues. One thread uses a front end for control; each queue's data path
 * belongs to one thread.
 *
 * Specification: "Vhost-user Protocol" (QEMU, docs/interop/vhost-user.rst).
 */
#ifndef IOLANE_VMM_GLUE_H
#define IOLANE_VMM_GLUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct iol_frontend;

/* The rest of this interface is laid down in vmm-glue/. */

#ifdef __cplusplus
}
#endif
#endif
