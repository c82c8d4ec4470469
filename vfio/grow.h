/* SPDX-License-Identifier: BSD-3-Clause */
/* Lists that grow by one. */
#ifndef IOL_VFIO_GROW_H
#define IOL_VFIO_GROW_H

#include <stdbool.h>
#include <stdlib.h>

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

#endif
