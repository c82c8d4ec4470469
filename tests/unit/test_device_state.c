/* SPDX-License-Identifier: BSD-3-Clause */
/* The state of devices of every kind, through one stream: whole, in pieces, of another, cut short, and with each step failing. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
/* cmocka wants the headers above first. */
#include <cmocka.h>

#include <iolane/base.h>
#include <iolane/vmm_memory.h>
#include <iolane/vmm_migration.h>
#include <linux/vfio.h>

#include "base/own.h"
#include "tests/unit/open_fds.h"
#include "tests/unit/vfio_kernel.h"
#include "vhost-user/wire.h"
#include "vmm-glue/device_state.h"

#define MIB         (1ull << 20)
#define STREAM_MAX  (4 * MIB)
#define PROTOCOL    (1ull << VHOST_USER_PROTOCOL_F_DEVICE_STATE)
#define TIMEOUT_MS  10000
#define SILENCE_MS  200
#define STATE_BYTES (3 * MIB / 2) /* more than a pipe and a block hold */

struct stream {
	uint8_t *bytes;
	size_t len;
};

/* All that there is for now, in pieces of @room bytes. */
static int save(struct iol_device_state *st, struct stream *s, size_t room)
{
	ssize_t n;

	do {
		n = iol_device_state_read(st, s->bytes + s->len, room);
		s->len += n > 0 ? (size_t)n : 0;
		assert_true(n <= (ssize_t)room && s->len + room <= STREAM_MAX);
	} while (n > 0);
	return (int)n;
}

static int load(struct iol_device_state *st, const struct stream *s, size_t len, size_t piece)
{
	size_t at, n;
	int rc = 0;

	for (at = 0; at < len && !rc; at += n) {
		n = len - at < piece ? len - at : piece;
		rc = iol_device_state_write(st, s->bytes + at, n);
	}
	return rc;
}

/* ---- VFIO ---- */

struct rig {
	struct host_tree tree;
	struct iol_context *ctx;
	struct iol_vfio_device *dev;
	struct iol_device_state_spec spec;
	struct stream stream;
	unsigned int fds;
};

static const uint8_t nic[64] = { 0x86, 0x80, 0xca, 0x10 }, disk[64] = { 0x36, 0x1b, 0x10, 0x00 };

static void open_rig(struct rig *r, const uint8_t *config)
{
	struct iol_context_spec kind = { .kind = IOL_CONTEXT_IOMMUFD };
	struct iol_vfio_device_spec device = { .addr = tree_addr(FAKE_DEVICE) };

	fake.num_devices = 0; /* those before are closed */
	fake.config = config;
	fake.config_size = 64;
	fake.migration = VFIO_DEVICE_STATE_RUNNING;
	fake.resets = 0;
	assert_int_equal(iol_context_new(r->tree.host, &kind, &r->ctx), 0);
	assert_int_equal(iol_vfio_open(r->ctx, &device, &r->dev), 0);
	r->spec = (struct iol_device_state_spec){ .vfio = r->dev, .id = 7 };
	fake.calls = 0;
	fake.failed = false;
}

static void close_rig(struct rig *r)
{
	fake.fail_at = 0;
	iol_vfio_close(&r->dev);
	iol_context_destroy(&r->ctx);
}

static void begin(struct rig *r)
{
	*r = (struct rig){ .fds = open_fds() };
	r->stream.bytes = malloc(STREAM_MAX);
	assert_non_null(r->stream.bytes);
	fake_begin(&r->tree);
	fake.late = "the rest";
}

static void end(struct rig *r)
{
	fake_end(&r->tree);
	free(r->stream.bytes);
	assert_int_equal(open_fds(), r->fds);
}

static int save_vfio(struct rig *r, bool arrives)
{
	struct iol_device_state *st = NULL;
	int rc;

	r->stream.len = 0;
	rc = iol_device_save(&r->spec, &st);
	if (!rc)
		rc = save(st, &r->stream, 100);
	if (!rc)
		rc = iol_device_state_stop(st);
	if (!rc)
		rc = save(st, &r->stream, IOL_DEVICE_STATE_ROOM);
	if (rc < 0) {
		assert_int_equal(iol_device_state_end(&st, false), 0);
		return rc;
	}
	return iol_device_state_end(&st, arrives);
}

