/* SPDX-License-Identifier: BSD-3-Clause */
/* What is noted of VFs: labels, leases. A VF lives as long as its host runs, and so does the note: a file each in /run. */
#include "sriov/store.h"

#include "base/error.h"
#include "base/own.h"
#include "vfio/host.h"
#include "vfio/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* "0000:01:00.0/vf3" is kept in the file "0000:01:00.0,vf3". */
static int note_path(const char *dir, const char *folder, const char *vf, char *path, size_t len)
{
	char pf[IOL_NAME_MAX];
	unsigned int index;
	int rc = iol_vf_name_parse(vf, pf, &index);

	if (!rc && pf[0] == '.')
		rc = iol_fail(EINVAL, "\"%s\" names no VF", vf);
	if (!rc && (size_t)snprintf(path, len, "%s/%s/%s,vf%u", dir, folder, pf, index) >= len)
		rc = iol_fail(ENAMETOOLONG, "the path of a note of %s is too long", vf);
	return rc;
}

int iol_store_get(const struct iol_host *host, const char *dir, const char *folder, const char *vf,
		  char *text, size_t len)
{
	char path[STORE_PATH_MAX];
	int rc = note_path(dir, folder, vf, path, sizeof(path));

	text[0] = '\0';
	if (rc)
		return rc;
	rc = iol_host_read_bytes(host, text, len - 1, 0, "%s", path);
	if (rc > 0)
		text[rc] = '\0';
	/* Who may not look is told of none. */
	if (rc >= 0 || rc == -ENOENT || rc == -EACCES)
		return 0;
	return iol_fail(-rc, "cannot read %s: %s", path, strerror(-rc));
}

static int put(const char *path, const char *text)
{
	_cleanup_close_ int fd = -1;
	char new[STORE_PATH_MAX + 8];
	ssize_t n;

	/* There as a whole or not at all. */
	snprintf(new, sizeof(new), "%s.new", path);
	fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	n = fd < 0 ? -1 : write(fd, text, strlen(text));
	return n < 0 || fsync(fd) < 0 || rename(new, path) < 0 ? -errno : 0;
}

int iol_store_set(const char *dir, const char *folder, const char *vf, const char *text)
{
	char path[STORE_PATH_MAX], parent[STORE_PATH_MAX];
	int rc = note_path(dir, folder, vf, path, sizeof(path));

	if (rc)
		return rc;
	snprintf(parent, sizeof(parent), "%s/%s", dir, folder);
	if (!*text)
		rc = unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	else if (mkdir(parent, 0755) < 0 && errno != EEXIST)
		rc = -errno;
	else
		rc = put(path, text);
	return rc ? iol_fail(-rc, "cannot write %s: %s", path, strerror(-rc)) : 0;
}

/* The first lines of notes of a PF's VFs. */
static int first_lines(const struct iol_host *host, const struct iol_pf *pf, const char *state_dir,
		       const char *folder, unsigned int count, char (**lines)[IOL_NAME_MAX])
{
	char(*list)[IOL_NAME_MAX] = calloc(count + 1, sizeof(*list)), vf[IOL_NAME_MAX + 16];
	unsigned int i;
	int rc = 0;

	if (!list)
		return iol_fail(ENOMEM, "no memory for the %s of %s", folder, pf->name);
	for (i = 0; !rc && i < count; i++) {
		snprintf(vf, sizeof(vf), "%s/vf%u", pf->name, i);
		rc = iol_store_get(host, state_dir ? state_dir : IOL_STATE_DIR, folder, vf, list[i],
				   sizeof(list[i]));
		list[i][strcspn(list[i], "\n")] = '\0';
	}
	if (rc) {
		free(list);
		return rc;
	}
	*lines = list;
	return 0;
}

int iol_vf_labels(const struct iol_host *host, const struct iol_pf *pf, const char *state_dir,
		  unsigned int count, char (**labels)[IOL_NAME_MAX])
{
	return first_lines(host, pf, state_dir, STORE_LABELS, count, labels);
}

int iol_vf_holders(const struct iol_host *host, const struct iol_pf *pf, const char *state_dir,
		   unsigned int count, char (**holders)[IOL_NAME_MAX])
{
	return first_lines(host, pf, state_dir, STORE_LEASES, count, holders);
}
