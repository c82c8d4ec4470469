/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Preloaded into a VMM by compare_vmm.py: when it is about to run its guest for the first time, say how many nanoseconds have
 * passed since libraries were loaded, and how many of them in ioctls, at standard error; and end.
 */
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t start;
static _Atomic uint64_t spent;

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
