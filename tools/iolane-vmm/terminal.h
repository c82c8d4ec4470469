/* SPDX-License-Identifier: BSD-3-Clause */
/* Standard input and output as the far end of the guest's serial port. */
#ifndef IOLANE_VMM_TERMINAL_H
#define IOLANE_VMM_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** enum terminal_key - What people ask of the program itself, after Ctrl-A. */
enum terminal_key { TERMINAL_NOTHING, TERMINAL_QUIT, TERMINAL_BREAK, TERMINAL_HELP };

/**
 * struct terminal - Standard input.
 * @tty: it is a terminal, where Ctrl-A means us. @escaped: Ctrl-A came. @ended: nothing more comes.
 */
struct terminal {
	bool tty, escaped, ended;
};

/** terminal_open() - From now on every key is the guest's, until the program ends, by whatever signal. */
void terminal_open(struct terminal *t);

/** terminal_resume() - The program was stopped and goes on. */
void terminal_resume(struct terminal *t);

/** terminal_reads() - Whether input is ours to read; in the background a terminal's is not. */
bool terminal_reads(const struct terminal *t);

/** terminal_restore() - As it was before. May be called at any time, and in a signal's handler. */
void terminal_restore(void);

/**
 * terminal_filter() - Take what is meant for us out of what was typed.
 * @bytes: @*len of them; those for the guest are left, and counted.
 */
enum terminal_key terminal_filter(struct terminal *t, uint8_t *bytes, size_t *len);

/** terminal_send() - A byte of the guest's. Where nobody listens it is lost. */
void terminal_send(uint8_t byte);

#endif
