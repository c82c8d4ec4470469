/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kernel for the tests of contexts and devices: ioctl() is taken over by the linker (--wrap), nodes are files of a
 * host_tree, and each call can be made to fail. It keeps the rules of the real one that the library must not break.
 */
#ifndef IOL_TESTS_VFIO_KERNEL_H
#define IOL_TESTS_VFIO_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/unit/host_tree.h"

#define FAKE_DEVICE  "0000:01:00.0"
#define FAKE_DEVICE2 "0000:02:00.0"
#define FAKE_MDEV    "8f4d9f2a-5a3b-4c52-9d2e-3f0c6b1e7701"
#define FAKE_MSI     4
#define FAKE_MSIX    8
#define FAKE_VECTORS 2048
#define FAKE_REGIONS 7 /* BARs, and the expansion ROM */
#define FAKE_CHAIN   512

/* A chain of capabilities behind an answer. */
struct fake_chain {
	uint32_t first; /* offset from the answer's begin */
	size_t len;
	uint8_t bytes[FAKE_CHAIN];
};

struct fake_map {
	uint64_t iova, addr, len;
	unsigned int access;
};

/* Pages that a device wrote, by their IOVAs, and that one source has not told yet. */
struct fake_written {
	bool on;
	uint64_t *iovas;
	size_t num;
};

/* An open device, its own log, and the page tables it is behind. */
struct fake_device {
	int fd;
	uint64_t inode; /* descriptors come again */
	uint32_t hwpt;  /* 0: those of the IOAS */
	struct fake_written log;
	struct iol_iova_range ranges[256];
	size_t num_ranges;
};

/* Page tables that keep track, for the device they were made for and those that are like it. */
struct fake_hwpt {
	bool exists;
	uint32_t device;
	struct fake_written written;
};

#define FAKE_DEVICES 4
#define FAKE_HWPTS   4

struct fake_kernel {
	/* How it behaves. */
	unsigned int fail_at; /* which call fails, from 1 on; 0: none */
	int fail_errno;
	bool no_v2, dynamic, not_viable, refuses, not_pci, no_reset;
	unsigned int vectors_left; /* that the machine still has; 0: enough */
	uint32_t entries;          /* that its table takes */
	uint64_t data_size;        /* of a device that migrates; 0: the kernel does not tell */
	const char *early,
		*late; /* its state: what PRE_COPY brings (NULL: it has none), and then STOP_COPY */
	bool odd;      /* what it is given is no state of its */
	struct fake_chain region, iommu;
	const uint8_t
		*config; /* of a device that is opened; NULL: zeroes, and no registers either */
	size_t config_size;
	uint64_t sizes[FAKE_REGIONS];
	unsigned int ports;   /* a bit for each BAR that is of ports */
	unsigned int irqs[5]; /* how many there are of each kind */
	bool others;          /* are reset with the bus */
	bool type1_tracks,
		exact; /* type1 tells what was written, or that all was; @exact: as of mediated devices */
	uint64_t bitmap_max;
	bool iommu_tracks, unlike; /* page tables of one device do not do for another */
	uint64_t iommu_page;       /* of dirty bits */
	unsigned int
		loggers;   /* a bit for each device that has a log, in the order they are opened */
	uint64_t log_page; /* that they choose at least */
	size_t log_ranges; /* that they take */

	/* What it saw. */
	unsigned int calls;
	bool failed;         /* the call that was to fail came */
	unsigned int groups; /* in a container */
	bool has_iommu;
	struct fake_map *maps; /* in the order of their coming */
	size_t num_maps;
	/* MSI's or MSI-X's: what the kernel holds of each, -1 for nothing; what came of MSI-X meanwhile; how many are enabled. */
	int vectors[FAKE_VECTORS];
	bool waits[FAKE_VECTORS];
	unsigned int enabled;
	int intx, intx_unmask; /* -1: nobody */
	bool line, intx_masked;
	int error, request; /* who hears of errors and requests; -1: nobody */
	unsigned int resets, hot_resets;
	uint32_t migration;  /* the state; the kernel's number */
	int state;           /* what was read or written of its state last */
	unsigned int starts; /* how often vectors went from none to some */
	struct fake_device devices[FAKE_DEVICES];
	unsigned int num_devices; /* that were ever opened */
	struct fake_hwpt hwpts[FAKE_HWPTS];
	struct fake_written type1;
};

extern struct fake_kernel fake;

/** fake_new() - A kernel as good as new. */
void fake_new(void);

/** fake_begin() - A machine with two devices for VFIO (FAKE_DEVICE, FAKE_MDEV), and a kernel as good as new. */
void fake_begin(struct host_tree *tree);

/** fake_end() - Check that nothing is left in the kernel. */
void fake_end(struct host_tree *tree);

/** fake_write() - A device, the number of its opening, writes to an IOVA; it has to be mapped for that. */
void fake_write(unsigned int device, uint64_t iova);

/** fake_interrupt() - The device interrupts by MSI's or MSI-X's @vector. */
void fake_interrupt(unsigned int vector);

/** fake_line() - Its INTx goes up or down. */
void fake_line(bool up);

/** fake_region() - Where a region is in a device's descriptor. */
uint64_t fake_region(unsigned int index);

/* Of vfio_kernel_dirty.c; as ioctl(). */
int fake_fails(int err);
void fake_opened(int fd);
void fake_unmapped(uint64_t iova, uint64_t len); /* what page tables and entries knew is gone */
int fake_type1_dirty(void *arg);
int fake_type1_unmap(void *arg);
int fake_iommufd_dirty(int fd, unsigned long request, void *arg);
int fake_log(int fd, void *arg);
void fake_dirty_end(void);

/** fake_put() - Append a number of @len bytes to a chain. */
void fake_put(struct fake_chain *chain, uint64_t value, size_t len);

#endif
