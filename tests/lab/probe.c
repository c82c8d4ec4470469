/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfioprobe.h"

#include <dirent.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

void probe_start(const struct probe *p)
{
	uint16_t command;

	need(!iol_vfio_region_read(p->dev, IOL_REGION_CONFIG, 4, &command, sizeof(command)),
	     "no command");
	command |= 0x6;
	need(!iol_vfio_region_write(p->dev, IOL_REGION_CONFIG, 4, &command, sizeof(command)),
	     "no command");
}

struct iol_dma_region probe_memory(const struct probe *p, size_t len, uint64_t limit,
				   unsigned int access)
{
	int fd = memfd_create("probe", MFD_CLOEXEC);
	struct iol_dma_region region = {
		.fd = fd,
		.len = len,
		.iova = IOL_IOVA_ANY,
		.limit = limit,
		.access = access,
	};

	need(fd >= 0 && !ftruncate(fd, (off_t)len), "no memory");
	need(iol_dma_map(p->ctx, &region, 1) == 1, "no mapping");
	close(fd);
	return region;
}

bool probe_signalled(int fd, int ms)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	eventfd_t count;

	return poll(&poll_fd, 1, ms) == 1 && !eventfd_read(fd, &count);
}

bool probe_becomes(const volatile void *at, uint32_t mask, uint32_t value)
{
	const volatile uint32_t *bits = at;

	for (int ms = 0; ms < COMES_MS && (*bits & mask) != value; ms += 10)
		usleep(10000);
	return (*bits & mask) == value;
}

int probe_eventfd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	need(fd >= 0, "no eventfd");
	return fd;
}

void probe_vectors(const struct probe *p, enum iol_irq kind, int *fds, unsigned int num)
{
	for (unsigned int i = 0; i < num; i++)
		fds[i] = probe_eventfd();
	need(!iol_irq_set(p->dev, kind, 0, fds, num), "no %u interrupts of kind %d", num, kind);
}

unsigned int probe_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int count = 0;

	need(dir, "no /proc");
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}
