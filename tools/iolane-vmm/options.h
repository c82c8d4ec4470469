/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IOLANE_VMM_OPTIONS_H
#define IOLANE_VMM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

/** enum device_kind - What a PCI slot of the guest has. */
enum device_kind { DEVICE_VFIO, DEVICE_BLK, DEVICE_NET, DEVICE_KINDS };

/** struct device - One --vfio, --blk or --net; @name: its value. */
struct device {
	enum device_kind kind;
	const char *name;
};

/* Slot 0 is the bridge's. */
#define DEVICES_MAX 31u

struct options {
	const char *kernel, *initrd, *cmdline;
	uint64_t memory;
	unsigned int cpus;
	bool hugepages, no_reboot, verbose;
	struct device devices[DEVICES_MAX];
	unsigned int num_devices;
};

/** options_parse() - Return: -1 to go on, or the exit status. */
int options_parse(struct options *o, int argc, char **argv);

extern const char options_help[];

#endif
