/* SPDX-License-Identifier: BSD-3-Clause */
/* Steps on udev rules: a file a function, found by its address, keyed on the way to it. */
#include "vfio/bind.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define RULE_MAX 4096

/* Behind it, what the rule does, as a step's value: a driver, and "UID:GID" if nodes have an owner, and "iommufd". */
#define MARK "# iolane: "

/* udev's own OWNER is for system users only (systemd 258). */
#define GIVE "MODE=\"0600\", RUN+=\"/bin/sh -c 'chown %u:%u $devnode'\"\n"

struct rule {
	char driver[IOL_NAME_MAX];
	bool owned, iommufd;
	unsigned int uid, gid;
};

static int read_value(const char *value, struct rule *rule)
{
	int driver = 0, owner = 0;
	const char *rest;

	*rule = (struct rule){ 0 };
	if (sscanf(value, "%63s%n %9u:%9u%n", rule->driver, &driver, &rule->uid, &rule->gid,
		   &owner) < 1 ||
	    !iol_driver_name(rule->driver))
		return -EINVAL;
	rule->owned = owner > 0;
	rest = value + (owner ? owner : driver);
	rule->iommufd = rule->owned && !strcmp(rest, " iommufd");
	return rule->iommufd || !*rest ? 0 : -EINVAL;
}

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
	char name[64], text[4096], *mark;
	struct rule rule;
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
	mark = strstr(text, MARK);
	if (!mark || sscanf(mark + strlen(MARK), "%63[^\n]", value) != 1 ||
	    read_value(value, &rule))
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

static int rule_text(const char *what, const char *way, const char *value, const struct rule *rule,
		     char text[RULE_MAX])
{
	const char *driver = rule->driver;
	size_t n;

	/* A driver that is built into the kernel, or was loaded before, has it by now: the last line takes it from it. */
	n = (size_t)snprintf(
		text, RULE_MAX,
		"# Written by iolane bind --persist; iolane unbind %s removes it.\n" MARK "%s\n"
		"ACTION==\"add\", SUBSYSTEM==\"pci\", DEVPATH==\"%s\", "
		"ATTR{driver_override}=\"%s\", RUN{builtin}+=\"kmod load %s\", "
		"RUN+=\"/bin/sh -c 'cd /sys/bus/pci; test -e drivers/%s/%s || { "
		"echo %s >devices/%s/driver/unbind; echo %s >drivers_probe; }'\"\n",
		what, value, way, driver, driver, driver, what, what, what, what);
	/* Groups have numbers of their own at each start, and their nodes are nowhere near the device. */
	if (rule->owned && n < RULE_MAX)
		n += (size_t)snprintf(text + n, RULE_MAX - n,
				      "ACTION==\"add\", SUBSYSTEM==\"vfio-dev\", "
				      "DEVPATH==\"%s/vfio-dev/*\", " GIVE
				      "ACTION==\"add\", SUBSYSTEM==\"vfio\", TEST==\"/sys%s\", "
				      "TEST==\"/sys/kernel/iommu_groups/%%k/devices/%s\", " GIVE,
				      way, rule->uid, rule->gid, way, what, rule->uid, rule->gid);
	if (rule->iommufd && n < RULE_MAX)
		n += (size_t)snprintf(text + n, RULE_MAX - n,
				      "ACTION==\"add\", SUBSYSTEM==\"misc\", "
				      "KERNEL==\"iommu\", " GIVE,
				      rule->uid, rule->gid);
	if (n >= RULE_MAX)
		return iol_fail(ENAMETOOLONG, "the udev rule of %s would be too long", what);
	return (int)n;
}

static int write_rule(const struct bind_env *env, int dir, const char *name, const char *what,
		      const char *value)
{
	char way[HOST_PATH_MAX], temporary[80], text[RULE_MAX];
	_cleanup_close_ int fd = -1;
	struct rule rule;
	int rc, len;

	if (read_value(value, &rule))
		return iol_fail(EINVAL, "\"%s\" is no driver, with an owner of its nodes", value);
	rc = device_way(env->host, what, way);
	len = rc ? rc : rule_text(what, way, value, &rule, text);
	if (len < 0)
		return len;
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
		return write_rule(e, dir, name, what, value);
	if ((unlinkat(dir, name, 0) < 0 && errno != ENOENT) || fsync(dir) < 0)
		return iol_fail(errno, "cannot remove the udev rule %s/%s: %s", e->rules_dir, name,
				strerror(errno));
	return 0;
}
