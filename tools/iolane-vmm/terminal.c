/* SPDX-License-Identifier: BSD-3-Clause */
#include "terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#define CTRL_A 1

/* Of the whole process, as the handler of a signal needs them. */
static struct termios before;
static volatile sig_atomic_t changed;

static void make_raw(void)
{
	struct termios raw = before;

	cfmakeraw(&raw);
	/* Our own lines go there, too, and end as lines do. */
	raw.c_oflag |= before.c_oflag & OPOST;
	changed = 1;
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

static bool in_foreground(void)
{
	return tcgetpgrp(STDIN_FILENO) == getpgrp();
}

void terminal_open(struct terminal *t)
{
	*t = (struct terminal){ .tty = isatty(STDIN_FILENO) };
	/* What runs in the background must not change the terminal of others. */
	if (t->tty && in_foreground() && !tcgetattr(STDIN_FILENO, &before))
		make_raw();
}

void terminal_resume(struct terminal *t)
{
	if (!t->tty)
		return;
	if (!in_foreground())
		changed = 0;
	else if (changed || !tcgetattr(STDIN_FILENO, &before))
		make_raw();
}

void terminal_restore(void)
{
	if (changed)
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
	changed = 0;
}

bool terminal_reads(const struct terminal *t)
{
	return !t->ended && (!t->tty || changed);
}

static enum terminal_key key_of(uint8_t byte)
{
	switch (byte | 0x20) {
	case 'x':
		return TERMINAL_QUIT;
	case 'b':
		return TERMINAL_BREAK;
	default:
		return byte == CTRL_A ? TERMINAL_NOTHING : TERMINAL_HELP;
	}
}

enum terminal_key terminal_filter(struct terminal *t, uint8_t *bytes, size_t *len)
{
	enum terminal_key key = TERMINAL_NOTHING, pressed;
	size_t in, out = 0;

	if (!t->tty)
		return TERMINAL_NOTHING;
	for (in = 0; in < *len; in++) {
		bool escape = bytes[in] == CTRL_A && !t->escaped;

		pressed = t->escaped ? key_of(bytes[in]) : TERMINAL_NOTHING;
		if (pressed != TERMINAL_NOTHING)
			key = key == TERMINAL_QUIT ? key : pressed;
		else if (!escape)
			bytes[out++] = bytes[in];
		t->escaped = escape;
	}
	*len = out;
	return key;
}

void terminal_send(uint8_t byte)
{
	while (write(STDOUT_FILENO, &byte, 1) < 0) {
		struct pollfd fd = { STDOUT_FILENO, POLLOUT, 0 };

		/* Whoever has the other end may have made it one that does not wait. */
		if (errno != EAGAIN || poll(&fd, 1, -1) < 0)
			return;
	}
}
