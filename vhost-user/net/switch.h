/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The switch as its parts see it: the net, its poll threads, its ports.
 *
 * Who may touch what. Poll threads read the table of ports and their own list of sources under RCU: control
 * (any other thread, under net->lock) puts a new one in place, and before it frees what is not in it any more
 * it waits until each poll thread has come to the end of a turn or sleeps (iol_net_synchronize()). A source, which
 * is a transmit queue of a guest or a receive queue of an uplink, belongs to one poll thread. A guest's receive queue
 * is filled by whichever thread has a frame for it, so it has a lock, and control takes that too.
 *
 * A driver of DPDK's takes as long as it likes to make a device or to end it. So ports are made and ended under
 * net->making, and net->lock, which guests wait for whose queues start, is held for the tables alone.
 */
#ifndef IOL_VHOST_USER_NET_SWITCH_H
#define IOL_VHOST_USER_NET_SWITCH_H

#include <pthread.h>

#include <rte_mempool.h>
#include <rte_rcu_qsbr.h>

#include <iolane/net.h>

#include "base/hist.h"
#include "vhost-user/net/fdb.h"
#include "vhost-user/net/frame.h"

/* Frames taken from a source at once. */
#define NET_BURST 32
/* Receive buffers looked at for one frame: 64 KiB in Linux's smallest need 43. */
#define NET_WINDOW 128
/* Segments of one frame in an uplink's memory; those with more are put in one piece. */
#define NET_SEGS 8
/* Ports that frames of one burst are collected for, before the first are sent on. */
#define NET_GROUPS 8

struct iol_net_port;
struct net_thread;

/**
 * struct net_source - What a poll thread takes frames from.
 * @in: take a burst and pass it on; return whether there was any.
 * @arm: the thread wants to sleep: let @thread's epoll_wait() end when something comes. Return: true when
 *       something is there already.
 * @disarm: it is awake.
 * @blind: nothing can wake the thread for this source, so that it must look again soon; as of @arm.
 * @paused: control is at it; @failed: it has ended by an error; @waiting: for an IOTLB entry.
 * @drops: counted here rather than at the port, as each source has one writer.
 */
struct net_source {
	bool (*in)(struct net_thread *th, struct net_source *s);
	bool (*arm)(struct net_source *s);
	void (*disarm)(struct net_source *s);
	struct iol_net_port *port;
	struct net_thread *thread; /* NULL while it is not polled */
	bool blind, paused, failed, waiting;
	uint64_t last_source; /* the key that was learned last, and when */
	uint32_t last_learned, last_changes;
	uint64_t packets, bytes, multicast;
	uint64_t drops[IOL_NET_DROP_REASONS];
};

/** struct net_sink - Counters of what goes out of a port by one queue. */
struct net_sink {
	uint64_t packets, bytes, checksums, segmented;
	uint64_t drops[IOL_NET_DROP_REASONS];
};

/** struct net_ports - The table of ports; immutable. @list: all of them, in the order of their indices. */
struct net_ports {
	struct iol_net_port *by_index[IOL_NET_PORTS_MAX];
	unsigned int num;
	struct iol_net_port *list[];
};

/** struct net_sources - A thread's sources; immutable. */
struct net_sources {
	unsigned int num;
	struct net_source *source[];
};

/** struct net_group - Frames of a burst that go to one port. */
struct net_group {
	struct iol_net_port *to;
	unsigned int num;
	struct iol_frame *frame[NET_BURST];
};

/**
 * struct net_thread - A poll thread, or the place of control where it sends a frame itself.
 * @now_s: seconds, for ageing; as old as the last look at the clock.
 * @scratch: IOL_FRAME_MAX bytes for a frame that has to be worked on.
 */
struct net_thread {
	struct iol_net *net;
	unsigned int index, lcore;
	int cpu;
	struct net_sources *sources; /* RCU */
	struct net_ports *ports;     /* as of this turn */
	uint32_t now_s;
	uint64_t now;
	struct iol_net_thread_stats stats;
	struct net_group group[NET_GROUPS];
	unsigned int ngroups;
	struct iol_frame frame[NET_BURST];
	uint8_t head[NET_BURST][FRAME_HEAD_MAX] __attribute__((aligned(64)));
	struct iol_chain chains[NET_BURST];  /* of the source */
	struct iol_chain window[NET_WINDOW]; /* of the receive queue */
	struct iovec iov[NET_BURST][NET_SEGS];
	uint8_t *scratch;
	/* The loop's. */
	uint64_t poll_ns, poll_max;
	bool always, looked_again;
	bool ended; /* atomic: it touches nothing any more */
	int epoll_fd, wake_fd;
};

