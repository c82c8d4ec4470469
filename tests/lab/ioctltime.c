/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Preloaded into a VMM by compare_vmm.py: says at standard error how many nanoseconds it took to get a device of VFIO's, and how
 * many of them it was in ioctls; and ends it. That is from the last ioctl before VFIO's first to VFIO's last before the guest runs
 * for the first time; in a QEMU that is told by QMP to plug a device in, from when it hears of it to when it answers.
 */
#include <linux/kvm.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static uint64_t start, end, last;
static bool begun;
static _Atomic uint64_t spent, spent_at_end;
static atomic_bool plugging;

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void report(void)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "ioctltime %llu %llu\n",
			   (unsigned long long)(end - start), (unsigned long long)spent_at_end);

	_exit(write(2, text, (size_t)len) != len);
}

int ioctl(int fd, unsigned long request, ...)
{
	uint64_t before;
	va_list args;
	long arg, rc;

	va_start(args, request);
	arg = va_arg(args, long);
	va_end(args);
	if ((uint32_t)request == KVM_RUN)
		report();
	before = now();
	if (_IOC_TYPE(request) == VFIO_TYPE && !begun) {
		begun = true;
		start = last;
		spent = 0;
	}
	rc = syscall(SYS_ioctl, fd, request, arg);
	last = now();
	spent += last - before;
	if (_IOC_TYPE(request) == VFIO_TYPE) {
		end = last;
		spent_at_end = spent;
	}
	return (int)rc;
}

/* QEMU reads its monitor a byte at a time. */
static bool is_told(char byte)
{
	static const char word[] = "device_add";
	static char tail[sizeof(word) - 1];

	memmove(tail, tail + 1, sizeof(tail) - 1);
	tail[sizeof(tail) - 1] = byte;
	return !memcmp(tail, word, sizeof(tail));
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t len = syscall(SYS_recvmsg, fd, msg, flags);

	if (len == 1 && is_told(*(const char *)msg->msg_iov->iov_base)) {
		start = now();
		spent = 0;
		begun = true;
		plugging = true;
	}
	return len;
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	const struct iovec *iov = msg->msg_iov;

	if (plugging && memmem(iov->iov_base, iov->iov_len, "\"return\"", 8)) {
		end = now();
		spent_at_end = spent;
		report();
	}
	return syscall(SYS_sendmsg, fd, msg, flags);
}
