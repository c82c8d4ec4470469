/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looks at received TCP and UDP frames below the stack, with the header the driver got with each.
 * Generic receive offload must be off, so that a frame is what the device gave.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/guest/guestnet.h"

#define WAIT_US     100000
#define BUFFER_SIZE (32 << 20)

struct frames {
	uint64_t all;
	uint64_t whole;   /* carried a whole checksum, which was right */
	uint64_t partial; /* carried the pseudo header's sum, to be completed by whoever needs it */
	uint64_t wrong;
	uint64_t unsegmented;
	uint64_t longest; /* bytes of IP */
};

/* Where a packet's parts are. */
struct packet {
	const uint8_t *transport;
	size_t length; /* of the transport header and payload */
	uint8_t protocol;
	uint32_t pseudo; /* the sum of the pseudo header, not folded */
};

static uint32_t sum_words(uint32_t sum, const void *data, size_t length)
{
	const uint8_t *at = data;

	for (; length > 1; length -= 2, at += 2)
		sum += (uint32_t)at[0] << 8 | at[1];
	return length ? sum + ((uint32_t)at[0] << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* 1: a whole TCP or UDP packet; 0: something else; -1: an IP header that is wrong. */
static int parse_v4(const uint8_t *data, size_t length, struct packet *p)
{
	struct ip header;
	size_t size, total;

	if (length < sizeof(header))
		return -1;
	memcpy(&header, data, sizeof(header));
	size = header.ip_hl * 4U;
	total = ntohs(header.ip_len);
	if (size < sizeof(header) || total < size || total > length)
		return -1;
	if (fold(sum_words(0, data, size)) != 0xffff)
		return -1;
	if (ntohs(header.ip_off) & (IP_MF | IP_OFFMASK))
		return 0;
	p->protocol = header.ip_p;
	p->transport = data + size;
	p->length = total - size;
	p->pseudo = sum_words(0, &header.ip_src, 8) + p->protocol + (uint32_t)p->length;
	return 1;
}

static int parse_v6(const uint8_t *data, size_t length, struct packet *p)
{
	struct ip6_hdr header;

	if (length < sizeof(header))
		return -1;
	memcpy(&header, data, sizeof(header));
	p->protocol = header.ip6_nxt;
	p->transport = data + sizeof(header);
	p->length = ntohs(header.ip6_plen);
	if (p->length > length - sizeof(header))
		return -1;
	p->pseudo = sum_words(0, &header.ip6_src, 32) + p->protocol + (uint32_t)p->length;
	return 1;
}

static void look(struct frames *frames, const struct virtio_net_hdr *header, const uint8_t *data,
		 size_t length, uint16_t type)
{
	struct packet p = { 0 };
	bool partial = false, whole = false;
	size_t at;
	int kind = 0;

	if (type == ETH_P_IP)
		kind = parse_v4(data, length, &p);
	else if (type == ETH_P_IPV6)
		kind = parse_v6(data, length, &p);
	if (kind == 0 || (kind > 0 && p.protocol != IPPROTO_TCP && p.protocol != IPPROTO_UDP))
		return;
	frames->all++;
	if (length > frames->longest)
		frames->longest = length;
	if (header->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		frames->unsegmented++;
	at = p.protocol == IPPROTO_TCP ? 16 : 6;
	if (kind > 0 && p.length >= at + 2 && (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
		partial = (uint16_t)(p.transport[at] << 8 | p.transport[at + 1]) == fold(p.pseudo);
	} else if (kind > 0 && p.length >= at + 2) {
		whole = fold(sum_words(p.pseudo, p.transport, p.length)) == 0xffff;
	}
	frames->partial += partial;
	frames->whole += whole;
	frames->wrong += !partial && !whole;
}

static int open_interface(const struct options *o)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	struct timeval wait = { .tv_usec = WAIT_US };
	int size = BUFFER_SIZE, on = 1;
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return keep_failure("making a packet socket: %s", strerror(errno));
	address.sll_ifindex = (int)if_nametoindex(o->target);
	if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		return keep_failure("listening to %s: %s", o->target, strerror(errno));
	}
	return fd;
}

int watch(const struct options *o)
{
	static uint8_t data[sizeof(struct virtio_net_hdr) + ETH_HLEN + (1U << 17)];
	const size_t headers = sizeof(struct virtio_net_hdr) + ETH_HLEN;
	struct tpacket_stats missed = { 0 };
	struct virtio_net_hdr header;
	struct sockaddr_ll from;
	struct frames frames = { 0 };
	socklen_t length;
	ssize_t n;
	int fd = open_interface(o);

	if (fd < 0)
		return -1;
	while (!atomic_load(&stopping)) {
		length = sizeof(from);
		n = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &length);
		if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENETDOWN)
			return keep_failure("receiving from %s: %s", o->target, strerror(errno));
		if (n < (ssize_t)headers || from.sll_pkttype == PACKET_OUTGOING)
			continue;
		memcpy(&header, data, sizeof(header));
		look(&frames, &header, data + headers, (size_t)n - headers,
		     ntohs(from.sll_protocol));
	}
	length = sizeof(missed);
	if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &missed, &length) < 0)
		return keep_failure("asking %s for statistics: %s", o->target, strerror(errno));
	close(fd);
	printf("frames=%" PRIu64 " whole=%" PRIu64 " partial=%" PRIu64 " wrong=%" PRIu64
	       " unsegmented=%" PRIu64 " longest=%" PRIu64 " missed=%u\n",
	       frames.all, frames.whole, frames.partial, frames.wrong, frames.unsegmented,
	       frames.longest, missed.tp_drops);
	return 0;
}
