/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks of limits and memory, and of what the back ends stand on. */
#include "check.h"
#include "memlock.h"

#include "vfio/host.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

/* The host's files tell of this process, or in a copy of the one that copied them. */
void check_memlock(const struct machine *m, struct finding *f)
{
	struct memlock limit;

	if (!memlock_of(m->host, "self", &limit))
		return;
	if (limit.bytes == UINT64_MAX) {
		finding(f, CHECK_GOOD, "/proc/self/limits", "no limit");
	} else if (limit.exempt) {
		finding(f, CHECK_GOOD, "/proc/self/status",
			"no limit holds for you (CAP_IPC_LOCK), though for others %" PRIu64 " MiB",
			limit.bytes >> 20);
	} else {
		finding(f, CHECK_WARNING, "/proc/self/limits",
			"you may lock %" PRIu64 " MiB; a guest with a device has all of its memory "
			"locked",
			limit.bytes >> 20);
		finding_mend(f, MEMLOCK_MEND);
	}
}

static const unsigned int huge_kb[] = { 2048, 1048576 };

static uint64_t huge_count(const struct machine *m, unsigned int kb, const char *what)
{
	uint64_t n;

	if (iol_host_read_u64(m->host, &n, "sys/kernel/mm/hugepages/hugepages-%ukB/%s", kb, what) <
		    0 ||
	    n > UINT64_MAX >> 40)
		return 0;
	return n;
}

uint64_t hugepages_reserved(const struct machine *m)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < sizeof(huge_kb) / sizeof(huge_kb[0]); i++)
		sum += huge_count(m, huge_kb[i], "nr_hugepages") * huge_kb[i] << 10;
	return sum;
}

void check_hugepages(const struct machine *m, struct finding *f)
{
	static const char where[] = "/sys/kernel/mm/hugepages";

	if (hugepages_reserved(m)) {
		finding(f, CHECK_GOOD, where,
			"%" PRIu64 " of 2 MiB (%" PRIu64 " free), %" PRIu64 " of 1 GiB (%" PRIu64
			" free)",
			huge_count(m, huge_kb[0], "nr_hugepages"),
			huge_count(m, huge_kb[0], "free_hugepages"),
			huge_count(m, huge_kb[1], "nr_hugepages"),
			huge_count(m, huge_kb[1], "free_hugepages"));
		return;
	}
	finding(f, CHECK_WARNING, where,
		"none are reserved: passthrough works, but takes longer to map a guest's memory");
	finding_mend(f, "echo 'vm.nr_hugepages = 1024' > /etc/sysctl.d/80-hugepages.conf && sysctl "
			"--system");
}

/* Ask for a ring: a container's filter may forbid what sysctl allows. Return: 0 or a positive errno. */
static int try_uring(void)
{
	struct io_uring_params params = { 0 };
	long fd = syscall(__NR_io_uring_setup, 1, &params);

	if (fd < 0)
		return errno;
	close((int)fd);
	return 0;
}

void check_uring(const struct machine *m, struct finding *f)
{
	static const char where[] = "/proc/sys/kernel/io_uring_disabled";
	uint64_t disabled = 0;
	int rc = iol_host_read_u64(m->host, &disabled, "proc/sys/kernel/io_uring_disabled");
	int err = m->host->live ? try_uring() : 0;

	if (!rc && disabled) {
		finding(f, CHECK_WARNING, where,
			disabled == 1 ? "only privileged processes may use it: iolane-blk falls "
					"back to threads in others"
				      : "nobody may use it: iolane-blk falls back to threads");
		finding_mend(f,
			     "echo 'kernel.io_uring_disabled = 0' > /etc/sysctl.d/80-iolane.conf "
			     "&& sysctl --system");
	} else if (err) {
		finding(f, CHECK_WARNING, "io_uring_setup(2)",
			"%s: iolane-blk falls back to threads",
			err == ENOSYS ? "this kernel has none" : strerror(err));
		if (err == EPERM || err == EACCES)
			finding_mend(f,
				     "allow io_uring_setup, io_uring_enter and io_uring_register "
				     "in this container's seccomp profile");
	} else if (!rc || m->host->live) {
		finding(f, CHECK_GOOD, rc ? "io_uring_setup(2)" : where, "it can be used");
	}
}

void check_dpdk(const struct machine *m, struct finding *f)
{
	bool vfio = iol_host_exists(m->host, "sys/bus/pci/drivers/vfio-pci");

	/* Debian's DPDK is built for x86-64-v2. */
	if (m->cpu != CPU_OTHER && !machine_flag(m, "sse4_2")) {
		finding(f, CHECK_WARNING, "/proc/cpuinfo",
			"the processor has no SSE 4.2, so iolane-net can't start");
		if (m->is_guest)
			finding_mend(f, "this is a virtual machine: for QEMU, -cpu host");
	} else if (!vfio) {
		finding(f, CHECK_GOOD, "/sys/bus/pci/drivers",
			"it works for guests and for uplinks on network interfaces; uplinks on PCI "
			"devices need vfio-pci");
	} else if (!m->num_iommus) {
		finding(f, CHECK_GOOD, "/sys/class/iommu",
			"it works for guests and for uplinks on network interfaces; uplinks on PCI "
			"devices need the IOMMU");
	} else {
		finding(f, CHECK_GOOD, "/sys/bus/pci/drivers/vfio-pci",
			"it works for guests, for uplinks on network interfaces and on PCI devices "
			"(%s huge pages)",
			hugepages_reserved(m) ? "with" : "without");
	}
}
