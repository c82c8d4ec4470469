/* SPDX-License-Identifier: BSD-3-Clause */
#include "blk_verify.h"

#include "base/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Each sector begins with a stamp, so that a torn block shows where it was torn. */
#define SECTOR       512
#define SECTOR_WORDS (SECTOR / sizeof(uint64_t))

struct stamp {
	uint64_t magic, seed, block;
	uint32_t generation, sector;
};

#define MAGIC 0x656e616c6f69a55aull

int blk_verify_init(struct blk_verify *v, uint64_t blocks, uint32_t bs, uint64_t seed)
{
	*v = (struct blk_verify){ .blocks = blocks, .bs = bs, .seed = seed };
	v->generation = calloc(blocks, sizeof(*v->generation));
	v->busy = calloc(blocks, sizeof(*v->busy));
	if (v->generation && v->busy)
		return 0;
	blk_verify_free(v);
	return iol_fail(ENOMEM,
			"out of memory to remember %" PRIu64 " blocks; choose a smaller --size",
			blocks);
}

void blk_verify_free(struct blk_verify *v)
{
	free(v->generation);
	free(v->busy);
	v->generation = NULL;
	v->busy = NULL;
}

bool blk_verify_begin(struct blk_verify *v, uint64_t block, bool write)
{
	uint8_t *busy = &v->busy[block];

	if (write ? *busy != 0 : *busy >= BLK_BUSY_WRITING - 1)
		return false;
	*busy = write ? BLK_BUSY_WRITING : (uint8_t)(*busy + 1);
	return true;
}

void blk_verify_end(struct blk_verify *v, uint64_t block, bool write)
{
	v->busy[block] = write ? 0 : (uint8_t)(v->busy[block] - 1);
}

static uint64_t filler(const struct stamp *s)
{
	uint64_t x = s->seed ^ s->block * 0x9e3779b97f4a7c15ull ^
		     ((uint64_t)s->generation << 32 | s->sector);

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	return x ^ x >> 27;
}

static struct stamp stamp_of(const struct blk_verify *v, uint64_t block, uint32_t sector)
{
	return (struct stamp){ .magic = MAGIC,
			       .seed = v->seed,
			       .block = block,
			       .generation = v->generation[block],
			       .sector = sector };
}

void blk_verify_stamp(struct blk_verify *v, uint64_t block, void *data)
{
	uint32_t sector, i;

	v->generation[block]++;
	for (sector = 0; sector < v->bs / SECTOR; sector++) {
		struct stamp s = stamp_of(v, block, sector);
		uint64_t *word = (uint64_t *)data + sector * SECTOR_WORDS;
		uint64_t fill = filler(&s);

		memcpy(word, &s, sizeof(s));
		for (i = sizeof(s) / sizeof(*word); i < SECTOR_WORDS; i++)
			word[i] = fill + i;
	}
}

/* Tell stale data from misplaced data from anything else: they are different bugs. */
static void explain(const struct blk_verify *v, const struct stamp *want, const uint64_t *word)
{
	uint64_t at = want->block * v->bs + want->sector * (uint64_t)SECTOR;
	struct stamp got;

	memcpy(&got, word, sizeof(got));
	if (got.magic != MAGIC || got.seed != v->seed)
		iol_fail(EIO,
			 "the data at byte %" PRIu64 " is not what was written: wanted generation "
			 "%u of block %" PRIu64 ", found 0x%016" PRIx64 " 0x%016" PRIx64,
			 at, want->generation, want->block, word[0], word[1]);
	else if (got.block != want->block || got.sector != want->sector)
		iol_fail(EIO,
			 "the data at byte %" PRIu64 " belongs elsewhere: wanted block %" PRIu64
			 " sector %u, found block %" PRIu64 " sector %u (generation %u)",
			 at, want->block, want->sector, got.block, got.sector, got.generation);
	else if (got.generation != want->generation)
		iol_fail(EIO,
			 "the data at byte %" PRIu64
			 " is from another write: wanted generation %u of "
			 "block %" PRIu64 ", found generation %u",
			 at, want->generation, want->block, got.generation);
	else
		iol_fail(EIO,
			 "the data at byte %" PRIu64 " is damaged past its stamp (generation %u of "
			 "block %" PRIu64 ")",
			 at, want->generation, want->block);
}

bool blk_verify_check(const struct blk_verify *v, uint64_t block, const void *data)
{
	uint32_t sector, i;

	if (!v->generation[block])
		return true;
	for (sector = 0; sector < v->bs / SECTOR; sector++) {
		struct stamp s = stamp_of(v, block, sector);
		const uint64_t *word = (const uint64_t *)data + sector * SECTOR_WORDS;
		uint64_t fill = filler(&s);
		bool same = !memcmp(word, &s, sizeof(s));

		for (i = sizeof(s) / sizeof(*word); same && i < SECTOR_WORDS; i++)
			same = word[i] == fill + i;
		if (!same) {
			explain(v, &s, word);
			return false;
		}
	}
	return true;
}
