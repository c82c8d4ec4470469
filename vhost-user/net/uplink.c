/* SPDX-License-Identifier: BSD-3-Clause */
/* Uplinks come and go: probing a device by its devargs, setting it up, taking it down. */
#include "vhost-user/net/uplink.h"

#include "base/error.h"
#include "base/own.h"
#include "vhost-user/net/eal.h"
#include "vhost-user/net/offload.h"
#include "vhost-user/net/port.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_devargs.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_pci.h>

#define BIT(n) (1ull << (n))

/* Full rings of several uplinks, and what threads keep for themselves. */
#define POOL_MBUFS 16383
#define POOL_CACHE 256
#define RING       1024

/* ---- finding the device ---- */

/* Whether DPDK can have a device that this kernel driver has. NVIDIA's it shares with them. */
static bool is_for_us(const char *driver)
{
	static const char *const good[] = { "vfio-pci", "uio_pci_generic", "igb_uio", "mlx4_core",
					    "mlx5_core" };
	unsigned int i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!strcmp(driver, good[i]))
			return true;
	return false;
}

/* For a PCI address: what is wrong with its driver, if anything. */
static int explain_pci(const char *devargs)
{
	char name[PCI_PRI_STR_SIZE + 1], path[128], target[256], *driver;
	struct rte_pci_addr addr;
	ssize_t n;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(devargs, ","), devargs);
	if (rte_pci_addr_parse(name, &addr) < 0)
		return 0;
	rte_pci_device_name(&addr, name, sizeof(name));
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s", name);
	if (access(path, F_OK) < 0)
		return iol_fail(ENODEV, "there is no PCI device %s here", name);
	strncat(path, "/driver", sizeof(path) - strlen(path) - 1);
	n = readlink(path, target, sizeof(target) - 1);
	target[n < 0 ? 0 : n] = '\0';
	driver = strrchr(target, '/');
	if (n >= 0 && driver && is_for_us(driver + 1))
		return 0;
	return iol_fail(EBUSY,
			"PCI device %s has %s%s: bind it to vfio-pci first (iolane bind %s), so "
			"that this process may have it",
			name, n < 0 ? "no driver" : "the driver ",
			n < 0 || !driver ? "" : driver + 1, name);
}

static int find(const char *devargs, uint16_t *id)
{
	struct rte_dev_iterator it;
	uint16_t found, n = 0;

	RTE_ETH_FOREACH_MATCHING_DEV(found, devargs, &it)
	{
		if (!n++)
			*id = found;
	}
	return n ? 0 : -ENODEV;
}

/* A device that is there and no ethdev goes again. */
static int refuse(const struct net_uplink *u)
{
	struct rte_devargs da = { 0 };

	if (!rte_devargs_parse(&da, u->devargs)) {
		rte_eal_hotplug_remove(rte_bus_name(da.bus), da.name);
		free(da.data);
	}
	return iol_fail(ENODEV, "uplink \"%s\" is no network device", u->devargs);
}

/* The same device can't be had twice, and a name is one device whatever its other arguments are. */
static int check_unused(const struct net_uplink *u, const struct iol_net *net)
{
	unsigned int i;

	for (i = 0; i < net->ports->num; i++) {
		struct iol_net_port *p = net->ports->list[i];

		if (p->uplink && iol_uplink_of(p)->id == u->id)
			return iol_fail(EEXIST,
					"port %s has the device of uplink \"%s\" already: name "
					"another, as in net_tap0, net_tap1",
					p->name, u->devargs);
	}
	return 0;
}

static int probe(struct net_uplink *u, const struct iol_net *net)
{
	char name[RTE_ETH_NAME_MAX_LEN];
	const char *hint = "";
	int rc;

	rc = explain_pci(u->devargs);
	if (rc < 0)
		return rc;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(u->devargs, ","), u->devargs);
	/* By an option of EAL's it may be there already. */
	if (!rte_eth_dev_get_port_by_name(name, &u->id))
		return check_unused(u, net);
	iol_eal_listen();
	rc = rte_dev_probe(u->devargs);
	if (!rc) {
		u->probed = !rte_eth_dev_get_port_by_name(name, &u->id) ||
			    !find(u->devargs, &u->id);
		return u->probed ? 0 : refuse(u);
	}
	if (geteuid() && !strncmp(name, "net_", strlen("net_")))
		hint = "; it may need root, or CAP_NET_ADMIN and CAP_NET_RAW";
	return iol_fail(rc == -ENOENT || rc == -1 ? ENODEV : -rc, "can't use uplink \"%s\": %s%s",
			u->devargs, iol_eal_words("no driver of DPDK's knows it"), hint);
}