static int load_vfio(struct rig *r, size_t len, size_t piece)
{
	struct iol_device_state *st = NULL;
	int rc;

	rc = iol_device_load(&r->spec, &st);
	if (!rc)
		rc = load(st, &r->stream, len, piece);
	if (rc < 0) {
		assert_int_equal(iol_device_state_end(&st, false), 0);
		return rc;
	}
	return iol_device_state_end(&st, true);
}

static void assert_state_is(const char *expected)
{
	char got[64] = { 0 };

	assert_int_equal(pread(fake.state, got, sizeof(got) - 1, 0), strlen(expected));
	assert_string_equal(got, expected);
}

static void a_device_moves(void **state)
{
	static const size_t pieces[] = { 1, 3, 16, STREAM_MAX };
	struct rig r;

	begin(&r);
	for (int early = 0; early < 2; early++) {
		fake.early = early ? "early, " : NULL;
		open_rig(&r, nic);
		assert_int_equal(save_vfio(&r, true), 0);
		assert_int_equal(fake.migration, VFIO_DEVICE_STATE_STOP);
		close_rig(&r);
		for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
			open_rig(&r, nic);
			assert_int_equal(load_vfio(&r, r.stream.len, pieces[i]), 0);
			assert_int_equal(fake.migration, VFIO_DEVICE_STATE_RUNNING);
			assert_int_equal(fake.resets, 0);
			assert_state_is(early ? "early, the rest" : "the rest");
			close_rig(&r);
		}
	}
	/* It did not arrive: here it runs on. */
	open_rig(&r, nic);
	assert_int_equal(save_vfio(&r, false), 0);
	assert_int_equal(fake.migration, VFIO_DEVICE_STATE_RUNNING);
	close_rig(&r);
	end(&r);
}

static void it_runs_while_it_can(void **state)
{
	struct iol_device_state *st = NULL;
	struct iol_migration_left left;
	struct rig r;

	begin(&r);
	fake.early = "early, ";
	fake.data_size = 60;
	open_rig(&r, nic);
	assert_int_equal(iol_device_save(&r.spec, &st), 0);
	assert_int_equal(fake.migration, 6);
	assert_int_equal(iol_device_state_left(st, &left), 0);
	assert_true(left.initial == 24 && left.dirty == 1 && left.stopped == 60);
	assert_int_equal(iol_device_state_read(st, r.stream.bytes, IOL_DEVICE_STATE_ROOM - 1),
			 -EINVAL);
	assert_int_equal(iol_device_state_write(st, r.stream.bytes, 1), -EINVAL);
	assert_int_equal(save(st, &r.stream, 100), 0);
	assert_int_equal(save(st, &r.stream, 100), 0);
	assert_int_equal(iol_device_state_stop(st), 0);
	assert_int_equal(iol_device_state_stop(st), -EINVAL);
	assert_int_equal(fake.migration, VFIO_DEVICE_STATE_STOP_COPY);
	assert_int_equal(iol_device_state_left(st, &left), 0);
	assert_true(!left.initial && left.stopped == 60);
	assert_int_equal(save(st, &r.stream, 100), 0);
	assert_int_equal(iol_device_state_left(st, &left), 0);
	assert_true(!left.stopped);
	assert_int_equal(iol_device_state_end(&st, true), 0);
	assert_null(st);
	close_rig(&r);
	end(&r);
}

static void each_call_fails(void **state)
{
	unsigned int at, loads, calls[2] = { 0 };
	struct rig r;
	int rc;

	begin(&r);
	fake.early = "early, ";
	for (loads = 0; loads < 2; loads++) {
		for (at = 1;; at++) {
			open_rig(&r, nic);
			fake.fail_at = at;
			rc = loads ? load_vfio(&r, r.stream.len, 5) : save_vfio(&r, true);
			if (!fake.failed)
				break;
			assert_int_equal(rc, -EIO);
			assert_int_equal(fake.migration, VFIO_DEVICE_STATE_RUNNING);
			close_rig(&r);
			calls[loads]++;
		}
		assert_int_equal(rc, 0);
		close_rig(&r);
	}
	/* States asked for twice, PRE_COPY, STOP_COPY, STOP; and asked for once, RESUMING, RUNNING. */
	assert_int_equal(calls[0], 5);
	assert_int_equal(calls[1], 3);
	end(&r);
}

