/* SPDX-License-Identifier: BSD-3-Clause */
/* What is shared: guest memory, the dirty log, the inflight buffer, and an IOMMU's translations. */
#include "peer.h"

#include "base/error.h"
#include "base/own.h"
#include "vhost-user/track.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- memory ---- */

static void memory_changes_under_running_rings(void **state)
{
	struct peer *p = *state;
	struct vhost_user_single_region r = { .region = { GPA * 2, 0x4000, UADDR * 2, 0 } };
	struct vhost_user_memory m = { .nregions = 2 };

	peer_negotiate(p, V1 | PROTO);
	peer_share_memory(p);
	peer_start_ring(p, 0);
	assert_int_equal(p->calls, 0);
	assert_int_equal(peer_ask(p, VHOST_USER_ADD_MEM_REG, &r, sizeof(r), p->memfd), 0);
	assert_int_equal(p->calls, 1);
	assert_int_equal(p->queue_stops, 0);
	assert_int_equal(p->dev->mem->n, 2);
	assert_int_not_equal(peer_ask(p, VHOST_USER_ADD_MEM_REG, &r, sizeof(r), p->memfd), 0);
	r.region.size++;
	assert_int_not_equal(peer_ask(p, VHOST_USER_REM_MEM_REG, &r, sizeof(r), -1), 0);
	r.region.size--;
	/* A stray descriptor is closed; teardown counts. */
	assert_int_equal(peer_ask(p, VHOST_USER_REM_MEM_REG, &r, sizeof(r), p->memfd), 0);
	assert_int_equal(p->queue_stops, 1);
	assert_int_equal(p->queue_starts, 2);
	assert_int_equal(p->dev->mem->n, 1);
	assert_int_equal(p->stops, 0);
	/* A table that can't be leaves everything as it was. */
	m.region[0] = m.region[1] = r.region;
	assert_int_equal(peer_post(p, VHOST_USER_SET_MEM_TABLE, VHOST_USER_NEED_REPLY_MASK, &m,
				   8 + 64, (int[]){ p->memfd, p->memfd }, 2),
			 0);
	assert_int_equal(p->queue_stops, 1);
	assert_int_equal(p->dev->mem->n, 1);
}

static void memory_that_leaves_a_ring_without(void **state)
{
	struct peer *p = *state;
	struct vhost_user_single_region r = { .region = { GPA, MEM_SIZE, UADDR, 0 } };
	struct iol_wire_rx rx;

	peer_negotiate(p, V1 | PROTO);
	peer_share_memory(p);
	peer_start_ring(p, 0);
	assert_int_equal(peer_answer(p, &rx), 0);
	assert_int_not_equal(peer_ask(p, VHOST_USER_REM_MEM_REG, &r, sizeof(r), -1), 0);
	assert_int_equal(p->queue_starts, 1);
	assert_int_equal(p->queue_stops, 1);
	/* It can be made good. */
	peer_share_memory(p);
	assert_int_equal(p->queue_starts, 2);
}

/* Memory that takes one ring's place away, and not the other's. */
static void memory_that_moves_a_ring(void **state)
{
	struct peer *p = *state;
	struct vhost_user_memory m = { .nregions = 1 };
	struct vhost_vring_addr a = peer_ring_addr(2);

	peer_negotiate(p, V1 | PROTO);
	peer_share_memory(p);
	peer_start_ring(p, 0);
	peer_start_ring(p, 1);
	m.region[0] = (struct iol_mem_desc){ GPA + 0x10000, MEM_SIZE - 0x10000, UADDR + 0x10000,
					     0x10000 };
	assert_int_not_equal(peer_ask(p, VHOST_USER_SET_MEM_TABLE, &m, 8 + 32, p->memfd), 0);
	assert_non_null(strstr(iol_error(), "queue 0"));
	assert_false(p->dev->queue[0].running);
	assert_true(p->dev->queue[1].running);
	/* It goes on where the front end says that it is now. */
	a.index = 0;
	assert_int_equal(peer_ask(p, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1), 0);
	assert_true(p->dev->queue[0].running);
}

