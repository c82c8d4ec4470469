/* SPDX-License-Identifier: BSD-3-Clause */
/* Negotiation, the life of rings, configuration and resets. */
#include "peer.h"

#include "base/error.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- negotiation ---- */

static void offers(void **state)
{
	struct peer *p = *state;
	uint64_t iommu = IOL_BIT(VIRTIO_F_ACCESS_PLATFORM);
	uint64_t features = peer_get(p, VHOST_USER_GET_FEATURES);
	uint64_t protocol = peer_get(p, VHOST_USER_GET_PROTOCOL_FEATURES);

	assert_int_equal(protocol, ALL_PROTOCOL);
	assert_int_equal(features, 1 << 6 | 1ull << 32 | 1ull << 34 | 1 << 29 | 1 << 28 |
					   1ull << 40 | iommu | 1 << 26 | 1 << 30);
	protocol &= ~IOL_BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ);
	assert_int_equal(peer_post(p, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &protocol, 8, NULL, 0),
			 0);
	assert_int_equal(peer_get(p, VHOST_USER_GET_FEATURES), features & ~iommu);
	assert_int_equal(peer_ask(p, VHOST_USER_SET_OWNER, NULL, 0, -1), 0);
	assert_int_not_equal(peer_ask_u64(p, VHOST_USER_SET_FEATURES, V1 | iommu), 0);
	assert_int_not_equal(peer_ask_u64(p, VHOST_USER_SET_FEATURES, V1 | 1), 0);
	assert_int_not_equal(peer_ask_u64(p, VHOST_USER_SET_PROTOCOL_FEATURES, 1 << 8), 0);
	assert_int_equal(p->features, 0);
	assert_int_equal(peer_ask_u64(p, VHOST_USER_SET_FEATURES, V1), 0);
	assert_int_equal(p->features, V1);
	assert_int_equal(peer_get(p, VHOST_USER_GET_QUEUE_NUM), QUEUES);
	assert_int_equal(peer_get(p, VHOST_USER_GET_MAX_MEM_SLOTS), 509);
}

static void features_are_frozen_while_rings_run(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, V1 | PROTO);
	peer_share_memory(p);
	peer_start_ring(p, 0);
	assert_int_equal(peer_ask_u64(p, VHOST_USER_SET_FEATURES, V1 | PROTO), 0);
	assert_int_not_equal(peer_ask_u64(p, VHOST_USER_SET_FEATURES, V1), 0);
	assert_int_not_equal(
		peer_ask_u64(p, VHOST_USER_SET_PROTOCOL_FEATURES, ALL_PROTOCOL & ~1ull), 0);
	assert_int_equal(peer_ask_u64(p, VHOST_USER_SET_PROTOCOL_FEATURES, ALL_PROTOCOL), 0);
	peer_get_base(p, 0);
	assert_int_equal(peer_ask_u64(p, VHOST_USER_SET_FEATURES, V1), 0);
}

/* As DPDK's virtio-user does when its back end is a new process. */
static void who_comes_back_goes_on_as_agreed(void **state)
{
	struct peer *p = *state;
	struct vhost_vring_state off = { .index = 0, .num = 0 };
	uint64_t none = 0;

	assert_int_equal(peer_post(p, VHOST_USER_SET_VRING_ENABLE, 0, &off, 8, NULL, 0), 0);
	peer_get_base(p, 0);
	assert_int_equal(peer_ask_u64(p, VHOST_USER_SET_STATUS, 0), 0);
	assert_int_equal(peer_post(p, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &none, 8, NULL, 0), 0);
	assert_true(peer_post(p, VHOST_USER_SET_STATUS, 0, &none, 8, NULL, 0) < 0);
	assert_non_null(strstr(iol_error(), "STATUS was not negotiated"));
}

