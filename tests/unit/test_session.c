/* SPDX-License-Identifier: BSD-3-Clause */
/* A raw scripted front end against a session whose device runs its queues in the same thread. */
#include "base/error.h"
#include "base/own.h"
#include "vhost-user/driver.h"
#include "vhost-user/session.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define QUEUES   4u
#define SIZE     16u
#define MEM_SIZE 0x100000ull
#define GPA      0x40000000ull
#define UADDR    0x7f1200000000ull
#define CONFIG   60

struct peer {
	struct iol_device *dev;
	struct iol_session session;
	int sock;
	int back; /* our end of the back end's channel */
	int memfd;
	uint8_t *mem;
	unsigned int fds; /* open in this process before */
	/* What the device saw. */
	unsigned int starts, stops, queue_starts, queue_stops, calls, wakes, resets;
	uint64_t features;
	int start_rc, queue_start_rc;
	uint8_t config[CONFIG];
};

static unsigned int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

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
	return 0;
}

static void queue_stop(void *ctx, struct iol_queue *q)
{
	((struct peer *)ctx)->queue_stops++;
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

static void reset(void *ctx)
{
	((struct peer *)ctx)->resets++;
}

static const struct iol_device_ops ops = {
	.get_config = get_config,
	.set_config = set_config,
	.features = on_features,
	.start = start,
	.stop = stop,
	.queue_start = queue_start,
	.queue_stop = queue_stop,
	.queue_call = queue_call,
	.queue_wake = queue_wake,
	.reset = reset,
};

/* ---- the peer ---- */

static int setup(void **state)
{
	struct peer *p = calloc(1, sizeof(*p));
	const struct iol_device_spec spec = {
		.name = "disk", .num_queues = QUEUES, .features = 1 << 6, .ops = &ops, .ctx = p
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

static int teardown(void **state)
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

/* Send one message and let the session handle it. */
static int post(struct peer *p, uint32_t request, uint32_t flags, const void *payload,
		uint32_t size, const int *fds, unsigned int nfds)
{
	assert_int_equal(iol_wire_send(p->sock, request, flags, payload, size, fds, nfds, 1000), 0);
	return iol_session_step(&p->session);
}

/* What came back: 1 and the message, or 0. */
static int answer(struct peer *p, struct iol_wire_rx *rx)
{
	memset(rx, 0, sizeof(*rx));
	return iol_wire_recv(p->sock, rx);
}

/* Send a message that asks for a status, and return that. */
static uint64_t ask(struct peer *p, uint32_t request, const void *payload, uint32_t size, int fd)
{
	struct iol_wire_rx rx;

	assert_int_equal(post(p, request, VHOST_USER_NEED_REPLY_MASK, payload, size, &fd, fd >= 0),
			 0);
	assert_int_equal(answer(p, &rx), 1);
	assert_int_equal(rx.msg.hdr.request, request);
	assert_int_equal(rx.msg.hdr.flags, VHOST_USER_VERSION | VHOST_USER_REPLY_MASK);
	assert_int_equal(rx.msg.hdr.size, 8);
	return rx.msg.payload.u64;
}

static uint64_t ask_u64(struct peer *p, uint32_t request, uint64_t value)
{
	return ask(p, request, &value, sizeof(value), -1);
}

static uint64_t ask_state(struct peer *p, uint32_t request, uint32_t index, uint32_t num)
{
	const struct vhost_vring_state s = { index, num };

	return ask(p, request, &s, sizeof(s), -1);
}

static uint64_t get(struct peer *p, uint32_t request)
{
	struct iol_wire_rx rx;

	assert_int_equal(post(p, request, 0, NULL, 0, NULL, 0), 0);
	assert_int_equal(answer(p, &rx), 1);
	assert_int_equal(rx.msg.hdr.request, request);
	assert_int_equal(rx.msg.hdr.size, 8);
	return rx.msg.payload.u64;
}

#define ALL_PROTOCOL 0x1b62bull /* every bit that is offered */
#define V1           IOL_BIT(VIRTIO_F_VERSION_1)
#define PROTO        IOL_BIT(VHOST_USER_F_PROTOCOL_FEATURES)

static void negotiate(struct peer *p, uint64_t features)
{
	uint64_t protocol = ALL_PROTOCOL;

	assert_int_equal(post(p, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &protocol, 8, NULL, 0), 0);
	assert_int_equal(ask(p, VHOST_USER_SET_OWNER, NULL, 0, -1), 0);
	assert_int_equal(ask_u64(p, VHOST_USER_SET_FEATURES, features), 0);
}

static void share_memory(struct peer *p)
{
	struct vhost_user_memory m = { .nregions = 1 };

	m.region[0] = (struct iol_mem_desc){ GPA, MEM_SIZE, UADDR, 0 };
	assert_int_equal(ask(p, VHOST_USER_SET_MEM_TABLE, &m, 8 + 32, p->memfd), 0);
}

/* Each queue has 64 KiB of memory: descriptors, avail at 0x1000, used at 0x2000. */
static struct vhost_vring_addr ring_addr(unsigned int index)
{
	uint64_t base = UADDR + index * 0x10000ull;

	return (struct vhost_vring_addr){ .index = index,
					  .desc_user_addr = base,
					  .avail_user_addr = base + 0x1000,
					  .used_user_addr = base + 0x2000,
					  .log_guest_addr = GPA + index * 0x10000ull + 0x2000 };
}

static void describe_ring(struct peer *p, unsigned int index)
{
	struct vhost_vring_addr a = ring_addr(index);

	assert_int_equal(ask_state(p, VHOST_USER_SET_VRING_NUM, index, SIZE), 0);
	assert_int_equal(ask_state(p, VHOST_USER_SET_VRING_BASE, index, 0), 0);
	assert_int_equal(ask(p, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1), 0);
}

static uint64_t set_fd(struct peer *p, uint32_t request, unsigned int index)
{
	uint64_t u64 = index;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	uint64_t rc = ask(p, request, &u64, sizeof(u64), fd);

	close(fd);
	return rc;
}

static void start_ring(struct peer *p, unsigned int index)
{
	describe_ring(p, index);
	assert_int_equal(set_fd(p, VHOST_USER_SET_VRING_CALL, index), 0);
	assert_int_equal(set_fd(p, VHOST_USER_SET_VRING_KICK, index), 0);
	assert_int_equal(ask_state(p, VHOST_USER_SET_VRING_ENABLE, index, 1), 0);
}

static uint32_t get_base(struct peer *p, unsigned int index)
{
	const struct vhost_vring_state s = { index, 0 };
	struct iol_wire_rx rx;

	assert_int_equal(post(p, VHOST_USER_GET_VRING_BASE, 0, &s, sizeof(s), NULL, 0), 0);
	assert_int_equal(answer(p, &rx), 1);
	assert_int_equal(rx.msg.hdr.size, sizeof(s));
	assert_int_equal(rx.msg.payload.state.index, index);
	return rx.msg.payload.state.num;
}

static void give_channel(struct peer *p)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(ask(p, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, pair[0]), 0);
	close(pair[0]);
	p->back = pair[1];
}

static struct iol_ring *ring(struct peer *p, unsigned int index)
{
	return iol_queue_ring(&p->dev->queue[index]);
}

static struct iol_driver_ring *driver(struct peer *p, unsigned int index)
{
	uint8_t *base = p->mem + index * 0x10000ull;
	const struct iol_driver_spec spec = {
		.size = SIZE, .desc = base, .avail = base + 0x1000, .used = base + 0x2000
	};
	struct iol_driver_ring *d = NULL;

	assert_int_equal(iol_driver_new(&spec, &d), 0);
	return d;
}

/* ---- every row of the table ---- */

struct sample {
	uint32_t id;
	const char *name;
	enum iol_wire_payload payload;
	enum iol_wire_fds fds;
	int feature;
	int reply;
	unsigned int needs;
};

#define M(id, name_, payload_, fds_, feature_, reply_, needs_, handler)                            \
	{ id,                                                                                      \
	  #name_,                                                                                  \
	  IOL_PAYLOAD_##payload_,                                                                  \
	  IOL_FDS_##fds_,                                                                          \
	  VHOST_USER_PROTOCOL_F_##feature_,                                                        \
	  IOL_REPLY_##reply_,                                                                      \
	  needs_ },
static const struct sample samples[] = { IOL_WIRE_MESSAGES(M) };
#undef M

#define SAMPLES (sizeof(samples) / sizeof(samples[0]))

/* A message of the right shape; what it says is nothing much. */
static int post_sample(struct peer *p, const struct sample *m, uint32_t flags, uint64_t first)
{
	union vhost_user_payload payload;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), rc;
	bool one = m->fds == IOL_FDS_ONE || m->fds == IOL_FDS_VRING;

	memset(&payload, 0, sizeof(payload));
	if (m->payload == IOL_PAYLOAD_U64)
		payload.u64 = first;
	else if (m->payload != IOL_PAYLOAD_MEMORY)
		payload.state.index = (uint32_t)first;
	rc = post(p, m->id, flags, &payload, iol_wire_payload_min(m->payload), &fd, one);
	close(fd);
	return rc;
}

/*
 * A refusal: told to the front end where the protocol can tell it, or else the end. Flags say
 * that REPLY_ACK was negotiated and the message asked.
 */
static void assert_refused(struct peer *p, const struct sample *m, int rc, bool acked)
{
	struct iol_wire_rx rx;

	if (m->reply == IOL_REPLY_CONFIG) {
		assert_int_equal(rc, 0);
		assert_int_equal(answer(p, &rx), 1);
		assert_int_equal(rx.msg.hdr.size, 0);
	} else if (m->reply == IOL_REPLY_STATUS || (m->reply == IOL_REPLY_ACK && acked)) {
		assert_int_equal(rc, 0);
		assert_int_equal(answer(p, &rx), 1);
		assert_int_equal(rx.msg.hdr.size, 8);
		assert_int_not_equal(rx.msg.payload.u64, 0);
	} else {
		assert_true(rc < 0);
		assert_non_null(strstr(iol_error(), m->name));
		assert_int_equal(answer(p, &rx), 0);
	}
}

static void each(void (*fn)(struct peer *p, const struct sample *m))
{
	size_t i;

	for (i = 0; i < SAMPLES; i++) {
		void *state;

		setup(&state);
		fn(state, &samples[i]);
		teardown(&state);
	}
}

static void before_anything(struct peer *p, const struct sample *m)
{
	bool early = m->feature >= 0 || m->needs;
	int rc = post_sample(p, m, 0, 0);

	if (early)
		assert_refused(p, m, rc, false);
	else
		assert_int_equal(rc, 0);
}

static void before_features(struct peer *p, const struct sample *m)
{
	uint64_t protocol = ALL_PROTOCOL;
	int rc;

	assert_int_equal(post(p, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &protocol, 8, NULL, 0), 0);
	assert_int_equal(ask(p, VHOST_USER_SET_OWNER, NULL, 0, -1), 0);
	if (!(m->needs & IOL_NEED_FEATURES))
		return;
	rc = post_sample(p, m, VHOST_USER_NEED_REPLY_MASK, 0);
	assert_non_null(strstr(iol_error(), "SET_FEATURES"));
	assert_refused(p, m, rc, true);
}

static void without_its_protocol_feature(struct peer *p, const struct sample *m)
{
	uint64_t protocol;
	int rc;

	if (m->feature < 0)
		return;
	protocol = ALL_PROTOCOL & ~IOL_BIT(m->feature);
	assert_int_equal(post(p, VHOST_USER_SET_OWNER, 0, NULL, 0, NULL, 0), 0);
	assert_int_equal(post(p, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &protocol, 8, NULL, 0), 0);
	assert_int_equal(ask_u64(p, VHOST_USER_SET_FEATURES, V1 | PROTO), 0);
	rc = post_sample(p, m, VHOST_USER_NEED_REPLY_MASK, 0);
	assert_non_null(strstr(iol_error(), "was not negotiated"));
	assert_refused(p, m, rc, true);
}

static void for_a_queue_that_is_not_there(struct peer *p, const struct sample *m)
{
	int rc;

	if (!(m->needs & (IOL_NEED_RING | IOL_NEED_STOPPED_RING)))
		return;
	negotiate(p, V1 | PROTO);
	rc = post_sample(p, m, VHOST_USER_NEED_REPLY_MASK, QUEUES);
	assert_non_null(strstr(iol_error(), "there is no queue"));
	assert_refused(p, m, rc, true);
}

static void while_a_ring_runs(struct peer *p, const struct sample *m)
{
	int rc;

	if (!(m->needs & (IOL_NEED_STOPPED_RING | IOL_NEED_SUSPENDED)))
		return;
	negotiate(p, V1 | PROTO);
	share_memory(p);
	start_ring(p, 1);
	rc = post_sample(p, m, VHOST_USER_NEED_REPLY_MASK, 1);
	assert_non_null(strstr(iol_error(), "is running"));
	assert_refused(p, m, rc, true);
}

static void of_a_wrong_size(struct peer *p, const struct sample *m)
{
	union vhost_user_payload payload = { 0 };
	struct iol_wire_rx rx;
	uint32_t size = iol_wire_payload_max(m->payload) + 1;

	if (size > sizeof(payload))
		size = iol_wire_payload_min(m->payload) - 1;
	negotiate(p, V1 | PROTO);
	assert_int_equal(post(p, m->id, VHOST_USER_NEED_REPLY_MASK, &payload, size, NULL, 0),
			 -EPROTO);
	assert_non_null(strstr(iol_error(), m->name));
	assert_int_equal(answer(p, &rx), 1);
	assert_int_equal(rx.msg.hdr.size, 8);
	assert_int_not_equal(rx.msg.payload.u64, 0);
}

static void with_stray_descriptors(struct peer *p, const struct sample *m)
{
	union vhost_user_payload payload = { 0 };
	int fds[2] = { eventfd(0, 0), eventfd(0, 0) };

	negotiate(p, V1 | PROTO);
	assert_int_equal(post(p, m->id, 0, &payload, iol_wire_payload_min(m->payload), fds, 2),
			 -EPROTO);
	assert_non_null(strstr(iol_error(), m->name));
	close(fds[0]);
	close(fds[1]);
}

static void every_row(void **state)
{
	each(before_anything);
	each(before_features);
	each(without_its_protocol_feature);
	each(for_a_queue_that_is_not_there);
	each(while_a_ring_runs);
	each(of_a_wrong_size);
	each(with_stray_descriptors);
}

static void unknown_messages_end_the_connection(void **state)
{
	struct peer *p = *state;

	assert_int_equal(post(p, 26, 0, NULL, 0, NULL, 0), -EPROTO);
	assert_non_null(strstr(iol_error(), "message 26"));
}

/* ---- negotiation ---- */

static void offers(void **state)
{
	struct peer *p = *state;
	uint64_t iommu = IOL_BIT(VIRTIO_F_ACCESS_PLATFORM);
	uint64_t features = get(p, VHOST_USER_GET_FEATURES);
	uint64_t protocol = get(p, VHOST_USER_GET_PROTOCOL_FEATURES);

	assert_int_equal(protocol, ALL_PROTOCOL);
	assert_int_equal(features, 1 << 6 | 1ull << 32 | 1ull << 34 | 1 << 29 | 1 << 28 |
					   1ull << 40 | iommu | 1 << 26 | 1 << 30);
	protocol &= ~IOL_BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ);
	assert_int_equal(post(p, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &protocol, 8, NULL, 0), 0);
	assert_int_equal(get(p, VHOST_USER_GET_FEATURES), features & ~iommu);
	assert_int_equal(ask(p, VHOST_USER_SET_OWNER, NULL, 0, -1), 0);
	assert_int_not_equal(ask_u64(p, VHOST_USER_SET_FEATURES, V1 | iommu), 0);
	assert_int_not_equal(ask_u64(p, VHOST_USER_SET_FEATURES, V1 | 1), 0);
	assert_int_not_equal(ask_u64(p, VHOST_USER_SET_PROTOCOL_FEATURES, 1 << 8), 0);
	assert_int_equal(p->features, 0);
	assert_int_equal(ask_u64(p, VHOST_USER_SET_FEATURES, V1), 0);
	assert_int_equal(p->features, V1);
	assert_int_equal(get(p, VHOST_USER_GET_QUEUE_NUM), QUEUES);
	assert_int_equal(get(p, VHOST_USER_GET_MAX_MEM_SLOTS), 509);
}

