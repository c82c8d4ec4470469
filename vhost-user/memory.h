/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest memory as the front end shares it: a table of regions, each a mapped file. A table is
 * immutable once made and counted by reference; adding or removing a region makes a new table that
 * shares the regions it keeps. Running rings hold a reference and are told by message to take
 * the new one, so no lookup ever takes a lock.
 */
#ifndef IOL_VHOST_USER_MEMORY_H
#define IOL_VHOST_USER_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* VHOST_USER_GET_MAX_MEM_SLOTS: what KVM on x86 has, so that hot-plug is never short of them. */
#define IOL_MEM_SLOTS 509

struct iol_region {
	uint64_t gpa;   /* guest physical address of the first byte */
	uint64_t uaddr; /* the same byte's address in the front end */
	uint64_t size;
	uint8_t *host; /* the same byte here */
	/* The rest is memory.c's. */
	void *map;
	size_t map_len;
	uint64_t offset; /* of the first byte in the file, as the front end said */
	unsigned int refs;
	struct iol_sigbus_range *sigbus;
};

struct iol_mem {
	unsigned int refs;
	unsigned int n;
	struct iol_region **by_uaddr; /* the same, sorted by uaddr; these may overlap */
	struct iol_region *region[];  /* sorted by gpa, none overlap */
};

/** struct iol_mem_desc - A region as a message describes it (VhostUserMemRegion). */
struct iol_mem_desc {
	uint64_t gpa, size, uaddr, offset;
};

/**
 * iol_mem_new() - Map the regions of a SET_MEM_TABLE; @n may be 0.
 * @fds: one a region; stay the caller's.
 * @wake_fd: eventfd written when a region was truncated under us, from the SIGBUS handler.
 * @broken: set to true then. Both must outlive the table.
 *
 * Return: 0 and *@mem (one reference), or -EINVAL (zero or huge size, overflow, overlap, past the
 * file's end), -ENOMEM, or mmap's error.
 */
int iol_mem_new(const struct iol_mem_desc *desc, const int *fds, unsigned int n, int wake_fd,
		bool *broken, struct iol_mem **mem);

/** iol_mem_add() - A new table with one region more (ADD_MEM_REG). -ENOSPC past IOL_MEM_SLOTS. */
int iol_mem_add(const struct iol_mem *old, const struct iol_mem_desc *desc, int fd, int wake_fd,
		bool *broken, struct iol_mem **mem);

/** iol_mem_remove() - A new table without the region that @desc names (gpa, size and uaddr). -ENOENT */
int iol_mem_remove(const struct iol_mem *old, const struct iol_mem_desc *desc,
		   struct iol_mem **mem);

struct iol_mem *iol_mem_ref(struct iol_mem *mem);

/** iol_mem_unref() - Drop a reference; the last unmaps what no other table shares. Nulls *@mem. */
void iol_mem_unref(struct iol_mem **mem);

/** iol_mem_find_gpa() - The region that holds @gpa, or NULL. Binary search. */
const struct iol_region *iol_mem_find_gpa(const struct iol_mem *mem, uint64_t gpa);

/** iol_mem_find_uaddr() - The region that holds front-end address @uaddr, or NULL. */
const struct iol_region *iol_mem_find_uaddr(const struct iol_mem *mem, uint64_t uaddr);

/** iol_mem_find_host() - The region whose mapping here holds @host, or NULL. */
const struct iol_region *iol_mem_find_host(const struct iol_mem *mem, const void *host);

/**
 * iol_mem_iov() - Translate [@gpa, @gpa + @len) to pieces of host memory, across adjacent regions.
 * @max: room in @iov.
 *
 * Return: the number of pieces (neighbours in host memory are one piece), -EFAULT when some of it is
 * in no region, -E2BIG when @max does not do.
 */
int iol_mem_iov(const struct iol_mem *mem, uint64_t gpa, uint64_t len, struct iovec *iov,
		unsigned int max);

/** iol_mem_iov_uaddr() - The same for front-end addresses. */
int iol_mem_iov_uaddr(const struct iol_mem *mem, uint64_t uaddr, uint64_t len, struct iovec *iov,
		      unsigned int max);

/** iol_mem_iov_uaddr_add() - The same, going on after @n pieces that are in @iov; the new number. */
int iol_mem_iov_uaddr_add(const struct iol_mem *mem, uint64_t uaddr, uint64_t len,
			  struct iovec *iov, unsigned int n, unsigned int max);

#endif
