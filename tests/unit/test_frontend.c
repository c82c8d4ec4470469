/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The front end against a back end that knows the protocol and no device, and that can be told to go
 * wrong once, in one way, at one message.
 */
#include "base/own.h"
#include "vhost-user/wire.h"

#include <iolane/base.h>
#include <iolane/vmm_frontend.h>

#include <errno.h>
#include <linux/virtio_net.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1ull << 20)
#define FEATURES                                                                                   \
	(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VHOST_F_LOG_ALL |  \
	 1ull << VIRTIO_F_ACCESS_PLATFORM)
#define PROTOCOL    (1ull << VHOST_USER_F_PROTOCOL_FEATURES)
#define ALL_BITS    ((1ull << 23) - 1)
#define TIMEOUT_MS  10000
#define SILENCE_MS  500
#define SLOTS       32
#define QUEUES      4
#define CONFIG_SIZE 60

enum fault {
	FAULT_NONE,
	FAULT_OTHER_ID,
	FAULT_NO_REPLY_FLAG,
	FAULT_SHORT,
	FAULT_LONG,
	FAULT_HUGE,
	FAULT_VERSION,
	FAULT_STRAY_FD,
	FAULT_CLOSE,
	FAULT_HALF,
	FAULT_SILENCE,
	FAULT_REFUSE,
	FAULT_VALUE,
	FAULTS,
};

struct peer {
	int sock;
	pthread_t thread;
	uint32_t at;
	enum fault fault;
	uint64_t protocol; /* offered */
	uint16_t pairs;    /* of a NIC, as its config space has them */
	/* What it was told; read after the thread has ended, or after an acknowledged message. */
	uint32_t seen[64];
	unsigned int nregions;
	struct iol_mem_desc last_region;
	int backend_fd;
	uint64_t features, agreed;
	uint32_t base;
	struct vhost_vring_addr addr;
	struct vhost_iotlb_msg iotlb;
	uint8_t status;
	uint64_t mtu, mac;
	/* Before it answers GET_VRING_BASE it asks for this on its channel. */
	bool ask_first, no_log;
	uint64_t ask_iova;
};

static void send_fault(struct peer *p, uint32_t request, const void *payload, uint32_t size,
		       const int *fds, unsigned int nfds)
{
	struct vhost_user_header hdr = { request, VHOST_USER_VERSION | VHOST_USER_REPLY_MASK,
					 size };
	uint8_t buf[sizeof(hdr) + sizeof(union vhost_user_payload) + 8] = { 0 };
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = buf };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf };
	uint64_t no = 1;

	if (size)
		memcpy(buf + sizeof(hdr), payload, size);
	switch (p->fault) {
	case FAULT_OTHER_ID:
		hdr.request = request == VHOST_USER_GET_QUEUE_NUM ? VHOST_USER_GET_STATUS
								  : VHOST_USER_GET_QUEUE_NUM;
		break;
	case FAULT_NO_REPLY_FLAG:
		hdr.flags = VHOST_USER_VERSION;
		break;
	case FAULT_SHORT:
		hdr.size -= 5;
		break;
	case FAULT_LONG:
		hdr.size += 5;
		break;
	case FAULT_HUGE:
		hdr.size = 0x7fffffff;
		break;
	case FAULT_VERSION:
		hdr.flags = VHOST_USER_REPLY_MASK | 2;
		break;
	case FAULT_STRAY_FD:
		nfds = nfds ? 0 : 1;
		fds = &p->sock;
		break;
	case FAULT_REFUSE:
		memcpy(buf + sizeof(hdr), &no, sizeof(no));
		break;
	case FAULT_VALUE:
		memset(buf + sizeof(hdr), 0xff, size);
		break;
	case FAULT_HALF:
		memcpy(buf, &hdr, sizeof(hdr));
		send(p->sock, buf, sizeof(hdr) / 2, MSG_NOSIGNAL);
		shutdown(p->sock, SHUT_RDWR);
		return;
	case FAULT_CLOSE:
		shutdown(p->sock, SHUT_RDWR);
		return;
	default: /* silence */
		return;
	}
	memcpy(buf, &hdr, sizeof(hdr));
	iov.iov_len = sizeof(hdr) + (hdr.size < size + 5 ? hdr.size : size + 5);
	iol_wire_attach(&mh, fds, nfds);
	sendmsg(p->sock, &mh, MSG_NOSIGNAL);
}