static void a_cut_stream_is_none(void **state)
{
	struct iol_device_state *st = NULL;
	struct rig r;

	begin(&r);
	open_rig(&r, nic);
	assert_int_equal(save_vfio(&r, true), 0);
	close_rig(&r);
	for (size_t len = 0; len < r.stream.len; len++) {
		open_rig(&r, nic);
		assert_int_equal(load_vfio(&r, len, STREAM_MAX), -EBADMSG);
		assert_non_null(strstr(iol_error(), "complete"));
		assert_int_equal(fake.migration, VFIO_DEVICE_STATE_RUNNING);
		/* Whoever was not touched need not be reset. */
		assert_int_equal(fake.resets, len >= STATE_HEADER);
		close_rig(&r);
	}
	/* Saved half, and called whole. */
	open_rig(&r, nic);
	assert_int_equal(iol_device_save(&r.spec, &st), 0);
	assert_int_equal(iol_device_state_stop(st), 0);
	assert_int_equal(iol_device_state_end(&st, true), -EBADMSG);
	assert_int_equal(fake.migration, VFIO_DEVICE_STATE_RUNNING);
	close_rig(&r);
	/* Whole, and no state of this device's; and then it can't even be reset. */
	for (int stuck = 0; stuck < 2; stuck++) {
		open_rig(&r, nic);
		fake.odd = true;
		fake.no_reset = stuck;
		assert_int_equal(load_vfio(&r, r.stream.len, STREAM_MAX), -EINVAL);
		assert_int_equal(fake.migration,
				 stuck ? VFIO_DEVICE_STATE_RESUMING : VFIO_DEVICE_STATE_RUNNING);
		assert_true(!strstr(iol_error(), "half a state") == !stuck);
		fake.odd = fake.no_reset = false;
		close_rig(&r);
	}
	/* What fails for good is said to have. */
	open_rig(&r, nic);
	assert_int_equal(iol_device_save(&r.spec, &st), 0);
	assert_int_equal(iol_device_state_stop(st), 0);
	fake.migration = VFIO_DEVICE_STATE_ERROR;
	assert_true(iol_device_state_end(&st, false) < 0);
	assert_non_null(strstr(iol_error(), "only a reset"));
	close_rig(&r);
	end(&r);
}

/* Each byte of what frames the stream, changed; and bytes after its end. */
static void a_strange_stream_is_refused(void **state)
{
	static const size_t frames[] = { 0, 3, 4, 6, 8, 11, 12, 14, 15, 19 };
	struct rig r;
	size_t i;

	begin(&r);
	open_rig(&r, nic);
	assert_int_equal(save_vfio(&r, true), 0);
	close_rig(&r);
	for (i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		open_rig(&r, nic);
		r.stream.bytes[frames[i]] ^= 0x40;
		assert_int_equal(load_vfio(&r, r.stream.len, STREAM_MAX), -EBADMSG);
		assert_null(strstr(iol_error(), "not complete"));
		r.stream.bytes[frames[i]] ^= 0x40;
		assert_int_equal(fake.resets, frames[i] >= STATE_HEADER);
		close_rig(&r);
	}
	open_rig(&r, nic);
	assert_int_equal(load_vfio(&r, r.stream.len + 1, STREAM_MAX), -EBADMSG);
	assert_non_null(strstr(iol_error(), "after its end"));
	assert_int_equal(fake.resets, 1);
	close_rig(&r);
	/* The same kind, and another device. */
	open_rig(&r, disk);
	assert_int_equal(load_vfio(&r, r.stream.len, STREAM_MAX), -EBADMSG);
	assert_non_null(strstr(iol_error(), "8086:10ca"));
	assert_non_null(strstr(iol_error(), "1b36:0010"));
	assert_int_equal(fake.resets, 0);
	close_rig(&r);
	end(&r);
}

/* ---- vhost-user ---- */

