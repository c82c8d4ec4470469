/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages and their answers. While an answer is waited for the back end's own requests are served,
 * because it may not be able to answer before it has got what it asked for.
 */
#include "vmm-glue/frontend.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/event.h"
#include "base/own.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define PROTOCOL_BIT(name) (1ull << VHOST_USER_PROTOCOL_F_##name)

/*
 * A back end that is slow at each of many requests, or hangs or goes again whenever it was connected to, would take all the time of a
 * guest whose processors wait for us. So time is lent to it: as long as for one request and a tenth, to be paid back
 * twentyfold by time in which it lets us be. Of those that work, answers take some microseconds each.
 */
#define RATE      20u
#define LENT(max) ((max)*RATE + (max)*RATE / 10)

/* How long it may be waited for, from @now on. */
static uint64_t patience(const struct iol_frontend *fe, uint64_t now)
{
	uint64_t max = (uint64_t)fe->timeout_ms * IOL_NS_PER_MS, debt, left;

	if (!fe->rationed)
		return max;
	debt = fe->paid_at > now ? fe->paid_at - now : 0;
	left = debt < LENT(max) ? (LENT(max) - debt) / RATE : 0;
	return left < max ? left : max;
}

static void waited(struct iol_frontend *fe, uint64_t since)
{
	fe->paid_at = (fe->paid_at > since ? fe->paid_at : since) + (iol_now() - since) * RATE;
}

static int send_message(struct iol_frontend *fe, int sock, uint32_t request, uint32_t flags,
			const void *payload, uint32_t size, const int *fds, unsigned int nfds)
{
	uint64_t now = iol_now();
	int rc = iol_wire_send(sock, request, flags, payload, size, fds, nfds,
			       (int)(patience(fe, now) / IOL_NS_PER_MS) + 1);

	waited(fe, now);
	return rc;
}

static int not_connected(void)
{
	return iol_fail(ENOTCONN, "the front end has no connection to a back end");
}

static const char *protocol_feature_name(int bit)
{
#define F(number, name)                                                                            \
	case number:                                                                               \
		return #name;
	switch (bit) {
		IOL_WIRE_PROTOCOL_FEATURES(F)
	default:
		return "unknown";
	}
#undef F
}

int iol_fe_has(const struct iol_frontend *fe, uint32_t request)
{
	const struct iol_wire_row *row = iol_wire_row(request);

	if (!row)
		return iol_fail(EINVAL, "there is no message %u", request);
	if (row->feature != VHOST_USER_PROTOCOL_F_ANY && !(fe->protocol >> row->feature & 1))
		return iol_fail(ENOTSUP, "%s needs %s, which the back end did not agree to",
				row->name, protocol_feature_name(row->feature));
	return 0;
}

/* ---- the back end's requests ---- */

static int answer_backend(struct iol_frontend *fe, const struct iol_msg *msg, uint64_t status)
{
	if (!(msg->hdr.flags & VHOST_USER_NEED_REPLY_MASK) ||
	    !(fe->protocol & PROTOCOL_BIT(REPLY_ACK)))
		return 0;
	return send_message(fe, fe->channel, msg->hdr.request, VHOST_USER_REPLY_MASK, &status,
			    sizeof(status), NULL, 0);
}

static int serve_backend(struct iol_frontend *fe, const struct iol_msg *msg)
{
	uint64_t status = 0;
	int rc;

	if (msg->hdr.flags & VHOST_USER_REPLY_MASK)
		return iol_fail(EPROTO, "the back end replied on its channel to nothing");
	if (msg->nfds)
		return iol_fail(EPROTO, "the back end sent file descriptors with its request %u",
				msg->hdr.request);
	switch (msg->hdr.request) {
	case VHOST_USER_BACKEND_CONFIG_CHANGE_MSG:
		if (msg->hdr.size)
			return iol_fail(
				EPROTO,
				"the back end's CONFIG_CHANGE has %u bytes in place of none",
				msg->hdr.size);
		if (fe->ops.config_changed)
			fe->ops.config_changed(fe->ctx);
		break;
	case VHOST_USER_BACKEND_IOTLB_MSG:
		if (msg->hdr.size != sizeof(msg->payload.iotlb))
			return iol_fail(EPROTO,
					"the back end's IOTLB_MSG has %u bytes in place of %zu",
					msg->hdr.size, sizeof(msg->payload.iotlb));
		rc = iol_fe_iotlb_miss(fe, &msg->payload.iotlb);
		if (rc < 0 && rc != -ENOENT)
			return rc;
		status = rc < 0;
		break;
	default:
		status = 1;
		break;
	}
	return answer_backend(fe, msg, status);
}

