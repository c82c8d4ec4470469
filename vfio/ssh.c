/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio/ssh.h"

#include "base/own.h"
#include "vfio/grow.h"
#include "vfio/host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SSH_PORT 22

static void add_session(struct ssh_list *list, const struct ip *local, const struct ip *peer)
{
	struct ssh_session *session;
	size_t i;

	for (i = 0; i < list->session_count; i++)
		if (iol_ip_equal(&list->sessions[i].local, local))
			return;
	session = iol_add(list, session);
	if (session)
		*session = (struct ssh_session){ *local, *peer };
}

/* "peer port local port", as sshd tells its sessions. */
static void add_connection(struct ssh_list *list, const char *text)
{
	char peer[INET6_ADDRSTRLEN], local[INET6_ADDRSTRLEN];
	struct ip a, b;

	if (sscanf(text, "%45s %*s %45s", peer, local) == 2 && iol_ip_read(peer, &a) &&
	    iol_ip_read(local, &b))
		add_session(list, &b, &a);
}

/* sudo takes SSH_CONNECTION away, but the shell that it was called from still has it. */
static void load_own(const struct iol_host *host, struct ssh_list *list)
{
	const char *own = getenv("SSH_CONNECTION");
	int depth, pid = getppid(), parent;

	if (own)
		add_connection(list, own);
	for (depth = 0; depth < 32 && pid > 1; depth++, pid = parent) {
		char stat[512], env[16384], *at, *end;
		int n;

		n = iol_host_read(host, env, sizeof(env), "proc/%d/environ", pid);
		end = env + (n > 0 ? n : 0);
		for (at = env; at < end; at += strlen(at) + 1)
			if (!strncmp(at, "SSH_CONNECTION=", 15))
				add_connection(list, at + 15);
		/* The name in parentheses may hold anything. */
		if (iol_host_read(host, stat, sizeof(stat), "proc/%d/stat", pid) < 0)
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
	*ip = iol_ip_plain(*ip);
	return true;
}

static void load_tcp(const struct iol_host *host, struct ssh_list *list, const char *file,
		     int family)
{
	_cleanup_free_ char *text = iol_host_text(host, "proc/net/%s", file);
	char *rest = text, *line, local[33], peer[33];
	unsigned int port, state;
	struct ip a, b;

	while (rest && (line = strsep(&rest, "\n")))
		if (sscanf(line, " %*[0-9]: %32[0-9A-Fa-f]:%4x %32[0-9A-Fa-f]:%*x %2x", local,
			   &port, peer, &state) == 4 &&
		    port == SSH_PORT && state == 1 /* established */ &&
		    tcp_address(local, family, &a) && tcp_address(peer, family, &b))
			add_session(list, &a, &b);
}

void iol_ssh_load(const struct iol_host *host, struct ssh_list *list)
{
	if (host->live)
		load_own(host, list);
	load_tcp(host, list, "tcp", AF_INET);
	load_tcp(host, list, "tcp6", AF_INET6);
}
