/* SPDX-License-Identifier: BSD-3-Clause */
/* What network interfaces are in use for. A function is in use by whatever stands on an interface of it. */
#include "vfio/uses.h"

#include "base/own.h"
#include "vfio/grow.h"
#include "vfio/host.h"
#include "vfio/pci.h"
#include "vfio/ssh.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>

/* Base class (PCI Code and ID Assignment) */
#define CLASS_NETWORK 0x02

/* How many interfaces may stand on one; more than that tells nothing new. */
#define ABOVE_MAX 64

/* An interface of a function. */
struct port {
	char name[IFNAMSIZ];
	struct iol_pci_addr addr;
};

/* @lower is part of @upper, or carries it. */
struct link {
	char upper[IFNAMSIZ], lower[IFNAMSIZ];
};

struct route {
	char name[IFNAMSIZ], gateway[INET6_ADDRSTRLEN];
};

struct address {
	char name[IFNAMSIZ];
	struct ip ip;
};

/* A connected network, to tell by which interface an address is. */
struct subnet {
	char name[IFNAMSIZ];
	uint32_t net, mask;
};

struct net {
	const struct iol_host *host;
	struct port *ports;
	struct link *links;
	struct route *routes;
	struct address *addrs;
	struct ssh_list ssh;
	struct subnet *subnets;
	size_t port_count, link_count, route_count, addr_count, subnet_count;
	size_t port_room, link_room, route_room, addr_room, subnet_room;
	bool no_memory;
};

/* Loopback and link-local addresses are there by themselves. */
static bool ip_matters(const struct ip *ip)
{
	static const uint8_t loopback[16] = { [15] = 1 };

	if (ip->family == AF_INET)
		return ip->bytes[0] != 127;
	return memcmp(ip->bytes, loopback, 16) != 0 &&
	       !(ip->bytes[0] == 0xfe && (ip->bytes[1] & 0xc0) == 0x80);
}

/* ---- reading ---- */

static void load_lower(struct net *net, const char *upper)
{
	_cleanup_dir_ DIR *dir = iol_host_opendir(net->host, "sys/class/net/%s", upper);
	struct link *link;
	const char *name;

	while (dir && (name = iol_host_next(dir))) {
		if (strncmp(name, "lower_", 6) != 0 || strlen(name + 6) >= IFNAMSIZ)
			continue;
		link = iol_add(net, link);
		if (!link)
			return;
		strcpy(link->upper, upper);
		strcpy(link->lower, name + 6);
	}
}

static void load_interfaces(struct net *net)
{
	_cleanup_dir_ DIR *dir = iol_host_opendir(net->host, "sys/class/net");
	char target[HOST_PATH_MAX], master[IFNAMSIZ];
	struct iol_pci_addr addr;
	const char *name, *rest;
	struct link *link;
	struct port *port;

	while (dir && (name = iol_host_next(dir))) {
		if (strlen(name) >= IFNAMSIZ || iol_host_target(net->host, target, sizeof(target),
								"sys/class/net/%s", name) < 0)
			continue;
		/* What stands on others is no hardware, and there are few of these. */
		if (!iol_pci_of_path(target, &addr, &rest)) {
			load_lower(net, name);
			continue;
		}
		port = iol_add(net, port);
		if (!port)
			return;
		strcpy(port->name, name);
		port->addr = addr;
		if (iol_host_link(net->host, master, sizeof(master), "sys/class/net/%s/master",
				  name) <= 0)
			continue;
		link = iol_add(net, link);
		if (!link)
			return;
		strcpy(link->upper, master);
		strcpy(link->lower, name);
	}
}

static void load_routes(struct net *net)
{
	_cleanup_free_ char *text = iol_host_text(net->host, "proc/net/route");
	unsigned int dest, gateway, flags, mask;
	char *rest = text, *line, name[IFNAMSIZ];
	struct subnet *subnet;
	struct route *route;

	while (rest && (line = strsep(&rest, "\n"))) {
		if (sscanf(line, "%15s %8x %8x %4x %*s %*s %*s %8x", name, &dest, &gateway, &flags,
			   &mask) != 5 ||
		    !(flags & RTF_UP) || flags & RTF_REJECT)
			continue;
		if (dest || mask) {
			subnet = gateway ? NULL : iol_add(net, subnet);
			if (subnet) {
				strcpy(subnet->name, name);
				subnet->net = dest;
				subnet->mask = mask;
			}
			continue;
		}
		route = iol_add(net, route);
		if (!route)
			return;
		strcpy(route->name, name);
		if (gateway)
			inet_ntop(AF_INET, &gateway, route->gateway, sizeof(route->gateway));
	}
}

