/* SPDX-License-Identifier: BSD-3-Clause */
#include "peer.h"

#include "base/error.h"
#include "base/own.h"
#include "open_fds.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the device ---- */

static int get_config(void *ctx, void *config)
{
	struct peer *p = ctx;

	memcpy(config, p->config, CONFIG);
	return CONFIG;
}

/* Byte 32 may be written, as a disk's write cache. */
static int set_config(void *ctx, uint32_t off, const void *data, uint32_t len)
{
	struct peer *p = ctx;

	if (off != 32 || len != 1)
		return iol_fail(EPERM, "read-only");
	memcpy(p->config + 32, data, 1);
	return 0;
}

static void on_features(void *ctx, uint64_t features)
{
	((struct peer *)ctx)->features = features;
}

static int start(void *ctx)
{
	struct peer *p = ctx;

	p->starts++;
	return p->start_rc ? iol_fail(-p->start_rc, "the image is locked") : 0;
}

static void stop(void *ctx)
{
	((struct peer *)ctx)->stops++;
}

static int queue_start(void *ctx, struct iol_queue *q)
{
	struct peer *p = ctx;

	if (p->queue_start_rc)
		return iol_fail(-p->queue_start_rc, "no thread");
	p->queue_starts++;
	p->runs[iol_queue_index(q)] = true;
	return 0;
}

static void queue_stop(void *ctx, struct iol_queue *q)
{
	struct peer *p = ctx;

	p->queue_stops++;
	p->runs[iol_queue_index(q)] = false;
}

static void queue_call(void *ctx, struct iol_queue *q, void (*fn)(void *arg), void *arg)
{
	((struct peer *)ctx)->calls++;
	fn(arg);
}

static void queue_wake(void *ctx, struct iol_queue *q)
{
	((struct peer *)ctx)->wakes++;
}

static void queue_replay(void *ctx, struct iol_queue *q, uint64_t oldest)
{
	unsigned int index = iol_queue_index(q), i;
	struct peer *p = ctx;

	for (i = 0; i < QUEUES; i++)
		p->forgot_early |= i != index && p->runs[i] && oldest == UINT64_MAX &&
				   p->replay[index] && p->replay[index] != UINT64_MAX;
	p->replay[index] = oldest;
}

static void reset(void *ctx)
{
	((struct peer *)ctx)->resets++;
}

/* What is above that of a jumbo frame is none of this device's. */
static int set_mtu(void *ctx, uint64_t mtu)
{
	struct peer *p = ctx;

	if (mtu > 9000)
		return iol_fail(EINVAL, "too large");
	p->mtu = mtu;
	return 0;
}

static void send_rarp(void *ctx, const uint8_t mac[6])
{
	struct peer *p = ctx;

	memcpy(p->mac, mac, sizeof(p->mac));
	p->announced++;
}

const struct iol_device_ops peer_ops = {
	.get_config = get_config,
	.set_config = set_config,
	.features = on_features,
	.start = start,
	.stop = stop,
	.queue_start = queue_start,
	.queue_stop = queue_stop,
	.queue_call = queue_call,
	.queue_wake = queue_wake,
	.queue_replay = queue_replay,
	.reset = reset,
	.set_mtu = set_mtu,
	.send_rarp = send_rarp,
};

/* ---- the peer ---- */

int peer_setup(void **state)
{
	struct peer *p = calloc(1, sizeof(*p));
	const struct iol_device_spec spec = {
		.name = "disk",
		.num_queues = QUEUES,
		.features = 1 << 6,
		.protocol_add = IOL_PROTOCOL_RARP | IOL_PROTOCOL_MTU,
		.ops = &peer_ops,
		.ctx = p,
	};
	unsigned int i;
	int pair[2];

	p->fds = open_fds();
	for (i = 0; i < CONFIG; i++)
		p->config[i] = (uint8_t)(i + 1);
	p->memfd = memfd_create("guest", MFD_CLOEXEC);
	assert_int_equal(ftruncate(p->memfd, MEM_SIZE), 0);
	p->mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, p->memfd, 0);
	assert_ptr_not_equal(p->mem, MAP_FAILED);
	assert_int_equal(iol_device_new(&spec, &p->dev), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	p->sock = pair[1];
	p->back = -1;
	iol_session_open(&p->session, p->dev, pair[0]);
	*state = p;
	return 0;
}

int peer_teardown(void **state)
{
	struct peer *p = *state;

	iol_session_close(&p->session);
	close(p->session.sock);
	assert_int_equal(p->starts - (p->start_rc ? p->starts : 0), p->stops);
	assert_int_equal(p->queue_starts, p->queue_stops);
	iol_device_destroy(&p->dev);
	munmap(p->mem, MEM_SIZE);
	close(p->memfd);
	close(p->sock);
	iol_close(&p->back);
	assert_int_equal(open_fds(), p->fds);
	free(p);
	return 0;
}

void peer_again(struct peer *p)
{
	int pair[2];

	iol_session_close(&p->session);
	close(p->session.sock);
	close(p->sock);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	p->sock = pair[1];
	iol_session_open(&p->session, p->dev, pair[0]);
}