static void answer(struct peer *p, uint32_t request, const void *payload, uint32_t size,
		   const int *fds, unsigned int nfds)
{
	if (p->fault != FAULT_NONE && p->at == request) {
		send_fault(p, request, payload, size, fds, nfds);
		p->fault = FAULT_NONE;
		return;
	}
	iol_wire_send(p->sock, request, VHOST_USER_REPLY_MASK, payload, size, fds, nfds, 1000);
}

static void ask(struct peer *p)
{
	struct vhost_iotlb_msg miss = { .iova = p->ask_iova,
					.perm = VHOST_ACCESS_RW,
					.type = VHOST_IOTLB_MISS };

	p->ask_first = false;
	iol_wire_send(p->backend_fd, VHOST_USER_BACKEND_IOTLB_MSG, 0, &miss, sizeof(miss), NULL, 0,
		      1000);
}

static void handle(struct peer *p, struct iol_msg *msg)
{
	const struct iol_wire_row *row = iol_wire_row(msg->hdr.request);
	union vhost_user_payload out = msg->payload;
	uint32_t size = iol_wire_payload_min(
		(enum iol_wire_payload)(row->reply < 0 ? IOL_PAYLOAD_U64 : row->reply));
	_cleanup_close_ int fd = -1;

	p->seen[msg->hdr.request]++;
	switch (msg->hdr.request) {
	case VHOST_USER_GET_FEATURES:
		out.u64 = (p->no_log ? FEATURES & ~(1ull << VHOST_F_LOG_ALL) : FEATURES) |
			  (p->protocol ? PROTOCOL : 0) | (p->pairs ? 1ull << VIRTIO_NET_F_MQ : 0);
		break;
	case VHOST_USER_SET_FEATURES:
		p->features = msg->payload.u64;
		break;
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		out.u64 = p->protocol;
		break;
	case VHOST_USER_SET_PROTOCOL_FEATURES:
		p->agreed = msg->payload.u64;
		return;
	case VHOST_USER_GET_QUEUE_NUM:
		out.u64 = QUEUES;
		break;
	case VHOST_USER_GET_MAX_MEM_SLOTS:
		out.u64 = SLOTS;
		break;
	case VHOST_USER_SET_MEM_TABLE:
		p->nregions = msg->payload.memory.nregions;
		break;
	case VHOST_USER_ADD_MEM_REG:
	case VHOST_USER_REM_MEM_REG:
		p->nregions += msg->hdr.request == VHOST_USER_ADD_MEM_REG ? 1u : -1u;
		p->last_region = msg->payload.region.region;
		break;
	case VHOST_USER_SET_BACKEND_REQ_FD:
		iol_close(&p->backend_fd);
		p->backend_fd = iol_msg_take_fd(msg);
		break;
	case VHOST_USER_SET_VRING_BASE:
		p->base = msg->payload.state.num;
		break;
	case VHOST_USER_SET_VRING_ADDR:
		p->addr = msg->payload.addr;
		break;
	case VHOST_USER_GET_VRING_BASE:
		if (p->ask_first)
			ask(p);
		out.state.num = 77;
		break;
	case VHOST_USER_IOTLB_MSG:
		p->iotlb = msg->payload.iotlb;
		break;
	case VHOST_USER_GET_CONFIG:
		memset(out.config.data, 0xc5, sizeof(out.config.data));
		memcpy(out.config.data + offsetof(struct virtio_net_config, max_virtqueue_pairs),
		       &p->pairs, sizeof(p->pairs));
		size += msg->payload.config.size;
		break;
	case VHOST_USER_SET_STATUS:
		p->status = (uint8_t)msg->payload.u64;
		break;
	case VHOST_USER_NET_SET_MTU:
		p->mtu = msg->payload.u64;
		break;
	case VHOST_USER_SEND_RARP:
		p->mac = msg->payload.u64;
		break;
	case VHOST_USER_GET_STATUS:
		out.u64 = p->status;
		break;
	case VHOST_USER_SET_DEVICE_STATE_FD:
		out.u64 = VHOST_USER_TRANSFER_NOFD_MASK;
		break;
	case VHOST_USER_CHECK_DEVICE_STATE:
		out.u64 = 0;
		break;
	case VHOST_USER_GET_INFLIGHT_FD:
		fd = memfd_create("inflight", MFD_CLOEXEC);
		if (ftruncate(fd, 4096) < 0)
			return;
		out.inflight.mmap_size = 4096;
		out.inflight.mmap_offset = 0;
		size = sizeof(out.inflight);
		break;
	default:
		break;
	}
	if (row->reply >= 0) {
		answer(p, msg->hdr.request, &out, size, &fd, fd >= 0);
	} else if (row->reply == IOL_REPLY_STATUS ||
		   (msg->hdr.flags & VHOST_USER_NEED_REPLY_MASK)) {
		out.u64 = 0;
		answer(p, msg->hdr.request, &out, sizeof(out.u64), NULL, 0);
	}
}

