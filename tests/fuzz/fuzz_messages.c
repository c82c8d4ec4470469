/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hostile front end. The input is a script: each step sends a message made from the wire table and
 * then bent, or raw bytes, or changes shared memory, or lets the device work. What must hold: nothing
 * crashes, leaks or blocks, and when the connection has ended not one descriptor is left.
 */
#include "tests/fuzz/script.h"
#include "vhost-user/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define QUEUES   2u
#define MEM_SIZE 0x20000ull
#define GPA      0x10000ull
#define UADDR    0x40000ull
#define HELD     16u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz {
	struct script in;
	struct iol_device *dev;
	struct iol_session session;
	int sock, back;
	int memfd;
	bool over;
	uint16_t offered;
	struct {
		struct iol_chain chain[HELD];
		unsigned int n;
	} held[QUEUES];
};

/* ---- the device: all in one thread ---- */

static void give_back(struct fuzz *f, struct iol_queue *q)
{
	unsigned int index = iol_queue_index(q);

	while (f->held[index].n) {
		const struct iol_chain *c = &f->held[index].chain[--f->held[index].n];

		iol_ring_push(iol_queue_ring(q), c->id, c->ndesc, c->in_len);
	}
	if (iol_ring_publish(iol_queue_ring(q)))
		iol_queue_call(q);
}

static void work(struct fuzz *f, struct iol_queue *q, bool hold)
{
	struct iol_ring *r = iol_queue_ring(q);
	unsigned int index = iol_queue_index(q), i, k;
	int n;

	if (f->held[index].n == HELD)
		give_back(f, q);
	n = iol_ring_pop(r, f->held[index].chain + f->held[index].n, HELD - f->held[index].n);
	if (n < 0 && n != -EAGAIN)
		iol_queue_fail(q);
	for (i = 0; n > 0 && i < (unsigned int)n; i++) {
		const struct iol_chain *c = &f->held[index].chain[f->held[index].n++];

		for (k = c->nout; k < (unsigned int)c->nout + c->nin; k++) {
			if (c->iov[k].iov_len)
				memset(c->iov[k].iov_base, 1, 1);
			iol_ring_dirty(r, c->iov[k].iov_base, (uint32_t)c->iov[k].iov_len);
		}
	}
	if (!hold || iol_ring_replaying(r))
		give_back(f, q);
	if (!iol_ring_arm(r))
		iol_ring_disarm(r);
}

static int get_config(void *ctx, void *config)
{
	memset(config, 3, 60);
	return 60;
}

static int set_config(void *ctx, uint32_t off, const void *data, uint32_t len)
{
	return off == 32 ? 0 : -EPERM;
}

static int queue_start(void *ctx, struct iol_queue *q)
{
	return 0;
}

static void queue_stop(void *ctx, struct iol_queue *q)
{
	give_back(ctx, q);
}

static void queue_call(void *ctx, struct iol_queue *q, void (*fn)(void *arg), void *arg)
{
	fn(arg);
}

static void queue_wake(void *ctx, struct iol_queue *q)
{
	work(ctx, q, false);
}

static int set_mtu(void *ctx, uint64_t mtu)
{
	if (mtu < VHOST_USER_MTU_MIN || mtu > VHOST_USER_MTU_MAX)
		abort();
	return mtu % 2 ? -EINVAL : 0;
}

static void send_rarp(void *ctx, const uint8_t mac[6])
{
	if (mac[0] & 1)
		abort();
}

static const struct iol_device_ops ops = {
	.get_config = get_config,
	.set_config = set_config,
	.queue_start = queue_start,
	.queue_stop = queue_stop,
	.queue_call = queue_call,
	.queue_wake = queue_wake,
	.set_mtu = set_mtu,
	.send_rarp = send_rarp,
};

/* ---- the front end ---- */

