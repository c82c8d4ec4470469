/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of iolane-blk. */
#ifndef TOOLS_IOLANE_BLK_OPTIONS_H
#define TOOLS_IOLANE_BLK_OPTIONS_H

#include "disk_opts.h"

/**
 * struct options - What the command line says.
 * @threads: the data threads.
 * @disks: @num_disks of them, in their order.
 * @control: path of the control socket, pointing into argv; NULL for none.
 */
struct options {
	struct iol_blk_threads_spec threads;
	struct disk_opts *disks;
	unsigned int num_disks;
	const char *control;
	bool verbose;
};

/**
 * options_parse() - Read and check the command line.
 *
 * Return: -1 when the program should go on; else the exit status it should end with at once, after
 * all has been said (help, version and capabilities, or what is wrong).
 */
int options_parse(struct options *o, int argc, char **argv);

/** options_free() - Free the disks. */
void options_free(struct options *o);

/* The text of --help. */
extern const char options_help[];

#endif