static void *serve(void *arg)
{
	struct peer *p = arg;
	struct iol_wire_rx rx = { 0 };

	while (!iol_wire_wait(p->sock, &rx, -1)) {
		handle(p, &rx.msg);
		iol_wire_next(&rx);
	}
	return NULL;
}

static struct iol_frontend *start_peer(struct peer *p, uint64_t protocol, uint64_t off,
				       const struct iol_frontend_ops *ops, void *ctx)
{
	struct iol_frontend_spec spec = { .timeout_ms = p->fault == FAULT_SILENCE ? SILENCE_MS
										  : TIMEOUT_MS,
					  .protocol_features_off = off,
					  .pairs = p->pairs,
					  .ops = ops,
					  .ctx = ctx };
	struct iol_frontend *fe = NULL;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	p->sock = pair[0];
	p->backend_fd = -1;
	p->protocol = protocol;
	spec.fd = pair[1];
	assert_int_equal(pthread_create(&p->thread, NULL, serve, p), 0);
	assert_int_equal(iol_frontend_new(&spec, &fe), 0);
	return fe;
}

static void end_peer(struct peer *p, struct iol_frontend **fe)
{
	iol_frontend_destroy(fe);
	pthread_join(p->thread, NULL);
	iol_close(&p->sock);
	iol_close(&p->backend_fd);
}

static struct iol_guest_memory *two_regions(void)
{
	struct iol_guest_memory_spec spec = { .size = 4 * MIB, .below_4g = MIB };
	struct iol_guest_memory *mem = NULL;

	assert_int_equal(iol_guest_memory_new(&spec, &mem), 0);
	return mem;
}

/* ---- a good back end ---- */

static void everything_is_negotiated(void **state)
{
	struct peer p = { 0 };
	struct iol_frontend *fe = start_peer(&p, ALL_BITS, 0, NULL, NULL);

	assert_int_equal(iol_frontend_negotiate(fe, FEATURES, 1ull << VIRTIO_F_RING_PACKED),
			 -ENOTSUP);
	assert_non_null(strstr(iol_error(), "34"));
	assert_int_equal(iol_frontend_negotiate(fe, 1ull << VIRTIO_F_VERSION_1 | 1ull << 63, 0), 0);
	assert_int_equal(iol_frontend_features(fe), 1ull << VIRTIO_F_VERSION_1 | PROTOCOL);
	assert_int_equal(iol_frontend_queues_max(fe), QUEUES);
	assert_int_equal(iol_frontend_slots_max(fe), SLOTS);
	assert_int_equal(p.features, iol_frontend_features(fe));
	assert_int_equal(p.agreed, iol_frontend_protocol_features(fe));
	/* Only what the front end has code for. */
	assert_false(p.agreed >> VHOST_USER_PROTOCOL_F_PAGEFAULT & 1);
	assert_true(p.agreed >> VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD & 1);
	assert_true(p.backend_fd >= 0);
	end_peer(&p, &fe);
}

static void a_nic_has_pairs(void **state)
{
	static const struct {
		uint64_t off; /* with or without a config space */
		uint16_t pairs;
		unsigned int queues;
	} cases[] = {
		{ 0, QUEUES / 2, QUEUES },
		{ 0, UINT16_MAX, 2 * QUEUES },
		{ 1ull << VHOST_USER_PROTOCOL_F_CONFIG, 1, 2 * QUEUES },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct peer p = { .pairs = cases[i].pairs };
		struct iol_frontend *fe = start_peer(&p, ALL_BITS, cases[i].off, NULL, NULL);

		assert_int_equal(iol_frontend_negotiate(fe, FEATURES, 0), 0);
		assert_int_equal(iol_frontend_queues_max(fe), cases[i].queues);
		end_peer(&p, &fe);
	}
}

