/* SPDX-License-Identifier: BSD-3-Clause */
#include "vhost-user/wire.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/own.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define HDR_SIZE sizeof(struct vhost_user_header)

/* Room for more descriptors than any message has, so that too many arrive and are closed. */
#define CMSG_FDS 64

static const struct iol_wire_row rows[] = {
#define M(id, name_, payload_, fds_, feature_, reply_, needs_, handler)                            \
	[id] = { .name = #name_,                                                                   \
		 .payload = IOL_PAYLOAD_##payload_,                                                \
		 .fds = IOL_FDS_##fds_,                                                            \
		 .feature = VHOST_USER_PROTOCOL_F_##feature_,                                      \
		 .reply = IOL_REPLY_##reply_,                                                      \
		 .needs = (needs_) },
	IOL_WIRE_MESSAGES(M)
#undef M
};

static const struct {
	uint32_t min, max;
} payloads[] = {
#define P(name, min_, max_) [IOL_PAYLOAD_##name] = { (min_), (max_) },
	IOL_WIRE_PAYLOADS(P)
#undef P
};

const struct iol_wire_row *iol_wire_row(uint32_t request)
{
	if (request >= sizeof(rows) / sizeof(rows[0]) || !rows[request].name)
		return NULL;
	return &rows[request];
}

const char *iol_wire_name(uint32_t request)
{
	static _Thread_local char unknown[24];
	const struct iol_wire_row *row = iol_wire_row(request);

	if (row)
		return row->name;
	snprintf(unknown, sizeof(unknown), "message %u", request);
	return unknown;
}

uint32_t iol_wire_payload_min(enum iol_wire_payload payload)
{
	return payloads[payload].min;
}

uint32_t iol_wire_payload_max(enum iol_wire_payload payload)
{
	return payloads[payload].max;
}

void iol_msg_close(struct iol_msg *msg)
{
	while (msg->nfds)
		iol_close(&msg->fds[--msg->nfds]);
}

int iol_msg_take_fd(struct iol_msg *msg)
{
	int fd;

	if (!msg->nfds)
		return -1;
	fd = msg->fds[0];
	memmove(msg->fds, msg->fds + 1, --msg->nfds * sizeof(msg->fds[0]));
	return fd;
}

/* The size that the payload itself tells, given that its fixed part is there. */
static int check_inner_size(const struct iol_msg *msg, enum iol_wire_payload payload)
{
	const char *name = iol_wire_name(msg->hdr.request);
	uint64_t need;

	switch (payload) {
	case IOL_PAYLOAD_MEMORY:
		if (msg->payload.memory.nregions > VHOST_USER_MEM_TABLE_MAX)
			return iol_fail(EPROTO, "%s has %u regions, more than %u", name,
					msg->payload.memory.nregions, VHOST_USER_MEM_TABLE_MAX);
		need = offsetof(struct vhost_user_memory, region) +
		       msg->payload.memory.nregions * sizeof(struct iol_mem_desc);
		break;
	case IOL_PAYLOAD_CONFIG:
		need = offsetof(struct vhost_user_config, data) +
		       (uint64_t)msg->payload.config.size;
		break;
	default:
		return 0;
	}
	if (msg->hdr.size < need)
		return iol_fail(EPROTO, "%s has %u bytes, but says that it has %llu", name,
				msg->hdr.size, (unsigned long long)need);
	return 0;
}

static int check_fds(const struct iol_msg *msg, enum iol_wire_fds policy)
{
	const char *name = iol_wire_name(msg->hdr.request);
	unsigned int min = 0, max = 0;

	switch (policy) {
	case IOL_FDS_NONE:
		break;
	case IOL_FDS_ONE:
		min = max = 1;
		break;
	case IOL_FDS_STRAY:
		max = 1;
		break;
	case IOL_FDS_VRING:
		min = max = !(msg->payload.u64 & VHOST_USER_VRING_NOFD_MASK);
		break;
	case IOL_FDS_REGIONS:
		min = max = msg->payload.memory.nregions;
		break;
	}
	if (msg->nfds < min || msg->nfds > max)
		return iol_fail(EPROTO, "%s came with %u file descriptors in place of %u%s", name,
				msg->nfds, max,
				policy == IOL_FDS_REGIONS && msg->nfds < min
					? "; the VM's memory must be shared: with QEMU, -object "
					  "memory-backend-memfd,share=on,… and -machine "
					  "memory-backend=…"
					: "");
	return 0;
}

