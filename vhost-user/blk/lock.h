/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The lock of an image, as QEMU takes it: shared OFD locks on single bytes that say what a
 * program does with the image (100 + bit) and what it does not let others do (200 + bit). The lock
 * is on the open file that does the I/O. A killed process's file stays open as long as the
 * kernel still works on its last requests, so whoever gets the lock knows that those have ended.
 */
#ifndef IOL_VHOST_USER_BLK_LOCK_H
#define IOL_VHOST_USER_BLK_LOCK_H

#include <stdbool.h>

struct iol_device;

/**
 * iol_lock_image() - Take the lock of the image open at @fd.
 * @name: of the image, for the log and the sentence.
 * @write: for writing: nobody else may write or resize, or forbid it. Otherwise nobody may write,
 *         and readers share.
 * @timeout_ms: how long to wait for another holder; told in the log at once when it waits.
 * @dev: give up when it is ending; NULL for none.
 *
 * Return: 0, or -EBUSY when another process kept it.
 */
int iol_lock_image(int fd, const char *name, bool write, unsigned int timeout_ms,
		   const struct iol_device *dev);

/** iol_unlock_image() - Let the lock go; fine when it isn't held. */
void iol_unlock_image(int fd);

#endif
