/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages that no good front end sends, each with the outcome that it must have. After each one the
 * process still serves a front end that behaves.
 */
#include "tests/functional/rig.h"

#include "base/own.h"

#include <fcntl.h>
#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define FILE_SIZE 8192
#define FDS_MAX   40
#define ACK       VHOST_USER_NEED_REPLY_MASK
#define PROTO(n)  (1ull << VHOST_USER_PROTOCOL_F_##n)

/* How far the front end came before it went mad. */
enum state {
	NEW,     /* connected */
	AGREED,  /* features were negotiated */
	SHARED,  /* memory too */
	STARTED, /* the queue runs */
};

enum outcome {
	FINE,    /* done, with a status of 0 where one is asked for */
	REFUSED, /* a status that is not 0, and the connection goes on */
	EMPTY,   /* a reply without payload, and the connection goes on */
	ENDS,    /* the connection ends */
};

enum kind { MEMFD, EVENTFD, PIPE, SOCKET, DEVNULL, DIRECTORY };

struct row {
	const char *name;
	enum state state;
	uint32_t request, flags, size;
	unsigned int nfds;
	enum kind kind;
	enum outcome outcome;
	bool relative; /* addresses count from where guest memory begins in the front end */
	bool iommu;
	uint64_t protocol_off;
	union vhost_user_payload payload;
};

/* clang-format off */
#define MEM(n)  (uint32_t)(offsetof(struct vhost_user_memory, region) + (n) * sizeof(struct iol_mem_desc))
#define U64     8
#define STATE   8
#define ADDR    40
#define REGION  40
#define LOG     16
#define IOTLB   32
#define CONFIG(n) (12 + (n))
#define INFLIGHT 24
#define M(x)    VHOST_USER_##x

