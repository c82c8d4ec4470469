/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/sharing.h"

#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

pid_t iol_peer_pid(int sock)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);

	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 ? 0 : cred.pid;
}

int iol_check_shared(pid_t pid, const struct iol_mem_desc *desc, int fd)
{
	bool private = false;
	char path[32], line[512];
	struct stat st;
	FILE *maps;

	if (pid <= 0 || fstat(fd, &st) < 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	if (!maps)
		return 0;
	while (fgets(line, sizeof(line), maps)) {
		unsigned long long start, end, inode;
		char perms[5];

		/* The rest of a line that is longer than ours does not look like this. */
		if (sscanf(line, "%llx-%llx %4s %*x %*x:%*x %llu", &start, &end, perms, &inode) !=
		    4)
			continue;
		if (desc->uaddr >= start && desc->uaddr < end) {
			private = inode == st.st_ino && perms[3] == 'p';
			break;
		}
	}
	fclose(maps);
	if (private)
		return iol_fail(EINVAL,
				"the front end maps its memory privately, so that nobody else sees "
				"what the guest writes; the VM's memory must be shared: with QEMU, "
				"-object memory-backend-memfd,share=on,… and -machine "
				"memory-backend=…");
	return 0;
}
