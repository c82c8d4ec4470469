/* SPDX-License-Identifier: BSD-3-Clause */
/* What network interfaces are in use for. A function is in use by whatever stands on an interface of it. */
#include "vfio/uses.h"

#include "base/own.h"
#include "vfio/grow.h"
#include "vfio/host.h"
#include "vfio/pci.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/route.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SSH_PORT 22

/* How many interfaces may stand on one; more than that tells nothing new. */
#define ABOVE_MAX 64

struct ip {
	int family;
	uint8_t bytes[16];
};

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

struct session {
	struct ip local, peer;
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
	struct session *sessions;
	struct subnet *subnets;
	size_t port_count, link_count, route_count, addr_count, session_count, subnet_count;
	size_t port_room, link_room, route_room, addr_room, session_room, subnet_room;
	bool no_memory;
};

/* The new last one of a list of struct net, or NULL. */
#define ADD(n, what)                                                                               \
	({                                                                                         \
		bool room_ = iol_grow(&(n)->what##s, (n)->what##_count, &(n)->what##_room,         \
				      sizeof(*(n)->what##s));                                      \
		(n)->no_memory |= !room_;                                                          \
		room_ ? memset(&(n)->what##s[(n)->what##_count++], 0, sizeof(*(n)->what##s))       \
		      : NULL;                                                                      \
	})

static bool ip_equal(const struct ip *a, const struct ip *b)
{
	return a->family == b->family && !memcmp(a->bytes, b->bytes, a->family == AF_INET ? 4 : 16);
}

static const char *ip_text(const struct ip *ip, char text[INET6_ADDRSTRLEN])
{
	return inet_ntop(ip->family, ip->bytes, text, INET6_ADDRSTRLEN) ? text : "?";
}

/* An address of IPv4 may come in IPv6's clothes. */
static struct ip ip_plain(struct ip ip)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (ip.family == AF_INET6 && !memcmp(ip.bytes, mapped, sizeof(mapped))) {
		ip.family = AF_INET;
		memmove(ip.bytes, ip.bytes + 12, 4);
		memset(ip.bytes + 4, 0, 12);
	}
	return ip;
}

static bool ip_read(const char *text, struct ip *ip)
{
	char plain[INET6_ADDRSTRLEN];

	/* A link-local address may have its interface behind it. */
	snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(text, "%"), text);
	*ip = (struct ip){ strchr(plain, ':') ? AF_INET6 : AF_INET, { 0 } };
	if (inet_pton(ip->family, plain, ip->bytes) != 1)
		return false;
	*ip = ip_plain(*ip);
	return true;
}

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
		link = ADD(net, link);
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
		port = ADD(net, port);
		if (!port)
			return;
		strcpy(port->name, name);
		port->addr = addr;
		if (iol_host_link(net->host, master, sizeof(master), "sys/class/net/%s/master",
				  name) <= 0)
			continue;
		link = ADD(net, link);
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
			subnet = gateway ? NULL : ADD(net, subnet);
			if (subnet) {
				strcpy(subnet->name, name);
				subnet->net = dest;
				subnet->mask = mask;
			}
			continue;
		}
		route = ADD(net, route);
		if (!route)
			return;
		strcpy(route->name, name);
		if (gateway)
			inet_ntop(AF_INET, &gateway, route->gateway, sizeof(route->gateway));
	}
}

static bool hex_bytes(const char *text, uint8_t bytes[16])
{
	unsigned int value;
	size_t i;

	if (strlen(text) != 32)
		return false;
	for (i = 0; i < 16; i++) {
		if (sscanf(text + 2 * i, "%2x", &value) != 1)
			return false;
		bytes[i] = (uint8_t)value;
	}
	return true;
}

static void load_routes6(struct net *net)
{
	static const char zero[] = "00000000000000000000000000000000";
	_cleanup_free_ char *text = iol_host_text(net->host, "proc/net/ipv6_route");
	char *rest = text, *line, dest[33], gateway[33], name[IFNAMSIZ];
	unsigned int len, flags;
	struct route *route;
	uint8_t bytes[16];

	while (rest && (line = strsep(&rest, "\n"))) {
		if (sscanf(line, "%32s %2x %*s %*s %32s %*s %*s %*s %8x %15s", dest, &len, gateway,
			   &flags, name) != 5)
			continue;
		/* The kernel's own "unreachable" is a default route of lo. */
		if (len || strcmp(dest, zero) != 0 || flags & RTF_REJECT || !strcmp(name, "lo"))
			continue;
		route = ADD(net, route);
		if (!route)
			return;
		strcpy(route->name, name);
		if (strcmp(gateway, zero) != 0 && hex_bytes(gateway, bytes))
			inet_ntop(AF_INET6, bytes, route->gateway, sizeof(route->gateway));
	}
}

