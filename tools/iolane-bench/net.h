/* SPDX-License-Identifier: BSD-3-Clause */
/* iolane-bench net: packets from one port of a vhost-user-net back end to another. */
#ifndef IOL_BENCH_NET_H
#define IOL_BENCH_NET_H

#include "bench.h"

#include "vmm-glue/guest_queue.h"

#include <linux/if_ether.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>

struct json_object;

#define NET_SIZE_MIN  64
#define NET_SIZE_MAX  9000
#define NET_BURST_MAX 256
#define NET_RING_MIN  32
#define NET_RING_MAX  1024

#define NET_PAIRS_MAX 64
/* The longest frame, without a tag, that an uplink of the usual MTU takes and gives. */
#define NET_NULL_SIZE_MAX ETH_FRAME_LEN

#define NET_COMPARE_MAX BENCH_ENTRANTS_MAX

/**
 * struct net_options - A command line.
 * @to_null, @from_null: back ends that are started have one port, and a null uplink is the other.
 * @load_only: no back end: what the load itself can do.
 * @queues: queue pairs of each port.
 * @ring: descriptors of a ring, a power of two.
 * @size: bytes of a frame, without the checksum that virtio doesn't carry; 0 for a mix.
 * @rate: packets a second, 0 for as many as go.
 * @wait: seconds in which a first packet moves, or none does.
 * @search: find the highest rate at which no more than @max_loss, a part of 1, is lost.
 */
struct net_options {
	const char *tx, *rx, *against;
	const char *compare[NET_COMPARE_MAX];
	unsigned int n_compare, rounds, queues, ring;
	uint32_t size;
	unsigned int burst;
	double rate, runtime, ramp, wait, max_loss;
	bool to_null, from_null, load_only;
	bool search, packed, mrg, no_event_idx, json, histogram, help, have_cpu, have_backend_cpus;
	int cpu;
	cpu_set_t backend_cpus;
	pid_t backend_pid;
};

int net_options_parse(int argc, char **argv, struct net_options *o);
/** net_sends(), net_receives() - Whether the load does. */
bool net_sends(const struct net_options *o);
bool net_receives(const struct net_options *o);
struct json_object *net_options_json(const struct net_options *o);

/** struct net_buf - Room for a header and a frame, or for a part of one, in guest memory. */
struct net_buf {
	uint8_t *host;
	uint64_t gpa;
};

/**
 * struct net_pair - A pair of queues and their buffers.
 * @free: transmit buffers that neither the device nor its used ring has.
 * @merged: of the frame being received: buffers still to come. @merged_len: bytes so far.
 * @merged_at: when it was sent.
 */
struct net_pair {
	struct iol_guest_queue *rxq, *txq;
	struct net_buf *rx, *tx;
	unsigned int *free, n_free;
	unsigned int merged;
	uint32_t merged_len;
	uint64_t merged_at;
};

/**
 * struct net_port - A guest's NIC: front end, memory, and pairs of queues.
 * @fe: NULL for one that is in no back end. @room: bytes of a receive buffer.
 * @ring: receive buffers of a queue, and its size. @n_tx: transmit buffers of a queue.
 */
struct net_port {
	struct iol_frontend *fe;
	struct iol_guest_memory *mem;
	struct net_pair *pair;
	unsigned int n_pairs;
	uint64_t features;
	uint8_t mac[ETH_ALEN];
	uint32_t room;
	unsigned int ring, n_tx;
};

/**
 * net_port_open() - Connect to a port, negotiate, and start its queues with the receive queues full.
 * @fd: a connected socket, taken over; -1 to connect to @path. With neither, the port's rings are
 *      for net_mirror_start(). @number: makes the MAC address.
 */
int net_port_open(const struct net_options *o, const char *path, int fd, unsigned int number,
		  struct net_port **port);
void net_port_close(struct net_port **port);

/* ---- net_frame.c ---- */

/* Frames of the mix, which buffers hold in turns. */
#define NET_MIX 12
/* At full rate one frame in so many carries the time: for each that does, a line must be fetched. */
#define NET_STAMPED 31

/** net_frame_size() - Of the frame in transmit buffer @index. */
uint32_t net_frame_size(const struct net_options *o, unsigned int index);
/** net_frame_make() - A header and a frame into @buf. */
void net_frame_make(const uint8_t *from, const uint8_t *to, const struct net_buf *buf);
/** net_frame_stamp() - Note when it is sent. */
void net_frame_stamp(const struct net_buf *buf, uint64_t now);
/** net_frame_look() - Whether it is one of ours. @sent_at: when it was sent, or 0. */
bool net_frame_look(const struct net_buf *buf, uint64_t *sent_at);
/** net_frame_len_min() - Bytes that the smallest, with its header, takes. */
uint32_t net_frame_len_min(void);

/* ---- net_mirror.c ---- */

struct net_mirror;

/**
 * net_mirror_start() - Be the back end of two ports that have none, on a thread of @cpus: gives every
 * transmit buffer back, and a receive buffer with it, and neither reads nor copies a frame. The cheapest
 * that a back end can be, so that what comes out is the load's own rate.
 */
int net_mirror_start(const struct net_options *o, struct net_port *tx, struct net_port *rx,
		     struct net_mirror **mirror);
void net_mirror_stop(struct net_mirror **mirror);

/* ---- net_against.c ---- */

/** net_against() - The two entrants of --against. */
int net_against(const struct net_options *o, struct bench_comparison *c);

/** net_run() - Send from @tx, receive at @rx, and count; one of them may be NULL. */
int net_run(const struct net_options *o, struct net_port *tx, struct net_port *rx, pid_t pid,
	    struct bench_result *r);

/** net_search() - net_run() at the highest rate that loses no more than it may. */
int net_search(const struct net_options *o, struct net_port *tx, struct net_port *rx, pid_t pid,
	       struct bench_result *best);

#endif
