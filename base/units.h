/* SPDX-License-Identifier: BSD-3-Clause */
/* Sizes, counts and durations as people write them. */
#ifndef IOL_BASE_UNITS_H
#define IOL_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

/**
 * iol_parse_size() - Read a size such as "4096", "4k", "512M", "10G" or "1T" (powers of 1024).
 * @what: what the number is, for the error sentence (an option's name).
 * @out: the size in bytes.
 *
 * Return: 0, or -EINVAL or -ERANGE with the sentence set.
 */
int iol_parse_size(const char *what, const char *text, uint64_t *out);

/**
 * iol_parse_uint() - Read a decimal whole number from @min to @max, both allowed.
 *
 * Return: 0, or -EINVAL or -ERANGE with the sentence set.
 */
int iol_parse_uint(const char *what, const char *text, uint64_t min, uint64_t max, uint64_t *out);

/**
 * iol_format_size() - Write a size for people: "512 B", "64 KiB", "1.5 GiB".
 * @buf: at least 16 bytes.
 *
 * Return: @buf.
 */
const char *iol_format_size(uint64_t bytes, char *buf, size_t len);

#endif
