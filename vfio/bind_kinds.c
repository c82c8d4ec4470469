/* SPDX-License-Identifier: BSD-3-Clause */
/* Steps on drivers. */
#include "vfio/bind.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/host.h"
#include "vfio/uses.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define DEVICES "sys/bus/pci/devices"
#define DRIVERS "sys/bus/pci/drivers"

/* How often a driver is tried, and how long between two tries. */
#define TRIES    100
#define PAUSE_MS 100

bool iol_driver_name(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

	/* What begins with "-" would be an option of modprobe's. */
	return n && !name[n] && n < IOL_NAME_MAX && name[0] != '-';
}

/* -ENODEV without a sentence when the function is not there; -EINVAL with one when @what is none. */
static int function(const struct iol_host *host, const char *what)
{
	struct iol_pci_addr addr;
	char text[IOL_PCI_ADDR_MAX];
	int rc = iol_pci_addr_parse(what, &addr);

	if (rc)
		return rc;
	if (strcmp(iol_pci_addr_format(&addr, text), what) != 0)
		return iol_fail(EINVAL, "%s is not how %s is written", what, text);
	return iol_host_exists(host, DEVICES "/%s", what) ? 0 : -ENODEV;
}

static int driver_get(void *env, const char *what, char value[IOL_NAME_MAX])
{
	const struct iol_host *host = ((const struct bind_env *)env)->host;
	int rc = function(host, what);

	if (rc)
		return rc;
	rc = iol_host_link(host, value, IOL_NAME_MAX, DEVICES "/%s/driver", what);
	if (rc == -ENOENT)
		*value = '\0';
	else if (rc < 0)
		return iol_fail(-rc, "cannot tell the driver of %s: %s", what, strerror(-rc));
	return 0;
}

/* The kernel would wait for whoever has it, and everybody who asks for the device behind it. */
static int hold(const struct iol_host *host, const char *what)
{
	struct iol_pci_addr addr;
	struct iol_pci_info info;
	int rc = iol_pci_addr_parse(what, &addr);

	if (!rc)
		rc = iol_pci_info(host, &addr, &info);
	if (rc)
		return rc;
	rc = iol_vfio_claim(host, &info);
	return rc == -EBUSY ? iol_fail(EBUSY,
				       "cannot take %s from its driver %s: somebody has opened it "
				       "meanwhile; end that first (iolane show %s)",
				       what, info.driver, what)
			    : rc;
}

static int release(const struct iol_host *host, const char *what, const char *driver)
{
	_cleanup_close_ int held = iol_is_vfio(driver) ? hold(host, what) : -1;
	int rc;

	if (held == -EBUSY)
		return held;
	rc = iol_host_write(host, what, DRIVERS "/%s/unbind", driver);
	/* It, or the driver, may have gone by itself. */
	if (rc && rc != -ENODEV && rc != -ENOENT)
		return iol_fail(-rc, "cannot take %s from its driver %s: %s%s", what, driver,
				strerror(-rc), rc == -EACCES ? "; run it as root" : "");
	return 0;
}

static int load(const char *driver)
{
	char name[] = "modprobe", path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	char word[IOL_NAME_MAX], *argv[] = { name, word, NULL }, *envp[] = { path, NULL };
	posix_spawn_file_actions_t actions;
	int rc, status;
	pid_t pid;

	if (!iol_driver_name(driver))
		return iol_fail(ENOENT,
				"there is no PCI driver \"%s\" (any more), and no module has such "
				"a name: load the one that it is in",
				driver);
	strcpy(word, driver);
	rc = posix_spawn_file_actions_init(&actions);
	if (rc)
		return iol_fail(rc, "cannot start modprobe: %s", strerror(rc));
	/* A library does not print, and what it starts does not either. */
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
	posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDERR_FILENO);
	rc = posix_spawn(&pid, "/sbin/modprobe", &actions, NULL, argv, envp);
	if (rc == ENOENT)
		rc = posix_spawnp(&pid, name, &actions, NULL, argv, envp);
	posix_spawn_file_actions_destroy(&actions);
	if (rc)
		return iol_fail(rc,
				"cannot load the driver %s, as modprobe can't be started: %s; load "
				"it another way first, or build it into the kernel",
				driver, strerror(rc));
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return iol_fail(errno, "lost sight of modprobe: %s", strerror(errno));
	}
	if (status)
		return iol_fail(ENOENT,
				"cannot load the driver %s: modprobe failed; modprobe %s says why",
				driver, driver);
	return 0;
}

static int module_get(void *env, const char *what, char value[IOL_NAME_MAX])
{
	const struct iol_host *host = ((const struct bind_env *)env)->host;

	if (!iol_driver_name(what))
		return iol_fail(EINVAL, "\"%s\" is no name of a driver", what);
	strcpy(value, iol_host_exists(host, DRIVERS "/%s", what) ? "loaded" : "");
	return 0;
}

