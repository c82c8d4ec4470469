/* SPDX-License-Identifier: BSD-3-Clause */
/* iolane-bench net: packets from one port of a vhost-user-net back end to another. */
#ifndef IOL_BENCH_NET_H
#define IOL_BENCH_NET_H

#include "bench.h"

#include "vmm-glue/guest_queue.h"

#include <linux/virtio_net.h>
#include <net/ethernet.h>

struct json_object;

#define NET_SIZE_MIN  64
#define NET_SIZE_MAX  9000
#define NET_BURST_MAX 256

#define NET_COMPARE_MAX BENCH_ENTRANTS_MAX

/**
 * struct net_options - A command line.
 * @size: bytes of a frame, without the checksum that virtio doesn't carry; 0 for a mix.
 * @rate: packets a second, 0 for as many as go.
 * @search: find the highest rate at which no more than @max_loss, a part of 1, is lost.
 */
struct net_options {
	const char *tx, *rx;
	const char *compare[NET_COMPARE_MAX];
	unsigned int n_compare, rounds;
	uint32_t size;
	unsigned int burst;
	double rate, runtime, ramp, max_loss;
	bool search, packed, mrg, no_event_idx, json, histogram, help, have_cpu, have_backend_cpus;
	int cpu;
	cpu_set_t backend_cpus;
	pid_t backend_pid;
};

int net_options_parse(int argc, char **argv, struct net_options *o);
struct json_object *net_options_json(const struct net_options *o);

/** struct net_buf - Room for a header and a frame, or for a part of one, in guest memory. */
struct net_buf {
	uint8_t *host;
	uint64_t gpa;
};

/**
 * struct net_port - A guest's NIC: front end, memory, and a pair of queues.
 * @room: bytes of a receive buffer. @free: transmit buffers that the device does not have; @stamped: which
 *        of all have a time in them.
 */
struct net_port {
	struct iol_frontend *fe;
	struct iol_guest_memory *mem;
	struct iol_guest_queue *rxq, *txq;
	struct net_buf *rx, *tx;
	uint8_t mac[ETH_ALEN];
	uint32_t room;
	unsigned int ring;
	unsigned int *free, n_free;
	bool *stamped;
};

/**
 * net_port_open() - Connect to a port, negotiate, and start its queues with the receive queue full.
 * @fd: a connected socket, taken over; -1 to connect to @path. @number: makes the MAC address.
 */
int net_port_open(const struct net_options *o, const char *path, int fd, unsigned int number,
		  struct net_port **port);
void net_port_close(struct net_port **port);

/** net_run() - Send from @tx, receive at @rx, and count. */
int net_run(const struct net_options *o, struct net_port *tx, struct net_port *rx, pid_t pid,
	    struct bench_result *r);

/** net_search() - net_run() at the highest rate that loses no more than it may. */
int net_search(const struct net_options *o, struct net_port *tx, struct net_port *rx, pid_t pid,
	       struct bench_result *best);

#endif