/**
 * struct iol_net - A switch.
 * @making: of who makes a port or ends one; taken first.
 * @control: a place for control to send from, under @lock.
 */
struct iol_net {
	enum iol_net_mode mode;
	unsigned int age_s;
	bool hugepages;
	bool end; /* atomic */
	struct iol_fdb *fdb;
	struct net_ports *ports; /* RCU */
	struct rte_rcu_qsbr *rcu;
	pthread_mutex_t rcu_lock; /* of who waits for the threads; taken last */
	struct rte_mempool *pool; /* for uplinks, made with the first */
	pthread_mutex_t making, lock;
	pthread_t ager;
	bool has_ager;
	pthread_cond_t ager_cond;
	struct net_thread *control;
	unsigned int num_threads;
	struct net_thread *thread[];
};

/**
 * struct iol_net_port - A port.
 * @out: send frames that are for this port. They lie where they lie until it returns.
 * @trunk: its VLANs with tags. @mtu: what may go in and out, at present.
 */
struct iol_net_port {
	struct iol_net *net;
	unsigned int index;
	char *name;
	bool uplink;
	void (*out)(struct net_thread *th, struct iol_net_port *port, struct iol_frame **frames,
		    unsigned int n);
	uint8_t mac[6];
	uint16_t vlan;
	bool trunk_all;
	uint64_t trunk[IOL_NET_VLAN_WORDS];
	enum iol_net_spoof spoof;
	uint64_t mac_key;
	uint32_t ip; /* as in a frame */
	unsigned int storm_pps;
	pthread_spinlock_t
		storm_lock; /* of the two that follow: broadcasts that may still pass, since when */
	uint64_t storm_left, storm_at;
	unsigned int mtu; /* atomic */
};

/** iol_net_port_has_vlan() - Whether frames of a VLAN may go out of the port. */
static inline bool iol_net_port_has_vlan(const struct iol_net_port *p, uint16_t vlan)
{
	return vlan == p->vlan || (vlan && (p->trunk_all || iol_net_vlan_isset(p->trunk, vlan)));
}

/* ---- net.c ---- */

/** iol_net_synchronize() - Wait until no poll thread uses what it found before. Not from one of them. */
void iol_net_synchronize(struct iol_net *net);

/** iol_net_add_port(), iol_net_remove_port() - Make a port known, or unknown. Under net->making. */
int iol_net_add_port(struct iol_net *net, struct iol_net_port *port);
void iol_net_remove_port(struct iol_net *net, struct iol_net_port *port);

/** iol_net_poll() - Give a source to the thread with the fewest. @fd: what to wait for; -1 for none. */
int iol_net_poll(struct iol_net *net, struct net_source *s, int fd);

/** iol_net_unpoll() - Take it away again; when this returns no thread uses it. */
void iol_net_unpoll(struct net_source *s, int fd);

/* ---- thread.c ---- */

/** iol_net_thread_new() - A thread's place, not running. */
int iol_net_thread_new(struct iol_net *net, unsigned int index, struct net_thread **th);
void iol_net_thread_free(struct net_thread **th);

/** iol_net_thread_main() - The loop; returns when net->end is set. */
int iol_net_thread_main(void *arg);

/** iol_net_thread_wake() - Have the thread look at everything once. */
void iol_net_thread_wake(struct net_thread *th);

/* ---- switch.c ---- */

/**
 * iol_switch() - Pass frames on that came in by @s: drop, learn, look up, send.
 * @frames: their heads lie in @th->head, and may be changed.
 */
void iol_switch(struct net_thread *th, struct net_source *s, struct iol_frame *frames,
		unsigned int n);

/** iol_switch_drop() - Count a frame that came in by @s and goes nowhere. */
static inline void iol_switch_drop(struct net_source *s, enum iol_net_drop why)
{
	IOL_STAT_ADD(s->drops[why], 1);
}

/* ---- transform.c ---- */

/**
 * iol_transform() - Bring a frame into a form that its receiver takes: complete its checksum, or cut it up.
 * @features: the receiver's.
 * @send: called for each frame that comes of it.
 *
 * Return: false when it can't be done (it is to be dropped).
 */
bool iol_transform(struct net_thread *th, const struct iol_frame *f, uint64_t features,
		   struct net_sink *count, void (*send)(void *ctx, const struct iol_frame *f),
		   void *ctx);

#endif
