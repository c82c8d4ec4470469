/* SPDX-License-Identifier: BSD-3-Clause */
/* Ownership: variables that free themselves at the end of their scope, and taking from them. */
#ifndef IOL_BASE_OWN_H
#define IOL_BASE_OWN_H

#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

static inline void iol_freep(void *p)
{
	free(*(void **)p);
}

/** iol_close() - Close a descriptor if it is one; the variable holds -1 afterwards. */
static inline void iol_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

#define _cleanup_free_  _cleanup_(iol_freep)
#define _cleanup_close_ _cleanup_(iol_close)

/** iol_take_fd() - The descriptor in *@fd now belongs to the caller; *@fd holds -1. */
static inline int iol_take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define iol_take_ptr(p)                                                                            \
	({                                                                                         \
		__typeof__(p) taken_ = (p);                                                        \
		(p) = NULL;                                                                        \
		taken_;                                                                            \
	})

#endif
