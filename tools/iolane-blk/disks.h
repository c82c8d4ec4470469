/* SPDX-License-Identifier: BSD-3-Clause */
/* The disks that this process serves. Only the main thread uses them. */
#ifndef TOOLS_IOLANE_BLK_DISKS_H
#define TOOLS_IOLANE_BLK_DISKS_H

#include "disk_opts.h"

/** struct disk - A disk, the socket it is served on, and what it was told. */
struct disk {
	struct disk *next;
	struct disk_opts opts;
	struct iol_disk *disk;
	struct iol_server *server;
};

/** struct disks - All of them, in the order they came; and the threads they share. */
struct disks {
	struct iol_blk_threads *threads;
	enum iol_blk_engine engine;
	struct disk *first;
	unsigned int count;
	unsigned int num_fds;
};

/**
 * disks_add() - Open an image and serve it.
 * @opts: checked already; taken over, also when this fails.
 *
 * Return: 0, or a negative errno with the sentence set.
 */
int disks_add(struct disks *s, struct disk_opts *opts, struct disk **added);

/** disks_find() - By name; NULL with the sentence set when there is none. */
struct disk *disks_find(const struct disks *s, const char *name);

/** disks_del() - End the connection and free the disk. May wait for storage, bounded. */
void disks_del(struct disks *s, struct disk *d);

/** disks_del_all() - The last one that came goes first. */
void disks_del_all(struct disks *s);

/** disks_refresh() - Look at every image's size again; the log says what came of it. */
void disks_refresh(struct disks *s);

/** disks_reap() - Free the disks whose --fd socket was closed by its front end. */
void disks_reap(struct disks *s);

#endif
