/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Preloaded into a VMM by compare_vmm.py: when it is about to run its guest for the first time, say how many nanoseconds have
 * passed since libraries were loaded, and how many of them in ioctls, at standard error; and end. In a QEMU that is told by
 * QMP to plug a device in, the time is that from when it hears of it to when it answers.
 */
#include <linux/kvm.h>
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

static uint64_t start;
static _Atomic uint64_t spent;
static atomic_bool plugging;

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void __attribute__((constructor)) begin(void)
{
	start = now();
}

static void report(void)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "ioctltime %llu %llu\n",
			   (unsigned long long)(now() - start), (unsigned long long)spent);

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
	rc = syscall(SYS_ioctl, fd, request, arg);
	spent += now() - before;
	return (int)rc;
}

/* QEMU reads its monitor a byte at a time. */
static bool is_told(char byte)
{
	static const char word[] = "device_add";
	static char last[sizeof(word) - 1];

	memmove(last, last + 1, sizeof(last) - 1);
	last[sizeof(last) - 1] = byte;
	return !memcmp(last, word, sizeof(last));
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	ssize_t len = syscall(SYS_recvmsg, fd, msg, flags);

	if (len == 1 && is_told(*(const char *)msg->msg_iov->iov_base)) {
		start = now();
		spent = 0;
		plugging = true;
	}
	return len;
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	const struct iovec *iov = msg->msg_iov;

	if (plugging && memmem(iov->iov_base, iov->iov_len, "\"return\"", 8))
		report();
	return syscall(SYS_sendmsg, fd, msg, flags);
}
