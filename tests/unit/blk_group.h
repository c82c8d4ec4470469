/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one image and the one disk that the tests of a file share, as it is built up by blk_rig.h, and
 * with storage that misbehaves as blk_faults.h has it.
 */
#ifndef IOL_TESTS_BLK_GROUP_H
#define IOL_TESTS_BLK_GROUP_H

#include "blk_rig.h"

#define MIB (1u << 20)

extern struct rig rig;
extern char *path;

/** image_size - How large make_image() makes it; to be set before the tests are run. */
extern uint64_t image_size;

/** make_image(), drop_image() - For cmocka: the image at path, before and after all tests. */
int make_image(void **state);
int drop_image(void **state);

/** end() - For cmocka: let go of what is held, and end the disk; fine after one that did so itself. */
int end(void **state);

/**
 * start_faulty() - The disk, on the engine that misbehaves, with queue 0 started and no faults yet.
 * @direct: direct I/O: everything goes to the engine. Otherwise reads and writes are made where they
 *          stand.
 */
void start_faulty(unsigned int threads, bool direct);

/** misbehave() - From now on what is not the engine's goes by the script of faults, too. */
void misbehave(void);

/** send_write() - A write of @len bytes, all of them @byte, by queue @q; each slot has 64 KiB. */
void send_write(unsigned int q, uint32_t slot, uint64_t sector, uint8_t byte, uint32_t len);

/** wait_held() - Until @n operations are held by the faults. */
void wait_held(unsigned int n);

#endif
