/* SPDX-License-Identifier: BSD-3-Clause */
#include "control.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"
#include "tools/common/ctl.h"
#include "verbs.h"
#include "vhost-user/listen.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/**
 * struct client - One connection.
 * @in: what came of a request, @in_len bytes; allocated to CTL_REQUEST_MAX when the first byte comes.
 * @out: the reply that is being sent; nothing is read meanwhile.
 * @deadline: when a whole request must have come or the reply have gone.
 */
struct client {
	int fd;
	char *in;
	size_t in_len;
	char *out;
	size_t out_len, out_sent;
	bool last;
	uint64_t deadline;
};

struct control {
	int epoll;
	struct iol_listener listener;
	struct disks *disks;
	uint64_t paused_until;
	struct client clients[CONTROL_CLIENTS];
};

static void close_client(struct client *c)
{
	/* Closing takes it out of the epoll set, as nobody duplicated it. */
	iol_close(&c->fd);
	free(c->in);
	free(c->out);
	memset(c, 0, sizeof(*c));
	c->fd = -1;
}

static void set_deadline(struct client *c)
{
	c->deadline = iol_now() + CONTROL_CLIENT_MS * IOL_NS_PER_MS;
}

static void watch(struct control *ctl, struct client *c, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = c };

	if (epoll_ctl(ctl->epoll, EPOLL_CTL_MOD, c->fd, &ev) < 0)
		close_client(c);
}

/* Send what is left of the reply; afterwards the client may ask again. */
static void flush(struct control *ctl, struct client *c)
{
	while (c->out_sent < c->out_len) {
		ssize_t n =
			send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			watch(ctl, c, EPOLLOUT);
			return;
		}
		if (n < 0) {
			close_client(c);
			return;
		}
		c->out_sent += (size_t)n;
	}
	free(iol_take_ptr(c->out));
	c->out_len = c->out_sent = 0;
	set_deadline(c);
	if (c->last)
		close_client(c);
}

/* @last: close when it is sent. */
static void reply(struct control *ctl, struct client *c, char *text, bool last)
{
	if (!text) {
		close_client(c);
		return;
	}
	c->out = text;
	c->out_len = strlen(text);
	c->out_sent = 0;
	c->last = last;
	set_deadline(c);
	flush(ctl, c);
}

/* Answer the requests that are whole, as long as the answers get away. */
static void answer(struct control *ctl, struct client *c)
{
	while (c->fd >= 0 && !c->out && c->in_len) {
		char *newline = memchr(c->in, '\n', c->in_len);
		size_t len;

		if (!newline) {
			if (c->in_len == CTL_REQUEST_MAX)
				reply(ctl, c, verbs_refuse("the request is longer than 64 KiB"),
				      true);
			return;
		}
		len = (size_t)(newline - c->in);
		reply(ctl, c, verbs_answer(ctl->disks, c->in, len), false);
		if (c->fd < 0)
			return;
		c->in_len -= len + 1;
		memmove(c->in, newline + 1, c->in_len);
	}
}

static void receive(struct control *ctl, struct client *c)
{
	ssize_t n;

	if (!c->in)
		c->in = malloc(CTL_REQUEST_MAX);
	if (!c->in) {
		close_client(c);
		return;
	}
	n = recv(c->fd, c->in + c->in_len, CTL_REQUEST_MAX - c->in_len, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close_client(c);
		return;
	}
	c->in_len += (size_t)n;
	answer(ctl, c);
}

static void client_event(struct control *ctl, struct client *c, unsigned int events)
{
	if (c->out) {
		flush(ctl, c);
		if (c->fd < 0 || c->out)
			return;
		watch(ctl, c, EPOLLIN);
		if (c->fd >= 0)
			answer(ctl, c);
		return;
	}
	if (events & EPOLLIN)
		receive(ctl, c);
	else if (events & (EPOLLHUP | EPOLLERR))
		close_client(c);
}

static bool may_control(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) &&
	       (cred.uid == 0 || cred.uid == geteuid());
}

/* A free place, which the client that must hurry most gives up if there is none. */
static struct client *make_place(struct control *ctl)
{
	struct client *oldest = &ctl->clients[0];
	unsigned int i;