static void without_reply_ack_nothing_is_answered(void **state)
{
	struct peer *p = *state;
	struct iol_wire_rx rx;
	uint64_t features = V1, protocol = 0;

	assert_int_equal(peer_post(p, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &protocol, 8, NULL, 0),
			 0);
	assert_int_equal(peer_post(p, VHOST_USER_SET_OWNER, VHOST_USER_NEED_REPLY_MASK, NULL, 0,
				   NULL, 0),
			 0);
	assert_int_equal(peer_answer(p, &rx), 0);
	assert_int_equal(peer_post(p, VHOST_USER_SET_FEATURES, 0, &features, 8, NULL, 0), 0);
	assert_int_equal(peer_answer(p, &rx), 0);
	features = 1;
	assert_int_equal(peer_post(p, VHOST_USER_SET_FEATURES, VHOST_USER_NEED_REPLY_MASK,
				   &features, 8, NULL, 0),
			 -EINVAL);
}

/* ---- rings ---- */

static void a_ring_lives(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, V1 | PROTO);
	assert_int_equal(peer_get_base(p, 2), 0);
	assert_int_not_equal(peer_set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_non_null(strstr(iol_error(), "SET_VRING_NUM"));
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_NUM, 0, SIZE), 0);
	assert_int_not_equal(peer_set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_non_null(strstr(iol_error(), "SET_VRING_ADDR"));
	peer_describe_ring(p, 0);
	assert_int_not_equal(peer_set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_non_null(strstr(iol_error(), "share=on"));
	assert_int_equal(p->starts, 0);
	peer_share_memory(p);
	/* Started, but disabled: not in anybody's hands. */
	assert_int_equal(peer_set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_int_equal(p->starts, 1);
	assert_int_equal(p->queue_starts, 0);
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(p->queue_starts, 1);
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(p->queue_starts, 1);
	/* Disabled and enabled again, which is no suspension. */
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 0), 0);
	assert_int_equal(p->queue_stops, 1);
	assert_int_equal(p->stops, 0);
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(p->queue_starts, 2);
	assert_int_not_equal(peer_ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 2), 0);
	peer_start_ring(p, 1);
	peer_get_base(p, 0);
	assert_int_equal(p->stops, 0);
	peer_get_base(p, 1);
	assert_int_equal(p->stops, 1);
	assert_int_equal(p->queue_stops, 3);
	peer_get_base(p, 1);
	assert_int_equal(p->stops, 1);
}

static void without_protocol_features_a_ring_is_enabled(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, V1);
	peer_share_memory(p);
	peer_describe_ring(p, 0);
	assert_int_equal(peer_set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_int_equal(p->queue_starts, 1);
}

