/* SPDX-License-Identifier: BSD-3-Clause */
/* Which addresses sessions of SSH come in by. */
#ifndef IOL_VFIO_SSH_H
#define IOL_VFIO_SSH_H

#include "vfio/ip.h"

#include <iolane/vfio.h>

struct ssh_session {
	struct ip local, peer;
};

struct ssh_list {
	struct ssh_session *sessions;
	size_t session_count, session_room;
	bool no_memory;
};

/**
 * iol_ssh_load() - Sessions at sshd's port, and of this machine those that the caller and who started it were told of.
 * @list: one of each local address; the caller frees its sessions.
 */
void iol_ssh_load(const struct iol_host *host, struct ssh_list *list);

#endif
