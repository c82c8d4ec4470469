/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Networks: a switch with DPDK poll threads (struct iol_net), and its ports (struct iol_net_port): guests'
 * virtio NICs, served over vhost-user, and uplinks, which are DPDK ethdevs. A program starts
 * EAL, makes a net, then ports, and serves each guest port's device with iol_server_new().
 *
 * Directions are the switch's: "in" is from a port into the switch, "out" from the switch to a port.
 *
 * Threads: all functions may be called from any thread; those that change a net take its
 * lock and wait until no poll thread uses what they take away, which is as long as one turn of its loop. A port is made
 * or ended after the other; an uplink takes as long as its driver, for which no guest waits.
 *
 * Specification: virtio 1.3, 5.1 (Network Device).
 */
#ifndef IOLANE_NET_H
#define IOLANE_NET_H

#include <iolane/vhost_user.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IOL_NET_PAIRS_MAX   64
#define IOL_NET_PORTS_MAX   1024
#define IOL_NET_THREADS_MAX 64
#define IOL_NET_VLAN_MAX    4094
#define IOL_NET_MTU_MIN     68
#define IOL_NET_MTU_MAX     65535

struct iol_net;
struct iol_net_port;

/* ---- EAL ---- */

/**
 * struct iol_net_eal_spec - How to start DPDK's environment.
 * @cpus: the CPUs of the poll threads, one thread each, such as "2-4,7"; NULL for one thread
 *        that may run on any CPU of the process.
 * @args: more EAL options, passed on as they are. No PCI device is touched that is not named there or
 *        as an uplink.
 */
struct iol_net_eal_spec {
	const char *cpus;
	char *const *args;
	unsigned int num_args;
};

/**
 * iol_net_eal_start() - Start EAL, once in a process. Its log goes to ours, at debug level.
 *
 * Huge pages are used where some are free; without them memory is ordinary pages, which is told in the log.
 * Nothing is left behind in the file system, whichever way the process ends.
 *
 * Return: 0, or a negative errno with the sentence set: -EINVAL for CPUs or options that can't be,
 * -EALREADY the second time.
 */
int iol_net_eal_start(const struct iol_net_eal_spec *spec);

/** iol_net_eal_stop() - End EAL; every net must be gone. It can't be started again. */
void iol_net_eal_stop(void);

/* ---- nets ---- */

enum iol_net_mode {
	IOL_NET_SWITCH, /* a learning switch */
	IOL_NET_BRIDGE, /* guests reach the uplinks and not each other */
	IOL_NET_PATCH,  /* the first port and the second, the third and the fourth, … */
};

/**
 * struct iol_net_spec - A switch and its poll threads, one on each worker lcore of EAL.
 * @mode: who may send to whom.
 * @poll_us: how long a thread with nothing to do polls before it sleeps, microseconds; 0 never polls,
 *           IOL_NET_POLL_ALWAYS never sleeps, IOL_NET_POLL_DEFAULT is the measured default.
 * @age_s: after so many seconds without a frame from it an address is forgotten; 0 for 300.
 * @addresses: how many addresses the switch can know; 0 for 8192.
 */
struct iol_net_spec {
	enum iol_net_mode mode;
	unsigned int poll_us;
	unsigned int age_s;
	unsigned int addresses;
};

#define IOL_NET_POLL_DEFAULT (~0u)
#define IOL_NET_POLL_ALWAYS  (~0u - 1)

/** iol_net_new() - Make a net and start its threads. EAL must be started. One a process. */
int iol_net_new(const struct iol_net_spec *spec, struct iol_net **net);

/** iol_net_destroy() - End the threads; every port must be gone. Nulls *@net; NULL is fine. */
void iol_net_destroy(struct iol_net **net);

/** iol_net_hugepages() - Whether packet memory is on huge pages. */
bool iol_net_hugepages(const struct iol_net *net);

/* ---- ports ---- */

/** iol_net_vlan_set(), iol_net_vlan_isset() - Of a set of VLANs, such as a port's @trunk. */
#define IOL_NET_VLAN_WORDS 64
static inline void iol_net_vlan_set(uint64_t *set, unsigned int vlan)
{
	set[vlan / 64] |= 1ull << vlan % 64;
}

static inline bool iol_net_vlan_isset(const uint64_t *set, unsigned int vlan)
{
	return set[vlan / 64] >> vlan % 64 & 1;
}

enum iol_net_spoof {
	IOL_NET_SPOOF_ALLOW, /* a guest may send from any address */
	IOL_NET_SPOOF_MAC,   /* from @mac only */
	IOL_NET_SPOOF_IP,    /* and in ARP and IPv4 from @ip only */
};

/**
 * struct iol_net_port_spec - A port.
 * @name: for the log, statistics and commands; copied, as every string here. Unique in its net.
 * @uplink: NULL for a guest's NIC. Else the devargs of an ethdev: "net_tap0,iface=tap0",
 *          "0000:01:00.0", …; @pairs and @spoof are for guests.
 * @pairs: queue pairs, 1 to IOL_NET_PAIRS_MAX.
 * @mac: the guest's address, given to it where the front end asks; all zeroes for none. Unique in its net.
 * @vlan: the VLAN that untagged frames belong to, 0 to IOL_NET_VLAN_MAX. 0 is a VLAN too, whose frames are
 *        never tagged.
 * @trunk: the VLANs whose tagged frames come in and go out of the port. Where @trunk_all is set: all of them.
 *         An access port has an empty @trunk.
 * @spoof, @ip: what a guest may send from. @ip in host byte order.
 * @storm_pps: broadcast and multicast frames a second that the port may send; 0 for any number.
 * @mtu: bytes of payload of the largest frame; 0 for IOL_NET_MTU_MAX, where the guest is advised to take 1500.
 * @no_offloads: offer no checksum or segmentation offload, in neither direction.
 */