static void descriptors_change_on_a_running_ring(void **state)
{
	struct peer *p = *state;
	uint64_t none = VHOST_USER_VRING_NOFD_MASK, n = 0;
	int fd = eventfd(0, EFD_CLOEXEC);
	struct vhost_vring_addr a = peer_ring_addr(0);

	peer_negotiate(p, V1 | PROTO);
	peer_share_memory(p);
	peer_start_ring(p, 0);
	assert_int_equal(peer_ask(p, VHOST_USER_SET_VRING_CALL, &n, sizeof(n), fd), 0);
	assert_int_equal(p->calls, 1);
	/* What the old descriptor was signalled for may not have been heard. */
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	iol_queue_call(&p->dev->queue[0]);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	assert_int_equal(peer_ask_u64(p, VHOST_USER_SET_VRING_CALL, none), 0);
	iol_queue_call(&p->dev->queue[0]);
	n = 0;
	assert_int_equal(peer_ask(p, VHOST_USER_SET_VRING_ERR, &n, sizeof(n), fd), 0);
	iol_fail(EPROTO, "a test");
	iol_queue_fail(&p->dev->queue[0]);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	/* A call that would block is left out: it is signalled already. */
	n = 0;
	assert_int_equal(peer_ask(p, VHOST_USER_SET_VRING_CALL, &n, sizeof(n), fd), 0);
	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
	n = UINT64_MAX - 1;
	assert_int_equal(write(fd, &n, sizeof(n)), sizeof(n));
	iol_queue_call(&p->dev->queue[0]);
	/* A new kick descriptor, and polling. */
	assert_int_equal(peer_set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_int_equal(p->queue_starts, 2);
	assert_true(iol_queue_kick_fd(&p->dev->queue[0]) >= 0);
	assert_int_equal(peer_ask_u64(p, VHOST_USER_SET_VRING_KICK, none), 0);
	assert_int_equal(iol_queue_kick_fd(&p->dev->queue[0]), -1);
	assert_int_equal(p->stops, 0);
	/* Addresses may be told again, with the log flag on; nonsense is refused. */
	a.flags = 1;
	assert_int_equal(peer_ask(p, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1), 0);
	a.flags = 2;
	assert_int_not_equal(peer_ask(p, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1), 0);
	a.flags = 0;
	a.used_user_addr = 0;
	assert_int_not_equal(peer_ask(p, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1), 0);
	close(fd);
}

static void only_eventfds_signal(void **state)
{
	struct peer *p = *state;
	uint64_t n = 0;

	peer_negotiate(p, V1 | PROTO);
	assert_int_not_equal(peer_ask(p, VHOST_USER_SET_VRING_CALL, &n, sizeof(n), p->memfd), 0);
	assert_int_not_equal(peer_ask(p, VHOST_USER_SET_VRING_ERR, &n, sizeof(n), p->sock), 0);
	peer_share_memory(p);
	peer_describe_ring(p, 0);
	assert_int_not_equal(peer_ask(p, VHOST_USER_SET_VRING_KICK, &n, sizeof(n), p->memfd), 0);
	assert_int_equal(p->starts, 0);
	assert_int_not_equal(peer_ask(p, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, p->memfd), 0);
}

static void sizes_and_bases(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, V1 | PROTO);
	assert_int_not_equal(peer_ask_state(p, VHOST_USER_SET_VRING_NUM, 0, 0), 0);
	assert_int_not_equal(peer_ask_state(p, VHOST_USER_SET_VRING_NUM, 0, 65536), 0);
	assert_int_not_equal(peer_ask_state(p, VHOST_USER_SET_VRING_NUM, 0, 65536 + 16), 0);
	assert_int_not_equal(peer_ask_state(p, VHOST_USER_SET_VRING_NUM, 0, 12), 0);
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_NUM, 0, 32768), 0);
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_BASE, 0, 65535), 0);
	assert_int_equal(peer_get_base(p, 0), 65535);
	assert_int_not_equal(peer_ask_state(p, VHOST_USER_SET_VRING_BASE, 0, 65536), 0);
	assert_int_equal(peer_ask_u64(p, VHOST_USER_SET_FEATURES,
				      V1 | PROTO | IOL_BIT(VIRTIO_F_RING_PACKED)),
			 0);
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_NUM, 0, 12), 0);
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_BASE, 0, 0x80008000), 0);
	assert_int_equal(peer_get_base(p, 0), 0x80008000);
	/* DPDK's front end begins a ring so. */
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_BASE, 0, 0x8000), 0);
	assert_int_equal(peer_get_base(p, 0), 0x80008000);
}

static void a_device_that_will_not_start(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, V1);
	peer_share_memory(p);
	peer_describe_ring(p, 0);
	p->queue_start_rc = -ENOMEM;
	assert_int_not_equal(peer_set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_int_equal(p->stops, 1);
	p->queue_start_rc = 0;
	p->start_rc = -EBUSY;
	p->starts = p->stops = 0;
	assert_int_not_equal(peer_set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_non_null(strstr(iol_error(), "the image is locked"));
	assert_int_equal(p->queue_starts, 0);
}

static void a_ring_outside_memory(void **state)
{
	struct peer *p = *state;
	struct vhost_vring_addr a = peer_ring_addr(0);

	peer_negotiate(p, V1);
	peer_share_memory(p);
	peer_describe_ring(p, 0);
	a.used_user_addr = UADDR + MEM_SIZE;
	assert_int_equal(peer_ask(p, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1), 0);
	assert_int_not_equal(peer_set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_int_equal(p->queue_starts, 0);
}

static void the_base_comes_back(void **state)
{
	struct peer *p = *state;
	struct iol_driver_ring *d = peer_driver(p, 0);
	const struct iol_driver_seg seg = { GPA + 0x8000, 16, true };
	struct iol_chain chain;
	uintptr_t cookie;
	uint32_t len;

	peer_negotiate(p, V1 | PROTO);
	peer_share_memory(p);
	peer_start_ring(p, 0);
	assert_int_equal(iol_driver_add(d, &seg, 1, 5), 0);
	iol_driver_publish(d);
	assert_int_equal(iol_ring_pop(peer_ring(p, 0), &chain, 1), 1);
	iol_ring_push(peer_ring(p, 0), chain.id, chain.ndesc, 16);
	iol_ring_publish(peer_ring(p, 0));
	/* Through a change of memory and one of enabling, to the end. */
	peer_share_memory(p);
	assert_int_equal(p->queue_starts, 2);
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 0), 0);
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(iol_ring_pop(peer_ring(p, 0), &chain, 1), 0);
	assert_int_equal(peer_get_base(p, 0), 1);
	assert_int_equal(iol_driver_used(d, &cookie, &len), 1);
	assert_int_equal(cookie, 5);
	iol_driver_destroy(&d);
}

