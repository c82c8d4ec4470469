/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * KVM's statistics. Its ioctls for them answer the VMM's process only, so they are read where it tells them to
 * administrators: debugfs has a folder THREAD-DESCRIPTOR for each VM, named by who made it.
 */
#include "vmm.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *const vmm_stat_names[VMM_STATS] = {
	[VMM_STAT_EXITS] = "exits",
	[VMM_STAT_IO] = "io_exits",
	[VMM_STAT_MMIO] = "mmio_exits",
	[VMM_STAT_SIGNAL] = "signal_exits",
	[VMM_STAT_WINDOW] = "request_irq_exits",
	[VMM_STAT_HALT] = "halt_exits",
	[VMM_STAT_IRQ] = "irq_exits",
};

static void closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* A number and the end of the line, as the kernel writes them. */
static int read_number(int folder, const char *name, uint64_t *v)
{
	_cleanup_close_ int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	char text[32], *end;
	ssize_t n;

	*v = 0;
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	errno = 0;
	*v = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || errno || strcmp(end, "\n") != 0)
		return -EBADMSG;
	return 0;
}

static int add_vm(int folder, const char *name, struct vmm_counts *counts)
{
	uint64_t v;

	for (unsigned int i = 0; i < VMM_STATS; i++) {
		int rc = read_number(folder, vmm_stat_names[i], &v);

		if (rc == -EBADMSG)
			return iol_fail(EBADMSG, "KVM's %s of the VM %s are no number",
					vmm_stat_names[i], name);
		if (rc)
			return iol_fail(-rc, "cannot read KVM's %s of the VM %s: %s",
					vmm_stat_names[i], name, strerror(-rc));
		counts->of[i] += v;
	}
	return 0;
}

/* Whether a thread of @pid made this VM. */
static bool made_by(const char *name, pid_t pid)
{
	char path[64], *end;
	long thread = strtol(name, &end, 10);
	struct stat st;

	if (name[0] < '0' || name[0] > '9' || *end != '-')
		return false;
	snprintf(path, sizeof(path), "/proc/%d/task/%ld", (int)pid, thread);
	return !stat(path, &st);
}

int vmm_counts_read(const char *root, pid_t pid, struct vmm_counts *counts)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	const struct dirent *entry;
	unsigned int found = 0;
	char path[PATH_MAX];
	int rc;

	*counts = (struct vmm_counts){ .at = iol_now() };
	snprintf(path, sizeof(path), "%s/kvm", root);
	dir = opendir(path);
	if (!dir)
		return iol_fail(errno,
				"cannot read KVM's statistics in %s: %s; --exits needs root and "
				"debugfs (mount -t debugfs debugfs %s)",
				path, strerror(errno), root);
	while ((entry = readdir(dir))) {
		_cleanup_close_ int folder = -1;

		if (!made_by(entry->d_name, pid))
			continue;
		folder = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (folder < 0)
			return iol_fail(errno, "cannot read KVM's statistics in %s/%s: %s", path,
					entry->d_name, strerror(errno));
		rc = add_vm(folder, entry->d_name, counts);
		if (rc)
			return rc;
		found++;
	}
	if (!found)
		return iol_fail(ENOENT, "%s has no VM of process %d", path, (int)pid);
	return 0;
}
