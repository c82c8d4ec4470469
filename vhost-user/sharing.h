/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether a front end really shares its memory. One that maps the file privately hands us a
 * good descriptor behind which nothing ever appears: the guest waits for ever, and says nothing.
 */
#ifndef IOL_VHOST_USER_SHARING_H
#define IOL_VHOST_USER_SHARING_H

#include <sys/types.h>

#include "vhost-user/memory.h"

/** iol_peer_pid() - The process at the other end of a Unix socket; 0 when unknown. */
pid_t iol_peer_pid(int sock);

/**
 * iol_check_shared() - Look at how process @pid maps the file @fd at desc->uaddr.
 *
 * Return: -EINVAL, with the sentence set, when it does so privately; 0 when the mapping is shared or
 * we may not see, as with a process of another user.
 */
int iol_check_shared(pid_t pid, const struct iol_mem_desc *desc, int fd);

#endif
