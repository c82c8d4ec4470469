/* SPDX-License-Identifier: BSD-3-Clause */
/* Reset, and whether it happened: kernels and devices say so more often than it is true. */
#include "vfio/config.h"
#include "vfio/context.h"
#include "vfio/device.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/host.h"
#include "vfio/iommufd_abi.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define COMMAND        0x04u
#define COMMAND_MEMORY 0x02u

/* An entry of the MSI-X table (PCIe 6.0, 7.7.2.9): Vector Control, whose first bit masks the vector. */
#define ENTRY_SIZE     16u
#define VECTOR_CONTROL 12u
#define VECTOR_MASKED  1u

/* Functions that one reset may touch: all of a few buses. */
#define PEERS_MAX 4096u

/* None is no failure: the file is not there when there is no way; nor on kernels before 5.15. */
static void read_methods(const struct iol_host *host, const char *folder,
			 struct iol_reset_methods *methods)
{
	char text[256], *word, *rest;

	*methods = (struct iol_reset_methods){ 0 };
	if (iol_host_read(host, text, sizeof(text), "%s/reset_method", folder) < 0)
		return;
	for (word = strtok_r(text, " \n", &rest); word && methods->num < IOL_RESET_METHODS;
	     word = strtok_r(NULL, " \n", &rest)) {
		if (strlen(word) < sizeof(methods->name[0]))
			strcpy(methods->name[methods->num++], word);
	}
}

int iol_reset_methods(const struct iol_host *host, const struct iol_pci_addr *addr,
		      struct iol_reset_methods *methods)
{
	char folder[IOL_NAME_MAX], name[IOL_PCI_ADDR_MAX];

	snprintf(folder, sizeof(folder), "sys/bus/pci/devices/%s", iol_pci_addr_format(addr, name));
	if (!iol_host_exists(host, "%s", folder))
		return iol_fail(ENODEV, "there is no PCI function %s", name);
	read_methods(host, folder, methods);
	return 0;
}

/* The vector whose mask bit shows a reset. */
struct mark {
	void *page;
	volatile uint32_t *control;
	uint32_t before;
};

/* Whether registers of BARs may be touched: they fault while memory space is off, or power is. */
static bool awake(const struct iol_vfio_device *dev)
{
	uint16_t command, power;
	int pm = iol_vfio_cap(dev, CAP_PM, false);

	if (iol_vfio_region_read(dev, IOL_REGION_CONFIG, COMMAND, &command, sizeof(command)) ||
	    !(command & COMMAND_MEMORY))
		return false;
	return pm < 0 || (!iol_vfio_region_read(dev, IOL_REGION_CONFIG, (uint64_t)pm + 4, &power,
						sizeof(power)) &&
			  !(power & 3u));
}

/*
 * Unmask the last vector of a table that is not in use: that has no effect but that a reset masks it again. Return: whether
 * there is such a table, and it can be written.
 */
static bool set_mark(const struct iol_vfio_device *dev, struct mark *mark)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), at;
	int cap = iol_vfio_cap(dev, CAP_MSIX, false);
	uint32_t place;
	uint16_t vectors;

	if (cap < 0 || dev->irqs[IOL_IRQ_MSIX].set || !awake(dev) ||
	    iol_vfio_region_read(dev, IOL_REGION_CONFIG, (uint64_t)cap + 2, &vectors,
				 sizeof(vectors)) ||
	    iol_vfio_region_read(dev, IOL_REGION_CONFIG, (uint64_t)cap + 4, &place, sizeof(place)))
		return false;
	at = (place & ~7u) + (vectors & 0x7ffu) * (uint64_t)ENTRY_SIZE + VECTOR_CONTROL;
	if (iol_vfio_region_map(dev, place & 7u, at & ~(page - 1), page, &mark->page))
		return false;
	mark->control = (volatile uint32_t *)(void *)((char *)mark->page + (at & (page - 1)));
	mark->before = *mark->control;
	*mark->control = mark->before & ~VECTOR_MASKED;
	if (!(*mark->control & VECTOR_MASKED))
		return true;
	munmap(mark->page, page);
	return false;
}

static enum iol_known read_mark(const struct iol_vfio_device *dev, const struct mark *mark)
{
	enum iol_known happened = IOL_UNKNOWN;
	uint32_t now;

	if (awake(dev)) {
		now = *mark->control;
		/* All ones is what a device reads as that did not come back. */
		if (now != UINT32_MAX)
			happened = now & VECTOR_MASKED ? IOL_YES : IOL_NO;
		*mark->control = mark->before;
	}
	munmap(mark->page, (size_t)sysconf(_SC_PAGESIZE));
	return happened;
}

/* The method that the kernel tries first; empty if it does not tell. */
static void first_method(const struct iol_vfio_device *dev, char method[24])
{
	struct iol_reset_methods methods;

	read_methods(dev->ctx->host, dev->folder, &methods);
	strcpy(method, methods.num ? methods.name[0] : "");
}

