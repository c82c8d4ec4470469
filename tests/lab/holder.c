/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Holds devices of the lab's machine, where little tells that it does:
 *   holder fd|map|sent ADDRESS     a VFIO device by type1: by a descriptor alone, by a mapped BAR alone, by a descriptor
 *                                  that lies in a socket
 *   holder dm NAME DISK            a device mapper's volume of the first MiB of a disk
 * It prints the number of the process that stays, and ends.
 */
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <iolane/base.h>
#include <iolane/vfio.h>

static void need(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "holder: %s: %s\n", what, iol_error());
	exit(1);
}

static int open_device(const char *address, void **bar)
{
	struct iol_context_spec spec = { .kind = IOL_CONTEXT_TYPE1 };
	struct iol_vfio_device_spec device = { 0 };
	struct iol_vfio_device *dev;
	struct iol_context *ctx = NULL;
	struct iol_host *host;

	need(!iol_pci_addr_parse(address, &device.addr), "no address");
	need(!iol_host_new(NULL, &host) && !iol_context_new(host, &spec, &ctx), "no context");
	need(!iol_vfio_open(ctx, &device, &dev), "no device");
	need(!iol_vfio_region_map(dev, 0, 0, 4096, bar), "no BAR");
	return iol_vfio_fd(dev);
}

/* Into a socket that nobody reads, and out of this process. */
static void send_away(int fd, int at)
{
	char byte = 0, control[CMSG_SPACE(sizeof(fd))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int pair[2];

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	need(!socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), "no sockets");
	need(sendmsg(pair[0], &msg, 0) == 1, "nothing sent");
	dup2(pair[1], at);
}

/* Whoever started us is told by the end of @ready that all is as it shall be. */
static void hold(const char *how, const char *address, int ready)
{
	void *bar = NULL;
	int fd = open_device(address, &bar);

	/* In place of standard input; what is above goes: group, container and the device itself. */
	if (!strcmp(how, "sent"))
		send_away(fd, 0);
	else if (!strcmp(how, "fd"))
		dup2(fd, 0);
	if (strcmp(how, "map") != 0)
		munmap(bar, 4096);
	prctl(PR_SET_NAME, "a-holder");
	close(STDOUT_FILENO);
	close(STDERR_FILENO);
	need(write(ready, "", 1) == 1, "nobody waits");
	close_range(3, ~0u, 0);
	pause();
}

static void dm(int control, unsigned long request, struct dm_ioctl *io, const char *name)
{
	io->version[0] = DM_VERSION_MAJOR;
	io->data_start = sizeof(*io);
	strcpy(io->name, name);
	need(!ioctl(control, request, io), "device mapper");
}

static void make_volume(const char *name, const char *disk)
{
	int control = open("/dev/mapper/control", O_RDWR);
	union {
		struct dm_ioctl io;
		char room[1024];
	} u = { .io = { .data_size = sizeof(u) } };
	struct dm_target_spec *target = (void *)(u.room + sizeof(u.io));
	struct stat st;

	need(control >= 0 && !stat(disk, &st), "no device mapper or no disk");
	dm(control, DM_DEV_CREATE, &u.io, name);
	memset(&u, 0, sizeof(u));
	u.io.data_size = sizeof(u);
	u.io.target_count = 1;
	target->length = 2048;
	strcpy(target->target_type, "linear");
	snprintf((char *)(target + 1), 32, "%u:%u 0", major(st.st_rdev), minor(st.st_rdev));
	dm(control, DM_TABLE_LOAD, &u.io, name);
	memset(&u, 0, sizeof(u));
	u.io.data_size = sizeof(u);
	dm(control, DM_DEV_SUSPEND, &u.io, name);
}

static void remove_volume(const char *name)
{
	struct dm_ioctl io = { .data_size = sizeof(io) };

	dm(open("/dev/mapper/control", O_RDWR), DM_DEV_REMOVE, &io, name);
}

int main(int argc, char **argv)
{
	int ready[2];
	pid_t pid;
	char byte;

	need(argc > 2, "holder HOW WHAT [DISK]");
	if (!strcmp(argv[1], "dm")) {
		if (argc > 3)
			make_volume(argv[2], argv[3]);
		else
			remove_volume(argv[2]);
		return 0;
	}
	need(!pipe(ready), "no pipe");
	pid = fork();
	need(pid >= 0, "no process");
	if (!pid) {
		close(ready[0]);
		hold(argv[1], argv[2], ready[1]);
	}
	close(ready[1]);
	need(read(ready[0], &byte, 1) == 1, "it does not hold it");
	/* The end of the pipe says that everything else is closed. */
	need(!read(ready[0], &byte, 1), "it has more open");
	printf("%d\n", (int)pid);
	return 0;
}
