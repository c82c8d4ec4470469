/* SPDX-License-Identifier: BSD-3-Clause */
/* What a hostile front end does to a call eventfd. */
#ifndef IOL_TESTS_FULL_CALL_H
#define IOL_TESTS_FULL_CALL_H

#include "vmm-glue/guest_queue.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

/* Has the next call wait until the eventfd is read, though it was not to block when it was told. */
static inline void fill_call(struct iol_guest_queue *q)
{
	uint64_t n;

	assert_int_equal(fcntl(q->setup.call, F_SETFL, O_NONBLOCK), 0);
	/* A call of before may come late. */
	do {
		(void)!read(q->setup.call, &n, sizeof(n));
		n = UINT64_MAX - 1;
	} while (write(q->setup.call, &n, sizeof(n)) < 0);
	assert_int_equal(fcntl(q->setup.call, F_SETFL, 0), 0);
	iol_driver_arm(q->driver);
}

#endif
