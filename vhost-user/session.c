/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/session.h"

#include "vhost-user/sharing.h"

#include "base/clock.h"
#include "base/error.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static int (*const handlers[])(struct iol_device *dev, struct iol_msg *msg) = {
#define M(id, name, payload, fds, feature, reply, needs, handler) [id] = iol_on_##handler,
	IOL_WIRE_MESSAGES(M)
#undef M
};

static const char *const protocol_names[] = {
#define F(bit, name) [bit] = #name,
	IOL_WIRE_PROTOCOL_FEATURES(F)
#undef F
};

void iol_session_open(struct iol_session *s, struct iol_device *dev, int sock)
{
	memset(s, 0, sizeof(*s));
	s->dev = dev;
	s->sock = sock;
	iol_device_connect(dev, iol_peer_pid(sock));
}

void iol_session_close(struct iol_session *s)
{
	iol_device_disconnect(s->dev);
	iol_wire_next(&s->rx);
}

/* The queue that a message is about, for those whose payload names one. */
static uint64_t queue_index(const struct iol_msg *msg, enum iol_wire_payload payload)
{
	switch (payload) {
	case IOL_PAYLOAD_U64:
		return msg->payload.u64 & VHOST_USER_VRING_IDX_MASK;
	case IOL_PAYLOAD_ADDR:
		return msg->payload.addr.index;
	default:
		return msg->payload.state.index;
	}
}

/*
 * Whether a protocol feature may be used. Who comes back to a new process may go on as it agreed on with the old
 * one: DPDK's virtio-user stops its rings and sets the status before it negotiates again.
 */
static bool agreed(const struct iol_device *dev, int feature)
{
	return (dev->has_protocol ? dev->protocol : dev->protocol_features) & IOL_BIT(feature);
}

/* Whether a good message may come now. */
static int check_state(const struct iol_device *dev, const struct iol_msg *msg,
		       const struct iol_wire_row *row)
{
	uint64_t index;
	unsigned int i;

	if (row->feature >= 0 && !agreed(dev, row->feature))
		return iol_fail(EINVAL, "the protocol feature %s was not negotiated",
				protocol_names[row->feature]);
	if ((row->needs & IOL_NEED_FEATURES) && !dev->has_features)
		return iol_fail(EINVAL, "SET_FEATURES must come first");
	if ((row->needs & IOL_NEED_IOMMU) && !iol_device_has(dev, VIRTIO_F_ACCESS_PLATFORM))
		return iol_fail(EINVAL, "the feature ACCESS_PLATFORM was not negotiated");
	if (row->needs & (IOL_NEED_RING | IOL_NEED_STOPPED_RING)) {
		index = queue_index(msg, row->payload);
		if (index >= dev->num_queues)
			return iol_fail(EINVAL, "there is no queue %llu, but 0 to %u",
					(unsigned long long)index, dev->num_queues - 1);
		if ((row->needs & IOL_NEED_STOPPED_RING) && dev->queue[index].started)
			return iol_fail(EBUSY, "queue %u is running", dev->queue[index].index);
	}
	for (i = 0; (row->needs & IOL_NEED_SUSPENDED) && i < dev->num_queues; i++) {
		if (dev->queue[i].started)
			return iol_fail(EBUSY, "queue %u is running", i);
	}
	return 0;
}

static int reply(struct iol_session *s, const struct iol_msg *msg, const void *payload,
		 uint32_t size)
{
	return iol_wire_send(s->sock, msg->hdr.request, VHOST_USER_REPLY_MASK, payload, size,
			     msg->fds, msg->nfds, IOL_WIRE_PATIENCE_MS);
}

static int reply_status(struct iol_session *s, struct iol_msg *msg, uint64_t status)
{
	iol_msg_close(msg);
	return reply(s, msg, &status, sizeof(status));
}

static bool wants_status(const struct iol_session *s, const struct iol_msg *msg)
{
	return (msg->hdr.flags & VHOST_USER_NEED_REPLY_MASK) &&
	       agreed(s->dev, VHOST_USER_PROTOCOL_F_REPLY_ACK);
}

/*
 * A good message that could not be done. 0 when the front end could be told so. SET_LOG_BASE's status
 * is waited for but not looked at, unless it was asked for: the migration would go on without a log,
 * and lose what is written.
 */
static int refuse(struct iol_session *s, struct iol_msg *msg, const struct iol_wire_row *row,
		  int rc)
{
	bool told =
		row->reply == IOL_REPLY_CONFIG ||
		(row->reply == IOL_REPLY_STATUS && msg->hdr.request != VHOST_USER_SET_LOG_BASE) ||
		(row->reply < 0 && wants_status(s, msg));

	if (!told)
		return iol_fail_more(rc, "%s", row->name);
	iol_log(IOL_LOG_WARNING, "%s: refused %s: %s", s->dev->name, row->name, iol_error());
	if (row->reply != IOL_REPLY_CONFIG)
		return reply_status(s, msg, (uint64_t)-rc);
	/* A configuration of no bytes is the protocol's way to say that there is none. */
	iol_msg_close(msg);
	return reply(s, msg, NULL, 0);
}