/* ---- setting it up ---- */

static int make_pool(struct iol_net *net)
{
	if (net->pool)
		return 0;
	iol_eal_listen();
	net->pool = rte_pktmbuf_pool_create("iolane", POOL_MBUFS, POOL_CACHE, 0,
					    RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (net->pool)
		return 0;
	return iol_fail(ENOMEM, "no memory for %u packets of uplinks in DPDK's %s pages: %s",
			POOL_MBUFS, rte_eal_has_hugepages() ? "huge" : "ordinary",
			iol_eal_words(rte_strerror(rte_errno)));
}

static void choose_offloads(struct net_uplink *u, const struct rte_eth_dev_info *info,
			    const struct iol_net_port_spec *spec, struct rte_eth_conf *conf)
{
	const uint64_t sums = RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	const uint64_t tso = RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM |
			     RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	const uint64_t rx = RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
	uint64_t capa = info->tx_offload_capa;

	conf->rxmode.offloads = info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
	conf->txmode.offloads = capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	/* net_pcap does, and doesn't say so. */
	u->pieces = conf->txmode.offloads || !strcmp(info->driver_name, "net_pcap");
	if (spec->no_offloads)
		return;
	conf->rxmode.offloads |= info->rx_offload_capa & rx;
	if ((capa & sums) != sums)
		return;
	conf->txmode.offloads |= sums;
	u->takes = BIT(VIRTIO_NET_F_GUEST_CSUM);
	/* net_tap cuts in software as we do, but no IPv6, and refuses segments that fill the MTU. */
	if ((capa & tso) != tso || !strcmp(info->driver_name, "net_tap"))
		return;
	conf->txmode.offloads |= tso;
	u->takes |= BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6);
}

/* The largest MTU of a device, as DPDK checks it; drivers tell one of two limits, or both. */
static unsigned int mtu_max(const struct rte_eth_dev_info *info)
{
	uint32_t around = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;

	if (info->max_mtu != UINT16_MAX && info->max_rx_pktlen > info->max_mtu)
		around = info->max_rx_pktlen - info->max_mtu;
	if (info->max_rx_pktlen <= around || info->max_rx_pktlen - around > info->max_mtu)
		return info->max_mtu;
	return info->max_rx_pktlen - around;
}

static int check_mtu(const struct net_uplink *u, const struct iol_net_port_spec *spec)
{
	struct rte_eth_dev_info info;

	if (rte_eth_dev_info_get(u->id, &info) < 0 || spec->mtu <= mtu_max(&info))
		return 0;
	return iol_fail(EINVAL,
			"uplink \"%s\" can't have an MTU of %u: its driver takes at most %u",
			u->devargs, spec->mtu, mtu_max(&info));
}

static int set_mtu(struct net_uplink *u, const struct iol_net_port_spec *spec)
{
	uint16_t mtu;
	int rc = 0;

	if (spec->mtu)
		rc = rte_eth_dev_set_mtu(u->id, (uint16_t)spec->mtu);
	if (rc < 0 && rc != -ENOTSUP)
		return iol_fail(-rc, "uplink \"%s\" can't have an MTU of %u: %s", u->devargs,
				spec->mtu, strerror(-rc));
	rc = rte_eth_dev_get_mtu(u->id, &mtu);
	u->port.mtu = spec->mtu ? spec->mtu : rc < 0 ? 1500u : mtu;
	return 0;
}

static int set_up_queues(struct net_uplink *u, struct rte_mempool *pool)
{
	uint16_t rx = RING, tx = RING, i;
	int socket = rte_eth_dev_socket_id(u->id), rc;

	rc = rte_eth_dev_adjust_nb_rx_tx_desc(u->id, &rx, &tx);
	for (i = 0; rc >= 0 && i < u->queues; i++) {
		rc = rte_eth_rx_queue_setup(u->id, i, rx, (unsigned int)socket, NULL, pool);
		if (rc >= 0)
			rc = rte_eth_tx_queue_setup(u->id, i, tx, (unsigned int)socket, NULL);
	}
	return rc;
}

