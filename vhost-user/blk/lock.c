/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/blk/lock.h"

#include <iolane/vhost_user.h>

#include "base/clock.h"
#include "base/error.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* QEMU's block permissions, and where their bytes are: block/file-posix.c there. */
#define PERM_CONSISTENT_READ 0x01u
#define PERM_WRITE           0x02u
#define PERM_RESIZE          0x08u
#define PERM_BITS            4
#define PERM_BASE            100
#define UNSHARED_BASE        200

/* A change of who holds it is seen this soon; two that collide try again at different times. */
#define RETRY_MS 50

static int set_lock(int fd, short type, off_t byte, off_t len)
{
	struct flock fl = {
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = byte,
		.l_len = len,
	};

	return fcntl(fd, F_OFD_SETLK, &fl) < 0 ? -errno : 0;
}

/* Whether another open file holds @byte. */
static int held(int fd, off_t byte)
{
	struct flock fl = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = byte,
		.l_len = 1,
	};

	if (fcntl(fd, F_OFD_GETLK, &fl) < 0)
		return -errno;
	return fl.l_type != F_UNLCK;
}

/* 1 when it is ours, 0 when somebody else's stands in the way, or a negative errno. */
static int try_lock(int fd, unsigned int perm, unsigned int unshared)
{
	unsigned int bit;
	int rc = 0;

	for (bit = 0; bit < PERM_BITS && !rc; bit++) {
		if (perm & 1u << bit)
			rc = set_lock(fd, F_RDLCK, PERM_BASE + bit, 1);
		if (!rc && unshared & 1u << bit)
			rc = set_lock(fd, F_RDLCK, UNSHARED_BASE + bit, 1);
	}
	/* Only after ours are there to be seen: of two at once, one at least sees the other. */
	for (bit = 0; bit < PERM_BITS && !rc; bit++) {
		if (unshared & 1u << bit)
			rc = held(fd, PERM_BASE + bit);
		if (!rc && perm & 1u << bit)
			rc = held(fd, UNSHARED_BASE + bit);
	}
	if (!rc)
		return 1;
	iol_unlock_image(fd);
	return rc > 0 || rc == -EAGAIN || rc == -EACCES ? 0 : rc;
}

void iol_unlock_image(int fd)
{
	set_lock(fd, F_UNLCK, PERM_BASE, PERM_BITS);
	set_lock(fd, F_UNLCK, UNSHARED_BASE, PERM_BITS);
}

/* Whether descriptor @name of a process has a lock: its fdinfo then has a line for it. */
static bool has_lock(const char *pid, const char *name)
{
	char path[300], line[128];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.10s/fdinfo/%.10s", pid, name);
	f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = !strncmp(line, "lock:", 5);
	fclose(f);
	return found;
}

static bool has_locked(const char *pid, const struct stat *image, int own)
{
	char path[64];
	bool found = false;
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.10s/fd", pid);
	dir = opendir(path);
	if (!dir)
		return false;
	while (!found && (e = readdir(dir))) {
		struct stat st;

		found = fstatat(dirfd(dir), e->d_name, &st, 0) == 0 && st.st_dev == image->st_dev &&
			st.st_ino == image->st_ino && atoi(e->d_name) != own &&
			has_lock(pid, e->d_name);
	}
	closedir(dir);
	return found;
}

/*
 * " (process N, NAME)", or nothing when it can't be told. The kernel does not say who holds an OFD
 * lock, so this looks for a process that has the image open and locked.
 */
static const char *holder(int fd, char *buf, size_t len)
{
	char path[64], comm[32] = "";
	struct dirent *e;
	struct stat st;
	DIR *dir;

	buf[0] = '\0';
	dir = opendir("/proc");
	if (!dir)
		return buf;
	while (fstat(fd, &st) == 0 && (e = readdir(dir))) {
		bool self = atoi(e->d_name) == (int)getpid();
		FILE *f;

		if (!isdigit((unsigned char)e->d_name[0]) ||
		    !has_locked(e->d_name, &st, self ? fd : -1))
			continue;
		snprintf(path, sizeof(path), "/proc/%.10s/comm", e->d_name);
		f = fopen(path, "re");
		if (f) {
			if (!fgets(comm, sizeof(comm), f))
				comm[0] = '\0';
			fclose(f);
		}
		comm[strcspn(comm, "\n")] = '\0';
		snprintf(buf, len, " (process %.10s%s%s%s)", e->d_name, comm[0] ? ", " : "", comm,
			 self ? ": this one" : "");
		break;
	}
	closedir(dir);
	return buf;
}

int iol_lock_image(int fd, const char *name, bool write, unsigned int timeout_ms,
		   const struct iol_device *dev)
{
	unsigned int perm = PERM_CONSISTENT_READ;
	unsigned int unshared = PERM_WRITE | PERM_RESIZE;
	uint64_t start = iol_now(), waited = 0;
	char who[96];
	bool told = false;
	int rc;

	if (write)
		perm |= PERM_WRITE | PERM_RESIZE;
	for (;;) {
		rc = try_lock(fd, perm, unshared);
		if (rc < 0)
			return iol_fail(-rc, "can't lock image %s: %s", name, strerror(-rc));
		waited = (iol_now() - start) / IOL_NS_PER_MS;
		if (rc || waited >= timeout_ms || iol_device_ending(dev))
			break;
		if (!told)
			iol_log(IOL_LOG_WARNING,
				"waiting up to %u ms for the lock of image %s, which another "
				"process%s holds",
				timeout_ms, name, holder(fd, who, sizeof(who)));
		told = true;
		poll(NULL, 0, RETRY_MS + (int)(getpid() % 16));
	}
	if (!rc)
		return iol_fail(
			EBUSY,
			"image %s is locked%s after %u ms: another process%s has it open for "
			"%s; stop that one first",
			name, told ? " still" : "", timeout_ms, holder(fd, who, sizeof(who)),
			write ? "use" : "writing");
	if (told)
		iol_log(IOL_LOG_INFO, "got the lock of image %s after %u ms", name,
			(unsigned int)waited);
	return 0;
}