/* Everything that waits on the back end's channel. Return: how many requests. */
static int serve_channel(struct iol_frontend *fe)
{
	int rc, n = 0;

	/* A back end that never stops asking must not keep us here. */
	while (fe->channel >= 0 && n < 64) {
		rc = iol_wire_recv(fe->channel, &fe->channel_rx);
		if (!rc)
			break;
		if (rc == -ECONNRESET) {
			/* Only this channel: the other one tells whether the back end is gone. */
			iol_close(&fe->channel);
			break;
		}
		if (rc > 0)
			rc = serve_backend(fe, &fe->channel_rx.msg);
		if (rc < 0)
			return iol_fe_lose(fe, rc);
		iol_wire_next(&fe->channel_rx);
		n++;
	}
	return n;
}

/* ---- replies ---- */

static int check_reply(const struct iol_msg *msg, uint32_t request, uint32_t min, uint32_t max,
		       unsigned int nfds)
{
	const char *name = iol_wire_name(request);

	if (msg->hdr.request != request || !(msg->hdr.flags & VHOST_USER_REPLY_MASK))
		return iol_fail(EPROTO, "the back end sent %s in place of the reply to %s",
				iol_wire_name(msg->hdr.request), name);
	if (msg->hdr.size < min || msg->hdr.size > max)
		return iol_fail(EPROTO, "the back end's reply to %s has %u bytes in place of %u",
				name, msg->hdr.size, min);
	if (msg->nfds != nfds)
		return iol_fail(
			EPROTO,
			"the back end's reply to %s came with %u file descriptors in place of %u",
			name, msg->nfds, nfds);
	return 0;
}

/* An acknowledgement of an answer to a miss may come before the reply that is waited for. */
static int take_iotlb_ack(struct iol_frontend *fe, const struct iol_msg *msg)
{
	int rc;

	if (!fe->iotlb_pending)
		return iol_fail(EPROTO, "the back end acknowledged an IOTLB_MSG that was not sent");
	rc = check_reply(msg, VHOST_USER_IOTLB_MSG, sizeof(uint64_t), sizeof(uint64_t), 0);
	if (rc < 0)
		return rc;
	fe->iotlb_pending--;
	fe->iotlb_refused = msg->payload.u64 != 0;
	return 0;
}

static int gone(struct iol_frontend *fe, int rc)
{
	if (rc == -ECONNRESET || rc == -EPIPE)
		rc = iol_fail(ENOTCONN, "the back end closed the connection");
	return iol_fe_lose(fe, rc);
}

/* Take what has come on the socket; 1 when it is a whole message other than an IOTLB reply. */
static int take_message(struct iol_frontend *fe)
{
	int rc;

	for (;;) {
		rc = iol_wire_recv(fe->fd, &fe->rx);
		if (rc < 0)
			return gone(fe, rc);
		if (!rc || fe->rx.msg.hdr.request != VHOST_USER_IOTLB_MSG)
			return rc;
		rc = take_iotlb_ack(fe, &fe->rx.msg);
		if (rc < 0)
			return iol_fe_lose(fe, rc);
		iol_wire_next(&fe->rx);
	}
}

static int no_answer(struct iol_frontend *fe, uint32_t request, bool in_full)
{
	const char *name = iol_wire_name(request ? request : VHOST_USER_IOTLB_MSG);
	int rc;

	/* Without a number, it is the same sentence each time. */
	if (in_full)
		rc = iol_fail(ETIMEDOUT, "the back end has not answered %s within %d ms", name,
			      fe->timeout_ms);
	else
		rc = iol_fail(ETIMEDOUT,
			      "the back end has not answered %s within what was left of the time "
			      "that it may keep its guest waiting",
			      name);
	return iol_fe_lose(fe, rc);
}

