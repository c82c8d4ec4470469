/* SPDX-License-Identifier: BSD-3-Clause */
/* Steps on device nodes, and waiting for udev. */
#include "vfio/bind.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PAUSE_MS 20
#define WAIT_MS  10000

bool iol_settle(const struct iol_host *host)
{
	int waited;

	/* udev keeps this file while it has events to work on; in a copy it stays for ever. */
	for (waited = 0; host->live && iol_host_exists(host, "run/udev/queue") && waited < WAIT_MS;
	     waited += PAUSE_MS)
		poll(NULL, 0, PAUSE_MS);
	return waited > 0;
}

int iol_pci_find_late(const struct iol_host *host, const char *name, struct iol_pci_addr *addr)
{
	int rc = iol_pci_find(host, name, addr);

	return rc == -ENODEV && iol_settle(host) ? iol_pci_find(host, name, addr) : rc;
}

/* A function's own node. Kernels without such nodes have the folder, but no number in it. */
static int device_path(const struct iol_host *host, const char *what, char path[HOST_PATH_MAX])
{
	_cleanup_dir_ DIR *dir = NULL;
	const char *name;

	dir = iol_host_opendir(host, "sys/bus/pci/devices/%s/vfio-dev", what);
	if (!dir)
		return iol_host_exists(host, "sys/bus/pci/devices/%s", what) ? 0 : -ENODEV;
	name = iol_host_next(dir);
	if (name && iol_host_exists(host, "sys/bus/pci/devices/%s/vfio-dev/%s/dev", what, name))
		snprintf(path, HOST_PATH_MAX, "dev/vfio/devices/%s", name);
	return 0;
}

/*
 * Of a function, its own node; else the node of a group, or iommufd's. Empty: the kernel makes no such nodes, and what is
 * not there needs no owner. -ENODEV without a sentence: it is not there now.
 */
static int node_path(const struct iol_host *host, const char *what, char path[HOST_PATH_MAX])
{
	struct iol_pci_addr addr;
	int group, end = 0;

	path[0] = '\0';
	if (what[0] != '/')
		return iol_pci_addr_parse(what, &addr) ? -EINVAL : device_path(host, what, path);
	if (sscanf(what, "/dev/vfio/%9d%n", &group, &end) == 1 && !what[end]) {
		if (!iol_host_exists(host, "sys/class/vfio"))
			return 0;
		if (!iol_host_exists(host, "sys/class/vfio/%d", group))
			return -ENODEV;
	} else if (strcmp(what, "/dev/iommu") != 0) {
		return iol_fail(EINVAL, "%s is no node that may be given away", what);
	}
	snprintf(path, HOST_PATH_MAX, "%s", what + 1);
	return 0;
}

static int owner_of(const struct iol_host *host, const char *path, char value[IOL_NAME_MAX])
{
	struct stat st;
	int rc = iol_host_stat(host, &st, "%s", path);

	if (rc)
		return rc;
	if (!S_ISCHR(st.st_mode))
		return -ENXIO;
	snprintf(value, IOL_NAME_MAX, "%u:%u:%04o", st.st_uid, st.st_gid, st.st_mode & 07777);
	return 0;
}

/* Nodes come right after their driver; udev may still be setting their owner to what it thinks right. */
int iol_node_get(void *env, const char *what, char value[IOL_NAME_MAX])
{
	const struct iol_host *host = ((const struct bind_env *)env)->host;
	char path[HOST_PATH_MAX];
	int rc = node_path(host, what, path), waited;

	*value = '\0';
	if (rc || !*path)
		return rc;
	iol_settle(host);
	for (waited = 0; (rc = owner_of(host, path, value)) == -ENOENT && waited < 1000;
	     waited += PAUSE_MS)
		poll(NULL, 0, PAUSE_MS);
	if (rc == -ENOENT)
		return -ENODEV;
	return rc ? iol_fail(-rc, "cannot tell the owner of /%s: %s", path, strerror(-rc)) : 0;
}

int iol_node_set(void *env, const char *what, const char *value)
{
	const struct iol_host *host = ((const struct bind_env *)env)->host;
	char path[HOST_PATH_MAX], now[IOL_NAME_MAX];
	int end = 0, rc = node_path(host, what, path);
	unsigned int uid, gid, mode;

	if (rc || !*path || !*value)
		return rc;
	if (sscanf(value, "%9u:%9u:%4o%n", &uid, &gid, &mode, &end) != 3 || value[end] ||
	    mode > 07777)
		return iol_fail(EINVAL, "\"%s\" is no owner and mode", value);
	/* The mode first: an owner before would have for a moment what he is not to have. */
	if (fchmodat(host->root_fd, path, mode, 0) < 0 ||
	    fchownat(host->root_fd, path, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return iol_fail(errno, "cannot give /%s to user %u: %s", path, uid,
				strerror(errno));
	rc = iol_node_get(env, what, now);
	if (rc == -ENODEV || (!rc && strcmp(now, value) != 0))
		rc = iol_fail(EBUSY,
			      "/%s does not keep its owner: something else changes it, such as a "
			      "udev rule",
			      path);
	return rc;
}