int iol_wire_check(const struct iol_msg *msg)
{
	const struct iol_wire_row *row = iol_wire_row(msg->hdr.request);
	int rc;

	if (!row)
		return iol_fail(EPROTO, "%s is not one that this back end knows",
				iol_wire_name(msg->hdr.request));
	if (msg->hdr.flags & VHOST_USER_REPLY_MASK)
		return iol_fail(EPROTO, "%s came as a reply to nothing", row->name);
	if (msg->hdr.size < payloads[row->payload].min ||
	    msg->hdr.size > payloads[row->payload].max)
		return iol_fail(EPROTO, "%s has %u bytes in place of %u%s", row->name,
				msg->hdr.size, payloads[row->payload].min,
				payloads[row->payload].max > payloads[row->payload].min
					? " or some more"
					: "");
	rc = check_inner_size(msg, row->payload);
	return rc ? rc : check_fds(msg, row->fds);
}

/* Keep what came with a piece of a message; what can't be kept is closed here. */
static int keep_fds(struct iol_msg *msg, struct msghdr *mh)
{
	struct cmsghdr *c;
	int rc = 0;

	for (c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t i, n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (msg->nfds < IOL_WIRE_FDS_MAX) {
				msg->fds[msg->nfds++] = fd;
				continue;
			}
			iol_close(&fd);
			rc = -EPROTO;
		}
	}
	if (rc || mh->msg_flags & MSG_CTRUNC)
		return iol_fail(EPROTO,
				"a message came with more file descriptors than %u, or than this "
				"process may open (ulimit -n)",
				IOL_WIRE_FDS_MAX);
	return 0;
}