static void features_are_frozen_while_rings_run(void **state)
{
	struct peer *p = *state;

	negotiate(p, V1 | PROTO);
	share_memory(p);
	start_ring(p, 0);
	assert_int_equal(ask_u64(p, VHOST_USER_SET_FEATURES, V1 | PROTO), 0);
	assert_int_not_equal(ask_u64(p, VHOST_USER_SET_FEATURES, V1), 0);
	assert_int_not_equal(ask_u64(p, VHOST_USER_SET_PROTOCOL_FEATURES, ALL_PROTOCOL & ~1ull), 0);
	assert_int_equal(ask_u64(p, VHOST_USER_SET_PROTOCOL_FEATURES, ALL_PROTOCOL), 0);
	get_base(p, 0);
	assert_int_equal(ask_u64(p, VHOST_USER_SET_FEATURES, V1), 0);
}

static void without_reply_ack_nothing_is_answered(void **state)
{
	struct peer *p = *state;
	struct iol_wire_rx rx;
	uint64_t features = V1;

	assert_int_equal(
		post(p, VHOST_USER_SET_OWNER, VHOST_USER_NEED_REPLY_MASK, NULL, 0, NULL, 0), 0);
	assert_int_equal(answer(p, &rx), 0);
	assert_int_equal(post(p, VHOST_USER_SET_FEATURES, 0, &features, 8, NULL, 0), 0);
	assert_int_equal(answer(p, &rx), 0);
	features = 1;
	assert_int_equal(post(p, VHOST_USER_SET_FEATURES, VHOST_USER_NEED_REPLY_MASK, &features, 8,
			      NULL, 0),
			 -EINVAL);
}

