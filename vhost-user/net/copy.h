/* SPDX-License-Identifier: BSD-3-Clause */
/* The copy that a frame costs. Short ones are done in place: a call of memcpy() costs as much as they do. */
#ifndef IOL_VHOST_USER_NET_COPY_H
#define IOL_VHOST_USER_NET_COPY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void iol_copy16(uint8_t *to, const uint8_t *from)
{
	typedef uint8_t vec __attribute__((vector_size(16), aligned(1), may_alias));

	*(vec *)(void *)to = *(const vec *)(const void *)from;
}

/** iol_fetch_to_write() - Fetch the line at @p for writing: the compiler's own word for it only reads, if not told of the CPU. */
static inline void iol_fetch_to_write(const uint8_t *p)
{
#ifdef __x86_64__
	__asm__ volatile("prefetchw %0" : : "m"(*p));
#else
	__builtin_prefetch(p, 1);
#endif
}

/** iol_copy() - memcpy(), fastest for what is left of a small frame behind its head. */
static inline void iol_copy(uint8_t *to, const uint8_t *from, size_t len)
{
	if (len > 64) {
		memcpy(to, from, len);
		return;
	}
	if (len >= 16) {
		size_t at;

		for (at = 0; at + 16 < len; at += 16)
			iol_copy16(to + at, from + at);
		iol_copy16(to + len - 16, from + len - 16);
		return;
	}
	while (len--)
		*to++ = *from++;
}

#endif
