/* SPDX-License-Identifier: BSD-3-Clause */
/* Names that people give to VFs. A VF lives as long as its host runs, and so does its name: a file each in /run. */
#include "sriov/apply.h"

#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* "0000:01:00.0/vf3" is kept in the file "0000:01:00.0,vf3". */
static int label_path(const char *dir, const char *what, char *path, size_t len)
{
	char pf[IOL_NAME_MAX];
	unsigned int index;
	int rc = iol_vf_name_parse(what, pf, &index);

	if (!rc && (size_t)snprintf(path, len, "%s/labels/%s,vf%u", dir, pf, index) >= len)
		rc = iol_fail(ENAMETOOLONG, "the path of the label of %s is too long", what);
	return rc;
}

int iol_label_get(const char *dir, const char *what, char value[IOL_NAME_MAX])
{
	_cleanup_close_ int fd = -1;
	char path[512];
	ssize_t n;
	int rc = label_path(dir, what, path, sizeof(path));

	value[0] = '\0';
	if (rc)
		return rc;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return 0;
	n = fd < 0 ? -1 : read(fd, value, IOL_NAME_MAX - 1);
	if (n < 0)
		return iol_fail(errno, "cannot read the label of %s (%s): %s", what, path,
				strerror(errno));
	value[n] = '\0';
	return 0;
}

static int write_label(const char *path, const char *value)
{
	_cleanup_close_ int fd = -1;
	char new[520];
	ssize_t n;

	snprintf(new, sizeof(new), "%s.new", path);
	fd = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	n = fd < 0 ? -1 : write(fd, value, strlen(value));
	return n < 0 || rename(new, path) < 0 ? -errno : 0;
}

int iol_label_set(const char *dir, const char *what, const char *value)
{
	char path[512], folder[512];
	int rc = label_path(dir, what, path, sizeof(path));

	if (rc)
		return rc;
	snprintf(folder, sizeof(folder), "%s/labels", dir);
	if (!*value)
		rc = unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	else if (mkdir(folder, 0755) < 0 && errno != EEXIST)
		rc = -errno;
	else
		rc = write_label(path, value);
	return rc ? iol_fail(-rc, "cannot write the label of %s (%s): %s", what, path,
			     strerror(-rc))
		  : 0;
}

int iol_vf_labels(const struct iol_pf *pf, const char *state_dir, unsigned int count,
		  char (**labels)[IOL_NAME_MAX])
{
	char(*list)[IOL_NAME_MAX] = calloc(count + 1, sizeof(*list)), what[IOL_NAME_MAX + 16];
	unsigned int i;
	int rc = 0;

	if (!list)
		return iol_fail(ENOMEM, "no memory for the labels of %s", pf->name);
	for (i = 0; !rc && i < count; i++) {
		snprintf(what, sizeof(what), "%s/vf%u", pf->name, i);
		rc = iol_label_get(state_dir ? state_dir : IOL_STATE_DIR, what, list[i]);
	}
	if (rc) {
		free(list);
		return rc;
	}
	*labels = list;
	return 0;
}