struct backend {
	int sock;
	pthread_t thread;
	uint64_t protocol;
	bool refuses, hangs, own; /* own: another channel than the front end's */
	bool a_file;              /* which is a file */
	uint64_t verdict;
	uint8_t *state;
	size_t len;
	struct iol_frontend *fe;
	struct iol_device_state_spec spec;
};

static int transfer(struct backend *b, const struct iol_msg *msg, int fd, int *theirs)
{
	int pair[2];

	if (!b->own)
		return fd;
	close(fd);
	if (b->a_file) {
		*theirs = memfd_create("state", 0);
		return -1;
	}
	assert_int_equal(pipe(pair), 0);
	*theirs = pair[msg->payload.transfer.direction];
	return pair[!msg->payload.transfer.direction];
}

static void move(struct backend *b, bool loads, int fd)
{
	size_t at = 0;
	ssize_t n = 1;

	while (n > 0 && at < STREAM_MAX && (loads || at < b->len)) {
		n = loads ? read(fd, b->state + at, STREAM_MAX - at)
			  : write(fd, b->state + at, b->len - at);
		at += n > 0 ? (size_t)n : 0;
	}
	if (loads)
		b->len = at;
}

static void answer(struct backend *b, uint32_t request, uint64_t value, int fd)
{
	iol_wire_send(b->sock, request, VHOST_USER_REPLY_MASK, &value, sizeof(value), &fd, fd >= 0,
		      TIMEOUT_MS);
}

/* Takes O_NONBLOCK away from a descriptor that the front end has, too, once that has set it; then there is a byte, and no more. */
static void block(int theirs, int fd)
{
	int i;

	for (i = 0; i < TIMEOUT_MS && !(fcntl(theirs, F_GETFL) & O_NONBLOCK); i++)
		usleep(1000);
	fcntl(theirs, F_SETFL, 0);
	assert_int_equal(write(fd, "", 1), 1);
}

static void *serve(void *arg)
{
	struct backend *b = arg;
	struct iol_wire_rx rx = { 0 };
	int held = -1;

	while (!iol_wire_wait(b->sock, &rx, -1)) {
		_cleanup_close_ int fd = -1, theirs = -1;
		bool loads = rx.msg.payload.transfer.direction == VHOST_USER_TRANSFER_LOAD;

		switch (rx.msg.hdr.request) {
		case VHOST_USER_GET_FEATURES:
			answer(b, rx.msg.hdr.request, 1ull << VHOST_USER_F_PROTOCOL_FEATURES, -1);
			break;
		case VHOST_USER_GET_PROTOCOL_FEATURES:
			answer(b, rx.msg.hdr.request, b->protocol, -1);
			break;
		case VHOST_USER_GET_VRING_BASE:
			iol_wire_send(b->sock, rx.msg.hdr.request, VHOST_USER_REPLY_MASK,
				      &rx.msg.payload, 8, NULL, 0, TIMEOUT_MS);
			break;
		case VHOST_USER_SET_DEVICE_STATE_FD:
			if (b->refuses) {
				answer(b, rx.msg.hdr.request, VHOST_USER_TRANSFER_NOFD_MASK | 5,
				       -1);
				break;
			}
			fd = transfer(b, &rx.msg, iol_msg_take_fd(&rx.msg), &theirs);
			answer(b, rx.msg.hdr.request, b->own ? 0 : VHOST_USER_TRANSFER_NOFD_MASK,
			       theirs);
			if (b->hangs && b->own)
				block(theirs, fd);
			iol_close(&theirs);
			if (b->hangs)
				held = iol_take_fd(&fd);
			else if (!b->a_file)
				move(b, loads, fd);
			break;
		case VHOST_USER_CHECK_DEVICE_STATE:
			answer(b, rx.msg.hdr.request, b->verdict, -1);
			break;
		default:
			break;
		}
		iol_wire_next(&rx);
	}
	iol_close(&held);
	return NULL;
}

static void start(struct backend *b)
{
	struct iol_frontend_spec spec = { .timeout_ms = b->hangs ? SILENCE_MS : TIMEOUT_MS };
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	b->sock = pair[0];
	spec.fd = pair[1];
	assert_int_equal(pthread_create(&b->thread, NULL, serve, b), 0);
	assert_int_equal(iol_frontend_new(&spec, &b->fe), 0);
	assert_int_equal(iol_frontend_negotiate(b->fe, 0, 0), 0);
	b->spec = (struct iol_device_state_spec){ .frontend = b->fe };
}

