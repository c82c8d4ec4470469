/* SPDX-License-Identifier: BSD-3-Clause */
/* Lists that grow by one. */
#ifndef IOL_VFIO_GROW_H
#define IOL_VFIO_GROW_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/**
 * iol_grow() - Make room for one more.
 * @list: the address of a pointer to the first of @count things of @size bytes.
 * @room: for how many there is room.
 *
 * Return: false when there is no memory; the list is as it was.
 */
static inline bool iol_grow(void *list, size_t count, size_t *room, size_t size)
{
	void **at = list, *bigger;
	size_t more = *room ? 2 * *room : 16;

	if (count < *room)
		return true;
	bigger = reallocarray(*at, more, size);
	if (!bigger)
		return false;
	*at = bigger;
	*room = more;
	return true;
}

/**
 * iol_add() - The new last one, all zero, of a list in struct @in: @what##s, @what##_count and @what##_room.
 *
 * Return: NULL when there is no memory, and @in->no_memory says so.
 */
#define iol_add(in, what)                                                                          \
	({                                                                                         \
		bool room_ = iol_grow(&(in)->what##s, (in)->what##_count, &(in)->what##_room,      \
				      sizeof(*(in)->what##s));                                     \
		(in)->no_memory |= !room_;                                                         \
		room_ ? memset(&(in)->what##s[(in)->what##_count++], 0, sizeof(*(in)->what##s))    \
		      : NULL;                                                                      \
	})

#endif
