/* SPDX-License-Identifier: BSD-3-Clause */
/* The control thread, and the socket that it gets front ends from. */
#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"
#include "base/thread.h"
#include "vhost-user/listen.h"
#include "vhost-user/session.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKOFF_MIN_MS 10
#define BACKOFF_MAX_MS 5000
/* After a failed accept(), for want of descriptors most likely. */
#define ACCEPT_PAUSE_MS 1000

struct iol_server {
	struct iol_device *dev;
	struct iol_listener listener; /* .fd -1 when not listening */
	char *connect_path;           /* as a client */
	int sock;                     /* given connected */
	pthread_t thread;
	bool has_thread;
	bool stop, connected, finished; /* atomic */
};

static bool stopping(const struct iol_server *s)
{
	return __atomic_load_n(&s->stop, __ATOMIC_ACQUIRE);
}

/* Wait for @fd (or nothing, with -1) until @ms or a wake. True when @fd is readable. */
static bool wait_readable(struct iol_server *s, int fd, int ms)
{
	struct pollfd p[2] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = s->dev->wake, .events = POLLIN },
	};
	uint64_t n;

	if (poll(p, 2, ms) < 0)
		return false;
	if (p[1].revents && read(s->dev->wake, &n, sizeof(n)) < 0)
		return false;
	return p[0].revents;
}

/* One front end from first to last. Returns the number of messages that it sent. */
static uint64_t serve(struct iol_server *s, int sock)
{
	const char *name = s->dev->name;
	struct iol_session session;
	int rc = 0;

	iol_session_open(&session, s->dev, sock);
	__atomic_store_n(&s->connected, true, __ATOMIC_RELEASE);
	iol_log(IOL_LOG_INFO, "%s: a front end has connected", name);
	while (!rc && !stopping(s))
		rc = iol_session_step(&session);
	if (rc == -ECONNRESET)
		iol_log(IOL_LOG_INFO, "%s: the front end has disconnected", name);
	else if (rc)
		iol_log(IOL_LOG_ERROR, "%s: connection ended: %s", name, iol_error());
	iol_session_close(&session);
	__atomic_store_n(&s->connected, false, __ATOMIC_RELEASE);
	return session.messages;
}

static void serve_listener(struct iol_server *s)
{
	while (!stopping(s)) {
		_cleanup_close_ int sock = -1;

		if (!wait_readable(s, s->listener.fd, -1))
			continue;
		sock = accept4(s->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (sock >= 0) {
			serve(s, sock);
		} else if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
			iol_log(IOL_LOG_ERROR, "%s: cannot accept a front end: %s", s->dev->name,
				strerror(errno));
			wait_readable(s, -1, ACCEPT_PAUSE_MS);
		}
	}
}

static void serve_as_client(struct iol_server *s)
{
	int pause_ms = BACKOFF_MIN_MS;
	bool told = false;

	while (!stopping(s)) {
		_cleanup_close_ int sock = -1;
		uint64_t until;
		int rc = iol_connect(s->connect_path, &sock);

		if (!rc && serve(s, sock)) {
			pause_ms = BACKOFF_MIN_MS;
			told = false;
		}
		if (rc && !told) {
			iol_log(IOL_LOG_WARNING, "%s: %s; trying again until it can", s->dev->name,
				iol_error());
			told = true;
		}
		until = iol_now() + (uint64_t)pause_ms * IOL_NS_PER_MS;
		while (!stopping(s) && iol_now() < until)
			wait_readable(s, -1, (int)((until - iol_now()) / IOL_NS_PER_MS) + 1);
		pause_ms = pause_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : pause_ms * 2;
	}
}

static void *control_thread(void *arg)
{
	struct iol_server *s = arg;

	if (s->listener.fd >= 0)
		serve_listener(s);
	else if (s->connect_path)
		serve_as_client(s);
	else
		serve(s, s->sock);
	/* The front end sees that it was us who ended it. */
	iol_close(&s->sock);
	__atomic_store_n(&s->finished, true, __ATOMIC_RELEASE);
	return NULL;
}

static int start_thread(struct iol_server *s)
{
	int rc = iol_thread_start(&s->thread, 0, control_thread, s);

	if (rc < 0)
		return iol_fail(-rc, "cannot start a thread: %s", strerror(-rc));
	pthread_setname_np(s->thread, "iolane-control");
	s->has_thread = true;
	return 0;
}

/* A socket that somebody opened for us: connected, or listening. */
static int take_fd(struct iol_server *s, int fd)
{
	int domain = 0, type = 0, listening = 0;
	socklen_t len = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_UNIX ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
		return iol_fail(ENOTSOCK, "file descriptor %d is no Unix stream socket", fd);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0)
		return iol_fail(errno, "cannot look at file descriptor %d: %s", fd,
				strerror(errno));
	if (listening)
		s->listener.fd = iol_take_fd(&s->sock);
	return 0;
}

int iol_server_new(struct iol_device *dev, const struct iol_server_spec *spec,
		   struct iol_server **out)
{
	struct iol_server *s = calloc(1, sizeof(*s));
	_cleanup_close_ int fd = spec->fd;
	int rc;

	if (!s)
		return iol_fail(ENOMEM, "no memory for a server");
	s->dev = dev;
	s->listener.fd = -1;
	s->sock = -1;
	if (spec->path && fd >= 0) {
		rc = iol_fail(EINVAL, "%s: a socket path and a descriptor are one too many",
			      dev->name);
	} else if (fd >= 0) {
		s->sock = iol_take_fd(&fd);
		rc = take_fd(s, s->sock);
	} else if (!spec->path) {
		rc = iol_fail(EINVAL, "%s: there is no socket to serve on", dev->name);
	} else if (spec->client) {
		rc = iol_check_path(spec->path);
		s->connect_path = strdup(spec->path);
		if (!rc && !s->connect_path)
			rc = iol_fail(ENOMEM, "no memory for a server");
	} else {
		rc = iol_listen(spec->path, spec->mode, &s->listener);
	}
	if (!rc)
		rc = start_thread(s);
	if (rc) {
		iol_server_destroy(&s);
		return rc;
	}
	*out = s;
	return 0;
}

void iol_server_destroy(struct iol_server **server)
{
	struct iol_server *s = *server;

	*server = NULL;
	if (!s)
		return;
	if (s->has_thread) {
		__atomic_store_n(&s->stop, true, __ATOMIC_RELEASE);
		__atomic_store_n(&s->dev->ending, true, __ATOMIC_RELAXED);
		iol_device_wake(s->dev);
		pthread_join(s->thread, NULL);
		__atomic_store_n(&s->dev->ending, false, __ATOMIC_RELAXED);
	}
	iol_listener_close(&s->listener);
	iol_close(&s->sock);
	free(s->connect_path);
	free(s);
}

bool iol_server_connected(const struct iol_server *s)
{
	return __atomic_load_n(&s->connected, __ATOMIC_ACQUIRE);
}

bool iol_server_finished(const struct iol_server *s)
{
	return __atomic_load_n(&s->finished, __ATOMIC_ACQUIRE);
}
