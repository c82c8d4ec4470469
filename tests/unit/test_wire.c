/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/error.h"
#include "vhost-user/wire.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "open_fds.h"

struct fixture {
	int sock[2];
	struct iol_wire_rx rx;
	unsigned int fds; /* open in this process at the start */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->fds = open_fds();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f->sock), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	iol_wire_next(&f->rx);
	close(f->sock[0]);
	if (f->sock[1] >= 0)
		close(f->sock[1]);
	assert_int_equal(open_fds(), f->fds);
	free(f);
	return 0;
}

/* Raw bytes with descriptors, as a peer that keeps to no rules sends them. */
static void raw(int sock, const void *data, size_t len, unsigned int nfds)
{
	union {
		char buf[CMSG_SPACE(64 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf };
	int fds[64] = { 0 };
	unsigned int i;

	for (i = 0; i < nfds; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC);
	iol_wire_attach(&mh, fds, nfds);
	assert_int_equal(sendmsg(sock, &mh, 0), len);
	for (i = 0; i < nfds; i++)
		close(fds[i]);
}

static void round_trip(void **state)
{
	struct fixture *f = *state;
	uint64_t value = 0x1122334455667788;
	int fds[2] = { eventfd(5, 0), eventfd(6, 0) };
	uint64_t n = 0;
	int fd;

	assert_int_equal(iol_wire_recv(f->sock[0], &f->rx), 0);
	assert_int_equal(f->rx.deadline, 0);
	assert_int_equal(iol_wire_send(f->sock[1], VHOST_USER_SET_FEATURES,
				       VHOST_USER_NEED_REPLY_MASK, &value, sizeof(value), fds, 2,
				       1000),
			 0);
	assert_int_equal(iol_wire_send(f->sock[1], VHOST_USER_SET_OWNER, 0, NULL, 0, NULL, 0, 0),
			 0);
	assert_int_equal(iol_wire_recv(f->sock[0], &f->rx), 1);
	assert_int_equal(f->rx.msg.hdr.request, 2);
	assert_int_equal(f->rx.msg.hdr.flags, VHOST_USER_VERSION | VHOST_USER_NEED_REPLY_MASK);
	assert_int_equal(f->rx.msg.hdr.size, 8);
	assert_int_equal(f->rx.msg.payload.u64, value);
	assert_int_equal(f->rx.msg.nfds, 2);
	fd = iol_msg_take_fd(&f->rx.msg);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 5);
	close(fd);
	fd = iol_msg_take_fd(&f->rx.msg);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(n, 6);
	close(fd);
	assert_int_equal(iol_msg_take_fd(&f->rx.msg), -1);
	iol_wire_next(&f->rx);
	assert_int_equal(iol_wire_wait(f->sock[0], &f->rx, 1000), 0);
	assert_int_equal(f->rx.msg.hdr.request, 3);
	assert_int_equal(f->rx.msg.hdr.size, 0);
	close(fds[0]);
	close(fds[1]);
}

static void byte_by_byte(void **state)
{
	struct fixture *f = *state;
	struct {
		struct vhost_user_header hdr;
		uint8_t data[40];
	} m = { { VHOST_USER_SET_VRING_ADDR, VHOST_USER_VERSION, 40 }, { 1, 2, 3 } };
	size_t i;

	for (i = 0; i < 52; i++) {
		/* Descriptors may come with any byte. */
		raw(f->sock[1], (uint8_t *)&m + i, 1, i == 0 || i == 20 ? 2 : 0);
		assert_int_equal(iol_wire_recv(f->sock[0], &f->rx), i == 51);
		assert_int_equal(f->rx.deadline != 0, i != 51);
	}
	assert_memory_equal(&f->rx.msg.payload, m.data, 40);
	assert_int_equal(f->rx.msg.nfds, 4);
}

static void half_a_message_has_a_deadline(void **state)
{
	struct fixture *f = *state;

	raw(f->sock[1], "\1\0\0\0", 4, 1);
	assert_int_equal(iol_wire_recv(f->sock[0], &f->rx), 0);
	assert_int_not_equal(f->rx.deadline, 0);
	f->rx.deadline = 1;
	assert_int_equal(iol_wire_recv(f->sock[0], &f->rx), -ETIMEDOUT);
	assert_int_equal(f->rx.msg.nfds, 0);
}

static void waiting_is_bounded(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(iol_wire_wait(f->sock[0], &f->rx, 1), -ETIMEDOUT);
	raw(f->sock[1], "\1\0\0\0", 4, 1);
	assert_int_equal(iol_wire_wait(f->sock[0], &f->rx, 1), -ETIMEDOUT);
	assert_int_equal(f->rx.msg.nfds, 0);
}

static void the_peer_goes(void **state)
{
	struct fixture *f = *state;
	struct iol_wire_rx rx = { 0 };
	int pair[2];

	close(f->sock[1]);
	f->sock[1] = -1;
	assert_int_equal(iol_wire_recv(f->sock[0], &f->rx), -ECONNRESET);
	assert_int_equal(iol_wire_send(f->sock[0], 1, 0, NULL, 0, NULL, 0, 100), -EPIPE);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	raw(pair[1], "\1\0\0\0\1\0", 6, 3);
	close(pair[1]);
	assert_int_equal(iol_wire_recv(pair[0], &rx), -EPROTO);
	assert_int_equal(rx.msg.nfds, 0);
	close(pair[0]);
}

static void bad_headers(void **state)
{
	static const struct vhost_user_header bad[] = {
		{ 1, 0, 0 },          { 1, 2, 0 },
		{ 1, 3, 0 },          { 5, 1, sizeof(union vhost_user_payload) + 1 },
		{ 5, 1, UINT32_MAX },
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct iol_wire_rx rx = { 0 };
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		raw(pair[1], &bad[i], sizeof(bad[i]), 1);
		assert_int_equal(iol_wire_recv(pair[0], &rx), -EPROTO);
		assert_int_equal(rx.msg.nfds, 0);
		close(pair[0]);
		close(pair[1]);
	}
}

static void too_many_descriptors(void **state)
{
	struct fixture *f = *state;
	const struct vhost_user_header hdr = { 3, 1, 0 };

	raw(f->sock[1], &hdr, sizeof(hdr), IOL_WIRE_FDS_MAX + 1);
	assert_int_equal(iol_wire_recv(f->sock[0], &f->rx), -EPROTO);
	assert_int_equal(f->rx.msg.nfds, 0);
}

static void a_peer_that_does_not_read(void **state)
{
	struct fixture *f = *state;
	uint8_t data[256] = { 0 };
	int rc;

	do {
		rc = iol_wire_send(f->sock[0], 24, 0, data, sizeof(data), NULL, 0, 0);
	} while (!rc);
	/* Unix sockets take a message whole or not at all, as long as it is small. */
	assert_int_equal(rc, -EAGAIN);
	assert_int_equal(iol_wire_send(f->sock[0], 24, 0, data, sizeof(data), NULL, 0, 5),
			 -ETIMEDOUT);
}

static struct iol_msg message(uint32_t request, uint32_t size, unsigned int nfds)
{
	struct iol_msg msg = { .hdr = { request, VHOST_USER_VERSION, size }, .nfds = nfds };

	return msg;
}

/* What the rows say, from the table itself. */
static void every_row_is_checked(void **state)
{
#define M(id, name_, payload_, fds_, ...) { id, #name_, IOL_PAYLOAD_##payload_, IOL_FDS_##fds_ },
	static const struct {
		uint32_t id;
		const char *name;
		enum iol_wire_payload payload;
		enum iol_wire_fds fds;
	} rows[] = { IOL_WIRE_MESSAGES(M) };
#undef M
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t min = iol_wire_payload_min(rows[i].payload);
		uint32_t max = iol_wire_payload_max(rows[i].payload);
		bool one = rows[i].fds == IOL_FDS_ONE || rows[i].fds == IOL_FDS_VRING;
		struct iol_msg msg;

		assert_string_equal(iol_wire_name(rows[i].id), rows[i].name);
		msg = message(rows[i].id, min, one);
		assert_int_equal(iol_wire_check(&msg), 0);
		msg = message(rows[i].id, max, one);
		assert_int_equal(iol_wire_check(&msg), 0);
		msg = message(rows[i].id, max + 1, one);
		assert_int_equal(iol_wire_check(&msg), -EPROTO);
		assert_non_null(strstr(iol_error(), rows[i].name));
		if (min) {
			msg = message(rows[i].id, min - 1, one);
			assert_int_equal(iol_wire_check(&msg), -EPROTO);
		}
		msg = message(rows[i].id, min, one);
		msg.hdr.flags |= VHOST_USER_REPLY_MASK;
		assert_int_equal(iol_wire_check(&msg), -EPROTO);
		msg = message(rows[i].id, min, 2);
		assert_int_equal(iol_wire_check(&msg), -EPROTO);
		assert_non_null(strstr(iol_error(), rows[i].name));
		msg = message(rows[i].id, min, !one);
		assert_int_equal(iol_wire_check(&msg), rows[i].fds == IOL_FDS_STRAY ? 0 : -EPROTO);
		if (rows[i].fds == IOL_FDS_VRING) {
			msg = message(rows[i].id, min, 0);
			msg.payload.u64 = VHOST_USER_VRING_NOFD_MASK;
			assert_int_equal(iol_wire_check(&msg), 0);
			msg.nfds = 1;
			assert_int_equal(iol_wire_check(&msg), -EPROTO);
		}
	}
}

