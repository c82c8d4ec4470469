/* SPDX-License-Identifier: BSD-3-Clause */
/* A device as QEMU knows it: parts, each of which is an argument of its command line or a command of its monitor. */
#ifndef VMM_GLUE_HANDOVER_H
#define VMM_GLUE_HANDOVER_H

#include <iolane/vmm_handover.h>

#include <json-c/json_object.h>
#include <json-c/linkhash.h>

/* Of the command line, and made by iol_vm_attach(), which iol_vm_detach() may take away. */
#define HANDOVER_IOMMUFD          "iolane-iommufd"
#define HANDOVER_IOMMUFD_ATTACHED "iolane-iommufd-attached"

/**
 * struct part - A part.
 * @option: "object", "chardev", "netdev" or "device". @type: what follows it: "vfio-pci".
 * @props: its properties, owned.
 */
struct part {
	const char *option, *type;
	struct json_object *props;
};

#define PARTS_MAX 4

struct parts {
	struct part part[PARTS_MAX];
	unsigned int num;
};

/**
 * handover_parts() - A device's, in the order in which they are made.
 * @iommufd: the object that it is taken by, if it is taken by one.
 * @iommu: the guest has an IOMMU.
 */
int handover_parts(const struct iol_vmm_device *d, const char *iommufd, bool iommu,
		   const struct iol_qemu *qemu, struct parts *parts);
void handover_parts_clear(struct parts *parts);

/** handover_check() - Whether a part is known, without the properties that it can do without. */
int handover_check(const struct iol_qemu *qemu, struct part *part);

/** handover_check_device() - Whether a description can be written down for a VMM. */
int handover_check_device(const struct iol_vmm_device *d);

/** handover_check_pairs() - Whether each function has the NIC that shall stand by for it. */
int handover_check_pairs(const struct iol_vmm_guest *g);

/** handover_note() - Tell what is different from what was asked. */
void handover_note(const struct iol_qemu *qemu, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** handover_has_socket() - Whether one of the devices is a vhost-user back end's, and guest memory has to be shared. */
bool handover_has_socket(const struct iol_vmm_guest *g);

/** handover_add() - Add what follows a printf format to an array of strings. */
void handover_add(struct json_object *array, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
