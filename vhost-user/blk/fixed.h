/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest memory registered with a thread's io_uring, for direct I/O without pinning pages a request.
 * All of it stays pinned: where the guest gives memory back (balloon, virtio-mem) or its VMM
 * replaces pages, the registered ones are not the guest's any more. A back end can't see that,
 * so this is only done when asked for, and said in the log.
 */
#ifndef IOL_VHOST_USER_BLK_FIXED_H
#define IOL_VHOST_USER_BLK_FIXED_H

#include <sys/uio.h>

struct iol_blk_thread;
struct iol_fixed;
struct iol_mem;

/**
 * iol_fixed_get() - The buffers of a memory table, registered at need; queues share them. On the thread.
 * Return: 0, or a negative errno with the sentence set; -ENOMEM says how much memory must be lockable.
 */
int iol_fixed_get(struct iol_blk_thread *th, struct iol_mem *mem, struct iol_fixed **fixed);

/** iol_fixed_put() - One queue less uses them. On the thread. Nulls *@fixed; NULL is fine. */
void iol_fixed_put(struct iol_blk_thread *th, struct iol_fixed **fixed);

/** iol_fixed_mem() - The table they were made from. */
const struct iol_mem *iol_fixed_mem(const struct iol_fixed *fixed);

/** iol_fixed_find() - The buffer that @iov lies in, or -1. */
int iol_fixed_find(const struct iol_fixed *fixed, const struct iovec *iov);

#endif
