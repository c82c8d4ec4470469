/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/common/ctl_server.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"
#include "tools/common/ctl.h"
#include "vhost-user/listen.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
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

struct ctl_server {
	int epoll;
	struct iol_listener listener;
	struct ctl_verbs verbs;
	uint64_t paused_until;
	struct client clients[CTL_CLIENTS];
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
	c->deadline = iol_now() + CTL_CLIENT_MS * IOL_NS_PER_MS;
}

static void watch(struct ctl_server *server, struct client *c, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = c };

	if (epoll_ctl(server->epoll, EPOLL_CTL_MOD, c->fd, &ev) < 0)
		close_client(c);
}

/* Send what is left of the reply; afterwards the client may ask again. */
static void flush(struct ctl_server *server, struct client *c)
{
	while (c->out_sent < c->out_len) {
		ssize_t n =
			send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			watch(server, c, EPOLLOUT);
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
static void reply(struct ctl_server *server, struct client *c, char *text, bool last)
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
	flush(server, c);
}

/* Answer the requests that are whole, as long as the answers get away. */
static void answer(struct ctl_server *server, struct client *c)
{
	while (c->fd >= 0 && !c->out && c->in_len) {
		char *newline = memchr(c->in, '\n', c->in_len);
		size_t len;

		if (!newline) {
			if (c->in_len == CTL_REQUEST_MAX)
				reply(server, c, ctl_refuse("the request is longer than 64 KiB"),
				      true);
			return;
		}
		len = (size_t)(newline - c->in);
		reply(server, c, ctl_answer(&server->verbs, c->in, len), false);
		if (c->fd < 0)
			return;
		c->in_len -= len + 1;
		memmove(c->in, newline + 1, c->in_len);
	}
}

static void receive(struct ctl_server *server, struct client *c)
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
	answer(server, c);
}

static void client_event(struct ctl_server *server, struct client *c, unsigned int events)
{
	if (c->out) {
		flush(server, c);
		if (c->fd < 0 || c->out)
			return;
		watch(server, c, EPOLLIN);
		if (c->fd >= 0)
			answer(server, c);
		return;
	}
	if (events & EPOLLIN)
		receive(server, c);
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
static struct client *make_place(struct ctl_server *server)
{
	struct client *oldest = &server->clients[0];
	unsigned int i;

	for (i = 0; i < CTL_CLIENTS; i++) {
		struct client *c = &server->clients[i];

		if (c->fd < 0)
			return c;
		if (c->deadline < oldest->deadline)
			oldest = c;
	}
	close_client(oldest);
	return oldest;
}

static void watch_listen(struct ctl_server *server, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = server };

	if (epoll_ctl(server->epoll, EPOLL_CTL_MOD, server->listener.fd, &ev) < 0)
		iol_log(IOL_LOG_ERROR, "control: cannot watch %s: %s", server->listener.path,
			strerror(errno));
}

static void pause_accept(struct ctl_server *server, const char *why)
{
	iol_log(IOL_LOG_WARNING, "control: cannot accept a client: %s; trying again in a second",
		why);
	watch_listen(server, 0);
	server->paused_until = iol_now() + IOL_NS_PER_S;
}

/* One a turn, so that clients that came are read before newer ones can push them out. */
static void accept_client(struct ctl_server *server)
{
	_cleanup_close_ int fd = -1;
	struct epoll_event ev = { .events = EPOLLIN };
	struct client *c;

	fd = accept4(server->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		/* Without descriptors or memory the connection stays there: don't spin on it. */
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			pause_accept(server, strerror(errno));
		return;
	}
	if (!may_control(fd)) {
		iol_log(IOL_LOG_WARNING,
			"control: refused a client that is neither our user nor root");
		return;
	}
	c = make_place(server);
	ev.data.ptr = c;
	if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
		return;
	c->fd = iol_take_fd(&fd);
	set_deadline(c);
}

void ctl_server_event(struct ctl_server *server, void *ptr, unsigned int events)
{
	struct client *c = ptr;

	if (ptr == server)
		accept_client(server);
	else if (c->fd >= 0)
		client_event(server, c, events);
}

/* It did its part, and we were held up: another request may have waited for storage. */
static bool is_unread(const struct client *c)
{
	struct pollfd p = { .fd = c->fd, .events = c->out ? POLLOUT : POLLIN };

	return poll(&p, 1, 0) == 1 && p.revents == p.events;
}

int ctl_server_tick(struct ctl_server *server)
{
	uint64_t now = iol_now(), next = UINT64_MAX;
	unsigned int i;

	for (i = 0; i < CTL_CLIENTS; i++) {
		struct client *c = &server->clients[i];

		if (c->fd >= 0 && c->deadline <= now && !is_unread(c))
			close_client(c);
		if (c->fd >= 0 && c->deadline < next)
			next = c->deadline;
	}
	if (server->paused_until && server->paused_until <= now) {
		server->paused_until = 0;
		watch_listen(server, EPOLLIN);
	}
	if (server->paused_until && server->paused_until < next)
		next = server->paused_until;
	if (next <= now)
		return 0;
	return next == UINT64_MAX ? -1 : (int)((next - now) / IOL_NS_PER_MS) + 1;
}

static int listen_on(struct ctl_server *server, const char *path)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = server };
	int rc = iol_listen(path, 0600, &server->listener);

	if (rc < 0)
		return iol_fail_more(rc, "--control");
	if (epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->listener.fd, &ev) < 0)
		return iol_fail(errno, "cannot wait for callers on %s: %s", path, strerror(errno));
	return 0;
}

int ctl_server_new(const char *path, int epoll, const struct ctl_verbs *verbs,
		   struct ctl_server **out)
{
	struct ctl_server *server = calloc(1, sizeof(*server));
	unsigned int i;
	int rc;

	if (!server)
		return iol_fail(ENOMEM, "no memory for the control socket");
	server->epoll = epoll;
	server->verbs = *verbs;
	server->listener.fd = -1;
	for (i = 0; i < CTL_CLIENTS; i++)
		server->clients[i].fd = -1;
	rc = listen_on(server, path);
	if (rc < 0) {
		ctl_server_destroy(&server);
		return rc;
	}
	*out = server;
	return 0;
}

void ctl_server_destroy(struct ctl_server **out)
{
	struct ctl_server *server = *out;
	unsigned int i;

	if (!server)
		return;
	*out = NULL;
	for (i = 0; i < CTL_CLIENTS; i++)
		close_client(&server->clients[i]);
	iol_listener_close(&server->listener);
	free(server);
}