static void memory_that_is_not_shared(void **state)
{
	struct peer *p = *state;
	struct vhost_user_memory m = { .nregions = 1 };
	int fd = eventfd(0, 0);

	peer_negotiate(p, V1 | PROTO);
	m.region[0] = (struct iol_mem_desc){ GPA, MEM_SIZE, UADDR, 0 };
	assert_int_not_equal(peer_ask(p, VHOST_USER_SET_MEM_TABLE, &m, 8 + 32, fd), 0);
	assert_non_null(strstr(iol_error(), "memory-backend-memfd,share=on"));
	assert_int_equal(peer_post(p, VHOST_USER_SET_MEM_TABLE, 0, &m, 8 + 32, NULL, 0), -EPROTO);
	assert_non_null(strstr(iol_error(), "memory-backend-memfd,share=on"));
	close(fd);
}

static void truncated_memory_ends_the_connection(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, V1 | PROTO);
	peer_share_memory(p);
	peer_start_ring(p, 0);
	assert_true(iol_sigbus_handle(p->dev->mem->region[0]->host + 0x5000));
	assert_int_equal(iol_session_step(&p->session), -EFAULT);
	assert_non_null(strstr(iol_error(), "truncated"));
}

static void the_dirty_log(void **state)
{
	struct peer *p = *state;
	struct vhost_user_log l = { .mmap_size = 0x10000, .mmap_offset = 0 };
	int fd = memfd_create("log", MFD_CLOEXEC);
	struct vhost_vring_addr a = peer_ring_addr(0);
	struct iol_driver_ring *d = peer_driver(p, 0);
	const struct iol_driver_seg seg = { GPA + 0x8000, 16, true };
	struct iol_chain chain;
	uint8_t bits = 0;

	assert_int_equal(ftruncate(fd, 0x10000), 0);
	peer_negotiate(p, V1 | PROTO);
	peer_share_memory(p);
	peer_start_ring(p, 0);
	assert_int_equal(peer_ask(p, VHOST_USER_SET_LOG_BASE, &l, sizeof(l), fd), 0);
	assert_int_equal(
		peer_ask_u64(p, VHOST_USER_SET_FEATURES, V1 | PROTO | IOL_BIT(VHOST_F_LOG_ALL)), 0);
	a.flags = 1;
	assert_int_equal(peer_ask(p, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1), 0);
	assert_int_equal(p->queue_stops, 0);
	assert_int_equal(iol_driver_add(d, &seg, 1, 5), 0);
	iol_driver_publish(d);
	assert_int_equal(iol_ring_pop(peer_ring(p, 0), &chain, 1), 1);
	iol_ring_dirty(peer_ring(p, 0), chain.iov[0].iov_base, 16);
	iol_ring_push(peer_ring(p, 0), chain.id, chain.ndesc, 16);
	iol_ring_publish(peer_ring(p, 0));
	assert_int_equal(pread(fd, &bits, 1, GPA / 4096 / 8), 1);
	assert_int_equal(bits, 1 << 2); /* the used ring */
	assert_int_equal(pread(fd, &bits, 1, GPA / 4096 / 8 + 1), 1);
	assert_int_equal(bits, 1 << 0); /* the buffer */
	/* The front end takes a new log, then stops logging. */
	assert_int_equal(peer_ask(p, VHOST_USER_SET_LOG_BASE, &l, sizeof(l), fd), 0);
	assert_int_equal(peer_ask_u64(p, VHOST_USER_SET_FEATURES, V1 | PROTO), 0);
	l.mmap_size = 0x20000;
	assert_int_not_equal(peer_ask(p, VHOST_USER_SET_LOG_BASE, &l, sizeof(l), fd), 0);
	/* No front end looks at a status that it did not ask for: it must not go on without a log. */
	assert_int_equal(peer_post(p, VHOST_USER_SET_LOG_BASE, 0, &l, sizeof(l), &fd, 1), -EINVAL);
	assert_int_equal(peer_ask(p, VHOST_USER_SET_LOG_FD, NULL, 0, fd), 0);
	iol_driver_destroy(&d);
	close(fd);
}

/* ---- inflight ---- */

