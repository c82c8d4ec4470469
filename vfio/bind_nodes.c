/* SPDX-License-Identifier: BSD-3-Clause */
/* Steps on device nodes and udev rules. */
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

/* The node in dev/vfio of a function's group or of itself. -ENODEV without a sentence: there is none. */
static int group_path(const struct iol_host *host, const char *what, char path[HOST_PATH_MAX])
{
	struct iol_pci_info info;
	struct iol_pci_addr addr;
	int rc = iol_pci_addr_parse(what, &addr);

	if (!rc)
		rc = iol_pci_info(host, &addr, &info);
	if (rc)
		return rc;
	if (info.iommu_group < 0 || !iol_is_vfio(info.driver))
		return -ENODEV;
	snprintf(path, HOST_PATH_MAX, "dev/vfio/%d", info.iommu_group);
	return 0;
}

/* Kernels without device nodes have the folder, but no number in it: what is not there needs no owner. */
static int device_path(const struct iol_host *host, const char *what, char path[HOST_PATH_MAX])
{
	_cleanup_dir_ DIR *dir = NULL;
	struct iol_pci_addr addr;
	const char *name;
	int rc = iol_pci_addr_parse(what, &addr);

	if (rc)
		return rc;
	path[0] = '\0';
	dir = iol_host_opendir(host, "sys/bus/pci/devices/%s/vfio-dev", what);
	if (!dir)
		return iol_host_exists(host, "sys/bus/pci/devices/%s", what) ? 0 : -ENODEV;
	name = iol_host_next(dir);
	if (name && iol_host_exists(host, "sys/bus/pci/devices/%s/vfio-dev/%s/dev", what, name))
		snprintf(path, HOST_PATH_MAX, "dev/vfio/devices/%s", name);
	return 0;
}

static int node_path(const struct iol_host *host, const char *what, char path[HOST_PATH_MAX])
{
	if (strcmp(what, "/dev/iommu") != 0)
		return iol_fail(EINVAL, "%s is no node that may be given away", what);
	strcpy(path, "dev/iommu");
	return 0;
}

