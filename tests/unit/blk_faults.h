/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Storage that misbehaves on cue: an engine that wraps the pool, and image operations that wrap a
 * file's. A script says what happens to which operation; all else goes through.
 */
#ifndef IOL_TESTS_BLK_FAULTS_H
#define IOL_TESTS_BLK_FAULTS_H

#include "vhost-user/blk/engine.h"
#include "vhost-user/blk/image.h"

/**
 * struct fault - What to do with operations of kind @op (an enum iol_io_op, or -1 for any).
 * @skip: let so many of them through first. @times: then act on so many.
 * @res: a negative errno to answer with; a positive number of bytes that are moved and no more; 0
 *       to answer that nothing was moved.
 * @hold: keep it until faults_release(), in place of @res.
 */
struct fault {
	int op;
	unsigned int skip, times;
	int res;
	bool hold;
};

/** faults_set() - A new script of @n rules; the first that applies is followed. */
void faults_set(const struct fault *rules, unsigned int n);

/** faults_release() - Let go of what is held; canceled ones were let go already. */
void faults_release(void);

/** faults_held() - How many operations are held. */
unsigned int faults_held(void);

/** faults_seen() - How many operations of a kind came to the engine or image since faults_set(). */
unsigned int faults_seen(int op);

/** FAULTS_STABLE - In place of a kind, for faults_seen(): writes that are to be stable when they end. */
#define FAULTS_STABLE 15

/** faults_stubborn() - Whether held operations ignore a cancel. */
void faults_stubborn(bool stubborn);

/** faults_engine - The engine; a canceled operation that it holds ends, unless it is stubborn. */
extern const struct iol_engine_ops faults_engine;

/** faults_image - For iol_image.ops: applies the script where a file would do the operation. */
extern const struct iol_image_ops faults_image;

/** faults_image_of() - What it goes on to. */
void faults_image_of(const struct iol_image_ops *ops);

#endif