/* Ask for a log of @in's rings, which is then what the back end says, and map it; its descriptor. */
static int get_inflight(struct peer *p, struct vhost_user_inflight *in, void **map)
{
	struct iol_wire_rx rx;
	int fd;

	assert_int_equal(peer_post(p, VHOST_USER_GET_INFLIGHT_FD, 0, in, sizeof(*in), NULL, 0), 0);
	assert_int_equal(peer_answer(p, &rx), 1);
	assert_int_equal(rx.msg.hdr.size, sizeof(*in));
	assert_int_equal(rx.msg.nfds, 1);
	*in = rx.msg.payload.inflight;
	fd = iol_msg_take_fd(&rx.msg);
	*map = mmap(NULL, in->mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(*map, MAP_FAILED);
	return fd;
}

static void the_inflight_buffer(void **state)
{
	struct peer *p = *state;
	struct vhost_user_inflight in = { .num_queues = QUEUES, .queue_size = SIZE };
	struct iol_driver_ring *d = peer_driver(p, 0);
	const struct iol_driver_seg seg = { GPA + 0x8000, 16, true };
	struct iol_chain chain;
	void *map;
	int fd;

	peer_negotiate(p, V1 | PROTO);
	fd = get_inflight(p, &in, &map);
	assert_true(in.mmap_size >= QUEUES * SIZE * 16);
	peer_share_memory(p);
	in.num_queues++;
	assert_int_not_equal(peer_ask(p, VHOST_USER_SET_INFLIGHT_FD, &in, sizeof(in), fd), 0);
	in.num_queues--;
	/* Shorter than the queue: it must never be written past its end. */
	in.queue_size = SIZE / 2;
	assert_int_equal(peer_ask(p, VHOST_USER_SET_INFLIGHT_FD, &in, sizeof(in), fd), 0);
	peer_describe_ring(p, 0);
	assert_int_not_equal(peer_set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_non_null(strstr(iol_error(), "inflight"));
	in.queue_size = SIZE;
	assert_int_equal(peer_ask(p, VHOST_USER_SET_INFLIGHT_FD, &in, sizeof(in), fd), 0);
	peer_start_ring(p, 0);
	/* Taken, and the connection ends without an answer to it: the next one replays it. */
	assert_int_equal(iol_driver_add(d, &seg, 1, 5), 0);
	iol_driver_publish(d);
	assert_int_equal(iol_ring_pop(peer_ring(p, 0), &chain, 1), 1);
	iol_session_close(&p->session);
	iol_session_open(&p->session, p->dev, p->session.sock);
	peer_negotiate(p, V1 | PROTO);
	peer_share_memory(p);
	assert_int_equal(peer_ask(p, VHOST_USER_SET_INFLIGHT_FD, &in, sizeof(in), fd), 0);
	peer_start_ring(p, 0);
	assert_int_equal(iol_ring_pop(peer_ring(p, 0), &chain, 1), 1);
	assert_int_equal(iol_ring_replaying(peer_ring(p, 0)), 0);
	iol_ring_push(peer_ring(p, 0), chain.id, chain.ndesc, 16);
	iol_ring_publish(peer_ring(p, 0));
	assert_int_equal(peer_get_base(p, 0), 1);
	iol_driver_destroy(&d);
	munmap(map, in.mmap_size);
	close(fd);
}

/* The front end that is told a ring's base needs no log of it; one that is not needs nothing else. */
static void the_log_outlives_a_connection(void **state)
{
	struct peer *p = *state;
	struct vhost_user_inflight in = { .num_queues = 1, .queue_size = SIZE };
	const struct iol_log_split *log;
	void *map;
	int fd;

	peer_negotiate(p, V1 | PROTO);
	fd = get_inflight(p, &in, &map);
	log = map;
	peer_share_memory(p);
	assert_int_equal(peer_ask(p, VHOST_USER_SET_INFLIGHT_FD, &in, sizeof(in), fd), 0);
	peer_start_ring(p, 0);
	assert_int_equal(log->version, IOL_TRACK_VERSION);
	iol_session_close(&p->session);
	assert_int_equal(log->version, IOL_TRACK_VERSION);

	iol_session_open(&p->session, p->dev, p->session.sock);
	peer_negotiate(p, V1 | PROTO);
	peer_share_memory(p);
	assert_int_equal(peer_ask(p, VHOST_USER_SET_INFLIGHT_FD, &in, sizeof(in), fd), 0);
	peer_start_ring(p, 0);
	assert_int_equal(peer_get_base(p, 0), 0);
	assert_int_equal(log->version, 0);
	munmap(map, in.mmap_size);
	close(fd);
}

/* A device knows of what a queue has to do again from the start of that, and not only when it runs. */
static void a_started_queue_tells_what_is_left(void **state)
{
	struct peer *p = *state;
	struct vhost_user_inflight in = { .num_queues = 2, .queue_size = SIZE };
	struct iol_driver_ring *d = peer_driver(p, 1);
	const struct iol_driver_seg seg = { GPA + 0x8000, 16, true };
	struct iol_log_split *log;
	struct iol_chain chain[2];
	void *map;
	uint64_t left;
	int fd;

	peer_negotiate(p, V1 | PROTO);
	fd = get_inflight(p, &in, &map);
	peer_share_memory(p);
	assert_int_equal(peer_ask(p, VHOST_USER_SET_INFLIGHT_FD, &in, sizeof(in), fd), 0);
	log = (struct iol_log_split *)(void *)((uint8_t *)map + p->dev->inflight->stride);
	/* Two are taken and not given back, and the queue is disabled, as it is when storage hangs. */
	peer_start_ring(p, 1);
	assert_int_equal(p->replay[1], UINT64_MAX);
	assert_int_equal(iol_driver_add(d, &seg, 1, 5), 0);
	assert_int_equal(iol_driver_add(d, &seg, 1, 6), 0);
	iol_driver_publish(d);
	assert_int_equal(iol_ring_pop(peer_ring(p, 1), chain, 2), 2);
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_ENABLE, 1, 0), 0);
	left = log->desc[chain[0].id].counter;
	assert_int_equal(p->replay[1], left);
	/* The connection ends, which nobody waits for; a queue that starts again has them from there. */
	iol_session_close(&p->session);
	assert_int_equal(p->replay[1], UINT64_MAX);
	iol_session_open(&p->session, p->dev, p->session.sock);
	peer_negotiate(p, V1 | PROTO);
	peer_share_memory(p);
	assert_int_equal(peer_ask(p, VHOST_USER_SET_INFLIGHT_FD, &in, sizeof(in), fd), 0);
	peer_describe_ring(p, 1);
	p->queue_starts = p->queue_stops = 0;
	assert_int_equal(peer_set_fd(p, VHOST_USER_SET_VRING_KICK, 1), 0);
	assert_int_equal(p->queue_starts, 0);
	assert_int_equal(p->replay[1], left);
	assert_int_equal(p->replay[0], UINT64_MAX);
	/* One is done; what is left then is the other. */
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_ENABLE, 1, 1), 0);
	assert_int_equal(iol_ring_pop(peer_ring(p, 1), chain, 2), 1);
	iol_ring_push(peer_ring(p, 1), chain[0].id, chain[0].ndesc, 16);
	iol_ring_publish(peer_ring(p, 1));
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_ENABLE, 1, 0), 0);
	assert_true(p->replay[1] > left && p->replay[1] < UINT64_MAX);
	peer_get_base(p, 1);
	assert_int_equal(p->replay[1], UINT64_MAX);
	/* A log that no ring can be started with keeps nobody waiting. */
	peer_describe_ring(p, 1);
	assert_int_equal(peer_set_fd(p, VHOST_USER_SET_VRING_KICK, 1), 0);
	assert_true(p->replay[1] < UINT64_MAX);
	log->last_batch_head = SIZE;
	log->used_idx--;
	assert_int_not_equal(peer_ask_state(p, VHOST_USER_SET_VRING_ENABLE, 1, 1), 0);
	assert_int_equal(p->replay[1], UINT64_MAX);
	iol_driver_destroy(&d);
	munmap(map, in.mmap_size);
	close(fd);
}