	for (i = 0; i < CONTROL_CLIENTS; i++) {
		struct client *c = &ctl->clients[i];

		if (c->fd < 0)
			return c;
		if (c->deadline < oldest->deadline)
			oldest = c;
	}
	close_client(oldest);
	return oldest;
}

static void watch_listen(struct control *ctl, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = ctl };

	if (epoll_ctl(ctl->epoll, EPOLL_CTL_MOD, ctl->listener.fd, &ev) < 0)
		iol_log(IOL_LOG_ERROR, "control: cannot watch %s: %s", ctl->listener.path,
			strerror(errno));
}

static void pause_accept(struct control *ctl, const char *why)
{
	iol_log(IOL_LOG_WARNING, "control: cannot accept a client: %s; trying again in a second",
		why);
	watch_listen(ctl, 0);
	ctl->paused_until = iol_now() + IOL_NS_PER_S;
}

/* One a turn, so that clients that came are read before newer ones can push them out. */
static void accept_client(struct control *ctl)
{
	_cleanup_close_ int fd = -1;
	struct epoll_event ev = { .events = EPOLLIN };
	struct client *c;

	fd = accept4(ctl->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		/* Without descriptors or memory the connection stays there: don't spin on it. */
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			pause_accept(ctl, strerror(errno));
		return;
	}
	if (!may_control(fd)) {
		iol_log(IOL_LOG_WARNING,
			"control: refused a client that is neither our user nor root");
		return;
	}
	c = make_place(ctl);
	ev.data.ptr = c;
	if (epoll_ctl(ctl->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		return;
	c->fd = iol_take_fd(&fd);
	set_deadline(c);
}

void control_event(struct control *ctl, void *ptr, unsigned int events)
{
	struct client *c = ptr;

	if (ptr == ctl)
		accept_client(ctl);
	else if (c->fd >= 0)
		client_event(ctl, c, events);
}

/* It did its part, and we were held up: another disk's end may have waited for storage. */
static bool is_unread(const struct client *c)
{
	struct pollfd p = { .fd = c->fd, .events = c->out ? POLLOUT : POLLIN };

	return poll(&p, 1, 0) == 1 && p.revents == p.events;
}

int control_tick(struct control *ctl)
{
	uint64_t now = iol_now(), next = UINT64_MAX;
	unsigned int i;

	for (i = 0; i < CONTROL_CLIENTS; i++) {
		struct client *c = &ctl->clients[i];

		if (c->fd >= 0 && c->deadline <= now && !is_unread(c))
			close_client(c);
		if (c->fd >= 0 && c->deadline < next)
			next = c->deadline;
	}
	if (ctl->paused_until && ctl->paused_until <= now) {
		ctl->paused_until = 0;
		watch_listen(ctl, EPOLLIN);
	}
	if (ctl->paused_until && ctl->paused_until < next)
		next = ctl->paused_until;
	if (next <= now)
		return 0;
	return next == UINT64_MAX ? -1 : (int)((next - now) / IOL_NS_PER_MS) + 1;
}

static int listen_on(struct control *ctl, const char *path)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = ctl };
	int rc = iol_listen(path, 0600, &ctl->listener);

	if (rc < 0)
		return iol_fail_more(rc, "--control");
	if (epoll_ctl(ctl->epoll, EPOLL_CTL_ADD, ctl->listener.fd, &ev) < 0)
		return iol_fail(errno, "cannot wait for callers on %s: %s", path, strerror(errno));
	return 0;
}

int control_new(const char *path, int epoll, struct disks *disks, struct control **control)
{
	struct control *ctl = calloc(1, sizeof(*ctl));
	unsigned int i;
	int rc;

	if (!ctl)
		return iol_fail(ENOMEM, "no memory for the control socket");
	ctl->epoll = epoll;
	ctl->disks = disks;
	ctl->listener.fd = -1;
	for (i = 0; i < CONTROL_CLIENTS; i++)
		ctl->clients[i].fd = -1;
	rc = listen_on(ctl, path);
	if (rc < 0) {
		control_destroy(&ctl);
		return rc;
	}
	*control = ctl;
	return 0;
}

void control_destroy(struct control **control)
{
	struct control *ctl = *control;
	unsigned int i;

	if (!ctl)
		return;
	*control = NULL;
	for (i = 0; i < CONTROL_CLIENTS; i++)
		close_client(&ctl->clients[i]);
	iol_listener_close(&ctl->listener);
	free(ctl);
}