static void an_old_back_end_will_do(void **state)
{
	struct iol_guest_memory *mem = two_regions();
	struct iol_frontend_queue q = {
		.size = 8, .desc = 0, .avail = 4096, .used = 8192, .kick = -1, .call = -1, .err = -1
	};
	struct peer p = { 0 };
	struct iol_frontend *fe = start_peer(&p, 0, 0, NULL, NULL);
	uint8_t byte;
	uint32_t base;

	assert_int_equal(iol_frontend_negotiate(fe, FEATURES, 0), 0);
	assert_int_equal(iol_frontend_protocol_features(fe), 0);
	assert_int_equal(iol_frontend_queues_max(fe), 1);
	assert_int_equal(iol_frontend_get_config(fe, 0, &byte, 1), -ENOTSUP);
	assert_non_null(strstr(iol_error(), "CONFIG"));
	assert_int_equal(iol_frontend_track_inflight(fe, 1, 8), -ENOTSUP);
	assert_int_equal(iol_frontend_log_start(fe), -ENOTSUP);
	assert_int_equal(iol_frontend_reset(fe), -ENOTSUP);
	assert_int_equal(iol_frontend_set_memory(fe, mem), 0);
	assert_int_equal(iol_frontend_queue_start(fe, 1, &q), -EINVAL);
	assert_int_equal(iol_frontend_queue_start(fe, 0, &q), 0);
	assert_int_equal(iol_frontend_queue_start(fe, 0, &q), -EBUSY);
	assert_int_equal(iol_frontend_queue_stop(fe, 0, &base), 0);
	assert_int_equal(base, 77);
	assert_int_equal(p.seen[VHOST_USER_SET_VRING_ENABLE], 0);
	assert_int_equal(iol_frontend_queue_stop(fe, 0, &base), -EINVAL);
	end_peer(&p, &fe);
	iol_guest_memory_destroy(&mem);
}

static void memory_goes_slot_by_slot(void **state)
{
	struct iol_guest_memory *mem = two_regions();
	struct peer p = { 0 };
	struct iol_frontend *fe = start_peer(&p, ALL_BITS, 0, NULL, NULL);
	unsigned int i;

	assert_int_equal(iol_frontend_negotiate(fe, FEATURES, 0), 0);
	assert_int_equal(iol_frontend_set_memory(fe, mem), 0);
	assert_int_equal(p.nregions, 2);
	assert_int_equal(iol_guest_memory_add(mem, MIB, MIB, -1, 0), 0);
	assert_int_equal(iol_frontend_set_memory(fe, mem), 0);
	assert_int_equal(p.seen[VHOST_USER_SET_MEM_TABLE], 1);
	assert_int_equal(p.seen[VHOST_USER_ADD_MEM_REG], 1);
	assert_int_equal(p.last_region.gpa, MIB);
	/* Nothing changed, nothing said. */
	assert_int_equal(iol_frontend_set_memory(fe, mem), 0);
	assert_int_equal(p.seen[VHOST_USER_ADD_MEM_REG], 1);
	assert_int_equal(iol_guest_memory_remove(mem, 0), 0);
	assert_int_equal(iol_frontend_set_memory(fe, mem), 0);
	assert_int_equal(p.seen[VHOST_USER_REM_MEM_REG], 1);
	assert_int_equal(p.last_region.gpa, 0);
	assert_int_equal(p.nregions, 2);
	for (i = 0; i < SLOTS - 1; i++)
		assert_int_equal(iol_guest_memory_add(mem, (3 + i) * MIB, 4096, -1, 0), 0);
	assert_int_equal(iol_frontend_set_memory(fe, mem), -ENOSPC);
	end_peer(&p, &fe);
	iol_guest_memory_destroy(&mem);
}