static const struct row rows[] = {
	/* headers */
	{ "message 0",                    NEW, 0, 0, 0, .outcome = ENDS },
	{ "an unknown message",           NEW, 99, 0, 0, .outcome = ENDS },
	{ "an unknown message, with ack", STARTED, 99, ACK, 8, .outcome = ENDS },
	{ "the largest number",           NEW, UINT32_MAX, 0, 0, .outcome = ENDS },
	{ "postcopy, which slots rule out", AGREED, 28, 0, 0, .outcome = ENDS },
	{ "SEND_RARP to a disk",          AGREED, M(SEND_RARP), 0, U64, .outcome = ENDS },
	{ "the same, with ack",           AGREED, M(SEND_RARP), ACK, U64, .outcome = REFUSED, .payload.u64 = 0x563412005452 },
	{ "an MTU for a disk",            AGREED, M(NET_SET_MTU), ACK, U64, .outcome = REFUSED, .payload.u64 = 1500 },
	{ "a reply to nothing",           NEW, M(GET_FEATURES), VHOST_USER_REPLY_MASK, 0, .outcome = ENDS },
	{ "payload where there is none",  NEW, M(GET_FEATURES), 0, 8, .outcome = ENDS },
	{ "no payload",                   NEW, M(SET_FEATURES), 0, 0, .outcome = ENDS },
	{ "half a payload",               NEW, M(SET_FEATURES), 0, 4, .outcome = ENDS },
	{ "too much payload",             AGREED, M(SET_VRING_NUM), 0, 16, .outcome = ENDS },
	{ "a descriptor nobody asked for", NEW, M(GET_FEATURES), 0, 0, 1, MEMFD, ENDS },
	{ "many of them",                 NEW, M(GET_FEATURES), 0, 0, FDS_MAX, MEMFD, ENDS },

	/* order */
	{ "SET_VRING_NUM before SET_FEATURES", NEW, M(SET_VRING_NUM), 0, STATE, .outcome = ENDS, .payload.state = { 0, 64 } },
	{ "the addresses before it",      NEW, M(SET_VRING_ADDR), ACK, ADDR, .outcome = REFUSED },
	{ "a kick before it",             NEW, M(SET_VRING_KICK), ACK, U64, 1, EVENTFD, REFUSED },
	{ "the log before it",            NEW, M(GET_INFLIGHT_FD), 0, INFLIGHT, .outcome = ENDS, .payload.inflight = { 0, 0, 1, 64 } },
	{ "a stop before anything",       NEW, M(GET_VRING_BASE), 0, STATE, .outcome = FINE },
	{ "GET_STATUS without STATUS",    AGREED, M(GET_STATUS), 0, 0, .outcome = ENDS, .protocol_off = PROTO(STATUS) },
	{ "a state that no device has",   AGREED, M(SET_DEVICE_STATE_FD), ACK, 8, 1, EVENTFD, ENDS },
	{ "whether it came across",       AGREED, M(CHECK_DEVICE_STATE), ACK, 0, .outcome = ENDS },
	{ "GET_QUEUE_NUM without MQ",     AGREED, M(GET_QUEUE_NUM), 0, 0, .outcome = ENDS, .protocol_off = PROTO(MQ) },
	{ "GET_CONFIG without CONFIG",    AGREED, M(GET_CONFIG), 0, CONFIG(8), .outcome = EMPTY, .protocol_off = PROTO(CONFIG), .payload.config.size = 8 },
	{ "ADD_MEM_REG without slots",    AGREED, M(ADD_MEM_REG), ACK, REGION, 1, MEMFD, REFUSED, .protocol_off = PROTO(CONFIGURE_MEM_SLOTS), .payload.region.region = { 0, 4096, 4096, 0 } },
	{ "SET_LOG_BASE without it",      AGREED, M(SET_LOG_BASE), 0, LOG, 1, MEMFD, ENDS, .protocol_off = PROTO(LOG_SHMFD), .payload.log = { 4096, 0 } },
	{ "RESET_DEVICE without it",      AGREED, M(RESET_DEVICE), ACK, 0, .outcome = REFUSED, .protocol_off = PROTO(RESET_DEVICE) },
	{ "IOTLB_MSG without an IOMMU",   STARTED, M(IOTLB_MSG), 0, IOTLB, .outcome = REFUSED, .payload.iotlb = { .size = 4096, .type = VHOST_IOTLB_UPDATE, .perm = 3 } },

	/* features and status */
	{ "features not offered",         AGREED, M(SET_FEATURES), ACK, U64, .outcome = REFUSED, .payload.u64 = UINT64_MAX },
	{ "the same, nobody waits",       AGREED, M(SET_FEATURES), 0, U64, .outcome = ENDS, .payload.u64 = UINT64_MAX },
	{ "features while it runs",       STARTED, M(SET_FEATURES), ACK, U64, .outcome = REFUSED, .payload.u64 = 1ull << VIRTIO_F_RING_PACKED },
	{ "protocol features not offered", AGREED, M(SET_PROTOCOL_FEATURES), ACK, U64, .outcome = REFUSED, .payload.u64 = UINT64_MAX },
	{ "status of two bytes",          AGREED, M(SET_STATUS), ACK, U64, .outcome = REFUSED, .payload.u64 = 256 },
	{ "status 0 while it runs",       STARTED, M(SET_STATUS), ACK, U64, .outcome = FINE },
	{ "reset while it runs",          STARTED, M(RESET_DEVICE), ACK, 0, .outcome = FINE },
	{ "owner twice",                  STARTED, M(SET_OWNER), ACK, 0, .outcome = FINE },
	{ "owner reset while it runs",    STARTED, M(RESET_OWNER), ACK, 0, .outcome = FINE },

	/* configuration */
	{ "config past the end",          AGREED, M(GET_CONFIG), 0, CONFIG(8), .outcome = EMPTY, .payload.config = { .offset = 250, .size = 8 } },
	{ "config far past the end",      AGREED, M(GET_CONFIG), 0, CONFIG(8), .outcome = EMPTY, .payload.config = { .offset = UINT32_MAX, .size = 8 } },
	{ "config of more than it has",   AGREED, M(GET_CONFIG), 0, CONFIG(8), .outcome = ENDS, .payload.config = { .size = 9 } },
	{ "config of 4 GiB",              AGREED, M(GET_CONFIG), 0, CONFIG(8), .outcome = ENDS, .payload.config = { .size = UINT32_MAX } },
	{ "config that can't be set",     AGREED, M(SET_CONFIG), ACK, CONFIG(8), .outcome = REFUSED, .payload.config = { .size = 8 } },
	{ "config set past the end",      AGREED, M(SET_CONFIG), ACK, CONFIG(1), .outcome = REFUSED, .payload.config = { .offset = 255, .size = 1 } },
	{ "config set, nothing",          AGREED, M(SET_CONFIG), ACK, CONFIG(0), .outcome = REFUSED },
	{ "config set with odd flags",    AGREED, M(SET_CONFIG), ACK, CONFIG(1), .outcome = REFUSED, .payload.config = { .offset = 32, .size = 1, .flags = 7 } },

	/* memory */
	{ "fewer descriptors than regions", AGREED, M(SET_MEM_TABLE), ACK, MEM(2), 1, MEMFD, ENDS, .payload.memory = { .nregions = 2 } },
	{ "regions without any",          AGREED, M(SET_MEM_TABLE), ACK, MEM(1), .outcome = ENDS, .payload.memory = { .nregions = 1, .region = { { 0, 4096, 0, 0 } } } },
	{ "more regions than bytes",      AGREED, M(SET_MEM_TABLE), ACK, MEM(1), 1, MEMFD, ENDS, .payload.memory = { .nregions = 8 } },
	{ "4 billion regions",            AGREED, M(SET_MEM_TABLE), ACK, MEM(1), 1, MEMFD, ENDS, .payload.memory = { .nregions = UINT32_MAX } },
	{ "regions that overlap",         AGREED, M(SET_MEM_TABLE), ACK, MEM(2), 2, MEMFD, REFUSED, .payload.memory = { .nregions = 2, .region = { { 0, 8192, 0x10000, 0 }, { 4096, 4096, 0x20000, 0 } } } },
	{ "an empty region",              AGREED, M(SET_MEM_TABLE), ACK, MEM(1), 1, MEMFD, REFUSED, .payload.memory = { .nregions = 1, .region = { { 0, 0, 0, 0 } } } },
	{ "a region past its file",       AGREED, M(SET_MEM_TABLE), ACK, MEM(1), 1, MEMFD, REFUSED, .payload.memory = { .nregions = 1, .region = { { 0, FILE_SIZE + 4096, 0, 0 } } } },
	{ "an offset past its file",      AGREED, M(SET_MEM_TABLE), ACK, MEM(1), 1, MEMFD, REFUSED, .payload.memory = { .nregions = 1, .region = { { 0, 4096, 0, FILE_SIZE } } } },
	{ "an offset that wraps",         AGREED, M(SET_MEM_TABLE), ACK, MEM(1), 1, MEMFD, REFUSED, .payload.memory = { .nregions = 1, .region = { { 0, 8192, 0, 0ull - 4096 } } } },
	{ "an address that wraps",        AGREED, M(SET_MEM_TABLE), ACK, MEM(1), 1, MEMFD, REFUSED, .payload.memory = { .nregions = 1, .region = { { 0ull - 4096, 8192, 0, 0 } } } },
	{ "a front-end address that wraps", AGREED, M(SET_MEM_TABLE), ACK, MEM(1), 1, MEMFD, REFUSED, .payload.memory = { .nregions = 1, .region = { { 0, 8192, 0ull - 4096, 0 } } } },
	{ "a huge region",                AGREED, M(SET_MEM_TABLE), ACK, MEM(1), 1, MEMFD, REFUSED, .payload.memory = { .nregions = 1, .region = { { 0, 1ull << 62, 0, 0 } } } },
	{ "a region of an eventfd",       AGREED, M(SET_MEM_TABLE), ACK, MEM(1), 1, EVENTFD, REFUSED, .payload.memory = { .nregions = 1, .region = { { 0, 4096, 0, 0 } } } },
	{ "a region of a socket",         AGREED, M(SET_MEM_TABLE), ACK, MEM(1), 1, SOCKET, REFUSED, .payload.memory = { .nregions = 1, .region = { { 0, 4096, 0, 0 } } } },
	{ "a region of a folder",         AGREED, M(SET_MEM_TABLE), ACK, MEM(1), 1, DIRECTORY, REFUSED, .payload.memory = { .nregions = 1, .region = { { 0, 4096, 0, 0 } } } },
	{ "the rings' memory goes away",  STARTED, M(SET_MEM_TABLE), ACK, MEM(1), 1, MEMFD, REFUSED, .payload.memory = { .nregions = 1, .region = { { 0, 4096, 0x10000, 0 } } } },
	{ "all memory goes away",         STARTED, M(SET_MEM_TABLE), ACK, MEM(0), .outcome = REFUSED },
	{ "a slot over another",          SHARED, M(ADD_MEM_REG), ACK, REGION, 1, MEMFD, REFUSED, .payload.region.region = { 0, 4096, 0x10000, 0 } },
	{ "a slot without a file",        SHARED, M(ADD_MEM_REG), ACK, REGION, .outcome = ENDS, .payload.region.region = { 1ull << 40, 4096, 0x10000, 0 } },
	{ "a slot past its file",         SHARED, M(ADD_MEM_REG), ACK, REGION, 1, MEMFD, REFUSED, .payload.region.region = { 1ull << 40, FILE_SIZE + 4096, 0x10000, 0 } },
	{ "removing what is not there",   SHARED, M(REM_MEM_REG), ACK, REGION, .outcome = REFUSED, .payload.region.region = { 1ull << 40, 4096, 0, 0 } },
	{ "the same, with a stray file",  SHARED, M(REM_MEM_REG), ACK, REGION, 1, MEMFD, REFUSED, .payload.region.region = { 1ull << 40, 4096, 0, 0 } },

	/* queues */
	{ "size of no such queue",        AGREED, M(SET_VRING_NUM), ACK, STATE, .outcome = REFUSED, .payload.state = { 1, 64 } },
	{ "size of queue 4 billion",      AGREED, M(SET_VRING_NUM), ACK, STATE, .outcome = REFUSED, .payload.state = { UINT32_MAX, 64 } },
	{ "size 0",                       AGREED, M(SET_VRING_NUM), ACK, STATE, .outcome = REFUSED, .payload.state = { 0, 0 } },
	{ "no power of two",              AGREED, M(SET_VRING_NUM), ACK, STATE, .outcome = REFUSED, .payload.state = { 0, 65 } },
	{ "larger than any",              AGREED, M(SET_VRING_NUM), ACK, STATE, .outcome = REFUSED, .payload.state = { 0, 65536 } },
	{ "size while it runs",           STARTED, M(SET_VRING_NUM), ACK, STATE, .outcome = REFUSED, .payload.state = { 0, 64 } },
	{ "base while it runs",           STARTED, M(SET_VRING_BASE), ACK, STATE, .outcome = REFUSED, .payload.state = { 0, 0 } },
	{ "a split base of 32 bits",      AGREED, M(SET_VRING_BASE), ACK, STATE, .outcome = REFUSED, .payload.state = { 0, 0x10000 } },
	{ "base of no such queue",        AGREED, M(GET_VRING_BASE), 0, STATE, .outcome = ENDS, .payload.state = { 7, 0 } },
	{ "base of a queue at rest",      AGREED, M(GET_VRING_BASE), 0, STATE, .outcome = FINE, .payload.state = { 0, 0 } },
	{ "addresses of no such queue",   AGREED, M(SET_VRING_ADDR), ACK, ADDR, .outcome = REFUSED, .payload.addr = { .index = 64 } },
	{ "addresses with odd flags",     AGREED, M(SET_VRING_ADDR), ACK, ADDR, .outcome = REFUSED, .payload.addr = { .flags = 2 } },
	{ "addresses outside memory, running", STARTED, M(SET_VRING_ADDR), ACK, ADDR, .outcome = REFUSED, .payload.addr = { .desc_user_addr = 4096, .avail_user_addr = 8192, .used_user_addr = 16384 } },
	{ "unaligned addresses, running", STARTED, M(SET_VRING_ADDR), ACK, ADDR, .outcome = REFUSED, .relative = true, .payload.addr = { .desc_user_addr = 1, .avail_user_addr = 4097, .used_user_addr = 8193 } },
	{ "addresses at memory's end, running", STARTED, M(SET_VRING_ADDR), ACK, ADDR, .outcome = REFUSED, .relative = true, .payload.addr = { .desc_user_addr = RIG_HALF - 16, .avail_user_addr = 0, .used_user_addr = 8192 } },
	{ "start of what was not set up", SHARED, M(SET_VRING_KICK), ACK, U64, 1, EVENTFD, REFUSED, .payload.u64 = 0 },
	{ "start of no such queue",       SHARED, M(SET_VRING_KICK), ACK, U64, 1, EVENTFD, REFUSED, .payload.u64 = 9 },
	{ "start, without a descriptor",  SHARED, M(SET_VRING_KICK), ACK, U64, .outcome = ENDS, .payload.u64 = 0 },
	{ "start, with one too many",     SHARED, M(SET_VRING_KICK), ACK, U64, 1, EVENTFD, ENDS, .payload.u64 = VHOST_USER_VRING_NOFD_MASK },
	{ "a file to kick",               STARTED, M(SET_VRING_KICK), ACK, U64, 1, MEMFD, REFUSED, .payload.u64 = 0 },
	{ "a folder to call",             STARTED, M(SET_VRING_CALL), ACK, U64, 1, DIRECTORY, REFUSED, .payload.u64 = 0 },
	{ "a pipe to call",               STARTED, M(SET_VRING_CALL), ACK, U64, 1, PIPE, REFUSED, .payload.u64 = 0 },
	{ "a socket for errors",          STARTED, M(SET_VRING_ERR), ACK, U64, 1, SOCKET, REFUSED, .payload.u64 = 0 },
	{ "calls, with high bits",        STARTED, M(SET_VRING_CALL), ACK, U64, 1, EVENTFD, REFUSED, .payload.u64 = 5 },
	{ "enable of no such queue",      STARTED, M(SET_VRING_ENABLE), ACK, STATE, .outcome = REFUSED, .payload.state = { 5, 1 } },
	{ "enabled twice over",           STARTED, M(SET_VRING_ENABLE), ACK, STATE, .outcome = REFUSED, .payload.state = { 0, 2 } },

	/* the channel, the log, the inflight buffer, the IOTLB */
	{ "a channel of a file",          AGREED, M(SET_BACKEND_REQ_FD), ACK, 0, 1, MEMFD, REFUSED },
	{ "a channel of /dev/null",       AGREED, M(SET_BACKEND_REQ_FD), ACK, 0, 1, DEVNULL, REFUSED },
	{ "no channel",                   AGREED, M(SET_BACKEND_REQ_FD), ACK, 0, .outcome = ENDS },
	{ "two channels",                 AGREED, M(SET_BACKEND_REQ_FD), ACK, 0, 2, SOCKET, ENDS },
	{ "a log past its file",          STARTED, M(SET_LOG_BASE), ACK, LOG, 1, MEMFD, REFUSED, .payload.log = { FILE_SIZE + 1, 0 } },
	{ "a log that wraps",             STARTED, M(SET_LOG_BASE), ACK, LOG, 1, MEMFD, REFUSED, .payload.log = { 4096, 0ull - 2048 } },
	{ "an empty log",                 STARTED, M(SET_LOG_BASE), 0, LOG, 1, MEMFD, ENDS, .payload.log = { 0, 0 } },
	{ "a log in a socket",            STARTED, M(SET_LOG_BASE), ACK, LOG, 1, SOCKET, REFUSED, .payload.log = { 4096, 0 } },
	{ "a log without a file",         STARTED, M(SET_LOG_BASE), 0, LOG, .outcome = ENDS, .payload.log = { 4096, 0 } },
	{ "inflight of no queues",        AGREED, M(GET_INFLIGHT_FD), 0, INFLIGHT, .outcome = ENDS, .payload.inflight = { .queue_size = 64 } },
	{ "inflight of too many",         AGREED, M(GET_INFLIGHT_FD), 0, INFLIGHT, .outcome = ENDS, .payload.inflight = { .num_queues = 2, .queue_size = 64 } },
	{ "inflight of too large ones",   AGREED, M(GET_INFLIGHT_FD), 0, INFLIGHT, .outcome = ENDS, .payload.inflight = { .num_queues = 1, .queue_size = UINT16_MAX } },
	{ "inflight past its file",       AGREED, M(SET_INFLIGHT_FD), ACK, INFLIGHT, 1, MEMFD, REFUSED, .payload.inflight = { .mmap_size = FILE_SIZE + 1, .num_queues = 1, .queue_size = 64 } },
	{ "inflight too small",           AGREED, M(SET_INFLIGHT_FD), ACK, INFLIGHT, 1, MEMFD, REFUSED, .payload.inflight = { .mmap_size = 16, .num_queues = 1, .queue_size = 64 } },
	{ "inflight offset that wraps",   AGREED, M(SET_INFLIGHT_FD), ACK, INFLIGHT, 1, MEMFD, REFUSED, .payload.inflight = { .mmap_size = 4096, .mmap_offset = 0ull - 2048, .num_queues = 1, .queue_size = 64 } },
	{ "inflight in a pipe",           AGREED, M(SET_INFLIGHT_FD), ACK, INFLIGHT, 1, PIPE, REFUSED, .payload.inflight = { .mmap_size = 4096, .num_queues = 1, .queue_size = 64 } },
	{ "inflight while it runs",       STARTED, M(SET_INFLIGHT_FD), ACK, INFLIGHT, 1, MEMFD, REFUSED, .payload.inflight = { .mmap_size = 4096, .num_queues = 1, .queue_size = 64 } },
	{ "an IOTLB miss from here",      STARTED, M(IOTLB_MSG), 0, IOTLB, .outcome = REFUSED, .iommu = true, .payload.iotlb = { .size = 4096, .type = VHOST_IOTLB_MISS, .perm = 3 } },
	{ "an IOTLB entry that wraps",    STARTED, M(IOTLB_MSG), 0, IOTLB, .outcome = REFUSED, .iommu = true, .payload.iotlb = { .iova = 0ull - 4096, .size = 8192, .type = VHOST_IOTLB_UPDATE, .perm = 3 } },
	{ "an IOTLB entry of nothing",    STARTED, M(IOTLB_MSG), 0, IOTLB, .outcome = REFUSED, .iommu = true, .payload.iotlb = { .type = VHOST_IOTLB_UPDATE, .perm = 3 } },
	{ "everything invalidated",       STARTED, M(IOTLB_MSG), 0, IOTLB, .outcome = FINE, .iommu = true, .payload.iotlb = { .size = UINT64_MAX, .type = VHOST_IOTLB_INVALIDATE } },
};
/* clang-format on */

