/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of iolane-net. */
#ifndef TOOLS_IOLANE_NET_OPTIONS_H
#define TOOLS_IOLANE_NET_OPTIONS_H

#include "port_opts.h"

/**
 * struct options - What the command line says.
 * @ports: @num_ports of them, in their order.
 * @control: path of the control socket, pointing into argv; NULL for none.
 * @stats_ms: how often statistics are written to the log; 0 for never.
 */
struct options {
	struct iol_net_eal_spec eal;
	struct iol_net_spec net;
	struct port_opts *ports;
	unsigned int num_ports;
	const char *control;
	unsigned int stats_ms;
	bool verbose;
};

/**
 * options_parse() - Read and check the command line.
 *
 * Return: -1 when the program should go on; else the exit status it should end with at once, after
 * all has been said (help, version and capabilities, or what is wrong).
 */
int options_parse(struct options *o, int argc, char **argv);

/** options_free() - Free the ports. */
void options_free(struct options *o);

/** options_mode() - The word of --mode for it. */
const char *options_mode(enum iol_net_mode mode);

/* The text of --help. */
extern const char options_help[];

#endif