static int wait_until(struct iol_frontend *fe, uint32_t request, uint64_t end, bool in_full)
{
	int rc;

	for (;;) {
		struct pollfd pfd[2] = { { .fd = fe->fd, .events = POLLIN } };
		uint64_t now = iol_now();

		rc = take_message(fe);
		if (rc)
			return rc < 0 ? rc : 0;
		if (!request && !fe->iotlb_pending)
			return 0;
		rc = serve_channel(fe);
		if (rc < 0)
			return rc;
		/* However much it asks meanwhile. */
		if (now >= end)
			return no_answer(fe, request, in_full);
		if (rc)
			continue;
		pfd[1] = (struct pollfd){ .fd = fe->channel, .events = POLLIN };
		poll(pfd, 2, (int)((end - now) / IOL_NS_PER_MS) + 1);
	}
}

/* Wait until a message is whole (@request), or until no acknowledgement is missing (0). */
static int wait_message(struct iol_frontend *fe, uint32_t request)
{
	uint64_t now = iol_now(), ns = patience(fe, now);
	int rc = wait_until(fe, request, now + ns, ns >= fe->timeout_ms * IOL_NS_PER_MS);

	waited(fe, now);
	return rc;
}

/* ---- requests ---- */

static int send_request(struct iol_frontend *fe, uint32_t request, uint32_t flags,
			const void *payload, uint32_t size, const int *fds, unsigned int nfds)
{
	int rc;

	if (fe->fd < 0)
		return not_connected();
	rc = iol_fe_has(fe, request);
	if (rc < 0)
		return rc;
	rc = send_message(fe, fe->fd, request, flags, payload, size, fds, nfds);
	return rc < 0 ? gone(fe, rc) : 0;
}

int iol_fe_set(struct iol_frontend *fe, uint32_t request, const void *payload, uint32_t size,
	       const int *fds, unsigned int nfds)
{
	const struct iol_wire_row *row = iol_wire_row(request);
	bool always = row && row->reply == IOL_REPLY_STATUS;
	bool ack = fe->protocol & PROTOCOL_BIT(REPLY_ACK);
	uint64_t status;
	int rc;

	rc = send_request(fe, request, ack ? VHOST_USER_NEED_REPLY_MASK : 0, payload, size, fds,
			  nfds);
	if (rc < 0 || (!ack && !always))
		return rc;
	rc = wait_message(fe, request);
	if (rc < 0)
		return rc;
	/* Some answer SET_LOG_BASE with no payload at all. */
	rc = check_reply(&fe->rx.msg, request, always && !fe->rx.msg.hdr.size ? 0 : sizeof(status),
			 sizeof(status), 0);
	status = fe->rx.msg.hdr.size ? fe->rx.msg.payload.u64 : 0;
	if (rc < 0)
		return iol_fe_lose(fe, rc);
	iol_wire_next(&fe->rx);
	if (status)
		return iol_fail(EREMOTEIO, "the back end refused %s", iol_wire_name(request));
	return 0;
}

int iol_fe_set_u64(struct iol_frontend *fe, uint32_t request, uint64_t value)
{
	return iol_fe_set(fe, request, &value, sizeof(value), NULL, 0);
}

/* How many descriptors a reply comes with. */
static unsigned int reply_fds(const struct iol_msg *reply)
{
	switch (reply->hdr.request) {
	case VHOST_USER_GET_INFLIGHT_FD:
		return 1;
	case VHOST_USER_SET_DEVICE_STATE_FD:
		return !(reply->payload.u64 &
			 (VHOST_USER_TRANSFER_ERROR_MASK | VHOST_USER_TRANSFER_NOFD_MASK));
	default:
		return 0;
	}
}