static int make_fd(const struct rig *r, enum kind kind)
{
	int fd = -1, pair[2];

	switch (kind) {
	case MEMFD:
		fd = memfd_create("hostile", MFD_CLOEXEC);
		assert_int_equal(ftruncate(fd, FILE_SIZE), 0);
		break;
	case EVENTFD:
		fd = eventfd(0, EFD_CLOEXEC);
		break;
	case PIPE:
		assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
		close(pair[0]);
		fd = pair[1];
		break;
	case SOCKET:
		fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		break;
	case DEVNULL:
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		break;
	case DIRECTORY:
		fd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		break;
	}
	assert_true(fd >= 0);
	return fd;
}

static void come_to(struct rig *r, const struct row *row)
{
	r->spec.protocol_off = row->protocol_off;
	r->spec.iommu = row->iommu;
	if (row->state == NEW) {
		r->fe = rig_frontend(r, RIG_WAIT);
		return;
	}
	rig_connect(r);
	if (row->state == SHARED) {
		struct iol_guest_memory_spec memory = { .size = RIG_HALF };

		assert_int_equal(iol_guest_memory_new(&memory, &r->mem), 0);
		assert_int_equal(iol_frontend_set_memory(r->fe, r->mem), 0);
	} else if (row->state == STARTED) {
		rig_make_guest(r);
	}
}