/* What one queue has to do again the others must not overtake while they run, however the queue ends. */
static void what_is_left_counts_while_others_run(void **state)
{
	struct peer *p = *state;
	struct vhost_user_inflight in = { .num_queues = 2, .queue_size = SIZE };
	const struct iol_driver_seg seg = { GPA + 0x8000, 16, true };
	struct iol_driver_ring *d;
	struct iol_chain chain;
	struct iol_wire_rx rx;

	peer_negotiate(p, V1 | PROTO);
	assert_int_equal(peer_post(p, VHOST_USER_GET_INFLIGHT_FD, 0, &in, sizeof(in), NULL, 0), 0);
	assert_int_equal(peer_answer(p, &rx), 1);
	in = rx.msg.payload.inflight;
	peer_share_memory(p);
	assert_int_equal(peer_ask(p, VHOST_USER_SET_INFLIGHT_FD, &in, sizeof(in), rx.msg.fds[0]),
			 0);
	iol_msg_close(&rx.msg);
	d = peer_driver(p, 0);
	peer_start_ring(p, 0);
	peer_start_ring(p, 1);
	assert_int_equal(iol_driver_add(d, &seg, 1, 5), 0);
	iol_driver_publish(d);
	assert_int_equal(iol_ring_pop(peer_ring(p, 0), &chain, 1), 1);
	/* A new kick eventfd is no reason to forget it. */
	assert_int_equal(peer_set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_false(p->forgot_early);
	assert_int_equal(iol_ring_replaying(peer_ring(p, 0)), 1);
	/* Nor is the end of the connection, before all have stopped. */
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 0), 0);
	assert_in_range(p->replay[0], 1, UINT64_MAX - 1);
	iol_device_disconnect(p->dev);
	assert_false(p->forgot_early);
	assert_int_equal(p->replay[0], UINT64_MAX);
	iol_driver_destroy(&d);
}

