/* SPDX-License-Identifier: BSD-3-Clause */
/* A device with a data thread of its own that fills what it is given with 0x42: the smallest real one. */
#ifndef TESTS_UNIT_ECHO_H
#define TESTS_UNIT_ECHO_H

#include <iolane/vhost_user.h>

struct echo;

/* NULL when it can't be made. */
struct echo *echo_new(unsigned int num_queues);
void echo_destroy(struct echo *e);
struct iol_device *echo_device(struct echo *e);

#endif