static void stop(struct backend *b)
{
	iol_frontend_destroy(&b->fe);
	pthread_join(b->thread, NULL);
	iol_close(&b->sock);
}

/* The source's stream of state that no byte of is like another. */
static uint8_t *pattern(void)
{
	uint8_t *p = malloc(STREAM_MAX);

	assert_non_null(p);
	for (size_t i = 0; i < STATE_BYTES; i++)
		p[i] = (uint8_t)(i * 2654435761u >> 13);
	return p;
}

static int save_backend(struct backend *b, struct stream *s)
{
	struct iol_device_state *st = NULL;
	int rc;

	s->len = 0;
	assert_int_equal(iol_device_save(&b->spec, &st), 0);
	rc = iol_device_state_stop(st);
	if (!rc)
		rc = save(st, s, 2 * MIB);
	if (!rc)
		return iol_device_state_end(&st, true);
	assert_int_equal(iol_device_state_end(&st, false), 0);
	return rc;
}

static int load_backend(struct backend *b, const struct stream *s, size_t len)
{
	struct iol_device_state *st = NULL;
	int rc;

	assert_int_equal(iol_device_load(&b->spec, &st), 0);
	rc = load(st, s, len, 333333);
	if (!rc)
		return iol_device_state_end(&st, true);
	assert_int_equal(iol_device_state_end(&st, false), 0);
	return rc;
}

static void a_back_end_moves(void **state)
{
	struct stream s = { .bytes = malloc(STREAM_MAX) };
	unsigned int fds = open_fds();

	for (int own = 0; own < 2; own++) {
		struct backend from = {
			.protocol = PROTOCOL, .own = own, .state = pattern(), .len = STATE_BYTES
		};
		struct backend to = { .protocol = PROTOCOL, .own = own };
		struct iol_migration_left left;
		struct iol_device_state *st = NULL;

		to.state = malloc(STREAM_MAX);
		start(&from);
		start(&to);
		assert_int_equal(iol_device_save(&from.spec, &st), 0);
		assert_int_equal(iol_device_state_left(st, &left), 0);
		assert_true(left.stopped == UINT64_MAX);
		assert_int_equal(iol_device_state_end(&st, false), 0);
		assert_int_equal(save_backend(&from, &s), 0);
		assert_true(s.len > STATE_BYTES);
		assert_int_equal(load_backend(&to, &s, s.len), 0);
		stop(&from);
		stop(&to);
		assert_int_equal(to.len, STATE_BYTES);
		assert_memory_equal(to.state, from.state, STATE_BYTES);
		free(from.state);
		free(to.state);
	}
	assert_int_equal(open_fds(), fds);
	free(s.bytes);
}

/* Pipes since Linux 6.4. */
static bool can_do_without_nonblock(void)
{
	struct iovec iov = { &(char){ 0 }, 1 };
	int ends[2], error;

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(preadv2(ends[0], &iov, 1, -1, RWF_NOWAIT), -1);
	error = errno;
	close(ends[0]);
	close(ends[1]);
	return error == EAGAIN;
}

