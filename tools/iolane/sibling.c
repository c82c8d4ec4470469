/* SPDX-License-Identifier: BSD-3-Clause */
#include "sibling.h"

#include "base/error.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The folder of this program with its slash, or "" when nobody can say. */
static void own_folder(char *buf, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", buf, size - 1);
	char *slash;

	buf[n > 0 ? n : 0] = '\0';
	slash = strrchr(buf, '/');
	if (slash)
		slash[1] = '\0';
}

int sibling_exec(const char *name, char **argv)
{
	char folder[PATH_MAX], path[PATH_MAX + 64], program[64];

	own_folder(folder, sizeof(folder));
	snprintf(program, sizeof(program), "iolane-%s", name);
	snprintf(path, sizeof(path), "%s%s", folder, program);
	argv[0] = program;
	if (folder[0])
		execv(path, argv);
	if (!folder[0] || errno == ENOENT)
		execvp(program, argv);
	if (errno == ENOENT)
		return iol_fail(ENOENT, "cannot find %s beside %siolane or in PATH: install it",
				program, folder);
	return iol_fail(errno, "cannot start %s: %s", program, strerror(errno));
}
