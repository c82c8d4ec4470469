/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses of the Internet Protocol, as the kernel's files and people write them. */
#ifndef IOL_VFIO_IP_H
#define IOL_VFIO_IP_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>

/** struct ip - @family is AF_INET, with the first 4 @bytes, or AF_INET6; in network order. */
struct ip {
	int family;
	uint8_t bytes[16];
};

/** iol_ip_plain() - An address of IPv4 may come in IPv6's clothes: without these. */
struct ip iol_ip_plain(struct ip ip);

/** iol_ip_read() - Read one as people write it. Return: false when it is none. */
bool iol_ip_read(const char *text, struct ip *ip);

/** iol_ip_hex() - Read one of IPv6 as 32 hexadecimal digits. */
bool iol_ip_hex(const char *text, struct ip *ip);

bool iol_ip_equal(const struct ip *a, const struct ip *b);

/** iol_ip_text() - Write one. Return: @text. */
const char *iol_ip_text(const struct ip *ip, char text[INET6_ADDRSTRLEN]);

#endif
