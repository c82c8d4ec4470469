/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/flock.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <sys/file.h>

/* Most keep it for microseconds, some for seconds. */
#define PAUSE_MS_MAX 20

int iol_flock(int fd, unsigned int wait_ms)
{
	uint64_t end = iol_now() + wait_ms * IOL_NS_PER_MS;
	int pause = 1;

	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK || iol_now() >= end)
			return -errno;
		poll(NULL, 0, pause);
		pause = pause < PAUSE_MS_MAX ? pause + 1 : pause;
	}
	return 0;
}
