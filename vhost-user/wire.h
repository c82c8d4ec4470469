/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The vhost-user protocol as bytes: its constants, its payloads, one table of messages that the
 * dispatcher, the front end, the log and the tests all read, and sending and receiving one
 * message with its file descriptors.
 *
 * Spec: QEMU, docs/interop/vhost-user.rst. Numbers are in host byte order.
 */
#ifndef IOL_VHOST_USER_WIRE_H
#define IOL_VHOST_USER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "vhost-user/memory.h"

struct msghdr;

/* Feature bits of the device that the protocol takes for itself, next to VHOST_F_LOG_ALL. */
#define VHOST_USER_F_PROTOCOL_FEATURES 30

/* clang-format off */
/* Protocol features: bit, name. */
#define IOL_WIRE_PROTOCOL_FEATURES(F)    \
	F(0,  MQ)                        \
	F(1,  LOG_SHMFD)                 \
	F(2,  RARP)                      \
	F(3,  REPLY_ACK)                 \
	F(4,  MTU)                       \
	F(5,  BACKEND_REQ)               \
	F(6,  CROSS_ENDIAN)              \
	F(7,  CRYPTO_SESSION)            \
	F(8,  PAGEFAULT)                 \
	F(9,  CONFIG)                    \
	F(10, BACKEND_SEND_FD)           \
	F(11, HOST_NOTIFIER)             \
	F(12, INFLIGHT_SHMFD)            \
	F(13, RESET_DEVICE)              \
	F(14, INBAND_NOTIFICATIONS)      \
	F(15, CONFIGURE_MEM_SLOTS)       \
	F(16, STATUS)                    \
	F(17, XEN_MMAP)                  \
	F(18, SHARED_OBJECT)             \
	F(19, DEVICE_STATE)              \
	F(20, GET_VRING_BASE_INFLIGHT)   \
	F(21, GPA_ADDRESSES)             \
	F(22, SHMEM)
/* clang-format on */

enum {
#define F(bit, name) VHOST_USER_PROTOCOL_F_##name = (bit),
	IOL_WIRE_PROTOCOL_FEATURES(F)
#undef F
};

#define VHOST_USER_VERSION         1u
#define VHOST_USER_VERSION_MASK    3u
#define VHOST_USER_REPLY_MASK      4u
#define VHOST_USER_NEED_REPLY_MASK 8u

/* SET_VRING_KICK, CALL and ERR: the queue's index, and "no descriptor comes with this". */
#define VHOST_USER_VRING_IDX_MASK  0xffull
#define VHOST_USER_VRING_NOFD_MASK 0x100ull

/* SET_CONFIG's flags. */
#define VHOST_USER_CONFIG_WRITABLE  0u
#define VHOST_USER_CONFIG_MIGRATION 1u

#define VHOST_USER_CONFIG_DATA_MAX 256

/* NET_SET_MTU: what an IPv4 link must carry at least (RFC 791), and what the config space has room for. */
#define VHOST_USER_MTU_MIN 68
#define VHOST_USER_MTU_MAX 65535

/* The specification says 8 regions in a SET_MEM_TABLE; some front ends send up to 32. */
#define VHOST_USER_MEM_TABLE_MAX 32
#define IOL_WIRE_FDS_MAX         VHOST_USER_MEM_TABLE_MAX

struct vhost_user_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of the payload */
};

/* Payloads. vhost_vring_state, vhost_vring_addr and vhost_iotlb_msg are the kernel's. */

struct vhost_user_memory {
	uint32_t nregions;
	uint32_t padding;
	struct iol_mem_desc region[VHOST_USER_MEM_TABLE_MAX];
};

struct vhost_user_single_region {
	uint64_t padding;
	struct iol_mem_desc region;
};

struct vhost_user_log {
	uint64_t mmap_size;
	uint64_t mmap_offset;
};

struct vhost_user_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t data[VHOST_USER_CONFIG_DATA_MAX];
};

struct vhost_user_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t num_queues;
	uint16_t queue_size;
};

/* Which way a back end's own state goes; it is stopped (phase 0) in all that the specification has. */
#define VHOST_USER_TRANSFER_SAVE 0u
#define VHOST_USER_TRANSFER_LOAD 1u

/* The reply to SET_DEVICE_STATE_FD: an error, and "go on with the descriptor that you sent". */
#define VHOST_USER_TRANSFER_ERROR_MASK 0xffull
#define VHOST_USER_TRANSFER_NOFD_MASK  0x100ull

struct vhost_user_transfer {
	uint32_t direction;
	uint32_t phase;
};

