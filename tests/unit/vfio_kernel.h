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

#define FAKE_DEVICE "0000:01:00.0"
#define FAKE_MDEV   "8f4d9f2a-5a3b-4c52-9d2e-3f0c6b1e7701"
#define FAKE_MSIX   8
#define FAKE_MSI    4
#define FAKE_CHAIN  512

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

struct fake_kernel {
	/* How it behaves. */
	unsigned int fail_at; /* which call fails, from 1 on; 0: none */
	int fail_errno;
	bool no_v2, dynamic, not_viable, refuses, not_pci, no_reset;
	unsigned int vectors_left; /* that the machine still has; 0: enough */
	uint32_t entries;          /* that its table takes */
	uint64_t data_size;        /* of a device that migrates; 0: the kernel does not tell */
	struct fake_chain region, iommu;

	/* What it saw. */
	unsigned int calls;
	bool failed;         /* the call that was to fail came */
	unsigned int groups; /* in a container */
	bool has_iommu;
	struct fake_map *maps; /* in the order of their coming */
	size_t num_maps;
	/* MSI's or MSI-X's: what the kernel holds of each, -1 for nothing; and how many are enabled. */
	int vectors[FAKE_MSIX];
	unsigned int enabled;
	bool error_set;      /* somebody hears of errors */
	uint32_t migration;  /* the state; the kernel's number */
	unsigned int starts; /* how often vectors went from none to some */
};

extern struct fake_kernel fake;

/** fake_begin() - A machine with two devices for VFIO (FAKE_DEVICE, FAKE_MDEV), and a kernel as good as new. */
void fake_begin(struct host_tree *tree);

/** fake_end() - Check that nothing is left in the kernel. */
void fake_end(struct host_tree *tree);

/** fake_put() - Append a number of @len bytes to a chain. */
void fake_put(struct fake_chain *chain, uint64_t value, size_t len);

#endif
