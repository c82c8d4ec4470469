/* SPDX-License-Identifier: BSD-3-Clause */
/* Asking the kernel by netlink: what routes and devlink share. */
#ifndef IOL_SRIOV_NL_H
#define IOL_SRIOV_NL_H

#include <libmnl/libmnl.h>
#include <stddef.h>
#include <stdint.h>

struct iol_host;

#define NL_SAID_MAX 192

/**
 * struct nl - A socket to the kernel; of one thread at a time.
 * @buf: the last answer, of @size bytes at most; grows with what comes.
 * @said: the kernel's own words on the last question, or empty.
 */
struct nl {
	struct mnl_socket *sock;
	uint32_t seq;
	uint8_t *buf;
	size_t size;
	char said[NL_SAID_MAX];
};

/**
 * iol_nl_open() - @bus: NETLINK_ROUTE or NETLINK_GENERIC.
 *
 * Return: 0; -EOPNOTSUPP: the host is a copy of one's files.
 */
int iol_nl_open(struct nl *nl, const struct iol_host *host, int bus);
void iol_nl_close(struct nl *nl);

/** struct nl_request - Room for a question; libmnl puts it together and does not look at the end. */
struct nl_request {
	struct nlmsghdr head;
	uint8_t body[496];
};

/**
 * iol_nl_request() - Begin one.
 * @flags: NLM_F_ACK where nothing but an acknowledgement comes, NLM_F_DUMP for many messages, 0 for one. A large answer
 *         must not be acknowledged, too: the acknowledgement finds the socket full, and then both are lost (ENOBUFS).
 */
struct nlmsghdr *iol_nl_request(struct nl_request *room, uint16_t type, uint16_t flags);

/* Sees each message of the answer; a negative errno, with the sentence set, is what iol_nl_ask() returns in the end. */
typedef int (*nl_answer_fn)(const struct nlmsghdr *msg, void *opaque);

/**
 * iol_nl_ask() - Ask, and take all of the answer.
 * @answer: NULL when there is nothing to see.
 *
 * Return: 0, or a negative errno: that of the kernel with its words as the sentence, for the caller to say before it what
 * was asked.
 */
int iol_nl_ask(struct nl *nl, struct nlmsghdr *request, nl_answer_fn answer, void *opaque);

#endif