/* More descriptors than iol_wire_send() takes. */
static void send_with_fds(int sock, const struct row *row, const void *payload, const int *fds)
{
	struct vhost_user_header hdr = { row->request, row->flags | VHOST_USER_VERSION, row->size };
	struct iovec iov[2] = { { &hdr, sizeof(hdr) }, { (void *)(uintptr_t)payload, row->size } };
	union {
		char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2, .msg_control = control.buf };

	iol_wire_attach(&mh, fds, row->nfds);
	assert_int_equal(sendmsg(sock, &mh, MSG_NOSIGNAL), sizeof(hdr) + row->size);
}

static void send_row(struct rig *r, const struct row *row)
{
	union vhost_user_payload payload = row->payload;
	int fds[FDS_MAX];
	unsigned int i;

	if (row->relative) {
		uint64_t ram = (uintptr_t)iol_guest_memory_region(r->mem, 0)->host;

		payload.addr.desc_user_addr += ram;
		payload.addr.avail_user_addr += ram;
		payload.addr.used_user_addr += ram;
	}
	for (i = 0; i < row->nfds; i++)
		fds[i] = make_fd(r, row->kind);
	send_with_fds(iol_frontend_fd(r->fe), row, &payload, fds);
	for (i = 0; i < row->nfds; i++)
		close(fds[i]);
}