static void swallow(int sock)
{
	union {
		char buf[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr align;
	} control;
	char bytes[512];

	for (;;) {
		/* cppcheck-suppress legacyUninitvar ; recvmsg() fills it */
		struct iovec iov = { bytes, sizeof(bytes) };
		struct msghdr mh = { .msg_iov = &iov,
				     .msg_iovlen = 1,
				     .msg_control = control.buf,
				     .msg_controllen = sizeof(control.buf) };
		struct cmsghdr *c;

		if (recvmsg(sock, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0)
			return;
		for (c = CMSG_FIRSTHDR(&mh); c; c = CMSG_NXTHDR(&mh, c)) {
			int fd;

			memcpy(&fd, CMSG_DATA(c), sizeof(fd));
			close(fd);
		}
	}
}

/* Let the session handle all that is in the socket. The wake eventfd keeps it from waiting. */
static void step(struct fuzz *f)
{
	const uint64_t one = 1;
	int waiting;

	do {
		if (write(f->dev->wake, &one, sizeof(one)) != sizeof(one) ||
		    iol_session_step(&f->session))
			f->over = true;
		swallow(f->sock);
		if (f->back >= 0)
			swallow(f->back);
	} while (!f->over && !ioctl(f->session.sock, FIONREAD, &waiting) && waiting);
}

/* A descriptor of some kind; the caller closes it. */
static int some_fd(struct fuzz *f, unsigned int kind)
{
	int pair[2];

	switch (kind % 8) {
	case 0:
	case 1:
	case 2:
		return dup(f->memfd);
	case 3:
	case 4:
		return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	case 5:
		return eventfd(0, EFD_CLOEXEC);
	case 6:
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
			abort();
		if (f->back >= 0)
			close(f->back);
		f->back = pair[1];
		return pair[0];
	default:
		return dup(STDERR_FILENO);
	}
}

static void post(struct fuzz *f, struct vhost_user_header *hdr, const void *payload, size_t len,
		 const uint8_t *kinds, unsigned int nfds)
{
	union {
		char buf[CMSG_SPACE(40 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov[2] = { { hdr, sizeof(*hdr) }, { (void *)(uintptr_t)payload, len } };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2, .msg_control = control.buf };
	int fds[40];
	unsigned int i;

	for (i = 0; i < nfds; i++)
		fds[i] = some_fd(f, kinds[i]);
	iol_wire_attach(&mh, fds, nfds);
	if (sendmsg(f->sock, &mh, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		f->over = true;
	for (i = 0; i < nfds; i++)
		close(fds[i]);
	if (!f->over)
		step(f);
}

#define M(id, name, payload, fds, ...) { id, IOL_PAYLOAD_##payload, IOL_FDS_##fds },
static const struct {
	uint32_t id;
	enum iol_wire_payload payload;
	enum iol_wire_fds fds;
} rows[] = { IOL_WIRE_MESSAGES(M) };
#undef M

#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* What a good front end might say, to be bent by some bytes of the script. */
static void fill(union vhost_user_payload *p, uint32_t id, uint8_t index)
{
	memset(p, 0, sizeof(*p));
	switch (id) {
	case VHOST_USER_SET_FEATURES:
		p->u64 = 1ull << VIRTIO_F_VERSION_1 | 1 << VHOST_USER_F_PROTOCOL_FEATURES |
			 1 << VIRTIO_RING_F_INDIRECT_DESC;
		if (index & 2)
			p->u64 |= 1ull << VIRTIO_F_RING_PACKED;
		if (index & 4)
			p->u64 |= 1ull << VIRTIO_F_ACCESS_PLATFORM;
		if (index & 8)
			p->u64 |= 1 << VHOST_F_LOG_ALL;
		if (index & 16)
			p->u64 |= 1 << VIRTIO_RING_F_EVENT_IDX;
		break;
	case VHOST_USER_SET_PROTOCOL_FEATURES:
		p->u64 = 0x1b63f;
		break;
	case VHOST_USER_NET_SET_MTU:
		p->u64 = 1500;
		break;
	case VHOST_USER_SET_MEM_TABLE:
		p->memory.nregions = 1;
		p->memory.region[0] = (struct iol_mem_desc){ GPA, MEM_SIZE, UADDR, 0 };
		break;
	case VHOST_USER_ADD_MEM_REG:
	case VHOST_USER_REM_MEM_REG:
		p->region.region = (struct iol_mem_desc){ GPA + MEM_SIZE * (1 + index % 4),
							  MEM_SIZE,
							  UADDR + MEM_SIZE * (1 + index % 4), 0 };
		break;
	case VHOST_USER_SET_LOG_BASE:
		p->log.mmap_size = 0x1000;
		break;
	case VHOST_USER_SET_VRING_NUM:
		p->state.index = index % QUEUES;
		p->state.num = 8;
		break;
	case VHOST_USER_SET_VRING_ADDR:
		p->addr.index = index % QUEUES;
		p->addr.desc_user_addr = UADDR;
		p->addr.avail_user_addr = UADDR + 0x1000;
		p->addr.used_user_addr = UADDR + 0x2000;
		p->addr.log_guest_addr = GPA + 0x2000;
		break;
	case VHOST_USER_SET_VRING_KICK:
	case VHOST_USER_SET_VRING_CALL:
	case VHOST_USER_SET_VRING_ERR:
		p->u64 = index % QUEUES;
		break;
	case VHOST_USER_SET_VRING_ENABLE:
		p->state.index = index % QUEUES;
		p->state.num = 1;
		break;
	case VHOST_USER_IOTLB_MSG:
		p->iotlb.size = MEM_SIZE;
		p->iotlb.uaddr = UADDR;
		p->iotlb.iova = index & 4 ? UADDR : GPA;
		p->iotlb.perm = VHOST_ACCESS_RW;
		p->iotlb.type = index & 8 ? VHOST_IOTLB_INVALIDATE : VHOST_IOTLB_UPDATE;
		break;
	case VHOST_USER_GET_CONFIG:
	case VHOST_USER_SET_CONFIG:
		p->config.offset = 32;
		p->config.size = 1;
		break;
	case VHOST_USER_GET_INFLIGHT_FD:
	case VHOST_USER_SET_INFLIGHT_FD:
		p->inflight.mmap_size = 0x4000;
		p->inflight.mmap_offset = 0x8000;
		p->inflight.num_queues = QUEUES;
		p->inflight.queue_size = 8;
		break;
	default:
		p->state.index = index % QUEUES;
		break;
	}
}

static uint32_t good_size(const union vhost_user_payload *p, enum iol_wire_payload payload)
{
	if (payload == IOL_PAYLOAD_MEMORY)
		return 8 + 32 * p->memory.nregions;
	if (payload == IOL_PAYLOAD_CONFIG)
		return 12 + p->config.size;
	return iol_wire_payload_min(payload);
}

/* @bend: how many bytes of the payload the script overwrites, and bits for the rest of the message. */
static void message(struct fuzz *f, uint32_t row, uint8_t bend)
{
	uint8_t index = (uint8_t)take(&f->in, 1);
	static const uint8_t kind_of[] = {
		[IOL_FDS_ONE] = 0, [IOL_FDS_VRING] = 3, [IOL_FDS_REGIONS] = 0
	};
	struct vhost_user_header hdr = { rows[row].id, VHOST_USER_VERSION, 0 };
	union vhost_user_payload payload;
	uint8_t kinds[40] = { 0 };
	unsigned int nfds = 0, i;

	fill(&payload, hdr.request, index);
	hdr.size = good_size(&payload, rows[row].payload);
	if (rows[row].fds == IOL_FDS_ONE || rows[row].fds == IOL_FDS_VRING ||
	    rows[row].fds == IOL_FDS_REGIONS)
		kinds[nfds++] =
			hdr.request == VHOST_USER_SET_BACKEND_REQ_FD ? 6 : kind_of[rows[row].fds];
	if (index & 0x80)
		hdr.flags |= VHOST_USER_NEED_REPLY_MASK;
	for (i = 0; i < (bend & 7u); i++) {
		size_t at = take(&f->in, 1) % (hdr.size ? hdr.size : 1);

		((uint8_t *)&payload)[at] = (uint8_t)take(&f->in, 1);
	}
	if (bend & 0x10)
		hdr.size = (uint32_t)take(&f->in, 2) % (sizeof(payload) + 8);
	if (bend & 0x20)
		hdr.flags = (uint32_t)take(&f->in, 1);
	if (bend & 0x40) {
		nfds = (unsigned int)take(&f->in, 1) % 40;
		for (i = 0; i < nfds; i++)
			kinds[i] = (uint8_t)take(&f->in, 1);
	}
	post(f, &hdr, &payload, hdr.size < sizeof(payload) ? hdr.size : sizeof(payload), kinds,
	     nfds);
}

/* All that a front end says up to a running ring. */
static void introduce(struct fuzz *f, uint8_t index)
{
	static const struct {
		uint32_t id;
		uint8_t only; /* with one of these bits in the index, or 0 */
	} steps[] = {
		{ VHOST_USER_SET_PROTOCOL_FEATURES, 0 }, { VHOST_USER_SET_OWNER, 0 },
		{ VHOST_USER_SET_BACKEND_REQ_FD, 0 },    { VHOST_USER_SET_FEATURES, 0 },
		{ VHOST_USER_SET_INFLIGHT_FD, 0x20 },    { VHOST_USER_SET_LOG_BASE, 0x40 },
		{ VHOST_USER_SET_MEM_TABLE, 0 },         { VHOST_USER_IOTLB_MSG, 0x4 },
		{ VHOST_USER_SET_VRING_NUM, 0 },         { VHOST_USER_SET_VRING_ADDR, 0 },
		{ VHOST_USER_SET_VRING_CALL, 0 },        { VHOST_USER_SET_VRING_KICK, 0 },
		{ VHOST_USER_SET_VRING_ENABLE, 0 },
	};
	size_t i;
	uint32_t row;

	for (i = 0; i < sizeof(steps) / sizeof(steps[0]) && !f->over; i++) {
		const struct script rest = f->in;

		if (steps[i].only && !(index & steps[i].only))
			continue;
		for (row = 0; rows[row].id != steps[i].id; row++)
			;
		/* message() reads the index from the script: let it read this one. */
		f->in = (struct script){ &index, 1 };
		message(f, row, 0);
		f->in = rest;
	}
}

static void raw(struct fuzz *f)
{
	size_t n = take(&f->in, 1);

	if (n > f->in.left)
		n = f->in.left;
	if (n && send(f->sock, f->in.data, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		f->over = true;
	f->in.data += n;
	f->in.left -= n;
	if (!f->over)
		step(f);
}

static void poke(struct fuzz *f)
{
	uint64_t at = take(&f->in, 2) % 0x9000;
	uint8_t bytes[16];
	unsigned int n = 1 + (unsigned int)take(&f->in, 1) % sizeof(bytes), i;

	for (i = 0; i < n; i++)
		bytes[i] = (uint8_t)take(&f->in, 1);
	if (pwrite(f->memfd, bytes, n, (off_t)at) < 0)
		abort();
}

/* A descriptor that looks good to the ring, at least where it lies; what is in it is the script's. */
static void offer(struct fuzz *f)
{
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t a, b; /* split: flags, next; packed: id, flags */
	} desc = { .addr = GPA + take(&f->in, 2), .len = (uint32_t)take(&f->in, 2) };
	uint8_t flags = (uint8_t)take(&f->in, 1);
	uint16_t slot = f->offered % 8, idx[2];

	if (f->dev->features & 1ull << VIRTIO_F_RING_PACKED) {
		desc.a = flags >> 4;
		desc.b = (flags & 7) | (f->offered & 8 ? 1 << 15 : 1 << 7);
		if (pwrite(f->memfd, &desc, sizeof(desc), slot * 16) < 0)
			abort();
	} else {
		desc.a = flags & 7;
		desc.b = (flags >> 4) % 8;
		idx[0] = f->offered + 1;
		idx[1] = slot;
		if (pwrite(f->memfd, &desc, sizeof(desc), slot * 16) < 0 ||
		    pwrite(f->memfd, &idx[1], 2, 0x1004 + slot * 2) < 0 ||
		    pwrite(f->memfd, &idx[0], 2, 0x1002) < 0)
			abort();
	}
	f->offered++;
}

static void work_all(struct fuzz *f, bool hold)
{
	unsigned int i;

	for (i = 0; i < QUEUES; i++) {
		if (f->dev->queue[i].running)
			work(f, &f->dev->queue[i], hold);
	}
	step(f);
}

static int lowest_free_fd(void)
{
	int fd = dup(STDERR_FILENO);

	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz f = { .in = { data, size }, .back = -1 };
	const struct iol_device_spec spec = {
		.name = "fuzz",
		.num_queues = QUEUES,
		.features = 0x1264,
		.protocol_add = IOL_PROTOCOL_RARP | IOL_PROTOCOL_MTU,
		.ops = &ops,
		.ctx = &f,
	};
	int free_fd, pair[2];

	if (iol_sigbus_install())
		abort();
	free_fd = lowest_free_fd();
	f.memfd = memfd_create("guest", MFD_CLOEXEC);
	if (f.memfd < 0 || ftruncate(f.memfd, MEM_SIZE) || iol_device_new(&spec, &f.dev) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		abort();
	f.sock = pair[1];
	iol_session_open(&f.session, f.dev, pair[0]);
	f.dev->peer = 0; /* no look at our own mappings at every turn */
	while (f.in.left && !f.over) {
		uint8_t op = (uint8_t)take(&f.in, 1);

		if (op < 0xc0)
			message(&f, op % ROWS, op & 1 ? (uint8_t)take(&f.in, 1) : 0);
		else if (op < 0xd0)
			introduce(&f, (uint8_t)take(&f.in, 1));
		else if (op < 0xd8)
			poke(&f);
		else if (op < 0xe6)
			offer(&f);
		else if (op < 0xf0)
			work_all(&f, op & 1);
		else if (op < 0xfc)
			raw(&f);
		else if (ftruncate(f.memfd, (off_t)(take(&f.in, 1) * 0x1000)))
			abort();
	}
	iol_session_close(&f.session);
	iol_device_destroy(&f.dev);
	close(pair[0]);
	close(pair[1]);
	if (f.back >= 0)
		close(f.back);
	close(f.memfd);
	if (lowest_free_fd() != free_fd) {
		fprintf(stderr, "a file descriptor was left open\n");
		abort();
	}
	return 0;
}
