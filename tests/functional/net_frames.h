/* SPDX-License-Identifier: BSD-3-Clause */
/* Small frames without anything in them, between addresses that a number tells. */
#ifndef IOL_TESTS_NET_FRAMES_H
#define IOL_TESTS_NET_FRAMES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Addresses: 02:00:00:00:00:nn, and two that are many's. */
#define BROADCAST 0x100u
#define MULTICAST 0x101u
#define UNTAGGED  -1

struct small_frame {
	uint8_t b[2048];
	uint32_t len;
};

static inline void small_mac(uint8_t *to, unsigned int number)
{
	static const uint8_t group[6] = { 0x01, 0x00, 0x5e, 0x00, 0x00, 0x05 };

	memset(to, number == BROADCAST ? 0xff : 0, 6);
	if (number == MULTICAST)
		memcpy(to, group, 6);
	if (number >= BROADCAST)
		return;
	to[0] = 2;
	to[5] = (uint8_t)number;
}

/* @tci: a tag's two bytes, or UNTAGGED. @len: of all. No two frames are alike. */
static inline struct small_frame small_frame(unsigned int to, unsigned int from, int tci,
					     uint32_t len)
{
	static uint32_t counter;
	uint32_t number = __atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED), at = 12, i;
	struct small_frame f = { .len = len };

	small_mac(f.b, to);
	small_mac(f.b + 6, from);
	if (tci != UNTAGGED) {
		f.b[at++] = 0x81;
		f.b[at++] = 0;
		f.b[at++] = (uint8_t)(tci >> 8);
		f.b[at++] = (uint8_t)tci;
	}
	/* Of local experiments (IEEE 802). */
	f.b[at++] = 0x88;
	f.b[at++] = 0xb5;
	for (i = at; i < len; i++)
		f.b[i] = (uint8_t)(number >> 8 * (i % 4)) ^ (uint8_t)(i * 7);
	return f;
}

/* The same frame with another tag, or none. */
static inline struct small_frame small_retag(const struct small_frame *f, int tci)
{
	struct small_frame to = { .len = f->len };
	bool had = f->b[12] == 0x81 && f->b[13] == 0;
	uint32_t rest = had ? 16 : 12, at = 12;

	memcpy(to.b, f->b, 12);
	if (tci != UNTAGGED) {
		const uint8_t tag[4] = { 0x81, 0, (uint8_t)(tci >> 8), (uint8_t)tci };

		memcpy(to.b + at, tag, 4);
		at += 4;
	}
	memcpy(to.b + at, f->b + rest, f->len - rest);
	to.len = f->len - rest + at;
	return to;
}

#endif
