/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio/journal.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/flock.h"
#include "base/own.h"
#include "vfio/host.h"
#include "vfio/journal_text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LOCK_WAIT_MS 10000
/* All that can be written can be read: a line a step, and three short ones of its marks. */
#define FILE_MAX (2l * JOURNAL_STEPS * JOURNAL_LINE_MAX)

/* Everybody who may write there could have any device bound to any driver. */
static int check_dir(const char *dir, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return iol_fail(errno, "cannot look at %s: %s", dir, strerror(errno));
	if (st.st_uid != geteuid() || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return iol_fail(EPERM,
				"the journal in %s is not ours alone (owner %u, mode %04o): remove "
				"it, or make it ours with mode 0700",
				dir, st.st_uid, st.st_mode & 07777);
	return 0;
}

static int lock(struct iol_journal *j)
{
	int rc;

	j->lock_fd = openat(j->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (j->lock_fd < 0)
		return iol_fail(errno, "cannot open %s/lock: %s", j->dir, strerror(errno));
	rc = iol_flock(j->lock_fd, LOCK_WAIT_MS);
	if (rc == -EWOULDBLOCK)
		return iol_fail(EBUSY,
				"another process has been changing devices for 10 s (it "
				"holds %s/lock): wait for it, or end it and run iolane undo",
				j->dir);
	if (rc < 0)
		return iol_fail(-rc, "cannot lock %s/lock: %s", j->dir, strerror(-rc));
	return 0;
}

int iol_journal_open(const struct iol_host *host, const char *dir, struct iol_journal *j)
{
	int rc;

	if (!dir)
		dir = IOL_STATE_DIR;
	if (snprintf(j->dir, sizeof(j->dir), "%s", dir) >= (int)sizeof(j->dir))
		return iol_fail(ENAMETOOLONG, "the journal's path is too long: %s", dir);
	if (iol_host_read(host, j->boot, sizeof(j->boot), "proc/sys/kernel/random/boot_id") <= 0 ||
	    j->boot[strspn(j->boot, "0123456789abcdef-")])
		return iol_fail(ENOENT, "cannot read which boot this is from "
					"/proc/sys/kernel/random/boot_id: mount /proc");
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return iol_fail(errno, "cannot make %s for the journal: %s%s", dir, strerror(errno),
				errno == EACCES ? "; run it as root" : "");
	j->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (j->dir_fd < 0)
		return iol_fail(errno, "cannot open the journal in %s: %s%s", dir, strerror(errno),
				errno == EACCES ? "; run it as root" : "");
	rc = check_dir(dir, j->dir_fd);
	return rc ? rc : lock(j);
}

void iol_journal_close(struct iol_journal *j)
{
	iol_close(&j->dir_fd);
	iol_close(&j->lock_fd);
}

static void file_name(char name[32], unsigned int number)
{
	snprintf(name, 32, "change-%010u", number);
}

/* The largest number below @before, 0 for none. Other files are no entries. */
static int newest(struct iol_journal *j, unsigned int before, unsigned int *number)
{
	_cleanup_dir_ DIR *dir = NULL;
	const struct dirent *entry;
	int fd;

	*number = 0;
	fd = openat(j->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int err = errno;

		iol_close(&fd);
		return iol_fail(err, "cannot list the journal in %s: %s", j->dir, strerror(err));
	}
	while ((entry = readdir(dir))) {
		char name[32];
		unsigned int n;

		if (sscanf(entry->d_name, "change-%10u", &n) != 1 || n >= before || n <= *number)
			continue;
		file_name(name, n);
		if (!strcmp(name, entry->d_name))
			*number = n;
	}
	return 0;
}

static int write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* Under another name first: an entry is there as a whole or not at all. */
static int put_file(struct iol_journal *j, const char *name, const char *text, int *fd)
{
	int rc;

	*fd = openat(j->dir_fd, "new",
		     O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*fd < 0)
		return -errno;
	rc = write_all(*fd, text, strlen(text));
	if (!rc && renameat(j->dir_fd, "new", j->dir_fd, name) < 0)
		rc = -errno;
	if (!rc && fsync(j->dir_fd) < 0)
		rc = -errno;
	return rc;
}

int iol_journal_add(struct iol_journal *j, const char *verb, const struct iol_step *steps,
		    unsigned int count, struct iol_entry **entry)
{
	_cleanup_entry_ struct iol_entry *e = iol_entry_new(count);
	_cleanup_free_ char *text = NULL;
	char name[32];
	int rc;

	if (count > JOURNAL_STEPS)
		return iol_fail(E2BIG,
				"%u steps are too many for one change, %u at most: change fewer "
				"VFs at a time",
				count, JOURNAL_STEPS);
	if (!e)
		return iol_fail(ENOMEM, "no memory for the journal");
	snprintf(e->verb, sizeof(e->verb), "%s", verb);
	memcpy(e->steps, steps, count * sizeof(*steps));
	rc = newest(j, UINT_MAX, &e->number);
	if (rc)
		return rc;
	if (e->number >= UINT_MAX - 1)
		return iol_fail(EOVERFLOW, "the journal in %s has no number left: undo its changes",
				j->dir);
	file_name(name, ++e->number);
	text = iol_entry_text(e, j->boot);
	if (!text)
		return iol_fail(ENOMEM, "no memory for the journal");
	rc = put_file(j, name, text, &e->fd);
	if (rc)
		return iol_fail(-rc, "cannot write the journal %s/%s: %s", j->dir, name,
				strerror(-rc));
	*entry = iol_take_ptr(e);
	return 0;
}

int iol_journal_mark(struct iol_entry *entry, unsigned int step, enum iol_step_mark mark)
{
	char line[JOURNAL_LINE_MAX];
	struct stat st;
	int rc;

	iol_entry_mark_text(entry, step, mark, line);
	rc = fstat(entry->fd, &st) < 0 ? -errno : write_all(entry->fd, line, strlen(line));
	if (rc) {
		/* Half a line would spoil the next one. */
		if (ftruncate(entry->fd, st.st_size) < 0)
			rc = -errno;
		return iol_fail(-rc, "cannot write on in the journal of change %u: %s",
				entry->number, strerror(-rc));
	}
	entry->marks[step] = mark;
	return 0;
}

/* The text of an entry; *@fd appends to it. What a crash left of a last line goes. */
static int get_file(struct iol_journal *j, const char *name, int *fd, char **text)
{
	_cleanup_free_ char *t = NULL;
	struct stat st;
	size_t len = 0;

	*fd = openat(j->dir_fd, name, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (*fd < 0 || fstat(*fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_size > FILE_MAX)
		return -EBADMSG;
	t = malloc((size_t)st.st_size + 1);
	if (!t)
		return -ENOMEM;
	while (len < (size_t)st.st_size) {
		ssize_t n = pread(*fd, t + len, (size_t)st.st_size - len, (off_t)len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		len += (size_t)n;
	}
	while (len && t[len - 1] != '\n')
		len--;
	t[len] = '\0';
	if (ftruncate(*fd, (off_t)len) < 0)
		return -errno;
	*text = iol_take_ptr(t);
	return 0;
}

static int load(struct iol_journal *j, unsigned int number, struct iol_entry **entry)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int fd = -1;
	unsigned int line = 0;
	char name[32];
	int rc;

	file_name(name, number);
	rc = get_file(j, name, &fd, &text);
	if (!rc)
		rc = iol_entry_parse(text, j->boot, entry, &line);
	if (rc == -ESTALE)
		return rc;
	if (rc == -EBADMSG)
		return iol_fail(EBADMSG,
				"the journal %s/%s is damaged in line %u: see what it says of "
				"drivers, put them back by hand, and remove it",
				j->dir, name, line);
	if (rc)
		return iol_fail(-rc, "cannot read the journal %s/%s: %s", j->dir, name,
				strerror(-rc));
	(*entry)->number = number;
	(*entry)->fd = iol_take_fd(&fd);
	return 0;
}

static int remove_file(struct iol_journal *j, unsigned int number)
{
	char name[32];

	file_name(name, number);
	if (unlinkat(j->dir_fd, name, 0) < 0 || fsync(j->dir_fd) < 0)
		return iol_fail(errno, "cannot remove the journal %s/%s: %s", j->dir, name,
				strerror(errno));
	return 0;
}

int iol_journal_before(struct iol_journal *j, unsigned int before, struct iol_entry **entry)
{
	int rc;

	for (;;) {
		rc = newest(j, before, &before);
		if (rc)
			return rc;
		if (!before)
			return -ENOENT;
		rc = load(j, before, entry);
		if (rc != -ESTALE)
			return rc;
		iol_log(IOL_LOG_INFO, "change %u was made before the host started: forgotten",
			before);
		rc = remove_file(j, before);
		if (rc)
			return rc;
	}
}

int iol_journal_remove(struct iol_journal *j, const struct iol_entry *entry)
{
	return remove_file(j, entry->number);
}