/* ---- a device that works in order, and front ends that do not know where the last one was ---- */

static void start_at(struct peer *p, uint32_t base, bool enable)
{
	peer_describe_ring(p, 0);
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_BASE, 0, base), 0);
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, enable), 0);
	assert_int_equal(peer_set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
}

static void split_rings_go_on_after_the_last_used(void **state)
{
	struct peer *p = *state;
	struct vring_used *used = (void *)(p->mem + 0x2000);
	bool enable;

	peer_negotiate(p, V1 | PROTO);
	peer_share_memory(p);
	used->idx = 77;
	for (enable = true;; enable = false) {
		p->dev->resume_at_used = true;
		start_at(p, 5, enable);
		assert_int_equal(peer_get_base(p, 0), 77);
		/* And one that may not. */
		p->dev->resume_at_used = false;
		start_at(p, 5, enable);
		assert_int_equal(peer_get_base(p, 0), 5);
		if (!enable)
			break;
	}
	assert_int_equal(p->queue_starts, 2);
}

static void packed_rings_go_on_after_the_last_used(void **state)
{
	const uint64_t features = V1 | PROTO | IOL_BIT(VIRTIO_F_RING_PACKED);
	struct peer *p = *state;
	struct vring_packed_desc *ring = (void *)p->mem;
	struct vring_packed_desc_event *event = (void *)(p->mem + 0x2000);
	unsigned int i;

	p->dev->resume_at_used = true;
	peer_negotiate(p, features);
	peer_share_memory(p);
	start_at(p, 0x80008000, true);
	assert_int_equal(event->off_wrap, 0xffff);
	/* One used, one available; then the front end loses sight of it. */
	ring[0].flags = 1 << VRING_PACKED_DESC_F_AVAIL | 1 << VRING_PACKED_DESC_F_USED;
	ring[1].flags = 1 << VRING_PACKED_DESC_F_AVAIL;
	for (i = 0; i < 2; i++) {
		shutdown(p->sock, SHUT_WR);
		assert_int_equal(iol_session_step(&p->session), -ECONNRESET);
		assert_int_equal(event->off_wrap, 0xffff);
		peer_again(p);
		peer_negotiate(p, features);
		peer_share_memory(p);
		/* The second time, not enabled. */
		start_at(p, 0x80008000, !i);
		assert_int_equal(event->off_wrap, 0xffff);
	}
	assert_int_equal(peer_get_base(p, 0), 0x80018001);
	/* Left for good, it is not marked any more. */
	assert_int_equal(event->off_wrap, 0);
	start_at(p, 0x80018001, true);
	assert_int_equal(event->off_wrap, 0xffff);
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 0), 0);
	assert_int_equal(event->off_wrap, 0xffff);
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(peer_get_base(p, 0), 0x80018001);
	assert_int_equal(event->off_wrap, 0);
}

/* ---- configuration ---- */

