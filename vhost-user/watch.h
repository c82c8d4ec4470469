/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Eventfds of front ends that fill up. Signalling one that is full waits until somebody reads it.
 * O_NONBLOCK is no help: it is a flag of what the front end has, too, and it can take it away at any
 * time. So while there are eventfds to signal, a thread looks at them once a second and empties those
 * that are full, which lets go whoever waits. From then on the device's control thread signals in
 * place of its data threads (iol_device.mistrusted), and keeps nobody else waiting.
 *
 * No front end that reads its eventfds, however seldom, meets this: they count up to 2^64 - 2.
 */
#ifndef IOL_VHOST_USER_WATCH_H
#define IOL_VHOST_USER_WATCH_H

struct iol_device;

/**
 * iol_watch_add() - Watch the eventfds of a device, if it is not watched.
 * Return: 0, or a negative errno with its sentence.
 */
int iol_watch_add(struct iol_device *dev);

/** iol_watch_remove() - No longer, if it was watched. */
void iol_watch_remove(struct iol_device *dev);

/** iol_watch_replace() - Close the eventfd at @place and put @fd there, while the watch looks at neither. */
void iol_watch_replace(int *place, int fd);

#endif