static void expect_end(const struct row *row, int sock)
{
	struct iol_wire_rx rx = { 0 };
	int rc;

	/* It may say why before it goes. */
	while (!(rc = iol_wire_wait(sock, &rx, RIG_WAIT)))
		iol_wire_next(&rx);
	if (rc == -ETIMEDOUT)
		fail_msg("%s: the connection goes on", row->name);
}

static void expect_reply(const struct row *row, int sock)
{
	struct iol_wire_rx rx = { 0 };
	uint64_t zero = 0;
	bool yes;

	if (iol_wire_wait(sock, &rx, RIG_WAIT))
		fail_msg("%s: no reply: %s", row->name, iol_error());
	yes = rx.msg.hdr.size == sizeof(zero) && !memcmp(&rx.msg.payload, &zero, sizeof(zero));
	if (rx.msg.hdr.request != row->request || !(rx.msg.hdr.flags & VHOST_USER_REPLY_MASK) ||
	    (row->outcome == EMPTY) != (rx.msg.hdr.size == 0) ||
	    (row->outcome != EMPTY && (row->outcome == FINE) != yes))
		fail_msg("%s: the reply says otherwise (%u bytes, %llu)", row->name,
			 rx.msg.hdr.size, (unsigned long long)rx.msg.payload.u64);
	iol_wire_next(&rx);
	/* And the connection goes on. */
	assert_int_equal(iol_wire_send(sock, VHOST_USER_GET_FEATURES, 0, NULL, 0, NULL, 0, 100), 0);
	if (iol_wire_wait(sock, &rx, RIG_WAIT))
		fail_msg("%s: the connection ended: %s", row->name, iol_error());
	assert_int_equal(rx.msg.hdr.request, VHOST_USER_GET_FEATURES);
	iol_wire_next(&rx);
}