static void a_queue_is_set_up(void **state)
{
	struct iol_guest_memory *mem = two_regions();
	struct iol_frontend_queue q = {
		.size = 8, .base = 5, .desc = 0, .avail = 4096, .used = 8192
	};
	struct peer p = { 0 };
	struct iol_frontend *fe = start_peer(&p, ALL_BITS, 0, NULL, NULL);
	static const uint8_t mac[6] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };
	uint8_t config[CONFIG_SIZE], status = 0;

	q.kick = eventfd(0, EFD_CLOEXEC);
	q.call = eventfd(0, EFD_CLOEXEC);
	q.err = -1;
	assert_int_equal(iol_frontend_negotiate(fe, 1ull << VIRTIO_F_VERSION_1, 0), 0);
	assert_int_equal(iol_frontend_queue_start(fe, 3, &q), -EFAULT);
	assert_int_equal(iol_frontend_set_memory(fe, mem), 0);
	assert_int_equal(iol_frontend_queue_start(fe, 3, &q), 0);
	assert_int_equal(p.base, 5);
	assert_ptr_equal(p.addr.avail_user_addr, (uintptr_t)iol_guest_memory_host(mem, 4096, 1));
	assert_int_equal(p.seen[VHOST_USER_SET_VRING_ENABLE], 1);
	assert_int_equal(iol_frontend_queue_enable(fe, 3, false), 0);
	assert_int_equal(iol_frontend_suspend(fe), 0);
	assert_int_equal(iol_frontend_resume(fe), 0);
	assert_int_equal(p.base, 77);
	assert_int_equal(iol_frontend_get_config(fe, 0, config, sizeof(config)), 0);
	assert_int_equal(config[59], 0xc5);
	assert_int_equal(iol_frontend_get_config(fe, 250, config, 7), -EINVAL);
	assert_int_equal(iol_frontend_set_config(fe, 4, config, 4), 0);
	assert_int_equal(iol_frontend_set_status(fe, 15), 0);
	assert_int_equal(iol_frontend_get_status(fe, &status), 0);
	assert_int_equal(status, 15);
	assert_int_equal(iol_frontend_set_mtu(fe, 9000), 0);
	assert_int_equal(p.mtu, 9000);
	assert_int_equal(iol_frontend_send_rarp(fe, mac), 0);
	assert_int_equal(p.mac, 0x563412005452ull);
	assert_int_equal(iol_frontend_track_inflight(fe, 4, 8), 0);
	assert_int_equal(p.seen[VHOST_USER_SET_INFLIGHT_FD], 1);
	assert_int_equal(iol_frontend_reset(fe), 0);
	assert_int_equal(p.seen[VHOST_USER_RESET_DEVICE], 1);
	assert_int_equal(iol_frontend_reconnect(fe), -ENOTSUP);
	end_peer(&p, &fe);
	iol_guest_memory_destroy(&mem);
	close(q.kick);
	close(q.call);
}

static void the_dirty_log_is_a_bit_a_page(void **state)
{
	struct iol_guest_memory *mem = two_regions();
	struct iol_frontend_queue q = {
		.size = 8, .desc = 0, .avail = 4096, .used = 8192, .kick = -1, .call = -1, .err = -1
	};
	struct peer p = { 0 };
	struct iol_frontend *fe = start_peer(&p, ALL_BITS, 0, NULL, NULL);

	assert_int_equal(iol_frontend_negotiate(fe, 1ull << VIRTIO_F_VERSION_1, 0), 0);
	assert_int_equal(iol_frontend_log_start(fe), -EINVAL);
	assert_int_equal(iol_frontend_set_memory(fe, mem), 0);
	assert_int_equal(iol_frontend_queue_start(fe, 0, &q), 0);
	assert_int_equal(iol_frontend_log_take(fe, 0), -ENOENT);
	assert_int_equal(iol_frontend_log_start(fe), 0);
	assert_true(p.features >> VHOST_F_LOG_ALL & 1);
	assert_int_equal(p.addr.flags, 1 << VHOST_VRING_F_LOG);
	assert_int_equal(p.addr.log_guest_addr, 8192);
	assert_int_equal(iol_frontend_log_take(fe, 0), 0);
	assert_int_equal(iol_frontend_log_take(fe, (1ull << 32) + 3 * MIB - 1), 0);
	assert_int_equal(iol_frontend_log_take(fe, (1ull << 32) + 4 * MIB), -ENOENT);
	assert_int_equal(iol_frontend_log_stop(fe), 0);
	assert_false(p.features >> VHOST_F_LOG_ALL & 1);
	assert_int_equal(p.addr.flags, 0);
	end_peer(&p, &fe);
	iol_guest_memory_destroy(&mem);
}

