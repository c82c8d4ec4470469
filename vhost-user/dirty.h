/* SPDX-License-Identifier: BSD-3-Clause */
/* The dirty log of live migration: one bit a 4 KiB page of guest memory, shared with the front end. */
#ifndef IOL_VHOST_USER_DIRTY_H
#define IOL_VHOST_USER_DIRTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IOL_DIRTY_PAGE_BITS 12

struct iol_dirty;

/**
 * iol_dirty_new() - Map the log of a SET_LOG_BASE.
 * @size, @offset: bytes, as the message gives them; @fd stays the caller's.
 * @wake_fd, @broken: as for iol_mem_new(): the log's file may be truncated under us too.
 */
int iol_dirty_new(int fd, uint64_t size, uint64_t offset, int wake_fd, bool *broken,
		  struct iol_dirty **dirty);
void iol_dirty_destroy(struct iol_dirty **dirty);

/** iol_dirty_mark() - Set the bits of [@gpa, @gpa + @len), atomically; pages past the log are dropped. */
void iol_dirty_mark(struct iol_dirty *dirty, uint64_t gpa, uint64_t len);

#endif