static void unknown_messages(void **state)
{
	static const uint32_t ids[] = { 0, 23, 26, 33, 35, 41, 1000, UINT32_MAX };
	size_t i;

	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct iol_msg msg = message(ids[i], 0, 0);

		assert_null(iol_wire_row(ids[i]));
		assert_int_equal(iol_wire_check(&msg), -EPROTO);
	}
	assert_string_equal(iol_wire_name(99), "message 99");
}

static void inner_sizes(void **state)
{
	struct iol_msg msg = message(VHOST_USER_SET_MEM_TABLE, 8 + 2 * 32, 2);

	msg.payload.memory.nregions = 2;
	assert_int_equal(iol_wire_check(&msg), 0);
	/* Some send the whole array, however little of it is used. */
	msg.hdr.size = 8 + 8 * 32;
	assert_int_equal(iol_wire_check(&msg), 0);
	msg.hdr.size = 8 + 2 * 32 - 1;
	assert_int_equal(iol_wire_check(&msg), -EPROTO);
	msg.hdr.size = 8 + 2 * 32;
	msg.nfds = 1;
	assert_int_equal(iol_wire_check(&msg), -EPROTO);
	assert_non_null(strstr(iol_error(), "share=on"));
	msg.nfds = 3;
	assert_int_equal(iol_wire_check(&msg), -EPROTO);
	msg.nfds = 2;
	msg.payload.memory.nregions = VHOST_USER_MEM_TABLE_MAX + 1;
	assert_int_equal(iol_wire_check(&msg), -EPROTO);
	msg.payload.memory.nregions = UINT32_MAX;
	assert_int_equal(iol_wire_check(&msg), -EPROTO);

	msg = message(VHOST_USER_GET_CONFIG, 12 + 60, 0);
	msg.payload.config.size = 60;
	assert_int_equal(iol_wire_check(&msg), 0);
	msg.payload.config.size = 61;
	assert_int_equal(iol_wire_check(&msg), -EPROTO);
	msg.payload.config.size = UINT32_MAX;
	assert_int_equal(iol_wire_check(&msg), -EPROTO);

	msg = message(VHOST_USER_GET_INFLIGHT_FD, 20, 0);
	assert_int_equal(iol_wire_check(&msg), 0);
	msg.hdr.size = 24;
	assert_int_equal(iol_wire_check(&msg), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(round_trip, setup, teardown),
		cmocka_unit_test_setup_teardown(byte_by_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(half_a_message_has_a_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(waiting_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(the_peer_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_headers, setup, teardown),
		cmocka_unit_test_setup_teardown(too_many_descriptors, setup, teardown),
		cmocka_unit_test_setup_teardown(a_peer_that_does_not_read, setup, teardown),
		cmocka_unit_test(every_row_is_checked),
		cmocka_unit_test(unknown_messages),
		cmocka_unit_test(inner_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
