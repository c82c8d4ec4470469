/* SPDX-License-Identifier: BSD-3-Clause */
/* An NVMe controller is asked for, and told of, its VFs through the kernel's driver. */
#include "sriov/nvme.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/bind.h"
#include "vfio/host.h"
#include "vfio/pci.h"

#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define OP_IDENTIFY             0x06
#define OP_VIRTUALIZATION       0x1c
#define IDENTIFY_PRIMARY        0x14
#define IDENTIFY_SECONDARY_LIST 0x15

/* Actions of Virtualization Management, and the types of resources (NVMe 2.0, 5.26). */
#define ACT_OFFLINE 7u
#define ACT_ASSIGN  8u
#define ACT_ONLINE  9u
enum resource { QUEUES, INTERRUPTS };

/* Status type and code, without what else is in the field. */
#define STATUS(field)    ((field)&0x7ff)
#define INVALID_OPCODE   0x001
#define INVALID_FIELD    0x002
#define INVALID_ID       0x11f
#define INVALID_STATE    0x120
#define INVALID_NUMBER   0x121
#define INVALID_RESOURCE 0x122

/* With fewer a controller can't work: an admin and an I/O queue, and an interrupt. */
#define QUEUES_MIN     2
#define INTERRUPTS_MIN 1

static const struct {
	int status, err;
	const char *name;
} statuses[] = {
	{ INVALID_OPCODE, EOPNOTSUPP, "invalid command opcode" },
	{ INVALID_FIELD, EOPNOTSUPP, "invalid field in command" },
	{ INVALID_ID, ENODEV, "invalid controller identifier" },
	{ INVALID_STATE, EINVAL, "invalid secondary controller state" },
	{ INVALID_NUMBER, ERANGE, "invalid number of controller resources" },
	{ INVALID_RESOURCE, EOPNOTSUPP, "invalid resource identifier" },
};

/* Of an answer of the kernel's (-1) or the device's: a negative errno, and in @text what it means. */
static int explain(int answer, char text[96])
{
	size_t i;

	if (answer < 0) {
		snprintf(text, 96, "%s%s", strerror(errno),
			 errno == EACCES ? "; run it as root" : "");
		return -errno;
	}
	for (i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
		if (STATUS(answer) != statuses[i].status)
			continue;
		snprintf(text, 96, "%s (NVMe status %xh)", statuses[i].name, (unsigned int)answer);
		return -statuses[i].err;
	}
	snprintf(text, 96, "NVMe status %xh", (unsigned int)answer);
	return -EIO;
}

static int open_controller(const struct iol_host *host, const struct iol_pf *pf, int *fd)
{
	char target[HOST_PATH_MAX];
	struct iol_pci_addr addr;
	const char *rest;

	if (!pf->nvme[0])
		return iol_fail(EOPNOTSUPP, "%s is no NVMe controller that the nvme driver has",
				pf->name);
	/* The node of a copy would be a device of this machine. */
	if (!host->live)
		return iol_fail(EOPNOTSUPP,
				"an NVMe controller can be asked for its VFs only where it is, "
				"not in a copy of a host's files");
	if (iol_host_target(host, target, sizeof(target), "sys/class/nvme/%s", pf->nvme) < 0 ||
	    !iol_pci_of_path(target, &addr, &rest) || !iol_pci_addr_equal(&addr, &pf->addr))
		return iol_fail(ENODEV, "%s is not %s any more", pf->name, pf->nvme);
	snprintf(target, sizeof(target), "dev/%s", pf->nvme);
	*fd = openat(host->root_fd, target, O_RDWR | O_CLOEXEC);
	return *fd < 0 ? iol_fail(errno, "cannot open /%s: %s%s", target, strerror(errno),
				  errno == EACCES ? "; run it as root" : "")
		       : 0;
}

static int identify(const struct iol_pf *pf, int fd, unsigned int what, uint32_t first,
		    uint8_t data[NVME_DATA_SIZE])
{
	struct nvme_admin_cmd cmd = {
		.opcode = OP_IDENTIFY,
		.addr = (uintptr_t)data,
		.data_len = NVME_DATA_SIZE,
		.cdw10 = first << 16 | what,
	};
	char text[96];
	int rc;

	memset(data, 0, NVME_DATA_SIZE);
	rc = ioctl(fd, NVME_IOCTL_ADMIN_CMD, &cmd);
	if (!rc)
		return 0;
	rc = explain(rc, text);
	return iol_fail(-rc, "%s (%s) does not tell of its VFs: %s", pf->name, pf->nvme, text);
}

static int read_caps(const struct iol_pf *pf, int fd, struct iol_nvme_caps *caps)
{
	uint8_t data[NVME_DATA_SIZE];
	int rc = identify(pf, fd, IDENTIFY_PRIMARY, 0, data);

	return rc ? rc : iol_nvme_caps_read(data, caps);
}

static int read_list(const struct iol_pf *pf, int fd, struct iol_nvme_list *list)
{
	uint8_t data[NVME_DATA_SIZE];
	int rc;

	do {
		rc = identify(pf, fd, IDENTIFY_SECONDARY_LIST, list->next, data);
		if (!rc)
			rc = iol_nvme_list_read(data, list);
	} while (!rc && list->more);
	if (!rc)
		rc = iol_nvme_list_check(list);
	if (!rc && !list->count)
		rc = iol_fail(EOPNOTSUPP, "%s (%s) has no secondary controllers", pf->name,
			      pf->nvme);
	return rc;
}

