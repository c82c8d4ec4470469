/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfio/ip.h"

#include <stdio.h>
#include <string.h>

bool iol_ip_equal(const struct ip *a, const struct ip *b)
{
	return a->family == b->family && !memcmp(a->bytes, b->bytes, a->family == AF_INET ? 4 : 16);
}

const char *iol_ip_text(const struct ip *ip, char text[INET6_ADDRSTRLEN])
{
	return inet_ntop(ip->family, ip->bytes, text, INET6_ADDRSTRLEN) ? text : "?";
}

struct ip iol_ip_plain(struct ip ip)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (ip.family == AF_INET6 && !memcmp(ip.bytes, mapped, sizeof(mapped))) {
		ip.family = AF_INET;
		memmove(ip.bytes, ip.bytes + 12, 4);
		memset(ip.bytes + 4, 0, 12);
	}
	return ip;
}

bool iol_ip_read(const char *text, struct ip *ip)
{
	char plain[INET6_ADDRSTRLEN];

	/* A link-local address may have its interface behind it. */
	snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(text, "%"), text);
	*ip = (struct ip){ strchr(plain, ':') ? AF_INET6 : AF_INET, { 0 } };
	if (inet_pton(ip->family, plain, ip->bytes) != 1)
		return false;
	*ip = iol_ip_plain(*ip);
	return true;
}

bool iol_ip_hex(const char *text, struct ip *ip)
{
	unsigned int value;
	size_t i;

	*ip = (struct ip){ .family = AF_INET6 };
	if (strlen(text) != 32)
		return false;
	for (i = 0; i < 16; i++) {
		if (sscanf(text + 2 * i, "%2x", &value) != 1)
			return false;
		ip->bytes[i] = (uint8_t)value;
	}
	return true;
}
