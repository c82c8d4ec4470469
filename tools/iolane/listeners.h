/* SPDX-License-Identifier: BSD-3-Clause */
/* Who is at a Unix socket, by the kernel: nobody there notices. */
#ifndef TOOLS_IOLANE_LISTENERS_H
#define TOOLS_IOLANE_LISTENERS_H

#include <iolane/vfio.h>

/**
 * struct listeners - Who is at a socket.
 * @listens: somebody listens there. @connected: somebody is connected to it, or waits to be.
 */
struct listeners {
	enum iol_known listens;
	bool connected;
};

/** listeners_at() - At the socket of this path. Unknown where the kernel does not tell. */
void listeners_at(const char *path, struct listeners *l);

/** listeners_call() - Whether somebody takes a call, which is felt there. */
bool listeners_call(const char *path);

#endif