/* Without acknowledgements something else must tell that it keeps the log; and one that does not offer to keep any is not asked to. */
static void a_log_is_kept_when_it_was_begun(void **state)
{
	struct iol_guest_memory *mem = two_regions();
	struct peer p = { 0 };
	struct iol_frontend *fe;
	unsigned int asked;

	fe = start_peer(&p, ALL_BITS, 1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK, NULL, NULL);
	assert_int_equal(iol_frontend_negotiate(fe, FEATURES, 0), 0);
	assert_int_equal(iol_frontend_set_memory(fe, mem), 0);
	asked = p.seen[VHOST_USER_GET_FEATURES];
	assert_int_equal(iol_frontend_log_start(fe), 0);
	assert_int_equal(p.seen[VHOST_USER_GET_FEATURES], asked + 1);
	assert_int_equal(iol_frontend_log_stop(fe), 0);
	end_peer(&p, &fe);
	p = (struct peer){ .no_log = true };
	fe = start_peer(&p, ALL_BITS, 0, NULL, NULL);
	assert_int_equal(iol_frontend_negotiate(fe, FEATURES, 0), 0);
	assert_int_equal(iol_frontend_set_memory(fe, mem), 0);
	assert_int_equal(iol_frontend_log_start(fe), -ENOTSUP);
	assert_int_equal(p.seen[VHOST_USER_SET_LOG_BASE], 0);
	end_peer(&p, &fe);
	iol_guest_memory_destroy(&mem);
}

/* ---- the back end's own requests ---- */

static void note(void *ctx)
{
	++*(int *)ctx;
}

static void the_back_end_may_ask(void **state)
{
	const struct iol_frontend_ops ops = { .config_changed = note };
	struct iol_guest_memory *mem = two_regions();
	struct iol_frontend_queue q = { .size = 8,
					.desc = 0x10000,
					.avail = 0x11000,
					.used = 0x12000,
					.kick = -1,
					.call = -1,
					.err = -1 };
	struct peer p = { 0 };
	int changed = 0;
	struct iol_frontend *fe = start_peer(&p, ALL_BITS, 0, &ops, &changed);
	struct iol_wire_rx rx = { 0 };
	uint64_t answered, unknown;

	assert_int_equal(iol_frontend_negotiate(fe, FEATURES, 0), 0);
	assert_int_equal(iol_frontend_set_memory(fe, mem), 0);
	assert_int_equal(iol_frontend_poll(fe, 0), 0);
	assert_int_equal(iol_wire_send(p.backend_fd, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
				       VHOST_USER_NEED_REPLY_MASK, NULL, 0, NULL, 0, 100),
			 0);
	assert_int_equal(iol_frontend_poll(fe, 1000), 1);
	assert_int_equal(changed, 1);
	assert_int_equal(iol_wire_wait(p.backend_fd, &rx, 1000), 0);
	assert_int_equal(rx.msg.payload.u64, 0);
	iol_wire_next(&rx);
	/* What the front end does not know is refused, and nothing worse. */
	assert_int_equal(iol_wire_send(p.backend_fd, 99, VHOST_USER_NEED_REPLY_MASK, NULL, 0, NULL,
				       0, 100),
			 0);
	assert_int_equal(iol_frontend_poll(fe, 1000), 1);
	assert_int_equal(iol_wire_wait(p.backend_fd, &rx, 1000), 0);
	assert_int_equal(rx.msg.payload.u64, 1);
	iol_wire_next(&rx);

	/* A miss while a reply is waited for: the reply may depend on its answer. */
	assert_int_equal(iol_frontend_iommu_map(fe, 0x10000, 0x10000, 0,
						IOL_IOMMU_READ | IOL_IOMMU_WRITE),
			 0);
	assert_int_equal(iol_frontend_iommu_map(fe, 0x1f000, 0x2000, 0, IOL_IOMMU_READ), -EEXIST);
	assert_int_equal(iol_frontend_iommu_map(fe, 0x20000, 0x1000, 0, 0), -EINVAL);
	assert_int_equal(iol_frontend_queue_start(fe, 0, &q), 0);
	assert_int_equal(p.addr.used_user_addr, 0x12000);
	p.ask_first = true;
	p.ask_iova = 0x11008;
	assert_int_equal(iol_frontend_queue_stop(fe, 0, NULL), 0);
	/* The channel may have been looked at after the reply. */
	assert_true(iol_frontend_poll(fe, 0) >= 0);
	assert_int_equal(iol_frontend_iommu_push(fe, 0x10000), 0);
	iol_frontend_iommu_misses(fe, &answered, &unknown);
	assert_int_equal(answered, 1);
	assert_int_equal(unknown, 0);
	assert_int_equal(p.iotlb.iova, 0x10000);
	assert_ptr_equal(p.iotlb.uaddr, (uintptr_t)iol_guest_memory_host(mem, 0, 1));
	assert_int_equal(p.seen[VHOST_USER_IOTLB_MSG], 2);
	assert_int_equal(iol_frontend_iommu_unmap(fe, 0x11000), -ENOENT);
	assert_int_equal(iol_frontend_iommu_unmap(fe, 0x10000), 0);
	assert_int_equal(p.iotlb.type, VHOST_IOTLB_INVALIDATE);
	/* Now nobody knows. */
	ask(&p);
	assert_int_equal(iol_frontend_poll(fe, 1000), 1);
	iol_frontend_iommu_misses(fe, &answered, &unknown);
	assert_int_equal(unknown, 1);
	assert_true(iol_frontend_connected(fe));
	end_peer(&p, &fe);
	iol_guest_memory_destroy(&mem);
}

