/* SPDX-License-Identifier: BSD-3-Clause */
/* A table for people: columns as wide as their widest cell. */
#ifndef TOOLS_IOLANE_TABLE_H
#define TOOLS_IOLANE_TABLE_H

#include <stddef.h>

struct table;

/**
 * table_new() - An empty table.
 * @columns: the heads, comma-separated; one that starts with '>' is for numbers, at the right; the last may start
 *           with '~', and is then cut off at a terminal's edge.
 *
 * Return: NULL without memory, which the other functions take.
 */
struct table *table_new(const char *columns);

/** table_add() - The next cell, row by row. */
void table_add(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** or_dash() - What stands in a cell that would be empty. */
static inline const char *or_dash(const char *text)
{
	return *text ? text : "-";
}

/** table_print() - Print it to stdout; nothing when there are no rows. */
void table_print(const struct table *t);

/** table_free() - NULL is fine. */
void table_free(struct table *t);

#endif
