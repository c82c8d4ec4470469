/* SPDX-License-Identifier: BSD-3-Clause */
/* Coming and going: connecting, listening for a back end, and connecting again. */
#include "vmm-glue/frontend.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define TIMEOUT_MS  10000
#define LOOK_MS_MAX 10

static int wait_connect(struct iol_frontend *fe)
{
	uint64_t end = iol_now() + (uint64_t)fe->connect_ms * IOL_NS_PER_MS;
	int rc, fd, ms = 1;

	for (;;) {
		rc = iol_connect(fe->path, &fd);
		if (!rc)
			return fd;
		if (rc != -ENOENT && rc != -ECONNREFUSED && rc != -EAGAIN && rc != -EINTR)
			return rc;
		if (!fe->connect_ms)
			return iol_fail(-rc, "no back end is at %s: %s", fe->path, strerror(-rc));
		if (iol_now() >= end)
			return iol_fail(
				ETIMEDOUT,
				"no back end answers on %s within %d ms (%s); is it running?",
				fe->path, fe->connect_ms, strerror(-rc));
		poll(NULL, 0, ms);
		ms = ms < LOOK_MS_MAX ? ms + 1 : ms;
	}
}

static int wait_accept(struct iol_frontend *fe)
{
	uint64_t end = iol_now() + (uint64_t)fe->connect_ms * IOL_NS_PER_MS;
	int rc, fd;

	if (fe->listener.fd < 0) {
		rc = iol_listen(fe->path, 0, &fe->listener);
		if (rc < 0)
			return rc;
	}
	for (;;) {
		struct pollfd pfd = { .fd = fe->listener.fd, .events = POLLIN };
		uint64_t now = iol_now();

		fd = accept4(fe->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0)
			return fd;
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			return iol_fail(errno, "cannot accept a back end on %s: %s", fe->path,
					strerror(errno));
		if (now >= end)
			return iol_fail(ETIMEDOUT, "no back end connected to %s within %d ms",
					fe->path, fe->connect_ms);
		poll(&pfd, 1, (int)((end - now) / IOL_NS_PER_MS) + 1);
	}
}

static int open_socket(struct iol_frontend *fe)
{
	int fd = fe->listen ? wait_accept(fe) : wait_connect(fe);

	if (fd < 0)
		return fd;
	fe->fd = fd;
	return 0;
}

int iol_fe_lose(struct iol_frontend *fe, int rc)
{
	iol_msg_close(&fe->rx.msg);
	iol_msg_close(&fe->channel_rx.msg);
	iol_wire_next(&fe->rx);
	iol_wire_next(&fe->channel_rx);
	iol_close(&fe->fd);
	iol_close(&fe->channel);
	fe->iotlb_pending = 0;
	fe->table_sent = false;
	fe->nregions = 0;
	return rc;
}

static int connect_path(struct iol_frontend *fe, const char *path)
{
	int rc = path ? iol_check_path(path)
		      : iol_fail(EINVAL, "a front end needs the path of a socket or a socket");

	if (rc)
		return rc;
	fe->path = strdup(path);
	if (!fe->path)
		return iol_fail(ENOMEM, "out of memory for a front end");
	fe->can_reconnect = true;
	return open_socket(fe);
}

int iol_frontend_new(const struct iol_frontend_spec *spec, struct iol_frontend **fep)
{
	struct iol_frontend *fe = calloc(1, sizeof(*fe));
	int fd = spec->fd;
	int rc = 0;

	if (!fe) {
		iol_close(&fd);
		return iol_fail(ENOMEM, "out of memory for a front end");
	}
	fe->fd = fd;
	fe->listener.fd = fe->channel = fe->inflight_fd = fe->log_fd = -1;
	fe->listen = spec->listen;
	fe->timeout_ms = spec->timeout_ms ? (int)spec->timeout_ms : TIMEOUT_MS;
	fe->connect_ms = fe->timeout_ms;
	fe->protocol_off = spec->protocol_features_off;
	fe->pairs = spec->pairs;
	fe->ctx = spec->ctx;
	if (spec->ops)
		fe->ops = *spec->ops;
	if (fd < 0)
		rc = connect_path(fe, spec->path);
	if (rc < 0)
		iol_frontend_destroy(&fe);
	else
		*fep = fe;
	return rc;
}

void iol_frontend_destroy(struct iol_frontend **fep)
{
	struct iol_frontend *fe = *fep;

	if (!fe)
		return;
	iol_fe_lose(fe, 0);
	iol_listener_close(&fe->listener);
	iol_close(&fe->inflight_fd);
	if (fe->log)
		munmap(fe->log, fe->log_size);
	iol_close(&fe->log_fd);
	free(fe->regions);
	free(fe->queues);
	free(fe->mappings);
	free(fe->path);
	free(fe);
	*fep = NULL;
}

bool iol_frontend_connected(const struct iol_frontend *fe)
{
	return fe->fd >= 0;
}

int iol_frontend_fd(const struct iol_frontend *fe)
{
	return fe->fd;
}

int iol_frontend_reconnect(struct iol_frontend *fe)
{
	uint64_t features = fe->features;
	int rc;

	iol_fe_lose(fe, 0);
	if (!fe->can_reconnect)
		return iol_fail(ENOTSUP,
				"a front end that was given a socket cannot connect again");
	rc = open_socket(fe);
	if (rc < 0 || !fe->negotiated)
		return rc;
	/* It must offer all that the first one did, as the guest may choose anew. */
	rc = iol_frontend_negotiate(fe, fe->offered | features, fe->offered | features);
	/* Whatever fails from here on, the next one has to get what the guest chose. */
	if (!rc && features != fe->features)
		rc = iol_frontend_set_features(fe, features);
	if (!rc && fe->nqueues > fe->queues_max)
		rc = iol_fail(ENOTSUP, "it has %u queues, and %u are in use", fe->queues_max,
			      fe->nqueues);
	if (!rc && fe->memory)
		rc = iol_frontend_set_memory(fe, fe->memory);
	if (!rc && fe->inflight_fd >= 0)
		rc = iol_fe_send_inflight(fe);
	if (!rc && fe->logging)
		rc = iol_fe_send_log(fe);
	if (!rc && fe->mtu)
		rc = iol_frontend_set_mtu(fe, fe->mtu);
	if (!rc)
		rc = iol_fe_restart_queues(fe);
	return rc < 0 ? iol_fail_more(rc, "reconnecting to %s", fe->path) : 0;
}
