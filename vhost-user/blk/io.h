/* SPDX-License-Identifier: BSD-3-Clause */
/* One operation at storage, as requests hand it to an engine and get it back. */
#ifndef IOL_VHOST_USER_BLK_IO_H
#define IOL_VHOST_USER_BLK_IO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

enum iol_io_op {
	IOL_IO_READ,
	IOL_IO_WRITE,
	IOL_IO_FLUSH,
	IOL_IO_ZERO,  /* the range reads as zeroes, and keeps its space */
	IOL_IO_UNMAP, /* the range reads as zeroes, and gives its space back where it can */
	IOL_IO_DISCARD,
	IOL_IO_SECURE_ERASE,
};

/* One read or write moves at most this much: what Linux does in a call, in whole 4 KiB. */
#define IOL_IO_MAX 0x7ffff000u

/**
 * struct iol_io - An operation. Its owner keeps it, and all it points at, until an engine's reap
 * gives it back.
 * @engine: who has it, NULL when nobody.
 * @slot: the image's place in the engine's table of files, from its attach.
 * @op: enum iol_io_op. @dsync: a write that is stable when it completes.
 * @buf: the registered buffer that @iov[0] lies in, -1 for none.
 * @off, @len: bytes in the image; @len is what @iov holds.
 * @res: bytes done or a negative errno, after it completed.
 */
struct iol_io {
	struct iol_io *next;
	struct iol_image *image;
	struct iol_engine *engine;
	struct iovec *iov;
	uint32_t niov;
	int16_t slot;
	uint8_t op;
	bool dsync;
	int32_t buf;
	int32_t res;
	uint64_t off;
	uint64_t len;
};

#endif
