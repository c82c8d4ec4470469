/* SPDX-License-Identifier: BSD-3-Clause */
/* A serial port: National Semiconductor's 16550A. What is sent is out at once. */
#ifndef IOLANE_VMM_SERIAL_H
#define IOLANE_VMM_SERIAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERIAL_FIFO 16u

/**
 * struct serial_ops - What is around it. All are called with its lock held.
 * @interrupt: hold the line up, or take it down.
 * @send: a byte goes out.
 * @drained: all that was received has been read: more may come.
 */
struct serial_ops {
	void (*interrupt)(void *ctx, bool up);
	void (*send)(void *ctx, uint8_t byte);
	void (*drained)(void *ctx);
};

/** struct serial - The port. Any thread may call what follows. */
struct serial {
	const struct serial_ops *ops;
	void *ctx;
	pthread_mutex_t lock;
	uint8_t fifo[SERIAL_FIFO];
	unsigned int first, count;
	uint8_t ier, fcr, lcr, mcr, scratch, divisor[2];
	bool sent;    /* an interrupt is due because there is room to send */
	bool broken;  /* a break came */
	bool line_up; /* as @interrupt was told last */
};

void serial_init(struct serial *serial, const struct serial_ops *ops, void *ctx);

/** serial_reset() - As after power-on. */
void serial_reset(struct serial *serial);

uint8_t serial_read(struct serial *serial, unsigned int reg);
void serial_write(struct serial *serial, unsigned int reg, uint8_t value);

/** serial_room() - How many bytes it takes now. */
size_t serial_room(struct serial *serial);

/** serial_receive() - Bytes came; those past serial_room() are lost. */
void serial_receive(struct serial *serial, const uint8_t *bytes, size_t len);

/** serial_break() - The line was held down, which Linux takes as its SysRq key. */
void serial_break(struct serial *serial);

#endif
