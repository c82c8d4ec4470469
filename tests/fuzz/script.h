/* SPDX-License-Identifier: BSD-3-Clause */
/* A fuzzer's input as a script: it gives numbers, and zeroes once it is at its end. */
#ifndef IOL_FUZZ_SCRIPT_H
#define IOL_FUZZ_SCRIPT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct script {
	const uint8_t *data;
	size_t left;
};

static inline uint64_t take(struct script *s, size_t bytes)
{
	uint64_t value = 0;

	if (bytes > s->left)
		bytes = s->left;
	memcpy(&value, s->data, bytes);
	s->data += bytes;
	s->left -= bytes;
	return value;
}

#endif