static int dispatch(struct iol_session *s)
{
	struct iol_msg *msg = &s->rx.msg;
	const struct iol_wire_row *row = iol_wire_row(msg->hdr.request);
	int rc = iol_wire_check(msg);

	iol_log(IOL_LOG_DEBUG, "%s: %s, %u bytes, %u descriptors", s->dev->name,
		iol_wire_name(msg->hdr.request), msg->hdr.size, msg->nfds);
	if (rc) {
		/* The connection ends anyway, so that it matters to nobody if this fails too. */
		if (wants_status(s, msg)) {
			char why[IOL_ERROR_MAX];

			strcpy(why, iol_error());
			if (reply_status(s, msg, EPROTO))
				iol_log(IOL_LOG_DEBUG, "%s: %s", s->dev->name, iol_error());
			return iol_fail(EPROTO, "%s", why);
		}
		return rc;
	}
	rc = check_state(s->dev, msg, row);
	if (!rc)
		rc = handlers[msg->hdr.request](s->dev, msg);
	if (rc)
		return refuse(s, msg, row, rc);
	if (row->reply == IOL_REPLY_STATUS || (row->reply == IOL_REPLY_ACK && wants_status(s, msg)))
		return reply_status(s, msg, 0);
	if (row->reply >= 0)
		return reply(s, msg, &msg->payload, msg->hdr.size);
	return 0;
}

/* 0 sent, 1 no room now. A channel that fails is given up: the front end closed it. */
static int send_to_front_end(struct iol_session *s, uint32_t request, const void *payload,
			     uint32_t size)
{
	int rc = iol_wire_send(s->dev->backend_fd, request, 0, payload, size, NULL, 0, 0);

	if (rc == -EAGAIN)
		return 1;
	if (rc) {
		iol_log(IOL_LOG_WARNING, "%s: back-end channel: %s", s->dev->name, iol_error());
		iol_device_set_backend_fd(s->dev, -1);
	}
	return 0;
}

/*
 * Nothing here asks for a reply: the front end may be waiting for an answer of ours on the other
 * channel, and neither would go on. A suspended device sends nothing.
 */
static void flush_backend_channel(struct iol_session *s)
{
	struct iol_device *dev = s->dev;
	struct iol_iotlb_miss miss;

	s->backlog = false;
	while (dev->live && dev->backend_fd >= 0 && !s->backlog &&
	       iol_iotlb_take_miss(dev->iotlb, &miss)) {
		struct vhost_iotlb_msg m = { .iova = miss.iova,
					     .perm = miss.perm,
					     .type = VHOST_IOTLB_MISS };

		s->backlog = send_to_front_end(s, VHOST_USER_BACKEND_IOTLB_MSG, &m, sizeof(m));
		if (s->backlog)
			iol_iotlb_untake_miss(dev->iotlb, &miss);
	}
	if (dev->live && dev->backend_fd >= 0 && !s->backlog &&
	    __atomic_exchange_n(&dev->config_changed, false, __ATOMIC_ACQ_REL)) {
		s->backlog = send_to_front_end(s, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, NULL, 0);
		if (s->backlog)
			__atomic_store_n(&dev->config_changed, true, __ATOMIC_RELEASE);
	}
}

static int wait_for_events(struct iol_session *s)
{
	struct pollfd p[3] = {
		{ .fd = s->sock, .events = POLLIN },
		{ .fd = s->dev->wake, .events = POLLIN },
		{ .fd = s->backlog ? s->dev->backend_fd : -1, .events = POLLOUT },
	};
	uint64_t now, n;
	int ms = -1;

	if (s->rx.deadline) {
		now = iol_now();
		ms = now >= s->rx.deadline ? 0 : (int)((s->rx.deadline - now) / IOL_NS_PER_MS) + 1;
	}
	if (poll(p, 3, ms) < 0 && errno != EINTR)
		return iol_fail(errno, "cannot wait for the front end: %s", strerror(errno));
	/* Emptied before anything is looked at, so that no later write goes unseen. */
	if (read(s->dev->wake, &n, sizeof(n)) < 0 && errno != EAGAIN)
		return iol_fail(errno, "cannot read an eventfd: %s", strerror(errno));
	return 0;
}

int iol_session_step(struct iol_session *s)
{
	int rc = wait_for_events(s);

	if (rc)
		return rc;
	if (__atomic_load_n(&s->dev->broken, __ATOMIC_ACQUIRE))
		return iol_fail(EFAULT,
				"the front end truncated a file whose memory it shares, or its "
				"huge pages have run out");
	iol_device_signal_owed(s->dev);
	rc = iol_wire_recv(s->sock, &s->rx);
	if (rc < 0)
		return rc;
	if (rc) {
		rc = dispatch(s);
		s->messages++;
		iol_wire_next(&s->rx);
		if (rc < 0)
			return rc;
	}
	flush_backend_channel(s);
	return 0;
}