static void a_bad_request_ends_the_connection(void **state)
{
	static const struct {
		uint32_t request, flags, size, type;
		unsigned int nfds;
	} bad[] = {
		{ VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, 0, 4, 0, 0 },
		{ VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, VHOST_USER_REPLY_MASK, 0, 0, 0 },
		{ VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, 0, 0, 0, 1 },
		{ VHOST_USER_BACKEND_IOTLB_MSG, 0, 31, VHOST_IOTLB_MISS, 0 },
		{ VHOST_USER_BACKEND_IOTLB_MSG, 0, 32, VHOST_IOTLB_UPDATE, 0 },
	};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct peer p = { 0 };
		struct iol_frontend *fe = start_peer(&p, ALL_BITS, 0, NULL, NULL);
		struct vhost_iotlb_msg msg = { .type = (__u8)bad[i].type };

		assert_int_equal(iol_frontend_negotiate(fe, FEATURES, 0), 0);
		assert_int_equal(iol_wire_send(p.backend_fd, bad[i].request, bad[i].flags, &msg,
					       bad[i].size, &p.backend_fd, bad[i].nfds, 100),
				 0);
		assert_int_equal(iol_frontend_poll(fe, 1000), -ENOTCONN);
		assert_false(iol_frontend_connected(fe));
		assert_int_equal(iol_frontend_set_status(fe, 1), -ENOTCONN);
		end_peer(&p, &fe);
	}
}

/* ---- a bad back end ---- */

/* Everything that is ever asked, up to the first failure. */
static int talk(struct iol_frontend *fe, struct iol_guest_memory *mem)
{
	struct iol_frontend_queue q = { .size = 8,
					.desc = 0x10000,
					.avail = 0x11000,
					.used = 0x12000,
					.kick = -1,
					.call = -1,
					.err = -1 };
	uint8_t buf[CONFIG_SIZE] = { 0 };
	int rc, fd = -1;

	rc = iol_frontend_negotiate(fe, FEATURES, 0);
	rc = rc ? rc : iol_frontend_set_memory(fe, mem);
	rc = rc ? rc : iol_guest_memory_add(mem, 2 * MIB, MIB, -1, 0);
	rc = rc ? rc : iol_frontend_set_memory(fe, mem);
	rc = rc ? rc : iol_guest_memory_remove(mem, 2 * MIB);
	rc = rc ? rc : iol_frontend_set_memory(fe, mem);
	rc = rc ? rc : iol_frontend_get_config(fe, 0, buf, sizeof(buf));
	rc = rc ? rc : iol_frontend_set_config(fe, 0, buf, 1);
	rc = rc ? rc : iol_frontend_track_inflight(fe, 1, 8);
	rc = rc ? rc : iol_frontend_set_status(fe, 7);
	rc = rc ? rc : iol_frontend_get_status(fe, buf);
	rc = rc ? rc : iol_frontend_set_mtu(fe, 1500);
	rc = rc ? rc : iol_frontend_send_rarp(fe, buf);
	rc = rc ? rc : iol_frontend_transfer(fe, false, &fd);
	iol_close(&fd);
	rc = rc ? rc : iol_frontend_transferred(fe);
	rc = rc ? rc : iol_frontend_log_start(fe);
	rc = rc ? rc : iol_frontend_queue_start(fe, 0, &q);
	rc = rc ? rc : iol_frontend_iommu_map(fe, 0x10000, 0x10000, 0, IOL_IOMMU_READ);
	rc = rc ? rc : iol_frontend_iommu_push(fe, 0x10000);
	rc = rc ? rc : iol_frontend_queue_stop(fe, 0, NULL);
	return rc ? rc : iol_frontend_reset(fe);
}