int iol_vf_nvme_caps(const struct iol_host *host, const struct iol_pf *pf,
		     struct iol_nvme_caps *caps)
{
	_cleanup_close_ int fd = -1;
	int rc = open_controller(host, pf, &fd);

	return rc ? rc : read_caps(pf, fd, caps);
}

int iol_vf_nvme_list(const struct iol_host *host, const struct iol_pf *pf,
		     struct iol_vf_nvme **list)
{
	_cleanup_close_ int fd = -1;
	struct iol_nvme_list all = { 0 };
	int rc = open_controller(host, pf, &fd);

	*list = NULL;
	if (!rc)
		rc = read_list(pf, fd, &all);
	if (rc) {
		free(all.vfs);
		return rc;
	}
	*list = all.vfs;
	return (int)all.count;
}

/* ---- setting ---- */

/* A VF of a controller that is open. */
struct vf {
	const struct iol_pf *pf;
	int fd;
	unsigned int index;
	struct iol_vf_nvme now;
};

/* Return: what the kernel and the device say. */
static int manage(const struct vf *vf, unsigned int action, enum resource type, unsigned int count)
{
	struct nvme_admin_cmd cmd = {
		.opcode = OP_VIRTUALIZATION,
		.cdw10 = (uint32_t)vf->now.id << 16 | (uint32_t)type << 8 | action,
		.cdw11 = count,
	};

	return ioctl(vf->fd, NVME_IOCTL_ADMIN_CMD, &cmd);
}

static int set_state(const struct vf *vf, bool online)
{
	int answer = manage(vf, online ? ACT_ONLINE : ACT_OFFLINE, QUEUES, 0), rc;
	char text[96];

	if (!answer)
		return 0;
	rc = explain(answer, text);
	return iol_fail(-rc, "cannot take VF %u of %s %s: %s", vf->index, vf->pf->name,
			online ? "online" : "offline", text);
}

static int assign(const struct vf *vf, enum resource type, unsigned int count)
{
	static const char *const names[] = { "queues", "interrupts" };
	int answer = manage(vf, ACT_ASSIGN, type, count), rc;
	const struct iol_nvme_pool *pool;
	struct iol_nvme_caps caps;
	char text[96];

	if (!answer)
		return 0;
	rc = explain(answer, text);
	if (rc != -ERANGE || read_caps(vf->pf, vf->fd, &caps))
		return iol_fail(-rc, "cannot give %u %s to VF %u of %s: %s", count, names[type],
				vf->index, vf->pf->name, text);
	pool = type == QUEUES ? &caps.queues : &caps.interrupts;
	return iol_fail(ERANGE,
			"cannot give %u %s to VF %u of %s: %s; it has %u for its VFs, %u of them "
			"assigned to others, and at most %u for one, in steps of %u",
			count, names[type], vf->index, vf->pf->name, text, pool->total,
			pool->assigned, pool->most, pool->step ? pool->step : 1);
}

static int read_vf(struct vf *vf)
{
	struct iol_nvme_list all = { 0 };
	int rc = read_list(vf->pf, vf->fd, &all);

	if (!rc && vf->index >= all.count)
		rc = iol_fail(ENODEV, "%s (%s) has no VF %u: it can have %zu, counted from 0",
			      vf->pf->name, vf->pf->nvme, vf->index, all.count);
	if (!rc)
		vf->now = all.vfs[vf->index];
	free(all.vfs);
	return rc;
}

static bool equal(const struct iol_vf_nvme *a, const struct iol_vf_nvme *b)
{
	return a->online == b->online && a->queues == b->queues && a->interrupts == b->interrupts;
}

static int change(const struct vf *vf, const struct iol_vf_nvme *want)
{
	/* Whatever it had goes with it. */
	int rc = set_state(vf, false);

	if (!rc && want->interrupts)
		rc = assign(vf, INTERRUPTS, want->interrupts);
	if (!rc && want->queues)
		rc = assign(vf, QUEUES, want->queues);
	if (!rc && want->online)
		rc = set_state(vf, true);
	return rc;
}

int iol_vf_nvme_set(const struct iol_host *host, const struct iol_pf *pf, unsigned int index,
		    const struct iol_vf_nvme *want)
{
	struct vf vf = { .pf = pf, .fd = -1, .index = index };
	int rc = iol_may_change(host);

	if (rc)
		return rc;
	if (want->online && (want->queues < QUEUES_MIN || want->interrupts < INTERRUPTS_MIN))
		return iol_fail(
			EINVAL,
			"VF %u of %s can't be online with %u queues and %u interrupts: it takes "
			"two queues, one of them for administration, and an interrupt at least",
			index, pf->name, want->queues, want->interrupts);
	rc = open_controller(host, pf, &vf.fd);
	if (!rc)
		rc = read_vf(&vf);
	if (!rc && !equal(&vf.now, want)) {
		rc = change(&vf, want);
		if (!rc)
			rc = read_vf(&vf);
		if (!rc && !equal(&vf.now, want))
			rc = iol_fail(EIO,
				      "VF %u of %s was told to have %u queues and %u interrupts "
				      "and to be "
				      "%s, and has %u and %u and is %s",
				      index, pf->name, want->queues, want->interrupts,
				      want->online ? "online" : "offline", vf.now.queues,
				      vf.now.interrupts, vf.now.online ? "online" : "offline");
	}
	iol_close(&vf.fd);
	return rc;
}
