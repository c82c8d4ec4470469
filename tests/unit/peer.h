/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A raw scripted front end, and a session whose device runs its queues in the same thread: one step
 * of the session a message, so that a test sees exactly what each does.
 */
#ifndef TESTS_UNIT_PEER_H
#define TESTS_UNIT_PEER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vhost-user/driver.h"
#include "vhost-user/session.h"

#define QUEUES   4u
#define SIZE     16u
#define MEM_SIZE 0x100000ull
#define GPA      0x40000000ull
#define UADDR    0x7f1200000000ull
#define CONFIG   60

#define ALL_PROTOCOL 0x1b63full /* every bit that is offered */
#define V1           IOL_BIT(VIRTIO_F_VERSION_1)
#define PROTO        IOL_BIT(VHOST_USER_F_PROTOCOL_FEATURES)

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
	uint64_t replay[QUEUES]; /* the last that queue_replay said; 0 for never */
	bool forgot_early;       /* queue_replay said none of a queue while another ran */
	bool runs[QUEUES];
	int start_rc, queue_start_rc;
	uint8_t config[CONFIG];
	uint64_t mtu;
	uint8_t mac[6];
	unsigned int announced;
};

extern const struct iol_device_ops peer_ops;

/* For cmocka: *state is the peer. Teardown also checks that every start had its stop, and that no
 * descriptor is left. */
int peer_setup(void **state);
int peer_teardown(void **state);

/* The front end has gone, and another connects. */
void peer_again(struct peer *p);

/* Send one message and let the session handle it; what its step returned. */
int peer_post(struct peer *p, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
	      const int *fds, unsigned int nfds);

/* What came back: 1 and the message, or 0. */
int peer_answer(struct peer *p, struct iol_wire_rx *rx);

/* Send a message that asks for a status, and return that. @fd: one to send, or -1. */
uint64_t peer_ask(struct peer *p, uint32_t request, const void *payload, uint32_t size, int fd);
uint64_t peer_ask_u64(struct peer *p, uint32_t request, uint64_t value);
uint64_t peer_ask_state(struct peer *p, uint32_t request, uint32_t index, uint32_t num);
uint64_t peer_get(struct peer *p, uint32_t request);

/* All protocol features, SET_OWNER, and these features. */
void peer_negotiate(struct peer *p, uint64_t features);

/* SET_MEM_TABLE of one region, MEM_SIZE at GPA. */
void peer_share_memory(struct peer *p);

/* Each queue has 64 KiB of memory: descriptors, avail at 0x1000, used at 0x2000. */
struct vhost_vring_addr peer_ring_addr(unsigned int index);
void peer_describe_ring(struct peer *p, unsigned int index);

/* Send an eventfd with SET_VRING_KICK, CALL or ERR; the status. */
uint64_t peer_set_fd(struct peer *p, uint32_t request, unsigned int index);
void peer_start_ring(struct peer *p, unsigned int index);
uint32_t peer_get_base(struct peer *p, unsigned int index);

/* Set up the back end's channel; ->back is the front end's side of it. */
void peer_give_channel(struct peer *p);
struct iol_ring *peer_ring(struct peer *p, unsigned int index);
struct iol_driver_ring *peer_driver(struct peer *p, unsigned int index);

#endif