static int configure(struct net_uplink *u, struct iol_net *net,
		     const struct iol_net_port_spec *spec)
{
	struct rte_eth_conf conf = { .intr_conf = { .rxq = 1 } };
	struct rte_eth_dev_info info;
	int rc;

	rc = rte_eth_dev_info_get(u->id, &info);
	if (rc < 0)
		return rc;
	conf.rxmode.mtu = spec->mtu;
	u->queues = net->num_threads;
	if (u->queues > info.max_rx_queues)
		u->queues = info.max_rx_queues;
	if (u->queues > info.max_tx_queues)
		u->queues = info.max_tx_queues;
	if (!u->queues)
		u->queues = 1;
	if (u->queues > 1 && info.flow_type_rss_offloads) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
		conf.rx_adv_conf.rss_conf.rss_hf =
			info.flow_type_rss_offloads &
			(RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
	}
	u->by_signal = !strcmp(info.driver_name, "net_tap");
	choose_offloads(u, &info, spec, &conf);
	rc = rte_eth_dev_configure(u->id, (uint16_t)u->queues, (uint16_t)u->queues, &conf);
	if (rc < 0) {
		/* Not all drivers have interrupts for what they receive. */
		conf.intr_conf.rxq = 0;
		rc = rte_eth_dev_configure(u->id, (uint16_t)u->queues, (uint16_t)u->queues, &conf);
	}
	u->configured = rc >= 0;
	return rc < 0 ? rc : set_up_queues(u, net->pool);
}

/* ---- the poll threads' side ---- */

/*
 * Whether a frame is there that the driver does not see yet. It has woken us, and nothing will tell when the thread that
 * handles its signal, which may wait for a CPU, has done so.
 */
static bool is_held(const struct net_uplink_in *in)
{
	struct pollfd p = { .fd = in->fd, .events = POLLIN };

	return iol_uplink_of(in->source.port)->by_signal && poll(&p, 1, 0) == 1;
}

static bool arm(struct net_source *s)
{
	const struct net_uplink_in *in = (const struct net_uplink_in *)(const void *)s;
	uint16_t id = iol_uplink_of(s->port)->id;

	if (in->fd < 0)
		return false;
	rte_eth_dev_rx_intr_enable(id, in->queue);
	s->blind = is_held(in);
	return false;
}

static void disarm(struct net_source *s)
{
	const struct net_uplink_in *in = (const struct net_uplink_in *)(const void *)s;

	if (in->fd >= 0)
		rte_eth_dev_rx_intr_disable(iol_uplink_of(s->port)->id, in->queue);
}

/*
 * What tells that a queue has received something, -1 for nothing. A driver of PCI devices may have an interrupt
 * for it, and no way to switch it on (DPDK's igbvf); those of other devices tell without being asked to.
 */
static int wake_fd(const struct net_uplink *u, uint16_t queue)
{
	int fd = rte_eth_dev_rx_intr_ctl_q_get_fd(u->id, queue);
	struct rte_eth_dev_info info;
	const struct rte_bus *bus;

	if (fd < 0 || rte_eth_dev_info_get(u->id, &info) < 0)
		return -1;
	bus = rte_bus_find_by_device(info.device);
	if (!bus || strcmp(rte_bus_name(bus), "pci") != 0)
		return fd;
	return rte_eth_dev_rx_intr_enable(u->id, queue) == -ENOTSUP ? -1 : fd;
}

static int make_places(struct net_uplink *u)
{
	size_t in = u->queues * sizeof(*u->in), out = u->queues * sizeof(*u->out);
	unsigned int i;

	u->in = aligned_alloc(64, in);
	u->out = aligned_alloc(64, out);
	if (!u->in || !u->out)
		return iol_fail(ENOMEM, "no memory for an uplink");
	memset(u->in, 0, in);
	memset(u->out, 0, out);
	for (i = 0; i < u->queues; i++) {
		struct net_source *s = &u->in[i].source;

		s->in = iol_uplink_in;
		s->arm = arm;
		s->disarm = disarm;
		s->port = &u->port;
		u->in[i].queue = (uint16_t)i;
		u->in[i].fd = -1;
		pthread_spin_init(&u->out[i].lock, PTHREAD_PROCESS_PRIVATE);
	}
	return 0;
}