struct iol_net_port_spec {
	const char *name;
	const char *uplink;
	unsigned int pairs;
	uint8_t mac[6];
	uint16_t vlan;
	bool trunk_all;
	uint64_t trunk[IOL_NET_VLAN_WORDS];
	enum iol_net_spoof spoof;
	uint32_t ip;
	unsigned int storm_pps;
	unsigned int mtu;
	bool no_offloads;
};

/**
 * iol_net_port_new() - Make a port. An uplink works from then on, a guest's when its front end has come.
 *
 * Return: 0 and *@port, or a negative errno with the sentence set: -EEXIST for a name or address that another
 * port has, -EINVAL for devargs or a device that can't be used, -ENOSPC past IOL_NET_PORTS_MAX.
 */
int iol_net_port_new(struct iol_net *net, const struct iol_net_port_spec *spec,
		     struct iol_net_port **port);

/** iol_net_port_destroy() - Take a port away; its server must be gone. Nulls *@port; NULL is fine. */
void iol_net_port_destroy(struct iol_net_port **port);

/** iol_net_port_device() - The device to serve; the port keeps it. NULL for an uplink. */
struct iol_device *iol_net_port_device(struct iol_net_port *port);

/**
 * iol_net_port_thread() - The thread that takes what comes in by queue pair @pair, or -1 while that is
 * not running.
 */
int iol_net_port_thread(const struct iol_net_port *port, unsigned int pair);

/** iol_net_port_mtu() - The largest payload at present, which the front end may have lowered. */
unsigned int iol_net_port_mtu(const struct iol_net_port *port);

/** iol_net_port_link() - Whether an uplink has a link, or a guest's driver is there. */
bool iol_net_port_link(const struct iol_net_port *port);

/* ---- statistics ---- */

/* clang-format off */
/*
 * Why a frame was not passed on: NAME, name for people. Those of the first part are counted at the port that it
 * came in by, those of the second at the port that it was to go out of.
 */
#define IOL_NET_DROPS(D)                                                                     \
	D(BAD_HEADER,      "bad_header")     /* the driver's header contradicts the frame */ \
	D(RUNT,            "runt")           /* shorter than an Ethernet header */           \
	D(IN_TOO_BIG,      "in_too_big")     /* longer than the port's MTU */                \
	D(IN_VLAN,         "in_vlan")        /* of a VLAN that the port is not in */         \
	D(SPOOF_MAC,       "spoof_mac")      /* not from the port's address */               \
	D(SPOOF_IP,        "spoof_ip")       /* not from the port's IPv4 address */          \
	D(STORM,           "storm")          /* past the limit of broadcasts */              \
	D(SAME_PORT,       "same_port")      /* for where it came from */                    \
	D(NOWHERE,         "nowhere")        /* no other port may have it */                 \
	D(NO_MEMORY,       "no_memory")      /* no packet buffer was free */                 \
	D(NOT_RUNNING,     "not_running")    /* no driver, or its queues are stopped */      \
	D(NO_BUFFERS,      "no_buffers")     /* the driver gave too few receive buffers */   \
	D(SMALL_BUFFER,    "small_buffer")   /* longer than a receive buffer, not merged */  \
	D(OUT_TOO_BIG,     "out_too_big")    /* longer than the port's MTU */                \
	D(NOT_SEGMENTABLE, "not_segmentable") /* must be cut, and is not what can be */      \
	D(UPLINK_FULL,     "uplink_full")    /* the device took no more */
/* clang-format on */

enum iol_net_drop {
#define D(name, text) IOL_NET_DROP_##name,
	IOL_NET_DROPS(D)
#undef D
		IOL_NET_DROP_REASONS,
};

/** iol_net_drop_name() - "no_buffers", …; NULL past the last. */
const char *iol_net_drop_name(enum iol_net_drop drop);

/**
 * struct iol_net_port_stats - A port since it was made. Bytes are of frames, without the
 * virtio-net header.
 * @in_multicast: broadcasts included.
 * @checksums, @segmented: frames that were completed, and cut, in software on their way to this port.
 * @missed: what an uplink's device itself lost before it came in.
 */
struct iol_net_port_stats {
	uint64_t in_packets, in_bytes, in_multicast;
	uint64_t out_packets, out_bytes;
	uint64_t checksums, segmented, missed;
	uint64_t drops[IOL_NET_DROP_REASONS];
};

void iol_net_port_stats(const struct iol_net_port *port, struct iol_net_port_stats *stats);

/**
 * struct iol_net_thread_stats - One poll thread.
 * @cpu: that it is bound to, or -1. @queues: what it polls at present.
 * @turns: turns of its loop. @useful: turns that found something to do. @sleeps: times it slept.
 */
struct iol_net_thread_stats {
	int cpu;
	unsigned int queues;
	uint64_t turns, useful, sleeps;
};

/** iol_net_thread_stats() - Statistics of thread @index; -ENOENT past the last. */
int iol_net_thread_stats(const struct iol_net *net, unsigned int index,
			 struct iol_net_thread_stats *stats);

/** struct iol_net_address - What the switch knows of an address. */
struct iol_net_address {
	uint8_t mac[6];
	uint16_t vlan;
	uint32_t age_s;
	char port[64];
};

/**
 * iol_net_addresses() - The addresses that were learned, as they come, up to @max.
 * Return: how many there are, which may be more than @max.
 */
unsigned int iol_net_addresses(const struct iol_net *net, struct iol_net_address *list,
			       unsigned int max);

#ifdef __cplusplus
}
#endif
#endif
