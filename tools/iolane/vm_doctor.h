/* SPDX-License-Identifier: BSD-3-Clause */
/* A QEMU that runs, as "iolane vm doctor" looks at it. */
#ifndef TOOLS_IOLANE_VM_DOCTOR_H
#define TOOLS_IOLANE_VM_DOCTOR_H

#include "findings.h"
#include "vm.h"

/**
 * struct patient - What QEMU says, asked once for all checks.
 * @pid: QEMU's process, 0 when nobody can say; @cmdline: its command line, as the kernel has it, or NULL.
 * @memdevs, @chardevs: lists; @network: a text for people, of which netdev is at which chardev.
 * @memory: bytes. @cpus: how many. @backends, @functions: its vhost-user devices, and its functions of VFIO.
 * @rc: what ended the connection, if anything did.
 */
struct patient {
	struct iol_qmp *qmp;
	struct iol_host *host;
	int pid, rc;
	char *cmdline;
	size_t cmdline_len;
	struct json_object *status, *memdevs, *chardevs, *virtio;
	char *network;
	uint64_t memory;
	unsigned int cpus, backends, functions;
	bool balloon, kvm;
	struct findings findings;
};

/** patient_ask() - A command's answer, for the caller to put; NULL when QEMU does not know it. */
struct json_object *patient_ask(struct patient *p, const char *command, struct json_object *args);

/** patient_get() - A property of an object of QEMU's, for the caller to put; NULL for none. */
struct json_object *patient_get(struct patient *p, const char *path, const char *property);

/** patient_each() - Call @look for each of QEMU's devices: with its place, its name and its type. */
void patient_each(struct patient *p, void (*look)(struct patient *p, const char *path,
						  const char *id, const char *type));

/** doctor_count() - Count devices, before they are looked at. doctor_device() - Look at one. */
void doctor_count(struct patient *p, const char *path, const char *id, const char *type);
void doctor_device(struct patient *p, const char *path, const char *id, const char *type);

#endif