static uint32_t read_config(struct peer *p, uint32_t offset, uint32_t size, uint8_t *data)
{
	struct vhost_user_config c = { .offset = offset, .size = size };
	struct iol_wire_rx rx;

	memset(c.data, 0xee, sizeof(c.data));
	assert_int_equal(peer_post(p, VHOST_USER_GET_CONFIG, 0, &c, 12 + (size > 256 ? 256 : size),
				   NULL, 0),
			 0);
	assert_int_equal(peer_answer(p, &rx), 1);
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
	return peer_ask(p, VHOST_USER_SET_CONFIG, &c, 12 + size, -1);
}

static void configuration(void **state)
{
	struct peer *p = *state;
	uint8_t data[256], now[CONFIG];
	unsigned int i;

	peer_negotiate(p, V1 | PROTO);
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

	peer_negotiate(p, V1 | PROTO);
	assert_int_equal(iol_device_config_changed(p->dev), -EOPNOTSUPP);
	peer_give_channel(p);
	assert_int_equal(iol_device_config_changed(p->dev), 0);
	/* A suspended device is silent; the message waits for the first ring. */
	assert_int_equal(iol_session_step(&p->session), 0);
	assert_int_equal(iol_wire_recv(p->back, &rx), 0);
	peer_share_memory(p);
	peer_start_ring(p, 0);
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

/* ---- network devices ---- */

static void an_mtu_is_set(void **state)
{
	static const uint64_t bad[] = { 0, 67, 65536, 1ull << 32 | 1500, UINT64_MAX };
	struct peer *p = *state;
	size_t i;

	peer_negotiate(p, V1 | PROTO);
	assert_int_equal(peer_ask_u64(p, VHOST_USER_NET_SET_MTU, 1500), 0);
	assert_int_equal(p->mtu, 1500);
	assert_int_equal(peer_ask_u64(p, VHOST_USER_NET_SET_MTU, 68), 0);
	assert_int_equal(p->mtu, 68);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(peer_ask_u64(p, VHOST_USER_NET_SET_MTU, bad[i]), EINVAL);
		assert_non_null(strstr(iol_error(), "68 to 65535"));
	}
	/* Within what an MTU can be, and not what this device can. */
	assert_int_equal(peer_ask_u64(p, VHOST_USER_NET_SET_MTU, 9001), EINVAL);
	assert_int_equal(p->mtu, 68);
}

static void an_address_is_announced(void **state)
{
	static const uint8_t mac[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0xf6 };
	struct peer *p = *state;
	uint64_t value = 0;

	peer_negotiate(p, V1 | PROTO);
	/* What lies behind it may be anything. */
	memset(&value, 0xa5, sizeof(value));
	memcpy(&value, mac, sizeof(mac));
	assert_int_equal(peer_ask_u64(p, VHOST_USER_SEND_RARP, value), 0);
	assert_int_equal(p->announced, 1);
	assert_memory_equal(p->mac, mac, sizeof(mac));
	assert_int_equal(peer_ask_u64(p, VHOST_USER_SEND_RARP, value | 1), EINVAL);
	assert_int_equal(p->announced, 1);
}

static int no_config(void *ctx, void *config)
{
	return 0;
}

/* A device that offers them all the same, and one that has less than the core. */
static void a_device_without_the_ops(void **state)
{
	static const struct iol_device_ops ops = { .get_config = no_config };
	struct iol_device_spec spec = { .name = "x",
					.num_queues = 1,
					.features = IOL_BIT(VIRTIO_F_IN_ORDER),
					.protocol_add = IOL_PROTOCOL_RARP | IOL_PROTOCOL_MTU,
					.protocol_drop = IOL_PROTOCOL_INFLIGHT_SHMFD,
					.ops = &ops };
	struct iol_msg msg = { .payload.u64 = 1500 };
	struct iol_device *dev = NULL;

	assert_int_equal(iol_device_new(&spec, &dev), 0);
	assert_true(iol_device_offer(dev) & IOL_BIT(VIRTIO_F_IN_ORDER));
	assert_int_equal(iol_on_get_protocol_features(dev, &msg), 0);
	assert_int_equal(msg.payload.u64,
			 ALL_PROTOCOL & ~IOL_BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD));
	assert_int_equal(iol_on_net_set_mtu(dev, &msg), -EOPNOTSUPP);
	assert_int_equal(iol_on_send_rarp(dev, &msg), -EOPNOTSUPP);
	iol_device_destroy(&dev);
}