int peer_post(struct peer *p, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
	      const int *fds, unsigned int nfds)
{
	assert_int_equal(iol_wire_send(p->sock, request, flags, payload, size, fds, nfds, 1000), 0);
	return iol_session_step(&p->session);
}

int peer_answer(struct peer *p, struct iol_wire_rx *rx)
{
	memset(rx, 0, sizeof(*rx));
	return iol_wire_recv(p->sock, rx);
}

uint64_t peer_ask(struct peer *p, uint32_t request, const void *payload, uint32_t size, int fd)
{
	struct iol_wire_rx rx;

	assert_int_equal(
		peer_post(p, request, VHOST_USER_NEED_REPLY_MASK, payload, size, &fd, fd >= 0), 0);
	assert_int_equal(peer_answer(p, &rx), 1);
	assert_int_equal(rx.msg.hdr.request, request);
	assert_int_equal(rx.msg.hdr.flags, VHOST_USER_VERSION | VHOST_USER_REPLY_MASK);
	assert_int_equal(rx.msg.hdr.size, 8);
	return rx.msg.payload.u64;
}

uint64_t peer_ask_u64(struct peer *p, uint32_t request, uint64_t value)
{
	return peer_ask(p, request, &value, sizeof(value), -1);
}

uint64_t peer_ask_state(struct peer *p, uint32_t request, uint32_t index, uint32_t num)
{
	const struct vhost_vring_state s = { index, num };

	return peer_ask(p, request, &s, sizeof(s), -1);
}

uint64_t peer_get(struct peer *p, uint32_t request)
{
	struct iol_wire_rx rx;

	assert_int_equal(peer_post(p, request, 0, NULL, 0, NULL, 0), 0);
	assert_int_equal(peer_answer(p, &rx), 1);
	assert_int_equal(rx.msg.hdr.request, request);
	assert_int_equal(rx.msg.hdr.size, 8);
	return rx.msg.payload.u64;
}

void peer_negotiate(struct peer *p, uint64_t features)
{
	uint64_t protocol = ALL_PROTOCOL;

	assert_int_equal(peer_post(p, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &protocol, 8, NULL, 0),
			 0);
	assert_int_equal(peer_ask(p, VHOST_USER_SET_OWNER, NULL, 0, -1), 0);
	assert_int_equal(peer_ask_u64(p, VHOST_USER_SET_FEATURES, features), 0);
}

void peer_share_memory(struct peer *p)
{
	struct vhost_user_memory m = { .nregions = 1 };

	m.region[0] = (struct iol_mem_desc){ GPA, MEM_SIZE, UADDR, 0 };
	assert_int_equal(peer_ask(p, VHOST_USER_SET_MEM_TABLE, &m, 8 + 32, p->memfd), 0);
}

struct vhost_vring_addr peer_ring_addr(unsigned int index)
{
	uint64_t base = UADDR + index * 0x10000ull;

	return (struct vhost_vring_addr){ .index = index,
					  .desc_user_addr = base,
					  .avail_user_addr = base + 0x1000,
					  .used_user_addr = base + 0x2000,
					  .log_guest_addr = GPA + index * 0x10000ull + 0x2000 };
}

void peer_describe_ring(struct peer *p, unsigned int index)
{
	struct vhost_vring_addr a = peer_ring_addr(index);

	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_NUM, index, SIZE), 0);
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_BASE, index, 0), 0);
	assert_int_equal(peer_ask(p, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1), 0);
}

uint64_t peer_set_fd(struct peer *p, uint32_t request, unsigned int index)
{
	uint64_t u64 = index;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	uint64_t rc = peer_ask(p, request, &u64, sizeof(u64), fd);

	close(fd);
	return rc;
}

void peer_start_ring(struct peer *p, unsigned int index)
{
	peer_describe_ring(p, index);
	assert_int_equal(peer_set_fd(p, VHOST_USER_SET_VRING_CALL, index), 0);
	assert_int_equal(peer_set_fd(p, VHOST_USER_SET_VRING_KICK, index), 0);
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_ENABLE, index, 1), 0);
}

uint32_t peer_get_base(struct peer *p, unsigned int index)
{
	const struct vhost_vring_state s = { index, 0 };
	struct iol_wire_rx rx;

	assert_int_equal(peer_post(p, VHOST_USER_GET_VRING_BASE, 0, &s, sizeof(s), NULL, 0), 0);
	assert_int_equal(peer_answer(p, &rx), 1);
	assert_int_equal(rx.msg.hdr.size, sizeof(s));
	assert_int_equal(rx.msg.payload.state.index, index);
	return rx.msg.payload.state.num;
}

void peer_give_channel(struct peer *p)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(peer_ask(p, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, pair[0]), 0);
	close(pair[0]);
	p->back = pair[1];
}

struct iol_ring *peer_ring(struct peer *p, unsigned int index)
{
	return iol_queue_ring(&p->dev->queue[index]);
}

struct iol_driver_ring *peer_driver(struct peer *p, unsigned int index)
{
	uint8_t *base = p->mem + index * 0x10000ull;
	const struct iol_driver_spec spec = {
		.size = SIZE, .desc = base, .avail = base + 0x1000, .used = base + 0x2000
	};
	struct iol_driver_ring *d = NULL;

	assert_int_equal(iol_driver_new(&spec, &d), 0);
	return d;
}