/* Somebody who behaves finds everything as it should be. */
static void a_guest_works(struct rig *r)
{
	rig_disconnect(r);
	r->spec.protocol_off = 0;
	r->spec.iommu = false;
	rig_connect(r);
	rig_make_guest(r);
	rig_works(r);
	rig_disconnect(r);
}

static unsigned int open_descriptors(void)
{
	unsigned int n = 0;
	int fd;

	for (fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void every_message_has_its_outcome(void **state)
{
	struct rig_spec spec = { 0 };
	struct rig *r = rig_new(&spec);
	unsigned int before;
	size_t i;

	rig_start_backend(r);
	a_guest_works(r);
	before = open_descriptors();
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		come_to(r, &rows[i]);
		send_row(r, &rows[i]);
		if (rows[i].outcome == ENDS)
			expect_end(&rows[i], iol_frontend_fd(r->fe));
		else
			expect_reply(&rows[i], iol_frontend_fd(r->fe));
		a_guest_works(r);
	}
	/* Nothing that was sent is still held: the last guest's went with its connection. */
	rig_stop_backend(r, 0);
	assert_true(open_descriptors() <= before);
	rig_down(&r);
}

/* ---- bytes that are no messages ---- */

static void wait_end(struct rig *r, const char *what)
{
	struct pollfd pfd = { .fd = iol_frontend_fd(r->fe), .events = POLLIN };
	char byte;

	if (poll(&pfd, 1, RIG_WAIT) != 1 || recv(pfd.fd, &byte, 1, MSG_DONTWAIT) > 0)
		fail_msg("%s: the connection goes on", what);
}

static void bytes_that_are_no_message(void **state)
{
	static const struct {
		const char *name;
		struct vhost_user_header hdr;
		size_t len;
		bool shut;
	} bad[] = {
		{ "version 0", { VHOST_USER_GET_FEATURES, 0, 0 }, 12, false },
		{ "version 2", { VHOST_USER_GET_FEATURES, 2, 0 }, 12, false },
		{ "version 3", { VHOST_USER_GET_FEATURES, 3, 0 }, 12, false },
		{ "4 GiB of payload", { VHOST_USER_SET_MEM_TABLE, 1, UINT32_MAX }, 12, false },
		{ "a header cut short", { VHOST_USER_GET_FEATURES, 1, 0 }, 7, true },
		{ "a payload that never comes", { VHOST_USER_SET_FEATURES, 1, 8 }, 12, true },
		{ "nothing at all", { 0, 0, 0 }, 0, true },
	};
	struct rig_spec spec = { 0 };
	struct rig *r = rig_new(&spec);
	size_t i;

	rig_start_backend(r);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int sock;

		r->fe = rig_frontend(r, RIG_WAIT);
		sock = iol_frontend_fd(r->fe);
		if (bad[i].len)
			assert_int_equal(send(sock, &bad[i].hdr, bad[i].len, MSG_NOSIGNAL),
					 bad[i].len);
		if (bad[i].shut)
			shutdown(sock, SHUT_WR);
		wait_end(r, bad[i].name);
		a_guest_works(r);
	}
	rig_down(&r);
}