int iol_fe_get(struct iol_frontend *fe, uint32_t request, const void *payload, uint32_t size,
	       int fd, struct iol_msg *reply)
{
	const struct iol_wire_row *row = iol_wire_row(request);
	enum iol_wire_payload kind = row ? (enum iol_wire_payload)row->reply : IOL_PAYLOAD_NONE;
	uint32_t min = iol_wire_payload_min(kind);
	int rc;

	rc = send_request(fe, request, 0, payload, size, &fd, fd >= 0);
	if (rc < 0)
		return rc;
	rc = wait_message(fe, request);
	if (rc < 0)
		return rc;
	/* The configuration may be refused by an empty reply. */
	if (kind == IOL_PAYLOAD_CONFIG)
		min = 0;
	rc = check_reply(&fe->rx.msg, request, min, iol_wire_payload_max(kind),
			 reply_fds(&fe->rx.msg));
	if (rc < 0)
		return iol_fe_lose(fe, rc);
	*reply = fe->rx.msg;
	fe->rx.msg.nfds = 0;
	iol_wire_next(&fe->rx);
	return 0;
}

int iol_fe_get_u64(struct iol_frontend *fe, uint32_t request, uint64_t *value)
{
	struct iol_msg reply = { 0 };
	int rc;

	rc = iol_fe_get(fe, request, NULL, 0, -1, &reply);
	if (!rc)
		*value = reply.payload.u64;
	return rc;
}

int iol_fe_seen(struct iol_frontend *fe)
{
	uint64_t features;

	if (fe->protocol & PROTOCOL_BIT(REPLY_ACK))
		return 0;
	/* Messages are taken one after the other, so any answer says that those before were. */
	return iol_fe_get_u64(fe, VHOST_USER_GET_FEATURES, &features);
}

int iol_fe_send_iotlb(struct iol_frontend *fe, const struct vhost_iotlb_msg *iotlb)
{
	int rc;

	rc = send_request(fe, VHOST_USER_IOTLB_MSG, VHOST_USER_NEED_REPLY_MASK, iotlb,
			  sizeof(*iotlb), NULL, 0);
	if (!rc)
		fe->iotlb_pending++;
	return rc;
}

int iol_fe_wait_iotlb(struct iol_frontend *fe)
{
	int rc;

	rc = wait_message(fe, 0);
	if (rc < 0)
		return rc;
	if (fe->rx.have)
		return iol_fe_lose(fe, iol_fail(EPROTO, "the back end sent %s out of turn",
						iol_wire_name(fe->rx.msg.hdr.request)));
	if (fe->iotlb_refused)
		return iol_fail(EREMOTEIO, "the back end refused IOTLB_MSG");
	return 0;
}

/* ---- polling ---- */

static int look_at_errors(struct iol_frontend *fe, const struct pollfd *pfd)
{
	unsigned int i;
	int n = 0;

	for (i = 0; i < fe->nqueues; i++) {
		if (!(pfd[i].revents & POLLIN) || !iol_event_take(pfd[i].fd))
			continue;
		n++;
		if (fe->ops.failed)
			fe->ops.failed(fe->ctx, i);
	}
	return n;
}

int iol_frontend_poll(struct iol_frontend *fe, int timeout_ms)
{
	_cleanup_free_ struct pollfd *pfd = NULL;
	unsigned int i;
	int rc, n;

	if (fe->fd < 0)
		return not_connected();
	pfd = calloc(fe->nqueues + 2, sizeof(*pfd));
	if (!pfd)
		return iol_fail(ENOMEM, "out of memory for waiting");
	for (i = 0; i < fe->nqueues; i++)
		pfd[i] =
			(struct pollfd){ .fd = fe->queues[i].started ? fe->queues[i].setup.err : -1,
					 .events = POLLIN };
	pfd[i] = (struct pollfd){ .fd = fe->fd, .events = POLLIN };
	pfd[i + 1] = (struct pollfd){ .fd = fe->channel, .events = POLLIN };
	if (poll(pfd, fe->nqueues + 2, timeout_ms) < 0)
		return errno == EINTR ? 0 : iol_fail(errno, "cannot wait: %s", strerror(errno));
	n = look_at_errors(fe, pfd);
	rc = take_message(fe);
	if (rc > 0)
		rc = iol_fe_lose(fe, iol_fail(EPROTO, "the back end sent %s out of turn",
					      iol_wire_name(fe->rx.msg.hdr.request)));
	if (rc < 0)
		return rc == -EPROTO || rc == -ETIMEDOUT ? -ENOTCONN : rc;
	rc = serve_channel(fe);
	return rc < 0 ? -ENOTCONN : n + rc;
}
