/* SPDX-License-Identifier: BSD-3-Clause */
/* "iolane bind". */
#include "base/error.h"
#include "change.h"
#include "tools/common/prog.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>

enum { DRIVER = CHANGE_OWN, WITH_GROUP, USER, IOMMUFD, PERSIST };

static struct iol_bind_opts bind_opts;

static int find_user(const char *name)
{
	const struct passwd *user;

	errno = 0;
	user = getpwnam(name);
	if (!user)
		return iol_fail(errno ? errno : EINVAL, "there is no user %s%s%s", name,
				errno ? ": " : "", errno ? strerror(errno) : "");
	bind_opts.uid = user->pw_uid;
	bind_opts.gid = user->pw_gid;
	bind_opts.owned = true;
	return 0;
}

static int bind_option(int id, const char *value)
{
	switch (id) {
	case DRIVER:
		bind_opts.driver = value;
		return 0;
	case WITH_GROUP:
		bind_opts.with_group = true;
		return 0;
	case USER:
		return find_user(value);
	case IOMMUFD:
		bind_opts.iommufd = true;
		return 0;
	case PERSIST:
		bind_opts.persist = true;
		return 0;
	default:
		return change_option(id, value);
	}
}

static int run_bind(const struct verb_args *a)
{
	_cleanup_change_ struct change c = { 0 };
	int status;

	if (bind_opts.iommufd && !bind_opts.owned) {
		iol_fail(EINVAL, "--iommufd says what --user is to have: give that, too");
		return prog_usage();
	}
	status = change_begin(a, true, &c);
	if (status)
		return status;
	bind_opts.change = c.opts;
	return change_report(&c, iol_bind(c.host, c.addrs, c.count, &bind_opts));
}

static const struct opt opts[] = {
	{ "driver", "NAME", DRIVER },
	{ "with-group", NULL, WITH_GROUP },
	{ "user", "NAME", USER },
	{ "iommufd", NULL, IOMMUFD },
	{ "persist", NULL, PERSIST },
	CHANGE_OPTS,
	HOST_OPTS,
	{ 0 },
};

const struct verb host_bind = {
	.name = "bind",
	.help = "Usage: iolane bind DEV... [OPTION]...\n"
		"Take devices from their drivers and give them to vfio-pci: all, or on failure\n"
		"none. DEV is an address, a network interface, an NVMe device or PF/vf0. It is\n"
		"refused while it would cut somebody off or a VF is leased. iolane unbind gives\n"
		"them back, iolane undo takes it back.\n"
		"\n"
		"  --driver=NAME   to another driver than vfio-pci\n"
		"  --with-group    also what else is in their IOMMU groups, but bridges\n"
		"  --user=NAME     give the nodes in /dev/vfio to somebody\n"
		"  --iommufd       and /dev/iommu, which is one for all devices\n"
		"  --persist       also after the next start, by a udev rule\n" CHANGE_OPTS_HELP
			HOST_OPTS_HELP,
	.opts = opts,
	.many = true,
	.option = bind_option,
	.run = run_bind,
};