static void resets(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, V1 | PROTO);
	peer_share_memory(p);
	peer_start_ring(p, 0);
	assert_int_equal(peer_ask_u64(p, VHOST_USER_SET_STATUS, 0x0f), 0);
	assert_int_equal(peer_get(p, VHOST_USER_GET_STATUS), 0x0f);
	assert_int_not_equal(peer_ask_u64(p, VHOST_USER_SET_STATUS, 0x100), 0);
	assert_int_equal(p->resets, 0);
	assert_int_equal(peer_ask_u64(p, VHOST_USER_SET_STATUS, 0), 0);
	assert_int_equal(p->resets, 1);
	assert_int_equal(p->queue_stops, 1);
	assert_int_equal(p->stops, 1);
	assert_int_equal(peer_get(p, VHOST_USER_GET_STATUS), 0);
	/* Memory and the protocol's features stay, as QEMU tells them only once. */
	assert_int_equal(p->dev->mem->n, 1);
	assert_int_equal(peer_ask_u64(p, VHOST_USER_SET_FEATURES, V1 | PROTO), 0);
	peer_start_ring(p, 0);
	assert_int_equal(peer_ask(p, VHOST_USER_RESET_DEVICE, NULL, 0, -1), 0);
	assert_int_equal(p->resets, 2);
	assert_int_equal(p->queue_stops, 2);
	assert_int_equal(p->dev->mem->n, 1);
	assert_int_equal(peer_ask_u64(p, VHOST_USER_SET_FEATURES, V1 | PROTO), 0);
	peer_start_ring(p, 0);
	assert_int_equal(peer_ask(p, VHOST_USER_RESET_OWNER, NULL, 0, -1), 0);
	assert_int_equal(p->resets, 2);
	assert_int_equal(p->queue_stops, 3);
	assert_int_equal(p->stops, 2);
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(p->queue_starts, 4);
}

static void the_front_end_goes(void **state)
{
	struct peer *p = *state;
	unsigned int i;

	peer_negotiate(p, V1 | PROTO);
	peer_share_memory(p);
	peer_give_channel(p);
	for (i = 0; i < QUEUES; i++)
		peer_start_ring(p, i);
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
	struct iol_device_spec spec = { .name = "x", .ops = &peer_ops };
	struct iol_device *dev = NULL;

	assert_int_equal(iol_device_new(&spec, &dev), -EINVAL);
	spec.num_queues = IOL_QUEUES_MAX + 1;
	assert_int_equal(iol_device_new(&spec, &dev), -EINVAL);
	spec.num_queues = IOL_QUEUES_MAX;
	assert_int_equal(iol_device_new(&spec, &dev), 0);
	iol_device_destroy(&dev);
	assert_null(dev);
	iol_device_destroy(&dev);
	spec.protocol_add = IOL_PROTOCOL_INFLIGHT_SHMFD;
	assert_int_equal(iol_device_new(&spec, &dev), -EINVAL);
	spec.protocol_add = 0;
	spec.protocol_drop = IOL_PROTOCOL_MTU;
	assert_int_equal(iol_device_new(&spec, &dev), -EINVAL);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, peer_setup, peer_teardown)
	const struct CMUnitTest tests[] = {
		T(offers),
		T(features_are_frozen_while_rings_run),
		T(who_comes_back_goes_on_as_agreed),
		T(without_reply_ack_nothing_is_answered),
		T(a_ring_lives),
		T(without_protocol_features_a_ring_is_enabled),
		T(descriptors_change_on_a_running_ring),
		T(only_eventfds_signal),
		T(sizes_and_bases),
		T(a_device_that_will_not_start),
		T(a_ring_outside_memory),
		T(the_base_comes_back),
		T(split_rings_go_on_after_the_last_used),
		T(packed_rings_go_on_after_the_last_used),
		T(configuration),
		T(configuration_changes),
		T(an_mtu_is_set),
		T(an_address_is_announced),
		cmocka_unit_test(a_device_without_the_ops),
		T(resets),
		T(the_front_end_goes),
		cmocka_unit_test(devices_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