static int module_set(void *env, const char *what, const char *value)
{
	char now[IOL_NAME_MAX];
	int rc = load(what);

	if (!rc)
		rc = module_get(env, what, now);
	if (!rc && !now[0])
		rc = iol_fail(ENOENT,
			      "modprobe loaded the module %s, but no PCI driver of that name came",
			      what);
	return rc;
}

/* Ask for one driver, or for any. Return: 0 or a negative errno without a sentence. */
static int probe(const struct iol_host *host, const char *what, const char *driver)
{
	if (!strcmp(driver, ANY_DRIVER))
		return iol_host_write(host, what, "sys/bus/pci/drivers_probe");
	return iol_host_write(host, what, DRIVERS "/%s/bind", driver);
}

/*
 * A driver that is loaded at this moment, or udev, may have been quicker than we: what it took is taken from it again.
 * Drivers may also ask to be tried later (EAGAIN).
 */
static int driver_set(void *env, const char *what, const char *value)
{
	const struct iol_host *host = ((const struct bind_env *)env)->host;
	bool any = !strcmp(value, ANY_DRIVER);
	char now[IOL_NAME_MAX];
	int rc = 0, err = 0, tries;

	/* What was there before may have any name that a folder can have. */
	if (strchr(value, '/') || value[0] == '.')
		return iol_fail(EINVAL, "\"%s\" is no name of a driver", value);
	if (*value && !any && !iol_host_exists(host, DRIVERS "/%s", value)) {
		rc = load(value);
		if (rc)
			return rc;
	}
	for (tries = 0; tries < TRIES; tries++) {
		if (tries)
			poll(NULL, 0, PAUSE_MS);
		rc = driver_get(env, what, now);
		if (rc == -ENODEV)
			return iol_fail(ENODEV, "%s has gone", what);
		if (rc)
			return rc;
		if (!strcmp(now, value) || (any && now[0]))
			return 0;
		if (now[0]) {
			rc = release(host, what, now);
			if (rc)
				return rc;
		}
		if (*value) {
			err = probe(host, what, value);
			/* No driver at all is an answer, too. */
			if (!err && any)
				return 0;
			if (err && err != -EBUSY && err != -EAGAIN)
				break;
		}
		/* Seen at once, or another was quicker. */
		rc = driver_get(env, what, now);
		if (!rc && !strcmp(now, value))
			return 0;
	}
	if (!*value)
		return iol_fail(EBUSY, "cannot keep drivers off %s: %s takes it again and again",
				what, now);
	return iol_fail(err ? -err : EBUSY,
			"the driver %s does not take %s: %s; dmesg may say more", value, what,
			err ? strerror(-err) : "it was asked, and has not");
}

static int override_get(void *env, const char *what, char value[IOL_NAME_MAX])
{
	const struct iol_host *host = ((const struct bind_env *)env)->host;
	int rc = function(host, what);

	if (rc)
		return rc;
	rc = iol_host_read(host, value, IOL_NAME_MAX, DEVICES "/%s/driver_override", what);
	if (rc < 0)
		return iol_fail(-rc, "cannot read driver_override of %s: %s", what, strerror(-rc));
	if (rc >= IOL_NAME_MAX - 1)
		return iol_fail(ENAMETOOLONG,
				"driver_override of %s is longer than a driver's name can be: "
				"clear it first",
				what);
	if (!strcmp(value, "(null)"))
		*value = '\0';
	return 0;
}

static int override_set(void *env, const char *what, const char *value)
{
	const struct iol_host *host = ((const struct bind_env *)env)->host;
	char now[IOL_NAME_MAX];
	int rc;

	/* An empty line clears it. */
	rc = iol_host_write(host, *value ? value : "\n", DEVICES "/%s/driver_override", what);
	if (rc)
		return iol_fail(-rc, "cannot write \"%s\" to driver_override of %s: %s%s", value,
				what, strerror(-rc), rc == -EACCES ? "; run it as root" : "");
	rc = override_get(env, what, now);
	if (!rc && strcmp(now, value) != 0)
		rc = iol_fail(EBUSY,
			      "driver_override of %s is \"%s\", right after \"%s\" was written: "
			      "something else changes it, such as a udev rule",
			      what, now, value);
	return rc;
}

static const struct iol_step_kind kinds[] = {
	{ STEP_DRIVER, driver_get, driver_set, false },
	{ STEP_OVERRIDE, override_get, override_set, false },
	{ STEP_MODULE, module_get, module_set, true },
	{ STEP_DEVICE_NODE, iol_node_get, iol_node_set, .goes = true },
	{ STEP_NODE, iol_node_get, iol_node_set, .goes = true },
	{ STEP_RULE, iol_rule_get, iol_rule_set, false },
	{ 0 },
};

struct iol_engine iol_bind_engine(struct bind_env *env, const struct iol_host *host,
				  const struct iol_change_opts *opts)
{
	env->host = host;
	env->rules_dir = opts->rules_dir ? opts->rules_dir : "/etc/udev/rules.d";
	return (struct iol_engine){ .kinds = kinds, .env = env, .opts = opts };
}