static int check_header(const struct vhost_user_header *hdr)
{
	if ((hdr->flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION)
		return iol_fail(EPROTO, "%s has protocol version %u in place of %u",
				iol_wire_name(hdr->request), hdr->flags & VHOST_USER_VERSION_MASK,
				VHOST_USER_VERSION);
	if (hdr->size > sizeof(union vhost_user_payload))
		return iol_fail(EPROTO, "%s has %u bytes, more than any message",
				iol_wire_name(hdr->request), hdr->size);
	return 0;
}

/* One read, of the header or the payload, whichever is not whole. 1 when some came. */
static int read_some(int sock, struct iol_wire_rx *rx)
{
	union {
		char buf[CMSG_SPACE(CMSG_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov;
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.buf,
			     .msg_controllen = sizeof(control.buf) };
	bool header = rx->have < HDR_SIZE;
	ssize_t got;
	int rc;

	if (header) {
		iov.iov_base = (uint8_t *)&rx->msg.hdr + rx->have;
		iov.iov_len = HDR_SIZE - rx->have;
	} else {
		iov.iov_base = (uint8_t *)&rx->msg.payload + (rx->have - HDR_SIZE);
		iov.iov_len = HDR_SIZE + rx->msg.hdr.size - rx->have;
	}
	do {
		got = recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EAGAIN)
		return 0;
	if (got < 0 && errno != ECONNRESET)
		return iol_fail(errno, "cannot read from the vhost-user socket: %s",
				strerror(errno));
	if (got <= 0) {
		if (!rx->have)
			return iol_fail(ECONNRESET, "the peer closed the connection");
		return iol_fail(EPROTO,
				"the peer closed the connection in the middle of a message");
	}
	rc = keep_fds(&rx->msg, &mh);
	if (rc)
		return rc;
	rx->have += (size_t)got;
	if (header && rx->have == HDR_SIZE) {
		rc = check_header(&rx->msg.hdr);
		if (rc)
			return rc;
	}
	return 1;
}

int iol_wire_recv(int sock, struct iol_wire_rx *rx)
{
	int rc = 1;

	while (rx->have < HDR_SIZE || rx->have < HDR_SIZE + rx->msg.hdr.size) {
		rc = read_some(sock, rx);
		if (rc <= 0)
			break;
	}
	if (rc > 0) {
		rx->deadline = 0;
		return 1;
	}
	if (!rc && rx->have) {
		if (!rx->deadline)
			rx->deadline = iol_now() + IOL_WIRE_PATIENCE_MS * IOL_NS_PER_MS;
		else if (iol_now() >= rx->deadline)
			rc = iol_fail(ETIMEDOUT,
				      "the peer sent a part of a message and then nothing for %u s",
				      IOL_WIRE_PATIENCE_MS / 1000);
	}
	if (rc < 0)
		iol_msg_close(&rx->msg);
	return rc;
}

void iol_wire_next(struct iol_wire_rx *rx)
{
	iol_msg_close(&rx->msg);
	memset(rx, 0, sizeof(*rx));
}

/* Milliseconds until @deadline, rounded up. */
static int until(uint64_t deadline)
{
	uint64_t now = iol_now();

	return now >= deadline ? 0 : (int)((deadline - now) / IOL_NS_PER_MS) + 1;
}

int iol_wire_wait(int sock, struct iol_wire_rx *rx, int timeout_ms)
{
	uint64_t end = iol_now() + (uint64_t)(timeout_ms < 0 ? 0 : timeout_ms) * IOL_NS_PER_MS;

	for (;;) {
		struct pollfd p = { .fd = sock, .events = POLLIN };
		int rc = iol_wire_recv(sock, rx), ms = -1;

		if (rc)
			return rc < 0 ? rc : 0;
		if (timeout_ms >= 0) {
			ms = until(end);
			if (!ms) {
				iol_msg_close(&rx->msg);
				return iol_fail(ETIMEDOUT, "the peer sent nothing for %d ms",
						timeout_ms);
			}
		}
		if (rx->deadline && (ms < 0 || until(rx->deadline) < ms))
			ms = until(rx->deadline);
		if (poll(&p, 1, ms) < 0 && errno != EINTR) {
			rc = iol_fail(errno, "cannot wait for the vhost-user socket: %s",
				      strerror(errno));
			iol_msg_close(&rx->msg);
			return rc;
		}
	}
}

void iol_wire_attach(struct msghdr *mh, const int *fds, unsigned int nfds)
{
	struct cmsghdr *c;

	if (!nfds) {
		mh->msg_control = NULL;
		mh->msg_controllen = 0;
		return;
	}
	mh->msg_controllen = CMSG_SPACE(nfds * sizeof(int));
	memset(mh->msg_control, 0, mh->msg_controllen);
	c = CMSG_FIRSTHDR(mh);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
	memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
}

int iol_wire_send(int sock, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
		  const int *fds, unsigned int nfds, int timeout_ms)
{
	struct vhost_user_header hdr = { request, flags | VHOST_USER_VERSION, size };
	union {
		char buf[CMSG_SPACE(IOL_WIRE_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov[2] = { { &hdr, HDR_SIZE }, { (void *)(uintptr_t)payload, size } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2, .msg_control = control.buf };
	size_t left = HDR_SIZE + size;
	uint64_t end = 0;

	if (nfds > IOL_WIRE_FDS_MAX)
		return iol_fail(EINVAL, "%u file descriptors are too many for a message", nfds);
	iol_wire_attach(&mh, fds, nfds);
	while (left) {
		struct pollfd p = { .fd = sock, .events = POLLOUT };
		ssize_t n = sendmsg(sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
		bool started = left < HDR_SIZE + size;
		int ms;

		if (n > 0) {
			size_t head = (size_t)n < iov[0].iov_len ? (size_t)n : iov[0].iov_len;

			left -= (size_t)n;
			iov[0].iov_base = (uint8_t *)iov[0].iov_base + head;
			iov[0].iov_len -= head;
			if ((size_t)n > head) {
				iov[1].iov_base = (uint8_t *)iov[1].iov_base + (size_t)n - head;
				iov[1].iov_len -= (size_t)n - head;
			}
			/* The descriptors went with the first byte. */
			mh.msg_control = NULL;
			mh.msg_controllen = 0;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return iol_fail(errno, "cannot write to the vhost-user socket: %s",
					strerror(errno));
		if (!end)
			end = iol_now() + (uint64_t)(started && timeout_ms < IOL_WIRE_PATIENCE_MS
							     ? IOL_WIRE_PATIENCE_MS
							     : timeout_ms) *
						  IOL_NS_PER_MS;
		ms = until(end);
		if (!ms)
			return iol_fail(started || timeout_ms ? ETIMEDOUT : EAGAIN,
					"the peer does not read what is sent to it");
		poll(&p, 1, ms);
	}
	return 0;
}