int iol_vfio_reset(struct iol_vfio_device *dev, struct iol_reset_report *report)
{
	struct iol_reset_report told = { .happened = IOL_UNKNOWN };
	struct mark mark;
	bool marked;

	marked = report && set_mark(dev, &mark);
	/* VFIO_DEVICE_FLAGS_RESET is not asked for: not all who can be reset have it. */
	if (ioctl(dev->fd, VFIO_DEVICE_RESET)) {
		int err = errno;

		if (marked)
			read_mark(dev, &mark);
		if (err == EINVAL || err == ENOTTY)
			return iol_fail(ENOTTY,
					"%s has no reset of its own (no FLR, no power management "
					"reset, and others on its bus)",
					dev->name);
		first_method(dev, told.method);
		return iol_fail(err, "cannot reset %s%s%s: %s", dev->name,
				told.method[0] ? " by " : "", told.method, strerror(err));
	}
	if (marked)
		told.happened = read_mark(dev, &mark);
	if (report) {
		first_method(dev, told.method);
		*report = told;
	}
	return 0;
}

static int read_peers(const struct iol_vfio_device *dev, struct vfio_pci_hot_reset_info **info)
{
	uint32_t room = 0;

	for (int turn = 0; turn < 4; turn++) {
		size_t len = sizeof(**info) + room * sizeof((*info)->devices[0]);
		_cleanup_free_ struct vfio_pci_hot_reset_info *i = calloc(1, len);

		if (!i)
			return iol_fail(ENOMEM, "no memory for %u functions", room);
		i->argsz = (uint32_t)len;
		if (!ioctl(dev->fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, i)) {
			if (i->count > room)
				break;
			*info = iol_take_ptr(i);
			return 0;
		}
		if (errno != ENOSPC)
			return iol_fail(errno,
					"cannot ask what a reset of the bus of %s touches: %s",
					dev->name, strerror(errno));
		if (i->count <= room || i->count > PEERS_MAX)
			break;
		room = i->count;
	}
	return iol_fail(EBADMSG, "what a reset of the bus of %s touches does not add up",
			dev->name);
}

static bool is_ours(const struct iol_vfio_device *dev, const struct vfio_pci_hot_reset_info *info,
		    uint32_t id)
{
	if (info->flags & ABI_HOT_RESET_DEV_ID)
		return id != ABI_DEVID_NOT_OWNED;
	for (const struct vfio_group *g = dev->ctx->groups; g; g = g->next)
		if ((uint32_t)g->number == id)
			return true;
	return false;
}

int iol_hot_reset_peers(const struct iol_vfio_device *dev, struct iol_reset_peer **peers)
{
	_cleanup_free_ struct vfio_pci_hot_reset_info *info = NULL;
	struct iol_reset_peer *list;
	int rc = read_peers(dev, &info);

	if (rc < 0)
		return rc;
	list = calloc(info->count ? info->count : 1, sizeof(*list));
	if (!list)
		return iol_fail(ENOMEM, "no memory for %u functions", info->count);
	for (uint32_t i = 0; i < info->count; i++) {
		const struct vfio_pci_dependent_device *d = &info->devices[i];

		list[i].addr =
			(struct iol_pci_addr){ d->segment, d->bus, d->devfn >> 3, d->devfn & 7 };
		list[i].ours = is_ours(dev, info, d->group_id);
	}
	*peers = list;
	return (int)info->count;
}

/* The first of those who are not ours, by name. */
static int refuse(const struct iol_vfio_device *dev, const struct iol_reset_peer *peers, int num)
{
	char names[256] = "", name[IOL_PCI_ADDR_MAX];
	size_t used = 0;
	int others = 0;

	for (int i = 0; i < num; i++) {
		if (peers[i].ours)
			continue;
		others++;
		if (used + sizeof(name) + 1 < sizeof(names))
			used += (size_t)snprintf(names + used, sizeof(names) - used, " %s",
						 iol_pci_addr_format(&peers[i].addr, name));
	}
	if (!others)
		return 0;
	return iol_fail(EPERM,
			"a reset of the bus of %s touches %d others that are not in the same "
			"context:%s; open them, too",
			dev->name, others, names);
}

int iol_vfio_hot_reset(struct iol_vfio_device *dev)
{
	_cleanup_free_ struct iol_reset_peer *peers = NULL;
	_cleanup_free_ struct vfio_pci_hot_reset *cmd = NULL;
	int num = iol_hot_reset_peers(dev, &peers), rc;
	uint32_t groups = 0;
	size_t len;

	if (num < 0)
		return num;
	rc = refuse(dev, peers, num);
	if (rc)
		return rc;
	for (const struct vfio_group *g = dev->ctx->groups; g; g = g->next)
		groups++;
	len = sizeof(*cmd) + groups * sizeof(cmd->group_fds[0]);
	cmd = calloc(1, len);
	if (!cmd)
		return iol_fail(ENOMEM, "no memory for %u groups", groups);
	cmd->argsz = (uint32_t)len;
	/* Groups prove that they are ours; with iommufd the kernel knows. */
	for (const struct vfio_group *g = dev->ctx->groups; g; g = g->next)
		cmd->group_fds[cmd->count++] = g->fd;
	if (ioctl(dev->fd, VFIO_DEVICE_PCI_HOT_RESET, cmd))
		return iol_fail(errno, "cannot reset the bus of %s: %s%s", dev->name,
				strerror(errno),
				errno == EINVAL
					? " (the kernel does not while there are VFs on it: "
					  "remove them first)"
					: "");
	return 0;
}
