/* SPDX-License-Identifier: BSD-3-Clause */
/* The files that hold guest memory, and where their pages come from. */
#include "vmm-glue/memory.h"

#include "base/error.h"
#include "base/own.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

int memory_file(uint64_t size, bool hugepages, bool unsealed)
{
	unsigned int flags = MFD_CLOEXEC;
	_cleanup_close_ int fd = -1;

	if (hugepages)
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;
	if (!unsealed)
		flags |= MFD_ALLOW_SEALING;
	fd = memfd_create("iolane-guest-memory", flags);
	if (fd < 0)
		return iol_fail(errno, "cannot make guest memory: memfd_create: %s",
				strerror(errno));
	if (ftruncate(fd, (off_t)size) < 0)
		return iol_fail(errno, "cannot make %" PRIu64 " bytes of guest memory: %s", size,
				strerror(errno));
	if (!unsealed && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return iol_fail(errno, "cannot seal guest memory: %s", strerror(errno));
	return iol_take_fd(&fd);
}

uint64_t memory_file_page(int fd)
{
	struct statfs fs;

	/* Other file systems may tell the block that they like best, which may be larger than a page, and smaller. */
	if (!fstatfs(fd, &fs) && fs.f_type == HUGETLBFS_MAGIC)
		return (uint64_t)fs.f_bsize;
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

int memory_bind(void *host, uint64_t size, uint64_t nodes)
{
	/* The kernel takes one off the number of bits. */
	unsigned long mask = nodes, bits = 8 * sizeof(mask) + 1;

	if (!nodes || !syscall(SYS_mbind, host, size, MPOL_BIND, &mask, bits, 0u))
		return 0;
	return iol_fail(errno,
			"cannot take guest memory from NUMA nodes 0x%" PRIx64
			": %s; see /sys/devices/system/node/has_memory for those that there are",
			nodes, strerror(errno));
}