_Static_assert(sizeof(struct vhost_user_header) == 12, "header");
_Static_assert(sizeof(struct vhost_vring_state) == 8, "vring state");
_Static_assert(sizeof(struct vhost_vring_addr) == 40, "vring addr");
_Static_assert(sizeof(struct vhost_iotlb_msg) == 32, "iotlb message");
_Static_assert(sizeof(struct iol_mem_desc) == 32, "memory region");
_Static_assert(offsetof(struct vhost_user_memory, region) == 8, "memory table");
_Static_assert(sizeof(struct vhost_user_single_region) == 40, "single region");
_Static_assert(sizeof(struct vhost_user_log) == 16, "log");
_Static_assert(sizeof(struct vhost_user_config) == 12 + VHOST_USER_CONFIG_DATA_MAX, "config");
_Static_assert(offsetof(struct vhost_user_inflight, queue_size) == 18, "inflight");

union vhost_user_payload {
	uint64_t u64;
	struct vhost_vring_state state;
	struct vhost_vring_addr addr;
	struct vhost_user_memory memory;
	struct vhost_user_single_region region;
	struct vhost_user_log log;
	struct vhost_iotlb_msg iotlb;
	struct vhost_user_config config;
	struct vhost_user_inflight inflight;
	struct vhost_user_transfer transfer;
};

/* clang-format off */
/*
 * What payloads there are: name, the fewest and the most bytes. Within them the size is
 * checked closer where the payload says itself how long it is (MEMORY, CONFIG). An inflight description is
 * 20 bytes, and 24 from those who send C's padding, which is nearly all.
 */
#define IOL_WIRE_PAYLOADS(P)                                                            \
	P(NONE,     0,  0)                                                              \
	P(U64,      8,  8)                                                              \
	P(STATE,    8,  8)                                                              \
	P(ADDR,     40, 40)                                                             \
	P(MEMORY,   8,  sizeof(struct vhost_user_memory))                               \
	P(REGION,   40, 40)                                                             \
	P(LOG,      16, 16)                                                             \
	P(IOTLB,    32, 32)                                                             \
	P(CONFIG,   12, sizeof(struct vhost_user_config))                               \
	P(INFLIGHT, 20, sizeof(struct vhost_user_inflight))                             \
	P(TRANSFER, 8,  8)

/*
 * The messages of the front end, a row each:
 *
 * id, NAME (after VHOST_USER_)
 * payload: IOL_PAYLOAD_…
 * fds: NONE; ONE; STRAY (one may come, and is closed unused); VRING (one, unless the payload's
 *      NOFD flag says none); REGIONS (one a region of the payload)
 * feature: the protocol feature (VHOST_USER_PROTOCOL_F_…) that must not have been left out, or ANY
 * reply: ACK (a status, where REPLY_ACK was negotiated and the message asks for it); STATUS (a
 *        status always); else the payload of the reply, always
 * needs: the state it may come in: IOL_NEED_… (enum iol_wire_need), 0 for any. SET_OWNER need not have come:
 *        DPDK's virtio-user does not send it again to a new process.
 * handler: the back end's function, in vhost-user/handlers*.c
 */
