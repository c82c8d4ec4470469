/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef IOL_BASE_THREAD_H
#define IOL_BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>

/**
 * iol_thread_start() - Start a thread of a library's, with the signals blocked that are the program's
 * own threads' affair. Not those of faults: a fault whose signal is blocked ends the process without
 * asking any handler, and guest memory that is truncated is such a fault.
 * @id: NULL for a thread that nobody joins.
 * @stack: bytes; 0 for what is usual here.
 *
 * Return: 0, or a negative errno without a sentence.
 */
int iol_thread_start(pthread_t *id, size_t stack, void *(*fn)(void *arg), void *arg);

#endif