static void add_address(struct net *net, const char *name, const struct ip *ip)
{
	struct address *address;
	size_t i;

	/* The files tell an address more than once. */
	for (i = 0; i < net->addr_count; i++)
		if (!strcmp(net->addrs[i].name, name) && ip_equal(&net->addrs[i].ip, ip))
			return;
	address = ADD(net, addr);
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
		    !ip_read(leaf, &ip) || ip.family != AF_INET)
			continue;
		memcpy(&raw, ip.bytes, sizeof(raw));
		for (i = 0; i < net->subnet_count; i++)
			if ((raw & net->subnets[i].mask) == net->subnets[i].net)
				add_address(net, net->subnets[i].name, &ip);
	}
	rest = text6;
	while (rest && (line = strsep(&rest, "\n"))) {
		ip = (struct ip){ .family = AF_INET6 };
		if (sscanf(line, "%32s %*s %*s %*s %*s %15s", hex, name) == 2 &&
		    hex_bytes(hex, ip.bytes))
			add_address(net, name, &ip);
	}
}

/* ---- sessions ---- */

static void add_session(struct net *net, const struct ip *local, const struct ip *peer)
{
	struct session *session;
	size_t i;

	for (i = 0; i < net->session_count; i++)
		if (ip_equal(&net->sessions[i].local, local))
			return;
	session = ADD(net, session);
	if (session)
		*session = (struct session){ *local, *peer };
}

/* "peer port local port", as sshd tells its sessions. */
static void add_connection(struct net *net, const char *text)
{
	char peer[INET6_ADDRSTRLEN], local[INET6_ADDRSTRLEN];
	struct ip a, b;

	if (sscanf(text, "%45s %*s %45s", peer, local) == 2 && ip_read(peer, &a) &&
	    ip_read(local, &b))
		add_session(net, &b, &a);
}

/* sudo takes SSH_CONNECTION away, but the shell that it was called from still has it. */
static void load_own_sessions(struct net *net)
{
	const char *own = getenv("SSH_CONNECTION");
	int depth, pid = getppid(), parent;

	if (own)
		add_connection(net, own);
	for (depth = 0; depth < 32 && pid > 1; depth++, pid = parent) {
		char stat[512], env[16384], *at, *end;
		int n;

		n = iol_host_read(net->host, env, sizeof(env), "proc/%d/environ", pid);
		for (at = env, end = env + n; n > 0 && at < end; at += strlen(at) + 1)
			if (!strncmp(at, "SSH_CONNECTION=", 15))
				add_connection(net, at + 15);
		/* The name in parentheses may hold anything. */
		if (iol_host_read(net->host, stat, sizeof(stat), "proc/%d/stat", pid) < 0)
			return;
		at = strrchr(stat, ')');
		if (!at || sscanf(at + 1, " %*c %d", &parent) != 1)
			return;
	}
}

/* Words of 32 bits in the machine's own order. */
static bool tcp_address(const char *hex, int family, struct ip *ip)
{
	size_t i, words = family == AF_INET ? 1 : 4;
	unsigned int word;

	*ip = (struct ip){ .family = family };
	if (strlen(hex) != 8 * words)
		return false;
	for (i = 0; i < words; i++) {
		uint32_t value;

		if (sscanf(hex + 8 * i, "%8x", &word) != 1)
			return false;
		value = word;
		memcpy(ip->bytes + 4 * i, &value, 4);
	}
	*ip = ip_plain(*ip);
	return true;
}

static void load_tcp(struct net *net, const char *file, int family)
{
	_cleanup_free_ char *text = iol_host_text(net->host, "proc/net/%s", file);
	char *rest = text, *line, local[33], peer[33];
	unsigned int port, state;
	struct ip a, b;

	while (rest && (line = strsep(&rest, "\n")))
		if (sscanf(line, " %*[0-9]: %32[0-9A-Fa-f]:%4x %32[0-9A-Fa-f]:%*x %2x", local,
			   &port, peer, &state) == 4 &&
		    port == SSH_PORT && state == 1 /* established */ &&
		    tcp_address(local, family, &a) && tcp_address(peer, family, &b))
			add_session(net, &a, &b);
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

	for (i = 0; i < net->session_count; i++)
		if (ip_equal(&net->sessions[i].local, ip))
			iol_use_add(uses, &port->addr, IOL_USE_SSH, true,
				    "an SSH session from %s comes in by %s%s (%s)",
				    ip_text(&net->sessions[i].peer, peer), name, through,
				    ip_text(ip, local));
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
				    ip_text(&address->ip, text));
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

void iol_uses_net(const struct iol_host *host, struct use_list *uses)
{
	struct net net = { .host = host };
	size_t i;

	load_interfaces(&net);
	if (net.port_count) {
		load_routes(&net);
		load_routes6(&net);
		if (host->live) {
			load_live_addresses(&net);
			load_own_sessions(&net);
		} else {
			load_copied_addresses(&net);
		}
		load_tcp(&net, "tcp", AF_INET);
		load_tcp(&net, "tcp6", AF_INET6);
	}
	for (i = 0; i < net.port_count; i++)
		tell_port(&net, &net.ports[i], uses);
	uses->no_memory |= net.no_memory;
	free(net.ports);
	free(net.links);
	free(net.routes);
	free(net.addrs);
	free(net.sessions);
	free(net.subnets);
}