/* Slow is not wrong. */
static void a_message_byte_by_byte(void **state)
{
	struct rig_spec spec = { 0 };
	struct rig *r = rig_new(&spec);
	struct vhost_user_header hdr = { VHOST_USER_GET_FEATURES, 1, 0 };
	struct iol_wire_rx rx = { 0 };
	size_t i;

	rig_start_backend(r);
	r->fe = rig_frontend(r, RIG_WAIT);
	for (i = 0; i < sizeof(hdr); i++) {
		assert_int_equal(send(iol_frontend_fd(r->fe), (uint8_t *)&hdr + i, 1, MSG_NOSIGNAL),
				 1);
		usleep(100);
	}
	assert_int_equal(iol_wire_wait(iol_frontend_fd(r->fe), &rx, RIG_WAIT), 0);
	assert_int_equal(rx.msg.hdr.size, 8);
	iol_wire_next(&rx);
	a_guest_works(r);
	rig_down(&r);
}

/* Half a message each, and away: none of them holds up the next for long. */
static void many_come_and_go(void **state)
{
	struct rig_spec spec = { 0 };
	struct rig *r = rig_new(&spec);
	struct vhost_user_header hdr = { VHOST_USER_SET_FEATURES, 1, 8 };
	unsigned int i;

	rig_start_backend(r);
	for (i = 0; i < 200; i++) {
		r->fe = rig_frontend(r, RIG_WAIT);
		assert_int_equal(send(iol_frontend_fd(r->fe), &hdr, i % sizeof(hdr), MSG_NOSIGNAL),
				 i % sizeof(hdr));
		rig_disconnect(r);
	}
	a_guest_works(r);
	rig_down(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_message_has_its_outcome),
		cmocka_unit_test(bytes_that_are_no_message),
		cmocka_unit_test(a_message_byte_by_byte),
		cmocka_unit_test(many_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
