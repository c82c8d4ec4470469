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

/* Messages and attributes are read through copies: where they lie is whatever the kernel says. */
static bool is_of(const char *attrs, size_t len, const struct stat *st)
{
	struct unix_diag_vfs vfs;
	struct rtattr attr;

	while (len >= sizeof(attr)) {
		memcpy(&attr, attrs, sizeof(attr));
		if (attr.rta_len < sizeof(attr) || attr.rta_len > len)
			return false;
		if (attr.rta_type == UNIX_DIAG_VFS && attr.rta_len >= RTA_LENGTH(sizeof(vfs))) {
			memcpy(&vfs, attrs + RTA_LENGTH(0), sizeof(vfs));
			return vfs.udiag_vfs_ino == (uint32_t)st->st_ino &&
			       vfs.udiag_vfs_dev == kernel_dev(st->st_dev);
		}
		if (RTA_ALIGN(attr.rta_len) >= len)
			return false;
		len -= RTA_ALIGN(attr.rta_len);
		attrs += RTA_ALIGN(attr.rta_len);
	}
	return false;
}

/* One message. Return: 1 while more comes, 0 at the end, or a negative errno. */
static int take(const char *at, const struct nlmsghdr *h, const struct stat *st,
		struct listeners *l)
{
	struct unix_diag_msg msg;

	if (h->nlmsg_type == NLMSG_DONE)
		return 0;
	/* As of a kernel without it. */
	if (h->nlmsg_type == NLMSG_ERROR)
		return -ENOENT;
	if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY || h->nlmsg_len < NLMSG_LENGTH(sizeof(msg)))
		return 1;
	memcpy(&msg, at + NLMSG_HDRLEN, sizeof(msg));
	if (!is_of(at + NLMSG_LENGTH(sizeof(msg)), h->nlmsg_len - NLMSG_LENGTH(sizeof(msg)), st))
		return 1;
	if (msg.udiag_state == LISTEN)
		l->listens = IOL_YES;
	else
		l->connected = true;
	return 1;
}

/* What one read brought. Return: as of take(). */
static int take_all(const char *at, size_t len, const struct stat *st, struct listeners *l)
{
	struct nlmsghdr h;
	int rc = 1;

	while (rc > 0 && len >= sizeof(h)) {
		memcpy(&h, at, sizeof(h));
		if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > len)
			return -EPROTO;
		rc = take(at, &h, st, l);
		if (NLMSG_ALIGN(h.nlmsg_len) >= len)
			break;
		at += NLMSG_ALIGN(h.nlmsg_len);
		len -= NLMSG_ALIGN(h.nlmsg_len);
	}
	return rc;
}

void listeners_at(const char *path, struct listeners *l)
{
	char buf[16384];
	_cleanup_close_ int fd = -1;
	struct stat st;
	ssize_t n;
	int rc = 1;

	*l = (struct listeners){ .listens = IOL_UNKNOWN };
	if (stat(path, &st))
		return;
	fd = ask();
	while (rc > 0 && fd >= 0) {
		n = recv(fd, buf, sizeof(buf), 0);
		if (n <= 0)
			return;
		rc = take_all(buf, (size_t)n, &st, l);
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