static void a_back_end_fails(void **state)
{
	struct backend b = { .protocol = PROTOCOL, .refuses = true, .state = pattern() };
	struct stream s = { .bytes = malloc(STREAM_MAX) };
	unsigned int fds = open_fds();

	b.len = STATE_BYTES;
	start(&b);
	assert_int_equal(save_backend(&b, &s), -EREMOTEIO);
	assert_non_null(strstr(iol_error(), "refused to save"));
	/* The next try is not the worse for it. */
	b.refuses = false;
	assert_int_equal(save_backend(&b, &s), 0);
	b.verdict = 1;
	assert_int_equal(load_backend(&b, &s, s.len), -EREMOTEIO);
	assert_non_null(strstr(iol_error(), "get across"));
	assert_int_equal(load_backend(&b, &s, s.len - 1), -EBADMSG);
	/* Without its word for it the stream has no end. */
	assert_int_equal(save_backend(&b, &s), -EREMOTEIO);
	b.verdict = 0;
	assert_int_equal(load_backend(&b, &s, s.len), -EBADMSG);
	stop(&b);
	b.hangs = true;
	start(&b);
	assert_int_equal(save_backend(&b, &s), -ETIMEDOUT);
	stop(&b);
	b.own = can_do_without_nonblock();
	start(&b);
	assert_int_equal(save_backend(&b, &s), -ETIMEDOUT);
	stop(&b);
	b.own = b.a_file = true;
	b.hangs = false;
	start(&b);
	assert_int_equal(save_backend(&b, &s), -EPROTO);
	stop(&b);
	b.own = b.a_file = false;
	start(&b);
	s.len = 0;
	assert_int_equal(save_backend(&b, &s), 0);
	b.hangs = true;
	assert_int_equal(load_backend(&b, &s, s.len), -ETIMEDOUT);
	stop(&b);
	assert_int_equal(open_fds(), fds);
	free(b.state);
	free(s.bytes);
}

static void not_while_a_queue_runs(void **state)
{
	struct iol_guest_memory_spec size = { .size = MIB };
	struct iol_frontend_queue q = {
		.size = 8, .desc = 0, .avail = 4096, .used = 8192, .kick = -1, .call = -1, .err = -1
	};
	struct backend b = { .protocol = PROTOCOL, .state = pattern(), .len = STATE_BYTES };
	struct stream s = { .bytes = malloc(STREAM_MAX) };
	struct iol_guest_memory *mem = NULL;

	start(&b);
	assert_int_equal(iol_guest_memory_new(&size, &mem), 0);
	assert_int_equal(iol_frontend_set_memory(b.fe, mem), 0);
	assert_int_equal(iol_frontend_queue_start(b.fe, 0, &q), 0);
	assert_int_equal(save_backend(&b, &s), -EBUSY);
	assert_int_equal(iol_frontend_suspend(b.fe), 0);
	assert_int_equal(save_backend(&b, &s), 0);
	assert_int_equal(iol_frontend_resume(b.fe), 0);
	stop(&b);
	iol_guest_memory_destroy(&mem);
	free(b.state);
	free(s.bytes);
}

/* A back end that has no state, from and to one that has. */
static void nothing_is_a_state_too(void **state)
{
	struct backend with = { .protocol = PROTOCOL, .state = pattern(), .len = 5 };
	struct backend without = { 0 };
	struct stream s = { .bytes = malloc(STREAM_MAX) };
	struct iol_migration_left left;
	struct iol_device_state *st = NULL;

	start(&with);
	start(&without);
	assert_int_equal(save_backend(&without, &s), 0);
	assert_int_equal(s.len, STATE_HEADER + STATE_BLOCK);
	assert_int_equal(load_backend(&without, &s, s.len), 0);
	assert_int_equal(load_backend(&with, &s, s.len), -EBADMSG);
	assert_non_null(strstr(iol_error(), "without state"));
	/* A block that nobody can take. */
	s.bytes[STATE_HEADER] = 1;
	assert_int_equal(load_backend(&without, &s, s.len), -EBADMSG);
	assert_int_equal(save_backend(&with, &s), 0);
	assert_int_equal(load_backend(&without, &s, s.len), -EBADMSG);
	assert_non_null(strstr(iol_error(), "vhost-user"));
	without.spec.id = 3;
	assert_int_equal(iol_device_save(&without.spec, &st), 0);
	assert_int_equal(iol_device_state_left(st, &left), 0);
	assert_true(!left.initial && !left.dirty && !left.stopped);
	assert_int_equal(iol_device_state_end(&st, false), 0);
	stop(&with);
	stop(&without);
	free(with.state);
	free(s.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_device_moves),
		cmocka_unit_test(it_runs_while_it_can),
		cmocka_unit_test(each_call_fails),
		cmocka_unit_test(a_cut_stream_is_none),
		cmocka_unit_test(a_strange_stream_is_refused),
		cmocka_unit_test(a_back_end_moves),
		cmocka_unit_test(a_back_end_fails),
		cmocka_unit_test(not_while_a_queue_runs),
		cmocka_unit_test(nothing_is_a_state_too),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