static int owner_of(const struct iol_host *host, const char *path, char value[IOL_NAME_MAX])
{
	struct stat st;

	if (fstatat(host->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISCHR(st.st_mode))
		return -ENXIO;
	snprintf(value, IOL_NAME_MAX, "%u:%u:%04o", st.st_uid, st.st_gid, st.st_mode & 07777);
	return 0;
}

/* Nodes come right after their driver; udev may still be setting their owner to what it thinks right. */
static int get(const struct iol_host *host, const char *path, char value[IOL_NAME_MAX])
{
	int rc, waited;

	iol_settle(host);
	for (waited = 0; (rc = owner_of(host, path, value)) == -ENOENT && waited < 1000;
	     waited += PAUSE_MS)
		poll(NULL, 0, PAUSE_MS);
	if (rc == -ENOENT)
		return -ENODEV;
	return rc ? iol_fail(-rc, "cannot tell the owner of /%s: %s", path, strerror(-rc)) : 0;
}

static int set(const struct iol_host *host, const char *path, const char *value)
{
	unsigned int uid, gid, mode;
	char now[IOL_NAME_MAX];
	int end = 0, rc;

	if (sscanf(value, "%9u:%9u:%4o%n", &uid, &gid, &mode, &end) != 3 || value[end] ||
	    mode > 07777)
		return iol_fail(EINVAL, "\"%s\" is no owner and mode", value);
	/* The mode first: an owner before would have for a moment what he is not to have. */
	if (fchmodat(host->root_fd, path, mode, 0) < 0 ||
	    fchownat(host->root_fd, path, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return iol_fail(errno, "cannot give /%s to user %u: %s", path, uid,
				strerror(errno));
	rc = get(host, path, now);
	if (rc == -ENODEV || (!rc && strcmp(now, value) != 0))
		rc = iol_fail(EBUSY,
			      "/%s does not keep its owner: something else changes it, such as a "
			      "udev rule",
			      path);
	return rc;
}

#define NODE(env) (((const struct bind_env *)(env))->host)

int iol_group_node_get(void *env, const char *what, char value[IOL_NAME_MAX])
{
	char path[HOST_PATH_MAX];
	int rc = group_path(NODE(env), what, path);

	return rc ? rc : get(NODE(env), path, value);
}

int iol_group_node_set(void *env, const char *what, const char *value)
{
	char path[HOST_PATH_MAX];
	int rc = group_path(NODE(env), what, path);

	return rc ? rc : set(NODE(env), path, value);
}

int iol_device_node_get(void *env, const char *what, char value[IOL_NAME_MAX])
{
	char path[HOST_PATH_MAX];
	int rc = device_path(NODE(env), what, path);

	*value = '\0';
	return rc || !*path ? rc : get(NODE(env), path, value);
}

int iol_device_node_set(void *env, const char *what, const char *value)
{
	char path[HOST_PATH_MAX];
	int rc = device_path(NODE(env), what, path);

	return rc || !*path ? rc : set(NODE(env), path, value);
}

int iol_node_get(void *env, const char *what, char value[IOL_NAME_MAX])
{
	char path[HOST_PATH_MAX];
	int rc = node_path(NODE(env), what, path);

	return rc ? rc : get(NODE(env), path, value);
}

int iol_node_set(void *env, const char *what, const char *value)
{
	char path[HOST_PATH_MAX];
	int rc = node_path(NODE(env), what, path);

	return rc ? rc : set(NODE(env), path, value);
}

/* ---- udev rules: a file a function, found by its address, keyed on the way to it ---- */

#define RULE_KEY "ATTR{driver_override}=\""

static void rule_name(char name[64], const char *what)
{
	/* After what names devices, before 80-drivers.rules, which loads the drivers that fit. */
	snprintf(name, 64, "70-iolane-%s.rules", what);
}

static int open_rules(const struct bind_env *env, const char *what, int *dir)
{
	struct iol_pci_addr addr;
	int rc = iol_pci_addr_parse(what, &addr);

	if (rc)
		return rc;
	*dir = open(env->rules_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*dir < 0 && errno != ENOENT)
		return iol_fail(errno, "cannot open %s: %s", env->rules_dir, strerror(errno));
	return 0;
}

int iol_rule_get(void *env, const char *what, char value[IOL_NAME_MAX])
{
	_cleanup_close_ int dir = -1, fd = -1;
	char name[64], text[4096], *key;
	ssize_t n;
	int rc = open_rules(env, what, &dir);

	*value = '\0';
	if (rc || dir < 0)
		return rc;
	rule_name(name, what);
	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return 0;
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return iol_fail(errno, "cannot read the udev rule %s: %s", name, strerror(errno));
	text[n] = '\0';
	key = strstr(text, RULE_KEY);
	if (!key || sscanf(key + strlen(RULE_KEY), "%63[^\"]", value) != 1 ||
	    !iol_driver_name(value))
		return iol_fail(EBADMSG, "%s/%s is no rule of ours: remove it by hand",
				((const struct bind_env *)env)->rules_dir, name);
	return 0;
}

/* The way to a function from the root complex. It stays the same when buses elsewhere are numbered anew. */
static int device_way(const struct iol_host *host, const char *what, char way[HOST_PATH_MAX])
{
	char target[HOST_PATH_MAX];
	const char *p = NULL;
	int rc = iol_host_target(host, target, sizeof(target), "sys/bus/pci/devices/%s", what);

	if (rc >= 0)
		p = strstr(target, "/devices/");
	if (!p ||
	    p[strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:._/-")])
		return iol_fail(ENODEV, "cannot tell where in /sys/devices %s is", what);
	strcpy(way, p);
	return 0;
}

static int write_rule(const struct bind_env *env, int dir, const char *name, const char *what,
		      const char *driver)
{
	char way[HOST_PATH_MAX], temporary[80], text[2048];
	_cleanup_close_ int fd = -1;
	int rc = device_way(env->host, what, way), len;

	if (rc)
		return rc;
	/* A driver that is built into the kernel, or was loaded before, has it by now: the last line takes it from it. */
	len = snprintf(text, sizeof(text),
		       "# Written by iolane bind --persist; iolane unbind %s removes it.\n"
		       "ACTION==\"add\", SUBSYSTEM==\"pci\", DEVPATH==\"%s\", "
		       "ATTR{driver_override}=\"%s\", RUN{builtin}+=\"kmod load %s\", "
		       "RUN+=\"/bin/sh -c 'cd /sys/bus/pci; test -e drivers/%s/%s || { "
		       "echo %s >devices/%s/driver/unbind; echo %s >drivers_probe; }'\"\n",
		       what, way, driver, driver, driver, what, what, what, what);
	if (len < 0 || len >= (int)sizeof(text))
		return iol_fail(ENAMETOOLONG, "the udev rule of %s would be too long", what);
	/* udev reads no file whose name does not end in .rules. */
	snprintf(temporary, sizeof(temporary), "%s.new", name);
	fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0 || write(fd, text, (size_t)len) != len || fsync(fd) < 0 ||
	    renameat(dir, temporary, dir, name) < 0 || fsync(dir) < 0)
		return iol_fail(errno, "cannot write the udev rule %s/%s: %s", env->rules_dir, name,
				strerror(errno));
	return 0;
}

int iol_rule_set(void *env, const char *what, const char *value)
{
	const struct bind_env *e = env;
	_cleanup_close_ int dir = -1;
	char name[64];
	int rc = open_rules(e, what, &dir);

	if (rc)
		return rc;
	rule_name(name, what);
	if (dir < 0)
		return *value ? iol_fail(ENOENT,
					 "there is no %s for the rule that would bind %s at the "
					 "next start: install udev, or leave --persist out",
					 e->rules_dir, what)
			      : 0;
	if (*value)
		return iol_driver_name(value)
			       ? write_rule(e, dir, name, what, value)
			       : iol_fail(EINVAL, "\"%s\" is no name of a driver", value);
	if ((unlinkat(dir, name, 0) < 0 && errno != ENOENT) || fsync(dir) < 0)
		return iol_fail(errno, "cannot remove the udev rule %s/%s: %s", e->rules_dir, name,
				strerror(errno));
	return 0;
}