#define IOL_WIRE_MESSAGES(M)                                                                                                                        \
	M(1,  GET_FEATURES,          NONE,     NONE,    ANY,                 U64,      0,                                           get_features)           \
	M(2,  SET_FEATURES,          U64,      NONE,    ANY,                 ACK,      0,                                           set_features)           \
	M(3,  SET_OWNER,             NONE,     NONE,    ANY,                 ACK,      0,                                           set_owner)              \
	M(4,  RESET_OWNER,           NONE,     NONE,    ANY,                 ACK,      0,                                           reset_owner)            \
	M(5,  SET_MEM_TABLE,         MEMORY,   REGIONS, ANY,                 ACK,      0,                                           set_mem_table)          \
	M(6,  SET_LOG_BASE,          LOG,      ONE,     LOG_SHMFD,           STATUS,   0,                                           set_log_base)           \
	M(7,  SET_LOG_FD,            NONE,     ONE,     ANY,                 ACK,      0,                                           set_log_fd)             \
	M(8,  SET_VRING_NUM,         STATE,    NONE,    ANY,                 ACK,      IOL_NEED_FEATURES | IOL_NEED_STOPPED_RING,   set_vring_num)          \
	M(9,  SET_VRING_ADDR,        ADDR,     NONE,    ANY,                 ACK,      IOL_NEED_FEATURES | IOL_NEED_RING,           set_vring_addr)         \
	M(10, SET_VRING_BASE,        STATE,    NONE,    ANY,                 ACK,      IOL_NEED_FEATURES | IOL_NEED_STOPPED_RING,   set_vring_base)         \
	M(11, GET_VRING_BASE,        STATE,    NONE,    ANY,                 STATE,    IOL_NEED_RING,                               get_vring_base)         \
	M(12, SET_VRING_KICK,        U64,      VRING,   ANY,                 ACK,      IOL_NEED_FEATURES | IOL_NEED_RING,           set_vring_kick)         \
	M(13, SET_VRING_CALL,        U64,      VRING,   ANY,                 ACK,      IOL_NEED_RING,                               set_vring_call)         \
	M(14, SET_VRING_ERR,         U64,      VRING,   ANY,                 ACK,      IOL_NEED_RING,                               set_vring_err)          \
	M(15, GET_PROTOCOL_FEATURES, NONE,     NONE,    ANY,                 U64,      0,                                           get_protocol_features)  \
	M(16, SET_PROTOCOL_FEATURES, U64,      NONE,    ANY,                 ACK,      0,                                           set_protocol_features)  \
	M(17, GET_QUEUE_NUM,         NONE,     NONE,    MQ,                  U64,      0,                                           get_queue_num)          \
	M(18, SET_VRING_ENABLE,      STATE,    NONE,    ANY,                 ACK,      IOL_NEED_RING,                               set_vring_enable)       \
	M(19, SEND_RARP,             U64,      NONE,    RARP,                ACK,      0,                                           send_rarp)              \
	M(20, NET_SET_MTU,           U64,      NONE,    MTU,                 ACK,      0,                                           net_set_mtu)            \
	M(21, SET_BACKEND_REQ_FD,    NONE,     ONE,     BACKEND_REQ,         ACK,      0,                                           set_backend_req_fd)     \
	M(22, IOTLB_MSG,             IOTLB,    NONE,    BACKEND_REQ,         STATUS,   IOL_NEED_FEATURES | IOL_NEED_IOMMU,          iotlb_msg)              \
	M(24, GET_CONFIG,            CONFIG,   NONE,    CONFIG,              CONFIG,   0,                                           get_config)             \
	M(25, SET_CONFIG,            CONFIG,   NONE,    CONFIG,              ACK,      0,                                           set_config)             \
	M(31, GET_INFLIGHT_FD,       INFLIGHT, NONE,    INFLIGHT_SHMFD,      INFLIGHT, IOL_NEED_FEATURES,                           get_inflight_fd)        \
	M(32, SET_INFLIGHT_FD,       INFLIGHT, ONE,     INFLIGHT_SHMFD,      ACK,      IOL_NEED_FEATURES | IOL_NEED_SUSPENDED,      set_inflight_fd)        \
	M(34, RESET_DEVICE,          NONE,     NONE,    RESET_DEVICE,        ACK,      0,                                           reset_device)           \
	M(36, GET_MAX_MEM_SLOTS,     NONE,     NONE,    CONFIGURE_MEM_SLOTS, U64,      0,                                           get_max_mem_slots)      \
	M(37, ADD_MEM_REG,           REGION,   ONE,     CONFIGURE_MEM_SLOTS, ACK,      0,                                           add_mem_reg)            \
	M(38, REM_MEM_REG,           REGION,   STRAY,   CONFIGURE_MEM_SLOTS, ACK,      0,                                           rem_mem_reg)            \
	M(39, SET_STATUS,            U64,      NONE,    STATUS,              ACK,      0,                                           set_status)             \
	M(40, GET_STATUS,            NONE,     NONE,    STATUS,              U64,      0,                                           get_status)             \
	M(42, SET_DEVICE_STATE_FD,   TRANSFER, ONE,     DEVICE_STATE,        U64,      IOL_NEED_FEATURES | IOL_NEED_SUSPENDED,      set_device_state_fd)    \
	M(43, CHECK_DEVICE_STATE,    NONE,     NONE,    DEVICE_STATE,        U64,      0,                                           check_device_state)

/* The messages of the back end: id, NAME (after VHOST_USER_BACKEND_), payload, protocol feature. */
#define IOL_WIRE_BACKEND_MESSAGES(M)                       \
	M(1, IOTLB_MSG,         IOTLB, BACKEND_REQ)        \
	M(2, CONFIG_CHANGE_MSG, NONE,  CONFIG)
/* clang-format on */

enum iol_wire_request {
#define M(id, name, ...) VHOST_USER_##name = (id),
	IOL_WIRE_MESSAGES(M)
#undef M
};

enum iol_wire_backend_request {
#define M(id, name, ...) VHOST_USER_BACKEND_##name = (id),
	IOL_WIRE_BACKEND_MESSAGES(M)
#undef M
};

enum iol_wire_payload {
#define P(name, min, max) IOL_PAYLOAD_##name,
	IOL_WIRE_PAYLOADS(P)
#undef P
};

enum iol_wire_fds {
	IOL_FDS_NONE,
	IOL_FDS_ONE,
	IOL_FDS_STRAY,
	IOL_FDS_VRING,
	IOL_FDS_REGIONS,
};