static void an_inflight_buffer_of_another_layout(void **state)
{
	struct peer *p = *state;
	struct vhost_user_inflight in = { .num_queues = 1, .queue_size = SIZE };
	struct iol_wire_rx rx;
	int fd;

	peer_negotiate(p, V1 | PROTO);
	assert_int_equal(peer_post(p, VHOST_USER_GET_INFLIGHT_FD, 0, &in, 20, NULL, 0), 0);
	assert_int_equal(peer_answer(p, &rx), 1);
	assert_int_equal(rx.msg.hdr.size, 20);
	fd = iol_msg_take_fd(&rx.msg);
	in = rx.msg.payload.inflight;
	assert_int_equal(peer_ask(p, VHOST_USER_SET_INFLIGHT_FD, &in, 20, fd), 0);
	assert_int_equal(peer_ask_u64(p, VHOST_USER_SET_FEATURES,
				      V1 | PROTO | IOL_BIT(VIRTIO_F_RING_PACKED)),
			 0);
	peer_share_memory(p);
	peer_describe_ring(p, 0);
	assert_int_not_equal(peer_set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	in.num_queues = 0;
	assert_int_equal(peer_post(p, VHOST_USER_GET_INFLIGHT_FD, 0, &in, 20, NULL, 0), -EINVAL);
	close(fd);
}

/* ---- the IOMMU ---- */

#define IOMMU (V1 | PROTO | IOL_BIT(VIRTIO_F_ACCESS_PLATFORM))

static uint64_t tlb(struct peer *p, uint8_t type, uint64_t iova, uint64_t size, uint64_t uaddr)
{
	const struct vhost_iotlb_msg m = {
		.iova = iova, .size = size, .uaddr = uaddr, .perm = VHOST_ACCESS_RW, .type = type
	};

	return peer_ask(p, VHOST_USER_IOTLB_MSG, &m, sizeof(m), -1);
}

static void misses_go_to_the_front_end(void **state)
{
	struct peer *p = *state;
	struct vhost_vring_addr a = { .avail_user_addr = 0x1000, .used_user_addr = 0x2000 };
	struct iol_driver_ring *d = peer_driver(p, 0);
	const struct iol_driver_seg seg = { 0x7000, 16, true };
	struct iol_wire_rx rx = { 0 };
	struct iol_chain chain;

	peer_negotiate(p, IOMMU);
	peer_share_memory(p);
	peer_describe_ring(p, 0);
	assert_int_equal(peer_ask(p, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1), 0);
	assert_int_not_equal(peer_set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_non_null(strstr(iol_error(), "SET_BACKEND_REQ_FD"));
	peer_give_channel(p);
	assert_int_equal(peer_set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(iol_driver_add(d, &seg, 1, 5), 0);
	iol_driver_publish(d);
	/* Each look at the ring asks for what is missing, until nothing is. */
	while (iol_ring_pop(peer_ring(p, 0), &chain, 1) == -EAGAIN) {
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
	iol_ring_push(peer_ring(p, 0), chain.id, chain.ndesc, 16);
	iol_ring_publish(peer_ring(p, 0));
	assert_int_equal(tlb(p, VHOST_IOTLB_INVALIDATE, 0x7000, 4096, 0), 0);
	assert_int_equal(p->queue_stops, 0);
	assert_int_equal(iol_driver_add(d, &seg, 1, 6), 0);
	iol_driver_publish(d);
	assert_int_equal(tlb(p, VHOST_IOTLB_UPDATE, 0x7000, 4096, UADDR + 0x7000), 0);
	assert_int_equal(iol_ring_pop(peer_ring(p, 0), &chain, 1), 1);
	assert_int_equal(tlb(p, VHOST_IOTLB_INVALIDATE, 0, UINT64_MAX, 0), 0);
	assert_int_equal(p->queue_stops, 1);
	assert_int_equal(p->queue_starts, 2);
	assert_int_not_equal(tlb(p, VHOST_IOTLB_MISS, 0, 4096, 0), 0);
	assert_int_not_equal(tlb(p, VHOST_IOTLB_UPDATE, 0, 0, UADDR), 0);
	iol_driver_destroy(&d);
}

/* A dead process left something, and the ring stops before its log could even be read. */
static void a_log_that_was_not_read_stays(void **state)
{
	struct peer *p = *state;
	struct vhost_vring_addr a = { .avail_user_addr = 0x1000, .used_user_addr = 0x2000 };
	struct vhost_user_inflight in = { .num_queues = 1, .queue_size = SIZE };
	struct iol_log_split *log;
	struct iol_chain chain;
	void *map;
	int fd;

	peer_negotiate(p, IOMMU);
	peer_share_memory(p);
	peer_give_channel(p);
	fd = get_inflight(p, &in, &map);
	log = map;
	log->version = IOL_TRACK_VERSION;
	log->desc_num = SIZE;
	log->desc[3].inflight = 1;
	assert_int_equal(peer_ask(p, VHOST_USER_SET_INFLIGHT_FD, &in, sizeof(in), fd), 0);
	peer_describe_ring(p, 0);
	assert_int_equal(peer_ask(p, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1), 0);
	assert_int_equal(peer_set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
	assert_int_equal(peer_ask_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(iol_ring_pop(peer_ring(p, 0), &chain, 1), -EAGAIN);
	peer_get_base(p, 0);
	assert_int_equal(log->version, IOL_TRACK_VERSION);
	assert_int_equal(log->desc[3].inflight, 1);
	munmap(map, in.mmap_size);
	close(fd);
}

static void a_full_channel_is_tried_again(void **state)
{
	struct peer *p = *state;
	struct vhost_vring_addr a = { .avail_user_addr = 0x1000, .used_user_addr = 0x2000 };
	struct iol_wire_rx rx = { 0 };
	struct iovec iov;
	unsigned int n = 0;

	peer_negotiate(p, IOMMU);
	peer_share_memory(p);
	peer_give_channel(p);
	peer_describe_ring(p, 0);
	assert_int_equal(peer_ask(p, VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1), 0);
	assert_int_equal(peer_set_fd(p, VHOST_USER_SET_VRING_KICK, 0), 0);
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

	peer_negotiate(p, V1 | PROTO);
	assert_int_not_equal(tlb(p, VHOST_IOTLB_UPDATE, 0, 4096, UADDR), 0);
	assert_non_null(strstr(iol_error(), "ACCESS_PLATFORM"));
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, peer_setup, peer_teardown)
	const struct CMUnitTest tests[] = {
		T(memory_changes_under_running_rings),
		T(memory_that_leaves_a_ring_without),
		T(memory_that_moves_a_ring),
		T(memory_that_is_not_shared),
		T(truncated_memory_ends_the_connection),
		T(the_dirty_log),
		T(the_inflight_buffer),
		T(the_log_outlives_a_connection),
		T(a_started_queue_tells_what_is_left),
		T(what_is_left_counts_while_others_run),
		T(an_inflight_buffer_of_another_layout),
		T(misses_go_to_the_front_end),
		T(a_log_that_was_not_read_stays),
		T(a_full_channel_is_tried_again),
		T(iotlb_messages_need_the_feature),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