static void load_routes6(struct net *net)
{
	static const char zero[] = "00000000000000000000000000000000";
	_cleanup_free_ char *text = iol_host_text(net->host, "proc/net/ipv6_route");
	char *rest = text, *line, dest[33], gateway[33], name[IFNAMSIZ];
	unsigned int len, flags;
	struct route *route;
	struct ip ip;

	while (rest && (line = strsep(&rest, "\n"))) {
		if (sscanf(line, "%32s %2x %*s %*s %32s %*s %*s %*s %8x %15s", dest, &len, gateway,
			   &flags, name) != 5)
			continue;
		/* The kernel's own "unreachable" is a default route of lo. */
		if (len || strcmp(dest, zero) != 0 || flags & RTF_REJECT || !strcmp(name, "lo"))
			continue;
		route = iol_add(net, route);
		if (!route)
			return;
		strcpy(route->name, name);
		if (strcmp(gateway, zero) != 0 && iol_ip_hex(gateway, &ip))
			iol_ip_text(&ip, route->gateway);
	}
}

static void add_address(struct net *net, const char *name, const struct ip *ip)
{
	struct address *address;
	size_t i;

	/* The files tell an address more than once. */
	for (i = 0; i < net->addr_count; i++)
		if (!strcmp(net->addrs[i].name, name) && iol_ip_equal(&net->addrs[i].ip, ip))
			return;
	address = iol_add(net, addr);
	if (!address)
		return;
	snprintf(address->name, sizeof(address->name), "%s", name);
	address->ip = *ip;
}

/* This machine's. */
static void load_live_addresses(struct net *net)
{
	struct ifaddrs *all, *at;
	struct ip ip;

	if (getifaddrs(&all))
		return;
	for (at = all; at; at = at->ifa_next) {
		if (!at->ifa_addr)
			continue;
		ip = (struct ip){ .family = at->ifa_addr->sa_family };
		if (ip.family == AF_INET)
			memcpy(ip.bytes, &((struct sockaddr_in *)(void *)at->ifa_addr)->sin_addr,
			       4);
		else if (ip.family == AF_INET6)
			memcpy(ip.bytes, &((struct sockaddr_in6 *)(void *)at->ifa_addr)->sin6_addr,
			       16);
		else
			continue;
		add_address(net, at->ifa_name, &ip);
	}
	freeifaddrs(all);
}

/* Of a copy: IPv4 is not told by interface, so an address belongs to the interface whose network it is of. */
static void load_copied_addresses(struct net *net)
{
	_cleanup_free_ char *text = iol_host_text(net->host, "proc/net/fib_trie");
	_cleanup_free_ char *text6 = iol_host_text(net->host, "proc/net/if_inet6");
	char *rest = text, *line, leaf[INET_ADDRSTRLEN] = "", hex[33], name[IFNAMSIZ];
	struct ip ip;
	uint32_t raw;
	size_t i;

	while (rest && (line = strsep(&rest, "\n"))) {
		if (sscanf(line, " |-- %15s", leaf) == 1 || !strstr(line, "/32 host LOCAL") ||
		    !iol_ip_read(leaf, &ip) || ip.family != AF_INET)
			continue;
		memcpy(&raw, ip.bytes, sizeof(raw));
		for (i = 0; i < net->subnet_count; i++)
			if ((raw & net->subnets[i].mask) == net->subnets[i].net)
				add_address(net, net->subnets[i].name, &ip);
	}
	rest = text6;
	while (rest && (line = strsep(&rest, "\n"))) {
		if (sscanf(line, "%32s %*s %*s %*s %*s %15s", hex, name) == 2 &&
		    iol_ip_hex(hex, &ip))
			add_address(net, name, &ip);
	}
}

/* ---- telling ---- */

/* A port, what stands on it, what stands on that … Return: how many. */
static size_t find_above(const struct net *net, const char *name, const char *above[ABOVE_MAX])
{
	size_t count = 1, at, i, k;

	above[0] = name;
	for (at = 0; at < count; at++)
		for (i = 0; i < net->link_count && count < ABOVE_MAX; i++) {
			if (strcmp(net->links[i].lower, above[at]) != 0)
				continue;
			for (k = 0; k < count; k++)
				if (!strcmp(above[k], net->links[i].upper))
					break;
			if (k == count)
				above[count++] = net->links[i].upper;
		}
	return count;
}

static bool is_up(const struct net *net, const char *name)
{
	uint64_t flags;

	return !iol_host_read_u64(net->host, &flags, "sys/class/net/%s/flags", name) &&
	       flags & IFF_UP;
}