/* Replies that are a payload have its number in enum iol_wire_payload. */
enum iol_wire_reply {
	IOL_REPLY_ACK = -1,
	IOL_REPLY_STATUS = -2,
#define P(name, min, max) IOL_REPLY_##name = IOL_PAYLOAD_##name,
	IOL_WIRE_PAYLOADS(P)
#undef P
};

enum iol_wire_need {
	IOL_NEED_FEATURES = 1 << 0,     /* after SET_FEATURES */
	IOL_NEED_IOMMU = 1 << 1,        /* ACCESS_PLATFORM was negotiated */
	IOL_NEED_RING = 1 << 2,         /* the payload names a queue that there is */
	IOL_NEED_STOPPED_RING = 1 << 3, /* and it does not run */
	IOL_NEED_SUSPENDED = 1 << 4,    /* no queue runs */
};

#define VHOST_USER_PROTOCOL_F_ANY (-1)

/** struct iol_wire_row - A row of the table, for those who look it up at run time. */
struct iol_wire_row {
	const char *name; /* NULL where there is no such message */
	enum iol_wire_payload payload;
	enum iol_wire_fds fds;
	int feature; /* bit, or VHOST_USER_PROTOCOL_F_ANY */
	enum iol_wire_reply reply;
	unsigned int needs;
};

/** iol_wire_row() - The row of a front-end message, or NULL. */
const struct iol_wire_row *iol_wire_row(uint32_t request);

/** iol_wire_name() - Its name for the log; "message 99" (thread-local) for an unknown one. */
const char *iol_wire_name(uint32_t request);

/** iol_wire_payload_min(), iol_wire_payload_max() - Bytes. */
uint32_t iol_wire_payload_min(enum iol_wire_payload payload);
uint32_t iol_wire_payload_max(enum iol_wire_payload payload);

/** struct iol_msg - One message, either way, with the descriptors that came with it. */
struct iol_msg {
	struct vhost_user_header hdr;
	union vhost_user_payload payload;
	int fds[IOL_WIRE_FDS_MAX];
	unsigned int nfds;
};

/** iol_msg_close() - Close the descriptors that nobody took. */
void iol_msg_close(struct iol_msg *msg);

/** iol_msg_take_fd() - The first descriptor, now the caller's; -1 when there is none. */
int iol_msg_take_fd(struct iol_msg *msg);

/**
 * iol_wire_check() - Check a front-end message against its row: that there is one, its size, what
 * the payload says about the size, its descriptors, flags.
 *
 * Return: 0 or -EPROTO with a sentence that names the message.
 */
int iol_wire_check(const struct iol_msg *msg);

/** struct iol_wire_rx - A message that is being received. Zeroed at first. */
struct iol_wire_rx {
	struct iol_msg msg;
	size_t have;       /* bytes, of header and payload */
	uint64_t deadline; /* iol_now() by which the rest must come; 0 between messages */
};

/* How long the rest of a message, or room for one in the socket, is waited for. */
#define IOL_WIRE_PATIENCE_MS 5000

/**
 * iol_wire_recv() - Read what has come, without waiting.
 *
 * Return: 1 when rx->msg is whole: take it, close what is left of it with iol_msg_close(), and
 * call again with the rest of @rx zeroed by iol_wire_next(); 0 when more must come (poll the socket,
 * until rx->deadline if that is not 0); -ECONNRESET when the peer has gone between messages;
 * -EPROTO (sentence set) for a header or descriptors that can't be, or a peer gone in the
 * middle; -ETIMEDOUT past the deadline. After an error every descriptor is closed.
 */
int iol_wire_recv(int sock, struct iol_wire_rx *rx);

/** iol_wire_next() - Done with rx->msg: close its descriptors, and be ready for the next. */
void iol_wire_next(struct iol_wire_rx *rx);

/**
 * iol_wire_wait() - Receive one message, waiting up to @timeout_ms for it (-1: for ever).
 * @rx: as for iol_wire_recv().
 * Return: 0, or as iol_wire_recv().
 */
int iol_wire_wait(int sock, struct iol_wire_rx *rx, int timeout_ms);

/**
 * iol_wire_attach() - Let descriptors go with what sendmsg() is to send; they stay the caller's.
 * @mh: its msg_control has room for them, aligned as struct cmsghdr, and is cleared when @nfds is 0.
 */
void iol_wire_attach(struct msghdr *mh, const int *fds, unsigned int nfds);

/**
 * iol_wire_send() - Send a message whole, waiting up to @timeout_ms for room; descriptors stay the
 * caller's. With 0 nothing is waited for, unless part of the message is on its way already.
 * @flags: all but the version.
 *
 * Return: 0, -EAGAIN when nothing was sent for want of room, or another negative errno, after
 * which the connection is of no more use.
 */
int iol_wire_send(int sock, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
		  const int *fds, unsigned int nfds, int timeout_ms);

#endif
