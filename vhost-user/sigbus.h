/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that a peer can take away: ranges in which a SIGBUS (the file behind was truncated) is
 * survived by putting zero pages there. See iol_sigbus_install() in iolane/vhost_user.h.
 */
#ifndef IOL_VHOST_USER_SIGBUS_H
#define IOL_VHOST_USER_SIGBUS_H

#include <stdbool.h>
#include <stddef.h>

struct iol_sigbus_range;

/**
 * iol_sigbus_add() - Watch [@start, @start + @len), the whole of one mapping.
 * @wake_fd: eventfd written when a fault was survived; -1 for none.
 * @broken: set to true then (atomically). Both must outlive the range, or iol_sigbus_disown() it.
 *
 * Sealed memory may fault, too: huge pages can run out.
 *
 * Return: the range, or NULL with -ENOMEM's sentence set.
 */
struct iol_sigbus_range *iol_sigbus_add(void *start, size_t len, int wake_fd, bool *broken);

/** iol_sigbus_remove() - Forget a range, before its memory is unmapped. Nulls *@range; NULL is fine. */
void iol_sigbus_remove(struct iol_sigbus_range **range);

/**
 * iol_sigbus_disown() - @broken and what goes with it end before their ranges do: faults there are
 * survived as before, and nobody is told. For memory that is kept for storage which hangs, and that
 * nobody here touches any more.
 */
void iol_sigbus_disown(const bool *broken);

#endif
