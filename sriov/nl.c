/* SPDX-License-Identifier: BSD-3-Clause */
#include "sriov/nl.h"
#include "base/error.h"
#include "sriov/attr.h"
#include "vfio/host.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

/* All VFs that there may be, with statistics, are 20 MB. */
#define ANSWER_MAX (64u << 20)
/* The kernel answers while it is asked; only a dump's parts are made later. */
#define ANSWER_SECONDS 30

int iol_nl_open(struct nl *nl, const struct iol_host *host, int bus)
{
	const struct timeval bound = { .tv_sec = ANSWER_SECONDS };
	int on = 1, err;

	memset(nl, 0, sizeof(*nl));
	if (!host->live)
		return iol_fail(EOPNOTSUPP, "a copy of a machine's files has no kernel to ask");
	nl->sock = mnl_socket_open2(bus, SOCK_CLOEXEC);
	if (!nl->sock)
		return iol_fail(errno, "no netlink socket: %s", strerror(errno));
	if (mnl_socket_bind(nl->sock, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    setsockopt(mnl_socket_get_fd(nl->sock), SOL_SOCKET, SO_RCVTIMEO, &bound,
		       sizeof(bound)) < 0) {
		err = errno;
		iol_nl_close(nl);
		return iol_fail(err, "the netlink socket can't be set up: %s", strerror(err));
	}
	/* Before Linux 4.12 the kernel has no words of its own, and the numbers do. */
	mnl_socket_setsockopt(nl->sock, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(nl->sock, NETLINK_CAP_ACK, &on, sizeof(on));
	return 0;
}

void iol_nl_close(struct nl *nl)
{
	if (nl->sock)
		mnl_socket_close(nl->sock);
	free(nl->buf);
	memset(nl, 0, sizeof(*nl));
}

struct nlmsghdr *iol_nl_request(struct nl_request *room, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *request;

	memset(room, 0, sizeof(*room));
	request = mnl_nlmsg_put_header(room);
	request->nlmsg_type = type;
	request->nlmsg_flags = NLM_F_REQUEST | flags;
	return request;
}

static ssize_t no_answer(int err)
{
	return iol_fail(err, "the kernel's answer did not come: %s", strerror(err));
}

/* The next message or messages, all of them, whatever their size. */
static ssize_t receive(struct nl *nl)
{
	int fd = mnl_socket_get_fd(nl->sock);
	struct sockaddr_nl from = { 0 };
	socklen_t from_len;
	ssize_t len;

	do {
		do {
			len = recv(fd, NULL, 0, MSG_PEEK | MSG_TRUNC);
		} while (len < 0 && errno == EINTR);
		if (len < 0)
			return no_answer(errno);
		if ((size_t)len > ANSWER_MAX)
			return no_answer(EMSGSIZE);
		if ((size_t)len > nl->size) {
			uint8_t *more = realloc(nl->buf, (size_t)len);

			if (!more)
				return no_answer(ENOMEM);
			nl->buf = more;
			nl->size = (size_t)len;
		}
		from_len = sizeof(from);
		len = recvfrom(fd, nl->buf, nl->size, 0, (struct sockaddr *)&from, &from_len);
		if (len < 0)
			return no_answer(errno);
		/* Other processes may write to the socket, too. */
	} while (from_len != sizeof(from) || from.nl_pid != 0);
	return len;
}

/* What stands after the error's number: the question, unless left out, and attributes. */
static void read_words(struct nl *nl, const struct nlmsghdr *msg, const struct nlmsgerr *error)
{
	size_t len = mnl_nlmsg_get_payload_len(msg), skip = sizeof(*error);
	struct attrs attrs;
	struct attr attr;

	if (!(msg->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(msg->nlmsg_flags & NLM_F_CAPPED) && error->msg.nlmsg_len > NLMSG_HDRLEN)
		skip += NLMSG_ALIGN((size_t)error->msg.nlmsg_len) - NLMSG_HDRLEN;
	if (skip > len)
		return;
	attrs = (struct attrs){ (const uint8_t *)error + skip, len - skip };
	while (iol_attr_next(&attrs, &attr) > 0) {
		if (attr.type == NLMSGERR_ATTR_MSG)
			iol_attr_text(&attr, nl->said, sizeof(nl->said));
	}
}

/* The end of the answer: an error, which may be 0, or a dump's last message, which holds only its number. */
static int read_end(struct nl *nl, const struct nlmsghdr *msg)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(msg);
	size_t len = mnl_nlmsg_get_payload_len(msg);
	int err;

	if (msg->nlmsg_type == NLMSG_ERROR && len >= sizeof(*error))
		read_words(nl, msg, error);
	else if (msg->nlmsg_type == NLMSG_ERROR || len < sizeof(int))
		return msg->nlmsg_type == NLMSG_DONE ? 0 : (int)no_answer(EPROTO);
	err = error->error;
	if (err < 0)
		return iol_fail(-err, "%s%s%s%s", strerror(-err), *nl->said ? " (" : "", nl->said,
				*nl->said ? ")" : "");
	if (*nl->said)
		iol_log(IOL_LOG_WARNING, "the kernel says: %s", nl->said);
	return 0;
}

int iol_nl_ask(struct nl *nl, struct nlmsghdr *request, nl_answer_fn answer, void *opaque)
{
	/* Without an acknowledgement, one message is all of the answer. */
	const bool one = !(request->nlmsg_flags & (NLM_F_ACK | NLM_F_DUMP));
	bool ended = false;
	int failed = 0;

	nl->said[0] = '\0';
	request->nlmsg_seq = ++nl->seq;
	if (mnl_socket_sendto(nl->sock, request, request->nlmsg_len) < 0)
		return iol_fail(errno, "the kernel can't be asked: %s", strerror(errno));
	while (!ended) {
		ssize_t got = receive(nl);
		const struct nlmsghdr *msg = (const void *)nl->buf;
		int left = (int)got, rc = 0;

		if (got < 0)
			return (int)got;
		for (; !ended && mnl_nlmsg_ok(msg, left); msg = mnl_nlmsg_next(msg, &left)) {
			/* An earlier question's answer that was not waited for. */
			if (msg->nlmsg_seq != nl->seq)
				continue;
			if (msg->nlmsg_type == NLMSG_ERROR || msg->nlmsg_type == NLMSG_DONE) {
				ended = true;
				rc = failed ? failed : read_end(nl, msg);
			} else if (msg->nlmsg_type >= NLMSG_MIN_TYPE) {
				ended = one;
				rc = answer && !failed ? answer(msg, opaque) : 0;
			}
			if (rc < 0)
				failed = rc;
		}
	}
	return failed;
}