static void tell_sessions(const struct net *net, const struct port *port, const char *name,
			  const char *through, const struct ip *ip, struct use_list *uses)
{
	char local[INET6_ADDRSTRLEN], peer[INET6_ADDRSTRLEN];
	size_t i;

	for (i = 0; i < net->ssh.session_count; i++)
		if (iol_ip_equal(&net->ssh.sessions[i].local, ip))
			iol_use_add(uses, &port->addr, IOL_USE_SSH, true,
				    "an SSH session from %s comes in by %s%s (%s)",
				    iol_ip_text(&net->ssh.sessions[i].peer, peer), name, through,
				    iol_ip_text(ip, local));
}

/* @name is the port itself or stands on it. */
static void tell(const struct net *net, const struct port *port, const char *name,
		 struct use_list *uses)
{
	char through[IFNAMSIZ + 32] = "", text[INET6_ADDRSTRLEN];
	int up = -1;
	size_t i;

	if (name != port->name)
		snprintf(through, sizeof(through), ", which stands on %s,", port->name);
	for (i = 0; i < net->route_count; i++)
		if (!strcmp(net->routes[i].name, name))
			iol_use_add(uses, &port->addr, IOL_USE_ROUTE, true,
				    "%s%s carries the default route%s%s%s", name, through,
				    net->routes[i].gateway[0] ? " (via " : "",
				    net->routes[i].gateway, net->routes[i].gateway[0] ? ")" : "");
	for (i = 0; i < net->addr_count; i++) {
		const struct address *address = &net->addrs[i];

		if (strcmp(address->name, name) != 0)
			continue;
		tell_sessions(net, port, name, through, &address->ip, uses);
		if (!ip_matters(&address->ip))
			continue;
		if (up < 0)
			up = is_up(net, name);
		if (up)
			iol_use_add(uses, &port->addr, IOL_USE_ADDRESS, false,
				    "%s%s is up and has the address %s", name, through,
				    iol_ip_text(&address->ip, text));
	}
}

static void tell_port(const struct net *net, const struct port *port, struct use_list *uses)
{
	const char *above[ABOVE_MAX];
	size_t count = find_above(net, port->name, above), i;

	for (i = 0; i < count; i++)
		tell(net, port, above[i], uses);
	for (i = 1; i < count; i++)
		iol_use_add(uses, &port->addr, IOL_USE_MASTER, true, "%s stands on %s", above[i],
			    port->name);
}

/* Interfaces of other network namespaces are not shown, but counted: they are folders. */
static void tell_hidden(const struct iol_host *host, const struct iol_pci_addr *addr,
			const char *folder, struct use_list *uses)
{
	_cleanup_dir_ DIR *dir = iol_host_opendir(host, "%s/net", folder);
	unsigned int shown = 0;
	struct stat st;

	if (!dir || fstat(dirfd(dir), &st) < 0)
		return;
	while (iol_host_next(dir))
		shown++;
	/* File systems of a copy may count otherwise. */
	if (!shown || (host->live && st.st_nlink > shown + 2))
		iol_use_add(
			uses, addr, IOL_USE_NETNS, true,
			"an interface of it is in another network namespace, as containers have");
}

static void tell_namespaces(const struct iol_host *host, const struct iol_pci_info *pci,
			    struct use_list *uses)
{
	char name[IOL_PCI_ADDR_MAX], folder[HOST_PATH_MAX];
	_cleanup_dir_ DIR *dir = NULL;
	const char *entry;

	if (pci->class >> 16 != CLASS_NETWORK || !pci->driver[0] || iol_is_vfio(pci->driver))
		return;
	snprintf(folder, sizeof(folder), "sys/bus/pci/devices/%s",
		 iol_pci_addr_format(&pci->addr, name));
	tell_hidden(host, &pci->addr, folder, uses);
	dir = strcmp(pci->driver, "virtio-pci") ? NULL : iol_host_opendir(host, "%s", folder);
	while (dir && (entry = iol_host_next(dir))) {
		if (strncmp(entry, "virtio", 6) != 0)
			continue;
		snprintf(folder, sizeof(folder), "sys/bus/pci/devices/%s/%.64s", name, entry);
		tell_hidden(host, &pci->addr, folder, uses);
	}
}

void iol_uses_net(const struct iol_host *host, const struct iol_pci_info *list, int count,
		  struct use_list *uses)
{
	struct net net = { .host = host };
	size_t i;
	int k;

	load_interfaces(&net);
	if (net.port_count) {
		load_routes(&net);
		load_routes6(&net);
		if (host->live)
			load_live_addresses(&net);
		else
			load_copied_addresses(&net);
		iol_ssh_load(host, &net.ssh);
	}
	for (k = 0; k < count; k++)
		tell_namespaces(host, &list[k], uses);
	for (i = 0; i < net.port_count; i++)
		tell_port(&net, &net.ports[i], uses);
	uses->no_memory |= net.no_memory || net.ssh.no_memory;
	free(net.ports);
	free(net.links);
	free(net.routes);
	free(net.addrs);
	free(net.ssh.sessions);
	free(net.subnets);
}