int iol_uplink_new(struct iol_net *net, const struct iol_net_port_spec *spec,
		   struct iol_net_port **out)
{
	struct net_uplink *u = calloc(1, sizeof(*u));
	int rc;

	if (!u)
		return iol_fail(ENOMEM, "no memory for an uplink");
	u->port.out = iol_uplink_out;
	*out = &u->port;
	u->devargs = strdup(spec->uplink);
	rc = u->devargs ? make_pool(net) : iol_fail(ENOMEM, "no memory for an uplink");
	if (!rc)
		rc = probe(u, net);
	if (!rc)
		rc = check_mtu(u, spec);
	if (rc < 0)
		goto fail;
	iol_eal_listen();
	rc = configure(u, net, spec);
	if (rc < 0) {
		rc = iol_fail(-rc, "can't set up uplink \"%s\": %s", u->devargs,
			      iol_eal_words(strerror(-rc)));
		goto fail;
	}
	rc = set_mtu(u, spec);
	if (!rc)
		rc = make_places(u);
	if (!rc)
		return 0;
fail:
	iol_uplink_free(out);
	return rc;
}

int iol_uplink_start(struct iol_net_port *port)
{
	struct net_uplink *u = iol_uplink_of(port);
	unsigned int i;
	int rc;

	iol_eal_listen();
	rc = rte_eth_dev_start(u->id);
	if (rc < 0)
		return iol_fail(-rc, "can't start uplink \"%s\": %s", u->devargs,
				iol_eal_words(strerror(-rc)));
	if (rte_eth_promiscuous_enable(u->id) < 0)
		iol_log(IOL_LOG_WARNING,
			"%s: its device takes frames for its own address only, and not for those "
			"of guests",
			port->name);
	__atomic_store_n(&u->started, true, __ATOMIC_RELEASE);
	for (i = 0; i < u->queues; i++) {
		u->in[i].fd = wake_fd(u, (uint16_t)i);
		rc = iol_net_poll(port->net, &u->in[i].source, u->in[i].fd);
		if (rc < 0) {
			iol_uplink_stop(port);
			return rc;
		}
	}
	return 0;
}

void iol_uplink_stop(struct iol_net_port *port)
{
	struct net_uplink *u = iol_uplink_of(port);
	unsigned int i;

	for (i = 0; i < u->queues; i++)
		if (u->in[i].source.thread)
			iol_net_unpoll(&u->in[i].source, u->in[i].fd);
	for (i = 0; i < u->queues; i++) {
		pthread_spin_lock(&u->out[i].lock);
		__atomic_store_n(&u->started, false, __ATOMIC_RELAXED);
		pthread_spin_unlock(&u->out[i].lock);
	}
	rte_eth_dev_stop(u->id);
}

void iol_uplink_free(struct iol_net_port **port)
{
	struct net_uplink *u = iol_uplink_of(iol_take_ptr(*port));
	struct rte_eth_dev_info info;
	unsigned int i;

	if (u->probed && !rte_eth_dev_info_get(u->id, &info)) {
		if (u->configured)
			rte_eth_dev_close(u->id);
		rte_dev_remove(info.device);
	}
	for (i = 0; u->out && i < u->queues; i++)
		pthread_spin_destroy(&u->out[i].lock);
	free(u->in);
	free(u->out);
	free(u->devargs);
	free(u);
}

void iol_uplink_add_stats(const struct iol_net_port *port, struct iol_net_port_stats *stats)
{
	const struct net_uplink *u = iol_uplink_of(port);
	struct rte_eth_stats eth;
	unsigned int i;

	for (i = 0; i < u->queues; i++) {
		iol_net_add_source(&u->in[i].source, stats);
		iol_net_add_sink(&u->out[i].count, stats);
	}
	if (!rte_eth_stats_get(u->id, &eth))
		stats->missed += eth.imissed + eth.rx_nombuf;
}

bool iol_uplink_link(const struct iol_net_port *port)
{
	struct rte_eth_link link;

	return !rte_eth_link_get_nowait(iol_uplink_of(port)->id, &link) &&
	       link.link_status == RTE_ETH_LINK_UP;
}

int iol_uplink_thread(const struct iol_net_port *port)
{
	const struct net_thread *th =
		__atomic_load_n(&iol_uplink_of(port)->in[0].source.thread, __ATOMIC_RELAXED);

	return th ? (int)th->index : -1;
}
