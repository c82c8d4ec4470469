/* SPDX-License-Identifier: BSD-3-Clause */
#include "sandbox.h"

#include "base/error.h"
#include "base/own.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/vfio.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>

/* Whatever their arguments. Descriptors are what the thread has anyway. */
static const int everybody[] = {
	/* devices, back ends and the console */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(pread64),
	SCMP_SYS(preadv2),
	SCMP_SYS(pwrite64),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(connect),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(eventfd2),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(fcntl),
	SCMP_SYS(fstat),
	SCMP_SYS(fstatfs),
	SCMP_SYS(newfstatat),
	SCMP_SYS(close),
	/* memory */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(memfd_create),
	SCMP_SYS(ftruncate),
	SCMP_SYS(getrandom),
	/* threads, time and signals */
	SCMP_SYS(futex),
	SCMP_SYS(sched_yield),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(tgkill),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(exit),
};

/* The main thread ends the program, too. */
static const int main_only[] = {
	SCMP_SYS(exit_group),
	SCMP_SYS(getpgrp),
	SCMP_SYS(lseek),
};

static const unsigned long terminal[] = { TCGETS, TCSETS, TIOCGPGRP, TIOCGWINSZ };

/* All that is asked of one kind of device. */
static int allow_ioctls(scmp_filter_ctx ctx, unsigned int type)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				SCMP_A1(SCMP_CMP_MASKED_EQ,
					(scmp_datum_t)_IOC_TYPEMASK << _IOC_TYPESHIFT,
					(scmp_datum_t)type << _IOC_TYPESHIFT));
}

static int allow(scmp_filter_ctx ctx, const int *calls, size_t num)
{
	size_t i;
	int rc = 0;

	for (i = 0; !rc && i < num; i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
	return rc;
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int add_rules(scmp_filter_ctx ctx, bool main_thread)
{
	static const int mappers[] = { SCMP_SYS(mmap), SCMP_SYS(mprotect) };
	static const int connectors[] = { SCMP_SYS(socket), SCMP_SYS(socketpair) };
	size_t i;
	int rc;

	/* Each entry of a guest is one. */
	rc = seccomp_syscall_priority(ctx, SCMP_SYS(ioctl), UINT8_MAX);
	if (!rc)
		rc = allow_ioctls(ctx, KVMIO);
	/* And iommufd's. */
	if (!rc)
		rc = allow_ioctls(ctx, VFIO_TYPE);
	for (i = 0; !rc && main_thread && i < COUNT(terminal); i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				      SCMP_A1(SCMP_CMP_EQ, terminal[i]));
	for (i = 0; !rc && i < COUNT(mappers); i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, mappers[i], 1,
				      SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* A back end that comes back is connected to anew, and has a channel of its own for what it asks. */
	for (i = 0; !rc && i < COUNT(connectors); i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, connectors[i], 1,
				      SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	if (!rc)
		rc = allow(ctx, everybody, COUNT(everybody));
	if (!rc && main_thread)
		rc = allow(ctx, main_only, COUNT(main_only));
	return rc;
}

/* The kernel takes it as a program, which one file holds for all threads. */
static int compile(scmp_filter_ctx ctx, struct sandbox *sandbox)
{
	_cleanup_close_ int fd = memfd_create("iolane-vmm-filter", MFD_CLOEXEC);
	struct stat st;
	void *map;
	int rc;

	if (fd < 0)
		return -errno;
	rc = seccomp_export_bpf(ctx, fd);
	if (rc < 0)
		return rc;
	if (fstat(fd, &st) < 0)
		return -errno;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	sandbox->size = (size_t)st.st_size;
	sandbox->prog.filter = map;
	sandbox->prog.len = (unsigned short)(sandbox->size / sizeof(struct sock_filter));
	return 0;
}

int sandbox_new(bool main_thread, struct sandbox *sandbox)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_TRAP);
	int rc;

	*sandbox = (struct sandbox){ 0 };
	if (!ctx)
		return iol_fail(ENOMEM, "no memory for the filter of system calls");
	rc = add_rules(ctx, main_thread);
	if (!rc)
		rc = compile(ctx, sandbox);
	seccomp_release(ctx);
	return rc < 0 ? iol_fail(-rc, "cannot make the filter of system calls: %s", strerror(-rc))
		      : 0;
}

void sandbox_free(struct sandbox *sandbox)
{
	if (sandbox->prog.filter)
		munmap(sandbox->prog.filter, sandbox->size);
	*sandbox = (struct sandbox){ 0 };
}

int sandbox_enter(const struct sandbox *sandbox)
{
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &sandbox->prog) < 0)
		return iol_fail(errno, "cannot filter system calls: %s: this kernel lacks seccomp",
				strerror(errno));
	return 0;
}