/* ---- rings ---- */

static void a_ring_lives(void **state)
{
	struct peer *p = *state;

	negotiate(p, V1 | PROTO);
	assert_int_equal(get_base(p, 2), 0);
	assert_int_not_equal(set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_non_null(strstr(iol_error(), "SET_VRING_NUM"));
	assert_int_equal(ask_state(p, VHOST_USER_SET_VRING_NUM, 0, SIZE), 0);
	assert_int_not_equal(set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_non_null(strstr(iol_error(), "SET_VRING_ADDR"));
	describe_ring(p, 0);
	assert_int_not_equal(set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_non_null(strstr(iol_error(), "share=on"));
	assert_int_equal(p->starts, 0);
	share_memory(p);
	/* Started, but disabled: not in anybody's hands. */
	assert_int_equal(set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_int_equal(p->starts, 1);
	assert_int_equal(p->queue_starts, 0);
	assert_int_equal(ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(p->queue_starts, 1);
	assert_int_equal(ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(p->queue_starts, 1);
	/* Disabled and enabled again, which is no suspension. */
	assert_int_equal(ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 0), 0);
	assert_int_equal(p->queue_stops, 1);
	assert_int_equal(p->stops, 0);
	assert_int_equal(ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(p->queue_starts, 2);
	assert_int_not_equal(ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 2), 0);
	start_ring(p, 1);
	get_base(p, 0);
	assert_int_equal(p->stops, 0);
	get_base(p, 1);
	assert_int_equal(p->stops, 1);
	assert_int_equal(p->queue_stops, 3);
	get_base(p, 1);
	assert_int_equal(p->stops, 1);
}

static void without_protocol_features_a_ring_is_enabled(void **state)
{
	struct peer *p = *state;

	negotiate(p, V1);
	share_memory(p);
	describe_ring(p, 0);
	assert_int_equal(set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_int_equal(p->queue_starts, 1);
}

static void descriptors_change_on_a_running_ring(void **state)
{
	struct peer *p = *state;
	uint64_t none = VHOST_USER_VRING_NOFD_MASK, n = 0;
	int fd = eventfd(0, EFD_CLOEXEC);
	struct vhost_vring_addr a = ring_addr(0);

	negotiate(p, V1 | PROTO);
	share_memory(p);
	start_ring(p, 0);
	assert_int_equal(ask(p, VHOST_USER_SET_VRING_CALL, &n, sizeof(n), fd), 0);
	assert_int_equal(p->calls, 1);
	iol_queue_call(&p->dev->queue[0]);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(ask_u64(p, VHOST_USER_SET_VRING_CALL, none), 0);
	iol_queue_call(&p->dev->queue[0]);
	n = 0;
	assert_int_equal(ask(p, VHOST_USER_SET_VRING_ERR, &n, sizeof(n), fd), 0);
	iol_fail(EPROTO, "a test");
	iol_queue_fail(&p->dev->queue[0]);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	/* A call that would block is left out: it is signalled already. */
	n = 0;
	assert_int_equal(ask(p, VHOST_USER_SET_VRING_CALL, &n, sizeof(n), fd), 0);
	n = UINT64_MAX - 1;
	assert_int_equal(write(fd, &n, sizeof(n)), sizeof(n));
	iol_queue_call(&p->dev->queue[0]);
	/* A new kick descriptor, and polling. */
	assert_int_equal(set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_int_equal(p->queue_starts, 2);
	assert_true(iol_queue_kick_fd(&p->dev->queue[0]) >= 0);
	assert_int_equal(ask_u64(p, VHOST_USER_SET_VRING_KICK, none), 0);
	assert_int_equal(iol_queue_kick_fd(&p->dev->queue[0]), -1);
	assert_int_equal(p->stops, 0);
	/* Addresses may be told again, with the log flag on; nonsense is refused. */
	a.flags = 1;
	assert_int_equal(ask(p, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1), 0);
	a.flags = 2;
	assert_int_not_equal(ask(p, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1), 0);
	a.flags = 0;
	a.used_user_addr = 0;
	assert_int_not_equal(ask(p, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1), 0);
	close(fd);
}

static void only_eventfds_signal(void **state)
{
	struct peer *p = *state;
	uint64_t n = 0;

	negotiate(p, V1 | PROTO);
	assert_int_not_equal(ask(p, VHOST_USER_SET_VRING_CALL, &n, sizeof(n), p->memfd), 0);
	assert_int_not_equal(ask(p, VHOST_USER_SET_VRING_ERR, &n, sizeof(n), p->sock), 0);
	share_memory(p);
	describe_ring(p, 0);
	assert_int_not_equal(ask(p, VHOST_USER_SET_VRING_KICK, &n, sizeof(n), p->memfd), 0);
	assert_int_equal(p->starts, 0);
	assert_int_not_equal(ask(p, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, p->memfd), 0);
}

static void sizes_and_bases(void **state)
{
	struct peer *p = *state;

	negotiate(p, V1 | PROTO);
	assert_int_not_equal(ask_state(p, VHOST_USER_SET_VRING_NUM, 0, 0), 0);
	assert_int_not_equal(ask_state(p, VHOST_USER_SET_VRING_NUM, 0, 65536), 0);
	assert_int_not_equal(ask_state(p, VHOST_USER_SET_VRING_NUM, 0, 65536 + 16), 0);
	assert_int_not_equal(ask_state(p, VHOST_USER_SET_VRING_NUM, 0, 12), 0);
	assert_int_equal(ask_state(p, VHOST_USER_SET_VRING_NUM, 0, 32768), 0);
	assert_int_equal(ask_state(p, VHOST_USER_SET_VRING_BASE, 0, 65535), 0);
	assert_int_equal(get_base(p, 0), 65535);
	assert_int_not_equal(ask_state(p, VHOST_USER_SET_VRING_BASE, 0, 65536), 0);
	assert_int_equal(
		ask_u64(p, VHOST_USER_SET_FEATURES, V1 | PROTO | IOL_BIT(VIRTIO_F_RING_PACKED)), 0);
	assert_int_equal(ask_state(p, VHOST_USER_SET_VRING_NUM, 0, 12), 0);
	assert_int_equal(ask_state(p, VHOST_USER_SET_VRING_BASE, 0, 0x80008000), 0);
	assert_int_equal(get_base(p, 0), 0x80008000);
}

static void a_device_that_will_not_start(void **state)
{
	struct peer *p = *state;

	negotiate(p, V1);
	share_memory(p);
	describe_ring(p, 0);
	p->queue_start_rc = -ENOMEM;
	assert_int_not_equal(set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_int_equal(p->stops, 1);
	p->queue_start_rc = 0;
	p->start_rc = -EBUSY;
	p->starts = p->stops = 0;
	assert_int_not_equal(set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_non_null(strstr(iol_error(), "the image is locked"));
	assert_int_equal(p->queue_starts, 0);
}

static void a_ring_outside_memory(void **state)
{
	struct peer *p = *state;
	struct vhost_vring_addr a = ring_addr(0);

	negotiate(p, V1);
	share_memory(p);
	describe_ring(p, 0);
	a.used_user_addr = UADDR + MEM_SIZE;
	assert_int_equal(ask(p, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1), 0);
	assert_int_not_equal(set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_int_equal(p->queue_starts, 0);
}

static void the_base_comes_back(void **state)
{
	struct peer *p = *state;
	struct iol_driver_ring *d = driver(p, 0);
	const struct iol_driver_seg seg = { GPA + 0x8000, 16, true };
	struct iol_chain chain;
	uintptr_t cookie;
	uint32_t len;

	negotiate(p, V1 | PROTO);
	share_memory(p);
	start_ring(p, 0);
	assert_int_equal(iol_driver_add(d, &seg, 1, 5), 0);
	iol_driver_publish(d);
	assert_int_equal(iol_ring_pop(ring(p, 0), &chain, 1), 1);
	iol_ring_push(ring(p, 0), chain.id, chain.ndesc, 16);
	iol_ring_publish(ring(p, 0));
	/* Through a change of memory and one of enabling, to the end. */
	share_memory(p);
	assert_int_equal(p->queue_starts, 2);
	assert_int_equal(ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 0), 0);
	assert_int_equal(ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(iol_ring_pop(ring(p, 0), &chain, 1), 0);
	assert_int_equal(get_base(p, 0), 1);
	assert_int_equal(iol_driver_used(d, &cookie, &len), 1);
	assert_int_equal(cookie, 5);
	iol_driver_destroy(&d);
}

/* ---- memory ---- */

static void memory_changes_under_running_rings(void **state)
{
	struct peer *p = *state;
	struct vhost_user_single_region r = { .region = { GPA * 2, 0x4000, UADDR * 2, 0 } };
	struct vhost_user_memory m = { .nregions = 2 };

	negotiate(p, V1 | PROTO);
	share_memory(p);
	start_ring(p, 0);
	assert_int_equal(p->calls, 0);
	assert_int_equal(ask(p, VHOST_USER_ADD_MEM_REG, &r, sizeof(r), p->memfd), 0);
	assert_int_equal(p->calls, 1);
	assert_int_equal(p->queue_stops, 0);
	assert_int_equal(p->dev->mem->n, 2);
	assert_int_not_equal(ask(p, VHOST_USER_ADD_MEM_REG, &r, sizeof(r), p->memfd), 0);
	r.region.size++;
	assert_int_not_equal(ask(p, VHOST_USER_REM_MEM_REG, &r, sizeof(r), -1), 0);
	r.region.size--;
	/* A stray descriptor is closed; teardown counts. */
	assert_int_equal(ask(p, VHOST_USER_REM_MEM_REG, &r, sizeof(r), p->memfd), 0);
	assert_int_equal(p->queue_stops, 1);
	assert_int_equal(p->queue_starts, 2);
	assert_int_equal(p->dev->mem->n, 1);
	assert_int_equal(p->stops, 0);
	/* A table that can't be leaves everything as it was. */
	m.region[0] = m.region[1] = r.region;
	assert_int_equal(post(p, VHOST_USER_SET_MEM_TABLE, VHOST_USER_NEED_REPLY_MASK, &m, 8 + 64,
			      (int[]){ p->memfd, p->memfd }, 2),
			 0);
	assert_int_equal(p->queue_stops, 1);
	assert_int_equal(p->dev->mem->n, 1);
}

static void memory_that_leaves_a_ring_without(void **state)
{
	struct peer *p = *state;
	struct vhost_user_single_region r = { .region = { GPA, MEM_SIZE, UADDR, 0 } };
	struct iol_wire_rx rx;

	negotiate(p, V1 | PROTO);
	share_memory(p);
	start_ring(p, 0);
	assert_int_equal(answer(p, &rx), 0);
	assert_int_not_equal(ask(p, VHOST_USER_REM_MEM_REG, &r, sizeof(r), -1), 0);
	assert_int_equal(p->queue_starts, 1);
	assert_int_equal(p->queue_stops, 1);
	/* It can be made good. */
	share_memory(p);
	assert_int_equal(p->queue_starts, 2);
}

static void memory_that_is_not_shared(void **state)
{
	struct peer *p = *state;
	struct vhost_user_memory m = { .nregions = 1 };
	int fd = eventfd(0, 0);

	negotiate(p, V1 | PROTO);
	m.region[0] = (struct iol_mem_desc){ GPA, MEM_SIZE, UADDR, 0 };
	assert_int_not_equal(ask(p, VHOST_USER_SET_MEM_TABLE, &m, 8 + 32, fd), 0);
	assert_non_null(strstr(iol_error(), "memory-backend-memfd,share=on"));
	assert_int_equal(post(p, VHOST_USER_SET_MEM_TABLE, 0, &m, 8 + 32, NULL, 0), -EPROTO);
	assert_non_null(strstr(iol_error(), "memory-backend-memfd,share=on"));
	close(fd);
}

static void truncated_memory_ends_the_connection(void **state)
{
	struct peer *p = *state;

	negotiate(p, V1 | PROTO);
	share_memory(p);
	start_ring(p, 0);
	assert_true(iol_sigbus_handle(p->dev->mem->region[0]->host + 0x5000));
	assert_int_equal(iol_session_step(&p->session), -EFAULT);
	assert_non_null(strstr(iol_error(), "truncated"));
}

static void the_dirty_log(void **state)
{
	struct peer *p = *state;
	struct vhost_user_log l = { .mmap_size = 0x10000, .mmap_offset = 0 };
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct vhost_vring_addr a = ring_addr(0);
	struct iol_driver_ring *d = driver(p, 0);
	const struct iol_driver_seg seg = { GPA + 0x8000, 16, true };
	struct iol_chain chain;
	uint8_t bits = 0;

	assert_int_equal(ftruncate(fd, 0x10000), 0);
	negotiate(p, V1 | PROTO);
	share_memory(p);
	start_ring(p, 0);
	assert_int_equal(ask(p, VHOST_USER_SET_LOG_BASE, &l, sizeof(l), fd), 0);
	assert_int_equal(ask_u64(p, VHOST_USER_SET_FEATURES, V1 | PROTO | IOL_BIT(VHOST_F_LOG_ALL)),
			 0);
	a.flags = 1;
	assert_int_equal(ask(p, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1), 0);
	assert_int_equal(p->queue_stops, 0);
	assert_int_equal(iol_driver_add(d, &seg, 1, 5), 0);
	iol_driver_publish(d);
	assert_int_equal(iol_ring_pop(ring(p, 0), &chain, 1), 1);
	iol_ring_dirty(ring(p, 0), chain.iov[0].iov_base, 16);
	iol_ring_push(ring(p, 0), chain.id, chain.ndesc, 16);
	iol_ring_publish(ring(p, 0));
	assert_int_equal(pread(fd, &bits, 1, GPA / 4096 / 8), 1);
	assert_int_equal(bits, 1 << 2); /* the used ring */
	assert_int_equal(pread(fd, &bits, 1, GPA / 4096 / 8 + 1), 1);
	assert_int_equal(bits, 1 << 0); /* the buffer */
	/* The front end takes a new log, then stops logging. */
	assert_int_equal(ask(p, VHOST_USER_SET_LOG_BASE, &l, sizeof(l), fd), 0);
	assert_int_equal(ask_u64(p, VHOST_USER_SET_FEATURES, V1 | PROTO), 0);
	l.mmap_size = 0x20000;
	assert_int_not_equal(ask(p, VHOST_USER_SET_LOG_BASE, &l, sizeof(l), fd), 0);
	assert_int_equal(ask(p, VHOST_USER_SET_LOG_FD, NULL, 0, fd), 0);
	iol_driver_destroy(&d);
	close(fd);
}

/* ---- inflight ---- */

static void the_inflight_buffer(void **state)
{
	struct peer *p = *state;
	struct vhost_user_inflight in = { .num_queues = QUEUES, .queue_size = SIZE };
	struct iol_driver_ring *d = driver(p, 0);
	const struct iol_driver_seg seg = { GPA + 0x8000, 16, true };
	struct iol_chain chain;
	struct iol_wire_rx rx;
	int fd;

	negotiate(p, V1 | PROTO);
	assert_int_equal(post(p, VHOST_USER_GET_INFLIGHT_FD, 0, &in, sizeof(in), NULL, 0), 0);
	assert_int_equal(answer(p, &rx), 1);
	assert_int_equal(rx.msg.hdr.size, sizeof(in));
	assert_int_equal(rx.msg.nfds, 1);
	in = rx.msg.payload.inflight;
	assert_true(in.mmap_size >= QUEUES * SIZE * 16);
	fd = iol_msg_take_fd(&rx.msg);
	share_memory(p);
	in.num_queues++;
	assert_int_not_equal(ask(p, VHOST_USER_SET_INFLIGHT_FD, &in, sizeof(in), fd), 0);
	in.num_queues--;
	/* Shorter than the queue: it must never be written past its end. */
	in.queue_size = SIZE / 2;
	assert_int_equal(ask(p, VHOST_USER_SET_INFLIGHT_FD, &in, sizeof(in), fd), 0);
	describe_ring(p, 0);
	assert_int_not_equal(set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_non_null(strstr(iol_error(), "inflight"));
	in.queue_size = SIZE;
	assert_int_equal(ask(p, VHOST_USER_SET_INFLIGHT_FD, &in, sizeof(in), fd), 0);
	start_ring(p, 0);
	/* Taken, and the connection ends without an answer to it: the next one replays it. */
	assert_int_equal(iol_driver_add(d, &seg, 1, 5), 0);
	iol_driver_publish(d);
	assert_int_equal(iol_ring_pop(ring(p, 0), &chain, 1), 1);
	iol_session_close(&p->session);
	iol_session_open(&p->session, p->dev, p->session.sock);
	negotiate(p, V1 | PROTO);
	share_memory(p);
	assert_int_equal(ask(p, VHOST_USER_SET_INFLIGHT_FD, &in, sizeof(in), fd), 0);
	start_ring(p, 0);
	assert_int_equal(iol_ring_pop(ring(p, 0), &chain, 1), 1);
	assert_int_equal(iol_ring_replaying(ring(p, 0)), 0);
	iol_ring_push(ring(p, 0), chain.id, chain.ndesc, 16);
	iol_ring_publish(ring(p, 0));
	assert_int_equal(get_base(p, 0), 1);
	iol_driver_destroy(&d);
	close(fd);
}

static void an_inflight_buffer_of_another_layout(void **state)
{
	struct peer *p = *state;
	struct vhost_user_inflight in = { .num_queues = 1, .queue_size = SIZE };
	struct iol_wire_rx rx;
	int fd;

	negotiate(p, V1 | PROTO);
	assert_int_equal(post(p, VHOST_USER_GET_INFLIGHT_FD, 0, &in, 20, NULL, 0), 0);
	assert_int_equal(answer(p, &rx), 1);
	assert_int_equal(rx.msg.hdr.size, 20);
	fd = iol_msg_take_fd(&rx.msg);
	in = rx.msg.payload.inflight;
	assert_int_equal(ask(p, VHOST_USER_SET_INFLIGHT_FD, &in, 20, fd), 0);
	assert_int_equal(
		ask_u64(p, VHOST_USER_SET_FEATURES, V1 | PROTO | IOL_BIT(VIRTIO_F_RING_PACKED)), 0);
	share_memory(p);
	describe_ring(p, 0);
	assert_int_not_equal(set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	in.num_queues = 0;
	assert_int_equal(post(p, VHOST_USER_GET_INFLIGHT_FD, 0, &in, 20, NULL, 0), -EINVAL);
	close(fd);
}

/* ---- the IOMMU ---- */

#define IOMMU (V1 | PROTO | IOL_BIT(VIRTIO_F_ACCESS_PLATFORM))

static uint64_t tlb(struct peer *p, uint8_t type, uint64_t iova, uint64_t size, uint64_t uaddr)
{
	const struct vhost_iotlb_msg m = {
		.iova = iova, .size = size, .uaddr = uaddr, .perm = VHOST_ACCESS_RW, .type = type
	};

	return ask(p, VHOST_USER_IOTLB_MSG, &m, sizeof(m), -1);
}

static void misses_go_to_the_front_end(void **state)
{
	struct peer *p = *state;
	struct vhost_vring_addr a = { .avail_user_addr = 0x1000, .used_user_addr = 0x2000 };
	struct iol_driver_ring *d = driver(p, 0);
	const struct iol_driver_seg seg = { 0x7000, 16, true };
	struct iol_wire_rx rx = { 0 };
	struct iol_chain chain;

	negotiate(p, IOMMU);
	share_memory(p);
	describe_ring(p, 0);
	assert_int_equal(ask(p, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1), 0);
	assert_int_not_equal(set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_non_null(strstr(iol_error(), "SET_BACKEND_REQ_FD"));
	give_channel(p);
	assert_int_equal(set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_int_equal(ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(iol_driver_add(d, &seg, 1, 5), 0);
	iol_driver_publish(d);
	/* Each look at the ring asks for what is missing, until nothing is. */
	while (iol_ring_pop(ring(p, 0), &chain, 1) == -EAGAIN) {
		assert_int_equal(iol_session_step(&p->session), 0);
		memset(&rx, 0, sizeof(rx));
		assert_int_equal(iol_wire_recv(p->back, &rx), 1);
		assert_int_equal(rx.msg.hdr.request, VHOST_USER_BACKEND_IOTLB_MSG);
		assert_int_equal(rx.msg.hdr.flags, VHOST_USER_VERSION);
		assert_int_equal(rx.msg.payload.iotlb.type, VHOST_IOTLB_MISS);
		assert_true(rx.msg.payload.iotlb.iova < 0x8000);
		p->wakes = 0;
		assert_int_equal(tlb(p, VHOST_IOTLB_UPDATE, rx.msg.payload.iotlb.iova, 4096,
				     UADDR + rx.msg.payload.iotlb.iova),
				 0);
		assert_int_equal(p->wakes, 1);
	}
	assert_ptr_equal(chain.iov[0].iov_base, p->dev->mem->region[0]->host + 0x7000);
	/* A request in flight is finished before an invalidation is answered. */
	assert_int_equal(p->queue_stops, 0);
	iol_ring_push(ring(p, 0), chain.id, chain.ndesc, 16);
	iol_ring_publish(ring(p, 0));
	assert_int_equal(tlb(p, VHOST_IOTLB_INVALIDATE, 0x7000, 4096, 0), 0);
	assert_int_equal(p->queue_stops, 0);
	assert_int_equal(iol_driver_add(d, &seg, 1, 6), 0);
	iol_driver_publish(d);
	assert_int_equal(tlb(p, VHOST_IOTLB_UPDATE, 0x7000, 4096, UADDR + 0x7000), 0);
	assert_int_equal(iol_ring_pop(ring(p, 0), &chain, 1), 1);
	assert_int_equal(tlb(p, VHOST_IOTLB_INVALIDATE, 0, UINT64_MAX, 0), 0);
	assert_int_equal(p->queue_stops, 1);
	assert_int_equal(p->queue_starts, 2);
	assert_int_not_equal(tlb(p, VHOST_IOTLB_MISS, 0, 4096, 0), 0);
	assert_int_not_equal(tlb(p, VHOST_IOTLB_UPDATE, 0, 0, UADDR), 0);
	iol_driver_destroy(&d);
}

static void a_full_channel_is_tried_again(void **state)
{
	struct peer *p = *state;
	struct vhost_vring_addr a = { .avail_user_addr = 0x1000, .used_user_addr = 0x2000 };
	struct iol_wire_rx rx = { 0 };
	struct iovec iov;
	unsigned int n = 0;

	negotiate(p, IOMMU);
	share_memory(p);
	give_channel(p);
	describe_ring(p, 0);
	assert_int_equal(ask(p, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1), 0);
	assert_int_equal(set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	while (!iol_wire_send(p->dev->backend_fd, 99, 0, NULL, 0, NULL, 0, 0))
		n++;
	assert_int_equal(iol_iotlb_iov(p->dev->iotlb, p->dev->mem, 0x9000, 1, 1, &iov, 1), -EAGAIN);
	assert_int_equal(iol_session_step(&p->session), 0);
	assert_true(p->session.backlog);
	for (; n; n--) {
		memset(&rx, 0, sizeof(rx));
		assert_int_equal(iol_wire_recv(p->back, &rx), 1);
		assert_int_equal(rx.msg.hdr.request, 99);
	}
	assert_int_equal(iol_session_step(&p->session), 0);
	assert_false(p->session.backlog);
	memset(&rx, 0, sizeof(rx));
	assert_int_equal(iol_wire_recv(p->back, &rx), 1);
	assert_int_equal(rx.msg.payload.iotlb.iova, 0x9000);
	/* A front end that closes the channel loses it, and nothing else. */
	iol_close(&p->back);
	assert_int_equal(iol_iotlb_iov(p->dev->iotlb, p->dev->mem, 0xa000, 1, 1, &iov, 1), -EAGAIN);
	assert_int_equal(iol_session_step(&p->session), 0);
	assert_int_equal(p->dev->backend_fd, -1);
}

static void iotlb_messages_need_the_feature(void **state)
{
	struct peer *p = *state;

	negotiate(p, V1 | PROTO);
	assert_int_not_equal(tlb(p, VHOST_IOTLB_UPDATE, 0, 4096, UADDR), 0);
	assert_non_null(strstr(iol_error(), "ACCESS_PLATFORM"));
}

/* ---- configuration ---- */

static uint32_t read_config(struct peer *p, uint32_t offset, uint32_t size, uint8_t *data)
{
	struct vhost_user_config c = { .offset = offset, .size = size };
	struct iol_wire_rx rx;

	memset(c.data, 0xee, sizeof(c.data));
	assert_int_equal(
		post(p, VHOST_USER_GET_CONFIG, 0, &c, 12 + (size > 256 ? 256 : size), NULL, 0), 0);
	assert_int_equal(answer(p, &rx), 1);
	assert_int_equal(rx.msg.hdr.request, VHOST_USER_GET_CONFIG);
	if (rx.msg.hdr.size)
		memcpy(data, rx.msg.payload.config.data, size);
	return rx.msg.hdr.size;
}

static uint64_t write_config(struct peer *p, uint32_t offset, uint32_t size, uint32_t flags,
			     const uint8_t *data)
{
	struct vhost_user_config c = { .offset = offset, .size = size, .flags = flags };

	memcpy(c.data, data, size > 256 ? 256 : size);
	return ask(p, VHOST_USER_SET_CONFIG, &c, 12 + size, -1);
}

static void configuration(void **state)
{
	struct peer *p = *state;
	uint8_t data[256], now[CONFIG];
	unsigned int i;

	negotiate(p, V1 | PROTO);
	assert_int_equal(read_config(p, 0, CONFIG, data), 12 + CONFIG);
	assert_memory_equal(data, p->config, CONFIG);
	assert_int_equal(read_config(p, 8, 4, data), 16);
	assert_memory_equal(data, p->config + 8, 4);
	assert_int_equal(read_config(p, 0, 256, data), 268);
	assert_memory_equal(data, p->config, CONFIG);
	for (i = CONFIG; i < 256; i++)
		assert_int_equal(data[i], 0);
	assert_int_equal(read_config(p, 255, 1, data), 13);
	assert_int_equal(read_config(p, 256, 1, data), 0);
	assert_int_equal(read_config(p, 255, 2, data), 0);
	assert_int_equal(read_config(p, UINT32_MAX, 2, data), 0);

	data[0] = 0x77;
	assert_int_equal(write_config(p, 32, 1, 0, data), 0);
	assert_int_equal(p->config[32], 0x77);
	assert_int_not_equal(write_config(p, 31, 1, 0, data), 0);
	assert_int_not_equal(write_config(p, 32, 1, 2, data), 0);
	assert_int_not_equal(write_config(p, CONFIG, 1, 0, data), 0);
	assert_int_not_equal(write_config(p, 0, 0, 0, data), 0);
	assert_int_not_equal(write_config(p, UINT32_MAX, 1, 0, data), 0);
	/* A migration brings all of it; what may not be written stays. */
	memcpy(now, p->config, CONFIG);
	memset(data, 0x55, sizeof(data));
	assert_int_equal(write_config(p, 0, CONFIG, 1, data), 0);
	now[32] = 0x55;
	assert_memory_equal(p->config, now, CONFIG);
}

static void configuration_changes(void **state)
{
	struct peer *p = *state;
	struct iol_wire_rx rx = { 0 };

	negotiate(p, V1 | PROTO);
	assert_int_equal(iol_device_config_changed(p->dev), -EOPNOTSUPP);
	give_channel(p);
	assert_int_equal(iol_device_config_changed(p->dev), 0);
	/* A suspended device is silent; the message waits for the first ring. */
	assert_int_equal(iol_session_step(&p->session), 0);
	assert_int_equal(iol_wire_recv(p->back, &rx), 0);
	share_memory(p);
	start_ring(p, 0);
	assert_int_equal(iol_wire_recv(p->back, &rx), 1);
	assert_int_equal(rx.msg.hdr.request, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG);
	assert_int_equal(rx.msg.hdr.size, 0);
	iol_wire_next(&rx);
	assert_int_equal(iol_wire_recv(p->back, &rx), 0);
	assert_int_equal(iol_device_config_changed(p->dev), 0);
	assert_int_equal(iol_session_step(&p->session), 0);
	assert_int_equal(iol_wire_recv(p->back, &rx), 1);
	iol_session_close(&p->session);
	assert_int_equal(iol_device_config_changed(p->dev), -ENOTCONN);
}

/* ---- resets and the end ---- */

static void resets(void **state)
{
	struct peer *p = *state;

	negotiate(p, V1 | PROTO);
	share_memory(p);
	start_ring(p, 0);
	assert_int_equal(ask_u64(p, VHOST_USER_SET_STATUS, 0x0f), 0);
	assert_int_equal(get(p, VHOST_USER_GET_STATUS), 0x0f);
	assert_int_not_equal(ask_u64(p, VHOST_USER_SET_STATUS, 0x100), 0);
	assert_int_equal(p->resets, 0);
	assert_int_equal(ask_u64(p, VHOST_USER_SET_STATUS, 0), 0);
	assert_int_equal(p->resets, 1);
	assert_int_equal(p->queue_stops, 1);
	assert_int_equal(p->stops, 1);
	assert_int_equal(get(p, VHOST_USER_GET_STATUS), 0);
	/* Memory and the protocol's features stay, as QEMU tells them only once. */
	assert_int_equal(p->dev->mem->n, 1);
	assert_int_equal(ask_u64(p, VHOST_USER_SET_FEATURES, V1 | PROTO), 0);
	start_ring(p, 0);
	assert_int_equal(ask(p, VHOST_USER_RESET_DEVICE, NULL, 0, -1), 0);
	assert_int_equal(p->resets, 2);
	assert_int_equal(p->queue_stops, 2);
	assert_int_equal(p->dev->mem->n, 1);
	assert_int_equal(ask_u64(p, VHOST_USER_SET_FEATURES, V1 | PROTO), 0);
	start_ring(p, 0);
	assert_int_equal(ask(p, VHOST_USER_RESET_OWNER, NULL, 0, -1), 0);
	assert_int_equal(p->resets, 2);
	assert_int_equal(p->queue_stops, 3);
	assert_int_equal(p->stops, 2);
	assert_int_equal(ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(p->queue_starts, 4);
}

static void the_front_end_goes(void **state)
{
	struct peer *p = *state;
	unsigned int i;

	negotiate(p, V1 | PROTO);
	share_memory(p);
	give_channel(p);
	for (i = 0; i < QUEUES; i++)
		start_ring(p, i);
	shutdown(p->sock, SHUT_WR);
	assert_int_equal(iol_session_step(&p->session), -ECONNRESET);
	iol_session_close(&p->session);
	assert_int_equal(p->queue_stops, QUEUES);
	assert_int_equal(p->stops, 1);
	assert_int_equal(p->dev->mem->n, 0);
	assert_int_equal(p->dev->features, 0);
	assert_int_equal(p->dev->protocol, 0);
	assert_int_equal(p->dev->backend_fd, -1);
	assert_int_equal(iol_queue_kick_fd(&p->dev->queue[0]), -1);
}

static void devices_that_cannot_be(void **state)
{
	struct iol_device_spec spec = { .name = "x", .ops = &ops };
	struct iol_device *dev = NULL;

	assert_int_equal(iol_device_new(&spec, &dev), -EINVAL);
	spec.num_queues = IOL_QUEUES_MAX + 1;
	assert_int_equal(iol_device_new(&spec, &dev), -EINVAL);
	spec.num_queues = IOL_QUEUES_MAX;
	assert_int_equal(iol_device_new(&spec, &dev), 0);
	iol_device_destroy(&dev);
	assert_null(dev);
	iol_device_destroy(&dev);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row),
		T(unknown_messages_end_the_connection),
		T(offers),
		T(features_are_frozen_while_rings_run),
		T(without_reply_ack_nothing_is_answered),
		T(a_ring_lives),
		T(without_protocol_features_a_ring_is_enabled),
		T(descriptors_change_on_a_running_ring),
		T(only_eventfds_signal),
		T(sizes_and_bases),
		T(a_device_that_will_not_start),
		T(a_ring_outside_memory),
		T(the_base_comes_back),
		T(memory_changes_under_running_rings),
		T(memory_that_leaves_a_ring_without),
		T(memory_that_is_not_shared),
		T(truncated_memory_ends_the_connection),
		T(the_dirty_log),
		T(the_inflight_buffer),
		T(an_inflight_buffer_of_another_layout),
		T(misses_go_to_the_front_end),
		T(a_full_channel_is_tried_again),
		T(iotlb_messages_need_the_feature),
		T(configuration),
		T(configuration_changes),
		T(resets),
		T(the_front_end_goes),
		cmocka_unit_test(devices_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
