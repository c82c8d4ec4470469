/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IOL_BASE_FLOCK_H
#define IOL_BASE_FLOCK_H

/**
 * iol_flock() - Take the exclusive flock(2) of an open file or directory: closing @fd lets it go.
 * @wait_ms: how long others may keep it.
 * Return: 0, -EWOULDBLOCK when they kept it longer, or what flock(2) says. No sentence is set.
 */
int iol_flock(int fd, unsigned int wait_ms);

#endif