/* What front end @fault at @request leads to; 0 where the fault is none for that reply. */
static int outcome(const struct iol_wire_row *row, uint32_t request, enum fault fault)
{
	bool status = row->reply < 0;

	switch (fault) {
	case FAULT_NONE:
		return 0;
	case FAULT_CLOSE:
		return -ENOTCONN;
	case FAULT_SILENCE:
		return -ETIMEDOUT;
	case FAULT_REFUSE:
		return -EREMOTEIO;
	case FAULT_VALUE:
		if (status)
			return -EREMOTEIO;
		switch (request) {
		case VHOST_USER_GET_FEATURES:
		case VHOST_USER_GET_PROTOCOL_FEATURES:
		case VHOST_USER_GET_MAX_MEM_SLOTS:
			return 0;
		case VHOST_USER_SET_DEVICE_STATE_FD:
		case VHOST_USER_CHECK_DEVICE_STATE:
			return -EREMOTEIO;
		default:
			return -EPROTO;
		}
	default:
		return -EPROTO;
	}
}

static void every_reply_is_checked(void **state)
{
	static const uint32_t requests[] = {
#define M(id, ...) (id),
		IOL_WIRE_MESSAGES(M)
#undef M
	};
	unsigned int asked = 0, fault;
	size_t i;

	for (i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		const struct iol_wire_row *row = iol_wire_row(requests[i]);

		for (fault = FAULT_NONE; fault < FAULTS; fault++) {
			struct peer p = { .at = requests[i], .fault = (enum fault)fault };
			int want = outcome(row, requests[i], (enum fault)fault);
			struct iol_guest_memory *mem;
			struct iol_frontend *fe;
			bool connected;
			int rc;

			/* A value can't be a refusal; and silence is waited for only now and then. */
			if ((fault == FAULT_REFUSE && row->reply >= 0) ||
			    (fault == FAULT_SILENCE && i % 8))
				continue;
			mem = two_regions();
			fe = start_peer(&p, ALL_BITS, 0, NULL, NULL);
			rc = talk(fe, mem);
			connected = iol_frontend_connected(fe);
			end_peer(&p, &fe);
			iol_guest_memory_destroy(&mem);

			/* Not acknowledged, or never sent by this front end. */
			if (!p.seen[requests[i]] || requests[i] == VHOST_USER_SET_PROTOCOL_FEATURES)
				want = 0;
			else
				asked += fault == FAULT_CLOSE;
			if (rc != want)
				print_error("%s, fault %u: %d in place of %d: %s\n", row->name,
					    fault, rc, want, iol_error());
			assert_int_equal(rc, want);
			assert_int_equal(connected, want == 0 || want == -EREMOTEIO);
		}
	}
	/* All but SET_PROTOCOL_FEATURES, RESET_OWNER, SET_LOG_FD. */
	assert_int_equal(asked, sizeof(requests) / sizeof(requests[0]) - 3);
}

static void nobody_listens(void **state)
{
	struct iol_frontend_spec spec = { .path = "/nonexistent/iolane.sock",
					  .fd = -1,
					  .timeout_ms = 20 };
	struct iol_frontend *fe = NULL;
	char path[200];

	assert_int_equal(iol_frontend_new(&spec, &fe), -ETIMEDOUT);
	assert_non_null(strstr(iol_error(), spec.path));
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	spec.path = path;
	assert_int_equal(iol_frontend_new(&spec, &fe), -ENAMETOOLONG);
	spec.path = NULL;
	assert_int_equal(iol_frontend_new(&spec, &fe), -EINVAL);
	assert_null(fe);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_negotiated),
		cmocka_unit_test(a_nic_has_pairs),
		cmocka_unit_test(an_old_back_end_will_do),
		cmocka_unit_test(memory_goes_slot_by_slot),
		cmocka_unit_test(a_queue_is_set_up),
		cmocka_unit_test(the_dirty_log_is_a_bit_a_page),
		cmocka_unit_test(a_log_is_kept_when_it_was_begun),
		cmocka_unit_test(the_back_end_may_ask),
		cmocka_unit_test(a_bad_request_ends_the_connection),
		cmocka_unit_test(every_reply_is_checked),
		cmocka_unit_test(nobody_listens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
