/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Proof that a disk gives back what was written: every write stamps its block with the block's number
 * and a generation that is remembered here, and every read must find that stamp. Blocks with
 * requests in flight are busy, so that what a read must find is never in doubt.
 */
#ifndef IOL_BENCH_BLK_VERIFY_H
#define IOL_BENCH_BLK_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLK_BUSY_WRITING 255

struct blk_verify {
	uint64_t blocks;
	uint32_t bs;
	uint64_t seed;
	uint32_t *generation; /* 0: never written by us, so anything may be there */
	uint8_t *busy;        /* readers, or BLK_BUSY_WRITING */
};

int blk_verify_init(struct blk_verify *v, uint64_t blocks, uint32_t bs, uint64_t seed);
void blk_verify_free(struct blk_verify *v);

/** blk_verify_begin() - Claim @block. Return: false when its requests in flight forbid it. */
bool blk_verify_begin(struct blk_verify *v, uint64_t block, bool write);
void blk_verify_end(struct blk_verify *v, uint64_t block, bool write);

/** blk_verify_stamp() - Fill @data with the block's next generation. */
void blk_verify_stamp(struct blk_verify *v, uint64_t block, void *data);

/** blk_verify_check() - Compare; on a mismatch false, with what was found in iol_error(). */
bool blk_verify_check(const struct blk_verify *v, uint64_t block, const void *data);

#endif
