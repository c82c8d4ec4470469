/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * By sock_diag(7). A socket is told by the file that it was bound to: its name may have been another's, as back ends bind a
 * socket aside and then rename it.
 */
#include "listeners.h"

#include "base/own.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

/* The kernel's numbers of states (include/net/tcp_states.h). */
#define ESTABLISHED 1
#define LISTEN      10

#define TIMEOUT_S 5

/* As the kernel has it inside (MINORBITS). */
static uint32_t kernel_dev(dev_t dev)
{
	return major(dev) << 20 | minor(dev);
}

static int ask(void)
{
	struct {
		struct nlmsghdr header;
		struct unix_diag_req req;
	} m = {
		.header = { .nlmsg_len = sizeof(m),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.req = { .sdiag_family = AF_UNIX,
			 .udiag_states = 1u << ESTABLISHED | 1u << LISTEN,
			 .udiag_show = UDIAG_SHOW_VFS },
	};
	const struct timeval timeout = { .tv_sec = TIMEOUT_S };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) ||
	    send(fd, &m, sizeof(m), 0) != sizeof(m))
		iol_close(&fd);
	return fd;
}

/* As RTA_NEXT(), which clang warns of. */
static const struct rtattr *next(const struct rtattr *attr, int *len)
{
	int step = RTA_ALIGN(attr->rta_len);

	*len -= step;
	return (const void *)((const char *)attr + step);
}

static bool is_of(const struct nlmsghdr *h, const struct stat *st)
{
	const struct unix_diag_msg *msg = NLMSG_DATA(h);
	const struct rtattr *attr = (const void *)(msg + 1);
	int len = (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*msg)));
	struct unix_diag_vfs vfs;

	for (; RTA_OK(attr, len); attr = next(attr, &len)) {
		if (attr->rta_type != UNIX_DIAG_VFS || RTA_PAYLOAD(attr) < sizeof(vfs))
			continue;
		memcpy(&vfs, RTA_DATA(attr), sizeof(vfs));
		return vfs.udiag_vfs_ino == (uint32_t)st->st_ino &&
		       vfs.udiag_vfs_dev == kernel_dev(st->st_dev);
	}
	return false;
}

/* Return: 1 while more comes, 0 at the end, or a negative errno. */
static int take(const struct nlmsghdr *h, const struct stat *st, struct listeners *l)
{
	const struct unix_diag_msg *msg = NLMSG_DATA(h);

	if (h->nlmsg_type == NLMSG_DONE)
		return 0;
	/* As of a kernel without it. */
	if (h->nlmsg_type == NLMSG_ERROR)
		return -ENOENT;
	if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY || h->nlmsg_len < NLMSG_LENGTH(sizeof(*msg)) ||
	    !is_of(h, st))
		return 1;
	if (msg->udiag_state == LISTEN)
		l->listens = IOL_YES;
	else
		l->connected = true;
	return 1;
}

void listeners_at(const char *path, struct listeners *l)
{
	_Alignas(struct nlmsghdr) char buf[16384];
	_cleanup_close_ int fd = -1;
	struct stat st;
	ssize_t n;
	int rc = 1;

	*l = (struct listeners){ .listens = IOL_UNKNOWN };
	if (stat(path, &st))
		return;
	fd = ask();
	while (rc > 0 && fd >= 0) {
		const struct nlmsghdr *h = (const void *)buf;

		n = recv(fd, buf, sizeof(buf), 0);
		if (n <= 0)
			return;
		for (; rc > 0 && NLMSG_OK(h, (size_t)n); h = NLMSG_NEXT(h, n))
			rc = take(h, &st, l);
	}
	/* That it is not among them proves little: a file system may have another number at each place. */
}

bool listeners_call(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;

	if (strlen(path) >= sizeof(addr.sun_path))
		return false;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* One that has callers enough is there, too. */
	return fd >= 0 && (!connect(fd, (struct sockaddr *)&addr, sizeof(addr)) || errno == EAGAIN);
}
